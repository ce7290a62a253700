package orchestrator

import (
	"bytes"
	"context"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// setAside records that a stored message which cannot be an event may be ignored. It reads the message itself, and
// needs neither the guard's lease nor any aggregate, so it works while the alarm lasts. The report's key is the
// command's id, which nobody can guess and take beforehand.
func (o *orchestrator) setAside(ctx context.Context, c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	by, err := o.verify(c, tenant.State{})
	if err != nil {
		return nil, err
	}
	if !aggregate.Provider(by, aggregate.SecurityOfficers) {
		return nil, refusal.Forbidden("token", "I6", "setting a message aside is for the provider's security officer")
	}
	wanted := c.GetSetAsideMessage()
	if err := prose.Check("set_aside_message.reason", wanted.GetReason(), 1, 4000); err != nil {
		return nil, err
	}
	m, err := o.Journal.Misfit(ctx, wanted.GetSequence())
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(m.SHA256, wanted.GetSha256()) {
		return nil, refusal.Conflict("set_aside_message.sha256", "I6",
			"message %d has the SHA-256 %x, and not the one that was named", m.Seq, m.SHA256)
	}
	if decided, found, err := o.Journal.SetAside(ctx, m); found || err != nil {
		return &lockboxv1.CommandReply{Sequence: decided.Seq, Message: "nothing to do: it was set aside already"}, err
	}
	at := aggregate.Guard
	e := &lockboxv1.Event{
		Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, ReportKey: c.GetId(), Time: timestamppb.New(o.Now()), Actor: by,
		CausationId: c.GetId(), TraceParent: c.GetTraceParent(),
		Fact: &lockboxv1.Event_MessageSetAside{MessageSetAside: &lockboxv1.MessageSetAside{
			Sequence: m.Seq, Sha256: m.SHA256, Subject: m.Subject, Reason: wanted.GetReason(),
		}},
	}
	if err := repository.Identify(e); err != nil {
		return nil, err
	}
	begun := time.Now()
	sequence, stored, err := o.Journal.Report(ctx, e)
	if err != nil {
		return nil, err
	}
	if !stored {
		return nil, refusal.Conflict("id", "bad input", "a command of this id was carried out before")
	}
	o.Counters.Event(aggregate.TypeOf(e))
	o.Traces.Wrote(ctx, e, begun)
	return &lockboxv1.CommandReply{Sequence: sequence, EventId: e.GetId()}, nil
}
