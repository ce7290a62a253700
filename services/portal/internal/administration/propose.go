package administration

import (
	"net/url"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/proto"
)

// A change of where people sign in is proposed in two steps: a form, and a page that says what it means. The command
// line can do more, such as recorded keys and names of claims.

const proposed = "propose_sign_in_change.change."

var proposalFields = map[string]form.Field{
	proposed + "issuer.url":                  {Name: "url", Label: "administration.sign-in.url"},
	"create_tenant.issuer.url":               {Name: "url", Label: "administration.sign-in.url"},
	proposed + "issuer.audience":             {Name: "audience", Label: "administration.sign-in.audience"},
	proposed + "issuer.client_id":            {Name: "client", Label: "administration.sign-in.client"},
	proposed + "issuer.jwks_url":             {Name: "keys", Label: "administration.sign-in.keys"},
	proposed + "issuer.jwks":                 {Name: "keys", Label: "administration.sign-in.keys"},
	"propose_sign_in_change.change":          {Name: "url", Label: "administration.sign-in.url"},
	proposed + "administrators":              {Name: "subject", Label: "administration.subject"},
	proposed + "administrators.subject":      {Name: "subject", Label: "administration.subject"},
	proposed + "administrators.display_name": {Name: "name", Label: "administration.name"},
	proposed + "administrators.email":        {Name: "email", Label: "administration.email"},
	proposed + "administrators.language":     {Name: "language", Label: "administration.language"},
	proposed + "reason":                      {Name: "reason", Label: "administration.sign-in.reason"},
}

// proposal is a change as the form describes it.
type proposal struct {
	signing
	Change *lockboxv1.SignInChange
	// Hidden are the form's values, for its second step.
	Hidden url.Values
}

var proposalInputs = []string{"seen", "url", "audience", "client", "keys", "subject", "name", "email", "language",
	"reason"}

// drafted returns what was typed before. Nothing is taken from an address: nobody is led by a link to a change that
// another made up.
func drafted(v *site.Visit) *form.Form {
	var pairs []string
	draft := v.Draft()
	for _, name := range proposalInputs {
		pairs = append(pairs, name, draft.Get(name))
	}
	return form.Empty(pairs...)
}

// Moves reports whether people are to sign in elsewhere, where they are others.
func (p proposal) Moves() bool {
	return p.Change.GetIssuer() != nil && p.Change.GetIssuer().GetUrl() != p.GetIssuer().GetUrl()
}

// LosesGroups reports whether roles of groups can be activated no more by those who sign in there.
func (p proposal) LosesGroups() bool { return p.Moves() && len(p.GetIssuer().GetGroupMap()) > 0 }

// Wait is how long others can stop it, if nobody confirms it.
func (p proposal) Wait() string { return p.Say.Duration(tenant.AloneWait) }

// proposing is a visit of whoever may propose a change now.
func (p pages) proposing(v *site.Visit, f *form.Form) (s signing, err error) {
	l, err := look(v, f)
	if err != nil {
		return s, err
	}
	s = signing{l, l.Tenant.GetSignIn()}
	switch may, err := s.Administrator(); {
	case err != nil:
		return s, err
	case !may || s.GetIssuer() == nil:
		return s, refusal.NotFound("do", "R65", "there is nothing like that to do now")
	case s.GetPending() != nil:
		return s, refusal.Conflict("propose_sign_in_change", "R65", "another change waits already")
	}
	return s, nil
}

// propose shows the form: with what was typed, or with how it is now.
func (p pages) propose(v *site.Visit, f *form.Form) error {
	s, err := p.proposing(v, f)
	if err != nil {
		return err
	}
	if f.Value("seen") == "" {
		now := s.GetIssuer()
		f = form.Empty("url", now.GetUrl(), "audience", now.GetAudience(), "client", now.GetClientId(),
			"keys", now.GetJwksUrl())
		s.Form = f
	}
	return p.show(s.looking, "propose", "administration.sign-in.propose", s)
}

// changeOf returns the change that a form describes. Keys, groups and authorities belong to their issuer: what the
// form has no fields for stays as it is only where that stays.
func (s signing) changeOf(f *form.Form) *lockboxv1.SignInChange {
	now := s.GetIssuer()
	next := proto.CloneOf(now)
	next.Url, next.Audience, next.ClientId = f.Value("url"), f.Value("audience"), f.Value("client")
	if keys := f.Value("keys"); keys != "" || next.GetUrl() != now.GetUrl() {
		next.JwksUrl, next.Jwks = keys, nil
	}
	if next.GetUrl() != now.GetUrl() {
		next.GroupMap, next.Authorities = nil, nil
	}
	c := &lockboxv1.SignInChange{Reason: f.Value("reason")}
	if !proto.Equal(next, now) {
		c.Issuer = next
	}
	if f.Value("subject") != "" || f.Value("name") != "" || f.Value("email") != "" {
		c.Administrators = []*lockboxv1.Person{{Issuer: next.GetUrl(), Subject: f.Value("subject"),
			DisplayName: f.Value("name"), Email: f.Value("email"), Language: f.Value("language")}}
	}
	return c
}

// incomplete reports, in the form, what another identity provider needs: keys of its own, and somebody who gives the
// roles there.
func (s signing) incomplete(f *form.Form) bool {
	now, keys := s.GetIssuer(), f.Value("keys")
	if f.Value("url") == now.GetUrl() {
		return false
	}
	if keys == "" || keys == now.GetJwksUrl() {
		f.Problems = append(f.Problems, form.Problem{Field: proposalFields[proposed+"issuer.jwks_url"],
			Message: "administration.sign-in.keys-wanted"})
	}
	if len(s.changeOf(f).GetAdministrators()) == 0 {
		f.Problems = append(f.Problems, form.Problem{Field: proposalFields[proposed+"administrators"],
			Message: "administration.sign-in.administrator-wanted"})
	}
	return len(f.Problems) > 0
}

// proposeOnward keeps what was typed and leads to the page that says what it means.
func (p pages) proposeOnward(v *site.Visit) error {
	f := form.Sent(v.R)
	s, err := p.proposing(v, f)
	if err != nil {
		return err
	}
	if s.incomplete(f) {
		return p.propose(v, f)
	}
	path := v.Path(root, "sign-in", "propose")
	if v.Keep(path, v.R.PostForm) && v.Keep(path+"/review", v.R.PostForm) {
		return v.Redirect(path+"/review", 0)
	}
	return p.proposalReview(v, f)
}

// proposalReview says what the change means, before anybody is told of it.
func (p pages) proposalReview(v *site.Visit, f *form.Form) error {
	s, err := p.proposing(v, f)
	if err != nil {
		return err
	}
	if f.Value("seen") == "" { // opened without the form, or what was typed is no longer kept
		return v.Redirect(v.Path(root, "sign-in", "propose"), 0)
	}
	if s.incomplete(f) {
		return p.propose(v, f)
	}
	hidden := url.Values{}
	for _, name := range proposalInputs {
		hidden.Set(name, f.Value(name))
	}
	return p.show(s.looking, "propose-review", "administration.sign-in.propose-review",
		proposal{s, s.changeOf(f), hidden})
}

func (p pages) sendProposal(v *site.Visit) error {
	f := form.Sent(v.R)
	s, err := p.proposing(v, f)
	if err != nil {
		return err
	}
	if s.incomplete(f) {
		return p.propose(v, f)
	}
	_ = v.Sessions.Forget(v.R, v.Path(root, "sign-in", "propose")) // what was typed there is sent now
	return change{
		Visit: v, form: f, then: v.Path(root, "sign-in"), again: p.propose, fields: proposalFields,
		command: &lockboxv1.Command{Action: &lockboxv1.Command_ProposeSignInChange{
			ProposeSignInChange: &lockboxv1.ProposeSignInChange{
				Route: lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER, Change: s.changeOf(f)}}},
	}.onWhatWasSeen()
}
