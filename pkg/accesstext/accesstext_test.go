package accesstext

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// records are one of everything that is said.
func records() map[string]*lockboxv1.AccessRecord {
	all := map[string]*lockboxv1.AccessRecord{}
	for _, k := range Kinds {
		all[Name(k)] = &lockboxv1.AccessRecord{Kind: k, Action: "approve", Format: "csv", Count: 3}
		all["left out of "+Name(k)] = &lockboxv1.AccessRecord{Kind: k, LeftOut: 12}
	}
	for n, name := range lockboxv1.RefusalCode_name {
		all[name] = &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Action: "get_request", Count: 1,
			RefusalCode: lockboxv1.RefusalCode(n)}
	}
	fields := new(lockboxv1.Query).ProtoReflect().Descriptor().Oneofs().ByName("ask").Fields()
	for i := range fields.Len() {
		name := string(fields.Get(i).Name())
		all[name] = &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Action: name, Results: 7, Count: 1}
	}
	all["intent"] = &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED,
		Action: "submit_intent"}
	all["receipt"] = &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_EXPORT, Format: "receipt"}
	for _, reason := range []string{"declined", "refused: invalid_scope", "stale", "another", "unknown", "unavailable",
		"wrong", ""} {
		all["reason "+reason] = &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED,
			Reason: reason}
	}
	return all
}

func TestEverythingIsSaidInEveryLanguage(t *testing.T) {
	for name, r := range records() {
		said := map[string]string{}
		for _, tag := range tenant.Languages {
			text := In(tag).Sentence(r)
			if In(tag).What(r) == "" || strings.ContainsAny(text, "{}_") && r.GetReason() == "" ||
				strings.Contains(text, "()") || strings.Contains(text, "; ;") {
				t.Errorf("%s: %s: %q", tag, name, text)
			}
			if other := said[text]; other != "" {
				t.Errorf("%s: %s and %s say %q", name, tag, other, text)
			}
			said[text] = tag
		}
	}
}

func TestWhatIsReadIsNamed(t *testing.T) {
	for name, want := range map[string]string{
		"list_requests":        "Unknown: Viewed the list of requests (7 results)",
		"get_request":          "Unknown: Viewed a request (7 results)",
		"command_refused":      "Unknown: Tried to “approve” (3 times)",
		"left out of read":     "Unknown: Further views (12, not recorded in detail because there were too many)",
		"export":               "Unknown: Exported the activity log as csv (3 times)",
		"reason stale":         "Unknown: Tried to sign in to the portal (The sign-in was too old)",
		"reason declined":      "Unknown: Tried to sign in to the portal (The sign-in was cancelled)",
		"intent":               "Unknown: Tried to ask for access to your data",
		"REFUSAL_CODE_INVALID": "Unknown: Viewed a request (Refused: not valid)",
	} {
		if got := In("en").Sentence(records()[name]); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTypesAndNamesAreTheKinds(t *testing.T) {
	for _, k := range Kinds {
		if Named(Name(k)) != k || OfType(Type(k)) != k || In("fr").Kind(k) == "" {
			t.Errorf("%v", k)
		}
	}
	if len(Kinds) != len(lockboxv1.AccessKind_name)-1 {
		t.Error("a kind is missing")
	}
	for _, typ := range []string{"", "sign_in", "access.", "access.unspecified", "CustomerDenied"} {
		if OfType(typ) != lockboxv1.AccessKind_ACCESS_KIND_UNSPECIFIED {
			t.Errorf("%q", typ)
		}
	}
}
