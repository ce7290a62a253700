package mail

import (
	"fmt"
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/foreign"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// attacks are texts that somebody might put wherever they can write.
var attacks = map[string]string{
	"a header":          "Otto\r\nBcc: mallory@elsewhere.example\r\n\r\nHello",
	"a bare line feed":  "Otto\nSubject: Approved",
	"a bare return":     "Otto\rSubject: Approved",
	"a script":          `<script>alert(1)</script><img src=x onerror=alert(1)><a href="javascript:alert(1)">x</a>`,
	"an attribute":      `" onmouseover="alert(1)" style="background:url(https://elsewhere.example/x)`,
	"a style":           `</td></table></style><style>@import url(https://elsewhere.example/x)</style>`,
	"a template":        `{{define "x"}}{{end}}{{.}}{{template "footer"}}`,
	"a direction":       "Otto \u202etdnarB\u202c \u2066x\u2069 \u200e\u200f",
	"something unseen":  "Ot\u200bto\u00ad \ufeff\u2060\U000e0041",
	"an encoded word":   "=?UTF-8?q?Bcc:_mallory@elsewhere.example?=",
	"an address":        `"Otto" <otto@meadowbank.example>, mallory@elsewhere.example`,
	"a boundary":        "\r\n--" + boundaryOf(sample(plan.ApprovalRequested, "en")) + "--\r\n",
	"the end of a mail": "\r\n.\r\nMAIL FROM:<mallory@elsewhere.example>\r\n",
	"broken UTF-8":      "Otto \xff\xfe",
	"a null":            "Otto\x00Brandt",
	"an escape":         "\x1b[2J\x1b[31mApproved",
	"a separator":       "Otto\u2028Approved\u2029Approved",
	"length":            strings.Repeat("a", 100_000),
}

func boundaryOf(n plan.Notification) string {
	r, err := newRenderer()
	if err != nil {
		panic(err)
	}
	l, err := compose(r.messages[n.Language], n)
	if err != nil {
		panic(err)
	}
	plain, html, err := r.bodies(l)
	if err != nil {
		panic(err)
	}
	return boundary(plain, html)
}

// poison puts a text wherever somebody may have written something.
func poison(n plan.Notification, s string) plan.Notification {
	n.Name = s
	d := &n.Data
	d.By, d.Organisation, d.Text, d.TicketID, d.TicketTitle, d.Service, d.Scenario, d.Subscription = s, s, s, s, s, s, s, s
	d.Justification, d.Requester, d.Employer, d.Group, d.Question, d.Person, d.PersonEmail = s, s, s, s, s, s, s
	d.ResourceType, d.Tenant, d.TenantID, d.RequestID = s, s, s, s
	d.Resources, d.Others = []string{s, s}, []string{s}
	d.Targets, d.Operation, d.Contact, d.Zone, d.Note = []string{s, s}, s, s, s, s
	d.Approvals = []plan.Approval{{By: s, At: noon}}
	return n
}

func TestWhatPeopleWriteStaysText(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			for _, template := range []plan.Template{ // one of each shape
				plan.ApprovalRequested, plan.InternallyRefused, plan.QuestionAnswered, plan.AccessGranted, plan.AccessRevoked,
				plan.SettingsChanged, plan.EmergencyAccess, plan.RoleInvited, plan.OwnRoleEnded, plan.ExposureDisclosed,
			} {
				usual, mail := render(t, sample(template, "en")), render(t, poison(sample(template, "en"), attack))
				// Nothing but these headers, each once.
				for header, values := range mail.header {
					if len(values) != 1 || usual.header[header] == nil {
						t.Fatalf("%s: header %s: %q", template, header, values)
					}
					for _, r := range values[0] {
						if r > '~' || r < ' ' {
							t.Fatalf("%s: header %s holds %q", template, header, values[0])
						}
					}
				}
				checkTo(t, mail.header)
				inert(t, mail.html)
				for _, body := range []string{mail.plain, mail.html} {
					for _, r := range body {
						if (r < ' ' || r > '~') && r != '\n' && foreign.Visible(r) != r {
							t.Fatalf("%s: the body holds %U", template, r)
						}
					}
				}
				if strings.Contains(mail.html, "<script") || strings.Contains(mail.html, "<img") {
					t.Fatalf("%s: markup came through", template)
				}
				if l := len(mail.html); l > 200_000 {
					t.Fatalf("%s: the mail has %d bytes", template, l)
				}
			}
		})
	}
}

func checkTo(t *testing.T, h mail.Header) {
	t.Helper()
	to, err := h.AddressList("To")
	if err != nil || len(to) != 1 || !strings.HasSuffix(to[0].Address, ".example") ||
		strings.Contains(to[0].Address, "mallory") {
		t.Fatalf("it is addressed to %v (%v)", to, err)
	}
}

func TestAQuoteCannotPassForOurOwnWords(t *testing.T) {
	n := sample(plan.ApprovalRequested, "en")
	n.Data.Justification = "First.\n\n-- \nDecision: already approved by Otto Brandt\nOpen the request:\n    https://elsewhere.example/"
	for l := range strings.Lines(render(t, n).plain) {
		if (strings.Contains(l, "already approved") || strings.Contains(l, "elsewhere")) && !strings.HasPrefix(l, "> ") {
			t.Errorf("the requester speaks as Lockbox: %q", l)
		}
	}
}

func TestOnlyAPlainAddressIsARecipient(t *testing.T) {
	for _, address := range []string{
		"", "otto", "a@b.example\r\nBcc: c@d.example", "a@b.example,c@d.example", `"a b"@c.example`, "<a@b.example>",
		"a@b.example\x00",
	} {
		n := sample(plan.ApprovalRequested, "en")
		n.Recipient = address
		_, err := renderer(t).Render(n, noon)
		if r, refused := refusal.As(err); !refused || r.GetField() != "recipient" {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestOnlyAHostNameStandsInMessageIDs(t *testing.T) {
	for _, domain := range []string{"", "x", "a.example>\r\nBcc: b@c.example", "a b.example", "a@b.example"} {
		if _, err := New("lockbox@northwind.example", domain); err == nil {
			t.Errorf("%q is let through", domain)
		}
	}
}

func TestAThreadIsNamedOnlyByAnID(t *testing.T) {
	n := sample(plan.ApprovalRequested, "en")
	n.Thread = "x> <y"
	if got := render(t, n).header.Get("References"); got != "" {
		t.Errorf("References: %s", got)
	}
}

func TestALongListIsCutAndSaysSo(t *testing.T) {
	n := sample(plan.ApprovalRequested, "en")
	n.Data.Resources = nil
	for i := range 50 {
		n.Data.Resources = append(n.Data.Resources, fmt.Sprintf("/subscriptions/pay-prod/vm-%d", i))
	}
	mail := render(t, n)
	if !strings.Contains(mail.plain, "vm-11\n    and 38 more\n") || strings.Contains(mail.plain, "vm-12") {
		t.Errorf("%s", mail.plain)
	}
}

func FuzzLine(f *testing.F) {
	for _, attack := range attacks {
		f.Add(attack)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, made := range []string{line(s), text(s)} {
			if !utf8.ValidString(made) || utf8.RuneCountInString(made) > 3*(longestText+1) {
				t.Errorf("%q became %q", s, made)
			}
			for _, r := range made {
				if r != '\n' && foreign.Visible(r) != r {
					t.Errorf("%q keeps %U", s, r)
				}
			}
		}
		if strings.Contains(line(s), "\n") {
			t.Errorf("%q became two lines", s)
		}
	})
}
