package shown_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var now = time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)

func at(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }

func speaker(t *testing.T, language string) *words.Speaker {
	t.Helper()
	all, err := words.Load()
	if err != nil {
		t.Fatal(err)
	}
	return all.In(language)
}

func request(t *testing.T, language string, v *lockboxv1.RequestView) shown.Request {
	t.Helper()
	return shown.Request{RequestView: v, Say: speaker(t, language), Now: now, Provider: "Nimbus Cloud"}
}

// said fails the test if something could not be said.
func said(t *testing.T) func(string, error) string {
	return func(text string, err error) string {
		t.Helper()
		if err != nil || strings.Contains(text, "<no value>") {
			t.Errorf("%q: %v", text, err)
		}
		return strings.ReplaceAll(text, "\u00a0", " ")
	}
}

func intent(scenario string, names ...string) *lockboxv1.RequestView {
	v := &lockboxv1.RequestView{
		ScenarioName: "Reading of something", Intent: &lockboxv1.AccessIntent{Scenario: scenario},
		Requester: &lockboxv1.Actor{Employer: "Nimbus Cloud", Person: &lockboxv1.Person{DisplayName: "Erin Ellis"}},
	}
	for _, n := range names {
		v.Intent.ResourceIds = append(v.Intent.ResourceIds, "/subscriptions/prod/vm/"+n)
	}
	return v
}

func TestATitleSaysWhoWantsWhat(t *testing.T) {
	for _, row := range []struct {
		language string
		view     *lockboxv1.RequestView
		want     string
	}{
		{"en", intent("memory-dump", "payments-1"), "Erin Ellis of Nimbus Cloud asks for a memory dump of payments-1"},
		{"en", intent("query", "a", "b", "c", "d"), "Erin Ellis of Nimbus Cloud asks for queries on a, b, c and d"},
		{"en", intent("query", "a", "b", "c", "d", "e"), "Erin Ellis of Nimbus Cloud asks for queries on a, b, c and 2 more"},
		{"en", intent("index-content", "a"), "Erin Ellis of Nimbus Cloud asks for access to a (“Reading of something”)"},
		{"fr", intent("memory-dump", "a", "b"), "Erin Ellis (Nimbus Cloud) demande un vidage de la mémoire de a et b"},
		{"ja", intent("memory-dump", "a", "b"), "Nimbus Cloud の Erin Ellis が a、b のメモリ ダンプの取得を求めています"},
	} {
		if got := said(t)(request(t, row.language, row.view).Title()); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

func TestAResourceIsCalledByTheLastPartOfItsID(t *testing.T) {
	got := shown.Resources([]string{"/subscriptions/prod/vm/web-1", "plain", "/ends/with/"})
	want := []shown.Resource{{Name: "web-1", ID: "/subscriptions/prod/vm/web-1"}, {Name: "plain", ID: "plain"},
		{Name: "with", ID: "/ends/with/"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsLeftIsNeverMoreThanThereIs(t *testing.T) {
	for left, want := range map[time.Duration]string{
		76*time.Hour + 59*time.Minute: "3 days 4 hours", 24 * time.Hour: "1 day", 90*time.Minute +
			59*time.Second: "1 hour 30 minutes",
		time.Minute: "1 minute", 59 * time.Second: "less than a minute", -time.Second: "less than a minute",
	} {
		v := &lockboxv1.RequestView{Status: lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED,
			Lockbox: &lockboxv1.CustomerNotified{ExpiresAt: at(left)}}
		if got := said(t)(request(t, "en", v).Left()); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
	}
}

// everyValue calls a function with each value of an enum that is known.
func everyValue(e protoreflect.EnumDescriptor, do func(protoreflect.EnumNumber)) {
	for i := range e.Values().Len() {
		do(e.Values().Get(i).Number())
	}
}

func TestEverythingHasWordsInEveryLanguage(t *testing.T) {
	for _, language := range tenant.Languages {
		v := intent("memory-dump", "a")
		v.EndedAt, v.Grant, v.Evaluation = at(0), &lockboxv1.AccessGranted{EndsAt: at(time.Hour)},
			&lockboxv1.AccessEvaluated{}
		v.Lockbox, v.InternalAnswerBy = &lockboxv1.CustomerNotified{ExpiresAt: at(time.Hour)}, at(time.Hour)
		r, say := request(t, language, v), said(t)
		everyValue(lockboxv1.RequestStatus(0).Descriptor(), func(n protoreflect.EnumNumber) {
			if v.Status = lockboxv1.RequestStatus(n); n == 0 {
				return // there is no such request
			}
			say(r.Say.Say(r.StatusID()))
			say(r.Standing())
		})
		everyValue(lockboxv1.ReasonType(0).Descriptor(), func(n protoreflect.EnumNumber) {
			v.Intent.ReasonType = lockboxv1.ReasonType(n)
			say(r.Reason())
		})
		everyValue(lockboxv1.Role(0).Descriptor(), func(n protoreflect.EnumNumber) {
			if n != 0 {
				say(r.Role(lockboxv1.Role(n)))
			}
		})
		everyValue(lockboxv1.Waiver(0).Descriptor(), func(n protoreflect.EnumNumber) {
			v.Evaluation.Waiver = lockboxv1.Waiver(n)
			say(r.Waiver())
			say(r.Unasked())
		})
		everyValue(lockboxv1.ApproverBasis(0).Descriptor(), func(n protoreflect.EnumNumber) {
			v.Lockbox.Basis = lockboxv1.ApproverBasis(n)
			say(r.Basis())
		})
		everyValue(lockboxv1.RuleEffect(0).Descriptor(),
			func(n protoreflect.EnumNumber) { say(r.Effect(lockboxv1.RuleEffect(n))) })
		for _, scenario := range []string{"memory-dump", "process-dump", "remote-desktop", "secure-shell", "node-access",
			"managed-disk", "snapshot", "query", "restart", "transfer", "server-log", "record-content", "object-content",
			"volume-content", "cluster-access", "tenant-configuration", "platform-health", "other"} {
			v.Intent.Scenario = scenario
			say(r.What())
			say(r.Means())
		}
		for _, group := range []string{"customer-support-leads", "devops-managers", "security-officers"} {
			if say(r.Group(group)) == group {
				t.Errorf("%s has no name in %s", group, language)
			}
		}
	}
}

func TestAnOverdueRequestGivesNoReasonOfItsOwn(t *testing.T) {
	v := &lockboxv1.RequestView{Status: lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED, EndedAt: at(-time.Hour),
		EndReason: "the time was over; this has not been recorded yet"}
	if r := request(t, "en", v); !r.Overdue() || r.Wrote() || r.Tone() != "" {
		t.Error("its reason is shown as somebody's")
	}
}

func TestWhatHappenedSinceIsWhatHasAGreaterVersion(t *testing.T) {
	v := &lockboxv1.RequestView{Timeline: []*lockboxv1.TimelineEntry{{Version: 1}, {Version: 2},
		{Version: 0, Type: "NotificationSent"}, {Version: 3}}}
	r := request(t, "en", v)
	if since := r.Since(1); len(since) != 2 || since[0].GetVersion() != 2 || since[1].GetVersion() != 3 {
		t.Errorf("%v", since)
	}
	if len(r.Since(3)) != 0 || len(r.Since(0)) != 0 {
		t.Error("nothing has happened since")
	}
}

func TestADigestTellsAnswersApart(t *testing.T) {
	v := intent("memory-dump", "a")
	first, err := shown.Digest(v)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := shown.Digest(intent("memory-dump", "a")); again != first {
		t.Error("the same answer is told apart")
	}
	v.Allowed = []string{"approve"}
	if other, _ := shown.Digest(v); other == first {
		t.Error("another answer is not")
	}
}

func TestMailIsTheLastThatAskedForADecision(t *testing.T) {
	v := intent("memory-dump", "a")
	v.Lockbox = &lockboxv1.CustomerNotified{Approvers: []*lockboxv1.Approver{{Person: &lockboxv1.Person{
		Email: "Otto@meadowbank.example"}}, {Person: &lockboxv1.Person{Email: "fleur@meadowbank.example"}}}}
	v.Deliveries = []*lockboxv1.DeliveryView{
		{Recipient: "otto@meadowbank.example", Template: "approval-requested", Failure: "mailbox full"},
		{Recipient: "otto@meadowbank.example", Template: "approval-reminder"},
		{Recipient: "otto@meadowbank.example", Template: "access-granted"},
	}
	people := request(t, "en", v).AskedPeople()
	if people[0].Mail.GetTemplate() != "approval-reminder" || people[1].Mail != nil {
		t.Errorf("%v, %v", people[0].Mail, people[1].Mail)
	}
}

func TestAccountsOfOnePersonAndSharedAddressesAreShown(t *testing.T) {
	v := intent("memory-dump", "a")
	person := func(name, human string) *lockboxv1.Person {
		return &lockboxv1.Person{Issuer: "i", Subject: name, DisplayName: name, Human: human, Email: "team@b.example"}
	}
	v.Lockbox = &lockboxv1.CustomerNotified{Approvers: []*lockboxv1.Approver{
		{Person: person("Grace", "")}, {Person: person("Otto", "")}, {Person: person("Fleur", "")}}}
	for _, p := range []*lockboxv1.Person{person("Rosa", "N-7"), nil, person("Grace", ""), person("Rosa (admin)", "N-7")} {
		v.Timeline = append(v.Timeline, &lockboxv1.TimelineEntry{Actor: &lockboxv1.Actor{Person: p}})
	}
	for language, want := range map[string][2]string{
		"en": {"Rosa and Rosa (admin) are accounts of one person", "Grace, Otto and Fleur share the address team@b.example."},
		"fr": {"Rosa et Rosa (admin) sont", "Grace, Otto et Fleur partagent l’adresse team@b.example."},
		"ja": {"Rosa、Rosa (admin) は", "Grace、Otto、Fleur のメール アドレスは同じです（team@b.example）。"},
	} {
		accounts, err := request(t, language, v).Accounts()
		if err != nil || len(accounts) != 1 || !strings.HasPrefix(accounts[0], want[0]) {
			t.Errorf("%s: %q, %v", language, accounts, err)
		}
		sharing, err := request(t, language, v).Sharing()
		if err != nil || len(sharing) != 1 || sharing[0] != want[1] {
			t.Errorf("%s: %q, %v", language, sharing, err)
		}
	}
}

func TestReasonsAreSaidFromCodesAlone(t *testing.T) {
	v := intent("memory-dump", "a")
	recorded := []string{"This operation reaches customer data, so the customer decides (R17).",
		"Two of us look at dumps (R15)."}
	v.Evaluation = &lockboxv1.AccessEvaluated{Reasons: recorded}
	english := []reason.Text{{Text: "This operation reaches customer data, so the customer decides.", Recorded: true},
		{Text: "Two of us look at dumps.", Recorded: true}}
	if got := request(t, "fr", v).Reasons(); !slices.Equal(got, english) {
		t.Errorf("without codes: %+v", got)
	}
	v.Evaluation.CodedReasons = []*lockboxv1.Reason{
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_CUSTOMER_DECIDES),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED, "rule", "dumps"),
	}
	french := []reason.Text{{Text: "L’opération donne accès aux données du client\u00a0: c’est à lui de décider."},
		english[1]}
	if got := request(t, "fr", v).Reasons(); !slices.Equal(got, french) {
		t.Errorf("with codes: %+v", got)
	}
	old := &lockboxv1.ExcludedAssignment{Reason: "eligible, but not activated (R21)"}
	kept := reason.Text{Text: "eligible, but not activated", Recorded: true}
	if got := request(t, "ja", v).NotCounted(old); got != kept {
		t.Errorf("%+v", got)
	}
	v.Lockbox = &lockboxv1.CustomerNotified{Alternates: []*lockboxv1.AlternateAddress{{Email: "soc@b.example"}}}
	v.Deliveries = []*lockboxv1.DeliveryView{{Recipient: "soc@b.example", Template: "approval-requested-alternate",
		Failure: "550 no"}}
	if got := request(t, "fr", v).Told()[0].MailFailed; got != (reason.Text{Text: "550 no", Recorded: true}) {
		t.Errorf("%+v", got)
	}
	v.Deliveries[0].CodedFailure = reason.Of(lockboxv1.ReasonCode_REASON_CODE_MAIL_REFUSED, "answer", "550 no")
	if got := request(t, "fr", v).Told()[0].MailFailed; got.Recorded || !strings.Contains(got.Text, "refusé") ||
		!strings.Contains(got.Text, "550 no") {
		t.Errorf("%+v", got)
	}
	v.Status, v.EndReason = lockboxv1.RequestStatus_REQUEST_STATUS_LAPSED,
		"an approver lost the role before access began (R20)"
	without := reason.Text{Text: "an approver lost the role before access began", Recorded: true}
	if got := request(t, "fr", v).Ended(); got != without {
		t.Errorf("%+v", got)
	}
	v.CodedEndReason = reason.Of(lockboxv1.ReasonCode_REASON_CODE_APPROVER_LOST_ROLE)
	if got := request(t, "fr", v).Ended(); got.Recorded || got.Text != reason.Sentence("fr", v.GetCodedEndReason()) {
		t.Errorf("%+v", got)
	}
}

func TestMailsThatArrivedAreKeptApartFromWhatHappened(t *testing.T) {
	v := &lockboxv1.RequestView{Timeline: []*lockboxv1.TimelineEntry{{Type: "CustomerNotified"},
		{Type: "NotificationSent"}, {Type: "NotificationFailed"}}}
	r := request(t, "en", v)
	if happened, sent := r.Happened(), r.Sent(); len(happened) != 2 || happened[1].GetType() != "NotificationFailed" ||
		len(sent) != 1 || len(v.GetTimeline()) != 3 {
		t.Errorf("%v, %v", happened, sent)
	}
}
