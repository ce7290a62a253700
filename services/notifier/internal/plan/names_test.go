package plan

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Whoever reads the log is never shown a template's name, only what the mail says.
func TestEveryMailHasANameInTheLog(t *testing.T) {
	for _, tag := range tenant.Languages {
		for _, template := range Templates() {
			if template == Digest {
				continue // no report names it
			}
			_, said := activity.In(tag).Describe(&lockboxv1.Event{
				Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{
					Notification: &lockboxv1.Notification{Template: string(template), Recipient: "otto"},
				}}})
			if said == "" || strings.Contains(said, string(template)) {
				t.Errorf("%s: %s is called %q", tag, template, said)
			}
		}
	}
}
