package verifier

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	texts "github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// readSigned says what the customer's people have signed in the events that are new, made from the statements alone,
// and what of it does not hold under their keys. The events about keys are read again each time: there are few.
func (p *pass) readSigned(ctx context.Context) (faults []string, err error) {
	tree, told := uint64(p.tree.N), p.c.Told //nolint:gosec // G115: a size
	about := aboutOf(aggregate.Keys(p.w.Tenant))
	places := p.c.places(about)
	if len(places) == 0 && p.w.Pin != nil {
		return []string{"THE LOG SHOWS NO KEYS of this customer's, and a fingerprint is pinned"}, nil
	}
	if told >= tree || len(places) == 0 {
		p.c.Told = tree
		return nil, nil
	}
	keys, err := p.proven(ctx, places)
	if err != nil {
		return nil, err
	}
	said, chain, faults := saidOfKeys(keys, told, p.w.Pin)
	p.w.remarks = append(p.w.remarks, said...)
	var requests []string
	for about := range p.c.Places {
		places := p.c.places(about)
		if keyOf(about).Kind == fact.KindRequest && places[len(places)-1] > told {
			requests = append(requests, about)
		}
	}
	slices.Sort(requests)
	for _, about := range requests {
		events, err := p.proven(ctx, p.c.places(about))
		if err != nil {
			return faults, err
		}
		said, wrong := saidOfRequest(events, told, chain)
		p.w.remarks = append(p.w.remarks, said...)
		faults = append(faults, wrong...)
	}
	p.c.Told = tree
	return faults, nil
}

// proven reads events that were checked, with their bytes.
func (p *pass) proven(ctx context.Context, places []uint64) (all []merkle.Proven, err error) {
	err = p.shown(ctx, places, func(s merkle.Statement, e merkle.Shown) error {
		is := merkle.Proven{TenantSequence: s.TenantSequence, Subject: s.Subject, Withheld: e.Salt == nil}
		if !is.Withheld {
			event, err := s.Open(merkle.Salt(*e.Salt), e.Bytes)
			if err != nil {
				return fmt.Errorf("%w, ask again: %w", ErrInconclusive, err)
			}
			is.Bytes, is.Event = e.Bytes, event
		}
		all = append(all, is)
		return nil
	})
	return all, err
}

// saidOfKeys says which of these events, after a place, change whose keys count. The chain is nil if it does not hold.
func saidOfKeys(
	keys []merkle.Proven, after uint64, pin *approval.Pin,
) (said []string, c *approval.Chain, faults []string) {
	changed := false
	for _, e := range keys {
		var is *lockboxv1.SignedStatement
		what := "the customer's keys began"
		switch {
		case e.Event.GetKeyChainBegan() != nil:
			is = e.Event.GetKeyChainBegan().GetGenesis()
		case e.Event.GetKeyChainChanged() != nil:
			is, what = e.Event.GetKeyChainChanged().GetChange(), "the customer's keys were changed"
		default:
			continue
		}
		if changed = true; e.TenantSequence > after {
			said = append(said, spoken(fmt.Sprintf("event %d: %s", e.TenantSequence, what), is.GetStatement(),
				approval.FingerprintWords))
		}
	}
	if !changed {
		return nil, nil, nil
	}
	c, err := logged.Chain(keys)
	if err != nil {
		return said, nil, []string{"THE CUSTOMER'S KEYS DO NOT HOLD, and nothing that they sign: " + clean(err.Error())}
	}
	if pin != nil && !pin.Matches(c.Fingerprint()) {
		faults = append(faults, fmt.Sprintf("THE KEYS ARE NOT THOSE OF THE PINNED FINGERPRINT: they are those of %q",
			approval.Text(c.Fingerprint(), approval.FingerprintWords)))
	}
	for _, k := range c.Keys() {
		if k.Added > after && k.From != k.Added && k.Removed == 0 {
			said = append(said, fmt.Sprintf("a key was added for %s: it counts %v after witnesses have seen event %d; who did "+
				"not expect it removes it now", clean(k.Person.Subject), waitsFor(c), k.Added))
		}
	}
	return said, c, faults
}

func waitsFor(c *approval.Chain) string {
	change, _ := c.Genesis().Delays()
	return change.String()
}

// saidOfRequest says which decisions a request's events hold after a place, and what of them does not hold.
func saidOfRequest(request []merkle.Proven, after uint64, c *approval.Chain) (said, faults []string) {
	decisions, terms, termsErr := logged.Decisions(request)
	for _, d := range decisions {
		if d.Sequence <= after || d.Event.GetActor().GetSide() != lockboxv1.Side_SIDE_TENANT {
			continue
		}
		s, err := readStatement(d, c, terms)
		what := fmt.Sprintf("request %s: %s", clean(d.Event.GetAggregateId()), clean(s.Text()))
		switch {
		case d.Signed == nil && s.Decision == approval.Approve && c != nil &&
			c.Demand(d.Sequence).Needs(approval.Approve, true):
			faults = append(faults, what+", WHERE THE CUSTOMER DEMANDS A SIGNATURE")
		case d.Signed == nil:
			said = append(said, what)
		case err != nil || c == nil || termsErr != nil:
			faults = append(faults, what)
		default:
			said = append(said, spoken(what, []byte(d.Signed.Statement), approval.DecisionWords))
		}
	}
	return said, faults
}

// spoken is what a statement says, from its bytes.
func spoken(what string, statement []byte, words int) string {
	text, format, err := texts.Of(statement, "en")
	if err != nil {
		return what + ": a statement that cannot be read: " + clean(err.Error())
	}
	lines := []string{what, "words: " + approval.Text(approval.Digest(format, statement), words)}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, clean(line))
		}
	}
	return strings.Join(lines, "\n    ")
}
