package administration

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// setting is a setting with a fixed list of values. Each has a page of its own. Because the command carries all
// settings, a change must not overwrite another setting that the reader did not look at.
type setting struct {
	// service is the setting's field name in the service's refusals.
	service string
	choices []string
	value   func(*lockboxv1.TenantSettings) string
	set     func(*lockboxv1.TenantSettings, string) error
	say     func(say *words.Speaker, value string) (string, error)
}

var settings = map[string]setting{
	"language": {
		service: "default_language", choices: tenant.Languages, value: (*lockboxv1.TenantSettings).GetDefaultLanguage,
		set: func(s *lockboxv1.TenantSettings, value string) error { s.DefaultLanguage = value; return nil },
		say: func(say *words.Speaker, value string) (string, error) {
			return say.Say("administration.language." + value)
		},
	},
	"approvals": {
		service: "required_approvals", choices: []string{"1", "2", "3", "4", "5"},
		value: func(s *lockboxv1.TenantSettings) string {
			return strconv.FormatUint(uint64(max(1, s.GetRequiredApprovals())), 10)
		},
		set: func(s *lockboxv1.TenantSettings, value string) error {
			n, err := strconv.ParseUint(value, 10, 32)
			s.RequiredApprovals = uint32(n) // #nosec G115 -- read as 32 bits
			return err
		},
		say: func(say *words.Speaker, value string) (string, error) {
			return say.Say("administration.approvals", "Count", value)
		},
	},
	"fallback": {
		service: "fallback", choices: []string{lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS.String(),
			lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS.String()},
		value: func(s *lockboxv1.TenantSettings) string {
			return max(s.GetFallback(), lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS).String()
		},
		set: func(s *lockboxv1.TenantSettings, value string) error {
			s.Fallback = lockboxv1.Fallback(lockboxv1.Fallback_value[value])
			return nil
		},
		say: func(say *words.Speaker, value string) (string, error) {
			return say.Say(message("fallback", value, "FALLBACK_"))
		},
	},
	"ticket": {
		service: "access_ends_with_ticket", choices: []string{stays, endsWithTicket},
		value: func(s *lockboxv1.TenantSettings) string {
			if s.GetAccessEndsWithTicket() {
				return endsWithTicket
			}
			return stays
		},
		set: func(s *lockboxv1.TenantSettings, value string) error {
			s.AccessEndsWithTicket = value == endsWithTicket
			return nil
		},
		say: func(say *words.Speaker, value string) (string, error) {
			return say.Say("administration.ticket." + value)
		},
	},
	"deciders": {
		service: "deciders_shown", choices: []string{lockboxv1.DecidersShown_DECIDERS_SHOWN_NAME.String(),
			lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION.String()},
		value: func(s *lockboxv1.TenantSettings) string {
			return max(s.GetDecidersShown(), lockboxv1.DecidersShown_DECIDERS_SHOWN_NAME).String()
		},
		set: func(s *lockboxv1.TenantSettings, value string) error {
			s.DecidersShown = lockboxv1.DecidersShown(lockboxv1.DecidersShown_value[value])
			return nil
		},
		say: func(say *words.Speaker, value string) (string, error) {
			return say.Say(message("deciders", value, "DECIDERS_SHOWN_"))
		},
	},
	"zone": {
		service: "time_zone", choices: timetext.Zones(),
		value: func(s *lockboxv1.TenantSettings) string { return cmp.Or(s.GetTimeZone(), timetext.Zones()[0]) },
		set:   func(s *lockboxv1.TenantSettings, value string) error { s.TimeZone = value; return nil },
		say:   func(_ *words.Speaker, value string) (string, error) { return value, nil },
	},
	"freshness": {
		service: "max_authentication_age", choices: []string{anySignIn, "5m0s", "15m0s", "1h0m0s", "4h0m0s", "12h0m0s"},
		value: func(s *lockboxv1.TenantSettings) string {
			if s.GetMaxAuthenticationAge() == nil {
				return anySignIn
			}
			return s.GetMaxAuthenticationAge().AsDuration().String()
		},
		set: func(s *lockboxv1.TenantSettings, value string) error {
			if s.MaxAuthenticationAge = nil; value == anySignIn {
				return nil
			}
			age, err := time.ParseDuration(value)
			s.MaxAuthenticationAge = durationpb.New(age)
			return err
		},
		say: func(say *words.Speaker, value string) (string, error) {
			age, err := time.ParseDuration(value)
			if err != nil {
				return say.Say("administration.freshness.any")
			}
			return say.Say("administration.freshness.age", "Age", say.Duration(age))
		},
	},
}

// anySignIn is the form value for no limit on the age of the sign-in.
const anySignIn = "any"

// The form values of whether access ends with its ticket.
const stays, endsWithTicket = "stays", "ends"

// Shown lists the settings in the order of the page.
func (looking) Shown() []string {
	return []string{"approvals", "fallback", "freshness", "ticket", "deciders", "language", "zone"}
}

// Setting returns a setting's current value in words.
func (l looking) Setting(id string) (string, error) {
	return settings[id].say(l.Say, settings[id].value(l.Tenant.GetSettings()))
}

// choosing is a visit to the page on which a setting's value is chosen.
type choosing struct {
	looking
	ID string
	setting
	// Now is the current value.
	Now string
}

func choose(v *site.Visit, f *form.Form) (choosing, error) {
	id := v.R.PathValue("setting")
	s, known := settings[id]
	if !known {
		return choosing{}, refusal.NotFound("setting", "I9", "there is no such setting")
	}
	l, err := whole(v, f)
	return choosing{looking: l, ID: id, setting: s, Now: s.value(l.Tenant.GetSettings())}, err
}

// Choices lists the values to choose from, including the current one.
func (c choosing) Choices() []string {
	if slices.Contains(c.choices, c.Now) {
		return c.choices
	}
	return append(slices.Clone(c.choices), c.Now)
}

// Many reports that there are too many values to show them all at once.
func (c choosing) Many() bool { return len(c.Choices()) > mostAtOnce }

// mostAtOnce is how many values are shown at once.
const mostAtOnce = 12

// Spoken returns a value in words.
func (c choosing) Spoken(value string) (string, error) { return c.say(c.Say, value) }

// Chosen returns the value that was chosen.
func (c choosing) Chosen() string { return c.Form.Value("value") }

// Text returns one of the setting's messages.
func (c choosing) Text(which string) (string, error) {
	return c.Say.Say("administration.setting." + c.ID + "." + which)
}

// mostScopes limits how many subscriptions are looked at for a warning.
const mostScopes = 50

// Unreachable lists the scopes in which fewer people decide than the chosen number of approvals, so that no request
// there could be approved (R30).
func (c choosing) Unreachable() ([]string, error) {
	if c.ID != "approvals" {
		return nil, nil
	}
	wanted, err := strconv.Atoi(c.Chosen())
	if err != nil {
		return nil, err
	}
	scopes := []*lockboxv1.SubscriptionView{{DisplayName: c.Tenant.GetDisplayName()}}
	scopes = append(scopes, c.Tenant.GetSubscriptions()[:min(mostScopes, len(c.Tenant.GetSubscriptions()))]...)
	var short []string
	for _, s := range scopes {
		reply, err := c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_PreviewApprovers{
			PreviewApprovers: &lockboxv1.PreviewApprovers{SubscriptionId: s.GetSubscriptionId()}}})
		if err != nil {
			return nil, err
		}
		if len(reply.GetApprovers().GetApprovers()) < wanted {
			short = append(short, cmp.Or(s.GetDisplayName(), s.GetSubscriptionId()))
		}
	}
	return short, nil
}

func (c choosing) titled() string { return "administration.setting." + c.ID + ".title" }

func (p pages) setting(v *site.Visit, f *form.Form) error {
	c, err := choose(v, f)
	if err != nil {
		return err
	}
	return p.show(c.looking, "setting", c.titled(), c)
}

// review is the confirmation page: it shows the current and the chosen value, and the consequences, before anything
// changes.
func (p pages) review(v *site.Visit, f *form.Form) error {
	c, err := choose(v, f)
	if err != nil {
		return err
	}
	if !slices.Contains(c.Choices(), c.Chosen()) {
		return refusal.Invalid("value", "bad input", "is not one of those to choose from")
	}
	return p.show(c.looking, "review", c.titled(), c)
}

func (p pages) changeSetting(v *site.Visit) error {
	f := form.Sent(v.R)
	c, err := choose(v, f)
	if err != nil {
		return err
	}
	next := proto.CloneOf(c.Tenant.GetSettings())
	if !slices.Contains(c.Choices(), c.Chosen()) || c.set(next, c.Chosen()) != nil {
		return refusal.Invalid("value", "bad input", "is not one of those to choose from")
	}
	return p.changeSettings(c.looking, next, v.Path(root), p.review, map[string]form.Field{
		"change_settings.settings." + c.service: {Name: "value", Label: c.titled()},
	})
}

// changeSettings sends the tenant's current settings with a change applied. It does so only if they are the version
// that the reader saw; otherwise a change made in between would be overwritten.
func (p pages) changeSettings(
	l looking, next *lockboxv1.TenantSettings, then string, again func(*site.Visit, *form.Form) error,
	fields map[string]form.Field,
) error {
	c := change{
		Visit: l.Visit, form: l.Form, then: then, again: again, fields: fields,
		command: &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
			ChangeSettings: &lockboxv1.ChangeSettings{Settings: next}}},
	}
	return c.onWhatWasSeen()
}

// The addresses that are notified but cannot decide (R24).

func (p pages) alternates(v *site.Visit, f *form.Form) error {
	l, err := whole(v, f)
	if err != nil {
		return err
	}
	return p.show(l, "alternates", "administration.alternates", l)
}

func (p pages) changeAlternates(v *site.Visit) error {
	f := form.Sent(v.R)
	l, err := whole(v, f)
	if err != nil {
		return err
	}
	next := proto.CloneOf(l.Tenant.GetSettings())
	switch f.Value("do") {
	case "add":
		next.Alternates = append(next.Alternates,
			&lockboxv1.AlternateAddress{Email: f.Value("email"), Language: f.Value("language")})
	case "remove":
		next.Alternates = slices.DeleteFunc(next.Alternates,
			func(a *lockboxv1.AlternateAddress) bool { return a.GetEmail() == f.Value("email") })
	default:
		return unknown()
	}
	email := form.Field{Name: "email", Label: "administration.email"}
	return p.changeSettings(l, next, l.To("alternates"), p.alternates, map[string]form.Field{
		"change_settings.settings.alternates": email, "change_settings.settings.alternates.email": email,
		"change_settings.settings.alternates.language": {Name: "language", Label: "administration.language"},
	})
}
