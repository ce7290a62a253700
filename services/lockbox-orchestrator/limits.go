package orchestrator

import (
	"cmp"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Rates bound how much one person may send and change, so that nobody can flood others (R52). They are configuration; 0
// means the default, a negative number no limit.
type Rates struct {
	// CommandsPerMinute is how many commands one person may send within a minute through one sender on the bus (the
	// portal; all command lines). What says no or takes away is neither counted nor refused, nor is the approval of an
	// emergency. 0: 600; -1: no limit.
	CommandsPerMinute int `yaml:"commands_per_minute"`
	tenant.Limits
}

// DefaultCommands is the default of Rates.CommandsPerMinute: more than anybody types, and enough for a script.
const DefaultCommands = 600

func (r Rates) commands() int { return cmp.Or(r.CommandsPerMinute, DefaultCommands) }

// over refuses a command of a person who has sent too many, before it takes up anybody's time. It counts nothing: whose
// token it is was verified before, but the token may have expired since.
func (o *orchestrator) over(subject string, data []byte) error {
	_, sender, err := bus.ParseCommand(subject)
	if err != nil {
		return err
	}
	c := new(lockboxv1.Command)
	_ = proto.Unmarshal(data, c) // answer refuses what is none
	if c.GetInternalApprove() != nil || aggregate.TakesAway(c) {
		return nil
	}
	person, known := o.callers.Person(c.GetTenant(), c.GetToken())
	if !known {
		return nil
	}
	until, over := o.quotas.Over(quotaOf(sender, person), o.Now())
	return o.limited(sender, until, over)
}

// spend counts a command of a verified person, and refuses it if there are too many.
func (o *orchestrator) spend(
	sender string, about aggregate.Key, c *lockboxv1.Command, by *lockboxv1.Actor, states repository.States,
) error {
	r := states.Request(about)
	if aggregate.TakesAway(c) || c.GetInternalApprove() != nil && r.Urgent() {
		return nil
	}
	until, over := o.quotas.Spend(quotaOf(sender, fair.Person(by.GetPerson())), o.Now())
	return o.limited(sender, until, over)
}

// quotaOf is the quota of a person at a sender. Whoever holds one sender's key can so use up nobody's quota at another.
func quotaOf(sender, person string) string { return sender + " " + person }

func (o *orchestrator) limited(sender string, until time.Time, over bool) error {
	if !over {
		return nil
	}
	o.Counters.Limited(sender)
	return refusal.Because(refusal.Precondition("token", "R52",
		"you have sent %d commands within a minute, and no more may be sent; try again at %s. You can still deny, revoke and "+
			"take away", o.rates.commands(), until.UTC().Format("15:04:05 UTC")),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_TOO_MANY_COMMANDS))
}
