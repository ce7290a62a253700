package mail

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// unasked lists the access for which the customer was not asked, by why they were not. The portal lists all of it.
func (w *writer) unasked() {
	listed, all := 0, 0
	for _, c := range w.n.Data.Waived.GetCounts() {
		g := group{Title: w.enum("waiver", c.GetWaiver().String(), "WAIVER_"), Count: int(c.GetCount())}
		for _, a := range w.n.Data.Waived.GetAccesses() {
			if a.GetWaiver() == c.GetWaiver() {
				g.Items = append(g.Items, w.access(a))
			}
		}
		listed, all = listed+len(g.Items), all+g.Count
		w.out.Groups = append(w.out.Groups, g)
	}
	if more := all - listed; more > 0 {
		w.out.More = w.with("list/more", "Count", more)
	}
}

// access says who had access to what, and from when to when.
func (w *writer) access(a *lockboxv1.WaivedAccess) item {
	at := func(from, to string) string { return w.text(from) + w.out.Colon + to }
	who := w.readable(plan.Name(a.GetRequester()))
	employer := line(a.GetEmployer())
	if employer == "" {
		employer = name(w.n.Data.Provider)
	}
	facts := []string{at("label/starts", w.at(a.GetStartsAt().AsTime())),
		at("label/planned-end", w.at(a.GetEndsAt().AsTime()))}
	if where := resourceID(a.GetResourceId()); where != "" {
		if more := int(a.GetResourceCount()) - 1; more > 0 {
			where += " " + w.with("list/more", "Count", more)
		}
		facts = append(facts, at("label/resources", where))
	}
	facts = append(facts, at("label/request", line(a.GetRequestId())))
	return item{
		Title: strings.Join(some(w.person(who, employer), w.called(a.GetScenarioName()),
			w.called(a.GetServiceName())), " – "),
		Facts: strings.Join(facts, " · "),
	}
}
