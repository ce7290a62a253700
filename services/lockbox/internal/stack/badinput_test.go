package stack_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// publish puts bytes where a tool's intents go.
func (l *lockbox) publish(tenant string, data []byte) {
	l.Helper()
	js, err := bus.JetStream(l.conns[1])
	must(l, err)
	subject, err := bus.IntentSubject(tool, tenant)
	must(l, err)
	_, err = js.PublishMsg(l.Context(), &nats.Msg{Subject: subject, Data: data})
	must(l, err)
}

// setAside waits for the dead letter of these bytes, of which it holds all but signatures.
func (l *lockbox) setAside(service string, data []byte) *lockboxv1.DeadLetter {
	l.Helper()
	var letter *lockboxv1.DeadLetter
	sum := sha256.Sum256(data)
	for deadline := time.Now().Add(patience); letter == nil; time.Sleep(5 * time.Millisecond) {
		must(l, l.watch.DeadLetters(l.Context(), 1, func(s journal.DeadLetter) error {
			if s.Letter.GetService() == service && bytes.Equal(s.Letter.GetDataSha256(), sum[:]) &&
				len(s.Letter.GetData()) == len(data) {
				letter = s.Letter
			}
			return nil
		}))
		if time.Now().After(deadline) {
			l.Fatalf("%s has set nothing like that aside", service)
		}
	}
	return letter
}

// nothingSetAside expects that there is no dead letter: what was refused was understood.
func (l *lockbox) nothingSetAside() {
	l.Helper()
	must(l, l.watch.DeadLetters(l.Context(), 1, func(d journal.DeadLetter) error {
		l.Errorf("it is set aside: %v", d.Letter)
		return nil
	}))
}

func TestAnIntentThatCannotBeUnderstoodIsSetAsideWithItsBytes(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	before := l.decided()
	good, err := proto.Marshal(l.intent("erin"))
	must(t, err)
	future := protowire.AppendString(protowire.AppendTag(bytes.Clone(good), 4000, protowire.BytesType), "news")
	big := l.intent("erin")
	big.Justification = strings.Repeat("a", input.MaxMessage)
	oversized, err := proto.Marshal(big)
	must(t, err)
	for name, data := range map[string][]byte{
		"truncated": good[:len(good)-3], "a field of the future": future, "oversized": oversized,
		"no message at all": []byte("\xff\xff hello"), "empty": {},
	} {
		l.publish(bank, data)
		if r := l.setAside("jit-evaluator", data).GetRefusal(); r.GetCode() != invalid || r.GetField() == "" ||
			r.GetRule() == "" {
			t.Errorf("%s: set aside without a refusal that names field and rule: %v", name, r)
		}
	}
	if after := l.decided(); after != before {
		t.Errorf("something was decided after %d, at %d", before, after)
	}
}

func TestAnIntentThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	used := l.requested(l.intent("erin"), request.CustomerNotified)
	for name, c := range map[string]struct {
		change func(*lockboxv1.AccessIntent)
		field  string
		code   lockboxv1.RefusalCode
	}{
		"a justification that nobody sees": {
			func(in *lockboxv1.AccessIntent) { in.Justification = "\u202e\x1b[2K\u200b\u2060fix it" }, "justification", invalid},
		"a ticket that is a book": {
			func(in *lockboxv1.AccessIntent) { in.TicketId = strings.Repeat("SR-1\r\nBcc: x@y.example", 10) }, "ticket_id",
			invalid},
		"resources of another subscription": {func(in *lockboxv1.AccessIntent) {
			in.ResourceIds = []string{demo.Machine("other", "x")}
		}, "resource_ids", invalid},
		"more time than the provider allows": {
			func(in *lockboxv1.AccessIntent) { in.Duration = durationpb.New(9 * time.Hour) }, "duration", invalid},
		"an id used for something else": {func(in *lockboxv1.AccessIntent) { in.Id = used }, "id",
			conflict},
		"a customer's token": {func(in *lockboxv1.AccessIntent) { in.Token = l.token("otto") },
			"token", unauthenticated},
		"no token": {func(in *lockboxv1.AccessIntent) { in.Token = "" }, "token",
			unauthenticated},
		"a token of somebody else's making": {func(in *lockboxv1.AccessIntent) { in.Token = forged(t, l) },
			"token", unauthenticated},
		"a token that was good two hours ago": {func(in *lockboxv1.AccessIntent) {
			in.Token, _ = l.issuer.Token("erin", time.Now().Add(-2*time.Hour))
		}, "token", unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			in := l.intent("erin")
			in.Justification = "Another intent, " + name + "."
			c.change(in)
			before := l.decided()
			if r := l.submit(in).GetRefusal(); r.GetCode() != c.code || r.GetField() != c.field || r.GetRule() == "" {
				t.Errorf("want %v for %s, got %v", c.code, c.field, r)
			}
			if after := l.decided(); after != before {
				t.Errorf("something was decided after %d, at %d", before, after)
			}
		})
	}
	l.nothingSetAside()
}

func TestAnIntentIdIsUsedOnceInAllTenants(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	in := l.intent("erin")
	l.requested(in, request.CustomerNotified)
	if o := l.submit(in); !o.GetDuplicate() || o.GetRefusal() != nil {
		t.Errorf("the same intent again is one request: %v", o)
	}
	other := proto.CloneOf(in)
	other.Tenant, other.SubscriptionId, other.TicketId = health, demo.HealthClinic, demo.HealthTicket
	other.ResourceIds = []string{demo.Machine(demo.HealthClinic, "x")}
	if r := l.submit(other).GetRefusal(); r.GetCode() != conflict || r.GetField() != "id" {
		t.Errorf("the id of another tenant's request must be refused: %v", r)
	}
	if n := len(l.history(journal.Replay{Kind: "request", ID: in.GetId(), Type: "AccessRequested"})); n != 1 {
		t.Errorf("%d requests have this id", n)
	}
}

func TestCommandsThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	c := approve(id)
	c.Id, c.Tenant, c.Token = newID(t), bank, l.token("otto")
	good, err := proto.Marshal(c)
	must(t, err)
	future := protowire.AppendString(protowire.AppendTag(bytes.Clone(good), 4000, protowire.BytesType), "news")
	for name, data := range map[string][]byte{"truncated": good[:len(good)-5], "a field of the future": future} {
		if r := l.send(bus.CommandSubject(bus.Client, "approve"), data).GetRefusal(); r.GetCode() != invalid {
			t.Errorf("%s: %v", name, r)
		}
		l.setAside("lockbox-orchestrator", data)
	}
	if r := l.send(bus.CommandSubject(bus.Client, "deny"), good).GetRefusal(); r.GetField() != "action" {
		t.Errorf("a command on another verb's subject: %v", r)
	}
	for _, tenant := range []string{"*", ">", "a.b", "meadowbank.*", "meadow\u200bbank", "me\u0430dowbank", "Meadowbank"} {
		bad := approve(id)
		bad.Tenant = tenant
		l.mayNot("otto", bad, invalid, "bad input")
	}
	for _, about := range []string{"*", ">", id + ".*", strings.ToUpper(id), ""} {
		l.mayNot("otto", approve(about), invalid, "bad input")
	}
	l.mayNot("otto", deny(id, ""), invalid, "R28")
	expired := approve(id)
	expired.Token, _ = l.issuer.Token("otto", time.Now().Add(-2*time.Hour))
	l.mayNot("otto", expired, unauthenticated, "R13")
	if s := l.state(id); s.Status != request.CustomerNotified {
		t.Errorf("one of these had an effect: %v", s.Status)
	}
}

// forged is a token that says everything right and is signed by another key.
func forged(t *testing.T, l *lockbox) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{}).WithType("JWT"))
	must(t, err)
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": l.issuer.ProviderIssuer().URL, "aud": "lockbox", "sub": "erin", "exp": time.Now().Add(time.Hour).Unix(),
		"amr": []string{"mfa"},
	}).Serialize()
	must(t, err)
	return token
}
