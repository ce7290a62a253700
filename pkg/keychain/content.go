package keychain

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// detail stands for name or address of somebody: it decides nothing, and a statement cannot be erased.
	detail = "(detail)"
	// gone stands for a text that was erased, and that nobody can compare any more. No statement can hold it.
	gone = "\x00"
	// longBytes is from how many bytes on a hash stands for them.
	longBytes = 64
)

// contentOf is all that a command changes: its verb as `command`, the customer that a transfer goes to as `tenant`, and
// each field of its action that is set, by its path. pkg/approval/README.md says how values are written.
func contentOf(c *lockboxv1.Command, salt []byte) ([]approval.Named, error) {
	c = proto.CloneOf(c)
	prose.Message(c) // as it is taken in
	if s := c.GetChangeSettings(); s != nil {
		s.Settings = tenant.Whole(s.GetSettings())
	}
	verb := verbOf(c)
	w := &writer{salt: salt, parts: []approval.Named{{Name: "command", Value: string(verb.Name())}}}
	if c.GetTransferSubscription() != nil {
		w.add("tenant", c.GetTenant())
	}
	w.message("", c.ProtoReflect().Get(verb).Message())
	slices.SortFunc(w.parts, func(a, b approval.Named) int { return cmp.Compare(a.Name, b.Name) })
	return w.parts, w.err
}

// writer collects the parts of a message.
type writer struct {
	salt  []byte
	parts []approval.Named
	err   error
}

func (w *writer) add(name, value string) {
	w.parts = append(w.parts, approval.Named{Name: name, Value: value})
}

func (w *writer) refuse(name, format string, args ...any) {
	if w.err == nil {
		w.err = refuse("content."+name, approval.RuleValue, format, args...)
	}
}

func (w *writer) message(path string, m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		w.refuse(path, "has fields that this version does not know, so it cannot be signed")
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := string(f.Name())
		if path != "" {
			name = path + "." + name
		}
		switch {
		case f.IsMap():
			w.refuse(name, "is a map, which has no place in a statement")
		case f.IsList():
			for i := range v.List().Len() {
				w.value(name+"."+strconv.Itoa(i), f, v.List().Get(i))
			}
		default:
			w.value(name, f, v)
		}
		return true
	})
}

func (w *writer) value(name string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		switch m := v.Message().Interface().(type) {
		case *timestamppb.Timestamp:
			w.add(name, approval.TimeText(m.AsTime()))
		case *durationpb.Duration:
			w.add(name, m.AsDuration().String())
		default:
			w.add(name, "set") // so that one that is empty is not the same as none
			w.message(name, v.Message())
		}
	case protoreflect.EnumKind:
		if named := f.Enum().Values().ByNumber(v.Enum()); named != nil {
			w.add(name, string(named.Name()))
			return
		}
		w.refuse(name, "%d is no value of it that this version knows", v.Enum())
	case protoreflect.BytesKind:
		b := v.Bytes()
		if len(b) <= longBytes {
			w.add(name, hex.EncodeToString(b))
			return
		}
		sum := sha256.Sum256(b)
		w.add(name, "sha256:"+hex.EncodeToString(sum[:]))
	case protoreflect.StringKind:
		w.text(name, f, v.String())
	default:
		w.add(name, fmt.Sprint(v.Interface()))
	}
}

// text adds a text: as it is; hashed with the salt if it can be erased; and only as present if it is a detail of
// somebody.
func (w *writer) text(name string, f protoreflect.FieldDescriptor, s string) {
	can, _ := proto.GetExtension(f.Options(), lockboxv1.E_Erasable).(lockboxv1.Erasable)
	is, _ := proto.GetExtension(f.Options(), lockboxv1.E_Prose).(lockboxv1.Prose)
	switch {
	case can == lockboxv1.Erasable_ERASABLE_PERSON, can == lockboxv1.Erasable_ERASABLE_ADDRESS:
		w.add(name, detail)
	case can == lockboxv1.Erasable_ERASABLE_UNSPECIFIED && is != lockboxv1.Prose_PROSE_TEXT:
		w.add(name, s)
	case erasable.Gone(s):
		w.add(name, gone)
	case len(w.salt) != 32:
		w.refuse(name, "is a text, and has no salt")
	default:
		w.add(name, approval.CommentHash([32]byte(w.salt), s))
	}
}
