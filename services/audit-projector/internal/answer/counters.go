package answer

import (
	"context"
	"encoding/hex"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mostCounted is among how many of somebody's last decisions it is looked for one whose key's counter fell behind.
const mostCounted = 64

// signatures are what the signatures of requests' decisions are worth, by the request's id and the event's version.
type signatures map[string]map[uint64]*lockboxv1.SignatureView

// signature returns what the signature of a decision is worth; nil if the event is none, or of before the customer had
// keys. known remembers the requests that were looked at.
func (v *viewer) signature(
	ctx context.Context, e projection.Event, known signatures,
) (*lockboxv1.SignatureView, error) {
	id, c := e.Event.GetAggregateId(), v.Customer(e.Event.GetTenant())
	if _, is := request.Given(e.Event); !is || v.reduced || c == nil || c.Keys.Began() == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	if known[id] == nil {
		_, events, err := v.history(ctx, "list_activity.request_id", id, false)
		if err != nil {
			return nil, err
		}
		known[id] = view.Signatures(c.Keys, events)
	}
	return known[id][e.Event.GetVersion()], nil
}

// counted says of a request's signatures whose key's counter fell behind (R42).
func (v *viewer) counted(
	ctx context.Context, tenant string, keys keychain.State, events []projection.Event,
	signed map[uint64]*lockboxv1.SignatureView,
) error {
	for _, e := range events {
		is := signed[e.Event.GetVersion()]
		if e.Event.GetSigned() == nil || !is.GetHolds() || is.GetKind() != approval.KindWebAuthn {
			continue
		}
		before, err := v.Decided(ctx, tenant, e.Event.GetActor().GetPerson(), e.Sequence, mostCounted)
		if err != nil {
			return err
		}
		counters := keys.Counters()
		for _, d := range before {
			_, behind := counters.Behind(d.Event.GetSigned(), d.Sequence)
			is.CounterBehind = behind && d.Sequence == e.Sequence
		}
	}
	return nil
}

// countedKeys says of keys when their counters last fell behind.
func (v *viewer) countedKeys(ctx context.Context, keys keychain.State, list []*lockboxv1.KeyView) error {
	for _, k := range list {
		if k.GetKind() != approval.KindWebAuthn || k.GetPerson() == nil {
			continue
		}
		decisions, err := v.Decided(ctx, v.scope.Tenant, k.GetPerson(), keychain.Now, mostCounted)
		if err != nil {
			return err
		}
		counters := keys.Counters()
		for _, d := range decisions {
			if id, behind := counters.Behind(d.Event.GetSigned(), d.Sequence); behind && id == hex.EncodeToString(k.GetKeyId()) {
				k.CounterBehind = timestamppb.New(d.Event.GetTime().AsTime())
			}
		}
	}
	return nil
}
