package render

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Every value that a person can meet has words of its own, none of which is the value's name.
func TestEveryValueHasWords(t *testing.T) {
	for enum, say := range map[protoreflect.EnumDescriptor]func(protoreflect.EnumNumber) string{
		lockboxv1.RequestStatus(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return StatusName(lockboxv1.RequestStatus(n))
		},
		lockboxv1.ReasonType(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return ReasonName(lockboxv1.ReasonType(n))
		},
		lockboxv1.ApproverBasis(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return basisName(lockboxv1.ApproverBasis(n))
		},
		lockboxv1.Fallback(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return FallbackName(lockboxv1.Fallback(n))
		},
		lockboxv1.Role(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return tenant.RoleName(lockboxv1.Role(n))
		},
		lockboxv1.SupportPlan(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return tenant.PlanName(lockboxv1.SupportPlan(n))
		},
		lockboxv1.DecidersShown(0).Descriptor(): func(n protoreflect.EnumNumber) string {
			return decidersShown(lockboxv1.DecidersShown(n))
		},
	} {
		said := map[string]protoreflect.Name{}
		for i := range enum.Values().Len() {
			v := enum.Values().Get(i)
			if v.Number() == 0 {
				continue
			}
			words := say(v.Number())
			if words == "" || strings.Contains(words, "_") || words == strings.ToUpper(words) {
				t.Errorf("%s is %q", v.Name(), words)
			}
			if other, twice := said[words]; twice {
				t.Errorf("%s and %s are both %q", v.Name(), other, words)
			}
			said[words] = v.Name()
		}
	}
	for reader, want := range map[lockboxv1.RequestStatus]string{
		lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED: "Customer Notified",
		lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED:          "Approved",
		lockboxv1.RequestStatus_REQUEST_STATUS_DENIED:            "Denied",
		lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED:           "Expired",
	} {
		if got := StatusName(reader); got != want {
			t.Errorf("%s is %q, and %q to whoever knows Azure", reader, got, want)
		}
	}
}
