package answer

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// mostSimilar is how many similar requests are named, and mostResources how many an intent can have.
const mostSimilar, mostResources = 20, 50

// going are the states of requests that are open or whose access runs.
var going = []request.Status{request.Submitted, request.AwaitingInternalApproval, request.CustomerNotified,
	request.Approved, request.Active}

// listSimilar lists the requests for the same as an intent that are open or running, whoever asked: those who may ask
// for access see that a colleague did, and nothing that the colleague wrote.
func (v *viewer) listSimilar(ctx context.Context, ask *lockboxv1.ListSimilar) (*lockboxv1.SimilarList, error) {
	if v.customer == nil || !aggregate.Provider(v.by, aggregate.SupportEngineers, aggregate.DevOpsManagers,
		aggregate.SupportLeads) {
		return nil, notFound()
	}
	if len(ask.GetResourceIds()) > mostResources {
		return nil, refusal.OfKind(
			refusal.Invalid("list_similar.resource_ids", "R18", "names more than %d resources", mostResources),
			"resources-count", "most", strconv.Itoa(mostResources))
	}
	wanted := map[string]bool{}
	for _, id := range ask.GetResourceIds() {
		wanted[resource.Canonical(id)] = true
	}
	list, all := new(lockboxv1.SimilarList), projection.Scope{Tenant: v.scope.Tenant, All: true}
	if id := ask.GetRequestId(); id != "" { // what was submitted before is no second request
		again, err := v.Requests(ctx, all, projection.RequestFilter{ID: id}, v.now, 1)
		if err != nil || len(again) > 0 {
			return list, err
		}
	}
	f := projection.RequestFilter{Statuses: going, SubscriptionID: ask.GetSubscriptionId()}
	for {
		rows, err := v.Requests(ctx, all, f, v.now, chunk)
		if err != nil {
			return nil, err
		}
		states, err := v.States(ctx, rows)
		if err != nil {
			return nil, err
		}
		for _, s := range states {
			if other := v.similar(s, ask, wanted); other != nil {
				list.Requests = append(list.Requests, other)
			}
		}
		if len(rows) < chunk || len(list.GetRequests()) >= mostSimilar {
			list.Requests = list.GetRequests()[:min(mostSimilar, len(list.GetRequests()))]
			return list, nil
		}
		f.Before = rows[len(rows)-1].Sequence
	}
}

// similar returns what is said of a request if it is for the same: nil if it is not.
func (v *viewer) similar(
	s request.State, ask *lockboxv1.ListSimilar, wanted map[string]bool,
) *lockboxv1.SimilarRequest {
	in := s.Intent
	if s.Fault != nil || in.GetResourceType() != ask.GetResourceType() ||
		in.GetScenario() != ask.GetScenario() ||
		resource.Fold(in.GetSubscriptionId()) != resource.Fold(ask.GetSubscriptionId()) {
		return nil
	}
	reaches := in.GetResourceIds()
	if s.Grant != nil {
		reaches = s.Grant.GetResourceIds()
	}
	both := slices.DeleteFunc(slices.Clone(reaches), func(id string) bool { return !wanted[resource.Canonical(id)] })
	if len(both) == 0 {
		return nil
	}
	shown := v.request(s) // a request that is overdue has ended, recorded or not
	if !slices.Contains(going, shown.GetStatus()) {
		return nil
	}
	person := s.Requester.GetPerson()
	other := &lockboxv1.SimilarRequest{RequestId: s.ID, Status: shown.GetStatus(),
		Requester: cmp.Or(person.GetDisplayName(), person.GetSubject()), CreatedAt: shown.GetCreatedAt(), ResourceIds: both,
		Own: tenant.SamePerson(person, v.by.GetPerson())}
	if due, waits := s.Deadline(); waits {
		other.Until = timestamppb.New(due)
	}
	if s.Status == request.Active {
		other.Until = s.Grant.GetEndsAt()
	}
	return other
}
