package story

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// KeyDelay is how long new keys wait.
const KeyDelay = 24 * time.Hour

// Keyholder is one of a tenant's people with a key.
type Keyholder struct {
	By  *lockboxv1.Actor
	Key *approvaltest.Key
}

// Enrolment is the key as it is offered.
func (h Keyholder) Enrolment(role string) approval.Enrolment {
	return approval.Enrolment{Key: h.Key.Key, Role: role, Person: approval.Person{
		Account: keychain.AccountOf(h.By.GetPerson()), Human: h.By.GetPerson().GetHuman()}}
}

// Offer offers a key in a role.
func (s *Story) Offer(h Keyholder, tenantID, role string) error {
	enrolment, err := h.Enrolment(role).Bytes()
	if err != nil {
		return err
	}
	return s.Try(h.By, &lockboxv1.Command{Tenant: tenantID, Action: &lockboxv1.Command_OfferKey{
		OfferKey: &lockboxv1.OfferKey{Enrolment: enrolment, Label: "Key of " + h.By.GetPerson().GetSubject()}}})
}

// SignKeys signs a statement about keys with some of them.
func (s *Story) SignKeys(
	by *lockboxv1.Actor, tenantID, format string, statement []byte, keys ...*approvaltest.Key,
) error {
	signed := keychain.ToProto(approvaltest.Signed(format, statement, keys...))
	return s.Try(by, &lockboxv1.Command{Tenant: tenantID,
		Action: &lockboxv1.Command_SignKeys{SignKeys: &lockboxv1.SignKeys{Change: signed}}})
}

// Recovery is the recovery key of a tenant's genesis.
func Recovery() *approvaltest.Key { return approvaltest.New("offline", approvaltest.Ed25519) }

// Genesis begins a tenant's chain of keys with those of its administrators: each offers theirs, and all sign.
func (s *Story) Genesis(tenantID string, demand approval.Demand, administrators ...Keyholder) approval.Genesis {
	g := approval.Genesis{
		Format: approval.FormatGenesis, Origin: keychaintest.Origin, Tenant: tenantID, Recovery: Recovery().Key,
		Threshold: 2, Demand: demand, DelaySeconds: uint64(KeyDelay / time.Second),
		RecoverySeconds: uint64(7 * KeyDelay / time.Second), Witnesses: keychaintest.Witnesses(), Quorum: 2,
		IssuedAt: approval.TimeText(s.Now), Nonce: approvaltest.Hash("genesis of " + tenantID),
	}
	for _, h := range administrators {
		s.hold("offer", s.Offer(h, tenantID, approval.Administrator))
		g.Administrators = append(g.Administrators, h.Enrolment(approval.Administrator))
	}
	statement, err := g.Bytes()
	s.hold("genesis", err)
	for _, h := range administrators {
		s.hold("genesis", s.SignKeys(h.By, tenantID, approval.FormatGenesis, statement, h.Key))
	}
	s.hold("genesis", s.SignKeys(administrators[0].By, tenantID, approval.FormatGenesis, statement, Recovery()))
	return g
}

// ChangeOf completes a change of keys so that it follows the tenant's last one.
func (s *Story) ChangeOf(tenantID string, c approval.KeyChange) []byte {
	chain := s.States.Keys(tenantID).Chain
	last, number, _ := chain.Last()
	fingerprint := chain.Fingerprint()
	c.Format, c.Origin, c.Tenant, c.Number = approval.FormatKeys, keychaintest.Origin, tenantID, number+1
	c.Genesis, c.Previous = hex.EncodeToString(fingerprint[:]), hex.EncodeToString(last[:])
	c.IssuedAt, c.Nonce = approval.TimeText(s.Now), approvaltest.Hash(fmt.Sprint(tenantID, number))
	if c.Keys == nil {
		c.Keys = []approval.Enrolment{}
	}
	if c.Recovery == nil {
		c.Recovery = []approval.Key{}
	}
	statement, err := c.Bytes()
	s.hold("change of keys", err)
	return statement
}

// Sighted stores what witnesses saw, at this time, of everything that is stored of a tenant.
func (s *Story) Sighted(tenantID string, witnesses ...string) {
	log := keychaintest.New(tenantID)
	for _, e := range s.Entries {
		if e.Event.GetTenant() == tenantID {
			log.Add(e.Subject, e.Data)
		}
	}
	s.Sees(tenantID, log.See(s.Now, witnesses...))
}

// Sees stores what is said to have been seen.
func (s *Story) Sees(tenantID string, f *lockboxv1.KeysSighted) {
	about := aggregate.Keys(tenantID)
	s.Record(&lockboxv1.Event{Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID,
		Version: s.States.Keys(tenantID).Version + 1, Actor: System("audit-projector"), CausationId: s.ID(),
		Fact: &lockboxv1.Event_KeysSighted{KeysSighted: f}})
}

// SigningView is what somebody is shown of a request before they sign.
func (s *Story) SigningView(tenantID, requestID string) *lockboxv1.SigningView {
	v := &lockboxv1.SigningView{Tenant: tenantID, Origin: keychaintest.Origin}
	if chain := s.States.Keys(tenantID).Chain; chain != nil {
		fingerprint := chain.Fingerprint()
		v.Genesis = fingerprint[:]
	}
	for _, e := range s.Entries {
		if aggregate.KeyOf(e.Event) == aggregate.Request(tenantID, requestID) {
			sum := sha256.Sum256(e.Data)
			v.Events = append(v.Events, &lockboxv1.RestsOn{Version: e.Event.GetVersion(), Type: aggregate.TypeOf(e.Event),
				Sha256: sum[:], Stored: e.Data})
		}
	}
	return v
}

// Sign puts the signed statement of a decision into its command, which names tenant and request.
func (s *Story) Sign(h Keyholder, c *lockboxv1.Command) *lockboxv1.Command {
	d, salt := s.Statement(h, c)
	statement, err := d.Bytes()
	s.hold("statement", err)
	c.Signed = keychain.ToProto(approvaltest.Signed(approval.FormatDecision, statement, h.Key))
	if d.Comment != "" {
		c.Signed.CommentSalt = hex.EncodeToString(salt[:])
	}
	return c
}

// Statement is what somebody signs for a decision.
func (s *Story) Statement(h Keyholder, c *lockboxv1.Command) (d approval.Decision, salt [32]byte) {
	choice := keychain.Choice{By: keychain.AccountOf(h.By.GetPerson()), Key: h.Key.ID(), Now: s.Now, Language: "en",
		Nonce: sha256.Sum256([]byte(s.ID())), Salt: sha256.Sum256([]byte("salt"))}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_Approve:
		choice.Verb, choice.Reason, choice.Resources = approval.Approve, a.Approve.GetReason(), a.Approve.GetResourceIds()
		choice.Duration = a.Approve.GetDuration().AsDuration()
	case *lockboxv1.Command_Deny:
		choice.Verb, choice.Reason = approval.Deny, a.Deny.GetReason()
	case *lockboxv1.Command_Revoke:
		choice.Verb, choice.Reason = approval.Revoke, a.Revoke.GetReason()
	}
	d, err := keychain.Compose(s.SigningView(c.GetTenant(), c.GetAggregateId()), choice,
		func(d approval.Decision) string { return d.Decision + " " + d.Request })
	s.hold("statement", err)
	return d, choice.Salt
}

// Within limits how long an approval allows.
func Within(c *lockboxv1.Command, d time.Duration) *lockboxv1.Command {
	c.GetApprove().Duration = durationpb.New(d)
	return c
}

func (s *Story) hold(what string, err error) {
	if err != nil {
		panic(fmt.Sprintf("story: %s: %v", what, err))
	}
}

// SignChange puts the signed statement of a change into its command. of is the aggregate that changes: of a transfer,
// the subscription as whoever gives it up has it.
func (s *Story) SignChange(h Keyholder, of aggregate.Key, c *lockboxv1.Command) *lockboxv1.Command {
	v := s.SigningView(of.Tenant, "")
	for _, e := range s.Entries {
		if aggregate.KeyOf(e.Event) == of {
			sum := sha256.Sum256(e.Data)
			v.Events = []*lockboxv1.RestsOn{{Version: e.Event.GetVersion(), Type: aggregate.TypeOf(e.Event), Sha256: sum[:],
				Stored: e.Data}}
		}
	}
	choice := keychain.Choice{By: keychain.AccountOf(h.By.GetPerson()), Key: h.Key.ID(), Now: s.Now, Language: "en",
		Nonce: sha256.Sum256([]byte(s.ID())), Salt: sha256.Sum256([]byte("salt"))}
	is, err := keychain.ComposeChange(v, of.Kind, of.ID, c, choice, func(c approval.Change) string { return c.Change })
	s.hold("statement", err)
	statement, err := is.Bytes()
	s.hold("statement", err)
	c.Signed = keychain.ToProto(approvaltest.Signed(approval.FormatChange, statement, h.Key))
	c.Signed.CommentSalt = hex.EncodeToString(choice.Salt[:])
	return c
}
