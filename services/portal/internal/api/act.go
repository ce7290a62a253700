package api

import (
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/commandid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// actions are what can be done about a request, by the last part of the path: each is the command of that name.
var actions = []string{
	"approve", "deny", "revoke", "ask", "answer", "withdraw", "release", "internal-approve", "internal-refuse",
}

// begin makes the command of an action, and the members of the body that fill it in: all that the action has, and the
// version seen.
func begin(action string) (*lockboxv1.Command, bearer.Fields) {
	command := new(lockboxv1.Command)
	m := command.ProtoReflect()
	all := m.Descriptor().Fields()
	about := m.Mutable(all.ByName(protoreflect.Name(strings.ReplaceAll(action, "-", "_")))).Message()
	seen := all.ByName("seen_version")
	fields := bearer.Fields{seen.JSONName(): &member{m, seen}}
	for i := range about.Descriptor().Fields().Len() {
		f := about.Descriptor().Fields().Get(i)
		fields[f.JSONName()] = &member{about, f}
	}
	return command, fields
}

// member is a field of a message that is read in the notation of protobuf's JSON.
type member struct {
	of    protoreflect.Message
	field protoreflect.FieldDescriptor
}

// UnmarshalJSON reads the field's value.
func (m *member) UnmarshalJSON(data []byte) error {
	alone := m.of.New()
	if err := protojson.Unmarshal(fmt.Appendf(nil, "{%q:%s}", m.field.JSONName(), data), alone.Interface()); err != nil {
		return err
	}
	proto.Merge(m.of.Interface(), alone.Interface())
	return nil
}

// act does it. Whether the caller may is for whoever receives it to say.
func act(action string) func(*bearer.Call) error {
	return func(c *bearer.Call) error {
		command, fields := begin(action)
		if err := c.Body(fields); err != nil {
			return err
		}
		if err := (parameters{"tenant": one(text(&command.Tenant))}).read(c); err != nil {
			return err
		}
		if err := ownTenant(c, command.GetTenant()); err != nil {
			return err
		}
		command.AggregateId = c.Param("requestId")
		if err := identify(c, command); err != nil {
			return err
		}
		reply, err := c.Do(command)
		if err != nil {
			return err
		}
		return answer(c, reply)
	}
}

// identify gives the command the id that the caller's key makes: of the same caller, doing the same. Under a key alone,
// a revocation could be taken for the approval that was sent before, and nobody would hear that it was not carried out.
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
