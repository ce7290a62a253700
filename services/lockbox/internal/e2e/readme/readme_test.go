// Package readme_test types what the repository's documents say, on a fresh data directory, and looks whether it works.
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
	"strconv"
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

// The documents that this test knows more of than that their commands are typed.
const (
	first     = "README.md"                  // it makes the request that the others may name
	publishes = "proto/README.md"            // it shows the intent that it publishes
	promising = "services/lockbox/README.md" // it says what becomes of each persona's intent
)

var comment = regexp.MustCompile(`\s+# .*`)

// exits is how a document says that a command ends with another code than 0.
var exits = regexp.MustCompile(`\s+# exit code (\d+)$`)

// words are those of a customer's keys, as key list has them.
var words = regexp.MustCompile(`Fingerprint +([a-z ]+)`)

var requestID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

func TestEveryCommandOfTheDocuments(t *testing.T) {
	home := t.TempDir()
	data := filepath.Join(home, ".local", "share", "lockbox")
	running := start(t, home, data)
	intent := filepath.Join(home, "intent.json")
	must(t, os.WriteFile(intent, []byte(block(t, document(t, publishes), "json")), 0o600))

	request, fingerprint, forged := "REQUEST-ID", "FINGERPRINT", []string(nil)
	typed, seen := map[string]int{}, map[string]bool{}
	for _, name := range documents(t) {
		for _, command := range commands(document(t, name)) {
			if _, ok := elsewhere[command]; ok {
				seen[command] = true
				continue
			}
			want := "0"
			if said := exits.FindStringSubmatch(command); said != nil {
				command, want = strings.TrimSuffix(command, said[0]), said[1]
			}
			line := strings.NewReplacer(
				"REQUEST-ID", request, "FINGERPRINT", fingerprint,
				"nats://127.0.0.1:4222", running.NATSURL, "http://127.0.0.1:8080", running.PortalURL,
				"< intent.json", "< "+intent,
			).Replace(command)
			out := ends(t, home, line, want)
			if strings.Contains(command, "intent submit") {
				id := requestID.FindString(out)
				if id == "" {
					t.Fatalf("%s: %s\nnames no request:\n%s", name, command, out)
				}
				request = id
			}
			if said := words.FindStringSubmatch(out); said != nil && strings.Contains(command, "key list") {
				fingerprint = said[1]
			}
			switch {
			case strings.Contains(command, "demo forge"):
				forged = append(forged, out)
			case len(forged) == 2 && strings.Contains(command, "request show") && !strings.Contains(out, "not signed"):
				t.Errorf("the customer is not shown that nobody signed this:\n%s", out)
			}
			typed[name]++
		}
	}
	if typed[first] < 10 || typed[publishes] < 2 || typed[promising] < 1 {
		t.Errorf("too few commands were found: %v", typed)
	}
	if len(forged) != 2 || !strings.Contains(forged[0], "Access began.") ||
		!strings.Contains(forged[1], "Access did not begin") {
		t.Errorf("a forged approval without signatures, and where they are demanded: %q", forged)
	}
	for command := range elsewhere {
		if !seen[command] {
			t.Errorf("no document has %q any more", command)
		}
	}
}

// documents are all of the repository's, the one that comes first in front.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{first}
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".github" {
			return filepath.SkipDir
		}
		name, err := filepath.Rel(root, path)
		if err == nil && filepath.Ext(name) == ".md" && name != first {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	return names
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	must(t, err)
	return string(text)
}

// promises are how the table "What else to try" says what becomes of an intent, and the status that this is.
var promises = []struct{ says, status string }{
	{"refused", "REQUEST_STATUS_REFUSED"},
	{"goes on to the customer", "REQUEST_STATUS_CUSTOMER_NOTIFIED"},
	{"waits for", "REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL"},
	{"access at once", "REQUEST_STATUS_ACTIVE"},
}

var persona = regexp.MustCompile("^`(--as [a-z]+[^`]*)`|^the same `(--as [a-z]+)`")

func TestEachPersonaGetsWhatIsPromised(t *testing.T) {
	home := t.TempDir()
	start(t, home, filepath.Join(home, ".local", "share", "lockbox"))
	base, before, seen := "", "", map[string]int{}
	for _, command := range commands(document(t, first)) {
		if base == "" && strings.Contains(command, "intent submit") {
			base = command
		}
	}
	for line := range strings.Lines(document(t, promising)) {
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
					t.Errorf("%s: %s promises %q", change, promising, cells[1])
				}
			}
		}
	}
	for _, p := range promises {
		if seen[p.says] == 0 {
			t.Errorf("nobody in %s gets %q", promising, p.says)
		}
	}
}

// start is `make run`, with free ports and an empty data directory.
func start(t *testing.T, home, data string) runinfo.Info {
	t.Helper()
	c := shell(context.Background(), home,
		`make run ARGS="--listen 127.0.0.1:0 --mailbox 127.0.0.1:0 --portal 127.0.0.1:0 --log-server 127.0.0.1:0 --issuer 127.0.0.1:0"`)
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
			return info
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("make run has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("make run has started nothing")
	return runinfo.Info{}
}

func run(t *testing.T, home, line string) string {
	t.Helper()
	return ends(t, home, line, "0")
}

// ends runs a line that has to end with an exit code.
func ends(t *testing.T, home, line, code string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := shell(ctx, home, line)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || strconv.Itoa(c.ProcessState.ExitCode()) != code {
		t.Fatalf("$ %s\n%s\n%v, want exit code %s", line, out, err, code)
	}
	t.Logf("$ %s\n%s", line, out)
	return string(out)
}

// shell runs a line as a new user would: at the top of the repository, with nothing in the environment that says where
// Lockbox is.
func shell(ctx context.Context, home, line string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-c", line) // #nosec G204 -- the documents' own commands
	c.Dir = root
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cache, _ := exec.CommandContext(ctx, "go", "env", "GOMODCACHE", "GOCACHE").Output()
	dirs := append(strings.Fields(string(cache)), "", "")
	c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "LOCKBOX_") || strings.HasPrefix(e, "HOME=") || strings.HasPrefix(e, "XDG_") ||
			strings.HasPrefix(e, "MAKE")
	}), "HOME="+home, "GOMODCACHE="+dirs[0], "GOCACHE="+dirs[1])
	return c
}

// commands are the lines that begin with "$ " in a document's consoles, with what they continue on.
func commands(text string) []string {
	var all []string
	inside, continued := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && continued:
			all[len(all)-1] += " " + strings.TrimSpace(strings.TrimSuffix(line, `\`))
		case inside && strings.HasPrefix(line, "$ "):
			command := strings.TrimPrefix(line, "$ ")
			if !exits.MatchString(command) {
				command = comment.ReplaceAllString(command, "")
			}
			all = append(all, strings.TrimSpace(strings.TrimSuffix(command, `\`)))
		}
		continued = inside && strings.HasSuffix(line, `\`)
	}
	return all
}

// block is the first one in a language.
func block(t *testing.T, document, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(document, "```"+language+"\n")
	if !found {
		t.Fatalf("the document has no %s", language)
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
