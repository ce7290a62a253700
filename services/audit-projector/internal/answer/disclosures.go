package answer

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/disclosure"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/proto"
)

// listDisclosures returns all disclosures to security officers, and those already notified to the customer's people who
// see their whole tenant (R46).
func (v *viewer) listDisclosures(ctx context.Context, wanted uint32) (*lockboxv1.DisclosureList, error) {
	limit, err := pageLimit("list_disclosures.limit", wanted)
	if err != nil {
		return nil, err
	}
	if !v.scope.All || !v.sees() {
		return nil, notFound()
	}
	rows, err := v.Disclosures(ctx, v.scope, limit)
	if err != nil {
		return nil, err
	}
	history, err := v.History(ctx, rows, false)
	if err != nil {
		return nil, err
	}
	list, size := new(lockboxv1.DisclosureList), 0
	for _, r := range rows {
		var s disclosure.State
		for _, e := range history[r.Sequence] {
			s = disclosure.Evolve(s, e.Sequence, e.Event)
		}
		shown := view.Disclosure(s)
		if size += proto.Size(shown) + 8; size > largest {
			break
		}
		list.Disclosures = append(list.Disclosures, shown)
	}
	return list, nil
}
