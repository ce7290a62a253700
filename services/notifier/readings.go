package notifier

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/observe"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// readings has the mail server and what is held read for metrics.
func (n *notifier) readings() {
	n.Counters.ExpectMails()
	n.Counters.Read(observe.MailServerAvailable, func(say observe.Say) { say(observe.Truth(!n.deferred.Load())) })
	n.Counters.Read(observe.MailsHeld, func(say observe.Say) { say(float64(n.holding.held())) })
	n.Counters.Certificates("mail server", func() map[string]time.Time {
		return map[string]time.Time{"": n.sender.CertificateExpiry()}
	})
}

// outcomeOf returns what metrics call a report.
func outcomeOf(failure *lockboxv1.NotificationFailed) string {
	switch failure.GetCodedReason().GetCode() {
	case lockboxv1.ReasonCode_REASON_CODE_UNSPECIFIED:
		return observe.MailSent
	case lockboxv1.ReasonCode_REASON_CODE_MAIL_GIVEN_UP:
		return observe.MailGivenUp
	case lockboxv1.ReasonCode_REASON_CODE_RECIPIENT_NOT_ENTITLED:
		return observe.MailNotEntitled
	default:
		return observe.MailRefused
	}
}
