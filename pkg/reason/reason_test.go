package reason_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// unsaid are the codes whose words are not ours.
var unsaid = []lockboxv1.ReasonCode{
	lockboxv1.ReasonCode_REASON_CODE_UNSPECIFIED, lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED,
}

// every gives each parameter that a sentence may name a value of its own.
func every(code lockboxv1.ReasonCode) *lockboxv1.Reason {
	return reason.Of(code, "rule", "<rule>", "group", "<group>", "resource_type", "<resource_type>", "scenario",
		"<scenario>",
		"service", "<service>", "migration", "<migration>", "answer", "<answer>", "resource",
		"<resource>", "pattern", "<pattern>", "most", "<most>", "least", "<least>", "claim", "<claim>", "by", "<by>",
		"audience", "<audience>", "key", "<key>", "part", "<part>", "says", "<says>", "bits", "<bits>")
}

func TestEveryReasonIsSaidInEveryLanguage(t *testing.T) {
	for n := range lockboxv1.ReasonCode_name {
		code := lockboxv1.ReasonCode(n)
		var named []int
		sentences := map[string]bool{}
		for _, tag := range tenant.Languages {
			s := reason.Sentence(tag, every(code))
			if slices.Contains(unsaid, code) {
				if s != "" {
					t.Errorf("%s in %s: %q", code, tag, s)
				}
				continue
			}
			if s == "" || sentences[s] || strings.ContainsAny(s, "{}()") {
				t.Errorf("%s in %s: %q", code, tag, s)
			}
			sentences[s] = true
			named = append(named, strings.Count(s, "<"))
		}
		if slices.Sort(named); len(named) > 0 && named[0] != named[len(named)-1] {
			t.Errorf("%s names %v things", code, named)
		}
	}
}

func TestOneLanguageDoesNotSayTwoCodesTheSame(t *testing.T) {
	for _, tag := range tenant.Languages {
		said := map[string]lockboxv1.ReasonCode{}
		for n := range lockboxv1.ReasonCode_name {
			code := lockboxv1.ReasonCode(n)
			s := reason.Sentence(tag, every(code))
			if other, twice := said[s]; twice && s != "" {
				t.Errorf("%s and %s are both %q", code, other, s)
			}
			said[s] = code
		}
	}
}

func TestValuesAreNeverPlaceholders(t *testing.T) {
	r := reason.Of(lockboxv1.ReasonCode_REASON_CODE_SCENARIO_UNKNOWN, "resource_type", "{scenario}", "scenario", "{{x}}")
	if got := reason.Sentence("en", r); got != "The resource type “{scenario}” has no scenario “{{x}}”." {
		t.Errorf("%q", got)
	}
	if r := reason.Of(lockboxv1.ReasonCode_REASON_CODE_RESOURCE_TYPE_UNSUPPORTED, "service", "Old disks", "migration",
		""); len(r.GetParameters()) != 1 ||
		reason.Sentence("en", r) != "Lockbox does not support Old disks." {
		t.Errorf("%v: %q", r, reason.Sentence("en", r))
	}
}

func TestWithoutACodeTheRecordedSentenceIsShownAsItIs(t *testing.T) {
	const plain = "an approver lost the role before access began"
	const recorded = plain + " (R20)"
	for _, r := range []*lockboxv1.Reason{nil, {}, {Code: 9999},
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED, "rule", "x")} {
		if got := reason.Show("fr", r, recorded); got != (reason.Text{Text: plain, Recorded: true}) {
			t.Errorf("%v: %+v", r, got)
		}
	}
	lost := reason.Of(lockboxv1.ReasonCode_REASON_CODE_APPROVER_LOST_ROLE)
	if got := reason.Show("ja", lost, recorded); got.Recorded || got.Text == "" ||
		got.Text == reason.Sentence("en", lost) {
		t.Errorf("%+v", got)
	}
	if reason.Sentence("de", lost) != reason.Sentence("en", lost) {
		t.Error("a language that Lockbox does not speak is not English")
	}
}
