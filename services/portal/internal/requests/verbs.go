package requests

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// need says whether a text has to be entered.
type need int

const (
	optional need = iota
	required
)

// Maximum text lengths, in characters. A reason becomes part of a URL, which proxies limit to 8 KiB.
const (
	shortText = 500
	longText  = 4000
)

// verb is an action on a request. All verbs share one flow: a page that explains the consequences, a form, a command.
type verb struct {
	// Name as in RequestView.allowed and in the message IDs; path is the segment below the request's URL.
	Name, path string
	side       site.Side
	// Tone is the CSS class of its button.
	Tone string
	// text says whether a text is required.
	text need
	// narrows: the duration may be shortened and resources left out (R27); confirms: a separate page repeats what will
	// be allowed before it takes effect.
	narrows, confirms bool
	// long: the text is more than a reason and may exceed what fits into a URL.
	long bool
	// settles: the decision applies to the version seen and is refused if the request has changed.
	settles bool
	// do sets the command's action.
	do func(*lockboxv1.Command, form)
}

// ID returns the ID of one of its messages.
func (b verb) ID(of string) string {
	return "decision." + strings.ReplaceAll(b.Name, "_", "-") + "." + of
}

// Href returns the URL of its form.
func (b verb) Href(v *site.Visit, request string) string {
	return v.Path("requests", request) + "/" + b.path
}

// Required reports whether a text is required.
func (b verb) Required() bool { return b.text == required }

// Narrows reports whether less than was requested may be allowed.
func (b verb) Narrows() bool { return b.narrows }

// Confirms reports whether a confirmation page follows.
func (b verb) Confirms() bool { return b.confirms }

// Settles reports whether the decision applies to the version seen only.
func (b verb) Settles() bool { return b.settles }

// Most returns the maximum length of the text in characters.
func (b verb) Most() int {
	if b.long {
		return longText
	}
	return shortText
}

// verbs in the order of their buttons. Questions and answers also have their forms on the request's own page.
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
