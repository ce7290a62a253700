package stack_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// onDisk lists the files of the whole installation that hold any of these texts.
func (l *lockbox) onDisk(texts ...string) (found []string) {
	l.Helper()
	must(l, filepath.WalkDir(l.config.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path) // #nosec G304,G122 -- the test's own directory
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server replaces files
		}
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				found = append(found, path)
			}
		}
		return err
	}))
	return found
}

// Whoever gets hold of the server's disk finds no token with which to act as an engineer or an approver: not of an
// intent, whatever became of it, nor of a message that nobody understood.
func TestNoTokenStaysOnDisk(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	var signatures []string
	keep := func(token string) string {
		signatures = append(signatures, token[strings.LastIndex(token, ".")+1:])
		return token
	}

	accepted := l.intent("erin")
	keep(accepted.GetToken())
	id := l.requested(accepted, request.CustomerNotified)
	if o := l.submit(accepted); !o.GetDuplicate() {
		t.Errorf("the same again: %v", o)
	}
	refused := l.intent("erin")
	refused.Justification = "short"
	keep(refused.GetToken())
	if o := l.submit(refused); o.GetRefusal() == nil {
		t.Errorf("accepted: %v", o)
	}
	in := l.intent("erin")
	keep(in.GetToken())
	good, err := proto.Marshal(in)
	must(t, err)
	// JSON permits a space before the header, so that it does not begin as other tokens do.
	parts := strings.Split(keep(l.token("erin")), ".")
	parts[0] = base64.RawURLEncoding.EncodeToString([]byte(` {"alg":"ES256"}`))
	spaced := strings.Join(parts, ".")
	odd, err := proto.Marshal(&lockboxv1.AccessIntent{Id: newID(l), Tenant: bank, Justification: "here: " + spaced})
	must(t, err)
	odd = protowire.AppendString(protowire.AppendTag(odd, 4000, protowire.BytesType), "x")
	future := protowire.AppendString(protowire.AppendTag(bytes.Clone(good), 4000, protowire.BytesType), "x")
	for name, data := range map[string][]byte{
		"a field of the future": future,
		"cut off":               good[:len(good)-3],
		"JSON":                  []byte(`{"tenant":"` + bank + `","token":"` + keep(l.token("erin")) + `"}`),
		"in a text":             odd,
	} {
		l.publish(bank, data)
		if letter := l.setAside("jit-evaluator", data); !bytes.Contains(letter.GetData(), []byte("(token-removed)")) {
			t.Errorf("%s: the letter does not say that there was a token: %q", name, letter.GetData())
		}
	}
	command, err := proto.Marshal(&lockboxv1.Command{Id: newID(l), Tenant: bank, Token: keep(l.token("otto"))})
	must(t, err)
	command = append(command, 0xff)
	l.send(bus.CommandSubject(bus.Client, "approve"), command)
	l.setAside("lockbox-orchestrator", command)
	l.does("otto", &lockboxv1.Command{AggregateId: id, Token: keep(l.token("otto")),
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})

	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		found := l.onDisk(signatures...)
		if len(found) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("tokens are in %v", found)
		}
	}
	if len(l.onDisk("(token-removed)")) == 0 || len(l.onDisk(id)) == 0 {
		t.Error("the search does not find what must be there")
	}
	if letters := l.onDisk(spaced[:len(spaced)-43]); len(letters) > 0 {
		t.Errorf("half a token is in %v", letters)
	}
	l.restart(0)
	if found := l.onDisk(signatures...); len(found) > 0 {
		t.Errorf("after a restart tokens are in %v", found)
	}
	if o := l.submit(l.intent("erin")); o.GetRefusal() != nil || o.GetSequence() == 0 {
		t.Errorf("the next intent: %v", o)
	}
}
