package verifier_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/openlockbox/lockbox/services/verifier/internal/command"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"
)

// stored is an event as it was shipped, with its subject.
func stored(t *testing.T, name string) (subject string, data []byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "proto", "testdata", "golden", name+".bin"))
	must(t, err)
	e := new(lockboxv1.Event)
	must(t, proto.Unmarshal(data, e))
	typ, _, _ := strings.Cut(name, "-")
	about := fmt.Sprintf("lockbox.event.%s.%s.%s", e.GetTenant(), e.GetKind(), e.GetAggregateId())
	return fmt.Sprintf("%s.%d.%s", about, e.GetVersion(), typ), data
}

// written is a log that holds a request's first events, and the file of its receipt; the second event is withheld.
func written(t *testing.T, change func(i int, subject *string, data *[]byte)) (h *history, public, file string) {
	t.Helper()
	h, public, r := receiptOf(t, merkle.Format2, change)
	return h, public, saved(t, r)
}

func saved(t *testing.T, r merkle.Receipt) (file string) {
	t.Helper()
	text, err := r.Encode()
	must(t, err)
	file = filepath.Join(t.TempDir(), "receipt.json")
	must(t, os.WriteFile(file, text, 0o600))
	return file
}

func receiptOf(
	t *testing.T, format uint8, change func(i int, subject *string, data *[]byte),
) (h *history, public string, r merkle.Receipt) {
	t.Helper()
	// Zeros instead of chance: what is written is the same each time.
	private, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "log.example/lockbox")
	must(t, err)
	signer, err := note.NewSigner(private)
	must(t, err)
	h = begin(t, signer)
	h.format = format
	var wanted []merkle.Wanted
	about := ""
	for i, name := range []string{"AccessRequested", "AccessEvaluated", "AccessGranted-named"} {
		subject, data := stored(t, name)
		about = strings.Join(strings.Split(subject, ".")[:5], ".")
		change(i, &subject, &data)
		h.add(subject, data)
		wanted = append(wanted, merkle.Wanted{TenantSequence: h.sequence, Withhold: i == 1})
	}
	return h, public, h.receipt(about, wanted)
}

// receipt proves these events by the last checkpoint.
func (h *history) receipt(about string, wanted []merkle.Wanted) merkle.Receipt {
	h.t.Helper()
	t := h.t
	r := merkle.Receipt{Tenant: "contoso", About: about, Checkpoint: h.note}
	var err error
	r.Events, err = merkle.ProveEvents(h.leaves, h.own, wanted)
	must(t, err)
	r.Opening, err = h.directory.Open(len(h.beside))
	must(t, err)
	r.Directory, err = merkle.ProveLast(h.globals, h.tree)
	must(t, err)
	if h.format == merkle.Format2 {
		r.Head, err = h.heads.View().Receipt(about)
		must(t, err)
	}
	return r
}

func unchanged(int, *string, *[]byte) {}

// run types a command.
func run(t *testing.T, env map[string]string, args ...string) (code int, out, errors string) {
	t.Helper()
	var o, e bytes.Buffer
	getenv := func(name string) string { return env[name] }
	code = command.Run(t.Context(), args, command.Environment{Out: &o, Err: &e, Getenv: getenv})
	return code, o.String(), e.String()
}

func TestAReceiptIsCheckedOffline(t *testing.T) {
	_, public, file := written(t, unchanged)
	code, out, _ := run(t, nil, "receipt", file, "--log-key", public)
	for _, want := range []string{
		"in this order", "versions 1 to 3: all that the log committed to", "Access requested",
		"AccessEvaluated (withheld; its place is proven)", "Access granted", "contoso, slot 0 of the log log.example/lockbox",
		"Lockbox: compute/virtual-machines, memory-dump, change",
		"checkpoint of size 3; no time is proved", "by no witness", "Written   not checked",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d, without %q: %s", code, want, out)
		}
	}
	code, out, _ = run(t, map[string]string{"LOCKBOX_LOG_KEY": public}, "receipt", "--json", file)
	var r verifier.Receipt
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.Events) != 3 {
		t.Fatalf("%d %v: %s", code, err, out)
	}
	if !r.All || *r.Head != (verifier.Head{Count: 3, Version: 3}) {
		t.Errorf("it does not show all: %s", out)
	}
	if !r.Events[1].Withheld || len(r.Events[1].Event) > 0 || len(r.Events[0].Event) == 0 {
		t.Errorf("the second event is withheld, and only that: %s", out)
	}
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, bytes.Replace(text, []byte(`"withheld": true`), []byte(`"withheld": false`), 1), 0o600))
	fails(t, 10, "not proven: "+file, nil, "receipt", file, "--log-key", public)
}

// Mail programs, editors and shells save a file with other line ends or a mark; it says the same.
func TestASavedCopyStillHolds(t *testing.T) {
	_, public, file := written(t, unchanged)
	text, err := os.ReadFile(file)
	must(t, err)
	crlf := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	wide := func(mark string, order binary.AppendByteOrder, of []byte) []byte {
		out := []byte(mark)
		for _, r := range utf16.Encode([]rune(string(of))) {
			out = order.AppendUint16(out, r)
		}
		return out
	}
	for name, saved := range map[string][]byte{
		"as it was written":    text,
		"CRLF":                 crlf,
		"CR":                   bytes.ReplaceAll(text, []byte("\n"), []byte("\r")),
		"a mark":               append([]byte("\xef\xbb\xbf"), text...),
		"a mark and CRLF":      append([]byte("\xef\xbb\xbf"), crlf...),
		"no last line end":     bytes.TrimSuffix(text, []byte("\n")),
		"several at the end":   append(bytes.Clone(text), "\r\n\n\n"...),
		"PowerShell's":         wide("\xff\xfe", binary.LittleEndian, crlf),
		"the other way around": wide("\xfe\xff", binary.BigEndian, text),
	} {
		must(t, os.WriteFile(file, saved, 0o600))
		if code, out, errors := run(t, nil, "receipt", file, "--log-key", public); code != 0 ||
			!strings.Contains(out, "The receipt holds") {
			t.Errorf("%s: %d %s%s", name, code, out, errors)
		}
	}
}

func TestACopyThatWasChangedIsNotProvenAndSaysWhatMayHaveHappened(t *testing.T) {
	_, public, file := written(t, unchanged)
	text, err := os.ReadFile(file)
	must(t, err)
	var compact bytes.Buffer
	must(t, json.Compact(&compact, text))
	for want, saved := range map[string][]byte{
		"it was formatted anew":  compact.Bytes(),
		"the file is empty":      []byte("\r\n"),
		"it is a web page":       []byte("<!DOCTYPE html><title>Sign in</title>"),
		"something stands":       append([]byte("From: erin\n\n"), text...),
		"it is not whole":        text[:len(text)-20],
		"something follows":      append(bytes.Clone(text), "{}\n"...),
		"is not what was record": bytes.Replace(text, []byte(`"bytes": "C`), []byte(`"bytes": "D`), 1),
	} {
		must(t, os.WriteFile(file, saved, 0o600))
		code, _, errors := run(t, nil, "receipt", file, "--log-key", public)
		if code != 10 || !strings.Contains(errors, want) {
			t.Errorf("%s: %d %s", want, code, errors)
		}
	}
}

// What is proven to be in the log may still be nonsense, which the log's keeper wrote.
func TestWhatIsRecordedMustAgreeWithItself(t *testing.T) {
	for name, change := range map[string]func(subject *string, e *lockboxv1.Event){
		"of another tenant":  func(_ *string, e *lockboxv1.Event) { e.Tenant = "sakura" },
		"of another kind":    func(_ *string, e *lockboxv1.Event) { e.Kind = "ticket" },
		"of another request": func(_ *string, e *lockboxv1.Event) { e.AggregateId += "0" },
		"another version":    func(_ *string, e *lockboxv1.Event) { e.Version++ },
		"a report as well":   func(_ *string, e *lockboxv1.Event) { e.ReportKey = "1" },
		"another fact":       func(_ *string, e *lockboxv1.Event) { e.Fact = &lockboxv1.Event_AccessReleased{} },
		"without a fact":     func(_ *string, e *lockboxv1.Event) { e.Fact = nil },
		"under another type": func(subject *string, _ *lockboxv1.Event) { *subject += "X" },
	} {
		_, public, file := written(t, func(i int, subject *string, data *[]byte) {
			if i != 2 {
				return
			}
			e := new(lockboxv1.Event)
			must(t, proto.Unmarshal(*data, e))
			change(subject, e)
			var err error
			*data, err = proto.Marshal(e)
			must(t, err)
		})
		t.Run(name, func(t *testing.T) { fails(t, 10, "is recorded so", nil, "receipt", file, "--log-key", public) })
	}
}

func TestTheCommandsAskALog(t *testing.T) {
	h, public, _ := written(t, unchanged)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	token, state := filepath.Join(dir, "token"), filepath.Join(dir, "state.json")
	must(t, os.WriteFile(token, []byte("a-token\n"), 0o600))
	env := map[string]string{"LOCKBOX_LOG": server.URL, "LOCKBOX_LOG_KEY": public}
	watch := []string{"watch", "--tenant", "contoso", "--token-file", token, "--state", state, "--once"}
	code, out, why := run(t, env, watch...)
	if code != 0 || !strings.Contains(out, "contoso: 3 events, log size 3: first seen") {
		t.Errorf("%d %s %s", code, out, why)
	}
	must(t, os.WriteFile(token, []byte("another"), 0o600))
	fails(t, 4, "who are you?", env, watch...)
	mail := fmt.Sprintf("%d:%s", h.tree.N, hex.EncodeToString(h.tree.Hash[:16]))
	code, out, why = run(t, env, "compare", mail)
	if code != 0 || !strings.Contains(out, "nothing before it was rewritten") {
		t.Errorf("%d %s %s", code, out, why)
	}
	fails(t, 10, "NOT THE ONE OF THE MAIL", env, "compare", strings.Replace(mail, ":", ":00", 1))
	server.Close()
	fails(t, 9, "does not answer", env, "compare", mail)
}

func TestHowItIsUsed(t *testing.T) {
	for line, want := range map[string]string{
		"": "verifier COMMAND", "--help": "Exit codes", "receipt --help": "Usage: verifier receipt FILE",
		"watch -h": "--max-age", "evidence --help": "Usage: verifier evidence FILE", "compare --help": "size:root",
		"witness --help":     "never run two of one key",
		"witness key --help": "--name",
	} {
		if code, out, _ := run(t, nil, strings.Fields(line)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: %d %s", line, code, out)
		}
	}
	for line, want := range map[string]string{
		"verify":                           `no command "verify"`,
		"receipt":                          "missing argument: FILE",
		"receipt a b --log-key k":          "unexpected: b",
		"receipt a":                        "whose signature you trust",
		"receipt a --log-key k --policy p": "leave out --log-key",
		"receipt a --log-key k":            "neither a file nor",
		"watch --once":                     "name the log",
		"watch --log http://l":             "--tenant",
		"watch --log http://l --tenant t":  "--token-file",
		"watch --log http://l --tenant t --token-file f --interval 1ms": "at least 1s",
		"watch --nothing":                        "not defined",
		"compare 1:2 --log http://l --log-key k": "size:root",
		"witness key":                            "--name is required",
	} {
		fails(t, 2, want, nil, strings.Fields(line)...)
	}
}

// fails types a command that has to end with that exit code and say that.
func fails(t *testing.T, code int, says string, env map[string]string, args ...string) {
	t.Helper()
	got, _, why := run(t, env, args...)
	if got != code || !strings.Contains(why, says) || strings.Contains(why, "R13") {
		t.Errorf("%q ends with %d, want %d, and says %q, want %q", args, got, code, why, says)
	}
}

func TestAWitnessIsServed(t *testing.T) {
	_, public, _ := written(t, unchanged)
	dir := t.TempDir()
	key := filepath.Join(dir, "witness.key")
	code, vkey, why := run(t, nil, "witness", "key", "--name", "witness.example", "--key", key)
	if code != 0 || !strings.HasPrefix(vkey, "witness.example+") {
		t.Fatalf("%d %s %s", code, vkey, why)
	}
	fails(t, 1, "exists", nil, "witness", "key", "--name", "witness.example", "--key", key)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := &until{said: make(chan string, 1)}
	ended := make(chan int)
	go func() {
		args := []string{"witness", "--key", key, "--state", dir, "--log", public, "--listen", "127.0.0.1:0"}
		ended <- command.Run(ctx, args, command.Environment{Out: told, Err: told, Getenv: func(string) string { return "" }})
	}()
	ready := <-told.said
	if !strings.Contains(ready, "witness at 127.0.0.1:") || !strings.Contains(ready, strings.TrimSpace(vkey)) {
		t.Errorf("it says %s", ready)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// until passes on the first thing that is written to it.
type until struct{ said chan string }

func (u *until) Write(p []byte) (int, error) {
	select {
	case u.said <- string(p):
	default:
	}
	return len(p), nil
}
