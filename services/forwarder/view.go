package forwarder

import (
	"context"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"go.uber.org/zap"
)

// view is the event stream as one customer may see it: its own events, as its activity log shows them. A disclosure
// comes when the customer is told of it, and not before (R46); what was counted over all customers is removed (I9).
//
// Following it costs nothing while nothing happens at that customer: one reader of the stream says when something did.
type view struct {
	Source
	hooks  *hooks
	tenant string
}

// Replay is that of the stream, except that following passes on the customer's events only.
func (v view) Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	if !r.Follow {
		return v.Source.Replay(ctx, r, handle)
	}
	happened := v.hooks.listen(v.tenant)
	defer v.hooks.deafen(v.tenant, happened)
	// Whatever is asked for, it is this customer's.
	r.Follow, r.Tenant = false, v.tenant
	for {
		var handled bool
		err := v.Source.Replay(ctx, r, func(e journal.Entry) error {
			if err := v.show(ctx, e, handle); err != nil {
				handled = true
				return err
			}
			r.From = e.Seq + 1
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case handled:
			return err
		case err != nil: // the bus's fault, not the receiver's
			v.hooks.Log.Warn("the stream cannot be read; trying again", zap.String("tenant", v.tenant), zap.Error(err))
			if !sleep(ctx, time.Second) {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-happened:
		}
	}
}

// show passes on what the customer may see because of an event.
func (v view) show(ctx context.Context, e journal.Entry, handle func(journal.Entry) error) error {
	if e.Event.GetTenant() != v.tenant {
		return nil
	}
	if e.Event.GetKind() != aggregate.KindDisclosure {
		e.Event = activity.ForCustomer(e.Event)
		return handle(e)
	}
	var s disclosure.State
	var all []journal.Entry
	whole := journal.Replay{Tenant: v.tenant, Kind: aggregate.KindDisclosure, ID: e.Event.GetAggregateId()}
	told := false
	err := v.Source.Replay(ctx, whole, func(part journal.Entry) error {
		if part.Seq <= e.Seq {
			told = s.Fault == nil && !s.ToldAt.IsZero()
			s = disclosure.Evolve(s, part.Seq, part.Event)
			all = append(all, part)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case told: // before this event
		return handle(e)
	case s.Fault != nil || s.ToldAt.IsZero():
		return nil
	}
	for _, part := range all {
		if err := handle(part); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
