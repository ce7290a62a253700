package foreign_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/foreign"
)

func TestNoMailClientMakesALinkOfWhatPeopleWrite(t *testing.T) {
	for s, want := range map[string]string{
		"see https://elsewhere.example/x?y=z.": "see https[:]//elsewhere[.]example/x?y=z.",
		"HTTPS://Elsewhere.Example":            "HTTPS[:]//Elsewhere[.]Example",
		"www.elsewhere.example/x":              "www[.]elsewhere[.]example/x",
		"www.1x.7":                             "www[.]1x.7",
		"elsewhere.example":                    "elsewhere[.]example",
		"(elsewhere.example)":                  "(elsewhere[.]example)",
		"a.b.elsewhere.example:8443/x":         "a.b[.]elsewhere[.]example:8443/x",
		"mallory@elsewhere.example":            "mallory[@]elsewhere[.]example",
		"mailto:mallory@elsewhere.example":     "mailto[:]mallory[@]elsewhere[.]example",
		"tel:+4912345":                         "tel[:]+4912345",
		"ms-word:ofe|u|x":                      "ms-word[:]ofe|u|x",
		"ftp://x, ldap://x, x://y":             "ftp[:]//x, ldap[:]//x, x[:]//y",
		`\\elsewhere\share`:                    `[\]\elsewhere\share`,
		"例え.テスト と xn--r8jz45g.xn--zckzah":      "例え[.]テスト と xn--r8jz45g[.]xn--zckzah",
		"elsewhere．example":                    "elsewhere[．]example",
		"elsewhere｡example":                    "elsewhere[｡]example",
		"e\u0301.example, 💩.example":           "e\u0301[.]example, 💩[.]example",
		"done.The rest follows":                "done[.]The rest follows",
		"https:////elsewhere.example":          "https[:]////elsewhere[.]example",
		"https[:]//elsewhere[.]example":        "https[:]//elsewhere[.]example",
		// What is no link stays as it is.
		"It failed. We need a dump, e.g. of pay-db-01 at 12:30; it took 1.25 s.": "",
		"/subscriptions/pay-prod/virtualMachines/pay-db-01, ~/.config":           "",
		"version 1.2.3 (10.0.0.1), U.S., a: b, note: see above, 3 @ 4, @otto…":   "",
		"停止しました。確認してください。":                                                       "",
		"Il s’est arrêté : voir ci-dessous…":                                     "",
	} {
		if want == "" {
			want = s
		}
		if got := foreign.Unlink(s); got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
		if again := foreign.Unlink(want); again != want {
			t.Errorf("%q became %q when it was done again", want, again)
		}
	}
}

// What steers how a text is displayed is not there any more, and whatever is too long is cut.
func TestNothingSteers(t *testing.T) {
	for s, want := range map[string]string{
		"Otto\r\nBcc: x": "OttoBcc: x", "a\u202eb\u200bc": "abc", "\x1b[2Jx": "[2Jx", "x \xff": "x �",
	} {
		if got := foreign.Line(s); got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
	}
	if got := foreign.Text("one\r\ntwo  \n\nthree", 9); got != "one\ntwo\n\n…" {
		t.Errorf("%q", got)
	}
}
