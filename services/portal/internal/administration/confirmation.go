package administration

import (
	"slices"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// confirmation is the page on which a change that takes something away is confirmed: it says what about, and with which
// effect, before anything happens. Pages that list things only lead to it.
type confirmation struct {
	looking
	// Name and Detail are what the change is about.
	Name, Detail string
	// Effect and Button are IDs of messages.
	Effect, Button string
	Danger         bool
	// Action is where the form is posted, Do what it does, and Key and ID the hidden field with what it is about.
	Action, Do, Key, ID string
	// Reason is the ID of the label of the field for a reason; empty if the command has none. It may be left empty.
	Reason string
	// Back is the page that the change can be left for.
	Back string
}

func (p pages) confirmed(c confirmation) error { return p.show(c.looking, "confirmation", c.Button, c) }

// removeAlternate asks before an alternate address is told nothing more (R24).
func (p pages) removeAlternate(v *site.Visit, f *form.Form) error {
	l, err := whole(v, f)
	if err != nil {
		return err
	}
	all := l.Tenant.GetSettings().GetAlternates()
	n, err := strconv.Atoi(v.R.PathValue("number"))
	if err != nil || n < 1 || n > len(all) {
		return refusal.NotFound("number", "R24", "there is no such address")
	}
	language, err := l.Language(all[n-1].GetLanguage())
	if err != nil {
		return err
	}
	return p.confirmed(confirmation{looking: l, Name: all[n-1].GetEmail(), Detail: language,
		Effect: "administration.remove-alternate-then", Button: "administration.remove-alternate-now", Danger: true,
		Action: l.To("alternates"), Do: "remove", Key: "email", ID: all[n-1].GetEmail(), Back: l.To("alternates")})
}

// removeWebhook asks before a webhook is told nothing more (R57).
func (p pages) removeWebhook(v *site.Visit, f *form.Form, id string) error {
	l, err := whole(v, f)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(l.Tenant.GetWebhooks(), func(w *lockboxv1.Webhook) bool { return w.GetId() == id })
	if i < 0 {
		return refusal.NotFound("webhook", "R57", "there is no such webhook")
	}
	w := l.Tenant.GetWebhooks()[i]
	return p.confirmed(confirmation{looking: l, Name: w.GetName(), Detail: w.GetAddress(),
		Effect: "administration.remove-webhook-then", Button: "administration.remove-webhook-now", Danger: true,
		Action: l.To("webhooks"), Do: "remove", Key: "webhook", ID: id, Reason: "administration.reason-optional",
		Back: l.To("webhooks")})
}

// signInChanges are the pages on which a change of where people sign in is confirmed, stopped or finished (R65).
func (p pages) signInChange(v *site.Visit, f *form.Form, do string) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	s := signing{l, l.Tenant.GetSignIn()}
	may, err := s.may(do)
	if err != nil {
		return err
	}
	if !may {
		return refusal.NotFound("do", "R65", "there is nothing like that to do now")
	}
	c := confirmation{looking: l, Action: l.To("sign-in"), Do: do, Key: "change", ID: s.GetPending().GetChangeId(),
		Button: "administration.sign-in." + do, Effect: "administration.sign-in." + do + "-means", Danger: true,
		Back: l.To("sign-in")}
	switch do {
	case "confirm":
		c.Name, c.Detail = s.GetPending().GetChange().GetIssuer().GetUrl(), s.GetPending().GetChange().GetReason()
	case "stop":
		c.Name, c.Detail = s.GetPending().GetChange().GetIssuer().GetUrl(), s.GetPending().GetChange().GetReason()
		c.Reason, c.Danger = "administration.sign-in.stop-reason", false
	case "finish":
		c.Name = s.GetFormer()[0].GetUrl()
	}
	return p.confirmed(c)
}

// may reports whether the reader could do that to the change that waits, or to the former sign-in.
func (s signing) may(do string) (bool, error) {
	switch do {
	case "confirm":
		return s.Confirms()
	case "stop":
		return s.GetPending() != nil && s.Stops(), nil
	case "finish":
		if len(s.GetFormer()) == 0 {
			return false, nil
		}
		return s.Administrator()
	}
	return false, nil
}
