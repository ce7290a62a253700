package render

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is the moment at which the golden files look at the world; its zone has summer time.
var now = time.Date(2026, 5, 12, 12, 30, 0, 0, time.UTC)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// looks are what readers sit at.
func looks(t testing.TB) map[string]Look {
	zone := berlin(t)
	return map[string]Look{
		"color-80":  {Color: true, Unicode: true, Width: 80, Zone: zone, Now: now},
		"color-120": {Color: true, Unicode: true, Width: 120, Zone: zone, Now: now},
		"plain-80":  {Width: 80, Zone: zone, Now: now},
		"plain-120": {Width: 120, Zone: zone, Now: now},
		"pipe":      {Zone: zone, Now: now},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not as it was (go test -update writes it anew):\n%s", path, diff)
	}
}

// views are what the golden files show.
func views() map[string]func(Look) string {
	notified, internal, active, denied := notifiedRequest(), internalRequest(), activeRequest(), deniedRequest()
	list := []*lockboxv1.RequestView{notified, internal, active, denied}
	return map[string]func(Look) string{
		"requests":      func(l Look) string { return Requests(l, list, nil) },
		"requests-mine": func(l Look) string { return Requests(l, list, person("otto", "Otto Owens", "en")) },
		"request-notified": func(l Look) string {
			return Request(l, notified, false) + Commands(l,
				Next(notified, Cast{Requester: "erin", Approver: "otto", Portal: "http://127.0.0.1:8080"}))
		},
		"request-internal": func(l Look) string {
			return Submitted(l, internal, false) +
				Commands(l, Next(internal, Cast{}))
		},
		"request-active": func(l Look) string { return Request(l, active, true) + Commands(l, Next(active, Cast{})) },
		"request-denied": func(l Look) string { return Request(l, denied, false) },
		"request-watch":  func(l Look) string { return watched(l, notified) },
		"tenant":         func(l Look) string { return Tenant(l, sakura()) },
		"roles":          func(l Look) string { return Roles(l, sakura(), "") },
		"approvers":      func(l Look) string { return Approvers(l, preview()) },
		"tickets": func(l Look) string {
			return Tickets(l, []*lockboxv1.TicketView{ticket(),
				{TicketId: "SR-2", Tenant: "meadowbank", Title: "Nobody has it", OpenedAt: ago(time.Minute)}})
		},
		"ticket": func(l Look) string { return Ticket(l, ticket()) },
		"disclosures": func(l Look) string {
			what := &lockboxv1.Occurrence{What: "A packet capture held traffic of payments-1", HappenedAt: ago(26 * time.Hour)}
			return Disclosures(l, []*lockboxv1.DisclosureView{
				{DisclosureId: "019b0000-0000-7000-8000-0000000000ba", Tenant: "meadowbank", Occurrence: what},
				{DisclosureId: "019b0000-0000-7000-8000-0000000000bb", Tenant: "meadowbank", Occurrence: what,
					ToldAt: ago(time.Minute)},
				{DisclosureId: "019b0000-0000-7000-8000-0000000000bc", Tenant: "sakura", Occurrence: what,
					Authority: "Amtsgericht Musterstadt", Reference: "12 Gs 345/26", EmbargoUntil: ago(-90 * 24 * time.Hour)},
			})
		},
		"erasures":   func(l Look) string { return Erasures(l, erasures()) },
		"overview":   func(l Look) string { return Overview(l, "meadowbank", quarter()) },
		"dashboard":  func(l Look) string { return Dashboard(l, standings()) },
		"access":     func(l Look) string { return Access(l, looked()) },
		"activities": func(l Look) string { return Activities(l, activities()) },
		"events":     func(l Look) string { return Event(l, 7, events()[0]) + Event(l, 123456, events()[1]) },
		"refusal": func(l Look) string {
			return Refusal(l, &lockboxv1.Refusal{Field: "approve.duration", Rule: "R27",
				Message: "an approval may shorten the time, never lengthen it; asked for were 8h0m0s"},
				"shorten with --for, narrow with --only; lockbox request show lists what was asked for")
		},
		"failure": func(l Look) string {
			return Failure(l, "no Lockbox is running here", "start one with `lockbox up --demo`")
		},
		"mails": func(l Look) string {
			return Mails(l, []Mail{{"20260512T122900.000000000Z-0001", now.Add(-time.Minute), "kenji@sakura.example",
				"【Lockbox】ご承認のお願い: 診療システム"}, {"20260512T122800.000000000Z-0001", now.Add(-2 * time.Minute),
				"otto@meadowbank.example", "Please decide: memory dump of payments-1 for Erin Ellis of Nimbus Cloud"}})
		},
		"checkup": func(l Look) string { return Findings(l, checkup()) },
		"paragraphs": func(l Look) string {
			return Paragraphs(l, "Guten Tag,\r\n\r\n"+strings.Repeat("ein langer Satz ", 12)+"\r\n\tund \x1b[31mrot\n")
		},
	}
}

func watched(l Look, v *lockboxv1.RequestView) string {
	text, day := Headline(l, v)+"\n", ""
	for _, e := range v.GetTimeline() {
		news, today := News(l, day, e)
		text, day = text+news, today
	}
	return text + Standing(l, v) + "\n"
}

func TestViewsLookAsTheyDid(t *testing.T) {
	for name, view := range views() {
		for as, look := range looks(t) {
			t.Run(name+"/"+as, func(t *testing.T) { golden(t, name+"."+as, view(look)) })
		}
	}
}

func TestProgramsReadWhatTheyRead(t *testing.T) {
	for name, m := range map[string]*lockboxv1.RequestView{"request-notified": notifiedRequest(),
		"request-denied": deniedRequest()} {
		text, err := JSON(m)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", text)
		document, err := YAML(text)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".yaml", document)
	}
}

func TestNothingIsWiderThanTheTerminal(t *testing.T) {
	for name, view := range views() {
		for columns := 60; columns <= 160; columns += 7 {
			for _, rich := range []bool{true, false} {
				look := Look{Color: rich, Unicode: rich, Width: columns, Zone: berlin(t), Now: now}
				for n, line := range strings.Split(view(look), "\n") {
					// Commands and links are to be copied, and never broken.
					if w := ansi.StringWidth(line); w > columns && !strings.Contains(line, "lockbox ") &&
						!strings.Contains(line, "http://") {
						t.Errorf("%s at %d columns: line %d takes %d: %s", name, columns, n+1, w, ansi.Strip(line))
					}
				}
			}
		}
	}
}

func TestPlainTextIsPlain(t *testing.T) {
	for name, view := range views() {
		ascii := view(Look{Width: 100, Zone: berlin(t), Now: now})
		if strings.Contains(ascii, "\x1b") {
			t.Errorf("%s has escape sequences without colours", name)
		}
		for _, ornament := range "●○│•✓✗…━·" {
			if strings.ContainsRune(ascii, ornament) {
				t.Errorf("%s has the ornament %c in plain text", name, ornament)
			}
		}
	}
}

func TestTheSameInColourAndWithout(t *testing.T) {
	for name, view := range views() {
		for _, columns := range []int{0, 80, 120} {
			plain := view(Look{Unicode: true, Width: columns, Now: now})
			painted := view(Look{Color: true, Unicode: true, Width: columns, Now: now})
			if diff := cmp.Diff(plain, ansi.Strip(painted)); diff != "" {
				t.Errorf("%s at %d columns says something else in colour:\n%s", name, columns, diff)
			}
		}
	}
}

func TestHostileTextSteersNoTerminal(t *testing.T) {
	evil := "\x1b[2J\x1b]0;owned\x07\u009b31m\u202Egnp.exe\u2066\u200b\r\x00"
	v := notifiedRequest()
	v.RequestId, v.Tenant, v.TenantName, v.ServiceName, v.ScenarioName, v.SubscriptionName, v.Fault, v.EndReason = evil,
		evil, evil, evil, evil, evil, evil, evil
	v.Intent.Justification, v.Intent.TicketId, v.Intent.ResourceIds = evil, evil, []string{evil}
	v.Requester.Person.DisplayName, v.Requester.Employer, v.Requester.Person.Email = evil, evil, evil
	v.Lockbox.Approvers[0].Person.DisplayName, v.Lockbox.Alternates[0].Email, v.Lockbox.Excluded[0].Reason = evil, evil,
		evil
	v.Questions[0].Text, v.Questions[0].Answer, v.Timeline[0].Action, v.Timeline[0].Summary = evil, evil, evil, evil
	v.Evaluation.Reasons = []string{evil}
	for _, columns := range []int{0, 80} {
		l := Look{Width: columns, Now: now}
		for name, text := range map[string]string{
			"page": Request(l, v, true), "list": Requests(l, []*lockboxv1.RequestView{v}, nil),
			"submitted": Submitted(l, v, true),
			"live":      watched(l, v),
			"next":      Commands(l, Next(v, Cast{evil, evil, evil, evil, evil})),
			"allowance": Allowance(v, time.Hour, []string{evil}),
			"refusal":   Refusal(l, &lockboxv1.Refusal{Message: evil, Field: evil, Rule: evil}, ""),
			"failure":   Failure(l, evil, ""),
			"fields":    Fields(l, [][2]string{{"a", evil}}), "mails": Mails(l, []Mail{{evil, now, evil, evil}}),
			"disclosures": Disclosures(l, []*lockboxv1.DisclosureView{{DisclosureId: evil, Tenant: evil, Authority: evil,
				Reference: evil, Occurrence: &lockboxv1.Occurrence{What: evil}}}),
			"erasures": Erasures(l, []*lockboxv1.ErasureView{{ErasureId: evil, Tenant: evil, Targets: []*lockboxv1.
				ErasureTargetView{{Title: evil, Target: &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{
				Texts: &lockboxv1.ErasedTexts{Kind: evil, AggregateId: evil, Version: evil}}}},
				{Target: &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{
					Person: &lockboxv1.ErasedPerson{Subject: evil}}}}}}}),
			"access": Access(l, []*lockboxv1.AccessRecord{{Tenant: evil, Action: evil, AboutKind: evil, AboutId: evil,
				Filter: evil, Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED, RefusalRule: evil,
				Who: &lockboxv1.AccessPerson{Name: evil}}}),
			"ticket": Ticket(l, &lockboxv1.TicketView{TicketId: evil, Title: evil, Description: evil}),
			"activities": Activities(l, []*lockboxv1.Activity{{Kind: evil, AggregateId: evil, Tenant: evil,
				Entry: v.GetTimeline()[0]}}),
		} {
			if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !harmless(r) }); i >= 0 {
				t.Errorf("%s lets %q through", name, text[i:min(len(text), i+8)])
			}
		}
	}
}

func TestAccountsOfOnePersonAndSharedAddressesAreShown(t *testing.T) {
	v := notifiedRequest()
	v.Lockbox.Approvers[2].Person.Email = "OTTO@meadowbank.example"
	again := engineer()
	again.Person.Subject, again.Person.DisplayName, again.Person.Human = "erin-admin", "Erin Ellis (officer)", "N-7"
	for _, e := range v.GetTimeline() {
		if e.GetActor().GetPerson().GetSubject() == "erin" {
			e.Actor.Person.Human = "N-7"
		}
	}
	v.Timeline = append(v.Timeline, entry(60, time.Hour, "AccessRevoked", "Revoke Access", again, "Access was revoked."))
	shown := Request(looks(t)["pipe"], v, true)
	for _, want := range []string{"Otto Owens and 田中 健二 share the address otto@meadowbank.example.",
		"Erin Ellis and Erin Ellis (officer), accounts of one person, who counts once"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
}

func TestCountdownsPromiseNoMoreThanThereIs(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second - 1: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m",
		61 * time.Second: "1m 1s", time.Hour - 1: "59m 59s",
		time.Hour: "1h", 8*time.Hour - 1: "7h 59m", 24*time.Hour - 1: "23h 59m", 24 * time.Hour: "1d",
		96*time.Hour - 1: "3d 23h", 96 * time.Hour: "4d", -time.Hour: "0s",
	} {
		if got := Countdown(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{8 * time.Hour: "8h", 90 * time.Minute: "1h30m",
		90 * time.Second: "1m30s", time.Hour + time.Second: "1h0m1s", 0: "0s"} {
		if got := Duration(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}

func TestAnApprovalIsRepeatedInOneSentence(t *testing.T) {
	v := notifiedRequest()
	for want, got := range map[string]string{
		`This allows Erin Ellis (Nimbus Cloud) to do "Virtual machines: Memory dump of a running machine" on 2 resources of Production (meadow-production) (/subscriptions/meadow-production/virtualMachines/payments-1, /subscriptions/meadow-production/virtualMachines/payments-2) for 8h from the moment access begins.`: Allowance(v, 8*time.Hour, nil),
		`This allows Erin Ellis (Nimbus Cloud) to do "Virtual machines: Memory dump of a running machine" on 1 of the 2 resources asked for of Production (meadow-production) (/a) for 1h30m from the moment access begins.`:                                                                                                 Allowance(v, 90*time.Minute, []string{"/a"}),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	l, e := Look{Now: now}, events()[0]
	for b.Loop() {
		_ = fmt.Sprint(len(Event(l, 1, e)))
	}
}
