package mail

import (
	"bytes"
	"mime"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// No header begins with an empty line, which some mail servers mend, and none is longer than mail programs read.
func TestHeadersAreFoldedAsEveryMailServerLeavesThem(t *testing.T) {
	each(t, func(t *testing.T, n plan.Notification) {
		for _, n.Name = range []string{n.Name, "渡辺 健司（プラットフォーム運用チーム）第二運用部 夜間担当 責任者 渡辺 健司", "Zoë " + strings.Repeat("Å", 60),
			"=?UTF-8?q?Approved?="} {
			m := must(renderer(t).Render(n, noon))
			head, _, _ := strings.Cut(string(m.Bytes), "\r\n\r\n")
			for l := range strings.SplitSeq(head, "\r\n") {
				if strings.HasSuffix(l, ":") || strings.TrimSpace(l) == "" || len(l) > 200 ||
					len(l) > widest && strings.Contains(l, "=?") {
					t.Errorf("%d characters in %q", len(l), l)
				}
			}
			read := open(t, m)
			if to, err := read.header.AddressList("To"); err != nil || len(to) != 1 || to[0].Name != name(n.Name) {
				t.Errorf("To: %v, %v; want %s", to, err, n.Name)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(read.header.Get("Subject"))
			if l, _ := compose(renderer(t).messages[n.Language], n); err != nil || subject != l.Subject {
				t.Errorf("the subject is read as %q (%v), not as %q", subject, err, l.Subject)
			}
		}
	})
}

// What nobody but a machine writes is ASCII, and so is a subject in which no name demands more.
func TestAnEnglishSubjectIsASCII(t *testing.T) {
	for _, template := range plan.Templates() {
		m := must(renderer(t).Render(sample(template, "en"), noon))
		read, err := netmail.ReadMessage(bytes.NewReader(m.Bytes))
		if err != nil || strings.Contains(read.Header.Get("Subject"), "=?") {
			t.Errorf("%s: %s (%v)", template, read.Header.Get("Subject"), err)
		}
	}
}

// A name that looks like an encoded word is not decoded to something else.
func TestNoNameIsDecodedToAnother(t *testing.T) {
	n := sample(plan.ApprovalRequested, "en")
	n.Data.Requester = "=?UTF-8?q?Approved_by_Otto?="
	if raw := render(t, n).header.Get("Subject"); !strings.HasPrefix(raw, "=?UTF-8?Q?=3D=3F") {
		t.Errorf("the subject is %s", raw)
	}
}

// From the question to the outcome, whoever is told reads one subject, by which mail programs keep the mails together;
// what must not be overlooked among them has another.
func TestOneRequestHasOneSubject(t *testing.T) {
	own := []plan.Template{plan.NobodyToAsk, plan.ApproversUnavailable, plan.ApprovalsOutOfReach, plan.ApproversDiffer,
		plan.EmergencyAccess}
	for _, language := range tenant.Languages {
		for _, standing := range []plan.Standing{plan.Approver, plan.Requester} {
			subjects := map[string][]plan.Template{}
			for _, template := range plan.Templates() {
				if n := sample(template, language); n.Thread != "" {
					n.Standing, n.Data.Resources = standing, n.Data.Resources[:1] // less was granted than asked for
					n.Data.TenantScope = false
					subject := decoded(t, render(t, n))
					n.Data.TicketID = "SR-2026-0610-17" // an emergency has none
					subjects[subject] = append(subjects[subject], template)
				}
			}
			if len(subjects) != 1+len(own) {
				t.Errorf("%s to %s: %d subjects: %v", language, standing, len(subjects), subjects)
			}
		}
	}
}

func TestTextIsWrappedWhereItsScriptAllows(t *testing.T) {
	words := strings.Repeat("word ", 14) + "word"
	for s, want := range map[string]string{
		"short":                                "short",
		strings.Repeat("word ", 30):            words + "\n> " + words,
		strings.Repeat("x", 100):               strings.Repeat("x", 100),
		"a " + strings.Repeat("x", 100) + " b": "a\n> " + strings.Repeat("x", 100) + "\n> b",
		strings.Repeat("承", 37) + "認。次の":       strings.Repeat("承", 37) + "\n> 認。次の",
		strings.Repeat("承", 37) + "「次」の":       strings.Repeat("承", 37) + "\n> 「次」の",
	} {
		if got := wrap(0, "> ", s); strings.ReplaceAll(got, " \n", "\n") != want && got != want {
			t.Errorf("%q became\n%s\nwant\n%s", s, got, want)
		}
	}
	each(t, func(t *testing.T, n plan.Notification) {
		for l := range strings.Lines(render(t, n).plain) {
			l = strings.TrimRight(l, "\n")
			command := strings.HasPrefix(l, "    lockbox ")
			if words := strings.Fields(l); prose.Length(l) > columns && len(words) > 1 && !command {
				t.Errorf("%d columns: %s", prose.Length(l), l)
			}
		}
	})
}
