package portal_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/portal"
)

// role is somebody of the table of people, with the base of their own organisation and of one that is not theirs.
type role struct{ name, persona, own, foreign string }

var roles = []role{
	{"support engineer", "erin", "/provider", "/t/" + bank},
	{"internal approver", "lena", "/provider", "/t/" + bank},
	{"security officer", "olga", "/provider", "/t/" + health},
	{"onboarding", "onboarding", "/provider", "/t/" + health},
	{"Global Administrator", "grace", "/t/" + bank, "/t/" + health},
	{"Owner", "otto", "/t/" + bank, "/t/" + health},
	{"Lockbox Approver", "fleur", "/t/" + bank, "/t/" + health},
	{"Auditor", "audrey", "/t/" + bank, "/t/" + health},
}

// place says which request, ticket and subscription an address is about.
type place struct{ request, ticket, subscription, assignment string }

func (p place) in(path string) string {
	return strings.NewReplacer("{id}", p.request, "{subscription}", p.subscription, "{assignment}", p.assignment,
		"{invitation}", "i-"+p.assignment, "{setting}", "freshness", "{number}", "1", "{webhook}", "none", "{do}", "stop",
		"{erasure}", p.request, "{digest}", p.request).
		Replace(strings.Replace(path, "/tickets/{id}", "/tickets/"+p.ticket, 1))
}

// Every page there is, for every role, in the own and in a foreign organisation, about own and about foreign things:
// who is foreign finds nothing, not a byte of it, and looking changes nothing (I9).
func TestEveryPageForEveryRole(t *testing.T) {
	t.Parallel()
	w := start(t)
	secret := intent()
	secret.Tenant, secret.SubscriptionId, secret.TicketId = health, demo.HealthClinic, demo.HealthTicket
	secret.ResourceIds = []string{demo.Machine(demo.HealthClinic, "booking-secret")}
	secret.Justification = "The booking database is slow; shibboleth."
	bankPlace := place{w.requested("erin", intent(), request.CustomerNotified), demo.BankTicket, demo.BankProduction,
		"otto-owner"}
	healthPlace := place{w.requested("bob", secret, request.CustomerNotified), demo.HealthTicket, demo.HealthClinic,
		"kenji-owner"}
	// What only Sakura's people and those of the provider that have to do with it may read.
	foreignBytes := []string{"shibboleth", "booking-secret", "Sakura", "診療システム", "田中", "佐藤", "kenji@", "予約"}
	pages, err := portal.Pages()
	must(t, err)
	if len(pages) < 30 {
		t.Fatalf("only %d pages", len(pages))
	}
	for _, p := range pages {
		if at := bankPlace.in(p.Path); strings.Contains(at, "{") {
			t.Fatalf("nobody knows where %s is", p.Path)
		}
	}
	clients := map[string]*http.Client{} // that somebody signed in for the first time may be recorded
	for _, r := range roles {
		client, err := visitor.SignIn(t.Context(), w.info.PortalURL+r.own, r.persona)
		must(t, err)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		clients[r.name] = client
	}
	before := w.settled()
	for _, r := range roles {
		t.Run(r.name, func(t *testing.T) {
			client := clients[r.name]
			ownPlace, foreignPlace := bankPlace, healthPlace
			for _, p := range pages {
				provider := r.own == "/provider"
				if p.Method == http.MethodGet && (provider && p.Provider || !provider && p.Customers) &&
					!strings.HasPrefix(p.Path, "/live") {
					status, body := w.sees(t, client, r.own+ownPlace.in(p.Path))
					if status >= 500 || status == http.StatusUnauthorized {
						t.Errorf("own %s: %d", p.Path, status)
					}
					if !provider {
						clean(t, "own "+p.Path, body, foreignBytes)
						// The same page, about a thing of somebody else's.
						if about := foreignPlace.in(p.Path); about != p.Path && about != ownPlace.in(p.Path) {
							status, body := w.sees(t, client, r.own+about)
							if status != http.StatusNotFound {
								t.Errorf("own page about foreign %s: %d", p.Path, status)
							}
							clean(t, "own page about foreign "+p.Path, body, foreignBytes)
						}
					}
				}
				if p.Method == http.MethodGet {
					status, body := w.sees(t, client, r.foreign+foreignPlace.in(p.Path))
					if status != http.StatusNotFound {
						t.Errorf("foreign %s: %d", p.Path, status)
					}
					if !provider {
						clean(t, "foreign "+p.Path, body, foreignBytes)
					}
				}
				if p.Method == http.MethodPost {
					w.forged(t, client, r.own+ownPlace.in(p.Path))
					w.forged(t, client, r.foreign+foreignPlace.in(p.Path))
				}
			}
		})
	}
	if after := w.settled(); after != before {
		t.Errorf("looking and forging have written %d events", after-before)
	}
}

func clean(t *testing.T, where, body string, foreign []string) {
	t.Helper()
	for _, bytes := range foreign {
		if strings.Contains(body, bytes) {
			t.Errorf("%s holds %q", where, bytes)
		}
	}
}

// sees is one look at a page.
func (w *world) sees(t *testing.T, client *http.Client, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.info.PortalURL+path, nil)
	must(t, err)
	answer, err := visitor.Read(client, r)
	must(t, err)
	return answer.Status, answer.Body
}

// forged sends a form as pages of other sites would have a browser send it: all are refused.
func (w *world) forged(t *testing.T, client *http.Client, path string) {
	t.Helper()
	for name, header := range map[string][2]string{
		"another site": {"Sec-Fetch-Site", "cross-site"}, "a sibling site": {"Sec-Fetch-Site", "same-site"},
		"another origin": {"Origin", "https://evil.example"}, "an origin of no name": {"Origin", "null"},
		"nobody": {"X-Nothing", "1"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.info.PortalURL+path,
			strings.NewReader(url.Values{"reason": {"forged"}}.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(header[0], header[1])
		answer, err := visitor.Read(client, r)
		must(t, err)
		if answer.Status != http.StatusForbidden {
			t.Errorf("%s sends a form to %s: %d", name, path, answer.Status)
		}
	}
}

// settled waits until nothing is written any more, and returns how many events there are but for checkpoints.
func (w *world) settled() uint64 {
	w.Helper()
	nc, err := bus.Connect(bus.Connection{URL: w.info.NATSURL, Identity: bus.Compliance, SeedFile: w.info.KeysDir + "/" +
		string(bus.Compliance) + ".nk"})
	must(w, err)
	defer nc.Close()
	j, err := journal.Open(w.Context(), nc)
	must(w, err)
	defer j.Close()
	last, since := uint64(0), time.Now()
	for time.Since(since) < time.Second {
		now := uint64(0)
		must(w, j.Replay(w.Context(), journal.Replay{}, func(e journal.Entry) error {
			if e.Event.GetKind() != aggregate.KindCheckpoint { // which nobody causes by what they do not do
				now++
			}
			return nil
		}))
		if now != last {
			last, since = now, time.Now()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return last
}

// What browsers hear with every page.
func TestWhatBrowsersAreToldWithEveryPage(t *testing.T) {
	t.Parallel()
	w := visit(t)
	client, err := visitor.SignIn(t.Context(), w.info.PortalURL+"/t/"+bank, "otto")
	must(t, err)
	for _, path := range []string{"/", "/signin", "/t/" + bank, "/t/" + bank + "/requests", "/t/" + health, "/nothing",
		"/assets/nothing"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.info.PortalURL+path, nil)
		must(t, err)
		answer, err := visitor.Read(client, r)
		must(t, err)
		policy := answer.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'",
			"form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s", path, want)
			}
		}
		if strings.Contains(policy, "unsafe") || answer.Header.Get("X-Content-Type-Options") != "nosniff" ||
			answer.Header.Get("Referrer-Policy") == "" {
			t.Errorf("%s: %v", path, answer.Header)
		}
	}
}

// Nobody holds a connection for long by sending a header a byte at a time.
func TestSlowClientsAreLeft(t *testing.T) {
	t.Parallel()
	w := visit(t)
	at := strings.TrimPrefix(w.info.PortalURL, "http://")
	conn, err := dial(t, at)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nX-Slow: ", at)
	must(t, err)
	begun := time.Now()
	for {
		if _, err := conn.Write([]byte("x")); err != nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
		if time.Since(begun) > patience-time.Second {
			t.Fatal("still listening")
		}
	}
}
