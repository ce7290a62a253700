package prose_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/prose"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// What people paste is taken, and what a reader sees stays as it is.
func TestPastedTextIsTakenAsAReaderSeesIt(t *testing.T) {
	for kind, row := range map[string]struct{ pasted, taken string }{
		"line ends of Windows":              {"one\r\ntwo\r\n", "one\ntwo\n"},
		"line ends of old Macs":             {"one\rtwo", "one\ntwo"},
		"line and paragraph separators":     {"one\u2028two\u2029three\u0085four", "one\ntwo\nthree\nfour"},
		"a form feed":                       {"one\ftwo\vthree", "one\ntwo\nthree"},
		"a byte order mark":                 {"\uFEFFThe machine hangs.", "The machine hangs."},
		"soft hyphens":                      {"Daten\u00ADbank", "Datenbank"},
		"zero-width spaces":                 {"The machine\u200b hangs; a \u2060dump.", "The machine hangs; a dump."},
		"blanks of typesetting":             {"a\u2003b\u2009c\u205Fd\u1680e", "a b c d e"},
		"blanks that do not break":          {"10\u00A0GB, 5\u202F%", "10\u00A0GB, 5\u202F%"},
		"a wide blank":                      {"東京\u3000支店", "東京\u3000支店"},
		"a heart as emoji":                  {"hangs ❤\uFE0F please", "hangs ❤\uFE0F please"},
		"a heart as text":                   {"❤\uFE0E", "❤\uFE0E"},
		"a keycap":                          {"1\uFE0F\u20E3", "1\uFE0F\u20E3"},
		"two selectors":                     {"❤\uFE0F\uFE0F", "❤\uFE0F"},
		"a selector after a letter":         {"a\uFE0Fb", "ab"},
		"a selector at the beginning":       {"\uFE0Fab", "ab"},
		"a variant of an ideograph":         {"葛\U000E0100城市", "葛\U000E0100城市"},
		"a variant of a letter":             {"x\U000E0100y", "xy"},
		"a variant of an operator":          {"a ∩\uFE00 b", "a ∩\uFE00 b"},
		"a family":                          {"👩\u200D👩\u200D👧\u200D👦", "👩\u200D👩\u200D👧\u200D👦"},
		"a doctor with a skin tone":         {"👩🏽\u200D⚕\uFE0F", "👩🏽\u200D⚕\uFE0F"},
		"the rainbow flag":                  {"🏳\uFE0F\u200D🌈", "🏳\uFE0F\u200D🌈"},
		"a flag of a country":               {"🇯🇵", "🇯🇵"},
		"a flag that tags spell":            {"🏴\U000E0067\U000E0062\U000E007F", "🏴"},
		"tags that hide a sentence":         {"ok\U000E0068\U000E0069", "ok"},
		"a joiner between letters":          {"pay\u200Droll", "payroll"},
		"a joiner after an emoji":           {"👩\u200D is here", "👩 is here"},
		"a joiner at the end":               {"👩\u200D", "👩"},
		"Persian":                           {"علی\u200Cرضا می\u200Cرود", "علی\u200Cرضا می\u200Cرود"},
		"Persian with vowels":               {"می\u064E\u200Cر", "می\u064E\u200Cر"},
		"a non-joiner where nothing joins":  {"دا\u200Cد", "داد"},
		"a non-joiner between Latin":        {"shelf\u200Cful", "shelfful"},
		"Hindi, half a letter":              {"क्\u200Dष", "क्\u200Dष"},
		"Hindi, a visible virama":           {"क्\u200Cष", "क्\u200Cष"},
		"Sinhala":                           {"ශ්\u200Dරී", "ශ්\u200Dරී"},
		"marks of direction":                {"\u200Fאב\u200E (1)\u061C", "אב (1)"},
		"an override of direction":          {"abc\u202Egnp.exe\u202C", "abcgnp.exe"},
		"isolates":                          {"\u2068name\u2069", "name"},
		"decomposed letters":                {"e\u0301te\u0301, u\u0308ber", "été, über"},
		"an accent behind a soft hyphen":    {"e\u00AD\u0301", "é"},
		"Hangul letter by letter":           {"\u1112\u1161\u11AB", "한"},
		"blank Hangul":                      {"a\u3164b\uFFA0", "ab"},
		"colours of a terminal":             {"\x1b[1;31mERROR\x1b[0m disk", "ERROR disk"},
		"control characters":                {"a\x00b\x07c\x7Fd", "abcd"},
		"a tab":                             {"a\tb", "a\tb"},
		"a bullet of a word processor":      {"\uF0B7 reboot", "• reboot"},
		"another private character":         {"a \uE000 b", "a \uFFFD b"},
		"an emoji of a later version":       {"\U0001FAE9 tired", "\U0001FAE9 tired"},
		"Japanese":                          {"電源が落ちました", "電源が落ちました"},
		"half-width katakana with its mark": {"ｶﾞ", "ｶﾞ"},
		"quotes and dashes":                 {"“it’s” — 3–4 … ok", "“it’s” — 3–4 … ok"},
		"nothing":                           {"", ""},
	} {
		if got := prose.Text(row.pasted); got != row.taken {
			t.Errorf("%s: %q became %q, not %q", kind, row.pasted, got, row.taken)
		}
	}
}

// A name or a title is one line, whatever it was copied with.
// A text of nothing but ASCII, which is taken without a closer look, is taken as it is beside another character.
func TestWhatIsPlainIsTakenLikeEverythingElse(t *testing.T) {
	for r := rune(0); r < 0x80; r++ {
		plain := "a " + string(r) + "b"
		if got, beside := prose.Text(plain), prose.Text(plain+"é"); got+"é" != beside {
			t.Errorf("%q alone becomes %q, with é %q", plain, got, beside)
		}
	}
}

func TestALineIsOneLine(t *testing.T) {
	for pasted, taken := range map[string]string{
		"Ada\tLovelace":                  "Ada Lovelace",
		"disk\r\nfull":                   "disk full",
		"one\u2028two":                   "one two",
		"علی\u200Cرضا":                   "علی\u200Cرضا",
		"Grace \u202EHopper":             "Grace Hopper",
		"two \U0001F469\u200D\U0001F4BB": "two \U0001F469\u200D\U0001F4BB",
	} {
		if got := prose.Line(pasted); got != taken {
			t.Errorf("%q became %q", pasted, got)
		}
	}
}

// pasted draws texts of what is hard: joiners, selectors and marks between letters of scripts that treat them
// differently.
var pasted = rapid.Custom(func(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.OneOf(
		rapid.SampledFrom([]string{"a", "e", "\u0301", "\u0308", " ", "\n", "\r\n", "\r", "ی", "ر", "ا", "\u064E", "क",
			"\u094D", "ष", "👩", "❤", "🏽", "\uFE0F", "\uFE0E", "\u200D", "\u200C", "葛", "\U000E0100", "\u202E", "\u200B",
			"\x1b[31m", "\x1b", "[", "m", "1", "\u20E3", "\u1112", "\u1161", "\uE000", "\uF0B7", "\u3164",
			"\uFEFF", "\U000E0041"}),
		rapid.StringN(0, 3, -1)), 0, 20).Draw(t, "parts")
	return strings.Join(parts, "")
})

// Normalizing again changes nothing, so it does not matter through how many hands a text goes; and nothing is left that
// hides.
func TestNormalizingAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := pasted.Draw(t, "pasted")
		for name, normal := range map[string]func(string) string{"text": prose.Text, "line": prose.Line} {
			once := normal(s)
			if again := normal(once); again != once {
				t.Errorf("%s: %q became %q, then %q", name, s, once, again)
			}
			if r, place := prose.Unclean(once); place != 0 {
				t.Errorf("%s: %q became %q, with %U at %d", name, s, once, r, place)
			}
			if !norm.NFC.IsNormalString(once) || name == "line" && strings.ContainsAny(once, "\n\t") {
				t.Errorf("%s: %q became %q", name, s, once)
			}
		}
	})
}

// The place of what hides is counted in characters.
func TestThePlaceOfWhatHidesIsNamed(t *testing.T) {
	for s, want := range map[string]int{"é\u202Eb": 2, "ab": 0, "日本\u200B": 3, "❤\uFE0F": 0, "❤\uFE0F\uFE0F": 3} {
		if _, place := prose.Unclean(s); place != want {
			t.Errorf("%q: %d", s, place)
		}
	}
}

// What a reader sees counts: a sentence of eight ideographs is as long as one of sixteen letters.
func TestLengthIsWhatAReaderSees(t *testing.T) {
	for s, want := range map[string]int{"電源が落ちました": 16, "abc": 3, "ｶﾞ": 2, "Ａ": 2, "❤\uFE0F": 1, "می\u200Cر": 3, "": 0} {
		if got := prose.Length(s); got != want {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\u0301\u200D\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if once := prose.Text(s); prose.Text(once) != once {
			t.Errorf("%q is not normal", once)
		}
	})
}
