package verifier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

// headOf is the head of an aggregate with its proof.
type headOf struct {
	About string `json:"about"`
	merkle.ReceiptHead
}

// facts returns what the bytes of the events contradict. Nothing is believed of them but what the log committed to:
// that they stand where they do, what their bytes are, and of which aggregates they are all.
func (e *evidence) facts(policy *merkle.Policy) ([]string, error) {
	if _, err := e.Shown.Verify(policy); err != nil {
		return nil, err
	}
	f := &fold{stories: map[string]*story{}}
	if e.pinned != nil {
		var err error
		if f.judge, err = e.pinned.Certified(e.Writers); err != nil {
			return nil, err
		}
		f.always = e.pinned.BeganAt == 1
	}
	whole, err := e.whole()
	if err != nil {
		return nil, err
	}
	var all []suspicion
	for i, is := range e.Events {
		if i > 0 && is.TenantSequence <= e.Events[i-1].TenantSequence {
			return nil, errors.New("the events do not follow each other")
		}
		s, err := e.proved(is)
		if err != nil {
			return nil, err
		}
		about, _ := merkle.About(s.Subject)
		f.partial = !whole[about]
		found, err := f.take(s, merkle.Shown{Withheld: is.Withheld, Salt: is.Salt, Bytes: is.Bytes})
		var open openError
		if err != nil && !errors.As(err, &open) {
			return nil, err
		}
		all = append(all, found...)
	}
	found, _ := f.check(slices.Sorted(maps.Keys(f.stories)), func(about string) bool { return whole[about] })
	var says []string
	for _, x := range append(all, found...) {
		says = append(says, x.What)
	}
	return proved(says, nil)
}

// proved checks that an event stands in the tree.
func (e *evidence) proved(is merkle.ReceiptEvent) (merkle.Statement, error) {
	s, tree := is.Statement(), e.Shown.Opening.Tree()
	if err := s.Check(); err != nil {
		return s, err
	}
	if s.TenantSequence > uint64(tree.N) { //nolint:gosec // G115: the opening was checked
		return s, fmt.Errorf("the tree has no entry %d", s.TenantSequence)
	}
	n := int64(s.TenantSequence - 1) //nolint:gosec // G115: less than a size
	return s, tlog.CheckRecord(is.Proof, tree.N, tree.Hash, n, tlog.RecordHash(s.Append(nil)))
}

// whole returns the aggregates of which the events are all that the log counts, with one for each version.
func (e *evidence) whole() (map[string]bool, error) {
	running := map[string]merkle.Head{}
	for _, is := range e.Events {
		about, version := merkle.About(is.Subject)
		h := running[about]
		h.Key = merkle.HeadKey(about)
		running[about] = h.Then(version, tlog.RecordHash(is.Statement().Append(nil)))
	}
	whole := map[string]bool{}
	for _, h := range e.Heads {
		if e.Shown.Opening.Heads == nil {
			return nil, errors.New("the checkpoint has no heads")
		}
		is := merkle.Head{Key: merkle.HeadKey(h.About), Version: h.Version, Count: h.Count, Running: h.Running}
		head, found, err := merkle.CheckHead(*e.Shown.Opening.Heads, merkle.HeadProof{Head: is, Path: h.Proof}, h.About)
		if err != nil {
			return nil, err
		}
		whole[h.About] = found && head == running[h.About] && head.Version == head.Count
	}
	return whole, nil
}

// accuse saves what convicts the log of what was found in bytes. What cannot be proved to others is said, and is no
// conviction.
func (p *pass) accuse(ctx context.Context, known *state, shown merkle.Seen) error {
	if len(p.c.Suspect) == 0 {
		return nil
	}
	e, err := p.evidence(ctx, known, shown)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(p.w.evidenceFile(), ".json") + "-events.json"
	said := e.save(name, p.w.policy)
	f := finding{What: e.What, Evidence: name}
	if !errors.Is(said, ErrContradiction) {
		var what []string
		for _, x := range p.c.Suspect {
			what = append(what, x.What)
		}
		f = finding{What: strings.Join(what, "; ")}
		said = unprovable(f)
	}
	known.Found, p.c.Suspect = append(known.Found, f), nil
	return said
}

func unprovable(f finding) error {
	return fmt.Errorf("%w to others, and yet you see it: %s. Ask the provider; with --acknowledge this is not said again",
		ErrInconclusive, f.What)
}

// evidence collects what shows what is suspected.
func (p *pass) evidence(ctx context.Context, known *state, shown merkle.Seen) (*evidence, error) {
	e := &evidence{Shown: &shown, pinned: p.w.pinned}
	var places []uint64
	for _, x := range p.c.Suspect {
		places = append(places, x.Entries...)
		for _, about := range x.About {
			places = append(places, p.c.places(about)...)
			is := func(h headOf) bool { return h.About == about }
			if shown.Opening.Heads == nil || slices.ContainsFunc(e.Heads, is) {
				continue
			}
			if head, err := known.Read.heads.View().Receipt(about); err == nil {
				e.Heads = append(e.Heads, headOf{about, *head})
			}
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	hashes := merkle.Hashes(p.from, p.tree)
	err := p.shown(ctx, places, func(s merkle.Statement, is merkle.Shown) error {
		event := s.Receipt()
		if event.Withheld = is.Withheld; !is.Withheld {
			event.Salt, event.Bytes = is.Salt, is.Bytes
		}
		var err error
		n := int64(s.TenantSequence - 1) //nolint:gosec // G115: less than a size
		if event.Proof, err = tlog.ProveRecord(p.tree.N, n, hashes); err != nil {
			return fmt.Errorf("%w, ask again: %w", ErrInconclusive, err)
		}
		e.Events = append(e.Events, event)
		return nil
	})
	e.Writers = p.certificates
	return e, err
}
