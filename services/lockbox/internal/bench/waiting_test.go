package bench

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
)

// BenchmarkTenThousandWaiting measures what an approver of 10,000 waiting requests does, over the bus and with every
// service running: turn a page, filter, and decide one, until the list is without it. The aim is 200 ms each.
func BenchmarkTenThousandWaiting(b *testing.B) {
	const waiting = 10_000
	ctx := b.Context()
	s, err := newSite(ctx, b.TempDir(), "")
	fatal(b, err)
	to := &bench{dir: s.dir, report: &Report{}}
	ids, err := to.populate(ctx, s, waiting, func(int) fate { return pending })
	fatal(b, err)
	fatal(b, s.with(ctx, none, func(running *stack.Stack) error { return skipAll(ctx, running) }))
	fatal(b, s.with(ctx, nil, func(running *stack.Stack) error {
		if err := s.answered(ctx, running, 0); err != nil {
			return err
		}
		c, err := newClient(ctx, s, running)
		if err != nil {
			return err
		}
		defer c.Close()
		nc := c.peers[bus.Client].Conn
		list := func(more *lockboxv1.ListRequests) *lockboxv1.RequestList {
			more.AwaitingMe, more.Limit, more.Count = true, 50, true
			return listed(ctx, b, nc, c.decider, more)
		}
		for name, filter := range map[string]*lockboxv1.ListRequests{
			"first page": {}, "by deadline": {Order: lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE},
			"of an engineer": {Engineer: "erin"}, "of a subscription": {SubscriptionId: demo.BankProduction},
			"of a service": {ResourceType: "compute/virtual-machines"}, "of a ticket": {TicketId: demo.BankTicket},
			"of a part of an id": {IdPart: ids[waiting/2][24:]},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if len(list(filter).GetRequests()) == 0 {
						b.Fatal("it finds nothing")
					}
				}
			})
		}
		b.Run("page after page", func(b *testing.B) {
			ask := &lockboxv1.ListRequests{Order: lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE}
			for b.Loop() {
				ask.PageToken = list(ask).GetNextPageToken() // after the last, the first again
			}
		})
		b.Run("decide", func(b *testing.B) {
			for b.Loop() {
				id := ids[0]
				ids = ids[1:]
				if err := c.approve(ctx, id); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decide and see the list without it", func(b *testing.B) {
			for b.Loop() {
				id := ids[0]
				ids = ids[1:]
				if err := c.approve(ctx, id); err != nil {
					b.Fatal(err)
				}
				for waits(ctx, b, nc, c.decider, id) {
					continue
				}
				list(&lockboxv1.ListRequests{})
			}
		})
		return nil
	}))
}

func listed(
	ctx context.Context, b *testing.B, nc *nats.Conn, token string, q *lockboxv1.ListRequests,
) *lockboxv1.RequestList {
	b.Helper()
	q.Statuses = []lockboxv1.RequestStatus{request.CustomerNotified}
	reply, err := ask(ctx, nc, &lockboxv1.Query{Tenant: customer, Token: token,
		Ask: &lockboxv1.Query_ListRequests{ListRequests: q}})
	fatal(b, err)
	return reply.GetRequests()
}

// waits reports whether a request still waits, as people see it.
func waits(ctx context.Context, b *testing.B, nc *nats.Conn, token, id string) bool {
	b.Helper()
	reply, err := ask(ctx, nc, &lockboxv1.Query{Tenant: customer, Token: token,
		Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	fatal(b, err)
	return reply.GetRequest().GetStatus() == request.CustomerNotified
}

func fatal(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
