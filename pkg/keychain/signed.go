package keychain

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/terms"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Exact is an event exactly as it is stored: what statements rest on.
type Exact struct {
	Sequence, Version uint64
	Type              string
	Data              []byte
}

// Given is a decision about a request, as an event has it or will have it.
type Given struct {
	Signed *lockboxv1.SignedStatement
	// Verb is approval.Approve, approval.Deny or approval.Revoke.
	Verb string
	// By is who decides.
	By *lockboxv1.Person
	// Version is that of the event.
	Version uint64
	// Reason is what they wrote; if it was erased, nothing is compared.
	Reason string
	// Resources and Duration are what an approval allows.
	Resources []string
	Duration  time.Duration
}

// Decides verifies a signed decision: that a key of who decides, which counts at its place, signed exactly what is
// given, about exactly the request whose events are shown. The error is an *approval.Error.
func (s State) Decides(g Given, events []Exact) (approval.Approval, error) {
	none := approval.Approval{}
	if s.Chain == nil || s.Fault != nil {
		return none, refuse("keys", approval.RuleGenesis, "there is no chain of keys that holds")
	}
	signed := FromProto(g.Signed)
	a, err := s.Chain.Approves(approval.Stored{Sequence: place(events, g.Version), Signed: signed})
	if err != nil {
		return none, err
	}
	stored := make([][]byte, len(events))
	for i, e := range events {
		stored[i] = e.Data
	}
	about, err := terms.Of(stored)
	if err != nil {
		return none, err
	}
	if err := a.Decision.Within(about, g.Version); err != nil {
		return none, err
	}
	return a, g.says(a.Decision)
}

// Holder verifies a signed decision as far as it says who signed: a key of this chain, which counts at a place after
// everything.
func (s State) Holder(signed *lockboxv1.SignedStatement, version uint64) (approval.Person, error) {
	if s.Chain == nil || s.Fault != nil {
		return approval.Person{}, refuse("keys", approval.RuleGenesis, "there is no chain of keys that holds")
	}
	a, err := s.Chain.Approves(approval.Stored{Sequence: place(nil, version), Signed: FromProto(signed)})
	return a.Person, err
}

// Counters follows the signature counters of somebody's keys through their decisions.
type Counters struct {
	keys State
	last map[string]uint32
}

// Counters returns counters of these keys, of which none was seen yet.
func (s State) Counters() Counters { return Counters{s, map[string]uint32{}} }

// Behind goes on to the decision at a place, and returns its key and whether that key's counter fell behind the one
// before: then two devices may have the key. What does not verify says nothing, and so does the first decision.
func (c Counters) Behind(signed *lockboxv1.SignedStatement, place uint64) (key string, behind bool) {
	if signed == nil || c.keys.Chain == nil {
		return "", false
	}
	a, err := c.keys.Chain.Approves(approval.Stored{Sequence: place, Signed: FromProto(signed)})
	if err != nil || a.Key.Kind != approval.KindWebAuthn {
		return "", false
	}
	last, seen := c.last[a.KeyID]
	c.last[a.KeyID] = a.Counter
	return a.KeyID, seen && approval.CompareCounter(last, a.Counter) == approval.CounterRegressed
}

// HolderOfChange verifies a signed change of something, as far as it says who signed: an administrator's key of this
// chain, which counts at a place after everything.
func (s State) HolderOfChange(signed *lockboxv1.SignedStatement) (approval.Person, error) {
	if s.Chain == nil || s.Fault != nil {
		return approval.Person{}, refuse("keys", approval.RuleGenesis, "there is no chain of keys that holds")
	}
	_, key, err := s.Chain.Changes(approval.Stored{Sequence: Now, Signed: FromProto(signed)})
	if err == nil && key.Role != approval.Administrator {
		err = refuse("key", approval.RuleAuthority, "a change is signed with an administrator's key")
	}
	return key.Person, err
}

// place is where the event of a version stands; Now if it is yet to be stored.
func place(events []Exact, version uint64) uint64 {
	if version == 0 || version > uint64(len(events)) {
		return Now
	}
	return events[version-1].Sequence
}

// says refuses a statement that is not what is given beside it.
func (g Given) says(d approval.Decision) error {
	resources := slices.Sorted(slices.Values(g.Resources))
	switch {
	case d.Decision != g.Verb:
		return refuse("decision", approval.RuleOther, "signed to %s, not to %s", d.Decision, g.Verb)
	case d.By != AccountOf(g.By):
		return refuse("by", approval.RuleOther, "signed by %s, not by %s", d.By.Subject, g.By.GetSubject())
	case d.Decision == approval.Approve && !slices.Equal(d.Resources, resources):
		return refuse("resources", approval.RuleOther, "other resources were signed than are allowed")
	case d.Decision == approval.Approve && time.Duration(d.Seconds)*time.Second != g.Duration: // #nosec G115 -- checked
		return refuse("seconds", approval.RuleOther, "%d seconds were signed, not %v", d.Seconds, g.Duration)
	}
	return commented(d.Comment, g.Reason, g.Signed.GetCommentSalt())
}

// commented refuses a reason that is not the one that was signed.
func commented(comment, reason, salt string) error {
	if erasable.Gone(reason) || comment == "" && reason == "" {
		return nil
	}
	bytes, err := hex.DecodeString(salt)
	if err != nil || len(bytes) != 32 || comment == "" {
		return refuse("comment", approval.RuleOther, "what was written is not signed, or has no salt")
	}
	if approval.CommentHash([32]byte(bytes), reason) != comment {
		return refuse("comment", approval.RuleOther, "something else was written than is signed")
	}
	return nil
}

// Enough refuses approvals that are not by as many different people, or not signed as the customer demands now. Those
// that do not verify are left out.
func (s State) Enough(given []Given, events []Exact, required uint64) error {
	demand := s.Demand(Now)
	if demand == approval.DemandNone {
		return nil
	}
	var counted []approval.Approval
	for _, g := range given {
		if a, err := s.Decides(g, events); err == nil && a.Decision.Decision == approval.Approve {
			counted = append(counted, a)
		}
	}
	return demand.Enough(counted, required)
}

func refuse(field string, rule approval.Rule, format string, args ...any) error {
	return approval.Refuse(field, rule, format, args...)
}
