package mail

import (
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

func TestNoMailClientMakesALinkOfWhatPeopleWrite(t *testing.T) {
	for s, want := range map[string]string{
		"see https://elsewhere.example/x?y=z.": "see https[:]//elsewhere[.]example/x?y=z.",
		"HTTPS://Elsewhere.Example":            "HTTPS[:]//Elsewhere[.]Example",
		"www.elsewhere.example/x":              "www[.]elsewhere[.]example/x",
		"www.1x.7":                             "www[.]1x.7",
		"elsewhere.example":                    "elsewhere[.]example",
		"(elsewhere.example)":                  "(elsewhere[.]example)",
		"a.b.elsewhere.example:8443/x":         "a.b[.]elsewhere[.]example:8443/x",
		"mallory@elsewhere.example":            "mallory[@]elsewhere[.]example",
		"mailto:mallory@elsewhere.example":     "mailto[:]mallory[@]elsewhere[.]example",
		"tel:+4912345":                         "tel[:]+4912345",
		"ms-word:ofe|u|x":                      "ms-word[:]ofe|u|x",
		"ftp://x, ldap://x, x://y":             "ftp[:]//x, ldap[:]//x, x[:]//y",
		`\\elsewhere\share`:                    `[\]\elsewhere\share`,
		"例え.テスト と xn--r8jz45g.xn--zckzah":      "例え[.]テスト と xn--r8jz45g[.]xn--zckzah",
		"elsewhere．example":                    "elsewhere[．]example",
		"elsewhere｡example":                    "elsewhere[｡]example",
		"e\u0301.example, 💩.example":           "e\u0301[.]example, 💩[.]example",
		"done.The rest follows":                "done[.]The rest follows",
		"https:////elsewhere.example":          "https[:]////elsewhere[.]example",
		"https[:]//elsewhere[.]example":        "https[:]//elsewhere[.]example",
		// What is no link stays as it is.
		"It failed. We need a dump, e.g. of pay-db-01 at 12:30; it took 1.25 s.": "",
		"/subscriptions/pay-prod/virtualMachines/pay-db-01, ~/.config":           "",
		"version 1.2.3 (10.0.0.1), U.S., a: b, note: see above, 3 @ 4, @otto…":   "",
		"停止しました。確認してください。":                                                       "",
		"Il s’est arrêté : voir ci-dessous…":                                     "",
	} {
		if want == "" {
			want = s
		}
		if got := unlink(s); got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
		if again := unlink(want); again != want {
			t.Errorf("%q became %q when it was done again", want, again)
		}
	}
}

// likeLink is what mail clients make links of, wider than any of them.
var likeLink = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://|\bwww\.\S|\bmailto:\S|` +
	`[\pL\pN_-]@[\pL\pN]|[\pL\pN-][.．｡]\pL[\pL\pN-]|\\\\`)

// In every mail that quotes people, in every language: what they wrote is there, and is no link in either part, and the
// only link is Lockbox's own.
func TestALinkInFreeTextIsTextInEveryMail(t *testing.T) {
	const lure = `Approve at https://elsewhere.example/approve or www.elsewhere.example, ask mallory@elsewhere.example.`
	const harmless = `Approve at https[:]//elsewhere[.]example/approve or www[.]elsewhere[.]example, ` +
		`ask mallory[@]elsewhere[.]example.`
	lured := func(n plan.Notification) plan.Notification {
		d := &n.Data
		n.Name, d.By, d.Organisation, d.Text, d.TicketTitle, d.Subscription = lure, lure, lure, lure, lure, lure
		d.Justification, d.Requester, d.Employer, d.Question, d.Person = lure, lure, lure, lure, lure
		d.Description, d.What, d.Authority, d.Reference, d.Why = lure, lure, lure, lure, nil
		if n.Template != plan.StrayMessage && n.Template != plan.IntegrityAlarm && n.Template != plan.MailOverdue {
			d.Resources = []string{lure}
		}
		d.Others, d.Approvals = []string{lure}, []plan.Approval{{By: lure, At: noon}}
		return n
	}
	for _, language := range tenant.Languages {
		for template, shape := range shapes {
			n := lured(sample(template, language))
			for i, held := range n.Held {
				n.Held[i] = lured(held)
			}
			mail := render(t, n)
			if len(shape.quotes) > 0 && !strings.Contains(withoutSpace(mail.plain), withoutSpace(harmless)) {
				t.Errorf("%s/%s does not quote it:\n%s", template, language, mail.plain)
			}
			tags, shown := apart(mail.html)
			for part, body := range map[string]string{"text": mail.plain, "HTML": shown} {
				if at := strings.Index(body, "elsewhere.example"); at >= 0 || strings.Contains(body, "mallory@") {
					t.Errorf("%s/%s: a link in the %s:\n%s", template, language, part, body)
				}
			}
			if strings.Contains(tags, "elsewhere") {
				t.Errorf("%s/%s: it is in the markup:\n%s", template, language, tags)
			}
		}
	}
}

func FuzzUnlink(f *testing.F) {
	for _, attack := range attacks {
		f.Add(attack)
	}
	f.Add("x.www.com:// @a mailto:x \\\\y")
	f.Fuzz(func(t *testing.T, s string) {
		made := line(s)
		if at := likeLink.FindString(made); at != "" && !strings.HasSuffix(made, "…") {
			t.Errorf("%q became %q, which links %q", s, made, at)
		}
	})
}
