package answer

import (
	"context"
	"encoding/hex"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mostCounted is among how many of somebody's last decisions it is looked for one whose key's counter fell behind.
const mostCounted = 64

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
