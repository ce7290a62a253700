package mail

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// said lists a language's messages.
func said(t *testing.T, language string) map[string]string {
	t.Helper()
	all, err := loadMessages()
	if err != nil {
		t.Fatal(err)
	}
	return maps.Collect(all[language].All())
}

// asked lists every block that a mail may ever say.
func asked(t *testing.T) []string {
	t.Helper()
	all := []string{
		"greeting", "greeting/anonymous", "colon", "list/more", "action/request", "action/tenant", "action/roles",
		"action/disclosures",
		"action/requests", "action/awaited", "action/waived", "standing/digest",
		"commands", "standing/changed", "footer", "log", "log-before", "log-includes",
		"note/fallback", "note/otherwise", "note/short", "note/dormant", "note/several", "note/waived", "note/shortened",
		"note/narrowed", "note/unexpected", "note/encrypt", "action/statement",
		"alert/emergency", "alert/urgent", "alert/subject", "status/customer-notified",
		"group/customer-support-leads", "group/devops-managers", "group/security-officers",
		"text/access-revoked/unbegun", "text/access-revoked/system", "text/customer-asked/nobody",
		"text/customer-asked/short", "title/access-lapsed/ticket", "text/access-lapsed/ticket",
		"title/access-revoked/ticket", "value/ticket-of-provider",
		"value/by-itself", "value/decider", "value/unknown",
		"note/eligible", "note/says-of-itself", "note/unexpected-change", "note/revocable", "note/link",
		"value/whole-tenant", "value/nobody", "value/none", "value/yes", "value/no", "value/person", "value/approval",
		"value/of", "value/was",
		"matter/request", "matter/own", "matter/emergency", "target/more", "ask/access", "level/critical", "level/action",
		"level/info", "quote/why", "text/role-assigned/group", "text/role-removed/group",
		"text/role-ended/group", "text/role-activated/group",
		"action/erasure", "action/erasures", "text/erasure-decided/own", "value/erased", "value/unreadable",
		"value/erased-name", "value/erased-address",
		"erase/person", "erase/address", "erase/texts", "erase/request", "erase/ticket", "erase/disclosure",
		"text/key-change-offered/genesis", "text/key-chain-changed/waits", "text/key-chain-changed/recovery",
		"text/key-chain-changed/less", "text/signature-refused/unsigned", "key/browser", "key/ssh",
		"change/add", "change/remove", "change/recover", "change/replace-recovery", "change/demand",
		"demand/none", "demand/signatures", "demand/command-line", "value/key", "value/signed", "value/not-signed",
		"value/signature-broken", "value/counts-from", "value/counts-at-once", "action/keys", "action/activity",
		"attempt/approve", "attempt/deny", "attempt/revoke", "attempt/sign-keys", "attempt/other",
		"erase/tenant", "erase/subscription", "erase/other",
	}
	for name := range said(t, "en") { // what a catalogue calls its operations, and what else has a matter of its own
		if template, is := strings.CutPrefix(name, "matter/"); strings.HasPrefix(name, "ask/") ||
			is && slices.Contains(plan.Templates(), plan.Template(template)) {
			all = append(all, name)
		}
	}
	for _, t := range plan.Templates() {
		all = append(all, "title/"+string(t), "text/"+string(t))
		all = append(all, shapes[t].rows...)
		all = append(all, shapes[t].quotes...)
	}
	for _, s := range plan.Standings() {
		all = append(all, "standing/"+string(s))
	}
	for _, l := range tenant.Languages {
		all = append(all, "language/"+l)
	}
	for kind, enum := range map[string]struct {
		values protoreflect.EnumValueDescriptors
		prefix string
	}{
		"role":     {lockboxv1.Role(0).Descriptor().Values(), "ROLE_"},
		"waiver":   {lockboxv1.Waiver(0).Descriptor().Values(), "WAIVER_"},
		"reason":   {lockboxv1.ReasonType(0).Descriptor().Values(), "REASON_TYPE_"},
		"deciders": {lockboxv1.DecidersShown(0).Descriptor().Values(), "DECIDERS_SHOWN_"},
		"fallback": {lockboxv1.Fallback(0).Descriptor().Values(), "FALLBACK_"},
	} {
		for i := 1; i < enum.values.Len(); i++ {
			name := strings.TrimPrefix(string(enum.values.Get(i).Name()), enum.prefix)
			all = append(all, kind+"/"+strings.ReplaceAll(strings.ToLower(name), "_", "-"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestWhatCanBeAskedForIsWhatIsSaid(t *testing.T) {
	have := slices.Sorted(maps.Keys(said(t, "en")))
	for _, name := range asked(t) {
		if !slices.Contains(have, name) {
			t.Errorf("nobody has words for %q", name)
		}
	}
	for _, name := range have {
		if name = strings.TrimSuffix(name, "/you"); !slices.Contains(asked(t), name) {
			t.Errorf("nobody asks for %q", name)
		}
	}
}

func TestEachLanguageIsWrittenInItsOwnScript(t *testing.T) {
	english, french := said(t, "en"), said(t, "fr")
	for name, text := range said(t, "ja") {
		if !strings.HasPrefix(name, "text/") {
			continue
		}
		if !strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Hiragana) }) {
			t.Errorf("%s is not Japanese: %s", name, text)
		}
		if french[name] == english[name] {
			t.Errorf("%s is English in French", name)
		}
	}
}

func TestFrenchPunctuationIsNotTornOff(t *testing.T) {
	content, err := messageFiles.ReadFile("messages/fr.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(content)) {
		if strings.HasPrefix(l, "#") {
			continue
		}
		for _, torn := range []string{" :", " ;", " !", " ?", " »", "« "} {
			if strings.Contains(l, torn) {
				t.Errorf("an ordinary space in %q", l)
			}
		}
	}
}
