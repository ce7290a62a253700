package mail

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/mail/mailtest"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

var update = flag.Bool("update", false, "write the golden mails anew")

const requestID = mailtest.RequestID

var (
	noon    = mailtest.Noon
	sample  = mailtest.Sample
	digest  = mailtest.Digest
	unasked = mailtest.Unasked
)

var newRenderer = sync.OnceValues(func() (*Renderer, error) {
	return New("lockbox@northwind.example", "lockbox.northwind.example")
})

func renderer(t *testing.T) *Renderer {
	t.Helper()
	r, err := newRenderer()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// opened is a mail as a mail program reads it.
type opened struct {
	header      netmail.Header
	plain, html string
}

func open(t *testing.T, message Message) opened {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(message.Bytes))
	if err != nil {
		t.Fatalf("a mail program cannot read it: %v", err)
	}
	media, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/alternative" {
		t.Fatalf("it is %q (%v)", media, err)
	}
	out := opened{header: m.Header}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for _, part := range []struct {
		media string
		into  *string
	}{{"text/plain; charset=UTF-8", &out.plain}, {"text/html; charset=UTF-8", &out.html}} {
		p, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil || p.Header.Get("Content-Type") != part.media {
			t.Fatalf("part %q: %v", p.Header.Get("Content-Type"), err)
		}
		*part.into = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		t.Fatalf("there is more in it than text and HTML: %v", err)
	}
	return out
}

func render(t *testing.T, n plan.Notification) opened {
	t.Helper()
	m, err := renderer(t).Render(n, noon)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, m)
}

func each(t *testing.T, check func(t *testing.T, n plan.Notification)) {
	t.Helper()
	for _, template := range plan.Templates() {
		for _, language := range tenant.Languages {
			t.Run(string(template)+"/"+language, func(t *testing.T) { check(t, sample(template, language)) })
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; if it is better so: go test ./internal/mail -update):\n%s", name, diff)
	}
}

// The golden files hold headers and text, decoded. What the HTML says is compared with the text, not stored again.
func TestEveryMailReadsAsAgreed(t *testing.T) {
	decoder := new(mime.WordDecoder)
	each(t, func(t *testing.T, n plan.Notification) {
		mail := render(t, n)
		var out strings.Builder
		var names []string
		for name := range mail.header {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if name == "Content-Type" {
				continue // its boundary is a hash of what follows
			}
			value, err := decoder.DecodeHeader(mail.header.Get(name))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
		golden(t, string(n.Template)+"."+n.Language+".txt", out.String()+"\n"+mail.plain)
	})
}

// A role of a group is nobody's until somebody activates it, and the mail says so (R67).
func TestR67AMailSaysWhichGroupARoleIsOf(t *testing.T) {
	for _, language := range tenant.Languages {
		for template, person := range map[plan.Template]string{plan.RoleAssigned: "", plan.RoleRemoved: "",
			plan.RoleActivated: "Kenji Watanabe"} {
			n := sample(template, language)
			of := render(t, n).plain
			n.Data.Group, n.Data.Person, n.Data.PersonEmail = "on-call", person, ""
			if got := render(t, n).plain; strings.Contains(of, "on-call") || strings.Count(got, "on-call") != 1 ||
				strings.Contains(got, "Kenji") != (person != "") {
				t.Errorf("%s, %s:\n%s", template, language, got)
			}
		}
	}
}

// What ended, or did not begin, because its ticket was closed says so, and who closed it (R61).
func TestR61AMailSaysWhoClosedTheTicketWithWhichAccessEnds(t *testing.T) {
	for language, says := range map[string][2]string{
		"en": {"Access ended: the ticket was closed", "while its ticket was closed"},
		"fr": {"L’accès a pris fin avec la clôture du ticket", "alors que son ticket était clos"},
		"ja": {"チケットのクローズによりアクセスが終了しました", "チケットがクローズされている間に承認されました"},
	} {
		for i, template := range []plan.Template{plan.AccessRevoked, plan.AccessLapsed} {
			n := sample(template, language)
			n.Data.By, n.Data.Organisation, n.Data.ByLockbox, n.Data.Text = "", "", true, "the ticket was closed"
			n.Data.Why = &lockboxv1.Reason{Code: lockboxv1.ReasonCode_REASON_CODE_TICKET_CLOSED}
			n.Data.Closer = &plan.Closer{By: "Kenji Watanabe", Organisation: "Meadow Bank"}
			got := strings.Join(strings.Fields(strings.ReplaceAll(render(t, n).plain, "\n> ", "")), "")
			for _, want := range []string{says[i], "Kenji Watanabe", reason.Sentence(language, n.Data.Why)} {
				if !strings.Contains(got, strings.ReplaceAll(want, " ", "")) {
					t.Errorf("%s, %s: nothing of %q:\n%s", template, language, want, render(t, n).plain)
				}
			}
		}
	}
}

// Support is the customer's request only if the customer opened the ticket, whatever the request says (R61).
func TestR61AMailSaysWhoseTicketItIs(t *testing.T) {
	for language, says := range map[string][2]string{
		"en": {"Support you requested", "ticket opened by Northwind Cloud"},
		"fr": {"Assistance que vous avez demandée", "ticket ouvert par Northwind Cloud"},
		"ja": {"ご依頼いただいたサポート", "Northwind Cloud が作成したチケット"},
	} {
		for i, ofProvider := range []bool{false, true} {
			n := sample(plan.ApprovalRequested, language)
			n.Data.TicketOfProvider = ofProvider
			got := strings.Join(strings.Fields(render(t, n).plain), " ")
			if !strings.Contains(got, says[i]) || strings.Contains(got, says[1-i]) {
				t.Errorf("%s, of the provider %t:\n%s", language, ofProvider, render(t, n).plain)
			}
		}
	}
}

func TestTheMarkupIsAsAgreed(t *testing.T) {
	for _, language := range tenant.Languages {
		for _, template := range []plan.Template{plan.ApprovalRequested, plan.Digest} {
			golden(t, string(template)+"."+language+".html", render(t, sample(template, language)).html)
		}
	}
}

// apart separates a page's tags, its style sheet among them, from what a browser shows.
func apart(markup string) (tags, shown string) {
	var t, s strings.Builder
	for markup != "" {
		before, rest, found := strings.Cut(markup, "<")
		s.WriteString(before + " ")
		if !found {
			break
		}
		tag, after, _ := strings.Cut(rest, ">")
		switch tag {
		case "title":
			_, after, _ = strings.Cut(after, "</title>")
		case "style":
			tag, after, _ = strings.Cut(rest, "</style>")
		}
		t.WriteString("<" + strings.ToLower(tag) + ">\n")
		markup = after
	}
	return t.String(), html.UnescapeString(s.String())
}

func withoutSpace(s string) string { return strings.Join(strings.Fields(s), "") }

func TestTheHTMLSaysWhatTheTextSays(t *testing.T) {
	each(t, func(t *testing.T, n plan.Notification) {
		mail := render(t, n)
		_, shown := apart(mail.html)
		shown = withoutSpace(shown)
		for l := range strings.Lines(mail.plain) {
			l = strings.TrimPrefix(strings.TrimSpace(l), "> ")
			for _, part := range strings.SplitN(l, ": ", 2) {
				for _, half := range strings.SplitN(part, "：", 2) {
					if want := withoutSpace(half); want != "--" && want != ">" &&
						!strings.Contains(shown, strings.TrimSuffix(want, ":")) {
						t.Errorf("the HTML does not say %q", half)
					}
				}
			}
		}
	})
}

var (
	handler = regexp.MustCompile(`\son[a-z]+\s*=`)
	links   = regexp.MustCompile(`(?:href|src)="([^"]*)"`)
)

func TestTheHTMLLoadsNothingAndRunsNothing(t *testing.T) {
	each(t, func(t *testing.T, n plan.Notification) {
		inert(t, render(t, n).html)
	})
}

func inert(t *testing.T, markup string) {
	t.Helper()
	tags, _ := apart(markup)
	for _, active := range []string{
		"<script", "<img", "<link", "<iframe", "<form", "<object", "<embed", "<svg", "<base", "@import", "url(",
		"javascript:", "http-equiv",
	} {
		if strings.Contains(tags, active) {
			t.Errorf("the markup has %q", active)
		}
	}
	if strings.Contains(tags, " on") && handler.MatchString(tags) {
		t.Error("the markup has an event handler")
	}
	for _, link := range links.FindAllStringSubmatch(tags, -1) {
		if !strings.HasPrefix(link[1], "https://lockbox.northwind.example/") &&
			link[1] != "https://northwind.example/government-requests" {
			t.Errorf("it links to %s", link[1])
		}
	}
}

func TestTheHeadersGroupAndIdentifyMails(t *testing.T) {
	n := sample(plan.ApprovalRequested, "ja")
	r := renderer(t)
	first, err := r.Render(n, noon)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Render(n, noon)
	if err != nil || !bytes.Equal(first.Bytes, again.Bytes) {
		t.Errorf("a repeat differs (%v)", err)
	}
	mail := open(t, first)
	for name, want := range map[string]string{
		"Message-ID":     "<" + n.ID + "@lockbox.northwind.example>",
		"References":     "<request." + requestID + "@lockbox.northwind.example>",
		"In-Reply-To":    "<request." + requestID + "@lockbox.northwind.example>",
		"Auto-Submitted": "auto-generated",
		"Date":           "Wed, 10 Jun 2026 12:00:00 +0000",
		"From":           `"Northwind Cloud Lockbox" <lockbox@northwind.example>`,
		"To":             `"Otto Brandt" <otto.brandt@meadowbank.example>`,
	} {
		if got := mail.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if first.ID != mail.header.Get("Message-ID") {
		t.Errorf("the message says that its id is %s", first.ID)
	}
	outcome := open(t, must(r.Render(sample(plan.RequestDenied, "ja"), noon)))
	if outcome.header.Get("References") != mail.header.Get("References") ||
		outcome.header.Get("Message-ID") == mail.header.Get("Message-ID") {
		t.Error("mails about one request are not one thread of different mails")
	}
	if change := open(t, must(r.Render(sample(plan.RoleRemoved, "en"), noon))); change.header.Get("References") != "" {
		t.Error("a tenant's change is in a thread")
	}
}

func must(m Message, err error) Message {
	if err != nil {
		panic(err)
	}
	return m
}

func TestWithoutAPortalTheCommandLineIsTheWay(t *testing.T) {
	n := sample(plan.ApprovalRequested, "en")
	n.Data.PortalURL = ""
	mail := render(t, n)
	if strings.Contains(mail.plain, "https://") || strings.Contains(mail.html, "href") ||
		!strings.Contains(mail.plain, "lockbox approval approve "+requestID) {
		t.Errorf("without a portal:\n%s", mail.plain)
	}
}

// Whoever is mailed finds the page that they may open, in their language; an alternate finds none (R24).
func TestALinkLeadsToTheReadersOwnPage(t *testing.T) {
	const portal = "https://lockbox.northwind.example"
	each(t, func(t *testing.T, n plan.Notification) {
		for _, n.Standing = range plan.Standings() {
			want := portal + "/t/meadowbank/requests/" + requestID
			switch {
			case n.Template == plan.Digest: // see below
				continue
			case erasurePage(n) != "":
				want = portal + erasurePage(n)
			case keysPage(n) != "":
				want = portal + keysPage(n)
			case n.Standing == plan.Keyholder, n.Standing == plan.Alternate, n.Standing == plan.SecurityOfficer,
				n.Standing == plan.Named, n.Standing == plan.Former:
				want = ""
			case n.Standing == plan.Requester || n.Standing == plan.InternalApprover:
				want = portal + "/provider/requests/" + requestID
			case n.Standing == plan.Administrator && discloses(n.Template):
				want = portal + "/t/meadowbank/disclosures"
			case n.Standing == plan.Administrator && n.Template == plan.WaivedAccess:
				want = portal + "/t/meadowbank/waived"
			case n.Standing == plan.Invitee && n.Template == plan.InvitationConfirmed:
				want = portal + "/t/meadowbank"
			case n.Standing == plan.Invitee:
				want = ""
			case n.Standing == plan.Administrator && strings.Contains(string(n.Template), "invit"):
				want = portal + "/t/meadowbank/administration/subscriptions/pay-prod"
			case n.Standing == plan.Administrator && n.Thread == "":
				want = portal + "/t/meadowbank/administration"
				if slices.Contains([]plan.Template{plan.SignInProposed, plan.SignInRecovery, plan.SignInReminder,
					plan.SignInChanged}, n.Template) {
					want += "/sign-in"
				}
			}
			n.Data.RequestID = requestID
			if want != "" {
				want += "?lang=" + n.Language
			}
			mail := render(t, n)
			for _, link := range links.FindAllStringSubmatch(mail.html, -1) {
				if link[1] != want && !(n.Template == plan.LegalDemandDisclosed && link[1] == n.Data.Statement) {
					t.Errorf("%s: the markup leads to %s, want %q", n.Standing, link[1], want)
				}
			}
			if want == "" && strings.Contains(mail.plain, portal) || want != "" &&
				!strings.Contains(mail.plain, "\n    "+want+"\n") {
				t.Errorf("%s: want a link to %q:\n%s", n.Standing, want, mail.plain)
			}
		}
	})
}

func TestAlternatesAreGivenNothingToDecideWith(t *testing.T) {
	for _, language := range tenant.Languages {
		mail := render(t, sample(plan.ApprovalRequestedAlternate, language))
		if strings.Contains(mail.plain, "lockbox ") || strings.Contains(mail.plain, "https://") {
			t.Errorf("an alternate can do something:\n%s", mail.plain)
		}
	}
}

func TestNobodyReadsACustomersNamesInARequestersMail(t *testing.T) {
	mail := render(t, sample(plan.CustomerAsked, "en"))
	if strings.Contains(mail.plain, "Kenji") || strings.Contains(mail.html, "Kenji") {
		t.Error("the requester learns who the approvers are")
	}
}

func TestADigestLeadsToTheListOfWhatItsReaderIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		kind          plan.Template
		standing      plan.Standing
		path, command string
	}{
		{plan.ApprovalRequested, plan.Approver, "/t/meadowbank", "lockbox approval list"},
		{plan.InternalApprovalRequested, plan.InternalApprover, "/provider", "lockbox internal list"},
		{plan.CustomerAsked, plan.Requester, "/provider/requests", "lockbox request list"},
		{plan.AccessGranted, plan.Approver, "/t/meadowbank/requests", "lockbox request list"},
		{plan.RoleAssigned, plan.Administrator, "/t/meadowbank/administration", "lockbox tenant show"},
		{plan.ApprovalRequestedAlternate, plan.Alternate, "", ""},
	} {
		n := sample(c.kind, "en")
		n.Standing = c.standing
		mail := render(t, plan.DigestOf([]plan.Notification{n.Brief(), n.Brief()}))
		var want []string
		if c.path != "" {
			want = []string{"https://lockbox.northwind.example" + c.path + "?lang=en"}
		}
		var got []string
		for _, link := range links.FindAllStringSubmatch(mail.html, -1) {
			got = append(got, link[1])
		}
		if got = slices.Compact(got); !slices.Equal(got, want) || !strings.Contains(mail.plain, c.command) ||
			c.command == "" && strings.Contains(mail.plain, "lockbox ") {
			t.Errorf("%s to %s leads to %v\n%s", c.kind, c.standing, got, mail.plain)
		}
	}
}

func TestADigestCountsWhatItHasNoRoomFor(t *testing.T) {
	for many, more := range map[int]string{50: "", 51: "\nand 1 more\n", 500: "\nand 450 more\n"} {
		mail := render(t, digest("en", many))
		if n := strings.Count(mail.plain, "[SR-2026"); n+strings.Count(mail.plain, "Kenji Watanabe was given") != 50 ||
			!strings.Contains(mail.plain, more) || more == "" && strings.Contains(mail.plain, "\nand ") {
			t.Errorf("%d mails in one:\n%s", many, mail.plain)
		}
	}
}

// Gmail cuts off what is longer than 102 kB, and hides the rest behind a link.
func TestTheLongestMailIsShownWhole(t *testing.T) {
	for _, language := range tenant.Languages {
		report := sample(plan.WaivedAccess, language)
		report.Data.Waived = unasked(5000)
		for _, n := range []plan.Notification{digest(language, 500), report} {
			if size := len(render(t, n).html); size > 100_000 {
				t.Errorf("%s in %s has %d bytes", n.Template, language, size)
			}
		}
	}
}

// What there is no room for is counted, and the emergency is listed whatever else there was (R3).
func TestR3AReportCountsWhatItHasNoRoomFor(t *testing.T) {
	for many, more := range map[uint32]string{49: "", 50: "and 1 more\n", 5000: "and 4951 more\n"} {
		n := sample(plan.WaivedAccess, "en")
		n.Data.Waived = unasked(many)
		mail := render(t, n)
		if got := strings.Count(mail.plain, "Rina Sato"); got != 50 || !strings.Contains(mail.plain, more) ||
			more == "" && strings.Contains(mail.plain, " more\n") ||
			!strings.Contains(mail.plain, "Emergency that could not wait (1)\n    Rina Sato (Fabrikam Field Services) – ") ||
			!strings.Contains(mail.plain, "to your data ("+fmt.Sprint(many)+")\n") {
			t.Errorf("%d accesses list %d:\n%s", many, got, mail.plain)
		}
	}
}

// Whoever floods somebody does not hide what else happened.
func TestADigestListsSomeOfEachKind(t *testing.T) {
	held := digest("en", 400).Held
	hidden := sample(plan.AccessGranted, "en")
	hidden.Data.RequestID = "01975a2c-0000-7e4a-9d8e-0123456789ab"
	mail := render(t, plan.DigestOf(append(held, hidden.Brief())))
	for _, want := range []string{"Your approval is needed (160)\n", "Access was granted (1)\n", hidden.Data.RequestID,
		"A role was assigned (80)\n", "and 351 more\n"} {
		if !strings.Contains(mail.plain, want) {
			t.Errorf("it does not say %q:\n%s", want, mail.plain)
		}
	}
}
