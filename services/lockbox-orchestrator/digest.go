package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// reportKey is the key of a digest's only report.
const reportKey = "waived"

// clockSkew is how much earlier than its own time an event may be stored.
const clockSkew = 5 * time.Second

// owesReport sees to it that the customer is told of a grant for which they were not asked (R3). A grant names its
// report, and each report has a timer, which all its grants set to the same time. So no grant is forgotten, whichever
// copy of the service is there at the end of the day.
func (o *orchestrator) owesReport(ctx context.Context, e *lockboxv1.Event) error {
	due := e.GetAccessGranted().GetReportAt()
	if due == nil {
		return nil
	}
	about := aggregate.Digest(e.GetTenant(), due.AsTime())
	if at := o.process.Terms.ReportMadeAt(due.AsTime()); o.Now().Before(at) {
		return o.Journal.SetTimer(ctx, about, at)
	}
	return o.report(ctx, about)
}

// report tells a customer of everything that the digest is about, unless that was done, or it is too early: then the
// timer was none of ours. A digest has one key in the stream, so of several copies that report, one does.
func (o *orchestrator) report(ctx context.Context, about aggregate.Key) error {
	if err := o.Clock.Healthy(); err != nil {
		return err
	}
	due, err := aggregate.DigestUntil(about.ID)
	if err != nil {
		return nil //nolint:nilerr // a timer that nobody set for a digest
	}
	if at := o.process.Terms.ReportMadeAt(due); o.Now().Before(at) {
		return o.Journal.SetTimer(ctx, about, at)
	}
	if done, err := o.Journal.Reported(ctx, bus.Filter(about)); done || err != nil {
		return err
	}
	unasked, err := o.unasked(ctx, about.Tenant, due)
	if len(unasked) == 0 || err != nil {
		return err
	}
	states := map[string]request.State{}
	for _, id := range unasked.Listed() {
		of := aggregate.Request(about.Tenant, id)
		read, err := o.repository.Basis(ctx, of)
		var misfit *journal.MisfitError
		if errors.As(err, &misfit) {
			continue // nobody suppresses a report by spoiling one of its requests
		} else if err != nil {
			return err
		}
		states[id] = read.Request(of)
	}
	e := &lockboxv1.Event{
		Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, ReportKey: reportKey, Time: timestamppb.New(o.Now()),
		Actor: o.process.Actor, Fact: &lockboxv1.Event_WaivedAccessReported{
			WaivedAccessReported: unasked.Report(due, o.process.Terms, states)},
	}
	if err := repository.Identify(e); err != nil {
		return err
	}
	_, stored, err := o.Journal.Report(ctx, e)
	if stored {
		o.Counters.Event(aggregate.TypeOf(e))
	}
	return err
}

// unasked reads from the stream what a digest has to report, so that no grant depends on what anybody remembers.
func (o *orchestrator) unasked(ctx context.Context, tenant string, due time.Time) (request.Unasked, error) {
	found := request.Unasked{}
	granted := aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{}})
	err := o.Journal.Replay(ctx, journal.Replay{
		Tenant: tenant, Kind: aggregate.KindRequest, Type: granted, Since: request.ReportSince(due).Add(-clockSkew),
	}, func(e journal.Entry) error {
		if g := e.Event.GetAccessGranted(); g.GetReportAt() != nil && g.GetReportAt().AsTime().Equal(due) {
			found[e.Event.GetAggregateId()] = g
		}
		return nil
	})
	return found, err
}
