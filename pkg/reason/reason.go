// Package reason says why a service of Lockbox decided something by itself: as a code with parameters in the event, and
// as a sentence wherever somebody reads it, in their language. It is pure.
package reason

import (
	"embed"
	"strings"

	"github.com/openlockbox/lockbox/pkg/message"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

//go:embed messages/*.yaml
var files embed.FS

// languages have a sentence for every code, by its name, but for RULE_MATCHED, whose words are the rule's own. Each
// stands by itself, beside the request or the role assignment that it is about.
var languages = load()

func load() map[string]*message.Catalogue {
	// Those of tenant.Languages, which stands on this package.
	all, err := message.Load(files, "messages/*.yaml", []string{"en", "fr", "ja"})
	if err != nil {
		panic(err) // they are part of the program
	}
	return all
}

// parameters are the placeholders of sentences, by the names of the parameters that fill them.
var parameters = map[string]string{
	"rule": "Rule", "group": "Group", "resource_type": "ResourceType", "scenario": "Scenario", "service": "Service",
	"migration": "Migration", "answer": "Answer",
}

// Of makes a reason of a code and pairs of the names and values of its parameters. A parameter without a value is left
// out.
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
		sentences = languages["en"]
	}
	values := map[string]string{}
	for _, p := range r.GetParameters() {
		values[p.GetName()] = p.GetValue()
	}
	var pairs []any
	for name, placeholder := range parameters {
		pairs = append(pairs, placeholder, values[name])
	}
	sentence, err := sentences.Say(strings.ToLower(strings.TrimPrefix(r.GetCode().String(), "REASON_CODE_")), pairs...)
	if err != nil {
		return "" // there is no sentence for it
	}
	return strings.TrimSpace(sentence)
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
