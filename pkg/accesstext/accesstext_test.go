package accesstext

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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
	commands := new(lockboxv1.Command).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields()
	for i := range commands.Len() {
		name := string(commands.Get(i).Name())
		all["refused "+name] = &lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED, Action: name}
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
		"command_refused":      "Unknown: Tried to approve a request (3 times)",
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

// Each command and each query that there is has words of its own, and so has whatever they may be filtered by: nobody
// reads the name of a field or of an enumeration's value.
func TestNothingIsSaidByItsNameForPrograms(t *testing.T) {
	for _, tag := range tenant.Languages {
		for _, all := range []struct {
			fields protoreflect.FieldDescriptors
			prefix string
		}{
			{new(lockboxv1.Command).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields(), "command-refused/"},
			{new(lockboxv1.Query).ProtoReflect().Descriptor().Oneofs().ByName("ask").Fields(), ""},
		} {
			for i := range all.fields.Len() {
				if id := all.prefix + dashed(string(all.fields.Get(i).Name())); !In(tag).Has(id) {
					t.Errorf("%s has no words in %s", id, tag)
				}
			}
		}
		for _, ask := range []proto.Message{new(lockboxv1.ListRequests), new(lockboxv1.ListActivity),
			new(lockboxv1.ListSimilar), new(lockboxv1.GroupRequests), new(lockboxv1.ListAccess), new(lockboxv1.GetOverview),
			new(lockboxv1.GetDashboard)} {
			fields := ask.ProtoReflect().Descriptor().Fields()
			for i := range fields.Len() {
				f := fields.Get(i)
				if f.Kind() == protoreflect.MessageKind || slices.Contains(unrecorded, string(f.Name())) {
					continue
				}
				if !In(tag).Has("filter/" + dashed(string(f.Name()))) {
					t.Errorf("the filter %s has no words in %s", f.Name(), tag)
				}
				for i := 1; f.Kind() == protoreflect.EnumKind && i < f.Enum().Values().Len(); i++ {
					prefix := strings.TrimSuffix(string(f.Enum().Values().Get(0).Name()), "UNSPECIFIED")
					value := strings.ToLower(strings.TrimPrefix(string(f.Enum().Values().Get(i).Name()), prefix))
					if said := In(tag).value(dashed(string(f.Name())), value); said == value && (tag != "en" || value != "engineer") {
						t.Errorf("%s of %s has no words in %s", value, f.Name(), tag)
					}
				}
			}
		}
	}
}

// unrecorded are fields of queries that no record names as a filter.
var unrecorded = []string{"limit", "page_token", "count", "export", "order", "with_allowed", "resource_ids"}

func TestFiltersAreSaidInWords(t *testing.T) {
	r := &lockboxv1.AccessRecord{FilterTerms: []*lockboxv1.FilterTerm{
		{Name: "statuses", Values: []string{"customer_notified", "of_a_later_version"}}, {Name: "awaiting_me"},
		{Name: "person", Values: []string{"Erin; x=y"}}, {Name: "actions", Values: []string{"Deny Lockbox Request"}},
		{Name: "kinds", Values: []string{"read"}}, {Name: "later", Values: []string{"z"}}}}
	for tag, want := range map[string]string{
		"en": "State: Waiting for approval, of_a_later_version|Waiting for their decision|Person: Erin; x=y|",
		"fr": "État\u00a0: En attente d’approbation, of_a_later_version|En attente de sa décision|Personne\u00a0: Erin; x=y|",
		"ja": "状態：承認待ち, of_a_later_version|本人の判断待ち|人：Erin; x=y|",
	} {
		got := strings.Join(In(tag).Filter(r), "|")
		if !strings.HasPrefix(got, want) || tag != "en" && (strings.Contains(got, "Deny") || strings.Contains(got, "read")) {
			t.Errorf("%s: %q", tag, got)
		}
	}
	if got := In("fr").Filter(&lockboxv1.AccessRecord{Filter: "person=erin"}); len(got) != 0 {
		t.Errorf("of an older version: %q", got)
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
