// Package reason says why a service of Lockbox decided something by itself: as a code with parameters in the event, and as a
// sentence wherever somebody reads it, in their language. It is pure.
package reason

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// languages have a sentence for every code, by its name, but for RULE_MATCHED, whose words are the rule's own. Each stands
// by itself, beside the request or the role assignment that it is about.
var languages = map[string]map[string]string{"en": english, "fr": french, "ja": japanese}

// Of makes a reason of a code and pairs of the names and values of its parameters. A parameter without a value is left out.
func Of(code lockboxv1.ReasonCode, pairs ...string) *lockboxv1.Reason {
	r := &lockboxv1.Reason{Code: code}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			r.Parameters = append(r.Parameters, &lockboxv1.ReasonParameter{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return r
}

// Sentence says a reason in a language, by its BCP 47 tag; in English if Lockbox does not speak it. It is empty if the
// reason has no sentence of ours: it is absent, a rule's own, or of a later version.
func Sentence(language string, r *lockboxv1.Reason) string {
	sentences, known := languages[language]
	if !known {
		sentences = english
	}
	sentence := sentences[strings.TrimPrefix(r.GetCode().String(), "REASON_CODE_")]
	if sentence == "" {
		return ""
	}
	// Split first: what a value holds is never taken for a placeholder.
	var said strings.Builder
	for rest := sentence; ; {
		before, after, found := strings.Cut(rest, "{")
		said.WriteString(before)
		if !found {
			return strings.TrimSpace(said.String())
		}
		var name string
		name, rest, _ = strings.Cut(after, "}")
		for _, p := range r.GetParameters() {
			if p.GetName() == name {
				said.WriteString(p.GetValue())
			}
		}
	}
}

// Text is a reason as it is shown.
type Text struct {
	Text string
	// Recorded: it is the sentence as it was recorded, which is not translated. Those of Lockbox itself are in English.
	Recorded bool
}

// Show says a reason in a language, or falls back to the sentence that was recorded with it.
func Show(language string, r *lockboxv1.Reason, recorded string) Text {
	if s := Sentence(language, r); s != "" {
		return Text{Text: s}
	}
	return Text{Text: recorded, Recorded: true}
}

// ShowAll says several reasons: those that an evaluation records as sentences and, one for each, as codes.
func ShowAll(language string, codes []*lockboxv1.Reason, recorded []string) []Text {
	list := make([]Text, len(recorded))
	for i, sentence := range recorded {
		var code *lockboxv1.Reason
		if i < len(codes) {
			code = codes[i]
		}
		list[i] = Show(language, code, sentence)
	}
	return list
}
