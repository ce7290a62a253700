package portal_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/portal"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func dial(t *testing.T, at string) (net.Conn, error) {
	t.Helper()
	return new(net.Dialer).DialContext(t.Context(), "tcp", at)
}

// isPage is what a person looks at: no form's target, no file, no stream.
func isPage(p portal.Page) bool {
	return p.Method == http.MethodGet && !strings.HasPrefix(p.Path, "/live") &&
		!strings.HasSuffix(p.Path, "/export") && !strings.HasSuffix(p.Path, "/receipt")
}

// looker is somebody who sees most of a kind of pages, and what they look at.
type looker struct {
	who, base string
	is        func(portal.Page) bool
	place     place
}

// lookers lets happen what there is to be seen, and returns who sees it.
func (w *world) lookers(t *testing.T) []looker {
	t.Helper()
	pending := w.requested("erin", intent(), request.CustomerNotified)
	done := w.requested("erin", intent(), request.CustomerNotified)
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: done,
		Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "How large will the dump be?"}}})
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: done,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "Go ahead."}}})
	w.reaches(bank, done, request.Active)
	w.does("grace", &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER,
			Change: &lockboxv1.SignInChange{Reason: "Kenji looks after it too.", Administrators: []*lockboxv1.Person{{
				Issuer: w.issuer(bank), Subject: "kenji", DisplayName: "田中 健二", Email: "kenji@meadowbank.example",
				Language: "ja"}}}}}})
	w.does("grace", &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_AddWebhook{
		AddWebhook: &lockboxv1.AddWebhook{Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, Name: "#lockbox",
			SecretUrl: "https://hooks.slack.invalid/services/x", Language: "fr"}}})
	elevated := intent()
	elevated.Scenario = "managed-disk"
	inside := w.requested("erin", elevated, request.AwaitingInternalApproval)
	w.does("olga", &lockboxv1.Command{Tenant: bank, AggregateId: newID(t),
		Action: &lockboxv1.Command_DiscloseExposure{DiscloseExposure: &lockboxv1.DiscloseExposure{
			Occurrence: &lockboxv1.Occurrence{What: "A packet capture held traffic of payments-1", Description: "Health checks.",
				Reason: "Taken to find a faulty line card.", HappenedAt: timestamppb.Now()},
		}}})
	for _, subscription := range []string{"", demo.BankProduction} {
		w.invited(subscription, "i-otto-owner", lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	}
	return []looker{
		{"grace", "/t/" + bank, func(p portal.Page) bool { return p.Customers },
			place{pending, demo.BankTicket, demo.BankProduction, "otto-owner"}},
		{"otto", "/t/" + bank, func(p portal.Page) bool { return p.Customers && strings.HasPrefix(p.Path, "/requests") },
			place{done, demo.BankTicket, demo.BankProduction, "otto-owner"}},
		{"olga", "/provider", func(p portal.Page) bool { return p.Provider },
			place{done, demo.BankTicket, demo.BankProduction, "otto-owner"}},
		{"derek", "/provider", func(p portal.Page) bool {
			return p.Provider && (p.Path == "" || strings.HasPrefix(p.Path, "/requests/{id}"))
		}, place{inside, demo.BankTicket, demo.BankProduction, ""}},
	}
}

// Every page in every language, as whoever sees most of it: audited on a desktop and on a phone, by day and by night. A
// browser shows all of them in English, of which pictures are kept, and in each language what customers see; that the
// rest is in the reader's language shows in what is sent.
func TestEveryPageInEveryLanguage(t *testing.T) {
	t.Parallel()
	w := visit(t)
	pages, err := portal.Pages()
	must(t, err)
	devices := []device{desktop, phoneDark, phone, desktopDark}
	for _, side := range w.lookers(t) {
		for i, language := range []string{"en", "fr", "ja"} {
			t.Run(side.who+"/"+language, func(t *testing.T) {
				shown := 0
				if language != "en" && side.who != "grace" {
					client, err := visitor.SignIn(t.Context(), w.info.PortalURL+side.base+"?lang="+language, side.who)
					must(t, err)
					for _, p := range pages {
						if !isPage(p) || !side.is(p) {
							continue
						}
						status, body := w.sees(t, client, side.base+side.place.in(p.Path))
						if !strings.Contains(body, `<html lang="`+language+`"`) || status >= http.StatusInternalServerError {
							t.Errorf("%s is not in %s: %d", p.Path, language, status)
						}
						shown++
					}
					if shown == 0 {
						t.Error("no page")
					}
					return
				}
				b := w.browser(devices[(i+len(side.who))%len(devices)])
				b.T = t
				b.visit(w.info.PortalURL + "/signin?lang=" + language)
				b.accessible()
				b.picture(language + "-sign-in-" + side.who)
				b.visit(w.info.PortalURL + side.base)
				b.signIn(side.who)
				for _, p := range pages {
					if !isPage(p) || !side.is(p) {
						continue
					}
					b.visit(w.info.PortalURL + side.base + side.place.in(p.Path))
					if b.attribute("html", "lang") != language {
						t.Errorf("%s is not in %s", p.Path, language)
					}
					b.accessible()
					if language == "en" { // pictures take most of the time
						name := strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(p.Path), "-")
						b.picture(strings.Join([]string{language, side.who, name}, "-"))
					}
					shown++
				}
				if shown == 0 {
					t.Error("no page")
				}
			})
		}
	}
}
