package erasable

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Alike reports whether two messages are equal, but for what was erased of either: what is known of the other alone
// contradicts nothing. One fact may be stored in two events of which only one was encrypted, or each with another key.
func Alike[M proto.Message](a, b M) bool {
	if proto.Equal(a, b) {
		return true
	}
	x, y := proto.CloneOf(a), proto.CloneOf(b)
	forget(x.ProtoReflect(), y.ProtoReflect())
	return proto.Equal(x, y)
}

// forget clears in both messages what was erased of either.
func forget(a, b protoreflect.Message) {
	if !a.IsValid() || !b.IsValid() {
		return
	}
	for _, s := range plans()[a.Descriptor().FullName()] {
		switch x, y := a.Get(s.field), b.Get(s.field); {
		case s.field.Message() != nil && s.kind != lockboxv1.Erasable_ERASABLE_UNSPECIFIED: // parameters of a reason
		case s.kind != lockboxv1.Erasable_ERASABLE_UNSPECIFIED:
			if lost(a, s) || lost(b, s) {
				a.Clear(s.field)
				b.Clear(s.field)
			}
		case s.field.IsList():
			for i := range min(x.List().Len(), y.List().Len()) {
				forget(x.List().Get(i).Message(), y.List().Get(i).Message())
			}
		case a.Has(s.field) && b.Has(s.field):
			forget(x.Message(), y.Message())
		}
	}
	if p, is := a.Interface().(*lockboxv1.Person); is {
		p.Erased, b.Interface().(*lockboxv1.Person).Erased = false, false //nolint:errcheck,forcetypeassert // of one type
	}
}

// lost reports whether the value of a field that can be erased is not there any more.
func lost(m protoreflect.Message, s step) bool {
	switch value := m.Get(s.field).String(); s.kind {
	case lockboxv1.Erasable_ERASABLE_PERSON:
		p, is := m.Interface().(*lockboxv1.Person)
		return is && p.GetErased()
	case lockboxv1.Erasable_ERASABLE_ADDRESS:
		return value == ""
	default:
		return Gone(value)
	}
}
