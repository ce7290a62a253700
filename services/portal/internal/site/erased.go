package site

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
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

// ErasePath returns the URL of the page on which what was written in an event of a log can be erased.
func (v *Visit) ErasePath(tenant, kind, id string, e *lockboxv1.TimelineEntry) string {
	q := url.Values{"kind": {kind}, "id": {id}, "version": {strconv.FormatUint(e.GetVersion(), 10)},
		"at": {e.GetTime().AsTime().Format(time.RFC3339Nano)}}
	if v.Session.Tenant == "" {
		q.Set("customer", tenant)
	}
	return v.Path("erasures", "new") + "?" + q.Encode()
}

// Erasing returns which entries of a log say something that the visitor may have erased: somebody wrote it, at the
// visitor's own organisation or for security officers anywhere, and it still stands there.
func (v *Visit) Erasing() (func(*lockboxv1.TimelineEntry) bool, error) {
	may, err := v.Erases()
	if err != nil || !may {
		return func(*lockboxv1.TimelineEntry) bool { return false }, err
	}
	gone, err := v.Say.Say("site.erased")
	return func(e *lockboxv1.TimelineEntry) bool {
		return e.GetVersion() > 0 && e.GetActor().GetPerson() != nil && erasable.Writes(e.GetType()) &&
			(v.Session.Tenant == "" || aggregate.Customer(e.GetActor())) && !strings.Contains(e.GetSummary(), gone)
	}, err
}

// Erases reports whether the visitor decides or proposes what is erased: an administrator of the customer, or a
// security officer.
func (v *Visit) Erases() (bool, error) {
	if v.Session.Tenant != "" {
		return v.Holds(lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
	}
	return v.InGroup(aggregate.SecurityOfficers)
}

// SeesErasures reports whether the visitor may see what was erased.
func (v *Visit) SeesErasures() (bool, error) {
	if v.Session.Tenant != "" {
		return v.Holds(lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_AUDITOR)
	}
	return v.Erases()
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
