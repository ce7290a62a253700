package answer

import (
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// What somebody could do now, the rules themselves are asked: whether they would take the command.

// words stand for those that somebody would have to write.
const words = "-"

// possible are all commands about a request, with whatever they need.
func possible(s request.State) []*lockboxv1.Command {
	commands := []*lockboxv1.Command{
		{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}},
		{Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: words}}},
		{Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: words}}},
		{Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: words}}},
		{Action: &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{}}},
		{Action: &lockboxv1.Command_Release{Release: &lockboxv1.Release{}}},
		{Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{}}},
		{Action: &lockboxv1.Command_InternalRefuse{InternalRefuse: &lockboxv1.InternalRefuse{Reason: words}}},
	}
	for _, q := range s.Questions {
		if q.GetAnswerer() == nil {
			answer := &lockboxv1.Answer{QuestionId: q.GetQuestionId(), Text: words}
			return append(commands, &lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: answer}})
		}
	}
	return commands
}

// allowed lists the verbs of the commands that the viewer could give now.
func (v *viewer) allowed(s request.State) (verbs []string) {
	for _, c := range possible(s) {
		if v.could(s, c) {
			verbs = append(verbs, bus.Verb(c))
		}
	}
	return verbs
}

// awaited reports whether a request waits for the viewer's own decision: whether their approval would count now (R15,
// R20, R30, I10).
func (v *viewer) awaited(s request.State) bool {
	if v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER {
		return v.could(s, &lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{
			InternalApprove: &lockboxv1.InternalApprove{}}})
	}
	return v.could(s, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
}

// could reports whether a command of the viewer's would change the request now.
func (v *viewer) could(s request.State, c *lockboxv1.Command) bool {
	customer := v.Customer(s.Tenant)
	if customer == nil {
		return false
	}
	w := request.World{Tenant: customer.Tenant}
	if id := s.Intent.GetSubscriptionId(); id != "" {
		sub := customer.Subscriptions[id]
		w.Subscription = &sub
	}
	c.Tenant, c.AggregateId = s.Tenant, s.ID
	e, err := request.Decide(s, aggregate.Command{Command: c, By: v.anew}, w, v.now)
	return err == nil && e != nil
}
