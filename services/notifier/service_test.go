package notifier

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	conf "github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtptest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// serve runs a mail server that answers as it is told to.
func serve(t *testing.T, o smtptest.Options) *smtptest.Server {
	t.Helper()
	s, err := smtptest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestEventsBecomeMailsAndEachIsReportedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	stop := w.run(c)
	w.tenant()
	w.write(aggregate.KindTicket, "SR-1", grace,
		&lockboxv1.Event{Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{Title: "It is broken"}}})
	id, notified := w.asked(erin)
	w.denied(id)
	reports := w.reports(setUp + 4 + 4)
	once(t, mails(), reports)

	byRecipient := map[string]string{}
	for _, m := range mails() {
		if m.Header.Get("References") != "" && strings.Contains(m.Text, "SR-1") && strings.Contains(m.Text, "It is broken") {
			subject, how, _ := strings.Cut(m.Text, "\n") // the first line is the subject, the second how it stands
			how, _, _ = strings.Cut(strings.TrimSpace(how), "\n")
			byRecipient[m.To[0]] += m.Subject + "\n" + strings.TrimSpace(how) + "\n"
			if !strings.HasPrefix(m.Subject, strings.TrimSpace(subject)) {
				t.Errorf("%q begins with %q", m.Subject, subject)
			}
		}
	}
	for recipient, want := range map[string]string{
		"otto@meadowbank.example": "erin より Meadow Bank へのアクセスの要求 [SR-1]\n承認のお願い\n要求は拒否されました",
		"grace@meadowbank.example": "erin asks for access to Meadow Bank [SR-1]\nYour approval is needed\n" +
			"The request was denied",
		"security@meadowbank.example": "erin demande un accès à Meadow Bank [SR-1]\n" +
			"Pour information\u00a0: une approbation est en attente\nLa demande a été refusée",
		"erin@northwind.example": "You asked for access to Meadow Bank [SR-1]\nThe customer has been asked\n" +
			"The request was denied",
	} {
		subject, how, _ := strings.Cut(want, "\n")
		first, then, _ := strings.Cut(how, "\n")
		if byRecipient[recipient] != subject+"\n"+first+"\n"+subject+"\n"+then+"\n" {
			t.Errorf("%s reads\n%s", recipient, byRecipient[recipient])
		}
	}
	for messageID, e := range reports {
		n := notification(e)
		if e.GetNotificationSent() == nil || e.GetReportKey() != n.GetId() || e.GetVersion() != 0 ||
			e.GetActor().GetService() != Name || n.GetMessageId() != messageID ||
			e.GetCausationId() != n.GetEventId() || e.GetAggregateId() != n.GetEventId() ||
			(n.GetEventId() == notified.GetId() && e.GetCorrelationId() != id) {
			t.Errorf("the report %v", e)
		}
	}

	// Nothing is told again after a restart, nor if the bus has forgotten every acknowledgement.
	stop()
	w.run(c)()
	w.tellAllAgain(c)
	reports = w.reports(setUp + 4 + 4)
	once(t, mails(), reports)
}

// Whoever holds the orchestrator's key cannot have mails about a request sent elsewhere, neither when the customer is
// asked nor later, nor by reading roles from before they were changed.
func TestMailsGoWhereTheCustomersOwnEventsSay(t *testing.T) {
	t.Parallel()
	evil := func(p *lockboxv1.Person) *lockboxv1.Person {
		p = proto.CloneOf(p)
		p.Email = p.GetSubject() + "@evil.example"
		return p
	}
	for name, forge := range map[string]func(n *lockboxv1.CustomerNotified){
		"another address": func(n *lockboxv1.CustomerNotified) { n.Approvers[0].Person = evil(otto.GetPerson()) },
		"a foreign alternate": func(n *lockboxv1.CustomerNotified) {
			n.Alternates = append(n.Alternates, &lockboxv1.AlternateAddress{Email: "security@evil.example"})
		},
		"roles from before": func(n *lockboxv1.CustomerNotified) { n.TenantSequence -= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c, mails := w.mailbox()
			w.run(c)
			w.tenant()
			id, _ := w.asked(erin, forge)
			w.denied(id)
			w.reports(setUp + 4 + 1 + 4)
			differ := 0
			for _, m := range mails() {
				if strings.HasSuffix(m.To[0], "@evil.example") {
					t.Errorf("%s is told %s", m.To[0], m.Subject)
				}
				if strings.HasPrefix(m.Subject, "A request asks other people than your roles name") {
					differ++
				}
			}
			if differ != 1 {
				t.Errorf("%d mails say that the request asks others", differ)
			}
		})
	}
}

// tellAllAgain hands every event to a new notifier, as after a crash that lost all acknowledgements.
func (w *world) tellAllAgain(c Config) {
	w.Helper()
	n, err := newNotifier(w.runtime(), c)
	if err != nil {
		w.Fatal(err)
	}
	defer n.sender.Close()
	err = w.compliance.Replay(w.Context(), journal.Replay{}, func(e journal.Entry) error {
		if e.Event.GetKind() == aggregate.KindDelivery || e.Event.GetKind() == aggregate.KindTicket {
			return nil
		}
		return n.handle(w.Context(), e)
	})
	if err != nil {
		w.Fatal(err)
	}
}

func TestAPassingFailureIsTriedAgainWithTheSameMessageIDAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	s := serve(t, smtptest.Options{Answer: func(to string, _ int) error {
		if to == "otto@meadowbank.example" {
			select {
			case <-release:
			default:
				return smtptest.Refuse(450, "greylisted")
			}
		}
		return nil
	}})
	w.run(config(s.Port))
	w.tenant()
	_, notified := w.asked(erin)
	others := w.reports(setUp + 3) // everyone but Otto
	for _, e := range others {
		if notification(e).GetRecipient() == "otto@meadowbank.example" {
			t.Error("a mail is reported that did not go out")
		}
	}
	close(release)
	all := w.reports(setUp + 4)
	count := map[string]int{}
	for _, m := range s.Taken() {
		count[messageID(string(m.Data))]++
	}
	for id := range all {
		if count[id] != 1 {
			t.Errorf("%s went out %d times", id, count[id])
		}
	}
	if len(count) != len(all) {
		t.Errorf("%d mails, %d reports about %s", len(count), len(all), notified.GetId())
	}
}

func messageID(mail string) string {
	_, rest, _ := strings.Cut(mail, "Message-ID: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

func TestAMailThatWasTakenUnheardGoesOutAgainWithTheSameMessageID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var lost atomic.Bool
	var s *smtptest.Server
	s = serve(t, smtptest.Options{AnswerData: func(string, int) error {
		if lost.CompareAndSwap(false, true) {
			go s.HangUp() // The mail is taken, and the answer lost.
		}
		return nil
	}})
	w.run(config(s.Port))
	w.tenant()
	reports := w.reports(1)
	for _, m := range s.Taken() {
		if reports[messageID(string(m.Data))] == nil {
			t.Errorf("another Message-ID on a repeat: %s", messageID(string(m.Data)))
		}
	}
}

func TestACrashBetweenSendingAndReportingRepeatsTheSameMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := serve(t, smtptest.Options{})
	w.tenant()
	n, err := newNotifier(w.runtime(), config(s.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer n.sender.Close()
	entries, err := w.evaluator.Load(t.Context(),
		aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTenant, ID: "meadowbank"})
	if err != nil {
		t.Fatal(err)
	}
	gone := *n.Runtime
	gone.Journal = w.bus.Journal(t, bus.Notifier)
	gone.Journal.Close()
	dead := *n
	dead.Runtime = &gone
	in, err := n.read(t.Context(), entries[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	notes := plan.Plan(in, n.settings)
	if err := dead.tell(ctx, nil, entries[0].Event, notes[0], false); err == nil {
		t.Fatal("the report went through")
	}
	if err := n.handle(ctx, entries[0]); err != nil {
		t.Fatal(err)
	}
	taken := s.Taken()
	if len(taken) != 2 || messageID(string(taken[0].Data)) != messageID(string(taken[1].Data)) {
		t.Errorf("%d mails, not the same one twice", len(taken))
	}
	w.reports(1)
}

func TestARefusalForGoodIsReportedAndTheOthersAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := serve(t, smtptest.Options{Answer: func(to string, _ int) error {
		if to == "otto@meadowbank.example" {
			return smtptest.Refuse(550, "no such user here")
		}
		return nil
	}})
	c := config(s.Port)
	stop := w.run(c)
	w.tenant()
	w.asked(erin)
	failed := 0
	for _, e := range w.reports(setUp + 4) {
		if f := e.GetNotificationFailed(); f != nil {
			failed++
			if f.GetNotification().GetRecipient() != "otto@meadowbank.example" || !strings.Contains(f.GetError(), "550 ") ||
				!strings.Contains(f.GetError(), "no such user here") {
				t.Errorf("the report %v", f)
			}
			coded(t, f, lockboxv1.ReasonCode_REASON_CODE_MAIL_REFUSED, f.GetError())
		}
	}
	if failed != 1 || len(s.Taken()) != setUp+3 {
		t.Errorf("%d failed, %d mails", failed, len(s.Taken()))
	}
	stop()
	w.tellAllAgain(c)
	if len(s.Taken()) != setUp+3 {
		t.Errorf("%d mails after all was told again", len(s.Taken()))
	}
}

func TestAPersonWithoutAnAddressIsReportedAsNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := serve(t, smtptest.Options{})
	w.run(config(s.Port))
	w.tenant()
	nameless := &lockboxv1.Actor{Side: erin.GetSide(), Person: &lockboxv1.Person{Issuer: northwind, Subject: "erin"},
		Employer: erin.GetEmployer()}
	w.asked(nameless)
	for _, e := range w.reports(setUp + 4) {
		if f := e.GetNotificationFailed(); (f != nil) != (notification(e).GetRecipient() == "") {
			t.Errorf("the report %v", e)
		} else if f != nil {
			coded(t, f, lockboxv1.ReasonCode_REASON_CODE_RECIPIENT_UNUSABLE, "")
		}
	}
}

// coded looks at the code of why a mail could not be delivered, and at the answer that its sentence names.
func coded(t *testing.T, f *lockboxv1.NotificationFailed, code lockboxv1.ReasonCode, answer string) {
	t.Helper()
	if want := reason.Of(code, "answer", answer); !proto.Equal(f.GetCodedReason(), want) {
		t.Errorf("the code is %v, want %v", f.GetCodedReason(), want)
	}
}

func TestAMailServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port, err := smtptest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	stop := w.run(config(port))
	w.tenant()
	w.asked(erin)
	stop() // while it tries
	c, mails := w.mailbox()
	w.run(c)
	reports := w.reports(setUp + 4)
	once(t, mails(), reports)
}

// Health says so while the mail server takes nothing, but not of a mail that it refuses for good.
func TestHealthSaysThatTheMailServerTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answers := []error{nil, smtptest.Refuse(452, "disk full"), nil, smtptest.Refuse(550, "no such user here")}
	s := serve(t, smtptest.Options{Answer: func(_ string, i int) error { return answers[min(i, 4)-1] }})
	w.tenant()
	n, err := newNotifier(w.runtime(), config(s.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer n.sender.Close()
	entries, err := w.evaluator.Load(t.Context(), aggregate.Tenant("meadowbank"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := n.read(t.Context(), entries[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, well := range []bool{true, false, true, true} {
		err := n.deliver(t.Context(), plan.Plan(in, n.settings)[0])
		if (err == nil) != (answers[i] == nil) || (n.healthy(t.Context()) == nil) != well {
			t.Errorf("mail %d: %v; health: %v", i, err, n.healthy(t.Context()))
		}
	}
}

func TestAMailIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := serve(t, smtptest.Options{Answer: func(string, int) error { return smtptest.Refuse(452, "mailbox full") }})
	c := config(s.Port)
	c.GiveUpAfter = 10 * time.Second // and the story began a minute ago
	w.run(c)
	w.tenant()
	for _, e := range w.reports(1) {
		if f := e.GetNotificationFailed(); !strings.Contains(f.GetError(), "given up after 10s") ||
			!strings.Contains(f.GetError(), "mailbox full") {
			t.Errorf("the report %v", e)
		} else {
			coded(t, f, lockboxv1.ReasonCode_REASON_CODE_MAIL_GIVEN_UP, strings.TrimPrefix(f.GetError(), "given up after 10s: "))
		}
	}
}

func TestInternalApproversAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	w.run(c)
	w.tenant()
	id := "01975a2c-7b3c-7e4a-9d8e-0123456789ab"
	w.write(aggregate.KindRequest, id, erin,
		&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{
			Intent: intent(id, ""),
		}}})
	w.write(aggregate.KindRequest, id, clock,
		&lockboxv1.Event{Fact: &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{
			Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_DECIDES, Duration: durationpb.New(time.Hour),
			InternalStages:    []*lockboxv1.InternalStage{{Group: "devops-managers", Count: 1}},
			InternalExpiresAt: timestamppb.New(time.Now().Add(time.Hour)),
		}}})
	reports := w.reports(1 + 1)
	once(t, mails(), reports)
	for _, m := range mails() {
		if m.Header.Get("References") != "" &&
			(m.To[0] != "devops@northwind.example" || !strings.Contains(m.Text, "lockbox internal approve "+id)) {
			t.Errorf("%s", m.Text)
		}
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	if err := config(25).Check(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Config){
		"smtp.host":              func(c *Config) { c.SMTP.Host = "" },
		"provider":               func(c *Config) { c.Provider = "" },
		"default_language":       func(c *Config) { c.DefaultLanguage = "de" },
		"groups.devops-managers": func(c *Config) { c.Groups["devops-managers"] = []string{"everyone"} },
		"give_up_after":          func(c *Config) { c.Concurrency = -1 },
		"portal_url":             func(c *Config) { c.PortalURL = "http://lockbox.example.org" },
	} {
		c := config(25)
		change(&c)
		if r, ok := refusal.As(c.Check()); !ok || r.GetField() != field {
			t.Errorf("%s: %v", field, c.Check())
		}
	}
	for _, address := range []string{"javascript:alert(1)", "https://", "https://user:secret@lockbox.example.org",
		"https://lockbox.example.org/?x", "://"} {
		c := config(25)
		c.PortalURL = address
		if c.Check() == nil {
			t.Errorf("%s is let through", address)
		}
	}
	for _, address := range []string{"", "https://lockbox.example.org", "https://example.org/lockbox/",
		"http://localhost:8080", "http://127.0.0.1:8080"} {
		c := config(25)
		c.PortalURL = address
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	bad := config(25)
	bad.MessageIDDomain = "not a host"
	if _, err := newNotifier(newWorld(t).runtime(), bad); err == nil {
		t.Error("a Message-ID domain that is no host name is let through")
	}
}

func TestTheShippedConfigurationIsGood(t *testing.T) {
	t.Parallel()
	var file service.File[Config]
	if err := conf.Load("../../deploy/config/notifier.yaml", nil, &file); err != nil {
		t.Fatal(err)
	}
	if err := file.Service.Check(); err != nil {
		t.Error(err)
	}
}

// A mail about a preview calls the service what the catalogue calls it, which nobody else could tell from its type.
func TestAPreviewIsCalledWhatTheCatalogueCallsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	w.run(c)
	w.tenant()
	w.write(aggregate.KindTenant, "meadowbank", grace, &lockboxv1.Event{Fact: &lockboxv1.Event_PreviewSignedUp{
		PreviewSignedUp: &lockboxv1.PreviewSignedUp{ResourceType: "machine-learning/workspaces"}}})
	w.reports(2)
	for _, m := range mails() {
		if strings.Contains(m.Subject, "preview") &&
			(!strings.Contains(m.Text, "Machine Learning") || strings.Contains(m.Text, "machine-learning/workspaces")) {
			t.Errorf("%s reads\n%s", m.To, m.Text)
		}
	}
}
