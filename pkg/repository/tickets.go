package repository

import (
	"context"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/ticket"
)

// oldTickets are a tenant's tickets from before there were references, by their folded ids, as of a sequence.
type oldTickets struct {
	through uint64
	folded  map[string][]string
}

// knownTenants is how many tenants' old tickets a Repository remembers, up to twice as many.
const knownTenants = 256

// TicketKey returns the key of the ticket of a tenant that somebody names by its reference, in any spelling, or by its
// id; of a ticket that does not exist, where it would be. It refuses (CONFLICT, naming the field) a spelling that fits
// several tickets, none of them exactly.
//
// A ticket with a reference costs one direct read. Only if there is none does it look for tickets from before there
// were references, whose ids are spelled in any way: all of the tenant's are read once, and later only what was opened
// since.
func (r *Repository) TicketKey(ctx context.Context, field, tenant, named string) (aggregate.Key, error) {
	keys, err := TicketKeys(tenant, named)
	if err != nil {
		return aggregate.Key{}, err
	}
	states, err := r.Basis(ctx, keys...)
	if err != nil {
		return aggregate.Key{}, err
	}
	return r.TicketIn(ctx, states, field, tenant, named)
}

// TicketKeys returns the keys under which TicketIn looks for a ticket first.
func TicketKeys(tenant, named string) ([]aggregate.Key, error) {
	if err := input.Tenant("tenant", tenant); err != nil {
		return nil, err
	}
	named = strings.TrimSpace(prose.Line(named))
	keys := []aggregate.Key{aggregate.Ticket(tenant, aggregate.TicketID(named))}
	if exact := aggregate.Ticket(tenant, named); input.Token("", named) == nil && exact != keys[0] {
		keys = append(keys, exact)
	}
	return keys, nil
}

// TicketIn is TicketKey for states that hold what there is under TicketKeys.
func (r *Repository) TicketIn(
	ctx context.Context, states States, field, tenant, named string,
) (aggregate.Key, error) {
	keys, err := TicketKeys(tenant, named)
	if err != nil {
		return aggregate.Key{}, err
	}
	named = strings.TrimSpace(prose.Line(named))
	var fits []ticket.Name
	for _, key := range keys {
		if states[key] == nil {
			continue
		}
		t := states.Ticket(tenant, key.ID)
		if key.ID == named || t.Reference != "" && t.Reference != key.ID || t.Fault != nil {
			return key, nil // there is no other, or it is named exactly
		}
		fits = append(fits, ticket.Name{ID: key.ID, Reference: t.Reference})
	}
	old, err := r.oldTickets(ctx, tenant)
	if err != nil {
		return aggregate.Key{}, err
	}
	for _, id := range old.folded[aggregate.FoldReference(named)] {
		if !slices.Contains(fits, ticket.Name{ID: id, Reference: id}) {
			fits = append(fits, ticket.Name{ID: id, Reference: id})
		}
	}
	picked, found, err := ticket.Pick(field, named, fits)
	if err != nil || !found {
		return keys[0], err
	}
	return aggregate.Ticket(tenant, picked.ID), nil
}

// oldTickets returns a tenant's tickets without references. They become no more, except while a version that knows no
// references runs beside this one.
func (r *Repository) oldTickets(ctx context.Context, tenant string) (oldTickets, error) {
	known, _ := r.unreferenced.Get(tenant)
	now := oldTickets{known.through, known.folded}
	copied := false
	err := r.Journal.Replay(ctx, journal.Replay{Tenant: tenant, Kind: aggregate.KindTicket, Type: "TicketOpened",
		From: known.through + 1}, func(e journal.Entry) error {
		now.through = e.Seq
		id := e.Event.GetAggregateId()
		if e.Event.GetTicketOpened().GetReference() != "" {
			return nil
		}
		if !copied { // others may be reading it
			now.folded, copied = make(map[string][]string, len(known.folded)+1), true
			for folded, ids := range known.folded {
				now.folded[folded] = slices.Clip(ids)
			}
		}
		folded := aggregate.FoldReference(id)
		now.folded[folded] = append(now.folded[folded], id)
		return nil
	})
	if err != nil {
		return now, err
	}
	r.unreferenced.Update(tenant, func(before oldTickets) (oldTickets, bool) { return now, now.through > before.through })
	return now, nil
}
