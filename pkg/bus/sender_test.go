package bus_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// speaking connects with an identity's key and speaks the server's own language, which lets it send what no client
// library would.
func speaking(t *testing.T, b *journaltest.Bus, id bus.Identity) net.Conn {
	t.Helper()
	conn, err := b.InProcessConn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	key, err := nkeys.FromSeed(b.Keys[id])
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign([]byte(info.Nonce))
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, `CONNECT {"headers":true,"nkey":%q,"sig":%q}`+"\r\nPING\r\n", public,
		base64.RawURLEncoding.EncodeToString(signature))
	if err != nil {
		t.Fatal(err)
	}
	for line != "PONG\r\n" {
		if line, err = in.ReadString('\n'); err != nil || strings.HasPrefix(line, "-ERR") {
			t.Fatal(line, err)
		}
	}
	return conn
}

// A sender cannot speak as another: who it is stands in the subject, on which only its own account can send. It does
// not stand in Nats-Request-Info: some of these headers survive in the place of the server's own.
//
// control: nist:AC-6
func TestR52ASenderCannotSpeakAsAnother(t *testing.T) {
	const forged = `Nats-Request-Info: {"acc":"PORTAL"}` + "\r\n"
	b := journaltest.New(t, 1)
	orchestrator := b.Connect(t, bus.Orchestrator)
	heard, err := orchestrator.SubscribeSync(bus.AnyCommand)
	if err != nil {
		t.Fatal(err)
	}
	if err := orchestrator.Flush(); err != nil {
		t.Fatal(err)
	}
	for id, account := range map[bus.Identity]string{bus.Client: "EDGE", bus.Portal: "PORTAL"} {
		conn := speaking(t, b, id)
		for name, headers := range map[string]string{
			"none":                "",
			"its own":             forged + "\r\n",
			"twice":               forged + forged + "\r\n",
			"behind another":      ":Nats-Request-InfoNats-Request-Info\r\n" + forged + "\r\n",
			"with an end within":  ":Nats-Request-InfoNats-Request-Info\r\n" + forged + "\r\nX: \r\n\r\n",
			"without an end":      ":Nats-Request-InfoNats-Request-Info\r\n" + forged + "X: xx",
			"in lower case":       strings.ToLower(forged) + "\r\n",
			"a second line break": "X: y\n" + forged + "\r\n",
		} {
			headers = "NATS/1.0\r\n" + headers
			if name == "none" {
				headers += "\r\n"
			}
			_, err := fmt.Fprintf(conn, "HPUB %s %d %d\r\n%sx\r\n", bus.CommandSubject(id, "approve"),
				len(headers), len(headers)+1, headers)
			if err != nil {
				t.Fatal(err)
			}
			m, err := heard.NextMsg(10 * time.Second)
			if err != nil {
				t.Fatalf("%s, with headers %s: %v", id, name, err)
			}
			verb, sender, err := bus.ParseCommand(m.Subject)
			if err != nil || verb != "approve" || sender != account {
				t.Errorf("%s, with headers %s: speaks as %s on %s: %v", id, name, sender, m.Subject, err)
			}
			t.Logf("%s, with headers %s: %s, Nats-Request-Info %q", id, name, m.Subject, m.Header.Values("Nats-Request-Info"))
		}
	}
	// It may send on no other account's subject, and an answer that is directed there does not arrive.
	for id, other := range map[bus.Identity]bus.Identity{bus.Client: bus.Portal, bus.Portal: bus.Client} {
		nc := b.Connect(t, id)
		if m, err := nc.Request(bus.CommandSubject(other, "approve"), nil, 200*time.Millisecond); err == nil {
			t.Errorf("%s speaks as %s: %v", id, other, m)
		}
	}
	if m, err := heard.NextMsg(100 * time.Millisecond); err != nats.ErrTimeout { //nolint:errorlint // as it is documented
		t.Errorf("the orchestrator heard %v, %v", m, err)
	}
	for _, subject := range []string{"", "lockbox.command.approve", "lockbox.command.EDGE.approve.x",
		"lockbox.query.a.b"} {
		if _, _, err := bus.ParseCommand(subject); err == nil {
			t.Errorf("%q has a sender", subject)
		}
	}
}
