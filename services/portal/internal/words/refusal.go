package words

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// english is the language in which services speak.
const english = "en"

// Refusal returns what the reader is told of a refusal: words of their language, chosen by its reason, or else by its
// code, rule and field. Of one that has none of its own, readers of English are told what the service said (Recorded),
// and others what its code means.
func (s *Speaker) Refusal(r *lockboxv1.Refusal) reason.Text {
	if why := reason.Show(s.Language, r.GetCodedReason(), r.GetMessage()); !why.Recorded {
		return why
	}
	name := strings.TrimPrefix(r.GetCode().String(), "REFUSAL_CODE_")
	code := "refusal." + strings.ToLower(strings.ReplaceAll(name, "_", ""))
	rule := code + "." + strings.ToLower(strings.ReplaceAll(r.GetRule(), " ", "-"))
	ids := []string{rule + "." + r.GetField()[strings.LastIndex(r.GetField(), ".")+1:], rule}
	if s.Language != english || r.GetMessage() == "" {
		ids = append(ids, code)
	}
	for _, id := range ids {
		if text, err := s.Say(id); err == nil {
			return reason.Text{Text: text}
		}
	}
	return reason.Text{Text: r.GetMessage(), Recorded: true}
}
