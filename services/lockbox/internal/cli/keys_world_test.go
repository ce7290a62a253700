package cli_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// keys are the bank's, decided by the domain itself, so that only what would count is taken. Grace and Otto administer.
type keys struct {
	state   keychain.State
	tenant  tenant.State
	events  []*lockboxv1.KeyEvent
	witness string
}

func newKeys(w *world) *keys {
	s := story.New(time.Now().Add(-time.Hour))
	grace, err := w.whoIs("grace")
	check(err)
	grace.Person.Human = "" // an administrator names an account
	s.Create(bank, "Meadow Bank", w.issuer.TenantIssuer(bank), grace)
	otto, err := w.whoIs("otto")
	check(err)
	admin := story.Assign("otto-too", otto, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
		lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT)
	admin.Tenant = bank
	s.Command(grace, admin)
	_, witness, err := note.GenerateKey(rand.Reader, "witness.example")
	check(err)
	return &keys{tenant: s.States.Tenant(bank), witness: witness}
}

// whoIs is a persona as their token says.
func (w *world) whoIs(persona string) (*lockboxv1.Actor, error) {
	token, err := w.issuer.Token(persona, time.Now())
	if err != nil {
		return nil, err
	}
	self, err := w.self(token)
	return self.GetActor(), err
}

// decideKeys does what a command about keys wants.
func (w *world) decideKeys(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	self, err := w.self(c.GetToken())
	if err != nil {
		return nil, err
	}
	if _, err := aggregate.Of(c); err != nil {
		return nil, err
	}
	k := w.keys
	e, err := keychain.Decide(k.state, k.tenant, aggregate.Command{Command: c, By: self.GetActor()}, time.Now())
	if err != nil {
		return nil, err
	}
	if e == nil {
		return &lockboxv1.CommandReply{Sequence: w.sequence, Message: "nothing to do: it is so already"}, nil
	}
	e.Id = uuid(7000 + int(w.sequence))
	stored, err := proto.Marshal(e)
	if err != nil {
		return nil, err
	}
	sequence := w.next()
	k.state = keychain.Evolve(k.state, sequence, e)
	typ := aggregate.TypeOf(e)
	if e.GetKeyChainBegan() != nil || e.GetKeyChainChanged() != nil {
		k.events = append(k.events, &lockboxv1.KeyEvent{Version: e.GetVersion(), Type: typ, Sequence: sequence,
			Stored: stored})
	}
	return &lockboxv1.CommandReply{Sequence: sequence, Version: e.GetVersion(), EventId: e.GetId()}, nil
}

// keysView answers GetKeys.
func (w *world) keysView() *lockboxv1.KeysView {
	k := w.keys
	v := &lockboxv1.KeysView{Origin: "log.example/lockbox", Witnesses: []string{k.witness}, Quorum: 1, Events: k.events,
		Version: k.state.Version}
	if k.state.Chain != nil {
		digest := k.state.Chain.Fingerprint()
		v.Fingerprint, v.Demand = digest[:], string(k.state.Demand(keychain.Now))
		for _, e := range k.state.Chain.Keys() {
			v.Keys = append(v.Keys, w.keyView(e))
		}
		recovery := k.state.Chain.Genesis().Recovery
		id, err := recovery.ID()
		check(err)
		v.Keys = append(v.Keys, &lockboxv1.KeyView{KeyId: unhex(id), Kind: "ssh", Role: "recovery",
			Standing: lockboxv1.KeyStanding_KEY_STANDING_COUNTS, Enrolment: asJSON(recovery), Since: timestamppb.Now()})
	}
	for _, o := range k.state.Offers {
		enrolment, err := o.Bytes()
		check(err)
		v.Keys = append(v.Keys, &lockboxv1.KeyView{KeyId: unhex(o.ID), Person: w.issuer.Person(o.Person.Subject),
			Label: o.Label, Kind: o.Key.Kind, Role: o.Role, Standing: lockboxv1.KeyStanding_KEY_STANDING_OFFERED,
			Since: timestamppb.New(o.At), Enrolment: enrolment})
	}
	for _, o := range k.state.Open {
		v.Offered = append(v.Offered, &lockboxv1.OfferedChange{Change: keychain.ToProto(o.Signed), By: o.By,
			At: timestamppb.New(o.At), Version: o.Version})
	}
	return v
}

func (w *world) keyView(e approval.Enrolled) *lockboxv1.KeyView {
	enrolment, err := e.Bytes()
	check(err)
	v := &lockboxv1.KeyView{KeyId: unhex(e.ID), Person: w.issuer.Person(e.Person.Subject),
		Label: w.keys.state.Labels[e.ID], Kind: e.Key.Kind, Role: e.Role, Enrolment: enrolment,
		Standing: lockboxv1.KeyStanding_KEY_STANDING_WAITING,
		Since:    timestamppb.New(w.keys.state.Enrolled[e.ID])}
	switch {
	case e.Removed != 0:
		v.Standing = lockboxv1.KeyStanding_KEY_STANDING_REMOVED
	case e.Counts(keychain.Now):
		v.Standing = lockboxv1.KeyStanding_KEY_STANDING_COUNTS
	}
	return v
}

// signingView answers GetSigning about a request, or about the tenant.
func (w *world) signingView(ask *lockboxv1.GetSigning, subject string) (*lockboxv1.SigningView, error) {
	s := w.keys.state
	view := &lockboxv1.SigningView{Origin: "log.example/lockbox", Tenant: bank, Demand: string(s.Demand(keychain.Now))}
	exact := []keychain.Exact{w.last()}
	if !ask.GetTenantItself() {
		v, err := named(w.requests, ask.GetRequestId(), (*lockboxv1.RequestView).GetRequestId)
		if err != nil {
			return nil, err
		}
		exact = w.exactly(v)
	}
	for _, e := range exact {
		hash := sha256.Sum256(e.Data)
		view.Events = append(view.Events, &lockboxv1.RestsOn{Version: e.Version, Type: e.Type, Sha256: hash[:],
			Stored: e.Data})
	}
	if s.Chain == nil {
		return view, nil
	}
	digest := s.Chain.Fingerprint()
	view.Genesis = digest[:]
	for _, e := range s.KeysOf(w.issuer.Person(subject), keychain.Now) {
		view.Keys = append(view.Keys, w.keyView(e))
	}
	return view, nil
}

// exactly is a request's history as it is stored.
func (w *world) exactly(v *lockboxv1.RequestView) (list []keychain.Exact) {
	events := w.history(v)
	if v.GetStatus() == request.Active {
		last := events[len(events)-1]
		granted := proto.CloneOf(last)
		granted.Version++
		granted.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: v.GetGrant()}
		events = append(events, granted)
	}
	for i, e := range events {
		data, err := (proto.MarshalOptions{Deterministic: true}).Marshal(e)
		check(err)
		list = append(list, keychain.Exact{Sequence: uint64(i + 1), Version: e.GetVersion(), Type: aggregate.TypeOf(e),
			Data: data})
	}
	return list
}

// last is the tenant's last event as it is stored.
func (w *world) last() keychain.Exact {
	return keychain.Exact{Sequence: 1, Version: w.tenant.GetVersion(), Type: "TenantCreated", Data: []byte("stored")}
}

// checkChange refuses a change of the tenant's settings as the orchestrator does.
func (w *world) checkChange(c *lockboxv1.Command, subject string) error {
	by, err := w.whoIs(subject)
	if err != nil {
		return err
	}
	_, err = w.keys.state.Permit(aggregate.Command{Command: c, By: by}, w.keys.tenant,
		aggregate.Key{Tenant: bank, Kind: aggregate.KindTenant, ID: bank}, []keychain.Exact{w.last()}, time.Now())
	return err
}

// checkSigned refuses a decision as the orchestrator does.
func (w *world) checkSigned(c *lockboxv1.Command, v *lockboxv1.RequestView, by *lockboxv1.Person) error {
	g := keychain.Given{Signed: c.GetSigned(), By: by, Resources: v.GetIntent().GetResourceIds(),
		Duration: v.GetEvaluation().GetDuration().AsDuration()}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_Approve:
		g.Verb, g.Reason = approval.Approve, a.Approve.GetReason()
		if d := a.Approve.GetDuration(); d != nil {
			g.Duration = d.AsDuration()
		}
		if list := a.Approve.GetResourceIds(); len(list) > 0 {
			g.Resources = list
		}
	case *lockboxv1.Command_Deny:
		g.Verb, g.Reason = approval.Deny, a.Deny.GetReason()
	case *lockboxv1.Command_Revoke:
		g.Verb, g.Reason = approval.Revoke, a.Revoke.GetReason()
	default:
		return nil
	}
	s := w.keys.state
	if g.Signed == nil {
		if s.Demand(keychain.Now).Needs(g.Verb, len(s.KeysOf(by, keychain.Now)) > 0) {
			return refusal.OfKind(refusal.Forbidden("signed", "R42", "this has to be signed with a key of yours"), "unsigned")
		}
		return nil
	}
	exact := w.exactly(v)
	g.Version = uint64(len(exact) + 1)
	a, err := s.Decides(g, exact)
	if err == nil {
		err = a.Decision.InTime(time.Now())
	}
	return keychain.Refusal("signed", err)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	check(err)
	return b
}

func asJSON(v any) []byte {
	data, err := json.Marshal(v)
	check(err)
	return data
}

// keyOf is the key of that name, made without any hardware.
func keyOf(name string) *at.Key { return at.New(name, at.Ed25519) }

// begin offers keys of Grace, Otto and Fleur, and begins the bank's keys with those of the first two.
func (w *world) begin(begun bool) {
	w.keys = newKeys(w)
	var administrators []approval.Enrolment
	offer := func(persona, label, role string) approval.Enrolment {
		by, err := w.whoIs(persona)
		check(err)
		e := approval.Enrolment{Key: keyOf(label).Key, Role: role, Person: approval.Person{
			Account: keychain.AccountOf(by.GetPerson()), Human: by.GetPerson().GetHuman()}}
		enrolment, err := e.Bytes()
		check(err)
		w.order(persona, &lockboxv1.Command{Action: &lockboxv1.Command_OfferKey{
			OfferKey: &lockboxv1.OfferKey{Enrolment: enrolment, Label: label}}})
		return e
	}
	administrators = append(administrators, offer("grace", "blue", approval.Administrator),
		offer("otto", "green", approval.Administrator))
	offer("fleur", "fleur", approval.Approver)
	if !begun {
		return
	}
	g := approval.Genesis{Format: approval.FormatGenesis, Origin: "log.example/lockbox", Tenant: bank,
		Administrators: administrators, Recovery: keyOf("recovery").Key, Threshold: 2, Demand: approval.DemandNone,
		DelaySeconds: 60, RecoverySeconds: 3600, Witnesses: []string{w.keys.witness}, Quorum: 1,
		IssuedAt: approval.TimeText(time.Now()), Nonce: strings.Repeat("0", 64)}
	text, err := g.Bytes()
	check(err)
	signed := at.Signed(approval.FormatGenesis, text, keyOf("blue"), keyOf("green"), keyOf("recovery"))
	w.order("grace", &lockboxv1.Command{Action: &lockboxv1.Command_SignKeys{
		SignKeys: &lockboxv1.SignKeys{Change: keychain.ToProto(signed)}}})
	offer("grace", "third", approval.Administrator)
}

// order has a persona send a command about keys.
func (w *world) order(persona string, c *lockboxv1.Command) {
	token, err := w.issuer.Token(persona, time.Now())
	check(err)
	c.Token, c.Tenant, c.Id = token, bank, uuid(8000+int(w.sequence))
	_, err = w.decideKeys(c)
	check(err)
}

// keyFiles are files of keys, and of a statement about them.
func keyFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	removal, err := at.Begin().Change(approval.KeyChange{Change: approval.RemoveKey, Remove: at.Hash("key")}).Bytes()
	must(t, err)
	for name, content := range map[string]string{"RECOVERY": keyOf("recovery 2").AuthorizedKey() + " recovery\n",
		"STATEMENT": string(removal)} {
		files[name] = filepath.Join(dir, strings.ToLower(name))
		must(t, os.WriteFile(files[name], []byte(content), 0o600))
	}
	files["PRIVATE"] = filepath.Join(dir, "private")
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
		files["PRIVATE"]).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return files
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
