package words

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// coded says of each enumeration that the pages show with which messages they do, and which of its values they never
// show.
var coded = []struct {
	of     protoreflect.Enum
	prefix string
	parts  []string
	suffix string
	not    []string
}{
	{lockboxv1.RequestStatus(0), "REQUEST_STATUS_", []string{"status", "status.standing"}, "", []string{"unspecified"}},
	{lockboxv1.Waiver(0), "WAIVER_", []string{"status.waiver", "status.unasked"}, "", []string{"unspecified"}},
	{lockboxv1.ReasonType(0), "REASON_TYPE_", []string{"status.reason"}, "", nil},
	{lockboxv1.ApproverBasis(0), "APPROVER_BASIS_", []string{"status.basis", "status.basis-over"}, "", nil},
	{lockboxv1.ApproverBasis(0), "APPROVER_BASIS_", []string{"administration.basis"}, "", []string{"unspecified"}},
	{lockboxv1.RuleEffect(0), "RULE_EFFECT_", []string{"status.effect"}, "", nil},
	{lockboxv1.AccessMode(0), "ACCESS_MODE_", []string{"status.mode"}, "", []string{"unspecified"}},
	{lockboxv1.Role(0), "ROLE_", []string{"status.role", "administration.role"}, "", []string{"unspecified"}},
	{lockboxv1.Role(0), "ROLE_", []string{"administration.role"}, ".tenant", []string{"unspecified", "owner"}},
	{lockboxv1.Role(0), "ROLE_", []string{"administration.role"}, ".subscription",
		[]string{"unspecified", "global-administrator", "auditor"}},
	{lockboxv1.Fallback(0), "FALLBACK_", []string{"administration.fallback"}, "", []string{"unspecified"}},
	{lockboxv1.DecidersShown(0), "DECIDERS_SHOWN_", []string{"administration.deciders"}, "", []string{"unspecified"}},
	{lockboxv1.SignInRoute(0), "SIGN_IN_ROUTE_", []string{"administration.sign-in.route"}, "", []string{"unspecified"}},
	{lockboxv1.WebhookKind(0), "WEBHOOK_KIND_", []string{"administration.webhook.kind"}, "", []string{"unspecified"}},
	{lockboxv1.InvitationState(0), "INVITATION_STATE_", []string{"invitation.state"}, "", []string{"unspecified"}},
	{lockboxv1.RefusalCode(0), "REFUSAL_CODE_", []string{"requests.refused"}, "", []string{"unspecified"}},
}

// Whatever a service says with a code has words of its own on the pages, in every language: a person never reads the
// name of a code, nor the words of another language.
func TestEveryCodeHasWordsInEveryLanguage(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	placeholders := []any{"Group", "g", "By", "b", "Ended", "e", "Deadline", "d", "Provider", "p"}
	for _, tag := range tenant.Languages {
		say := all.In(tag)
		for _, row := range coded {
			values := row.of.Descriptor().Values()
			for i := range values.Len() {
				name := string(values.Get(i).Name())
				value := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, row.prefix)), "_", "-")
				if slices.Contains(row.not, value) {
					continue
				}
				for _, part := range row.parts {
					if text, err := say.Say(part+"."+value+row.suffix, placeholders...); err != nil || text == "" {
						t.Errorf("%s has no words in %s: %v", name, tag, err)
					}
				}
			}
		}
		for code := range lockboxv1.ReasonCode_name {
			r := &lockboxv1.Reason{Code: lockboxv1.ReasonCode(code)}
			if code != 0 && r.GetCode() != lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED && reason.Sentence(tag, r) == "" {
				t.Errorf("%v has no words in %s", r.GetCode(), tag)
			}
		}
		for kind := range lockboxv1.AccessKind_name {
			if k := lockboxv1.AccessKind(kind); kind != 0 && accesstext.In(tag).Kind(k) == "" {
				t.Errorf("%v has no words in %s", k, tag)
			}
		}
	}
}
