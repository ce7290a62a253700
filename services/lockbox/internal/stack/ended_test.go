package stack_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A role that ends by itself: when its time has come, whoever held it and the administrators are mailed, and the audit
// finds nothing missing.
func TestR33ARoleThatEndsByItselfIsMailed(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	end := time.Now().Add(2 * time.Second)
	l.does("grace", &lockboxv1.Command{AggregateId: demo.BankProduction, Action: &lockboxv1.Command_AssignRole{
		AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{Id: "brief", Person: l.issuer.Person("fleur"),
			Role: lockboxv1.Role_ROLE_LOCKBOX_APPROVER, ExpiresAt: timestamppb.New(end),
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
	says := func(to, what string) func() bool {
		return func() bool {
			all, err := mailbox.Read(l.stack.MailboxDir())
			must(t, err)
			return slices.ContainsFunc(all, func(m mailbox.Message) bool {
				return slices.Contains(m.Recipients, to) && strings.Contains(m.Subject, what)
			})
		}
	}
	within(t, patience, "a mail to the administrator", says("grace@meadowbank.example", "has ended"))
	within(t, patience, "a mail to the holder",
		says("fleur@meadowbank.example", "Votre rôle Approbateur Lockbox a pris fin"))
	if time.Now().Before(end) {
		t.Error("they are told before it has ended")
	}
	if v := l.verified(); len(v.Violations) > 0 {
		t.Errorf("audit verify finds %v", v.Violations)
	}
}
