package requests

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// shortText is the maximum length of a reason in characters.
const shortText = 500

// verb is how the portal offers an action on a request. All verbs share one flow: a page that explains the
// consequences, a form, a command.
type verb struct {
	request.Verb
	side site.Side
	// Tone is the CSS class of its button.
	Tone string
	// Narrows: the duration may be shortened and resources left out (R27). Confirms: a separate page repeats what will be
	// allowed before it takes effect.
	Narrows, Confirms bool
	// ends: it ends access that exists.
	ends bool
	// long: the text is more than a reason, and its form is on the request's own page too.
	long bool
}

// ID returns the ID of one of its messages.
func (b verb) ID(of string) string {
	return "decision." + strings.ReplaceAll(b.Name, "_", "-") + "." + of
}

// path returns the part of its URL that follows the request's: "internal/approve".
func (b verb) path() string { return strings.ReplaceAll(b.Name, "_", "/") }

// Href returns the URL of its form.
func (b verb) Href(v *site.Visit, id string) string {
	return v.Path("requests", id) + "/" + b.path()
}

// Most returns the maximum length of the text in characters.
func (b verb) Most() int {
	if b.long {
		return request.MaxText
	}
	return shortText
}

// verbs in the order of their buttons. Questions and answers also have their forms on the request's own page.
var verbs = []verb{
	{Verb: request.Approve, side: site.Customer, Tone: "main", Narrows: true, Confirms: true},
	{Verb: request.Deny, side: site.Customer, Tone: "bad"},
	{Verb: request.InternalApprove, side: site.Provider, Tone: "main"},
	{Verb: request.InternalRefuse, side: site.Provider, Tone: "bad"},
	{Verb: request.Revoke, side: site.Both, Tone: "bad", ends: true},
	{Verb: request.Withdraw, side: site.Provider},
	{Verb: request.Release, side: site.Provider, ends: true},
	{Verb: request.Ask, side: site.Customer, long: true},
	{Verb: request.Answer, side: site.Provider, long: true},
}
