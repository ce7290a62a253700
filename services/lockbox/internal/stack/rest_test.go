package stack_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/portal"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// signer is an engineering tool that asks by REST.
type signer struct {
	*lockbox
	name string
	key  ed25519.PrivateKey
}

// withREST starts a Lockbox with a portal, and with tools that may sign: one for the bank's machines, one for all
// customers.
func withREST(t *testing.T) (l *lockbox, ticketing, deploying signer) {
	t.Helper()
	l = start(t, request.DefaultTerms())
	tools := []signer{{l, "ticketing", nil}, {l, "deploying", nil}}
	for i := range tools {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		der, err := x509.MarshalPKIXPublicKey(public)
		must(t, err)
		tools[i].key = private
		may := evaluator.Unlimited(tools[i].name)
		may.PublicKey = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if i == 0 {
			may.Tenants, may.Services = []string{bank}, []string{"compute/*"}
		}
		l.config.Tools = append(l.config.Tools, may)
	}
	l.config.Tools = append(l.config.Tools, evaluator.Unlimited(bus.PortalTool))
	l.config.Portal = &portal.Config{Listen: "127.0.0.1:0", Organisations: demo.Organisations(l.issuer)}
	l.restart(0)
	return l, tools[0], tools[1]
}

// body is an intent as a tool writes it.
func (l *lockbox) body(in *lockboxv1.AccessIntent) []byte {
	l.Helper()
	in = proto.CloneOf(in)
	in.Token = ""
	data, err := protojson.Marshal(in)
	must(l, err)
	return data
}

// asked is what REST answered.
type asked struct {
	status   int
	location string
	outcome  *lockboxv1.IntentOutcome
	problem  struct{ Code, Field, Rule, Detail string }
}

// post asks for access by REST. Headers are pairs.
func (l *lockbox) post(tenant, query, token string, body []byte, headers ...string) (a asked) {
	l.Helper()
	r, err := http.NewRequestWithContext(l.Context(), http.MethodPost,
		l.stack.PortalURL()+"/lockbox/v1/tenants/"+tenant+"/intents"+query, bytes.NewReader(body))
	must(l, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	must(l, err)
	defer w.Body.Close()
	data, err := io.ReadAll(w.Body)
	must(l, err)
	a.status, a.location, a.outcome = w.StatusCode, w.Header.Get("Location"), new(lockboxv1.IntentOutcome)
	if w.StatusCode < http.StatusBadRequest {
		must(l, protojson.Unmarshal(data, a.outcome))
	} else {
		must(l, json.Unmarshal(data, &a.problem))
	}
	return a
}

// signature signs as the tool says that it does.
func (s signer) signature(tenant string, dryRun bool, token string, body []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(s.key,
		request.SignedStatement(s.name, tenant, dryRun, token, body)))
}

// asks signs an intent and asks with it.
func (s signer) asks(in *lockboxv1.AccessIntent) asked {
	s.Helper()
	body := s.body(in)
	return s.post(in.GetTenant(), "", in.GetToken(), body, "Lockbox-Tool", s.name, "Lockbox-Signature",
		s.signature(in.GetTenant(), false, in.GetToken(), body))
}

// hears listens to what happens to the tool's requests.
func (s signer) hears() *nats.Subscription {
	s.Helper()
	nc := s.connect(bus.Tool(s.name))
	sub, err := nc.SubscribeSync("lockbox.update." + s.name + ".>")
	must(s, err)
	must(s, nc.Flush())
	return sub
}

// since asks what happened to the tool's requests after a sequence.
func (s signer) since(after uint64) (all []*lockboxv1.ToolUpdate, through uint64) {
	s.Helper()
	return s.updatesOf(s.connect(bus.Tool(s.name)), s.name, after)
}

// updatesOf asks, over a tool's connection, until there is no more, and again while nobody answers yet.
func (l *lockbox) updatesOf(nc *nats.Conn, tool string, after uint64) (all []*lockboxv1.ToolUpdate, through uint64) {
	l.Helper()
	for deadline := time.Now().Add(patience); ; {
		data, err := proto.Marshal(&lockboxv1.ListUpdates{After: after, Limit: 2})
		must(l, err)
		m, err := nc.Request(bus.UpdatesSubject(tool), data, patience)
		if errors.Is(err, nats.ErrNoResponders) && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		must(l, err)
		list := new(lockboxv1.UpdateList)
		must(l, proto.Unmarshal(m.Data, list))
		if list.GetRefusal() != nil {
			l.Fatal(list.GetRefusal())
		}
		if all, after = append(all, list.GetUpdates()...), list.GetThrough(); !list.GetMore() {
			return all, after
		}
	}
}

// follow reads updates until one says that a request has come to a status.
func follow(l *lockbox, sub *nats.Subscription, until request.Status) (said []*lockboxv1.ToolUpdate) {
	l.Helper()
	for {
		m, err := sub.NextMsg(patience)
		must(l, err)
		u := new(lockboxv1.ToolUpdate)
		must(l, proto.Unmarshal(m.Data, u))
		if said = append(said, u); u.GetStatus() == until {
			return said
		}
	}
}

// R62, R68: a tool submits by REST with its signature, gets the verdict, and follows its request to the end; another
// tool sees nothing of it.
func TestAToolSubmitsByRESTAndFollowsItsRequest(t *testing.T) {
	t.Parallel()
	l, ticketing, deploying := withREST(t)
	heard, others := ticketing.hears(), deploying.hears()

	in := l.intent("erin")
	a := ticketing.asks(in)
	o := a.outcome
	if a.status != http.StatusAccepted || a.location != "/lockbox/v1/requests/"+in.GetId() ||
		o.GetIntentId() != in.GetId() || o.GetSequence() == 0 || o.GetStatus() != "REQUEST_STATUS_SUBMITTED" ||
		o.GetNextStep() != lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION || o.GetNext() == "" ||
		o.GetEvaluation() != "EVALUATION_OUTCOME_CUSTOMER_DECIDES" || len(o.GetReasons()) == 0 ||
		len(o.GetReasons()) != len(o.GetCodedReasons()) ||
		o.GetPortalUrl() != l.stack.PortalURL()+"/provider/requests/"+in.GetId() {
		t.Errorf("%+v", a)
	}
	s := l.reaches(in.GetId(), request.CustomerNotified)
	if s.Tool != "ticketing" || s.Requester.GetPerson().GetDisplayName() != "Erin Ellis" {
		t.Errorf("it is %s's, for %v", s.Tool, s.Requester)
	}
	if d := s.ExpiresAt().Sub(o.GetDeadline().AsTime()); d < 0 || d > time.Minute {
		t.Errorf("the deadline is %v, and was said to be %v at the earliest", s.ExpiresAt(), o.GetDeadline().AsTime())
	}
	again := ticketing.asks(in)
	if again.status != http.StatusAccepted || !again.outcome.GetDuplicate() ||
		again.outcome.GetStatus() != "REQUEST_STATUS_CUSTOMER_NOTIFIED" {
		t.Errorf("the same again: %+v", again)
	}

	said := follow(l, heard, request.CustomerNotified)
	last := said[len(said)-1]
	if last.GetRequestId() != in.GetId() || last.GetTenant() != bank || last.GetEventType() != "CustomerNotified" ||
		!last.GetDeadline().AsTime().Equal(s.ExpiresAt()) ||
		last.GetNextStep() != lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION || last.GetSequence() == 0 {
		t.Errorf("%v", last)
	}
	const secret = "Only the bank and its provider know this."
	yes := approve(in.GetId())
	yes.GetApprove().Reason = secret
	l.does("otto", yes)
	said = append(said, follow(l, heard, request.Active)...)
	l.does("otto", revoke(in.GetId(), secret))
	said = append(said, follow(l, heard, request.Revoked)...)
	var types []string
	for _, u := range said {
		if types = append(types, u.GetEventType()); strings.Contains(u.String(), secret) {
			t.Errorf("it says what people wrote: %v", u)
		}
	}
	if want := []string{"AccessRequested", "AccessEvaluated", "CustomerNotified", "CustomerApproved", "AccessGranted",
		"AccessRevoked"}; !slices.Equal(types, want) {
		t.Errorf("it is told of %v", types)
	}

	// Whoever was away asks.
	missed, through := ticketing.since(0)
	if len(missed) != len(said) {
		t.Errorf("%d of %d are told again", len(missed), len(said))
	}
	for i, u := range missed {
		if !proto.Equal(u, said[i]) {
			t.Errorf("it is told %v and then %v", said[i], u)
		}
	}
	if more, _ := ticketing.since(through); len(more) > 0 {
		t.Errorf("it is told twice of %v", more)
	}
	if other, _ := deploying.since(0); len(other) > 0 {
		t.Errorf("the other tool is told of %v", other)
	}
	if n, _, err := others.Pending(); n > 0 || err != nil {
		t.Errorf("the other tool heard %d messages, %v", n, err)
	}

	// An engineer asks without a tool: that is the portal's.
	own := l.intent("erin")
	if a := l.post(bank, "", own.GetToken(), l.body(own)); a.status != http.StatusAccepted {
		t.Errorf("%+v", a)
	}
	if s := l.state(own.GetId()); s.Tool != bus.PortalTool {
		t.Errorf("it is %s's", s.Tool)
	}
	l.holds()
}

// R62: the portal cannot speak for a tool, and no signature is worth anything for something else than it was made for.
func TestASignatureIsForOneIntentOfOneToolAtOneCustomer(t *testing.T) {
	t.Parallel()
	l, ticketing, deploying := withREST(t)
	in := l.intent("erin")
	signed := ticketing.asks(in)
	if signed.status != http.StatusAccepted {
		t.Fatalf("%+v", signed)
	}
	l.reaches(in.GetId(), request.CustomerNotified)
	used := l.body(in)
	worth := ticketing.signature(bank, false, in.GetToken(), used)
	fresh := func() (*lockboxv1.AccessIntent, []byte) {
		in := l.intent("erin")
		return in, l.body(in)
	}
	before := l.decided()
	headers := func(tool, signature string) []string {
		return []string{"Lockbox-Tool", tool, "Lockbox-Signature", signature}
	}
	next, body := fresh()
	atHealth := l.intent("erin")
	atHealth.Tenant, atHealth.SubscriptionId, atHealth.TicketId = "", demo.HealthClinic, demo.HealthTicket
	atHealth.ResourceIds = []string{demo.Machine(demo.HealthClinic, "x")}
	elsewhere := l.body(atHealth)
	storage := l.intent("erin")
	storage.ResourceType = "storage/storage-accounts"
	other := []byte("{}")
	for name, row := range map[string]struct {
		tenant, query, token string
		body                 []byte
		headers              []string
		status               int
		field                string
	}{
		"a forged one": {bank, "", next.GetToken(), body, headers("ticketing",
			deploying.signature(bank, false, next.GetToken(), body)), http.StatusUnauthorized, "signature"},
		"another tool's": {bank, "", next.GetToken(), body, headers("deploying",
			ticketing.signature(bank, false, next.GetToken(), body)), http.StatusUnauthorized, "signature"},
		"a replay with another intent": {bank, "", in.GetToken(), body, headers("ticketing", worth),
			http.StatusUnauthorized, "signature"},
		"a replay for another engineer": {bank, "", l.token("bob"), used, headers("ticketing", worth),
			http.StatusUnauthorized, "signature"},
		"one for another customer": {health, "", atHealth.GetToken(), elsewhere, headers("deploying",
			deploying.signature(bank, false, atHealth.GetToken(), elsewhere)), http.StatusUnauthorized, "signature"},
		"a dry run's": {bank, "", next.GetToken(), body, headers("ticketing",
			ticketing.signature(bank, true, next.GetToken(), body)), http.StatusUnauthorized, "signature"},
		"of a tool that there is not": {bank, "", next.GetToken(), body, headers("nobody",
			ticketing.signature(bank, false, next.GetToken(), body)), http.StatusUnauthorized, "signature"},
		"of a tool that signs nothing": {bank, "", next.GetToken(), body, headers(tool,
			ticketing.signature(bank, false, next.GetToken(), body)), http.StatusUnauthorized, "signature"},
		"beyond the tool's customers": {health, "", atHealth.GetToken(), elsewhere, headers("ticketing",
			ticketing.signature(health, false, atHealth.GetToken(), elsewhere)), http.StatusForbidden, "tenant"},
		"beyond the tool's services": {bank, "", storage.GetToken(), l.body(storage), headers("ticketing",
			ticketing.signature(bank, false, storage.GetToken(), l.body(storage))), http.StatusForbidden, "resource_type"},
		"none": {bank, "", next.GetToken(), body, []string{"Lockbox-Tool", "ticketing"}, http.StatusBadRequest,
			"Lockbox-Signature"},
		"one that is no Base64": {bank, "", next.GetToken(), body, headers("ticketing", "!"), http.StatusBadRequest,
			"Lockbox-Signature"},
		"one over nothing": {bank, "", next.GetToken(), other, headers("ticketing",
			ticketing.signature(bank, false, next.GetToken(), other)), http.StatusBadRequest, "id"},
		"a customer's token":   {bank, "", l.token("otto"), body, nil, http.StatusForbidden, "token"},
		"a forged token":       {bank, "", forged(t, l), body, nil, http.StatusUnauthorized, "token"},
		"another path":         {health, "", next.GetToken(), body, nil, http.StatusBadRequest, "tenant"},
		"the intent, unsigned": {bank, "", in.GetToken(), used, nil, http.StatusConflict, "id"},
	} {
		a := l.post(row.tenant, row.query, row.token, row.body, row.headers...)
		if a.status != row.status || a.problem.Field != row.field || a.problem.Rule == "" || a.problem.Detail == "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if after := l.decided(); after != before {
		t.Errorf("something was decided after %d, at %d", before, after)
	}

	// On the bus, too: whoever holds another tool's key cannot publish what a tool has signed.
	sealed := &lockboxv1.AccessIntent{Tenant: bank, Token: next.GetToken(), SignedBy: "ticketing", Signed: body,
		Signature: ed25519.Sign(ticketing.key, request.SignedStatement("ticketing", bank, false, next.GetToken(), body))}
	if r := l.publishes(sealed, next.GetId()).GetRefusal(); r.GetCode() != forbidden || r.GetField() != "signed_by" {
		t.Errorf("another tool publishes it: %v", r)
	}
	// None of that is a dead letter: it was understood.
	l.nothingSetAside()
}

// publishes publishes a message as the console, and returns the outcome of an intent.
func (l *lockbox) publishes(in *lockboxv1.AccessIntent, id string) *lockboxv1.IntentOutcome {
	l.Helper()
	o, err := bus.Caller{Conn: l.connect(bus.Tool(tool))}.Submit(l.Context(), in.GetToken(), tool, id, in, patience)
	must(l, err)
	if o == nil {
		l.Fatal("there is no outcome")
	}
	return o
}

// A dry run says what would become of an intent, and leaves no trace.
func TestADryRunRecordsNothing(t *testing.T) {
	t.Parallel()
	l, ticketing, _ := withREST(t)
	before := l.decided()
	in := l.intent("erin")
	body := l.body(in)
	for name, headers := range map[string][]string{
		"an engineer's": nil,
		"a tool's": {"Lockbox-Tool", "ticketing", "Lockbox-Signature",
			ticketing.signature(bank, true, in.GetToken(), body)},
	} {
		a := l.post(bank, "?dry_run=true", in.GetToken(), body, headers...)
		if o := a.outcome; a.status != http.StatusOK || a.location != "" || !o.GetDryRun() || o.GetSequence() != 0 ||
			o.GetDuplicate() || o.GetStatus() != "REQUEST_STATUS_SUBMITTED" || o.GetPortalUrl() != "" ||
			o.GetNextStep() != lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION || o.GetDeadline() == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	wrong := l.intent("erin")
	wrong.Scenario = "mind-reading"
	if a := l.post(bank, "?dry_run=true", wrong.GetToken(), l.body(wrong)); a.status != http.StatusBadRequest ||
		a.problem.Field != "scenario" {
		t.Errorf("what would be refused: %+v", a)
	}
	if after := l.decided(); after != before {
		t.Errorf("something was decided after %d, at %d", before, after)
	}
	// Nor does it count: the limits are as they were.
	l.requested(in, request.CustomerNotified)
}

// Only what cannot be understood is a dead letter; what is refused is answered and logged.
func TestADeadLetterIsWhatCannotBeUnderstood(t *testing.T) {
	t.Parallel()
	l, _, _ := withREST(t)
	signedID := newID(t)
	notOf := func(change func(*lockboxv1.AccessIntent)) *lockboxv1.AccessIntent {
		in := l.intent("erin")
		change(in)
		return in
	}
	for name, in := range map[string]*lockboxv1.AccessIntent{
		"a field":     notOf(func(in *lockboxv1.AccessIntent) { in.Justification = "" }),
		"a token":     notOf(func(in *lockboxv1.AccessIntent) { in.Token = forged(t, l) }),
		"a customer":  notOf(func(in *lockboxv1.AccessIntent) { in.Tenant = "nobody-here" }),
		"a scenario":  notOf(func(in *lockboxv1.AccessIntent) { in.Scenario = "mind-reading" }),
		"a ticket":    notOf(func(in *lockboxv1.AccessIntent) { in.TicketId = "#404" }),
		"a time":      notOf(func(in *lockboxv1.AccessIntent) { in.Duration = nil; in.Emergency = true }),
		"a signature": {Tenant: bank, SignedBy: tool, Signed: []byte("{}"), Signature: make([]byte, 64)},
	} {
		id := in.GetId()
		if len(in.GetSigned()) > 0 {
			id = signedID
			in.Signed = []byte(`{"id": "` + id + `"}`)
		}
		if o := l.publishes(in, id); o.GetRefusal() == nil || o.GetNextStep() != lockboxv1.NextStep_NEXT_STEP_NOTHING {
			t.Errorf("%s is not refused: %v", name, o)
		}
	}
	l.nothingSetAside()
	data, err := proto.Marshal(l.intent("erin"))
	must(t, err)
	nc := l.connect(bus.Tool(tool))
	for name, bytes := range map[string][]byte{
		"no message":       []byte("x"),
		"an unknown field": append(slices.Clone(data), 0xfa, 0x3f, 0x01, 'x'), // 1023
		"no signed intent": marshalled(t, &lockboxv1.AccessIntent{Tenant: bank, SignedBy: tool, Signed: []byte("{")}),
		"two intents in one": marshalled(t, &lockboxv1.AccessIntent{Tenant: bank, SignedBy: tool, Signed: []byte("{}"),
			Scenario: "memory-dump"}),
	} {
		must(t, nc.Publish("lockbox.intent."+tool+"."+bank, bytes))
		if letter := l.setAside("jit-evaluator", bytes); letter.GetRefusal() == nil {
			t.Errorf("%s: %v", name, letter)
		}
	}
}

func marshalled(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	must(t, err)
	return data
}

// The example of proto/README.md signs as the evaluator verifies, in a language of its own.
func TestAProgramInPythonAsksByREST(t *testing.T) {
	t.Parallel()
	l, ticketing, _ := withREST(t)
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(ticketing.key)
	must(t, err)
	key, token := filepath.Join(dir, "ticketing.pem"), filepath.Join(dir, "token")
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	must(t, os.WriteFile(token, []byte(l.token("erin")+"\n"), 0o600))
	for name, row := range map[string]struct {
		more   []string
		change func(*lockboxv1.AccessIntent)
		exit   int
		says   string
	}{
		"signed":   {[]string{"--tool", "ticketing", "--key", key}, nil, 0, `"nextStep": "NEXT_STEP_CUSTOMER_DECISION"`},
		"dry":      {[]string{"--tool", "ticketing", "--key", key, "--dry-run"}, nil, 0, `"dryRun": true`},
		"unsigned": {nil, nil, 0, `"status": "REQUEST_STATUS_SUBMITTED"`},
		"refused": {nil, func(in *lockboxv1.AccessIntent) { in.TicketId = "#404" }, 1,
			`"field": "ticket_id"`},
		"of another tool": {[]string{"--tool", "deploying", "--key", key}, nil, 1, `"field": "signature"`},
	} {
		in := l.intent("erin")
		if in.Id = ""; row.change != nil {
			row.change(in)
		}
		c := exec.CommandContext(t.Context(), "/usr/bin/python3", append([]string{contract + "/examples/ask_by_rest.py",
			"--url", l.stack.PortalURL(), "--tenant", bank, "--token-file", token}, row.more...)...) // #nosec G204 -- our own example
		var complaints bytes.Buffer
		c.Stdin, c.Stderr = bytes.NewReader(l.body(in)), &complaints
		out, err := c.Output()
		if wrong := (*exec.ExitError)(nil); err != nil && !errors.As(err, &wrong) {
			t.Fatal(err)
		}
		if got := c.ProcessState.ExitCode(); got != row.exit || !strings.Contains(string(out), row.says) {
			t.Errorf("%s: exit code %d, %s%s", name, got, out, &complaints)
		}
	}
}
