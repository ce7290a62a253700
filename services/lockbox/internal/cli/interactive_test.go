package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"golang.org/x/crypto/ssh"
)

// screen is a terminal's output that can be read while it is written.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// shows waits until the screen has shown something.
func (s *screen) shows(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.String(),
		want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never shows %q:\n%s", want, s)
		}
	}
}

// sitting runs a command line for a person at a terminal of 80 columns, who types this.
func sitting(ctx context.Context, dir, typed string, out *screen, args ...string) int {
	return cli.Run(ctx, args, cli.Environment{
		In: strings.NewReader(typed), Out: out, Err: out, InTerminal: true, OutTerminal: true, ErrTerminal: true,
		Width:  func() int { return 80 },
		Getenv: func(key string) string { return map[string]string{"LOCKBOX_DATA": dir, "LANG": "C.UTF-8"}[key] },
		Now:    time.Now, Zone: time.UTC,
		Secret: func(context.Context, string) ([]byte, error) { return []byte("correct horse"), nil },
	})
}

func TestAPersonConfirmsWhatTheyAllow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	out := &screen{}
	approve := []string{"--as", "otto", "approval", "approve", uuid(1), "--for", "2h"}
	if code := sitting(t.Context(), dir, "n\n", out, approve...); code != 1 {
		t.Errorf("exit code %d after a no, want 1:\n%s", code, out)
	}
	for _, want := range []string{"This allows Erin Ellis (Nimbus Cloud) to do", "for 2h",
		"moment access begins.\n", "Allow it? [y/N]", "nothing was done"} {
		out.shows(t, want)
	}
	if got := s.last(&s.commands); got != "" {
		t.Errorf("after a no, %s was sent", got)
	}
	out = &screen{}
	if code := sitting(t.Context(), dir, "y\n", out, approve...); code != 0 {
		t.Errorf("exit code %d after a yes:\n%s", code, out)
	}
	out.shows(t, "Approved. \x1b[32mActive\x1b[m: access exists and ends in 1h 59m")
	if got := s.last(&s.commands); !strings.Contains(got, `"seen_version":"3"`) {
		t.Errorf("sent was %s, without the version that was shown", got)
	}
}

func TestAPersonSeesWhatTheySetAside(t *testing.T) {
	dir := t.TempDir()
	s := startStub(t, dir)
	must(t, s.store(bus.Evaluator, "lockbox.event.meadowbank.request.garbage.1.AccessRequested", "garbage"))
	out := &screen{}
	aside := []string{"--as", "olga", "audit", "set-aside", "4", "--reason", "A mistake."}
	if code := sitting(t.Context(), dir, "n\n", out, aside...); code != 1 {
		t.Errorf("exit code %d after a no, want 1:\n%s", code, out)
	}
	for _, want := range []string{"Message 4 on", "lockbox.event.meadowbank.request.garbage.1.AccessRequested", "7 bytes",
		"795b6904e54f82411df4b0e27a373a55eea3f9d66dac5a9bce1dd92f7b401da5", "Set it aside? [y/N]", "nothing was done"} {
		out.shows(t, want)
	}
	if got := s.last(&s.commands); got != "" {
		t.Errorf("after a no, %s was sent", got)
	}
	if code := sitting(t.Context(), dir, "y\n", out, aside...); code != 0 {
		t.Errorf("exit code %d after a yes:\n%s", code, out)
	}
}

// Where the deployment's key is known, what its writer has not signed is none of the events that are replayed, and can
// be set aside.
func TestWhatNobodySignedIsNoEventToWhoReadsTheStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startStub(t, dir)
	aside := []string{"--as", "olga", "audit", "set-aside", "3", "--reason", "Nobody wrote it."}
	out := &screen{}
	if code := sitting(t.Context(), dir, "y\n", out, aside...); code == 0 {
		t.Errorf("an event was set aside:\n%s", out)
	}
	out.shows(t, "message 3 is an event")

	keys := filepath.Join(dir, "keys")
	if _, err := (writerkeys.Maker{Dir: keys, Origin: "log.example/lockbox", Now: time.Now()}).Make(nil); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(keys, writerkeys.PublicKeyFile)
	must(t, writerkeys.Pin(public, 3))
	info, err := runinfo.Read(dir)
	must(t, err)
	info.WritersKey = public
	must(t, runinfo.Write(dir, info))
	out = &screen{}
	if code := sitting(t.Context(), dir, "", out, "audit", "replay"); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out.shows(t, "bytes that are not an event")
	if code := sitting(t.Context(), dir, "y\n", out, aside...); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out.shows(t, "Message 3 on")
}

func TestAPersonIsAskedForAReason(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	out := &screen{}
	if code := sitting(t.Context(), dir, "not during the audit\n", out, "--as", "otto", "approval", "deny",
		uuid(1)); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if got := s.last(&s.commands); !strings.Contains(got, `"reason":"not during the audit"`) {
		t.Errorf("sent was %s", got)
	}
}

func TestAWatchedListIsRedrawnAndLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	out := &screen{}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- sitting(ctx, dir, "", out, "--as", "otto", "approval", "list", "--watch") }()
	out.shows(t, "\x1b[?1049h")
	out.shows(t, "expires in 3d 22h")
	if sitting(t.Context(), dir, "", &screen{}, "--as", "fleur", "approval", "approve", uuid(1), "--yes") != 0 {
		t.Fatalf("not approved: %s", s.last(&s.commands))
	}
	out.shows(t, "Nothing waits for your decision")
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
	if !strings.HasSuffix(out.String(),
		"\x1b[?1049lNothing waits for your decision; --all shows what waits for others.\n") {
		t.Errorf("what was seen last does not stay:\n%q", out)
	}
}

func TestAWatchedRequestCountsDown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startStub(t, dir)
	out := &screen{}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- sitting(ctx, dir, "", out, "--as", "otto", "request", "watch", uuid(3)) }()
	out.shows(t, "\r\x1b[K\x1b[32mActive\x1b[m: access exists and ends in 7h 59m")
	if sitting(t.Context(), dir, "", &screen{}, "--as", "grace", "approval", "revoke", uuid(3), "--reason",
		"enough") != 0 {
		t.Fatal("not revoked")
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
	cancel()
	out.shows(t, "Revoked\x1b[m: ended now")
}

func TestLongReplaysTellHowFarTheyHaveCome(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startStub(t, dir)
	out, errs := &screen{}, &screen{}
	code := cli.Run(t.Context(), []string{"audit", "replay", "-o", "json"}, cli.Environment{
		In: strings.NewReader(""), Out: out, Err: errs, ErrTerminal: true, Width: func() int { return 80 },
		Getenv: func(key string) string { return map[string]string{"LOCKBOX_DATA": dir}[key] },
		Now:    time.Now, Zone: time.UTC,
	})
	if code != 0 || strings.Count(out.String(), "\n") != 3 || errs.String() != "" {
		t.Errorf("a short one: exit code %d, %q, %q", code, out, errs)
	}
}

func TestInterruptedIsAnExitCodeOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	s.stop()
	ctx, cancel := context.WithCancel(t.Context())
	out := &screen{}
	code := make(chan int, 1)
	go func() { code <- sitting(ctx, dir, "", out, "--as", "otto", "request", "list", "--timeout", "1m") }()
	time.AfterFunc(100*time.Millisecond, cancel)
	if got := <-code; got != 130 {
		t.Errorf("exit code %d, want 130:\n%s", got, out)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

// A person reads all of what they sign, and with a no nothing is signed and nothing is sent.
func TestAPersonReadsWhatTheySign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startStub(t, dir)
	s.begin(true)
	file := filepath.Join(dir, "green")
	must(t, os.WriteFile(file, privateFile(t, "green", "correct horse"), 0o600))
	approve := []string{"--as", "otto", "approve", uuid(1), "--for", "2h", "--sign-with", file}
	out := &screen{}
	if code := sitting(t.Context(), dir, "n\n", out, approve...); code != 1 {
		t.Errorf("exit code %d after a no, want 1:\n%s", code, out)
	}
	for _, want := range []string{"You sign this:", "You approve this request.", "Request: " + uuid(1),
		"Engineer: erin, account at", "    - " + vm[:40], "Duration: at most 2 hours", "Words         ",
		"With          green (" + file[:20], "This allows Erin Ellis", "Allow it? [y/N]", "nothing was done"} {
		out.shows(t, want)
	}
	for line := range strings.Lines(out.String()) {
		if n := ansi.StringWidth(strings.TrimRight(line, "\n")); n > 80 && !strings.Contains(line, dir[:10]) {
			t.Errorf("a line takes %d columns: %s", n, line)
		}
	}
	if got := s.last(&s.commands); got != "" || strings.Contains(out.String(), "Passphrase") {
		t.Errorf("after a no, %s was sent:\n%s", got, out)
	}
	out = &screen{}
	if code := sitting(t.Context(), dir, "y\n", out, approve...); code != 0 {
		t.Errorf("exit code %d after a yes:\n%s", code, out)
	}
	out.shows(t, "Signed with green, words ")
	if got := s.last(&s.commands); !strings.Contains(got, `"signed"`) {
		t.Errorf("sent was %s", got)
	}
	// A revocation with a reason is not held up by a question, and is read all the same.
	out = &screen{}
	if code := sitting(t.Context(), dir, "", out, "--as", "otto", "revoke", uuid(1), "--reason", "done", "--sign-with",
		file); code != 0 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out.shows(t, "You revoke this access.")
	out.shows(t, "Signed with green, words ")
}

// privateFile is the file of an SSH key, encrypted with a passphrase.
func privateFile(t *testing.T, name, passphrase string) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKeyWithPassphrase(keyOf(name).Signer(), name, []byte(passphrase))
	must(t, err)
	return pem.EncodeToMemory(block)
}
