package catalogue

import (
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/catalogue/names"
)

func TestTheBuiltInNamesAreSaidInEveryLanguage(t *testing.T) {
	english := regexp.MustCompile(`(?i)\b(the|of|and|with|to|by|access|reading|memory|queries|data)\b`)
	torn := regexp.MustCompile(`[ \pL\pN][:;!?»]|«[^\x{a0}]|'`)
	used := map[string]bool{}
	for _, s := range Default().Services() {
		texts := []string{s.Name}
		if s.Migration != "" {
			texts = append(texts, s.Migration)
		}
		for _, sc := range s.Scenarios {
			texts = append(texts, sc.Name)
		}
		for i, name := range texts {
			used[name] = true
			fr, ja := names.All[name]["fr"], names.All[name]["ja"]
			if fr == "" || ja == "" || len(names.All[name]) != 2 {
				t.Errorf("%q is %v", name, names.All[name])
			}
			if i > 0 && (english.MatchString(fr) || english.MatchString(ja) || fr == name || ja == name) {
				t.Errorf("%q is English in %q or %q", name, fr, ja)
			}
			if torn.MatchString(fr) || strings.ContainsAny(ja, ",;:()'") {
				t.Errorf("punctuation of another language in %q or %q", fr, ja)
			}
		}
	}
	for name := range names.All {
		if !used[name] {
			t.Errorf("nothing is called %q", name)
		}
	}
}

func TestWhatSomebodyNamedStaysAsItIs(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"fr", "Our own thing"}: "Our own thing", {"en", "Virtual machines"}: "Virtual machines",
		{"fr", "Virtual machines"}: "Machines virtuelles", {"de", "Virtual machines"}: "Virtual machines",
		{"ja", "Memory dump of a running machine"}: "実行中のマシンのメモリ ダンプ",
	} {
		if got := names.In(in[0], in[1]); got != want {
			t.Errorf("%v is %q, want %q", in, got, want)
		}
	}
}
