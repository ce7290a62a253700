package requests

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// need is how much somebody has to write.
type need int

const (
	optional need = iota
	required
)

// The most that people may write here, in characters. A reason becomes part of an address, which proxies cut at 8 KiB.
const (
	shortText = 500
	longText  = 4000
)

// verb is something that people do to a request. All of them go the same way: a page that says what will be true, a
// form, a command.
type verb struct {
	// Name as in RequestView.allowed, and of its messages; path is where it lies below the request.
	Name, path string
	side       site.Side
	// Tone is the class of its button.
	Tone string
	// text says whether what people write is required.
	text need
	// narrows: the duration may be shortened and resources left out (R27); confirms: a page of its own repeats what will
	// be allowed before it is.
	narrows, confirms bool
	// long: what people write is not only a reason. It may be more than fits into an address.
	long bool
	// settles: it is a decision about what was seen, and is refused if that has changed.
	settles bool
	// do puts it into a command.
	do func(*lockboxv1.Command, form)
}

// ID names its messages.
func (b verb) ID(of string) string {
	return "decision." + strings.ReplaceAll(b.Name, "_", "-") + "." + of
}

// Href is where its form is.
func (b verb) Href(v *site.Visit, request string) string {
	return v.Path("requests", request) + "/" + b.path
}

// Required reports whether something has to be written.
func (b verb) Required() bool { return b.text == required }

// Narrows reports whether less than was asked for may be allowed.
func (b verb) Narrows() bool { return b.narrows }

// Confirms reports whether another page follows before anything is decided.
func (b verb) Confirms() bool { return b.confirms }

// Settles reports whether it is a decision about what was seen.
func (b verb) Settles() bool { return b.settles }

// Most is how many characters may be written.
func (b verb) Most() int {
	if b.long {
		return longText
	}
	return shortText
}

// verbs in the order in which their buttons stand. Asking and answering have their forms on the request's own page too.
var verbs = []verb{
	{
		Name: "approve", path: "approve", side: site.Customer, Tone: "main", narrows: true, confirms: true, settles: true,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: f.Text, Duration: f.duration(),
				ResourceIds: f.ids()}}
		},
	},
	{
		Name: "deny", path: "deny", side: site.Customer, Tone: "bad", text: required, settles: true,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: f.Text}}
		},
	},
	{
		Name: "internal_approve", path: "internal/approve", side: site.Provider, Tone: "main", settles: true,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{Comment: f.Text}}
		},
	},
	{
		Name: "internal_refuse", path: "internal/refuse", side: site.Provider, Tone: "bad", text: required, settles: true,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_InternalRefuse{InternalRefuse: &lockboxv1.InternalRefuse{Reason: f.Text}}
		},
	},
	{
		Name: "revoke", path: "revoke", side: site.Both, Tone: "bad", text: required,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: f.Text}}
		},
	},
	{
		Name: "withdraw", path: "withdraw", side: site.Provider,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Withdraw{Withdraw: &lockboxv1.Withdraw{Reason: f.Text}}
		},
	},
	{
		Name: "release", path: "release", side: site.Provider,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Release{Release: &lockboxv1.Release{Reason: f.Text}}
		},
	},
	{
		Name: "ask", path: "ask", side: site.Customer, text: required, long: true,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: f.Text}}
		},
	},
	{
		Name: "answer", path: "answer", side: site.Provider, text: required, long: true,
		do: func(c *lockboxv1.Command, f form) {
			c.Action = &lockboxv1.Command_Answer{Answer: &lockboxv1.Answer{QuestionId: f.Question, Text: f.Text}}
		},
	},
}
