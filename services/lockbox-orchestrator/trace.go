package orchestrator

import (
	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// refuse returns the reply to a command that is not looked at.
func (o *orchestrator) refuse(subject string, data []byte, why *lockboxv1.Refusal) proto.Message {
	o.Counters.Refused(why)
	c := new(lockboxv1.Command)
	_ = proto.Unmarshal(data, c) // what is none names nobody
	o.trace(subject, c, why)
	return &lockboxv1.CommandReply{Refusal: why}
}

// trace records a refused command (R69). What was accepted is an event. Whose token counts no longer is not named by
// it, and a customer who is not known to exist has no records.
func (o *orchestrator) trace(subject string, c *lockboxv1.Command, why *lockboxv1.Refusal) {
	verb, sender, err := bus.ParseCommand(subject)
	if err != nil {
		return // nobody else can send there
	}
	about, _ := aggregate.Of(c) // even if it cannot be right
	r := &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED, Sender: sender, Action: verb,
		AboutKind: about.Kind, AboutId: c.GetAggregateId()}
	if why.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
		r.Who = accesslog.Who(o.callers.By(c.GetTenant(), c.GetToken()))
	}
	if _, known := o.tenants.Load(c.GetTenant()); known {
		r.Tenant = c.GetTenant()
	}
	o.trail.Add(accesslog.Refused(r, why))
}
