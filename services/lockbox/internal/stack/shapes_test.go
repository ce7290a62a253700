package stack_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/proto"
)

// From intent to grant with tokens as each kind of identity provider writes them, with an internal approval and the
// customer's; and who lacks a second factor or the group stays without.
func TestR13RequestsAreGrantedWithTheTokensOfEachProvider(t *testing.T) {
	t.Parallel()
	for _, shape := range devissuer.Shapes()[1:] { // plain is what all other tests have
		t.Run(shape, func(t *testing.T) {
			t.Parallel()
			l := startWith(t, request.DefaultTerms(), shape)
			in := l.intent("erin")
			in.Scenario = "managed-disk"
			id := l.requested(in, request.AwaitingInternalApproval)
			inside := &lockboxv1.Command{AggregateId: id,
				Action: &lockboxv1.Command_InternalApprove{InternalApprove: &lockboxv1.InternalApprove{}}}
			l.mayNot("lena", proto.CloneOf(inside), forbidden, "R15")
			l.does("derek", inside)
			l.reaches(id, request.CustomerNotified)
			l.mayNot("audrey", approve(id), forbidden, "R20")
			l.does("otto", approve(id))
			s := l.reaches(id, request.Active)
			if got := s.Requester.GetPerson().GetSubject(); got != devissuer.Subject(shape, "erin") {
				t.Errorf("it is %s's", got)
			}
			l.requested(l.intent("sam"), request.Refused) // a password alone does not do
			if o := l.submit(l.intent("olga")); o.GetRefusal().GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN {
				t.Errorf("without the group: %v", o)
			}
		})
	}
}
