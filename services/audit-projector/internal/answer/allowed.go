package answer

import (
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// What a viewer could do now is determined by the domain rules themselves: whether they would accept the command.

// words is a placeholder for texts.
const words = "-"

// allowed lists the verbs of the commands that the viewer could give now.
func (v *viewer) allowed(s request.State) (verbs []string) {
	for _, verb := range request.Verbs {
		c := verb.Command(words)
		if a := c.GetAnswer(); a != nil {
			a.QuestionId = open(s)
		}
		if v.could(s, c) {
			verbs = append(verbs, verb.Name)
		}
	}
	return verbs
}

// open returns the first question without an answer; empty if there is none.
func open(s request.State) string {
	for _, q := range s.Questions {
		if q.GetAnswerer() == nil {
			return q.GetQuestionId()
		}
	}
	return ""
}

// awaited reports whether a request awaits the viewer's own decision: whether their approval would count now (R15, R20,
// R30, I10).
func (v *viewer) awaited(s request.State) bool {
	if v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		return v.could(s, request.InternalApprove.Command(words))
	}
	return v.could(s, request.Approve.Command(""))
}

// could reports whether the viewer's command would change the request now.
func (v *viewer) could(s request.State, c *lockboxv1.Command) bool {
	customer := v.Customer(s.Tenant)
	if customer == nil {
		return false
	}
	w := request.World{Tenant: customer.Tenant}
	if id := s.Intent.GetSubscriptionId(); id != "" {
		sub, _ := customer.Subscription(id)
		w.Subscription = &sub
	}
	c.Tenant, c.AggregateId = s.Tenant, s.ID
	e, _, err := request.Decide(s, aggregate.Command{Command: c, By: v.anew}, w, v.now)
	return err == nil && e != nil
}
