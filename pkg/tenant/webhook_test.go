package tenant_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	hookSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hookAddress = "https://Hooks.Slack.com/services/T000/B000/XXXX"
)

func addHook(change func(*lockboxv1.AddWebhook)) *lockboxv1.Command {
	a := &lockboxv1.AddWebhook{Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD, Name: "Security operations",
		SecretUrl: "https://soc.contoso.example:8443/lockbox?key=1", Secret: hookSecret}
	if change != nil {
		change(a)
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_AddWebhook{AddWebhook: a}}
}

func removeHook(id string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_RemoveWebhook{
		RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: id, Reason: "Closed."}}}
}

func TestR57AnAdministratorAddsAndRemovesWebhooks(t *testing.T) {
	s := contoso(t, premier)
	toSlack := func(a *lockboxv1.AddWebhook) {
		a.Kind, a.SecretUrl, a.Secret, a.Language = lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, hookAddress, "", "fr"
		a.Types = []string{"CustomerDenied"}
	}
	s.play(t,
		row{1, otto, addHook(nil), no(forbidden, "token", "R57")},
		row{1, ona, addHook(nil), no(forbidden, "token", "R57")},
		row{1, eve, addHook(nil), no(forbidden, "token", "R57")},
		row{1, mole, addHook(nil), no(forbidden, "token", "R57")},
		row{1, gina, addHook(nil), yes},
		row{2, gina, addHook(toSlack), yes})
	hooks := s.tenant().Webhooks
	if len(hooks) != 2 || hooks[0].GetAddress() != "https://soc.contoso.example:8443" || hooks[0].GetLanguage() != "en" ||
		hooks[1].GetAddress() != "https://hooks.slack.com" || hooks[1].GetLanguage() != "fr" ||
		len(hooks[1].GetTypes()) != 1 || string(hooks[1].Sealed) != "sealed" {
		t.Fatalf("%v", hooks)
	}
	for _, e := range s.Entries { // of the address and the secret nothing but the host is in an event
		text := e.Event.String()
		for _, secret := range []string{"/lockbox", "key=1", "T000", "MfKQ9r8"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
	s.play(t,
		row{3, otto, removeHook(hooks[0].GetId()), no(forbidden, "token", "R57")},
		row{3, gina, removeHook("none"), no(notFound, "remove_webhook.webhook_id", "R57")},
		row{3, gina, removeHook(hooks[0].GetId()), yes},
		row{4, gina, removeHook(hooks[0].GetId()), no(notFound, "remove_webhook.webhook_id", "R57")})
	for range tenant.MaxWebhooks - 1 {
		s.play(t, row{5, gina, addHook(nil), yes})
	}
	s.play(t, row{6, gina, addHook(nil), no(precondition, "add_webhook", "R57")})
	// A stolen session is not enough, neither to have everything told elsewhere nor to silence a webhook.
	s.play(t, row{7, signedIn(gina, 7), set(&lockboxv1.TenantSettings{DefaultLanguage: "en",
		MaxAuthenticationAge: durationpb.New(time.Hour)}), yes},
		row{8, gina, removeHook(s.tenant().Webhooks[0].GetId()),
			no(lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED, tenant.StaleField, "R25")},
		row{8, gina, addHook(nil), no(lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED, tenant.StaleField, "R25")})
	s.holds(t)
}

func TestR57AWebhookIsWhole(t *testing.T) {
	slack := func(a *lockboxv1.AddWebhook) { a.Kind = lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK }
	url := func(address string) func(*lockboxv1.AddWebhook) {
		return func(a *lockboxv1.AddWebhook) { a.SecretUrl = address }
	}
	const field = "add_webhook.secret_url"
	for _, c := range map[string]struct {
		change func(*lockboxv1.AddWebhook)
		field  string
	}{
		"no kind":          {func(a *lockboxv1.AddWebhook) { a.Kind = 0 }, "add_webhook.kind"},
		"a kind to come":   {func(a *lockboxv1.AddWebhook) { a.Kind = 99 }, "add_webhook.kind"},
		"two lines":        {func(a *lockboxv1.AddWebhook) { a.Name = "a\nb" }, "add_webhook.name"},
		"another language": {func(a *lockboxv1.AddWebhook) { a.Language = "de" }, "add_webhook.language"},
		"an unknown type":  {func(a *lockboxv1.AddWebhook) { a.Types = []string{"Everything"} }, "add_webhook.types"},
		"a type twice": {func(a *lockboxv1.AddWebhook) { a.Types = []string{"SignedIn", "SignedIn"} },
			"add_webhook.types"},
		"a chat's secret":   {slack, "add_webhook.secret"},
		"no secret":         {func(a *lockboxv1.AddWebhook) { a.Secret = "" }, "add_webhook.secret"},
		"a short one":       {func(a *lockboxv1.AddWebhook) { a.Secret = "whsec_c2hvcnQ=" }, "add_webhook.secret"},
		"not base64":        {func(a *lockboxv1.AddWebhook) { a.Secret = hookSecret + "!" }, "add_webhook.secret"},
		"a signing key":     {func(a *lockboxv1.AddWebhook) { a.Secret = "whsk_" + hookSecret[6:] }, "add_webhook.secret"},
		"http":              {url("http://soc.example/x"), field},
		"no host":           {url("https:///x"), field},
		"no address":        {url("soc"), field},
		"another host":      {url("https://hooks.slack.com@evil.example/x"), field},
		"a fragment":        {url("https://soc.example/x#y"), field},
		"another scheme":    {url("file:///etc/passwd"), field},
		"opaque":            {url("https:soc.example"), field},
		"a look-alike":      {url("https://hооks.slack.com/x"), field}, // Cyrillic o
		"too long":          {url("https://soc.example/" + strings.Repeat("x", 2048)), field},
		"a line break":      {url("https://soc.example/x\r\nHost: y"), field},
		"http elsewhere":    {url("http://127.0.0.1.nip.io/x"), field},
		"http to a private": {url("http://10.0.0.1/x"), field},
	} {
		s := contoso(t, premier)
		s.play(t, row{1, gina, addHook(c.change), no(invalid, c.field, "R57")}.orBadInput(c.field))
	}
}

// orBadInput is the same with the rule of texts, if that is what the field's check names.
func (r row) orBadInput(field string) row {
	switch field {
	case "add_webhook.name":
		r.then = no(invalid, field, "bad input")
	case "add_webhook.language":
		r.then = no(invalid, field, "R24")
	}
	return r
}

// Without a key to encrypt with, nothing is recorded, and whoever may not, does not learn it.
func TestR57NothingIsRecordedInTheClear(t *testing.T) {
	s := contoso(t, premier)
	for who, want := range map[*lockboxv1.Actor]lockboxv1.RefusalCode{
		gina: lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, otto: forbidden,
	} {
		c := s.Given(who, s.ID(), addHook(nil))
		c.Sealed = nil
		e, err := tenant.Decide(s.tenant(), c, tenant.Limits{}, start)
		if e != nil || refusal.Of(err).GetCode() != want || strings.Contains(err.Error(), "lockbox?key") {
			t.Errorf("%v, %v", e, err)
		}
	}
}

// Whoever writes events with a stolen key adds no webhook that an administrator could not.
func TestR57TheFoldRefusesWhatNobodyDecided(t *testing.T) {
	s := contoso(t, premier)
	c := s.Given(gina, s.ID(), addHook(nil))
	e, err := tenant.Decide(s.tenant(), c, tenant.Limits{}, start)
	if err != nil {
		t.Fatal(err)
	}
	before, full := s.tenant(), contoso(t, premier)
	for range tenant.MaxWebhooks {
		full.play(t, row{1, gina, addHook(nil), yes})
	}
	hook := func(change func(*lockboxv1.WebhookAdded)) func(*lockboxv1.Event) {
		return func(e *lockboxv1.Event) { change(e.GetWebhookAdded()) }
	}
	for name, change := range map[string]func(*lockboxv1.Event){
		"by an owner":     func(e *lockboxv1.Event) { e.Actor = otto },
		"by the provider": func(e *lockboxv1.Event) { e.Actor = ona },
		"by Lockbox":      func(e *lockboxv1.Event) { e.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM} },
		"another id":      hook(func(f *lockboxv1.WebhookAdded) { f.Webhook.Id = s.ID() }),
		"no id":           func(e *lockboxv1.Event) { e.CausationId, e.GetWebhookAdded().Webhook.Id = "", "" },
		"a path as id":    func(e *lockboxv1.Event) { e.CausationId, e.GetWebhookAdded().Webhook.Id = "../../x", "../../x" },
		"in the clear":    hook(func(f *lockboxv1.WebhookAdded) { f.Sealed = nil }),
		"too much":        hook(func(f *lockboxv1.WebhookAdded) { f.Sealed = make([]byte, 9<<10) }),
		"a whole address": hook(func(f *lockboxv1.WebhookAdded) { f.Webhook.Address = hookAddress }),
		"another kind":    hook(func(f *lockboxv1.WebhookAdded) { f.Webhook.Kind = 7 }),
		"the removal of none": func(e *lockboxv1.Event) {
			e.Fact = &lockboxv1.Event_WebhookRemoved{WebhookRemoved: &lockboxv1.WebhookRemoved{WebhookId: "x"}}
		},
		"one more than may be": func(e *lockboxv1.Event) { e.Version = full.tenant().Version + 1 },
	} {
		forged, to := proto.CloneOf(e), before
		if name == "one more than may be" {
			to = full.tenant()
		}
		change(forged)
		if got := tenant.Evolve(to, 100, forged); got.Fault == nil {
			t.Errorf("%s is folded: %v", name, forged)
		}
	}
	if got := tenant.Evolve(before, 100, e); got.Fault != nil {
		t.Errorf("the genuine one is not: %v", got.Fault)
	}
}
