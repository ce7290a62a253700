package administration

import (
	"cmp"
	"slices"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// signing is a visit to the page about where the tenant's people sign in (R65).
type signing struct {
	looking
	*lockboxv1.SignInView
}

func (p pages) signIn(v *site.Visit, f *form.Form) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	return p.show(l, "signin", "administration.sign-in", signing{l, l.Tenant.GetSignIn()})
}

// shownIssuer is an issuer as the page describes it.
type shownIssuer struct {
	URL string
	// Audiences are what its tokens may be made out to, Keys where its public keys come from.
	Audiences []string
	Keys      string
	// Claim lists a person's groups, of which Groups count.
	Claim  string
	Groups []*lockboxv1.MappedGroup
	// Limits say what it may do otherwise than usual.
	Limits []string
	// Authorities are those of its servers, if it has its own; Ended reports whether one's certificate has ended.
	Authorities []identity.Authority
	Ended       func(identity.Authority) bool
}

// Shown describes an issuer.
func (s signing) Shown(i *lockboxv1.TenantIssuer) (shown shownIssuer, err error) {
	shown.URL, shown.Groups, shown.Claim = i.GetUrl(), i.GetGroupMap(), cmp.Or(i.GetGroupsClaim(), "groups")
	shown.Audiences = append([]string{i.GetAudience(), i.GetClientId()}, i.GetAudiences()...)
	slices.Sort(shown.Audiences)
	shown.Audiences = slices.DeleteFunc(slices.Compact(shown.Audiences), func(a string) bool { return a == "" })
	if i.GetJwksUrl() != "" {
		shown.Keys, err = s.Say.Say("administration.sign-in.keys-fetched", "Address", i.GetJwksUrl())
	} else {
		shown.Keys, err = s.Say.Say("administration.sign-in.keys-recorded")
	}
	if err == nil {
		shown.Limits, err = s.limits(i)
	}
	shown.Authorities = identity.ShownAuthorities(i)
	shown.Ended = func(a identity.Authority) bool { return a.Until.Before(s.Now()) }
	return shown, err
}

// PassedOver returns why keys of the present issuer cannot be used.
func (s signing) PassedOver() []reason.Text {
	return reason.ShowAll(s.Say.Language, s.Tenant.GetIssuerKeysCodedPassedOver(), s.Tenant.GetIssuerKeysPassedOver())
}

// FormerPassedOver is PassedOver of the i-th former issuer.
func (s signing) FormerPassedOver(i int) []reason.Text {
	if keys := s.GetFormerKeys(); i < len(keys) {
		return reason.ShowAll(s.Say.Language, keys[i].GetCodedPassedOver(), keys[i].GetPassedOver())
	}
	return nil
}

// limits say what an issuer may do otherwise than usual.
func (s signing) limits(i *lockboxv1.TenantIssuer) (list []string, err error) {
	l := identity.UnusualLimits(i)
	for _, row := range []struct {
		unusual     bool
		what, named string
		value       any
	}{
		{l.Leeway != 0, "leeway", "Leeway", s.Say.Duration(l.Leeway)},
		{l.Token != 0, "token-max", "Bytes", words.Counted{N: l.Token}},
		{l.Keys != 0, "keys-max", "Bytes", words.Counted{N: l.Keys}},
	} {
		if !row.unusual {
			continue
		}
		text, err := s.Say.Say("administration.sign-in."+row.what, row.named, row.value)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// Who returns what concerns a change: who proposed it and by which right.
func (s signing) Who(c *lockboxv1.PendingSignInChange) (string, error) {
	return s.Say.Say(message("sign-in.route", c.GetRoute().String(), "SIGN_IN_ROUTE_"),
		"By", s.Person(c.GetProposedBy().GetPerson()).Name, "Provider", s.Provider)
}

// Confirms reports whether the reader can be the second Global Administrator of a change.
func (s signing) Confirms() (bool, error) {
	c := s.GetPending()
	if c.GetRoute() != lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER || c.GetConfirmedBy() != nil ||
		tenant.SameVoice(c.GetProposedBy().GetPerson(), s.me.GetActor().GetPerson()) {
		return false, nil
	}
	return s.Administrator()
}

// Stops reports whether the reader can stop a change: even an administrator who has not activated the role does.
func (s signing) Stops() bool {
	return slices.ContainsFunc(s.Tenant.GetAssignments(), func(a *lockboxv1.AssignmentView) bool {
		return a.GetAssignment().GetRole() == lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR && (s.Carries(a.GetAssignment()) ||
			tenant.SamePerson(a.GetAssignment().GetPerson(), s.me.GetActor().GetPerson()))
	})
}

func (p pages) changeSignIn(v *site.Visit) error {
	f := form.Sent(v.R)
	id := f.Value("change")
	c, do := &lockboxv1.Command{}, f.Value("do")
	switch do {
	case "confirm":
		c.Action = &lockboxv1.Command_ConfirmSignInChange{
			ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: id}}
	case "stop":
		c.Action = &lockboxv1.Command_StopSignInChange{
			StopSignInChange: &lockboxv1.StopSignInChange{ChangeId: id, Reason: f.Value("reason")}}
	case "finish":
		c.Action = &lockboxv1.Command_EndFormerSignIn{EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}
	default:
		return unknown()
	}
	return change{
		Visit: v, form: f, command: c, then: v.Path(root, "sign-in"),
		again: func(v *site.Visit, f *form.Form) error {
			if f.Refusal != nil { // it is not to be done any more, perhaps
				return p.signIn(v, f)
			}
			return p.signInChange(v, f, do)
		},
		fields: map[string]form.Field{
			"stop_sign_in_change.reason": {Name: "reason", Label: "administration.sign-in.stop-reason"}},
	}.onWhatWasSeen()
}
