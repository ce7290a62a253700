package words

import (
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	textlanguage "golang.org/x/text/language"
	printer "golang.org/x/text/message"
)

// english is the language in which services speak.
const english = "en"

// Refusal returns what the reader is told of a refusal: words of their language, chosen by its reason, or else by its
// code and kind, or code, rule and field, with what it names. Of one of a later version, which has none here, readers
// of English are told what the service said (Recorded), and others what its code means.
func (s *Speaker) Refusal(r *lockboxv1.Refusal) reason.Text {
	if why := reason.Show(s.Language, r.GetCodedReason(), r.GetMessage()); !why.Recorded {
		return why
	}
	if s.Language == english && r.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED {
		return reason.Text{Text: r.GetMessage(), Recorded: true} // the provider's own words
	}
	named, kind := s.named(r.GetCodedReason())
	ids := RefusalIDs(r.GetCode(), kind, r.GetRule(), r.GetField())
	if s.Language == english && r.GetMessage() != "" {
		ids = ids[:len(ids)-1]
	}
	for _, id := range ids {
		if text, err := s.Say(id, named...); err == nil {
			return reason.Text{Text: text}
		}
	}
	return reason.Text{Text: r.GetMessage(), Recorded: true}
}

// RefusalIDs returns the messages that may say a refusal, the best first and the one for its code last.
func RefusalIDs(code lockboxv1.RefusalCode, kind, rule, field string) (ids []string) {
	name := strings.TrimPrefix(code.String(), "REFUSAL_CODE_")
	of := "refusal." + strings.ToLower(strings.ReplaceAll(name, "_", ""))
	if kind != "" {
		ids = append(ids, of+"."+kind)
	}
	rule = of + "." + strings.ToLower(strings.ReplaceAll(rule, " ", "-"))
	return append(ids, rule+"."+field[strings.LastIndex(field, ".")+1:], rule, of)
}

// named returns what a refusal names, as placeholders and values in the reader's language, and its kind.
func (s *Speaker) named(r *lockboxv1.Reason) (pairs []any, kind string) {
	for _, p := range r.GetParameters() {
		name, value := p.GetName(), any(p.GetValue())
		switch at, notTime := time.Parse(time.RFC3339, p.GetValue()); {
		case name == "":
			continue
		case name == refusal.Kind:
			kind = p.GetValue()
			continue
		case name == "rule" && kind == "signature":
			value = s.broken(approval.Rule(p.GetValue()))
		case name == "service":
			value = names.In(s.Language, p.GetValue())
		case name == "at" && notTime == nil:
			value = s.Instant(at)
		case name == "within", name == "shortest", name == "longest":
			if d, err := time.ParseDuration(p.GetValue()); err == nil {
				value = s.Duration(d)
			}
		case name == "most", name == "least", name == "count", name == "length":
			if n, err := strconv.Atoi(p.GetValue()); err == nil {
				value = printer.NewPrinter(textlanguage.Make(s.Language)).Sprint(n)
			}
		}
		pairs = append(pairs, strings.ToUpper(name[:1])+name[1:], value)
	}
	return pairs, kind
}

// sameRule are the rules of signatures that mean the same to their reader as another one.
var sameRule = map[approval.Rule]approval.Rule{
	approval.RuleValue: approval.RuleForm, approval.RuleKey: approval.RuleForm,
	approval.RuleAlgorithm: approval.RuleSignature, approval.RuleType: approval.RuleSignature,
	approval.RuleChallenge: approval.RuleSignature, approval.RuleFlags: approval.RuleSignature,
	approval.RuleNamespace: approval.RuleSignature, approval.RuleReserved: approval.RuleSignature,
	approval.RuleHash: approval.RuleSignature, approval.RuleCrossOrigin: approval.RuleOrigin,
	approval.RuleRelyingParty: approval.RuleOrigin, approval.RulePresence: approval.RuleVerification,
	approval.RulePin: approval.RuleGenesis, approval.RuleAsOf: approval.RuleProof,
}

// broken says which rule a signature breaks.
func (s *Speaker) broken(rule approval.Rule) string {
	if same, is := sameRule[rule]; is {
		rule = same
	}
	text, err := s.Say("signing.rule." + string(rule))
	if err != nil {
		return string(rule) // of a later version
	}
	return text
}
