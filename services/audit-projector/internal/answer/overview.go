package answer

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/prose"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// mailsWithin is how far back mails that failed are counted.
	mailsWithin = 7 * 24 * time.Hour
	// mostCustomers limits the customers in a dashboard.
	mostCustomers = 500
	// signedWithin is how long an event may be in no signed checkpoint.
	signedWithin = 30 * time.Second
)

// Health is what the service knows of the log beyond what is stored.
type Health struct {
	// Verified is when the guard's last complete comparison without a difference began; zero for none.
	Verified time.Time
	// Differences counts what its last comparison found, by kind.
	Differences map[lockboxv1.DifferenceKind]int
	// Current and Away count the servers' copies of the stream.
	Current, Away int
	// Witnesses are those that are asked to cosign, with when they last did.
	Witnesses map[string]time.Time
	// Failed reports that signing has stopped.
	Failed bool
}

// getOverview returns figures about the requests that the caller may see. An engineer's own requests are no overview.
func (v *viewer) getOverview(ctx context.Context, ask *lockboxv1.GetOverview) (*lockboxv1.Overview, error) {
	n, err := v.figured("get_overview", ask.GetEngineer(), ask.GetSubscription(), ask.GetEmergency())
	if err != nil {
		return nil, err
	}
	if !v.sees() || v.reduced {
		return nil, notFound()
	}
	f, err := v.Figures(ctx, v.scope, n, view.Weeks, v.now)
	if err != nil {
		return nil, err
	}
	weeks := view.WeeksUntil(v.now)
	o := &lockboxv1.Overview{AsOf: timestamppb.New(v.now), Open: view.Open(f.Open)}
	view.Recent(o, f, weeks)
	o.Log, err = v.logHealth(ctx, weeks[0])
	return o, err
}

// getDashboard returns how things stand at each customer. For whoever sees all of them.
func (v *viewer) getDashboard(ctx context.Context, ask *lockboxv1.GetDashboard) (*lockboxv1.Dashboard, error) {
	n, err := v.figured("get_dashboard", ask.GetEngineer(), "", ask.GetEmergency())
	if err != nil {
		return nil, err
	}
	if !v.officer() || !v.sees() {
		return nil, notFound()
	}
	figures, err := v.FiguresByTenant(ctx, v.scope, n, view.Weeks, v.now)
	if err != nil {
		return nil, err
	}
	since, mails := view.WeeksUntil(v.now)[0], v.now.Add(-mailsWithin).Truncate(time.Hour)
	failed, err := v.EventsOf(ctx, v.scope, "NotificationFailed", mails)
	if err != nil {
		return nil, err
	}
	d := &lockboxv1.Dashboard{AsOf: timestamppb.New(v.now), Since: timestamppb.New(since),
		MailsSince: timestamppb.New(mails), Total: new(lockboxv1.CustomerFigures)}
	var open projection.OpenCount
	for tenant, c := range v.Customers() {
		if v.scope.Tenant != "" && tenant != v.scope.Tenant {
			continue
		}
		of := cmp.Or(figures[tenant], new(projection.Figures))
		open.Add(of.Open)
		f := &lockboxv1.CustomerFigures{Tenant: tenant, TenantName: cmp.Or(c.Tenant.Name, tenant),
			Open: view.Open(of.Open), Emergencies: of.Emergencies(), FailedMails: failed[tenant],
			Fault: c.Tenant.Fault != nil}
		d.Customers = append(d.Customers, f)
		d.Total.Emergencies += f.GetEmergencies()
		d.Total.FailedMails += f.GetFailedMails()
		d.Total.Fault = d.GetTotal().GetFault() || f.GetFault()
	}
	d.Total.Open = view.Open(open)
	d.Count = uint64(len(d.GetCustomers()))
	slices.SortFunc(d.GetCustomers(), byUrgency)
	d.Customers = d.GetCustomers()[:min(mostCustomers, len(d.GetCustomers()))]
	d.Log, err = v.logHealth(ctx, since)
	return d, err
}

// officer reports whether the caller is one of the provider's people who see everything.
func (v *viewer) officer() bool {
	return v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && v.scope.All
}

// byUrgency puts the customer with the first deadline first, then by name.
func byUrgency(a, b *lockboxv1.CustomerFigures) int {
	x, y := a.GetOpen().GetNextDeadline(), b.GetOpen().GetNextDeadline()
	switch {
	case x != nil && y != nil:
		if c := x.AsTime().Compare(y.AsTime()); c != 0 {
			return c
		}
	case x != nil:
		return -1
	case y != nil:
		return 1
	}
	return cmp.Or(strings.Compare(a.GetTenantName(), b.GetTenantName()), strings.Compare(a.GetTenant(), b.GetTenant()))
}

// figured converts what figures are restricted to.
func (v *viewer) figured(field, engineer, subscription string, emergency bool) (n projection.Named, err error) {
	n = projection.Named{Engineer: engineer, Subscription: subscription, Emergency: emergency}
	if err := prose.CheckLine(field+".engineer", engineer, 0, mostText); err != nil {
		return n, err
	}
	if err := prose.CheckLine(field+".subscription", subscription, 0, mostText); err != nil {
		return n, err
	}
	n.Subscriptions = v.subscriptionsCalled(subscription)
	return n, nil
}

// logHealth returns how the log is: to everybody when it was signed, to officers everything.
func (v *viewer) logHealth(ctx context.Context, since time.Time) (*lockboxv1.LogHealth, error) {
	known := Health{}
	if v.health != nil {
		known = v.health()
	}
	h, covered := &lockboxv1.LogHealth{Overdue: known.Failed}, uint64(0)
	signed, err := v.Newest(ctx, "CheckpointSigned")
	if err != nil {
		return nil, err
	}
	if signed != nil {
		h.SignedAt, covered = signed.Event.GetTime(), signed.Event.GetCheckpointSigned().GetCoveredSequence()
	}
	first, err := v.UnsignedSince(ctx, covered)
	if err != nil {
		return nil, err
	}
	h.Overdue = h.GetOverdue() || !first.IsZero() && v.now.Sub(first) > signedWithin
	if !v.officer() {
		return h, nil
	}
	if !known.Verified.IsZero() {
		h.VerifiedAt = timestamppb.New(known.Verified)
	}
	for _, kind := range slices.Sorted(maps.Keys(known.Differences)) {
		h.Differences = append(h.Differences, &lockboxv1.DifferenceFigures{Kind: kind,
			Count: uint64(known.Differences[kind])}) // #nosec G115 -- a count
	}
	h.Copies, h.CopiesAway = uint32(known.Current), uint32(known.Away) // #nosec G115 -- a few servers
	for _, name := range slices.Sorted(maps.Keys(known.Witnesses)) {
		w := &lockboxv1.WitnessHealth{Name: name}
		if at := known.Witnesses[name]; !at.IsZero() {
			w.CosignedAt = timestamppb.New(at)
		}
		h.Witnesses = append(h.Witnesses, w)
	}
	return h, v.alarms(ctx, h, since)
}

// alarms adds what the stream says of differences and repairs.
func (v *viewer) alarms(ctx context.Context, h *lockboxv1.LogHealth, since time.Time) (err error) {
	if h.Alarms, err = v.CountNewest(ctx, "DifferenceFound", since); err != nil {
		return err
	}
	if h.SetAside, err = v.CountNewest(ctx, "MessageSetAside", time.Time{}); err != nil {
		return err
	}
	last, err := v.Newest(ctx, "DifferenceFound")
	if err != nil {
		return err
	}
	if last != nil {
		h.LastAlarm, h.LastAlarmAt = last.Event.GetDifferenceFound(), last.Event.GetTime()
	}
	restored, err := v.Newest(ctx, "StreamRestored")
	if restored != nil {
		h.RestoredAt = restored.Event.GetTime()
	}
	return err
}

// listScenarios returns what the catalogue in force lets engineers ask for: it is the provider's own, and the same for
// all.
func (v *viewer) listScenarios() (*lockboxv1.ScenarioList, error) {
	c, err := v.catalogue.After(v.Catalogue())
	if err != nil {
		return nil, err
	}
	return view.Scenarios(c), nil
}
