// Package reason explains automatic decisions of Lockbox: as a code with parameters in the event, and as a sentence in
// the reader's language wherever it is shown. It is pure.
package reason

import (
	"embed"
	"regexp"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

//go:embed messages/*.yaml
var files embed.FS

// languages have a sentence for every code, by its name, except RULE_MATCHED, whose text is the rule's own. Each
// sentence is complete in itself and is shown beside the request or role assignment that it is about.
var languages = load()

func load() map[string]*message.Catalogue {
	// The same as tenant.Languages, which cannot be imported: package tenant imports this one.
	all, err := message.Load(files, "messages/*.yaml", []string{"en", "fr", "ja"})
	if err != nil {
		panic(err) // they are part of the program
	}
	return all
}

// parameters maps the names of parameters to the placeholders they fill.
var parameters = map[string]string{
	"rule": "Rule", "group": "Group", "resource_type": "ResourceType", "scenario": "Scenario", "service": "Service",
	"migration": "Migration", "answer": "Answer", "resource": "Resource", "pattern": "Pattern",
	"most": "Most", "least": "Least", "claim": "Claim", "by": "By", "audience": "Audience", "key": "Key", "part": "Part",
	"says": "Says", "bits": "Bits", "at": "At",
}

// Of returns a reason with a code and parameters, given as pairs of names and values. Parameters with an empty value
// are omitted.
func Of(code lockboxv1.ReasonCode, pairs ...string) *lockboxv1.Reason {
	r := &lockboxv1.Reason{Code: code}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			r.Parameters = append(r.Parameters, &lockboxv1.ReasonParameter{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return r
}

// Sentence returns a reason as a sentence in a language, given by its BCP 47 tag; in English if the language is not
// supported. It is empty if the reason has no catalogue sentence: it is absent, a rule's own, or of a later version.
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
	for _, name := range []string{"service", "migration"} {
		values[name] = names.In(language, values[name])
	}
	if at, err := time.Parse(time.RFC3339, values["at"]); err == nil {
		values["at"] = timetext.Instant(language, at)
	}
	for name, placeholder := range parameters {
		pairs = append(pairs, placeholder, values[name])
	}
	sentence, err := sentences.Say(strings.ToLower(strings.TrimPrefix(r.GetCode().String(), "REASON_CODE_")), pairs...)
	if err != nil {
		return "" // the catalogue has no sentence for it
	}
	return strings.TrimSpace(sentence)
}

// citation is how recorded sentences name the rules on which they rest, whose numbers say nothing to people.
var citation = regexp.MustCompile(` \([RI][0-9]+(?:, [RI][0-9]+)*\)`)

// Text is a reason for display.
type Text struct {
	Text string
	// Recorded means that it is the recorded sentence, untranslated, without the numbers of rules that older versions
	// recorded in it. Lockbox records its own sentences in English.
	Recorded bool
}

// Show returns a reason in a language, or the sentence that was recorded with it if there is no translation.
func Show(language string, r *lockboxv1.Reason, recorded string) Text {
	if s := Sentence(language, r); s != "" {
		return Text{Text: s}
	}
	if s := shipped(language, r, recorded); s != "" {
		return Text{Text: s}
	}
	return Text{Text: citation.ReplaceAllString(recorded, ""), Recorded: true}
}

// shipped returns what a rule says that ships with Lockbox. Rules are the provider's own texts: only where one was
// recorded just as it ships, it has translations, one for its reason and one for what the engineer is told.
func shipped(language string, r *lockboxv1.Reason, recorded string) string {
	if r.GetCode() != lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED || len(r.GetParameters()) != 1 {
		return ""
	}
	id := "rule/" + r.GetParameters()[0].GetValue()
	for _, id := range []string{id, id + "/message"} {
		if text, err := languages["en"].Say(id); err == nil && text == recorded {
			in, known := languages[language]
			if !known {
				in = languages["en"]
			}
			if text, err = in.Say(id); err == nil {
				return text
			}
		}
	}
	return ""
}

// ShowAll is Show for several reasons, which an evaluation records as sentences and, in the same order, as codes.
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
