package verifier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// suspicion is what the bytes of a tenant's events contradict, and what has to be shown of them so that others see it.
type suspicion struct {
	What string `json:"what"`
	// Entries are the tenant sequences of events, and About aggregates of which all events are needed.
	Entries []uint64 `json:"entries,omitempty"`
	About   []string `json:"about,omitempty"`
}

// fold is what a tenant's events say, read in the order of the tenant's tree.
type fold struct {
	stories map[string]*story
	// judge says who signed an event; nil: nobody looks. always says that every event of the log is signed.
	judge  merkle.JudgeWriter
	always bool
	// partial: what is read next is not all of its aggregate.
	partial bool
	// signed is the first event that was signed by its writer, and latest the one with the latest time among those that
	// were decided; 0: there is none.
	signed, latest uint64
	latestAt       time.Time
}

// story is one aggregate of a decided kind.
type story struct {
	events []invariant.Recorded
	// hidden are the types of those that are withheld, and last are the bytes of the last version; nil if that is.
	hidden  []string
	last    []byte
	version uint64
	// odd: its versions are not 1, 2, 3 … once each, or something stands there that is no event.
	odd bool
}

// openError is what is not shown of an event and could be.
type openError string

func (e openError) Error() string { return string(e) }

// knownTypes are the types of event that this version knows.
var knownTypes = func() map[string]bool {
	known := map[string]bool{}
	for _, f := range fact.Facts() {
		known[f.Type] = true
	}
	return known
}()

// withheldType is the only one that a log withholds of its customers' own events.
const withheldType = "AccessEvaluated"

// parts are a subject's kind and type; empty if it is no event's.
func parts(subject string) (kind, typ string) {
	if tokens := strings.Split(subject, "."); len(tokens) == 7 {
		return tokens[3], tokens[6]
	}
	return "", ""
}

// keyOf is the aggregate that the first tokens of a subject name.
func keyOf(about string) aggregate.Key {
	tokens := strings.Split(about, ".")
	return aggregate.Key{Tenant: tokens[2], Kind: tokens[3], ID: tokens[4]}
}

func aboutOf(a aggregate.Key) string {
	return strings.Join([]string{"lockbox", "event", a.Tenant, a.Kind, a.ID}, ".")
}

// take reads the next event. It returns what it contradicts; openError for what is not shown of it; and ErrInconclusive
// if these are not its bytes: then nothing was read.
func (f *fold) take(s merkle.Statement, e merkle.Shown) (found []suspicion, err error) {
	kind, typ := parts(s.Subject)
	about, version := merkle.About(s.Subject)
	decided := slices.Contains(decidedKinds, kind) && version > 0
	var is *lockboxv1.Event
	var open error
	switch {
	case kind == "" || !knownTypes[typ]: // no event, or of a later version
	case e.Withheld && typ != withheldType:
		open = openError(fmt.Sprintf("the log shows no bytes for entry %d, %s", s.TenantSequence, clean(typ)))
	case e.Withheld:
	case e.Salt == nil:
		return nil, fmt.Errorf("%w, ask again: the log shows no bytes for entry %d", ErrInconclusive, s.TenantSequence)
	default:
		is, err = s.Open(merkle.Salt(*e.Salt), e.Bytes)
		var proof *merkle.ProofError
		if errors.As(err, &proof) && proof.Part != merkle.Binding {
			return nil, fmt.Errorf("%w, ask again: %w", ErrInconclusive, err)
		}
		if err != nil || fact.WriterOf(is) == "" {
			found = append(found, suspicion{What: fmt.Sprintf("entry %d is recorded as %s, and its bytes are no such event",
				s.TenantSequence, clean(s.Subject)), Entries: []uint64{s.TenantSequence}})
			is = nil
		}
	}
	st := &story{}
	if decided {
		if st = f.stories[about]; st == nil {
			st = &story{}
			f.stories[about] = st
		}
		st.odd = st.odd || version != st.version+1
	}
	if is != nil {
		one, uncertified := f.signature(s, is, e.Bytes, st)
		found = append(found, one...)
		if open == nil {
			open = uncertified
		}
		if decided {
			found = append(found, f.time(s, is)...)
		}
		if err := unsealed(is); err != nil {
			return nil, err
		}
	}
	if decided {
		st.version = version
		st.add(s, typ, is, e.Bytes)
	}
	return found, open
}

func (st *story) add(s merkle.Statement, typ string, is *lockboxv1.Event, stored []byte) {
	switch {
	case is != nil:
		st.last = stored
		st.events = append(st.events, invariant.Recorded{Sequence: s.TenantSequence, Event: is})
	case typ == withheldType:
		st.last, st.hidden = nil, append(st.hidden, typ)
	default:
		st.last, st.odd = nil, true
	}
}

// unsealed makes of what is encrypted in an event what it is to whoever has no keys.
func unsealed(e *lockboxv1.Event) error {
	return erasable.Open(e, func(erasable.KeyID) (erasable.Key, erasable.Standing, error) {
		return erasable.Key{}, erasable.Destroyed, nil
	})
}

// signature judges who signed an event.
func (f *fold) signature(s merkle.Statement, is *lockboxv1.Event, stored []byte, st *story) ([]suspicion, error) {
	if f.judge == nil {
		return nil, nil
	}
	before := st.last
	if st.odd || f.partial {
		before = nil // nobody knows which one it was written to follow
	}
	_, err := f.judge(s.Subject, is, stored, before)
	var broken *signed.Error
	unfit := func(need ...uint64) []suspicion {
		x := suspicion{What: fmt.Sprintf("entry %d, %s: %s", s.TenantSequence, clean(s.Subject), clean(err.Error())),
			Entries: append(need, s.TenantSequence)}
		if broken != nil && broken.Rule == signed.RulePrevious {
			about, _ := merkle.About(s.Subject)
			x.About = []string{about}
		}
		return []suspicion{x}
	}
	switch {
	case err == nil:
		if f.signed == 0 {
			f.signed = s.TenantSequence
		}
		return nil, nil
	case !errors.As(err, &broken):
		return nil, err
	case broken.Rule == signed.RuleUnknownKey:
		return nil, openError(fmt.Sprintf("entry %d is signed with a key for which the log shows no certificate",
			s.TenantSequence))
	case broken.Rule != signed.RuleUnsigned || f.always:
		return unfit(), nil
	case f.signed > 0 && f.signed < s.TenantSequence:
		return unfit(f.signed), nil
	}
	return nil, nil // from before signing began
}

// time compares an event's time with those of the events before it.
func (f *fold) time(s merkle.Statement, is *lockboxv1.Event) (found []suspicion) {
	at := is.GetTime().AsTime()
	if at.Before(f.latestAt.Add(-invariant.Backwards)) {
		found = []suspicion{{What: fmt.Sprintf("entry %d says %s, and entry %d before it %s", s.TenantSequence, utc(at),
			f.latest, utc(f.latestAt)), Entries: []uint64{f.latest, s.TenantSequence}}}
	}
	if f.latest == 0 || at.After(f.latestAt) {
		f.latest, f.latestAt = s.TenantSequence, at
	}
	return found
}

// foldedKinds are those of which rules are checked beyond their order and their signatures.
var foldedKinds = []string{fact.KindRequest, fact.KindTenant, fact.KindSubscription}

// check checks aggregates that were read as far as they are known; of what is not whole nothing is. It returns what
// contradicts what, and what cannot be checked, in words.
func (f *fold) check(abouts []string, whole func(about string) bool) (found []suspicion, unchecked []string) {
	abouts = slices.DeleteFunc(slices.Clone(abouts), func(about string) bool {
		return !slices.Contains(foldedKinds, keyOf(about).Kind)
	})
	sight, added := invariant.NewSight(), map[string]bool{}
	add := func(about string) {
		st, of := f.stories[about], keyOf(about)
		if added[about] {
			return
		}
		if added[about] = true; st == nil || st.odd || !whole(about) {
			sight.Miss(of)
		}
		if st == nil {
			return
		}
		for _, r := range st.events {
			sight.Add(r)
		}
		for _, typ := range st.hidden {
			sight.Hide(of, typ)
		}
	}
	for _, about := range abouts {
		add(about)
		for _, basis := range f.basis(keyOf(about)) {
			add(basis)
		}
	}
	for _, about := range abouts {
		of := keyOf(about)
		basis := f.basis(of)
		broken, not := sight.Check(of)
		for _, v := range broken {
			x := suspicion{What: fmt.Sprintf("entry %d, of the %s %s, is against the rules: %s", v.Sequence, of.Kind,
				clean(of.ID), clean(v.What)), Entries: []uint64{v.Sequence}, About: []string{about}}
			if !sight.Alone(of, v) {
				x.About = append(x.About, basis...)
			}
			found = append(found, x)
		}
		if st := f.stories[about]; st != nil && !st.odd { // of which it was said that it contradicts itself
			unchecked = append(unchecked, not...)
		}
	}
	return found, unchecked
}

// basis is what the events of an aggregate rest on.
func (f *fold) basis(of aggregate.Key) (abouts []string) {
	if of.Kind != fact.KindTenant {
		abouts = append(abouts, aboutOf(aggregate.Tenant(of.Tenant)))
	}
	return append(abouts, f.subscriptions(of)...)
}

// subscription is what a request is about; empty if it is not known, or about none.
func (f *fold) subscription(of aggregate.Key) string {
	st := f.stories[aboutOf(of)]
	if of.Kind != fact.KindRequest || st == nil || len(st.events) == 0 {
		return ""
	}
	return st.events[0].Event.GetAccessRequested().GetIntent().GetSubscriptionId()
}

// subscriptions are those that a request can be about, by any spelling that was read.
func (f *fold) subscriptions(of aggregate.Key) (abouts []string) {
	id := f.subscription(of)
	if id == "" {
		return nil
	}
	for about := range f.stories {
		if a := keyOf(about); a.Kind == fact.KindSubscription && strings.EqualFold(a.ID, id) {
			abouts = append(abouts, about)
		}
	}
	if len(abouts) == 0 {
		return []string{aboutOf(aggregate.Subscription(of.Tenant, id))}
	}
	slices.Sort(abouts)
	return abouts
}
