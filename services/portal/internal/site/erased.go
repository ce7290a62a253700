package site

import (
	"bytes"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Whatever a service answers passes through here before a page shows it, so that no page has to know what was erased
// (R63): a person is called by their ID then, and in place of a text stands, in the reader's language, that it is gone.

// sayErased puts into a reply what is said in place of what was erased or cannot be read.
func (v *Visit) sayErased(m protoreflect.Message) error {
	if p, is := m.Interface().(*lockboxv1.Person); is && p.GetErased() && p.GetDisplayName() == "" {
		name, err := v.Say.Say("site.erased-name", "Subject", p.GetSubject())
		if err != nil {
			return err
		}
		p.DisplayName = name
	}
	var failed error
	m.Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case f.IsMap():
		case f.Kind() == protoreflect.StringKind && !f.IsList():
			if id := insteadOf(value.String()); id != "" {
				var text string
				if text, failed = v.Say.Say(id); failed == nil {
					m.Set(f, protoreflect.ValueOfString(text))
				}
			}
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := 0; i < value.List().Len() && failed == nil; i++ {
				failed = v.sayErased(value.List().Get(i).Message())
			}
		default:
			failed = v.sayErased(value.Message())
		}
		return failed == nil
	})
	return failed
}

// insteadOf returns the message that is shown instead of a text; empty for what people wrote.
func insteadOf(text string) string {
	switch text {
	case erasable.Erased:
		return "site.erased"
	case erasable.Unreadable:
		return "site.unreadable"
	}
	return ""
}

// muted makes a page show quietly what stands in place of a text, wherever nothing else stands beside it. What people
// wrote is escaped, so it is not taken for the end of an element.
func (v *Visit) muted(page []byte) ([]byte, error) {
	for _, id := range []string{"site.erased", "site.unreadable"} {
		text, err := v.Say.Say(id)
		if err != nil {
			return nil, err
		}
		page = bytes.ReplaceAll(page, []byte(">"+text+"<"), []byte(`><span class="erased">`+text+"</span><"))
	}
	return page, nil
}
