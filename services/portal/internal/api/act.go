package api

import (
	"fmt"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/commandid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// action is something that is done about a request: the fields that it takes, and the command that they make.
type action func() (bearer.Fields, *lockboxv1.Command)

// actions are all of them, by the last part of the path.
var actions = map[string]action{
	"approve": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Approve)
		return bearer.Fields{"reason": &a.Reason, "duration": &duration{&a.Duration}, "resourceIds": &a.ResourceIds},
			&lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: a}}
	},
	"deny": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Deny)
		return bearer.Fields{"reason": &a.Reason}, &lockboxv1.Command{Action: &lockboxv1.Command_Deny{Deny: a}}
	},
	"revoke": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Revoke)
		return bearer.Fields{"reason": &a.Reason}, &lockboxv1.Command{Action: &lockboxv1.Command_Revoke{Revoke: a}}
	},
	"ask": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Ask)
		return bearer.Fields{"text": &a.Text}, &lockboxv1.Command{Action: &lockboxv1.Command_Ask{Ask: a}}
	},
	"answer": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Answer)
		return bearer.Fields{"questionId": &a.QuestionId, "text": &a.Text}, &lockboxv1.Command{Action: &lockboxv1.Command_Answer{Answer: a}}
	},
	"withdraw": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Withdraw)
		return bearer.Fields{"reason": &a.Reason}, &lockboxv1.Command{Action: &lockboxv1.Command_Withdraw{Withdraw: a}}
	},
	"release": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.Release)
		return bearer.Fields{"reason": &a.Reason}, &lockboxv1.Command{Action: &lockboxv1.Command_Release{Release: a}}
	},
	"internal-approve": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.InternalApprove)
		return bearer.Fields{"comment": &a.Comment}, &lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{InternalApprove: a}}
	},
	"internal-refuse": func() (bearer.Fields, *lockboxv1.Command) {
		a := new(lockboxv1.InternalRefuse)
		return bearer.Fields{"reason": &a.Reason}, &lockboxv1.Command{Action: &lockboxv1.Command_InternalRefuse{InternalRefuse: a}}
	},
}

// serve does it. Whether the caller may is for whoever receives it to say.
func (a action) serve(c *bearer.Call) error {
	fields, command := a()
	var seen bearer.Version
	fields["seenVersion"] = &seen
	if err := c.Body(fields); err != nil {
		return err
	}
	if err := (parameters{"tenant": one(text(&command.Tenant))}).read(c); err != nil {
		return err
	}
	if err := ownTenant(c, command.GetTenant()); err != nil {
		return err
	}
	command.AggregateId, command.SeenVersion = c.Param("requestId"), uint64(seen)
	if err := identify(c, command); err != nil {
		return err
	}
	reply, err := c.Do(command)
	if err != nil {
		return err
	}
	return answer(c, reply)
}

// identify gives the command the id that the caller's key makes: of the same caller, doing the same. Under a key alone, a
// revocation could be taken for the approval that was sent before, and nobody would hear that it was not carried out.
func identify(c *bearer.Call, command *lockboxv1.Command) error {
	const key = "Idempotency-Key"
	keys := c.R.Header.Values(key)
	switch len(keys) {
	case 0:
		return nil
	case 1:
	default:
		return refusal.Invalid(key, rule, "is given more than once")
	}
	meaning, err := proto.MarshalOptions{Deterministic: true}.Marshal(command)
	if err != nil {
		return err
	}
	command.Id, err = commandid.Of(key, keys[0], fmt.Appendf(meaning, "%q %q", c.Organisation.Tenant, c.Subject))
	return err
}

// duration is read in the notation of protobuf's JSON: "3600s".
type duration struct{ into **durationpb.Duration }

// UnmarshalJSON reads it.
func (d *duration) UnmarshalJSON(data []byte) error {
	*d.into = new(durationpb.Duration)
	return protojson.Unmarshal(data, *d.into)
}
