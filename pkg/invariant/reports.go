package invariant

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// match finds the mails' reports. One about another event, to another address or of another kind is none. Where the
// address was erased on one side (R63), a report of the kind that is to nobody else is taken.
func match(mails []Mail, about Recorded, reports []Recorded) {
	claim := func(r Recorded, n *lockboxv1.Notification, to func(Mail) bool) (claimed bool) {
		for i, m := range mails {
			if n.GetTemplate() == m.Template && m.Reported.IsZero() && to(m) {
				mails[i].Reported = instant(r)
				return true
			}
		}
		return false
	}
	type report struct {
		Recorded
		of *lockboxv1.Notification
	}
	var left []report
	for _, r := range reports {
		n := r.Event.GetNotificationSent().GetNotification()
		if f := r.Event.GetNotificationFailed(); f != nil {
			n = f.GetNotification()
		}
		if r.Sequence > about.Sequence && n.GetEventId() == about.Event.GetId() && !claim(r, n, func(m Mail) bool {
			return !m.Erased && oneAddress(n.GetRecipient(), m.Recipient)
		}) {
			left = append(left, report{r, n})
		}
	}
	for _, r := range left {
		code := r.Event.GetNotificationFailed().GetCodedReason().GetCode()
		erased := r.of.GetRecipient() == "" && code != lockboxv1.ReasonCode_REASON_CODE_RECIPIENT_UNUSABLE
		claim(r.Recorded, r.of, func(m Mail) bool { return m.Erased || erased })
	}
}

// erasedAddress stands among addresses for one that was erased: no address has such a character.
const erasedAddress = "\x02"

// addressOf returns somebody's address.
func addressOf(p *lockboxv1.Person) string {
	if p.GetErased() {
		return erasedAddress
	}
	return p.GetEmail()
}

// oneAddress compares letters in lower case, and no more: to fold them makes one of s and ſ, which are two mailboxes.
func oneAddress(a, b string) bool {
	lower := strings.ToLower(a)
	return lower == strings.ToLower(b)
}
