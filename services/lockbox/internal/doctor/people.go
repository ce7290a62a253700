package doctor

import (
	"context"
	"maps"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

// asked are the groups of the provider that approve something or are told of something, with what.
var asked = []struct{ group, of string }{
	{aggregate.DevOpsManagers, "requests that need an internal approval"},
	{aggregate.SupportLeads, "requests that need an internal approval"},
	{aggregate.SecurityOfficers, "emergencies, and alarms about the log"},
}

// groups looks whether the provider's groups can be told that they are asked.
func (e *exam) groups(context.Context) (found []render.Finding) {
	for _, s := range e.Services {
		if s.Mail == nil {
			continue
		}
		var known []string
		for _, a := range asked {
			known = append(known, a.group)
			if len(s.Mail.Groups[a.group]) == 0 {
				found = append(found, failed("add addresses of people who are there: service.groups."+a.group,
					"%s: nobody is told of %s, because %s has no address", s.File, a.of, a.group))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.Mail.Groups)) {
			if like := input.DidYouMean(name, known); like != "" && !slices.Contains(known, name) {
				found = append(found, mind("correct the name; groups of your own rules are as you call them",
					"%s: no rule here asks %s%s", s.File, name, like))
			}
		}
	}
	if len(found) > 0 {
		return found
	}
	for _, s := range e.Services {
		if s.Mail != nil {
			return one(well("every group that approves has an address"))
		}
	}
	return one(skipped("no file of the notifier was named with --config"))
}

// mostCustomers is how many are named.
const mostCustomers = 20

// customers looks whether for each customer, and for each of its subscriptions, there are people who can decide.
func (e *exam) customers(ctx context.Context) (found []render.Finding) {
	j, err := e.journal(ctx)
	if err != nil {
		return blind(err)
	}
	defer j.Close()
	tenants, subscriptions := map[string]tenant.State{}, map[string]map[string]tenant.Subscription{}
	err = j.Replay(ctx, journal.Replay{Kind: aggregate.KindTenant}, func(entry journal.Entry) error {
		id := entry.Event.GetTenant()
		tenants[id] = tenant.Evolve(tenants[id], entry.Seq, entry.Event)
		return nil
	})
	if err == nil {
		err = j.Replay(ctx, journal.Replay{Kind: aggregate.KindSubscription}, func(entry journal.Entry) error {
			of, id := entry.Event.GetTenant(), entry.Event.GetAggregateId()
			if subscriptions[of] == nil {
				subscriptions[of] = map[string]tenant.Subscription{}
			}
			subscriptions[of][id] = tenant.EvolveSubscription(subscriptions[of][id], entry.Seq, entry.Event)
			return nil
		})
	}
	if err != nil {
		return blind(err)
	}
	able := 0
	for _, id := range slices.Sorted(maps.Keys(tenants)) {
		s := tenants[id]
		if s.Fault != nil {
			found = append(found, failed("`lockbox audit verify` says what is wrong with the log",
				"nothing can be decided for %s: what is recorded of it cannot be true", id))
			continue
		}
		if !s.Exists() || !s.Enabled {
			continue
		}
		lacks := approvers(id, tenant.Resolve(s, nil, nil, e.Now()))
		for _, name := range slices.Sorted(maps.Keys(subscriptions[id])) {
			if sub := subscriptions[id][name]; sub.Registered() && len(lacks) == 0 {
				lacks = approvers(id+", for "+name+",", tenant.Resolve(s, &sub, nil, e.Now()))
			}
		}
		if found = append(found, lacks...); len(lacks) == 0 {
			able++
		}
	}
	if more := len(found) - mostCustomers; more > 0 {
		found = append(found[:mostCustomers], mind("mend these first", "and %s more", count(more, "customer")))
	}
	if len(tenants) == 0 {
		return one(skipped("there are no customers yet"))
	}
	return or(found, well("%s, each with people who can approve", count(able, "customer")))
}

// approvers looks whether enough people can decide.
func approvers(of string, a tenant.Approvers) []render.Finding {
	const cure = "a Global Administrator there assigns or activates roles; `lockbox tenant approvers` shows who counts, and " +
		"if nobody is left, `lockbox tenant recover propose` begins anew"
	switch have, dormant := tenant.Humans(a.People), eligible(a); {
	case have >= a.Required:
		return nil
	case have+dormant == 0:
		return one(failed(cure, "%s has nobody who can approve", of))
	case have == 0:
		return one(mind(cure, "%s has nobody who can approve now, and %s that can be activated", of, count(dormant, "role")))
	default:
		return one(mind(cure, "%s has %d of the %d people who have to approve", of, have, a.Required))
	}
}

// eligible counts the roles that would count once somebody activates them.
func eligible(a tenant.Approvers) (n int) {
	for _, x := range a.Excluded {
		switch x.GetCodedReason().GetCode() {
		case lockboxv1.ReasonCode_REASON_CODE_ROLE_NOT_ACTIVATED, lockboxv1.ReasonCode_REASON_CODE_ACTIVATION_ENDED:
			n++
		default: // does not come back
		}
	}
	return n
}
