package stack_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// keyholder is one of the bank's people with a key that they sign with.
type keyholder struct {
	name string
	key  *approvaltest.Key
	who  *lockboxv1.Person
}

// signing is a Lockbox whose bank demands signatures. Grace and Otto administer it, and have keys.
type signing struct {
	*lockbox
	grace, otto *keyholder
	// witnesses are those that genesis names.
	witnesses []string
}

func demanding(t *testing.T, demand approval.Demand) *signing {
	t.Helper()
	return begun(start(t, request.DefaultTerms()), demand, keychaintest.Witnesses())
}

// begun has the bank's keys begin.
func begun(l *lockbox, demand approval.Demand, witnesses []string) *signing {
	l.Helper()
	l.does("grace", assignment("otto-admin", l.self("otto"), lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR))
	s := &signing{lockbox: l, grace: l.keyholder("grace", approvaltest.ES256),
		otto: l.keyholder("otto", approvaltest.SKEd25519), witnesses: witnesses}
	s.genesis(demand)
	return s
}

func (l *lockbox) self(as string) *lockboxv1.Person {
	l.Helper()
	q := &lockboxv1.Query{Tenant: bank, Token: l.token(as), Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}
	return l.query(q).GetSelf().GetActor().GetPerson()
}

func (l *lockbox) keyholder(name, algorithm string) *keyholder {
	l.Helper()
	return &keyholder{name, approvaltest.New(name, algorithm), l.self(name)}
}

func assignment(id string, p *lockboxv1.Person, role lockboxv1.Role) *lockboxv1.Command {
	p = proto.CloneOf(p)
	p.Human = "" // an administrator names an account; the human is in its tokens
	return &lockboxv1.Command{Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
		Assignment: &lockboxv1.RoleAssignment{Id: id, Role: role, Person: p,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}}
}

func (s *keyholder) enrolment(role string) approval.Enrolment {
	return approval.Enrolment{Key: s.key.Key, Role: role, Person: approval.Person{Account: keychain.AccountOf(s.who),
		Human: s.who.GetHuman()}}
}

func (l *lockbox) offers(s *keyholder, role string) *lockboxv1.Command {
	l.Helper()
	enrolment, err := s.enrolment(role).Bytes()
	must(l, err)
	return &lockboxv1.Command{Action: &lockboxv1.Command_OfferKey{OfferKey: &lockboxv1.OfferKey{Enrolment: enrolment,
		Label: "Key of " + s.name}}}
}

func signKeys(format string, statement []byte, keys ...*approvaltest.Key) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_SignKeys{SignKeys: &lockboxv1.SignKeys{
		Change: keychain.ToProto(approvaltest.Signed(format, statement, keys...))}}}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func nonce(t testing.TB) string {
	t.Helper()
	var b [32]byte
	_, err := rand.Read(b[:])
	must(t, err)
	return hex.EncodeToString(b[:])
}

// genesis begins the bank's keys: Grace and Otto offer theirs, and both and the recovery key sign.
func (s *signing) genesis(demand approval.Demand) {
	s.Helper()
	offline := approvaltest.New("offline", approvaltest.Ed25519)
	g := approval.Genesis{
		Format: approval.FormatGenesis, Origin: s.logName(), Tenant: bank, Recovery: offline.Key, Threshold: 2,
		Demand: demand, DelaySeconds: 86400, RecoverySeconds: 7 * 86400, Witnesses: s.witnesses, Quorum: 2,
		IssuedAt: approval.TimeText(time.Now().UTC()), Nonce: nonce(s),
		Administrators: []approval.Enrolment{s.grace.enrolment(approval.Administrator),
			s.otto.enrolment(approval.Administrator)},
	}
	s.does("grace", s.offers(s.grace, approval.Administrator))
	s.does("otto", s.offers(s.otto, approval.Administrator))
	statement, err := g.Bytes()
	must(s, err)
	s.does("grace", signKeys(approval.FormatGenesis, statement, s.grace.key))
	s.does("otto", signKeys(approval.FormatGenesis, statement, s.otto.key))
	s.does("grace", signKeys(approval.FormatGenesis, statement, offline))
	v := s.keys("grace")
	if v.GetDemand() != string(demand) || len(v.GetKeys()) != 3 {
		s.Fatalf("after genesis: %v", v)
	}
}

func (l *lockbox) keys(as string) *lockboxv1.KeysView {
	l.Helper()
	q := &lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}}
	reply := l.query(q)
	if reply.GetRefusal() != nil {
		l.Fatalf("the keys as %s: %v", as, reply.GetRefusal())
	}
	return reply.GetKeys()
}

func (l *lockbox) logName() string {
	l.Helper()
	return l.keys("grace").GetOrigin()
}

// view is what somebody is shown of a request before they sign.
func (l *lockbox) view(as, id string) *lockboxv1.SigningView {
	l.Helper()
	q := &lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_GetSigning{GetSigning: &lockboxv1.GetSigning{
			About: &lockboxv1.GetSigning_RequestId{RequestId: id}}}}
	reply := l.query(q)
	if reply.GetRefusal() != nil {
		l.Fatalf("what %s signs about %s: %v", as, id, reply.GetRefusal())
	}
	return reply.GetSigning()
}

// signs puts somebody's signature of a decision into its command.
func (l *lockbox) signs(s *keyholder, c *lockboxv1.Command) *lockboxv1.Command {
	l.Helper()
	c.Signed = l.statement(s, c)
	return c
}

func (l *lockbox) statement(s *keyholder, c *lockboxv1.Command) *lockboxv1.SignedStatement {
	l.Helper()
	choice := keychain.Choice{By: keychain.AccountOf(s.who), Key: s.key.ID(), Now: time.Now().UTC(), Language: "en"}
	_, err := rand.Read(choice.Nonce[:])
	must(l, err)
	_, err = rand.Read(choice.Salt[:])
	must(l, err)
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_Approve:
		choice.Verb, choice.Reason, choice.Resources = approval.Approve, a.Approve.GetReason(), a.Approve.GetResourceIds()
		if choice.Duration = a.Approve.GetDuration().AsDuration(); choice.Duration == 0 {
			choice.Duration = l.state(c.GetAggregateId()).Evaluation.GetDuration().AsDuration()
		}
	case *lockboxv1.Command_Deny:
		choice.Verb, choice.Reason = approval.Deny, a.Deny.GetReason()
	case *lockboxv1.Command_Revoke:
		choice.Verb, choice.Reason = approval.Revoke, a.Revoke.GetReason()
	}
	d, err := keychain.Compose(l.view(s.name, c.GetAggregateId()), choice,
		func(d approval.Decision) string { return shown.Text(d, "en") })
	must(l, err)
	statement, err := d.Bytes()
	must(l, err)
	signed := keychain.ToProto(approvaltest.Signed(approval.FormatDecision, statement, s.key))
	if d.Comment != "" {
		signed.CommentSalt = hex.EncodeToString(choice.Salt[:])
	}
	return signed
}

func TestASignedApprovalGivesAccessAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	l := demanding(t, approval.DemandSignatures)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.mayNot("otto", approve(id), lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "R42")
	l.mayNot("fleur", approve(id), lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "R42")
	if tried := l.attempts(); len(tried) != 2 || tried[0].GetAbout() != id || tried[0].GetVerb() != "approve" ||
		tried[0].GetRule() != string(approval.RuleDemand) {
		t.Errorf("on record: %v", tried)
	}
	l.does("otto", l.signs(l.otto, approve(id)))
	l.reaches(id, request.Active)

	q := &lockboxv1.Query{Tenant: bank, Token: l.token("audrey"), MinSequence: l.decided(),
		Ask: &lockboxv1.Query_ListActivity{ListActivity: &lockboxv1.ListActivity{RequestId: id}}}
	told := 0
	for _, a := range l.query(q).GetActivity().GetActivities() {
		is := a.GetEntry().GetSignature()
		if a.GetEvent().GetCustomerApproved() == nil {
			if is != nil {
				t.Errorf("%s has a signature", a.GetEntry().GetTitle())
			}
			continue
		}
		if told++; !is.GetHolds() || is.GetLabel() != "Key of otto" || len(strings.Fields(is.GetWords())) != 8 {
			t.Errorf("the activity log says of the approval %v", is)
		}
	}
	if told != 1 {
		t.Errorf("the activity log has %d approvals", told)
	}

	// When the bank's sign-in is down, a key alone ends it.
	c := l.signs(l.otto, revoke(id, "The incident is over."))
	c.Id, c.Tenant, c.Token = newID(t), bank, ""
	data, err := proto.Marshal(c)
	must(t, err)
	if r := l.send(bus.CommandSubject(bus.Client, "revoke"), data); r.GetRefusal() != nil {
		t.Errorf("revoked by a key alone: %v", r.GetRefusal())
	}
	l.reaches(id, request.Revoked)
	c.Signed = l.statement(l.otto, revoke(id, "The incident is over."))
	c.Id, c.Signed.Signatures[0].Signature = newID(t), []byte("nothing")
	data, err = proto.Marshal(c)
	must(t, err)
	if r := l.send(bus.CommandSubject(bus.Client, "revoke"), data); r.GetRefusal().GetCode() !=
		lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
		t.Errorf("revoked by no key: %v", r)
	}
	if v := l.signatures(); len(v.Violations) > 0 {
		t.Errorf("%v", v.Violations)
	}
}

// attempts are what was refused for want of a signature, as the log has it.
func (l *lockbox) attempts() (all []*lockboxv1.SignatureRefused) {
	l.Helper()
	for _, e := range l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindAttempt}) {
		all = append(all, e.Event.GetSignatureRefused())
	}
	return all
}

// Whoever has all keys of the provider's, of the bus and of the writers, stores what no customer decided. Nothing of it
// is access that a verifier takes for approved, and all of it is found.
//
// control: iso:8.15, soc2:CC6.1
func TestNoKeyOfTheProvidersMakesAnApproval(t *testing.T) {
	t.Parallel()
	l := demanding(t, approval.DemandSignatures)
	insider := l.journal(bus.Orchestrator) // which signs as the orchestrator does
	given := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", l.signs(l.otto, approve(given)))
	l.reaches(given, request.Active)
	genuine := l.history(journal.Replay{Tenant: bank, ID: given, Type: "CustomerApproved"})[0].Event

	// forged is an approval of a new request by Otto, as the orchestrator would store it.
	forged := func(id string) *lockboxv1.Event {
		e := proto.CloneOf(genuine)
		e.Id, e.AggregateId, e.CorrelationId, e.CausationId = newID(t), id, id, newID(t)
		e.Version, e.Time, e.Signed = l.state(id).Version+1, timestamppb.Now(), nil
		return e
	}
	mallory := &keyholder{"otto", approvaltest.New("mallory", approvaltest.ES256), l.otto.who}
	for name, forge := range map[string]func(id string, e *lockboxv1.Event){
		"unsigned":                      func(string, *lockboxv1.Event) {},
		"with the signature of another": func(_ string, e *lockboxv1.Event) { e.Signed = genuine.GetSigned() },
		"with a key of the insider's": func(id string, e *lockboxv1.Event) {
			e.Signed = l.statement(mallory, approve(id))
		},
		"with Otto's denial": func(id string, e *lockboxv1.Event) {
			e.Signed = l.statement(l.otto, deny(id, "No."))
		},
		"for longer than Otto signed": func(id string, e *lockboxv1.Event) {
			c := approve(id)
			c.GetApprove().Duration = durationpb.New(time.Minute)
			e.Signed = l.statement(l.otto, c)
		},
		"in Grace's name": func(id string, e *lockboxv1.Event) {
			e.Signed, e.Actor = l.statement(l.otto, approve(id)), proto.CloneOf(e.GetActor())
			e.Actor.Person.Subject = l.grace.who.GetSubject()
		},
	} {
		id := l.requested(l.intent("erin"), request.CustomerNotified)
		e := forged(id)
		forge(id, e)
		sequence, err := insider.Append(l.Context(), l.state(id).Sequence, e)
		must(t, err)
		if l.alarmed(name, sequence); name != "in Grace's name" { // who was not asked, so that it is no history at all
			l.never(name, id)
		}
	}

	// With the grant beside it, in one stroke.
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	e := forged(id)
	grant := proto.CloneOf(l.history(journal.Replay{Tenant: bank, ID: given, Type: "AccessGranted"})[0].Event)
	grant.Id, grant.AggregateId, grant.CorrelationId, grant.CausationId = newID(t), id, id, e.GetId()
	grant.Version, grant.Time = e.GetVersion()+1, e.GetTime()
	g := grant.GetAccessGranted()
	lasts := g.GetEndsAt().AsTime().Sub(g.GetStartsAt().AsTime())
	g.StartsAt, g.EndsAt = grant.GetTime(), timestamppb.New(grant.GetTime().AsTime().Add(lasts))
	stored, err := insider.AppendAll(l.Context(), l.state(id).Sequence, e, grant)
	must(t, err)
	l.alarmed("with the grant", stored[0])

	// A key of the insider's in the customer's chain.
	waiting := l.requested(l.intent("erin"), request.CustomerNotified)
	signed := l.signs(l.otto, approve(waiting))
	sequence := l.adds(mallory)
	l.alarmed("a key of the insider's", sequence)
	// Nothing is approved any more until somebody has looked: what was left out could be a removal.
	l.mayNot("otto", signed, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, "R42")

	found := map[uint64]bool{}
	for _, v := range l.signatures().Violations {
		found[v.Sequence] = found[v.Sequence] || v.Invariant == "I23"
	}
	if !found[sequence] || !found[stored[0]] || !found[stored[1]] {
		t.Errorf("audit verify finds %v, and not all of %d, %v", found, sequence, stored)
	}
}

// never expects that a request with a forged approval ends without access.
func (l *lockbox) never(name, id string) {
	l.Helper()
	s := l.reaches(id, request.Lapsed)
	if s.Grant != nil || s.CodedEndReason.GetCode() != lockboxv1.ReasonCode_REASON_CODE_APPROVAL_NOT_SIGNED {
		l.Errorf("%s: %v, %v", name, s.Grant, s.CodedEndReason)
	}
}

// alarmed waits until the guard has said that an event is not signed as it has to be.
func (l *lockbox) alarmed(name string, sequence uint64) {
	l.Helper()
	within(l.T, time.Minute, fmt.Sprintf("an alarm about an approval that is forged %s", name), func() bool {
		return slices.ContainsFunc(l.history(journal.Replay{Kind: aggregate.KindAlarm}), func(e journal.Entry) bool {
			f := e.Event.GetDifferenceFound()
			return f.GetWhere() == aggregate.AlarmSignature && f.GetFirstSequence() == sequence
		})
	})
}
