package erasable

import (
	"slices"
	"strings"
	"sync"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Owner is whose key a value is encrypted with: a person's (Issuer and Subject), an address's, or if all are empty the
// key for the texts of one event.
type Owner struct{ Issuer, Subject, Address string }

// Text reports whether a value belongs to nobody: it is a text.
func (o Owner) Text() bool { return o == Owner{} }

// What is shown in place of a text that cannot be read. Names and addresses are empty then.
const (
	// Erased stands for a text whose key was destroyed.
	Erased = "[erased]"
	// Unreadable stands for a text whose key is not known, and not known to be destroyed either.
	Unreadable = "[unreadable]"
)

// Gone reports whether this stands for a text that cannot be read.
func Gone(text string) bool { return text == Erased || text == Unreadable }

// Standing is what a key store says of a key.
type Standing int

const (
	// Unknown means that there is no such key.
	Unknown Standing = iota
	// Readable means that there is.
	Readable
	// Destroyed means that there was one, and that it was destroyed.
	Destroyed
)

// Seal encrypts what can be erased of an event, in place, with the keys of their owners, even what looks as if it were
// encrypted: a value that somebody copied from another event must not be opened for them. What is empty it leaves as it
// is; that somebody is erased is not stored. It stops at the first error of keys, which leaves the event encrypted in
// part.
func Seal(e *lockboxv1.Event, keys func(Owner) (KeyID, Key, error)) error {
	return walk(e.ProtoReflect(), func(v value) error {
		if v.person != nil {
			v.person.Erased = false
			return nil
		}
		id, key, err := keys(v.owner)
		if err == nil {
			v.set(Encrypt(id, key, v.get()))
		}
		return err
	})
}

// Open decrypts what is encrypted of an event, in place. Of what cannot be read, texts say so, and names and addresses
// are left out. It stops at the first error of keys.
func Open(e *lockboxv1.Event, keys func(KeyID) (Key, Standing, error)) error {
	return walk(e.ProtoReflect(), func(v value) error {
		id, sealed := v.key()
		if !sealed {
			return nil
		}
		key, standing, err := keys(id)
		if err != nil {
			return err
		}
		shown := Unreadable
		switch standing {
		case Readable:
			text, err := Decrypt(v.get(), key)
			if err == nil {
				v.set(text)
				return nil
			}
		case Destroyed:
			shown = Erased
		case Unknown:
		}
		if !v.text {
			if p, is := v.of.Interface().(*lockboxv1.Person); is {
				p.Erased = shown == Erased
			}
			shown = ""
		}
		v.set(shown)
		return nil
	})
}

// Keys returns with which keys an event is encrypted: all of them, or only those of its texts.
func Keys(e *lockboxv1.Event, textsOnly bool) (ids []KeyID) {
	seen := map[KeyID]bool{}
	_ = walk(e.ProtoReflect(), func(v value) error {
		if id, sealed := v.key(); sealed && !seen[id] && (v.text || !textsOnly) {
			seen[id] = true
			ids = append(ids, id)
		}
		return nil
	})
	return ids
}

// Sealed reports whether anything of an event is encrypted.
func Sealed(e *lockboxv1.Event) bool { return len(Keys(e, false)) > 0 }

// Touches reports whether an event has anything that can be erased.
func Touches(e *lockboxv1.Event) (touches bool) {
	_ = walk(e.ProtoReflect(), func(v value) error {
		touches = touches || v.person == nil || v.person.GetErased()
		return nil
	})
	return touches
}

// value is a field with something in it that can be erased, or a person.
type value struct {
	person *lockboxv1.Person
	of     protoreflect.Message
	field  protoreflect.FieldDescriptor
	owner  Owner
	text   bool
}

// key returns with which key the field is encrypted; false if it is not, or if it is a person.
func (v value) key() (KeyID, bool) {
	if v.person != nil {
		return KeyID{}, false
	}
	return KeyOf(v.get())
}

func (v value) get() string { return v.of.Get(v.field).String() }

func (v value) set(text string) { v.of.Set(v.field, protoreflect.ValueOfString(text)) }

// step is a field of a message that can be erased, or that holds messages with such fields.
type step struct {
	field protoreflect.FieldDescriptor
	kind  lockboxv1.Erasable // unspecified: it holds messages
}

// plans are the steps through the messages of an event, by the messages' names. No message holds itself.
var plans = sync.OnceValue(func() map[protoreflect.FullName][]step {
	all := map[protoreflect.FullName][]step{}
	var plan func(protoreflect.MessageDescriptor) []step
	plan = func(d protoreflect.MessageDescriptor) []step {
		if known, found := all[d.FullName()]; found {
			return known
		}
		all[d.FullName()] = nil
		var steps []step
		for i := range d.Fields().Len() {
			field := d.Fields().Get(i)
			kind, _ := proto.GetExtension(field.Options(), lockboxv1.E_Erasable).(lockboxv1.Erasable)
			below := field.Kind() == protoreflect.MessageKind && !field.IsMap() && len(plan(field.Message())) > 0
			if kind != lockboxv1.Erasable_ERASABLE_UNSPECIFIED || below {
				steps = append(steps, step{field, kind})
			}
		}
		all[d.FullName()] = steps
		return steps
	}
	plan((*lockboxv1.Event)(nil).ProtoReflect().Descriptor())
	return all
})

// ownerOf returns whose a field's value is.
func ownerOf(m protoreflect.Message, s step) Owner {
	switch s.kind {
	case lockboxv1.Erasable_ERASABLE_PERSON:
		if p, is := m.Interface().(*lockboxv1.Person); is && p.GetSubject() != "" {
			return Owner{Issuer: p.GetIssuer(), Subject: p.GetSubject()}
		}
	case lockboxv1.Erasable_ERASABLE_ADDRESS:
		return AddressOwner(m.Get(s.field).String())
	default:
	}
	return Owner{} // a text, or a person who is nobody in particular
}

// AddressOwner returns whose key a mail address by itself is encrypted with, however it is written.
func AddressOwner(address string) Owner {
	return Owner{Address: strings.ToLower(strings.TrimSpace(address))}
}

// parameters calls do for the value of each parameter of a reason.
func parameters(m protoreflect.Message, do func(value) error) error {
	r, _ := m.Interface().(*lockboxv1.Reason)
	for _, p := range r.GetParameters() {
		of := p.ProtoReflect()
		field := of.Descriptor().Fields().ByName("value")
		if p.GetValue() == "" {
			continue
		}
		if err := do(value{of: of, field: field, text: true}); err != nil {
			return err
		}
	}
	return nil
}

// walk calls do for each value of a message that can be erased and is not empty, in the order of fields, and for each
// person.
func walk(m protoreflect.Message, do func(value) error) error {
	if p, is := m.Interface().(*lockboxv1.Person); is {
		if err := do(value{person: p}); err != nil {
			return err
		}
	}
	for _, s := range plans()[m.Descriptor().FullName()] {
		if !m.Has(s.field) {
			continue
		}
		var err error
		switch v := m.Get(s.field); {
		case s.field.Message() != nil && s.kind != lockboxv1.Erasable_ERASABLE_UNSPECIFIED:
			err = parameters(v.Message(), do)
		case s.kind != lockboxv1.Erasable_ERASABLE_UNSPECIFIED:
			err = do(value{nil, m, s.field, ownerOf(m, s), s.kind == lockboxv1.Erasable_ERASABLE_TEXT})
		case s.field.IsList():
			for i := range v.List().Len() {
				if err = walk(v.List().Get(i).Message(), do); err != nil {
					break
				}
			}
		default:
			err = walk(v.Message(), do)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Texts returns what people wrote in an event, as far as it can be read.
func Texts(e *lockboxv1.Event) (texts []string) {
	_ = walk(e.ProtoReflect(), func(v value) error {
		if !v.text {
			return nil
		}
		text := v.get()
		if _, sealed := KeyOf(text); !sealed && !Gone(text) {
			texts = append(texts, text)
		}
		return nil
	})
	return texts
}

// Writes reports whether a type of event, by its fact's name, has texts that people write.
func Writes(typ string) bool {
	facts := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range facts.Len() {
		if fact := facts.Get(i).Message(); string(fact.Name()) == typ {
			return writes(fact)
		}
	}
	return false
}

func writes(m protoreflect.MessageDescriptor) bool {
	return slices.ContainsFunc(plans()[m.FullName()], func(s step) bool {
		return s.kind == lockboxv1.Erasable_ERASABLE_TEXT || s.field.Message() != nil && writes(s.field.Message())
	})
}
