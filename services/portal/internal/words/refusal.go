package words

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/reason"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Refusal returns what the reader is told of a refusal: words of their language, chosen by its reason, or else by its
// code, rule and field. A refusal that has none is said as the service said it, which is in English (Recorded).
func (s *Speaker) Refusal(r *lockboxv1.Refusal) reason.Text {
	if text := reason.Sentence(s.Language, r.GetCodedReason()); text != "" {
		return reason.Text{Text: text}
	}
	general := "refusal." + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(r.GetCode().String(), "REFUSAL_CODE_"),
		"_", "")) + "." + strings.ToLower(strings.ReplaceAll(r.GetRule(), " ", "-"))
	field := r.GetField()[strings.LastIndex(r.GetField(), ".")+1:]
	for _, id := range []string{general + "." + field, general} {
		if text, err := s.Say(id); err == nil {
			return reason.Text{Text: text}
		}
	}
	return reason.Text{Text: r.GetMessage(), Recorded: true}
}
