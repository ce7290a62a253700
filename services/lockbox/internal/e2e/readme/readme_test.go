// Package readme_test types what the README says, on a fresh data directory, and looks whether it works.
package readme_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

const root = "../../../../.."

// elsewhere are commands that something else runs: continuous integration is `make test`, which runs the containers'
// commands through scripts/compose-test.sh; start is how this test begins.
var elsewhere = map[string]string{
	"make run":                   "start",
	"make test":                  "continuous integration",
	"make images":                "scripts/compose-test.sh",
	"docker-compose up --detach": "scripts/compose-test.sh",
	"docker-compose run --rm cli request list --as olga": "scripts/compose-test.sh",
	"docker-compose down --volumes":                      "scripts/compose-test.sh",
}

var comment = regexp.MustCompile(`\s+# .*`)

var requestID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

func TestEveryCommandOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile(root + "/README.md")
	must(t, err)
	home := t.TempDir()
	data := filepath.Join(home, ".local", "share", "lockbox")
	bus := start(t, home, data)
	must(t, os.WriteFile(filepath.Join(home, "intent.json"), []byte(block(t, string(readme), "json")), 0o600))

	request := "REQUEST-ID"
	ran := 0
	for _, command := range commands(string(readme)) {
		if _, ok := elsewhere[command]; ok {
			delete(elsewhere, command)
			continue
		}
		line := strings.NewReplacer(
			"REQUEST-ID", request, "nats://127.0.0.1:4222", bus, "< intent.json", "< "+filepath.Join(home, "intent.json"),
		).Replace(command)
		out := run(t, home, line)
		if id := requestID.FindString(out); strings.Contains(command, "intent submit") {
			if id == "" {
				t.Fatalf("%s\nnames no request:\n%s", command, out)
			}
			request = id
		}
		ran++
	}
	if ran < 13 || len(elsewhere) > 0 {
		t.Errorf("%d commands were typed; the README has none of %v", ran, elsewhere)
	}
}

// promises are how the table "What else to try" says what comes of an intent, and the status that this is.
var promises = []struct{ says, status string }{
	{"refused", "REQUEST_STATUS_REFUSED"},
	{"goes on to the customer", "REQUEST_STATUS_CUSTOMER_NOTIFIED"},
	{"waits for", "REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL"},
	{"access at once", "REQUEST_STATUS_ACTIVE"},
}

var persona = regexp.MustCompile("^`(--as [a-z]+[^`]*)`|^the same `(--as [a-z]+)`")

func TestEachPersonaGetsWhatTheREADMEPromises(t *testing.T) {
	readme, err := os.ReadFile(root + "/README.md")
	must(t, err)
	home := t.TempDir()
	start(t, home, filepath.Join(home, ".local", "share", "lockbox"))
	base, before, seen := "", "", map[string]int{}
	for _, command := range commands(string(readme)) {
		if base == "" && strings.Contains(command, "intent submit") {
			base = command
		}
	}
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 3 || !persona.MatchString(strings.TrimSpace(cells[0])) {
			continue
		}
		flags := persona.FindStringSubmatch(strings.TrimSpace(cells[0]))
		change := flags[1]
		if flags[2] != "" {
			change = before + " " + flags[2]
		}
		if strings.Contains(cells[0], "without `--ticket`") {
			change += ` --ticket ""`
		}
		before = change
		id, err := uuid.NewV7()
		must(t, err)
		// What is refused also exits so; what counts is what was recorded.
		run(t, home, base+" "+change+" --id "+id.String()+" || true")
		who := regexp.MustCompile("--as [a-z]+").FindAllString(change, -1)
		shown := run(t, home, "bin/lockbox request show -o json "+who[len(who)-1]+" "+id.String())
		for _, p := range promises {
			if strings.HasPrefix(cells[1], p.says) {
				seen[p.says]++
				if !strings.Contains(shown, `"`+p.status+`"`) {
					t.Errorf("%s: the README promises %q", change, cells[1])
				}
			}
		}
	}
	for _, p := range promises {
		if seen[p.says] == 0 {
			t.Errorf("nobody in the README gets %q", p.says)
		}
	}
}

// start is `make run`, with free ports and an empty data directory.
func start(t *testing.T, home, data string) (bus string) {
	t.Helper()
	c := shell(context.Background(), home, `make run ARGS="--listen 127.0.0.1:0 --mailbox 127.0.0.1:0 --portal 127.0.0.1:0 --log-server 127.0.0.1:0 --issuer 127.0.0.1:0"`)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	must(t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGINT)
		err := <-ended // make says that it was interrupted
		if _, note := runinfo.Read(data); !errors.Is(note, fs.ErrNotExist) {
			t.Errorf("Ctrl-C did not end it in good order: %v, %v\n%s", note, err, &out)
		}
	})
	deadline := time.Now().Add(10 * time.Minute) // it builds first
	for time.Now().Before(deadline) {
		if info, err := runinfo.Read(data); err == nil {
			return info.NATSURL
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("make run has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("make run has started nothing")
	return ""
}

func run(t *testing.T, home, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := shell(ctx, home, line).CombinedOutput()
	if err != nil {
		t.Fatalf("$ %s\n%s\n%v", line, out, err)
	}
	t.Logf("$ %s\n%s", line, out)
	return string(out)
}

// shell runs a line as a new user would: at the top of the repository, with nothing in the environment that says where
// Lockbox is.
func shell(ctx context.Context, home, line string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-c", line) // #nosec G204 -- the README's own commands
	c.Dir = root
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cache, _ := exec.CommandContext(ctx, "go", "env", "GOMODCACHE", "GOCACHE").Output()
	dirs := append(strings.Fields(string(cache)), "", "")
	c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "LOCKBOX_") || strings.HasPrefix(e, "HOME=") || strings.HasPrefix(e, "XDG_") || strings.HasPrefix(e, "MAKE")
	}), "HOME="+home, "GOMODCACHE="+dirs[0], "GOCACHE="+dirs[1])
	return c
}

// commands are the lines that begin with "$ " in the README's consoles, with what they continue on.
func commands(readme string) []string {
	var all []string
	inside, continued := false, false
	for line := range strings.Lines(readme) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && continued:
			all[len(all)-1] += " " + strings.TrimSpace(strings.TrimSuffix(line, `\`))
		case inside && strings.HasPrefix(line, "$ "):
			command := comment.ReplaceAllString(strings.TrimPrefix(line, "$ "), "")
			all = append(all, strings.TrimSpace(strings.TrimSuffix(command, `\`)))
		}
		continued = inside && strings.HasSuffix(line, `\`)
	}
	return all
}

func block(t *testing.T, readme, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(readme, "```"+language+"\n")
	if !found {
		t.Fatalf("the README has no %s", language)
	}
	text, _, _ := strings.Cut(rest, "```")
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
