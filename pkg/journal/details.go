package journal

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// Details encrypts what can be erased of events, and decrypts it as long as it was not erased (R63). It is
// *keystore.Store.
type Details interface {
	// Seal returns the event encrypted. It changes nothing of the one that it is given.
	Seal(ctx context.Context, e *lockboxv1.Event) (*lockboxv1.Event, error)
	// Open decrypts an event in place.
	Open(ctx context.Context, e *lockboxv1.Event) error
	// OnForget has a function called each time that something was erased.
	OnForget(forget func())
}

// WithDetails makes the journal store events encrypted, and hand them over decrypted. Without it events are stored as
// they are, and of those that are encrypted it says that they cannot be read.
func WithDetails(d Details) Option { return func(j *Journal) { j.details = d } }

// OnForget has a function called each time that something was erased: what the journal read before is to be read anew.
func (j *Journal) OnForget(forget func()) {
	if j.details != nil {
		j.details.OnForget(forget)
	}
}

// Details returns what encrypts and decrypts events; nil if nothing does.
func (j *Journal) Details() Details { return j.details }

// Unread reports whether the journal has read events that are encrypted, without a key store to decrypt them.
func (j *Journal) Unread() bool { return j.unread.Load() }

// seal returns events as they are stored.
func (j *Journal) seal(ctx context.Context, evs []*lockboxv1.Event) ([]*lockboxv1.Event, error) {
	if j.details == nil {
		return evs, nil
	}
	sealed := make([]*lockboxv1.Event, len(evs))
	for i, e := range evs {
		var err error
		if sealed[i], err = j.details.Seal(ctx, e); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// open decrypts a stored event.
func (j *Journal) open(ctx context.Context, e *lockboxv1.Event) error {
	if e == nil {
		return nil
	}
	if j.details != nil {
		return j.details.Open(ctx, e)
	}
	return erasable.Open(e, func(erasable.KeyID) (key erasable.Key, s erasable.Standing, err error) {
		if !j.unread.Swap(true) {
			j.log.Warn("there are events of which details and texts cannot be read: no key store is configured",
				zap.String("event", e.GetId()))
		}
		return key, erasable.Unknown, nil
	})
}
