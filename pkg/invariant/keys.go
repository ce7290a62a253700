package invariant

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// keys are a tenant's keys as its history has them.
type keys struct {
	chain *approval.Chain // nil: there is none, or it does not hold
	// broken is where the history of the keys stops making sense; nil if it does not.
	broken *Recorded
	why    error
}

// signedByThem is I23: wherever a customer demands signatures, no access begins but on approvals that enough different
// people signed, with keys that counted, over exactly the request as it is stored; and whatever else is signed is
// signed by whom it says.
func signedByThem(b *book, of aggregate.Key, events []Recorded, broken say) {
	switch of.Kind {
	case aggregate.KindKeys:
		if k := b.keysOf(of.Tenant); k.broken != nil {
			broken("I23", *k.broken, "a statement about keys does not hold: %v", k.why)
		}
	case aggregate.KindRequest:
		b.signedDecisions(of, events, broken)
	case aggregate.KindTenant, aggregate.KindSubscription:
		b.signedChanges(of, events, broken)
	}
}

// Signed is I23 for one aggregate of a tenant: its events, and those of the tenant's keys.
func Signed(keys, events []Recorded) []Violation {
	if len(events) == 0 {
		return nil
	}
	b := read(keys)
	return b.look(signedByThem, aggregate.KeyOf(events[0].Event), events)
}

// keysOf verifies a tenant's chain of keys, at every place of the stream.
func (b *book) keysOf(tenant string) *keys {
	once, _ := b.keychains.LoadOrStore(tenant, sync.OnceValue(func() *keys {
		return readKeys(b.find(aggregate.Keys(tenant)))
	}))
	return once.(func() *keys)() //nolint:errcheck // nothing else is stored
}

func readKeys(events []Recorded) *keys {
	k := new(keys)
	var entries []approval.Stored
	var seen []approval.Sighting
	for i := range events {
		r := events[i]
		signed := r.Event.GetKeyChainBegan().GetGenesis()
		if c := r.Event.GetKeyChainChanged(); c != nil {
			signed = c.GetChange()
		}
		if f := r.Event.GetKeysSighted(); f != nil && k.chain != nil {
			s, version, err := sighted.Verify(k.chain.Genesis(), f)
			if err != nil || version == 0 || version > uint64(i) {
				continue // it proves nothing, and nothing rests on it
			}
			s.Size, s.Next = events[version-1].Sequence, r.Sequence+1
			seen = append(seen, s)
		} else if signed == nil {
			continue
		} else {
			entries = append(entries, approval.Stored{Sequence: r.Sequence, Signed: statementOf(signed)})
		}
		chain, err := approval.Fold(entries, seen)
		if err == nil && chain.Genesis().Tenant != r.Event.GetTenant() {
			err = errOtherTenant
		}
		if err != nil {
			return &keys{broken: &r, why: err}
		}
		k.chain = chain
	}
	return k
}

var errOtherTenant = approval.Refuse("tenant", approval.RuleOther, "the genesis is another customer's")

// signedDecisions checks a request: its decisions, and the approvals on which access began.
func (b *book) signedDecisions(of aggregate.Key, events []Recorded, broken say) {
	k := b.keysOf(of.Tenant)
	if k.chain == nil && k.broken == nil {
		for _, r := range events {
			if r.Event.GetSigned() != nil {
				broken("I23", r, "it is signed, and the customer has no keys")
			}
		}
		return
	}
	q := request{of, events}
	var counted []approval.Approval
	for i, r := range events {
		if g := r.Event.GetAccessGranted(); g != nil && g.GetWaiver() == lockboxv1.Waiver_WAIVER_UNSPECIFIED {
			if demand := k.demand(r.Sequence); demand != approval.DemandNone {
				if err := demand.Enough(counted, uint64(q.notified().GetRequiredApprovals())); err != nil {
					broken("I23", r, "access began on approvals that are not signed as the customer demands: %v", err)
				}
			}
		}
		verb := verbOf(r.Event)
		if verb == "" || r.Event.GetActor().GetSide() != lockboxv1.Side_SIDE_TENANT {
			if r.Event.GetSigned() != nil {
				broken("I23", r, "it is signed, and no decision of the customer's")
			}
			continue
		}
		if r.Event.GetSigned() == nil {
			if k.demand(r.Sequence).Needs(verb, k.has(r.Event.GetActor().GetPerson(), r.Sequence)) {
				broken("I23", r, "the customer demands that this is signed, and it is not")
			}
			continue
		}
		a, err := k.decides(q.before(i+1), verb)
		if err != nil {
			broken("I23", r, "what is signed does not hold: %v", err)
		} else if verb == approval.Approve {
			counted = append(counted, a)
		}
	}
}

func (k *keys) demand(at uint64) approval.Demand {
	if k.chain == nil {
		return approval.DemandSignatures // nothing that is signed can be believed, and nothing else may be
	}
	return k.chain.Demand(at)
}

// has reports whether somebody has a key that counts.
func (k *keys) has(p *lockboxv1.Person, at uint64) bool {
	return k.chain != nil && slices.ContainsFunc(k.chain.Keys(), func(e approval.Enrolled) bool {
		return e.Counts(at) && e.Person.Issuer == p.GetIssuer() && e.Person.Subject == p.GetSubject()
	})
}

// verbOf is what a decision of the customer's does; empty if the event is none.
func verbOf(e *lockboxv1.Event) string {
	switch e.GetFact().(type) {
	case *lockboxv1.Event_CustomerApproved:
		return approval.Approve
	case *lockboxv1.Event_CustomerDenied:
		return approval.Deny
	case *lockboxv1.Event_AccessRevoked:
		return approval.Revoke
	}
	return ""
}

// decides verifies the last event of a request as a signed decision.
func (k *keys) decides(q request, verb string) (a approval.Approval, err error) {
	if k.chain == nil {
		return a, approval.Refuse("keys", approval.RuleGenesis, "the customer's keys do not hold")
	}
	r := q.events[len(q.events)-1]
	a, err = k.chain.Approves(approval.Stored{Sequence: r.Sequence, Signed: statementOf(r.Event.GetSigned())})
	if err != nil {
		return a, err
	}
	d := a.Decision
	other := func(field, what string) error { return approval.Refuse(field, approval.RuleOther, "%s", what) }
	in, n := q.intent(), q.notified()
	switch {
	case d.Decision != verb:
		return a, other("decision", "another decision was signed")
	case d.By != accountOf(r.Event.GetActor().GetPerson()):
		return a, other("by", "somebody else signed it")
	case d.Tenant != q.of.Tenant || d.Request != q.of.ID || d.Subscription != in.GetSubscriptionId() ||
		d.ResourceType != in.GetResourceType() || d.Scenario != in.GetScenario() || d.Engineer != accountOf(q.requester()):
		return a, other("request", "it was signed for another request")
	}
	if err := q.restsOn(d); err != nil {
		return a, err
	}
	if verb == approval.Revoke {
		return a, nil
	}
	answerBy, err := time.Parse(time.RFC3339Nano, d.AnswerBy)
	if err != nil || !answerBy.Equal(n.GetExpiresAt().AsTime()) || d.Approvals != uint64(n.GetRequiredApprovals()) {
		return a, other("answerBy", "it was signed for another deadline, or as one of another number")
	}
	if !instant(r).Before(answerBy) {
		return a, other("answerBy", "the time to answer was over")
	}
	seconds := int64(d.Seconds) // #nosec G115 -- at most a year
	if f := r.Event.GetCustomerApproved(); f != nil && (f.GetDuration().GetSeconds() != seconds ||
		!slices.Equal(d.Resources, slices.Sorted(slices.Values(f.GetResourceIds())))) {
		return a, other("resources", "something else was signed than was allowed")
	}
	return a, commentHolds(d, r.Event)
}

// mayStandBetween are the events that an approver need not have seen.
var mayStandBetween = []string{"ApprovalReminderDue", "CustomerApproved", "InternalReminderDue"}

// restsOn checks which events a decision names against those before it.
func (q request) restsOn(d approval.Decision) error {
	before := q.events[:len(q.events)-1]
	last := uint64(0)
	for _, e := range d.Events {
		if e.Version == 0 || e.Version > uint64(len(before)) {
			return approval.Refuse("events", approval.RuleOther, "it names version %d", e.Version)
		}
		r := before[e.Version-1]
		sum := sha256.Sum256(r.Bytes)
		if r.Event.GetVersion() != e.Version || aggregate.TypeOf(r.Event) != e.Type ||
			r.Bytes != nil && hex.EncodeToString(sum[:]) != e.SHA256 {
			return approval.Refuse("events", approval.RuleOther, "version %d is not what was signed", e.Version)
		}
		last = e.Version
	}
	for _, r := range before {
		if d.Decision == approval.Approve && r.Event.GetVersion() > last &&
			!slices.Contains(mayStandBetween, aggregate.TypeOf(r.Event)) {
			return approval.Refuse("events", approval.RuleOther, "version %d came after what was signed",
				r.Event.GetVersion())
		}
	}
	return nil
}

// commentHolds checks what somebody wrote against the statement, unless it was erased.
func commentHolds(d approval.Decision, e *lockboxv1.Event) error {
	reason := e.GetCustomerApproved().GetReason() + e.GetCustomerDenied().GetReason() + e.GetAccessRevoked().GetReason()
	if erasable.Gone(reason) || reason == "" && d.Comment == "" {
		return nil
	}
	salt, err := hex.DecodeString(e.GetSigned().GetCommentSalt())
	if err != nil || len(salt) != 32 || approval.CommentHash([32]byte(salt), reason) != d.Comment {
		return approval.Refuse("comment", approval.RuleOther, "something else was written than was signed")
	}
	return nil
}

// signedChanges checks the signatures that changes of settings carry.
func (b *book) signedChanges(of aggregate.Key, events []Recorded, broken say) {
	for i, r := range events {
		k := b.keysOf(of.Tenant)
		if r.Event.GetSigned() == nil {
			// Of keys that do not hold, nothing is known about where a demand begins; they are a finding of their own.
			if k.chain != nil && k.demand(r.Sequence) != approval.DemandNone && getsAround[aggregate.TypeOf(r.Event)] != "" {
				broken("I23", r, "the customer demands that this is signed, and it is not")
			}
			continue
		}
		if k.chain == nil {
			broken("I23", r, "it is signed, and the customer has no keys")
			continue
		}
		c, by, err := k.chain.Changes(approval.Stored{Sequence: r.Sequence, Signed: statementOf(r.Event.GetSigned())})
		switch {
		case err != nil:
			broken("I23", r, "what is signed does not hold: %v", err)
		case by.Person.Account != accountOf(r.Event.GetActor().GetPerson()):
			broken("I23", r, "somebody else signed it")
		case c.Change != cmp.Or(getsAround[aggregate.TypeOf(r.Event)], approval.Settings):
			broken("I23", r, "it was signed for another change")
		case c.Kind != of.Kind || c.ID != of.ID || i == 0 || !follows(c.Follows, events[i-1]):
			broken("I23", r, "it was signed for another place")
		}
	}
}

// getsAround are the events that could get around a demand for signatures, by what a statement calls such a change. Of
// settings it depends on which changed, so they are left out.
var getsAround = map[string]string{
	"LockboxDisabled": approval.SwitchOff, "PreviewSignedOff": approval.LeavePreview,
	"RoleAssigned": approval.Roles, "RoleRemoved": approval.Roles, "RoleInvited": approval.Roles,
	"InvitationConfirmed": approval.Roles, "SignInChangeProposed": approval.SignIn,
	"SignInChangeConfirmed": approval.SignIn, "FormerSignInEnded": approval.SignIn,
}

func follows(e approval.Event, before Recorded) bool {
	sum := sha256.Sum256(before.Bytes)
	return e.Version == before.Event.GetVersion() && e.Type == aggregate.TypeOf(before.Event) &&
		(before.Bytes == nil || bytes.Equal(sum[:], unhex(e.SHA256)))
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func accountOf(p *lockboxv1.Person) approval.Account {
	return approval.Account{Issuer: p.GetIssuer(), Subject: p.GetSubject()}
}

// statementOf reads what an event holds as signed.
func statementOf(s *lockboxv1.SignedStatement) approval.Signed {
	text := base64.RawURLEncoding.EncodeToString
	is := approval.Signed{Statement: string(s.GetStatement())}
	for _, one := range s.GetSignatures() {
		is.Signatures = append(is.Signatures, approval.Signature{Key: hex.EncodeToString(one.GetKeyId()),
			AuthenticatorData: text(one.GetAuthenticatorData()), ClientData: text(one.GetClientDataJson()),
			Bytes: text(one.GetSignature())})
	}
	return is
}
