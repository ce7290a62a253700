package policy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/event"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Published is the rule set that the provider put in force last, folded from its events. The text is not compiled here:
// only whoever evaluates needs that, and only the last one's.
type Published struct {
	event.History
	Text, PolicyVersion string
	By                  *lockboxv1.Actor
	At                  time.Time
}

// Exists reports whether any was ever published; until then Default is in force.
func (s Published) Exists() bool { return s.Version > 0 }

const (
	// maxPublished is the size of a rule set that fits into a command with its token, in bytes.
	maxPublished = 48 << 10
	// told is how many of its problems a refusal names.
	told = 10
)

// Evolve folds one stored event. An event that cannot be true where it stands changes nothing but Fault.
func Evolve(s Published, sequence uint64, e *lockboxv1.Event) Published {
	before := s
	if !s.Next(sequence, e) {
		before.Fault = s.Fault
		return before
	}
	p := e.GetRulesPublished()
	sum := sha256.Sum256([]byte(p.GetText()))
	switch {
	case p == nil || e.GetKind() != "policy" || e.GetAggregateId() != "rules":
		before.Fail(sequence, "the fact belongs to another kind of aggregate")
		return before
	case !event.Provider(e.GetActor(), event.SecurityOfficers):
		before.Fail(sequence, "rules are published by the provider's security officer (R14)")
		return before
	case !bytes.Equal(sum[:], p.GetSha256()):
		before.Fail(sequence, "rules are known by their hash (R14)")
		return before
	}
	s.Text, s.PolicyVersion, s.By, s.At = p.GetText(), p.GetVersion(), e.GetActor(), e.GetTime().AsTime()
	return s
}

// Decide says what a command makes true of the provider's rules. No events and no error: that very set is in force.
func Decide(s Published, c event.Command, now time.Time) ([]*lockboxv1.Event, error) {
	publish := c.GetPublishRules()
	switch _, seen := s.Caused(c.GetId()); {
	case s.Fault != nil:
		return nil, refusal.Precondition("aggregate_id", "I6", "the history of the rules contradicts itself at sequence %d (%s)", s.Fault.Sequence, s.Fault.Rule)
	case publish == nil:
		return nil, refusal.Invalid("action", "bad input", "this command is not about the rules")
	case !event.Provider(c.By, event.SecurityOfficers):
		return nil, refusal.Forbidden("token", "R14", "rules are published by the provider's security officer")
	case seen:
		return nil, nil
	case c.GetSeenVersion() != 0 && c.GetSeenVersion() != s.Version:
		return nil, refusal.Conflict("seen_version", "R14", "other rules were published since: version %d then, %d now", c.GetSeenVersion(), s.Version)
	case len(publish.GetText()) > maxPublished:
		return nil, refusal.Invalid("publish_rules.text", "R14", "is %d bytes long; at most %d are published", len(publish.GetText()), maxPublished)
	}
	rules, err := Parse([]byte(publish.GetText()))
	var problems Problems
	if errors.As(err, &problems) {
		first := strings.ReplaceAll(problems[:min(told, len(problems))].Error(), "\n", "; ")
		return nil, refusal.Invalid("publish_rules.text", "R14", "%d to be put right (line:column): %s", len(problems), first)
	}
	if err != nil {
		return nil, err
	}
	if s.Exists() && s.PolicyVersion == rules.Version() {
		return nil, nil
	}
	sum := sha256.Sum256([]byte(publish.GetText()))
	e := s.Follow(c.By, c.GetId(), now)
	e.Tenant, e.Kind, e.AggregateId = c.GetTenant(), "policy", "rules"
	e.Fact = &lockboxv1.Event_RulesPublished{RulesPublished: &lockboxv1.RulesPublished{
		Text: publish.GetText(), Version: rules.Version(), Sha256: slices.Clone(sum[:]),
	}}
	return []*lockboxv1.Event{e}, nil
}
