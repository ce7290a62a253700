package verifier_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	projector  = "audit-projector"
	issuer     = "https://login.contoso.example"
	aboutKeys  = "lockbox.event.contoso.keys.keys"
	wholeDay   = 24 * time.Hour
	answerTime = 4 * wholeDay
)

// custody is a log, and a customer in it who has keys.
type custody struct {
	*tale
	anna, otto, carl, offline *at.Key
	genesis                   approval.Genesis
	statements                []approval.Signed
	// stored are the exact bytes of events, and content the bytes without their signatures, by what they are about.
	stored, content map[string][][]byte
	types           map[string][]string
	clock           time.Duration
}

var cosigners = []string{"alpha", "beta", "gamma"}

// newCustody is a customer whose chain of keys has begun in the morning: Anna has a passkey, Otto a security key at the
// command line; two of three witnesses are a quorum.
func newCustody(t *testing.T, demand approval.Demand) *custody {
	t.Helper()
	c := &custody{tale: newTale(t, merkle.Format2), anna: at.New("anna", at.ES256), otto: at.New("otto", at.SKEd25519),
		carl: at.New("carl", at.Ed25519), offline: at.New("offline", at.ECDSA), stored: map[string][][]byte{},
		content: map[string][][]byte{}, types: map[string][]string{}}
	c.genesis = approval.Genesis{
		Format: approval.FormatGenesis, Origin: "log.example/lockbox", Tenant: "contoso",
		Administrators: []approval.Enrolment{enrolled(c.anna, "anna", approval.Administrator),
			enrolled(c.otto, "otto", approval.Administrator)},
		Recovery: c.offline.Key, Threshold: 2, Demand: demand, DelaySeconds: uint64(wholeDay / time.Second),
		RecoverySeconds: uint64(7 * wholeDay / time.Second), Quorum: 2, IssuedAt: approval.TimeText(morning),
		Nonce: at.Hash("genesis"),
	}
	for _, name := range cosigners {
		w := witnessOf(t, name)
		c.witnesses = append(c.witnesses, w)
		c.genesis.Witnesses = append(c.genesis.Witnesses, w.VerifierKey())
	}
	slices.Sort(c.genesis.Witnesses)
	slices.SortFunc(c.genesis.Administrators, func(a, b approval.Enrolment) int {
		return slices.Compare([]byte(keyID(t, a.Key)), []byte(keyID(t, b.Key)))
	})
	statement, err := c.genesis.Bytes()
	must(t, err)
	c.waits(0)
	genesis := at.Signed(approval.FormatGenesis, statement, c.anna, c.otto, c.offline)
	c.statements = append(c.statements, genesis)
	c.keys(orchestrator, func(e *lockboxv1.Event) {
		e.Fact = &lockboxv1.Event_KeyChainBegan{KeyChainBegan: &lockboxv1.KeyChainBegan{Genesis: logged.ToProto(genesis)}}
	})
	return c
}

func keyID(t *testing.T, k approval.Key) string {
	t.Helper()
	id, err := k.ID()
	must(t, err)
	return id
}

func enrolled(k *at.Key, name, role string) approval.Enrolment {
	return approval.Enrolment{Key: k.Key, Role: role,
		Person: approval.Person{Account: approval.Account{Issuer: issuer, Subject: name}, Human: name}}
}

// waits has it be so long after the morning.
func (c *custody) waits(d time.Duration) { c.clock, c.now = d, morning.Add(d) }

func (c *custody) fingerprint() [32]byte {
	return approval.Digest(approval.FormatGenesis, []byte(c.statements[0].Statement))
}

// records stores the next event of an aggregate, as its writer signs it.
func (c *custody) records(kind, id, writer string, set func(*lockboxv1.Event)) {
	c.t.Helper()
	about := "lockbox.event.contoso." + kind + "." + id
	e := &lockboxv1.Event{Id: fmt.Sprintf("019cadc7-0000-7000-8000-%012d", c.sequence+1), Tenant: "contoso", Kind: kind,
		AggregateId: id, Version: uint64(len(c.stored[about]) + 1), Time: timestamppb.New(c.now)}
	set(e)
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	must(c.t, err)
	subject := fmt.Sprintf("%s.%d.%s", about, e.GetVersion(), fact.TypeOf(e))
	u := signed.Unsigned{Subject: subject, Content: content}
	if before := c.content[about]; len(before) > 0 {
		u.Previous = signed.Hash(before[len(before)-1])
	}
	all, err := c.deployed.writer(writer).Sign([]signed.Unsigned{u})
	must(c.t, err)
	c.content[about], c.stored[about] = append(c.content[about], content), append(c.stored[about], all[0])
	c.types[about] = append(c.types[about], fact.TypeOf(e))
	c.add(subject, all[0])
}

func (c *custody) keys(writer string, set func(*lockboxv1.Event)) {
	c.t.Helper()
	c.records("keys", "keys", writer, set)
}

func (c *custody) request(writer string, set func(*lockboxv1.Event)) {
	c.t.Helper()
	c.records("request", "r1", writer, set)
}

func customerActor(name string) *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Issuer: issuer, Subject: name,
		Human: name}}
}

// asks has the customer be asked for access to two machines, for eight hours; so many have to approve.
func (c *custody) asks(required uint32) {
	c.t.Helper()
	c.request(evaluator, func(e *lockboxv1.Event) {
		e.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{
			Issuer: "https://login.nimbus.example", Subject: "erin"}}
		e.Fact = &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{
			SubscriptionId: "production", ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
			ResourceIds: []string{"/subscriptions/production/vm-1", "/subscriptions/production/vm-2"}}}}
	})
	c.request(evaluator, func(e *lockboxv1.Event) {
		e.Fact = &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
			Duration: durationpb.New(8 * time.Hour)}}
	})
	c.request(orchestrator, func(e *lockboxv1.Event) {
		n := &lockboxv1.CustomerNotified{ExpiresAt: timestamppb.New(c.now.Add(answerTime)), RequiredApprovals: required}
		for _, name := range []string{"anna", "otto", "carl"} {
			n.Approvers = append(n.Approvers, &lockboxv1.Approver{Person: customerActor(name).GetPerson()})
		}
		e.Fact = &lockboxv1.Event_CustomerNotified{CustomerNotified: n}
	})
}

// decision is what somebody signs about the request, as it stands now.
func (c *custody) decision(verb, name string, k *at.Key, required uint64) approval.Decision {
	c.t.Helper()
	fingerprint := c.fingerprint()
	d := approval.Decision{
		Head: approval.Head{Format: approval.FormatDecision, Origin: "log.example/lockbox",
			Genesis: hex.EncodeToString(fingerprint[:]), Tenant: "contoso",
			By: approval.Account{Issuer: issuer, Subject: name}, Key: k.ID(), Language: "en",
			Text: approval.TextHash("Erin asks for …"), IssuedAt: approval.TimeText(c.now), Nonce: at.Hash(name + verb)},
		Decision: verb, Request: "r1", Subscription: "production", ResourceType: "compute/virtual-machines",
		Scenario: "memory-dump", Engineer: approval.Account{Issuer: "https://login.nimbus.example", Subject: "erin"},
		Resources: []string{},
	}
	for i, data := range c.stored[aboutR1] {
		d.Events = append(d.Events, approval.EventOf(uint64(i+1), c.types[aboutR1][i], data))
	}
	if verb != approval.Revoke {
		d.AnswerBy, d.Approvals = approval.TimeText(morning.Add(wholeDay+answerTime)), required
	}
	if verb == approval.Approve {
		d.Resources, d.Seconds = []string{"/subscriptions/production/vm-1"}, 3600
	}
	return d
}

func signs(t *testing.T, d approval.Decision, k *at.Key) *lockboxv1.SignedStatement {
	t.Helper()
	statement, err := d.Bytes()
	must(t, err)
	return logged.ToProto(at.Signed(approval.FormatDecision, statement, k))
}

// approves has somebody approve with a key; nil: unsigned. change changes the event.
func (c *custody) approves(name string, k *at.Key, required uint64, change ...func(*lockboxv1.Event)) {
	c.t.Helper()
	var by *lockboxv1.SignedStatement
	if k != nil {
		by = signs(c.t, c.decision(approval.Approve, name, k, required), k)
	}
	c.request(orchestrator, func(e *lockboxv1.Event) {
		e.Actor, e.Signed = customerActor(name), by
		e.Fact = &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
			Duration: durationpb.New(time.Hour), ResourceIds: []string{"/subscriptions/production/vm-1"}}}
		for _, set := range change {
			set(e)
		}
	})
}

// changes adds a change to the chain of keys.
func (c *custody) changes(change approval.KeyChange, keys ...*at.Key) {
	c.t.Helper()
	fingerprint, format := c.fingerprint(), approval.FormatKeys
	if len(c.statements) == 1 {
		format = approval.FormatGenesis
	}
	previous := approval.Digest(format, []byte(c.statements[len(c.statements)-1].Statement))
	change.Format, change.Origin, change.Tenant = approval.FormatKeys, "log.example/lockbox", "contoso"
	change.Genesis, change.Previous = hex.EncodeToString(fingerprint[:]), hex.EncodeToString(previous[:])
	change.Number, change.IssuedAt = uint64(len(c.statements)+1), approval.TimeText(c.now)
	change.Nonce = at.Hash(change.Previous)
	statement, err := change.Bytes()
	must(c.t, err)
	is := at.Signed(approval.FormatKeys, statement, keys...)
	c.statements = append(c.statements, is)
	c.keys(orchestrator, func(e *lockboxv1.Event) {
		e.Fact = &lockboxv1.Event_KeyChainChanged{KeyChainChanged: &lockboxv1.KeyChainChanged{Change: logged.ToProto(is)}}
	})
}

func (c *custody) removes(k *at.Key, by *at.Key) {
	c.t.Helper()
	c.changes(approval.KeyChange{Change: approval.RemoveKey, Remove: k.ID(), Keys: []approval.Enrolment{},
		Recovery: []approval.Key{}}, by)
}

// sees returns evidence of what the witnesses see now.
func (c *custody) sees() *lockboxv1.KeysSighted {
	c.t.Helper()
	r := c.receipt(aboutKeys, []merkle.Wanted{{TenantSequence: 1}})
	seen, err := json.Marshal(merkle.Seen{Tenant: "contoso", Checkpoint: c.note, Opening: r.Opening,
		Directory: r.Directory})
	must(c.t, err)
	head, err := json.Marshal(c.heads.View().Prove(aboutKeys))
	must(c.t, err)
	return &lockboxv1.KeysSighted{LogKeys: c.public, Seen: seen, Head: head}
}

func (c *custody) sighted(f *lockboxv1.KeysSighted) {
	c.t.Helper()
	c.keys(projector, func(e *lockboxv1.Event) { e.Fact = &lockboxv1.Event_KeysSighted{KeysSighted: f} })
}

// places are those of an aggregate's events in the tenant's tree.
func (c *custody) places(about string) (all []uint64) {
	c.t.Helper()
	for n := uint64(1); n <= c.sequence; n++ {
		events, err := merkle.ProveEvents(c.leaves, c.own, []merkle.Wanted{{TenantSequence: n}})
		must(c.t, err)
		if len(events[0].Subject) > len(about) && events[0].Subject[:len(about)+1] == about+"." {
			all = append(all, n)
		}
	}
	return all
}

// proves is the receipt of an aggregate as it is now.
func (c *custody) proves(about string) merkle.Receipt {
	c.t.Helper()
	r := c.shows(about, c.places(about)...)
	r.Writers = nil
	signer, _ := noteKey(c.t, signed.DeploymentName("log.example/lockbox"))
	for _, name := range []string{evaluator, orchestrator, projector} {
		seed := sha256.Sum256([]byte(name))
		text, err := signed.Certificate{Origin: "log.example/lockbox", Identity: name,
			Key: signed.PublicOf(ed25519.NewKeyFromSeed(seed[:])), From: morning,
			Until: morning.Add(30 * wholeDay)}.Issue(signer)
		must(c.t, err)
		r.Writers = append(r.Writers, string(text))
	}
	return r
}

func encoded(t *testing.T, r merkle.Receipt) []byte {
	t.Helper()
	text, err := r.Encode()
	must(t, err)
	return text
}

// file is the approval file as of now.
func (c *custody) file() []byte {
	c.t.Helper()
	return c.fileOf(c.proves(aboutR1), c.proves(aboutKeys))
}

func (c *custody) fileOf(request, keys merkle.Receipt) []byte {
	c.t.Helper()
	f, err := logged.File(encoded(c.t, request), encoded(c.t, keys))
	must(c.t, err)
	return f
}

// policy demands two of the witnesses.
func (c *custody) policy() string {
	text := "log " + c.public + "\n"
	for _, name := range cosigners {
		text += "witness " + name + " " + witnessOf(c.t, name).VerifierKey() + "\n"
	}
	return text + "group enough 2 alpha beta gamma\nquorum enough\n"
}

func (c *custody) pin() string {
	return approval.Text(c.fingerprint(), approval.FingerprintWords)
}

// approved is a request that Otto approved with his security key, a day after the genesis.
func approvedCustody(t *testing.T) *custody {
	t.Helper()
	c := newCustody(t, approval.DemandSignatures)
	c.waits(wholeDay)
	c.asks(1)
	c.waits(wholeDay + time.Hour)
	c.approves("otto", c.otto, 1)
	return c
}

func savedAs(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

const hour = time.Hour

func denies(by *lockboxv1.SignedStatement) func(*lockboxv1.Event) {
	return func(e *lockboxv1.Event) {
		e.Actor, e.Signed = customerActor("otto"), by
		e.Fact = &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{}}
	}
}

func revokes(by *lockboxv1.SignedStatement) func(*lockboxv1.Event) {
	return func(e *lockboxv1.Event) {
		e.Actor, e.Signed = customerActor("anna"), by
		e.Fact = &lockboxv1.Event_AccessRevoked{AccessRevoked: &lockboxv1.AccessRevoked{}}
	}
}

func grants(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}}
}

func asksQuestion(e *lockboxv1.Event) {
	e.Actor = customerActor("anna")
	e.Fact = &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{}}
}

func lasts(d time.Duration) func(*lockboxv1.Event) {
	return func(e *lockboxv1.Event) { e.GetCustomerApproved().Duration = durationpb.New(d) }
}

func by(name string) func(*lockboxv1.Event) {
	return func(e *lockboxv1.Event) { e.Actor = customerActor(name) }
}

// approvesAs records an approval with any statement.
func (c *custody) approvesAs(name string, by *lockboxv1.SignedStatement) {
	c.t.Helper()
	c.approves(name, nil, 1, func(e *lockboxv1.Event) { e.Signed = by })
}

// adds enrols a key of an approver's, by both administrators.
func (c *custody) adds(k *at.Key, name string) {
	c.t.Helper()
	c.changes(approval.KeyChange{Change: approval.AddKey, Keys: []approval.Enrolment{enrolled(k, name, approval.Approver)},
		Recovery: []approval.Key{}}, c.anna, c.otto, k)
}

// asksBy is asks with a deadline.
func (c *custody) asksBy(required uint32, deadline time.Time) {
	c.t.Helper()
	was := c.now
	c.now = deadline.Add(-answerTime)
	c.asks(required)
	c.now = was
	c.sign()
}

// witnessed has the witnesses cosign from now on.
func (c *custody) witnessed() {
	c.witnesses = nil
	for _, name := range cosigners {
		c.witnesses = append(c.witnesses, witnessOf(c.t, name))
	}
}

// again makes the proof of a receipt anew that shows fewer events.
func (c *custody) again(r merkle.Receipt) merkle.Receipt {
	c.t.Helper()
	var wanted []merkle.Wanted
	for _, e := range r.Events {
		wanted = append(wanted, merkle.Wanted{TenantSequence: e.TenantSequence})
	}
	var err error
	r.Events, r.Proof, err = merkle.ProveTogether(c.leaves, c.own, wanted)
	must(c.t, err)
	return r
}

// newStranger is the key of another deployment.
func newStranger(t *testing.T) string {
	t.Helper()
	_, key := noteKey(t, signed.DeploymentName("log.example/other"))
	return key
}
