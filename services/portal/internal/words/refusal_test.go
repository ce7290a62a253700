package words

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// A refusal is said by its reason, or else by code, rule and field, in the reader's language; what has no words yet is
// said as the service said it.
func TestARefusalIsSaidInTheReadersLanguage(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err          error
		want         map[string]string
		inNoLanguage bool
	}{
		{err: refusal.Invalid("approve.duration", "R27", "is too long"), want: map[string]string{
			"en": "You may shorten the time", "fr": "Vous pouvez raccourcir la durée", "ja": "要求された時間は短縮できますが"}},
		{err: refusal.Invalid("add_webhook.address", "R57", "is not https"), want: map[string]string{
			"en": "Enter a whole https address", "fr": "Indiquez une adresse https", "ja": "インターネットから到達できる"}},
		{err: refusal.Because(refusal.Forbidden("token", "R51", "you made it with another account"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_YOUR_OWN_REQUEST_OTHER_ACCOUNT)), want: map[string]string{
			"en": "with another account", "fr": "avec un autre compte", "ja": "別のアカウントで"}},
		{err: refusal.Because(refusal.Invalid("deny.reason", "R28", "is long"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_TOO_LONG, "most", "4000")), want: map[string]string{
			"en": "at most 4000", "fr": "au plus 4000", "ja": "4000 文字以内"}},
		{err: refusal.Conflict("x", "configuration", "this has no words"), inNoLanguage: true, want: map[string]string{
			"en": "this has no words", "fr": "this has no words", "ja": "this has no words"}},
	} {
		for _, tag := range tenant.Languages {
			got := all.In(tag).Refusal(refusal.Of(c.err))
			if !strings.Contains(got.Text, c.want[tag]) || got.Recorded != c.inNoLanguage {
				t.Errorf("%v in %s: %+v", c.err, tag, got)
			}
		}
	}
}
