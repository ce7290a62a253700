package words

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// A refusal is said by its reason, or else by code, rule and field, in the reader's language; what has no words of
// its own is said by its code, and in English as the service said it.
func TestARefusalIsSaidInTheReadersLanguage(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		want map[string]string
		// english: it has no words of its own, and readers of English are told what the service said.
		english bool
	}{
		{err: refusal.Invalid("approve.duration", "R27", "is too long"), want: map[string]string{
			"en": "You may shorten the time", "fr": "Vous pouvez raccourcir la durée", "ja": "要求された時間は短縮できますが"}},
		{err: refusal.OfKind(refusal.Invalid("add_webhook.address", "R57", "is too long"), "webhook-address-too-long",
			"most", "2048"), want: map[string]string{
			"en": "at most 2,048 bytes", "fr": "2\u00a0048 octets", "ja": "2,048 バイト"}},
		{err: refusal.OfKind(refusal.Precondition("aggregate_id", "R15", "is late"), "late", "at", "2026-12-02T18:44:00Z"),
			want: map[string]string{"en": "to answer ended on Wed", "fr": "a pris fin le mer.", "ja": "12月2日"}},
		{err: refusal.OfKind(refusal.Invalid("x", "configuration", "this is of a later version"), "a-kind-of-tomorrow"),
			english: true, want: map[string]string{
				"en": "of a later version", "fr": "ne peut pas être acceptée", "ja": "受け付けられません"}},
		{err: refusal.Because(refusal.Forbidden("token", "R51", "you made it with another account"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_YOUR_OWN_REQUEST_OTHER_ACCOUNT)), want: map[string]string{
			"en": "with another account", "fr": "avec un autre compte", "ja": "別のアカウントで"}},
		{err: refusal.Because(refusal.Invalid("deny.reason", "R28", "is long"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_TEXT_TOO_LONG, "most", "4000")), want: map[string]string{
			"en": "at most 4000", "fr": "au plus 4000", "ja": "4000 文字以内"}},
		{err: refusal.Conflict("x", "configuration", "this has no words"), english: true, want: map[string]string{
			"en": "this has no words", "fr": "Autre chose a été enregistré entre-temps", "ja": "先に別の内容が記録されました"}},
		{err: refusal.Because(refusal.Forbidden("token", "R13",
			"sign in with multi-factor authentication or an isolated identity"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED, "rule", "second-factor")), want: map[string]string{
			"en": "sign in with multi-factor", "fr": "l’authentification multifacteur", "ja": "多要素認証"}},
		{err: refusal.Because(refusal.Forbidden("token", "R13", "our own rule"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED, "rule", "second-factor")), english: true,
			want: map[string]string{"en": "our own rule", "fr": "Une règle du fournisseur", "ja": "プロバイダーのルール"}},
	} {
		for _, tag := range tenant.Languages {
			got := all.In(tag).Refusal(refusal.Of(c.err))
			if !strings.Contains(got.Text, c.want[tag]) || got.Recorded != (c.english && tag == english) {
				t.Errorf("%v in %s: %+v", c.err, tag, got)
			}
		}
	}
}

// No refusal whatever leaves English to readers of other languages.
func TestNoRefusalIsEnglishInAnotherLanguage(t *testing.T) {
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	const said = "the service says this in English"
	for code := range lockboxv1.RefusalCode_name {
		for _, rule := range []string{"R2", "R27", "bad input", "a rule of tomorrow"} {
			for why := range lockboxv1.ReasonCode_name {
				r := &lockboxv1.Refusal{Code: lockboxv1.RefusalCode(code), Rule: rule, Field: "any", Message: said,
					CodedReason: reason.Of(lockboxv1.ReasonCode(why), "rule", "x")}
				for _, tag := range tenant.Languages {
					if got := all.In(tag).Refusal(r); code != 0 && tag != english && (got.Recorded || got.Text == said) {
						t.Errorf("%v in %s is %+v", r, tag, got)
					}
				}
			}
		}
	}
}
