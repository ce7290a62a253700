package stack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

// Two customers, whom nobody asks about the health of their machines, are each told of it once, although everything is
// stopped when that is due; and verifying finds that it is complete.
func TestR3WhoWasNotAskedIsToldByTheEndOfTheDay(t *testing.T) {
	t.Parallel()
	terms := request.DefaultTerms()
	terms.WaivedReport = 15 * time.Second // a short day
	l := start(t, terms)
	granted := map[string]string{} // the customer by request
	checks := func(customer, subscription string) {
		in := l.intent("erin")
		in.Tenant, in.SubscriptionId, in.Scenario, in.TicketId = customer, subscription, "platform-health", ""
		in.ReasonType = lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_SERVICE
		in.ResourceIds = []string{demo.Machine(subscription, "payments-1")}
		if o := l.submit(in); o.GetRefusal() != nil {
			t.Fatal(o.GetRefusal())
		}
		granted[in.GetId()] = customer
	}
	checks(bank, demo.BankProduction)
	checks(bank, demo.BankProduction)
	checks(health, demo.HealthClinic)
	last := time.Time{}
	within(t, patience, "access of all", func() bool {
		all := l.history(journal.Replay{Type: "AccessGranted"})
		for _, e := range all {
			if at := e.Event.GetAccessGranted().GetReportAt().AsTime(); at.After(last) {
				last = at
			}
		}
		return len(all) == len(granted)
	})
	l.restart(time.Until(terms.ReportMadeAt(last)) + moment)

	mails := map[string]int{} // by recipient and digest
	within(t, patience, "reports and mails", func() bool {
		told, sent := map[string]bool{}, map[string]int{}
		reports := l.history(journal.Replay{Kind: aggregate.KindDigest})
		for _, e := range reports {
			f := e.Event.GetWaivedAccessReported()
			for _, a := range f.GetAccesses() {
				if granted[a.GetRequestId()] != e.Event.GetTenant() || told[a.GetRequestId()] {
					t.Errorf("%s is told of %s", e.Event.GetTenant(), a.GetRequestId())
				}
				told[a.GetRequestId()] = true
			}
			for _, d := range l.history(journal.Replay{Kind: aggregate.KindDelivery, ID: e.Event.GetId()}) {
				if n := d.Event.GetNotificationSent().GetNotification(); n.GetTemplate() == "waived-access" {
					sent[n.GetRecipient()+" "+e.Event.GetAggregateId()]++
				}
			}
		}
		mails = sent
		return len(told) == len(granted) && len(sent) == len(reports)
	})
	for who, n := range mails {
		if n != 1 {
			t.Errorf("%s got %d mails", who, n)
		}
	}
	time.Sleep(time.Until(time.Now().Truncate(terms.WaivedReport).Add(terms.WaivedReport + 3*moment)))
	if n := len(l.history(journal.Replay{Kind: aggregate.KindDigest})); n > len(mails) {
		t.Errorf("%d reports: one of a day without any such access", n)
	}
	stored, err := mailbox.Read(l.stack.MailboxDir())
	must(t, err)
	for _, m := range stored {
		if !strings.Contains(m.Text, "lockbox request list --waived") {
			continue
		}
		for id, customer := range granted {
			theirs := strings.HasSuffix(m.Recipients[0], "@"+customer+".example")
			if strings.Contains(m.Text, id) && !theirs {
				t.Errorf("%v reads of %s's access:\n%s", m.Recipients, customer, m.Text)
			}
		}
	}
	v, err := verify.Stream(l.Context(), l.watch, time.Now(), nil, func(journal.Entry) {})
	if err != nil || len(v.Violations) > 0 {
		t.Errorf("%v, %v", v.Violations, err)
	}
}
