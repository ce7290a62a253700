package mail

import (
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

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
		d.Targets, d.Note = []string{lure, lure}, lure
		d.Description, d.What, d.Authority, d.Reference, d.Why = lure, lure, lure, lure, nil
		switch n.Template { // which list events
		case plan.StrayMessage, plan.HistoryAlarm, plan.IntegrityAlarm, plan.MailOverdue:
		default:
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
