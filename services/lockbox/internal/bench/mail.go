package bench

import (
	"context"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
)

// Mail is the throughput of the notifier alone: it works off waiting requests over real SMTP, to a mailbox in this
// process that stores each mail as a file.
type Mail struct {
	Requests int `json:"requests"`
	Mails    int `json:"mails"`
	// Rate is in mails per second.
	Rate float64 `json:"mails_per_s"`
}

var notificationSent = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_NotificationSent{}})

func (b *bench) mail(ctx context.Context) error {
	s, err := newSite(ctx, filepath.Join(b.dir, "mail"), "")
	if err != nil {
		return err
	}
	lives, err := b.populate(ctx, s, b.scale.mails, func(int) fate { return active })
	if err != nil {
		return err
	}
	b.say("mail: the notifier alone")
	m := Mail{Requests: len(lives)}
	begun := time.Now()
	err = s.with(ctx, []bus.Identity{bus.Notifier}, func(running *stack.Stack) error {
		if err := awaitIdle(ctx, running, bus.Notifier); err != nil {
			return err
		}
		took := time.Since(begun)
		p, err := connect(ctx, running, bus.Compliance)
		if err != nil {
			return err
		}
		defer p.Close()
		err = p.Replay(ctx, journal.Replay{Kind: aggregate.KindDelivery, Type: notificationSent}, func(journal.Entry) error {
			m.Mails++
			return nil
		})
		m.Rate = perSecond(m.Mails, took)
		return err
	})
	b.report.Mail = &m
	return err
}
