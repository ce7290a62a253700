package mail

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

var (
	// wordsOfEnglish are such as no sentence does without, and that neither French nor Japanese has.
	wordsOfEnglish = regexp.MustCompile(`(?i)\b(the|of|and|with|was|were|is|are|has|have|had|you|your|this|that|` +
		`from|which|not|been|will|who|when|by|to|until|request|requests|role|roles|approved|denied|view|show|back|` +
		`memory|data|access|customer)\b`)
	// typedWords are what a person types or opens: addresses, and commands of the command line.
	typedWords = regexp.MustCompile(`https?://\S+|\S+@\S+|(?m:^ *lockbox .*$)`)
	tags       = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>`)
)

// Nobody who reads another language is left with a word of English in a mail: what people wrote is Greek here, and the
// rest are Lockbox's own words, with the names of the built-in catalogue and the sentences of the rules that ship.
func TestNoEnglishIsLeftInMailsInOtherLanguages(t *testing.T) {
	each(t, func(t *testing.T, n plan.Notification) {
		if n.Language == "en" {
			return
		}
		n = asGreek(n)
		if n.Template == plan.RequestRefused {
			n.Data.Text = "sign in with multi-factor authentication or an isolated identity"
			n.Data.Why = reason.Of(lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED, "rule", "second-factor")
		}
		mail := render(t, n)
		for part, text := range map[string]string{"subject": decoded(t, mail), "text": mail.plain,
			"HTML": html.UnescapeString(tags.ReplaceAllString(mail.html, " "))} {
			for line := range strings.Lines(typedWords.ReplaceAllString(text, " ")) {
				if word := wordsOfEnglish.FindString(line); word != "" {
					t.Errorf("the %s says %q: %s", part, word, line)
				}
			}
		}
	})
}

// asGreek has all that people write and name in Greek, and asks for something of the built-in catalogue.
func asGreek(n plan.Notification) plan.Notification {
	const greek, service, scenario = "ξδψ", "Virtual machines", "Memory dump of a running machine"
	n = poison(n, greek)
	d := &n.Data
	d.Service, d.Scenario = service, scenario
	d.Provider, d.Note, d.What, d.Description, d.Authority, d.Webhook = greek, greek, greek, greek, greek, greek
	for _, a := range d.Waived.GetAccesses() {
		a.ServiceName, a.ScenarioName, a.Employer = service, scenario, greek
	}
	for i := range n.Held {
		n.Held[i] = asGreek(n.Held[i])
	}
	return n
}
