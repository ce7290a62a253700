package prose

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Message normalizes, in place, all fields of a received message that people write, as the contract marks them.
func Message(m proto.Message) { message(m.ProtoReflect()) }

func message(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
		case fd.Message() != nil && fd.IsList():
			for i := range v.List().Len() {
				message(v.List().Get(i).Message())
			}
		case fd.Message() != nil:
			message(v.Message())
		default:
			switch proto.GetExtension(fd.Options(), lockboxv1.E_Prose) {
			case lockboxv1.Prose_PROSE_LINE:
				m.Set(fd, protoreflect.ValueOfString(Line(v.String())))
			case lockboxv1.Prose_PROSE_TEXT:
				m.Set(fd, protoreflect.ValueOfString(Text(v.String())))
			}
		}
		return true
	})
}
