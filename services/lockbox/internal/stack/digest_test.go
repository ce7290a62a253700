package stack_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

// Forty requests at once are two mails to everybody concerned, with a report for each request; an emergency among them
// is mailed by itself (R52).
func TestAFloodOfRequestsIsTwoMails(t *testing.T) {
	l := start(t, request.DefaultTerms())
	l.close()
	l.config.Limits = policy.NoLimits()
	// Long enough that all are asked for within that time, also on a busy machine.
	l.config.Notifier.DigestAfter = 20 * time.Second
	const olga = "olga@nimbus.example"
	l.config.Notifier.Groups = map[string][]string{aggregate.SecurityOfficers: {olga}}
	l.open()
	const requests, emergencies = 40, 3
	asked := map[string]bool{}
	for i := range requests {
		in := l.intent("erin")
		asked[in.GetId()] = true
		_, err := l.tools.SubmitIntent(l.Context(), tool, in)
		must(t, err)
		if i%10 != 0 || i/10 >= emergencies {
			continue
		}
		in = l.intent("rosa")
		in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
		asked[in.GetId()] = false
		_, err = l.tools.SubmitIntent(l.Context(), tool, in)
		must(t, err)
	}

	// By recipient, the mails and how many requests each of them reports.
	var mails map[string]map[string]int
	within(t, 2*time.Minute, "a report of every mail", func() bool {
		mails = map[string]map[string]int{}
		total := 0
		for _, e := range l.history(journal.Replay{Kind: aggregate.KindDelivery}) {
			if _, ours := asked[e.Event.GetCorrelationId()]; !ours {
				continue
			}
			n := e.Event.GetNotificationSent().GetNotification()
			if mails[n.GetRecipient()] == nil {
				mails[n.GetRecipient()] = map[string]int{}
			}
			mails[n.GetRecipient()][n.GetMessageId()]++
			total++
		}
		return total >= 4*requests+emergencies
	})
	if len(mails) != 5 {
		t.Errorf("%d recipients: %v", len(mails), mails)
	}
	for recipient, reports := range mails {
		var sizes []int
		for _, n := range reports {
			sizes = append(sizes, n)
		}
		slices.Sort(sizes)
		// On a busy machine what is held goes in more than one digest.
		if recipient == olga {
			if !slices.Equal(sizes, []int{1, 1, 1}) {
				t.Errorf("%s: mails about %v emergencies", recipient, sizes)
			}
		} else if sizes[0] != 1 || len(sizes) > requests/2 {
			t.Errorf("%s: mails about %v requests", recipient, sizes)
		}
	}
	stored, err := mailbox.Read(l.stack.MailboxDir())
	must(t, err)
	arrived := 0
	for _, m := range stored {
		n := mails[m.Recipients[0]][m.MessageID]
		if n == 0 {
			continue
		}
		arrived++
		listed := 0
		for id := range asked {
			if strings.Contains(m.Text, id) {
				listed++
			}
		}
		if listed != n {
			t.Errorf("%q to %v is about %d requests, and reports say %d", m.Subject, m.Recipients, listed, n)
		}
	}
	if arrived > 4*requests/2+emergencies {
		t.Errorf("%d mails arrived", arrived)
	}
}
