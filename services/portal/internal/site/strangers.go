package site

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// How many commands without a token are under way at once, and how many wait for that.
const (
	strangersAtOnce  = 8
	strangersWaiting = 64
)

// strangers bounds the commands that are sent without a token, such as a revocation by a key alone (R64): anybody can
// send one, and whose key signed it is only known to who receives it. They have slots of their own, which they share by
// the customer that they name as the receiver does (package fair), so that a flood takes up nothing of those who are
// signed in. How many somebody sent within a minute is not counted: whoever spends that first would keep the customer
// from revoking.
type strangers struct {
	Caller
	lanes *fair.Callers
	slots *fair.Slots
}

func bounded(c Caller) strangers {
	return strangers{c, fair.NewCallers(), fair.New(strangersAtOnce, strangersWaiting)}
}

// Do implements Caller.
func (s strangers) Do(
	ctx context.Context, token string, c *lockboxv1.Command,
) (*lockboxv1.CommandReply, error) {
	if token != "" {
		return s.Caller.Do(ctx, token, c)
	}
	lane, _ := s.lanes.Lane(c.GetTenant(), "")
	turn := s.slots.Ask(lane)
	select {
	case granted := <-turn:
		if !granted {
			return nil, refusal.OfKind(refusal.Unavailable("", "I11", "too many at once; try again later"), "busy")
		}
		defer s.slots.Done(lane)
		return s.Caller.Do(ctx, token, c)
	case <-ctx.Done():
		go func() {
			if <-turn {
				s.slots.Done(lane)
			}
		}()
		return nil, ctx.Err()
	}
}
