package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/durationpb"
)

// demanding is a world whose tenants take a decision only from a sign-in of the last five minutes.
func demanding(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	signedIn := w.time()
	w.backend.Queries = map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{
				Self: &lockboxv1.SelfView{MaxAuthenticationAge: durationpb.New(5 * time.Minute)}}}, nil
		},
	}
	w.backend.Commands = map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){
		"approve": func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			if w.time().Sub(signedIn) > 5*time.Minute {
				return nil, refusal.Unauthenticated("token.auth_time", "R25", "sign in again to decide")
			}
			return &lockboxv1.CommandReply{}, nil
		},
	}
	w.approve = func(_ *site.Visit, err error) error { return err }
	return w
}

const confirmation = "/t/meadowbank/requests/7/approve"

func TestWhoDecidesSignsInOnceMoreAndIsBackWithWhatTheyTyped(t *testing.T) {
	t.Parallel()
	w := demanding(t)
	typed := confirmation + "?hours=2&reason=" + url.QueryEscape("looks right\r\n& fine, « oui »")
	for name, row := range map[string]struct {
		from    string // the page with the form
		approve func(v *site.Visit, err error) error
		back    string
	}{
		"the page says where": {confirmation,
			func(v *site.Visit, err error) error { return v.SignInAgain(err, typed) }, typed},
		"where they came from": {typed, func(_ *site.Visit, err error) error { return err }, typed},
		"from nowhere":         {"", func(_ *site.Visit, err error) error { return err }, confirmation},
		"from another site": {"https://evil.example/x",
			func(_ *site.Visit, err error) error { return err }, confirmation},
		"from another organisation's": {"/provider/requests/7", func(_ *site.Visit, err error) error { return err },
			"/t/meadowbank"},
		"the page says what is no place": {confirmation,
			func(v *site.Visit, err error) error { return v.SignInAgain(err, "//evil.example") }, "/t/meadowbank"},
	} {
		b := w.browser(t)
		b.signIn("otto", "/t/meadowbank")
		first := b.session()
		w.after(6 * time.Minute)
		w.approve = row.approve
		p := b.post(confirmation, url.Values{"hours": {"2"}}, row.from)
		if p.status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", name, p.status, p.body)
		}
		asking := b.follow(p)
		shows(t, name, asking, http.StatusOK, "within the last 5 minutes")
		if refresh.MatchString(asking.body) {
			t.Errorf("%s: gone before anybody has read why", name)
		}
		at, err := url.Parse(link(t, asking, mainLink))
		must(t, err)
		if q := at.Query(); q.Get("prompt") != "login" || q.Get("max_age") != "0" {
			t.Errorf("%s: asked %v", name, q)
		}
		done := b.get(b.choose(asking, "otto"))
		if done.status != http.StatusSeeOther || done.location != row.back {
			t.Errorf("%s: %d %s, want %s", name, done.status, done.location, row.back)
		}
		shows(t, name, b.follow(done), http.StatusOK, "Otto Owens")
		if b.session().Value == first.Value {
			t.Errorf("%s: the session has its old token", name)
		}
	}
}

// Whose session ends while they type finds what they typed after the next sign-in, and nobody else does.
func TestTheEndOfASessionLosesNothing(t *testing.T) {
	t.Parallel()
	w := demanding(t)
	for persona, want := range map[string]string{"otto": "As <we> agreed", "grace": ""} {
		b := w.browser(t)
		b.signIn("otto", "/t/meadowbank")
		w.after(2 * time.Hour)
		p := b.post(confirmation, url.Values{"reason": {"As <we> agreed"}}, confirmation+"?seen=3")
		shows(t, persona, p, http.StatusUnauthorized, "What you typed is kept for half an hour")
		w.active.Store(1) // the other copy goes on
		p = b.follow(b.get(b.choose(b.follow(b.get(link(t, p, mainLink))), persona)))
		w.active.Store(0)
		if !strings.HasSuffix(p.at, confirmation+"?seen=3") || strings.Contains(p.at, "agreed") {
			t.Errorf("%s is at %s", persona, p.at)
		}
		shows(t, persona, p, http.StatusOK, "typed “"+want+"”")
	}
}

func TestOnlyTheSamePersonFreshlySignedInGoesOn(t *testing.T) {
	t.Parallel()
	w := demanding(t)
	for name, row := range map[string]struct {
		persona string
		behind  time.Duration
		text    string
	}{
		"somebody else":                   {"grace", 0, "That was somebody else"},
		"nobody":                          {"", 0, "You did not sign in"},
		"signed in before they were sent": {"otto", time.Minute + time.Second, "That was not a fresh sign-in"},
		"by a clock that is behind":       {"otto", time.Minute, ""},
	} {
		b := w.browser(t)
		b.signIn("otto", "/t/meadowbank")
		w.after(6 * time.Minute)
		asking := b.follow(b.post(confirmation, nil, confirmation))
		first := b.session()
		w.behind = row.behind
		p := b.follow(b.get(b.choose(asking, row.persona)))
		w.behind = 0
		if row.text == "" {
			shows(t, name, p, http.StatusOK, "Otto Owens of Meadow Bank, "+confirmation)
			continue
		}
		shows(t, name, p, http.StatusForbidden, row.text)
		if b.session().Value != first.Value {
			t.Errorf("%s: another session", name)
		}
		if retry := link(t, p, mainLink); retry != "/signin?again=1&to="+url.QueryEscape(confirmation) {
			t.Errorf("%s: retry at %s", name, retry)
		}
		shows(t, name+": who is signed in", b.get("/t/meadowbank"), http.StatusOK, "Otto Owens")
	}
}

func TestOtherRefusalsAreNotHelpedBySigningIn(t *testing.T) {
	t.Parallel()
	w := demanding(t)
	b := w.browser(t)
	b.signIn("otto", "/t/meadowbank")
	w.backend.Commands["approve"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Forbidden("actor", "R20", "you are not one of those who were asked")
	}
	w.approve = func(v *site.Visit, err error) error { return v.SignInAgain(err, confirmation) }
	shows(t, "not asked", b.post(confirmation, nil, confirmation), http.StatusForbidden,
		"you are not one of those who were asked")
	w.after(2 * time.Hour) // the session is over
	p := b.post(confirmation, nil, confirmation)
	shows(t, "the session is over", p, http.StatusUnauthorized, "Please sign in again")
	if to := link(t, p, mainLink); to != "/signin?to="+url.QueryEscape(confirmation) {
		t.Errorf("to sign in: %s", to)
	}
	// Without a session there is nobody to be the same.
	shows(t, "again, as nobody", b.get("/signin?again=1&to="+confirmation), http.StatusOK, "sign-in of Meadow Bank")
}
