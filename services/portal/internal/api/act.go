package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/commandid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// path returns the last segment of the path of an action.
func path(v request.Verb) string { return strings.ReplaceAll(v.Name, "_", "-") }

// begin creates the command for an action, and the body members that fill it in: all of the action's fields, the
// version seen, and what the caller has signed.
func begin(v request.Verb) (*lockboxv1.Command, bearer.Fields) {
	command := v.Command("")
	m := command.ProtoReflect()
	all := m.Descriptor().Fields()
	seen := all.ByName("seen_version")
	fields := bearer.Fields{seen.JSONName(): &member{m, seen}}
	if signed := all.ByName("signed"); slices.Contains(signs, v.Name) {
		fields[signed.JSONName()] = &member{m, signed}
	}
	fill(command, protoreflect.Name(v.Name), fields)
	return command, fields
}

// fill makes a command one of that action, and adds the body members for all of the action's fields.
func fill(command *lockboxv1.Command, action protoreflect.Name, fields bearer.Fields) {
	m := command.ProtoReflect()
	about := m.Mutable(m.Descriptor().Fields().ByName(action)).Message()
	for i := range about.Descriptor().Fields().Len() {
		f := about.Descriptor().Fields().Get(i)
		fields[f.JSONName()] = &member{about, f}
	}
}

// member decodes one field of a message from JSON.
type member struct {
	of    protoreflect.Message
	field protoreflect.FieldDescriptor
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *member) UnmarshalJSON(data []byte) error { return written.Field(data, m.of, m.field) }

// act sends the action's command. The service that receives it decides whether the caller is authorised.
func act(v request.Verb) func(*bearer.Call) error {
	return func(c *bearer.Call) error {
		command, fields := begin(v)
		return send(c, command, fields, c.Param("requestId"))
	}
}

// send fills a command in from the body and the parameters, and sends it about what has that ID.
func send(c *bearer.Call, command *lockboxv1.Command, fields bearer.Fields, id string) error {
	if err := c.Body(fields); err != nil {
		return err
	}
	if err := (parameters{"tenant": one(text(&command.Tenant))}).read(c); err != nil {
		return err
	}
	if err := ownTenant(c, command.GetTenant()); err != nil {
		return err
	}
	command.AggregateId = id
	if err := identify(c, command); err != nil {
		return err
	}
	reply, err := c.Do(command)
	if err != nil {
		return err
	}
	return answer(c, reply)
}

// identify derives the command's ID from the caller's idempotency key, the caller and the command's content. With the
// key alone, a revocation could be mistaken for the approval that was sent before it under the same key, and be dropped
// silently.
func identify(c *bearer.Call, command *lockboxv1.Command) error {
	const key = "Idempotency-Key"
	keys := c.R.Header.Values(key)
	switch len(keys) {
	case 0:
		return nil
	case 1:
	default:
		return refusal.OfKind(refusal.Invalid(key, rule, "is given more than once"), "given-twice")
	}
	meaning, err := proto.MarshalOptions{Deterministic: true}.Marshal(command)
	if err != nil {
		return err
	}
	command.Id, err = commandid.Of(key, keys[0], fmt.Appendf(meaning, "%q %q", c.Organisation.Tenant, c.Subject))
	return err
}
