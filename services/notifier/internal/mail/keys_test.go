package mail

import "github.com/openlockbox/lockbox/services/notifier/internal/plan"

// keysPage is the page that a mail about keys leads its reader to; empty if it is about something else.
func keysPage(n plan.Notification) string {
	switch {
	case n.Standing == plan.Administrator && n.Template == plan.SignatureRefused:
		return "/t/meadowbank/activity"
	case n.Template == plan.SignatureRefused || !ofKeys(n.Template):
		return ""
	case n.Standing == plan.Administrator, n.Standing == plan.Keyholder:
		return "/t/meadowbank/keys"
	}
	return ""
}
