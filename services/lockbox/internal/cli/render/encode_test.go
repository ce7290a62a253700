package render

import (
	"encoding/json"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// hostile is text that a terminal, JSON or YAML could stumble over.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", "true", "null", "~", "1.5", "0x10", "2026-01-02", "- a", "a: b", "# c", "{}", "[]", "'", `"`, "\\", "|", ">",
			"&a", "*a", "!t", "%", "@", "`",
			"\x1b[31mred", "\u009b31m", "\u202eabc", "\u2028", "a\nb", " lead", "trail ", "line\n", "\n", "\t", "\u00a0",
			"\U000e0041", "\U000f0000", "日本語", "é", "=", "<<", "no", "y",
			"a\r\nb", "\x7f", "\ufeff", "\ufffd", "---", "...", "? a", ": a", "a #b", "12:30:45",
		}),
		rapid.String(),
	)
}

func TestJSONAndYAMLSayTheSameAsTheMessageAndSteerNoTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := &lockboxv1.AccessIntent{
			Id: hostile().Draw(t, "id"), Justification: hostile().Draw(t, "justification"),
			ResourceIds: rapid.SliceOfN(hostile(), 0, 4).Draw(t, "resources"),
			ReasonType:  lockboxv1.ReasonType_REASON_TYPE_PROVIDER_INITIATED_REVIEW,
		}
		text, err := JSON(in)
		if err != nil {
			t.Fatal(err)
		}
		back := new(lockboxv1.AccessIntent)
		if err := protojson.Unmarshal([]byte(text), back); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if !proto.Equal(in, back) {
			t.Fatalf("JSON changed it: %q", text)
		}
		document, err := YAML(text)
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil {
			t.Fatalf("%v in %q", err, document)
		}
		again, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		back = new(lockboxv1.AccessIntent)
		if err := protojson.Unmarshal(again, back); err != nil {
			t.Fatalf("%v in %q", err, document)
		}
		if !proto.Equal(in, back) {
			t.Fatalf("YAML changed it: %q to %q", in, document)
		}
		for _, out := range []string{text, document} {
			if i := strings.IndexFunc(out, mustEscape); i >= 0 {
				t.Fatalf("a raw %q in %q", out[i:], out)
			}
		}
	})
}

func TestCleanTextSteersNoTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hostile().Draw(t, "text")
		if out := Clean(s); strings.ContainsFunc(out, func(r rune) bool { return !harmless(r) }) {
			t.Fatalf("Clean(%q) is %q", s, out)
		}
		if out := CleanText(s); strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !harmless(r) }) {
			t.Fatalf("CleanText(%q) is %q", s, out)
		}
	})
}
