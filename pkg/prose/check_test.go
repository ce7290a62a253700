package prose_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

func TestTextLooksTheSameToEveryone(t *testing.T) {
	for _, good := range []string{
		"The VM does not boot after the update.", "Zeile 1\nZeile 2\tTab", "ディスクの障害を調査します。",
		"L’hôte ne répond plus, ça presse !", "علی\u200Cرضا ❤\uFE0F", "電源",
		"5 < 6 & “ok” 🙂",
	} {
		if err := prose.Check("justification", good, 3, 4000); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for name, bad := range map[string]string{
		"null": "abc\x00def", "escape": "abc\x1b[31mdef", "carriage return": "abc\r\nBcc: x", "delete": "abc\x7fdef",
		"right-to-left override": "abc\u202edef", "isolate": "abc\u2066def", "left-to-right mark": "abc\u200edef",
		"zero width space":  "abc\u200bdef",
		"zero width joiner": "abc\u200ddef", "byte order mark": "abc\ufeffdef", "line separator": "abc\u2028def",
		"C1 control":  "abc\u0085def",
		"soft hyphen": "abc\u00addef", "private use": "abc\ue000def", "tag": "abc\U000e0041def", "filler": "abc\u3164def",
		"not UTF-8": "abc\xffdef", "empty": "", "blank": "   \n ", "long": strings.Repeat("a", 4001),
	} {
		err := prose.Check("justification", bad, 3, 4000)
		if r, refused := refusal.As(err); !refused || r.GetField() != "justification" || r.GetRule() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if prose.CheckLine("title", "one\ntwo", 1, 80) == nil {
		t.Error("two lines are let through as one")
	}
}
