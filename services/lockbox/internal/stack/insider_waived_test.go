package stack_test

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// hidesWaived takes the place of a day's report with one that says nothing.
func (i *insider) hidesWaived() {
	i.Helper()
	in := i.intent("erin")
	in.Scenario = "platform-health"
	id := i.requested(in, request.Active)
	due := i.state(id).Grant.GetReportAt().AsTime()
	about := aggregate.Digest(bank, due)
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	seq, stored, err := j.Report(i.Context(), &lockboxv1.Event{
		Id: newID(i), Tenant: bank, Kind: about.Kind, AggregateId: about.ID, ReportKey: "waived", Time: timestamppb.Now(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox-orchestrator"},
		Fact: &lockboxv1.Event_WaivedAccessReported{WaivedAccessReported: &lockboxv1.WaivedAccessReported{
			Since: timestamppb.New(request.ReportSince(due)), Until: timestamppb.New(due)}},
	})
	must(i, err)
	if found := i.verified().Violations; !stored || !slices.ContainsFunc(found, func(v verify.Violation) bool {
		return v.Invariant == "I17" && v.Sequence == seq
	}) {
		i.Errorf("audit verify finds %v", found)
	}
}
