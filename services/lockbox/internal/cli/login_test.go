package cli_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
)

// person is somebody at a terminal on a machine where the stub runs.
type person struct {
	dir string
	now func() time.Time
	// browse is what opens pages; nil: nothing does.
	browse func(context.Context, string) error
	// told gets what is written to stderr, as it is written.
	told func(string)
}

// types runs a command line.
func (p *person) types(t *testing.T, line string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := map[string]string{"LOCKBOX_DATA": p.dir, "XDG_STATE_HOME": filepath.Join(p.dir, "state")}
	code = cli.Run(t.Context(), strings.Fields(line), cli.Environment{
		In: strings.NewReader(""), Out: &stdout, Err: io.MultiWriter(&stderr, writer(func(s string) {
			if p.told != nil {
				p.told(s)
			}
		})),
		Width: func() int { return 0 }, Getenv: func(key string) string { return env[key] }, Now: p.now, Zone: time.UTC,
		Browse: p.browse,
	})
	return code, stdout.String(), stderr.String()
}

type writer func(string)

func (w writer) Write(b []byte) (int, error) { w(string(b)); return len(b), nil }

func newPerson(t *testing.T) *person {
	t.Helper()
	dir := t.TempDir()
	startStub(t, dir)
	return &person{dir: dir, now: time.Now}
}

// clicks opens the last address in a text as soon as it is there, and presses the button of a persona; what the last
// page says is sent.
func clicks(t *testing.T, persona string, address *regexp.Regexp) (told func(string), saw <-chan string) {
	t.Helper()
	pages := make(chan string, 1)
	seen := false
	return func(text string) {
		found := address.FindString(text)
		if seen || found == "" {
			return
		}
		seen = true
		go func() {
			page, err := clickPersona(found, persona)
			if err != nil {
				page = err.Error()
			}
			pages <- page
		}()
	}, pages
}

func TestSigningInWithoutABrowserOpened(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.browse = func(context.Context, string) error { t.Error("a browser was opened"); return nil }
	told, saw := clicks(t, "fleur", regexp.MustCompile(`http://\S+/authorize\S+`))
	p.told = told
	code, out, errs := p.types(t, "login --no-browser --tenant meadowbank")
	if page := <-saw; code != 0 || !strings.Contains(out, "You are Fleur Lefèvre") ||
		!strings.Contains(page, "You are signed in as Fleur Lefèvre.") {
		t.Fatalf("exit code %d, %s%s\nthe browser shows %s", code, out, errs, page)
	}
	tokens := filepath.Join(p.dir, "state", "lockbox", "tokens")
	for path, want := range map[string]os.FileMode{tokens: 0o700, filepath.Join(tokens, "default.json"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info, err, want)
		}
	}
	if strings.Contains(out+errs, "eyJ") {
		t.Error("the token was printed")
	}
}

func TestSigningInWithACodeForAnotherDevice(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	told, saw := clicks(t, "derek", regexp.MustCompile(`http://\S+/device\?user_code=\S+`))
	p.told = told
	code, out, errs := p.types(t, "login --device")
	if page := <-saw; code != 0 || !strings.Contains(out, "You are Derek Dunn") ||
		!strings.Contains(page, "You are Derek Dunn") {
		t.Fatalf("exit code %d, %s%s\nthe browser shows %s", code, out, errs, page)
	}
	says := regexp.MustCompile(
		`\n  http://127\.0\.0\.1:\d+/provider/device\n\nand type the code\n\n  [B-Z]{4}-[B-Z]{4}\n`)
	if !says.MatchString(errs) {
		t.Errorf("it says %s", errs)
	}
	if code, out, errs = p.types(t, "whoami"); code != 0 || !strings.Contains(out, "devops-managers") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	told, _ = clicks(t, "", regexp.MustCompile(`http://\S+/device\?user_code=\S+`))
	p.told = told
	if code, _, errs = p.types(t, "login --device --profile other"); code != 4 || !strings.Contains(errs, "declined") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestASignInThatHasExpiredSaysHowToGetAnother(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.browse = func(_ context.Context, address string) error {
		go func() { _, _ = clickPersona(address, "hana") }()
		return nil
	}
	if code, out, errs := p.types(t, "login --tenant sakura --profile hana"); code != 0 {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	signedIn := time.Now()
	p.now = func() time.Time { return signedIn.Add(time.Hour) }
	for _, line := range []string{"whoami", "request list", "approval list"} {
		code, _, errs := p.types(t, line+" --profile hana")
		if code != 4 || !strings.Contains(errs, "you were signed in as 佐藤 花 until") ||
			!strings.Contains(errs, "sign in again: `lockbox login --tenant sakura --profile hana`") {
			t.Errorf("%s: exit code %d, %s", line, code, errs)
		}
	}
}

func TestASignInThatIsNotAsRecentAsWasAskedForIsNotKept(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	// So that what the issuer says is half an hour ago.
	p.now = func() time.Time { return time.Now().Add(30 * time.Minute) }
	for age, row := range map[string]struct {
		code      int
		text, saw string
	}{
		"0":   {4, "let a sign-in of", "You are not signed in."},
		"20m": {4, "though one of the last 20m0s was asked for", "You are not signed in."},
		"31m": {0, "", "You are signed in as Otto Owens."},
	} {
		told, saw := clicks(t, "otto", regexp.MustCompile(`http://\S+/authorize\S+`))
		p.told = told
		code, out, errs := p.types(t, "login --no-browser --tenant meadowbank --profile p"+age+" --max-age "+age)
		if page := <-saw; code != row.code || !strings.Contains(errs, row.text) || !strings.Contains(page, row.saw) {
			t.Errorf("%s: exit code %d, %s%s\nthe browser shows %s", age, code, out, errs, page)
		}
		_, err := os.Stat(filepath.Join(p.dir, "state", "lockbox", "tokens", "p"+age+".json"))
		if (err == nil) != (row.code == 0) {
			t.Errorf("%s: the sign-in is kept: %v", age, err == nil)
		}
	}
}

func TestASignInThatOthersCanReadIsNotUsed(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.browse = func(_ context.Context, address string) error {
		go func() { _, _ = clickPersona(address, "erin") }()
		return nil
	}
	if code, out, errs := p.types(t, "login"); code != 0 {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	must(t, os.Chmod(filepath.Join(p.dir, "state", "lockbox", "tokens", "default.json"), 0o604))
	if code, _, errs := p.types(t, "whoami"); code != 4 || !strings.Contains(errs, "can be read by others") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
