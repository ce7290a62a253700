package mail

import (
	htmltemplate "html/template"
	"strings"

	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// level is how much something needs attention.
type level string

// The levels.
const (
	// critical: something is wrong, or happened without anybody being asked.
	critical level = "critical"
	// awaited: the reader is waited for.
	awaited level = "action"
	// running: somebody has access.
	running level = "running"
	// info: nothing has to be done.
	info level = "info"
)

func levelOf(n plan.Notification) level {
	switch n.Template {
	case plan.IntegrityAlarm, plan.StrayMessage, plan.HistoryAlarm, plan.MailOverdue, plan.Contested,
		plan.ExposureDisclosed, plan.ApproversDiffer, plan.SignInRecovery, plan.SignInReminder, plan.SignatureRefused:
		return critical
	case plan.NobodyToAsk, plan.ApproversUnavailable, plan.ApprovalsOutOfReach, plan.InvitationRedeemed,
		plan.SignInProposed, plan.LegalDemandDisclosed, plan.ErasureConfirmation, plan.ErasureProposed,
		plan.KeyOffered, plan.KeyChangeOffered, plan.KeyChainBegan, plan.KeyChainChanged:
		return awaited
	case plan.Digest:
		if n.Held[0].Awaited() && n.Standing != plan.Alternate {
			return awaited
		}
		return info
	case plan.AccessGranted:
		if !n.Emergency {
			return running
		}
	}
	switch {
	case n.Emergency:
		return critical
	case n.Awaited() && n.Standing != plan.Alternate:
		return awaited
	}
	return info
}

// tone is the colours of a bar: its ground and its text.
type tone struct{ Ground, Ink htmltemplate.CSS }

var tones = map[level]tone{
	critical: {"#b3261e", "#ffffff"}, awaited: {"#1d4f91", "#ffffff"}, running: {"#f2c14e", "#2b2000"},
	info: {"#e3e8ee", "#2f3b49"},
}

func colours(l level) tone { return tones[l] }

// word is the level in words, for what has no title of its own beside what it is about.
func (w *writer) word(l level) string {
	if l == running {
		l = info
	}
	return w.text("level/" + string(l))
}

// matter says in a sentence what the mail is about. For a request it is the same from the question to the outcome, so
// that mail programs keep its mails together.
func (w *writer) matter() string {
	of := "matter/" + string(w.n.Template)
	switch {
	case w.n.Template == plan.Digest:
		return w.digestMatter()
	case w.n.Thread != "" && w.n.Data.Emergency:
		of = "matter/emergency"
	case w.n.Thread != "" && w.n.Standing == plan.Requester:
		of = "matter/own"
	case w.n.Thread != "":
		of = "matter/request"
	case !w.said.Has(of), w.v["Person"] == "" && w.n.Data.Group != "":
		of = "title/" + string(w.n.Template)
	}
	return w.text(of)
}

// subject is the matter; or what is wrong with it, where that must not be taken for one more mail about a request.
func (w *writer) subject() string {
	subject := w.out.Matter
	switch w.n.Template {
	case plan.NobodyToAsk, plan.ApproversUnavailable, plan.ApprovalsOutOfReach, plan.ApproversDiffer:
		subject = w.text("title/" + string(w.n.Template))
	}
	about := w.v["Tenant"]
	switch {
	case w.n.Template == plan.Digest && (w.n.Scope() == "" || strings.Contains(subject, w.v["Provider"])):
		about = "" // many customers; or it names the provider
	case w.n.Thread != "":
		subject += w.ticket()
		if w.toCustomer() {
			about = ""
		}
	case w.n.Standing == plan.SecurityOfficer:
		about = w.v["Provider"]
	}
	if about != "" && !strings.Contains(subject, about) {
		subject += " - " + about
	}
	if w.n.Emergency {
		subject = w.with("alert/subject", "Title", subject)
	}
	return typewriter.Replace(subject)
}

// typewriter writes signs in ASCII, so that a header need not be encoded because of them alone.
var typewriter = strings.NewReplacer("–", "-", "’", "'", "‘", "'", "“", `"`, "”", `"`, "…", "...", "\u00a0", " ",
	"\u202f", " ")

// alert is the first line of a mail about an emergency, which must not be taken for an ordinary one (R43).
func (w *writer) alert() string {
	switch {
	case w.n.Data.Emergency:
		return w.text("alert/emergency")
	case w.n.Emergency:
		return w.text("alert/urgent")
	}
	return ""
}

// label says how things stand.
func (w *writer) label() string {
	if title := w.text("title/" + string(w.n.Template) + w.byTicket()); title != w.out.Matter {
		return title
	}
	about := w.v["Tenant"]
	if about == "" || w.n.Standing == plan.SecurityOfficer {
		about = w.v["Provider"]
	}
	return w.word(levelOf(w.n)) + " · " + about
}

// until says until when the reader has to answer, or somebody has access.
func (w *writer) until() string {
	label := ""
	switch n := w.n; {
	case n.Template == plan.Digest:
	case n.Awaited() && n.Standing != plan.Alternate:
		label = "label/respond-by"
	case n.Template == plan.AccessGranted, n.Template == plan.EmergencyAccess:
		label = "label/ends"
	}
	if label == "" || len(w.facts(label)) == 0 {
		return ""
	}
	return w.text(label) + w.out.Colon + w.facts(label)[0]
}

// longestTarget is how much of a resource's name, or of a person's, stands in a subject, in runes.
const longestTarget = 60

// target names what a request reaches: the first resource, and how many there are besides.
func (w *writer) target() string {
	d := w.n.Data
	if d.TenantScope || len(d.Targets) == 0 {
		return name(d.Tenant)
	}
	path := strings.TrimRight(d.Targets[0], "/")
	first := shortened(path[strings.LastIndexByte(path, '/')+1:])
	if more := len(d.Targets) - 1; more > 0 {
		return w.with("target/more", "Target", first, "Count", more)
	}
	return first
}

func shortened(s string) string { return line(lineOf(s, longestTarget)) }

// operation says what is asked for: what the catalogue's operation is called in a sentence, or access.
func (w *writer) operation() string {
	id := "ask/" + w.n.Data.Operation
	if !w.said.Has(id) {
		id = "ask/access"
	}
	return w.with(id, "Target", w.target())
}

// outlook returns what only Outlook's Word engine reads: it knows no maximum width, and no list of fonts that begins
// with one that it lacks.
func outlook(part string) htmltemplate.HTML { return wordOnly[part] }

var wordOnly = map[string]htmltemplate.HTML{
	"head": `<!--[if mso]>
<noscript><xml><o:OfficeDocumentSettings xmlns:o="urn:schemas-microsoft-com:office:office"><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml></noscript>
<style>body, table, td, p, h1, h2, a { font-family: 'Segoe UI', 'Yu Gothic', Meiryo, Arial, sans-serif !important; } td, p { mso-line-height-rule: exactly; } table { mso-table-lspace: 0; mso-table-rspace: 0; }</style>
<![endif]-->`,
	"open": `<!--[if mso]><table role="presentation" align="center" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td width="600"><![endif]-->`,
	"end":  `<!--[if mso]></td></tr></table><![endif]-->`,
}
