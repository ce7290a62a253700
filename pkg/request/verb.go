package request

import (
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Verb is something that a person can do to a request: an action of a command, with what everybody who offers it has to
// know of it. Whether it is accepted is up to Decide.
type Verb struct {
	// Name is the name of the command's field, as in the subjects of commands and in RequestView.allowed.
	Name string
	// Required reports whether it is refused without a text.
	Required bool
	// Settles reports whether it applies to the version seen only, and is refused if the request has changed since.
	Settles bool

	// text is the field of the action for the person's reason, comment, question or answer; rule the one that a wrong text
	// breaks, empty for bad input.
	text protoreflect.Name
	rule string
}

// MaxText is the maximum length of a text in characters.
const MaxText = 4000

// The verbs.
var (
	Approve         = Verb{Name: "approve", Settles: true, text: "reason"}
	Deny            = Verb{Name: "deny", Settles: true, Required: true, text: "reason", rule: "R28"}
	Ask             = Verb{Name: "ask", Required: true, text: "text"}
	Revoke          = Verb{Name: "revoke", Required: true, text: "reason", rule: "R32"}
	Withdraw        = Verb{Name: "withdraw", text: "reason"}
	Release         = Verb{Name: "release", text: "reason"}
	InternalApprove = Verb{Name: "internal_approve", Settles: true, text: "comment"}
	InternalRefuse  = Verb{Name: "internal_refuse", Settles: true, Required: true, text: "reason", rule: "R15"}
	Answer          = Verb{Name: "answer", Required: true, text: "text"}
)

// Verbs lists them in the order of RequestView.allowed.
var Verbs = []Verb{Approve, Deny, Ask, Revoke, Withdraw, Release, InternalApprove, InternalRefuse, Answer}

// Command returns the verb's command with a text. Which request it is about, and anything else that an action can say,
// is for the caller to add.
func (v Verb) Command(text string) *lockboxv1.Command {
	c := new(lockboxv1.Command)
	m := c.ProtoReflect()
	action := m.Mutable(m.Descriptor().Fields().ByName(protoreflect.Name(v.Name))).Message()
	action.Set(action.Descriptor().Fields().ByName(v.text), protoreflect.ValueOfString(text))
	return c
}

// check refuses (INVALID) a text that the verb cannot have.
func (v Verb) check(text string) error {
	least := 0
	if v.Required {
		least = 1
	}
	err := prose.Check(v.Name+"."+string(v.text), text, least, MaxText)
	if r, is := refusal.As(err); is && v.rule != "" {
		return refusal.Because(refusal.Invalid(r.GetField(), v.rule, "%s", r.GetMessage()), r.GetCodedReason())
	}
	return err
}
