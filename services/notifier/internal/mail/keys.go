package mail

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// ofKeys reports whether a mail is about the keys with which decisions are signed.
func ofKeys(t plan.Template) bool {
	return t == plan.KeyOffered || t == plan.KeyChangeOffered || t == plan.KeyChainBegan || t == plan.KeyChainChanged ||
		t == plan.SignatureRefused
}

// keysBody ends the id of the message that says what happened to keys, by what it takes to stop it.
func (w *writer) keysBody() string {
	k := w.n.Data.Keys
	switch {
	case w.n.Template == plan.SignatureRefused && len(w.n.Data.Refused.GetStatementSha256()) == 0:
		return "/unsigned"
	case k == nil:
	case w.n.Template == plan.KeyChangeOffered && k.Change == "":
		return "/genesis"
	case w.n.Template != plan.KeyChainChanged || k.From.IsZero():
	case k.Less:
		return "/less"
	case k.Change == approval.ReplaceRecovery:
		return "/recovery"
	default:
		return "/waits"
	}
	return ""
}

// keyFacts are the rows about keys.
func (w *writer) keyFacts(label string) []string {
	k := w.n.Data.Keys
	if k == nil {
		return nil
	}
	switch label {
	case "label/change":
		if k.Change != "" {
			return some(w.text("change/" + k.Change))
		}
	case "label/keys":
		var list []string
		for _, key := range k.Keys {
			if list = append(list, w.key(key)); key.Holder != "" {
				list[len(list)-1] = w.with("value/person", "Person", list[len(list)-1], "Organisation", line(key.Holder))
			}
		}
		return w.most(list, func(s string) string { return s })
	case "label/demand":
		if k.Demand != "" {
			return some(w.text("demand/" + string(k.Demand)))
		}
	case "label/counts":
		switch {
		case !k.From.IsZero():
			return some(w.with("value/counts-from", "When", w.at(k.From)))
		case w.n.Template == plan.KeyChainChanged:
			return some(w.text("value/counts-at-once"))
		}
	case "label/words":
		return some(line(k.Words))
	case "label/fingerprint":
		return some(line(k.Fingerprint))
	}
	return nil
}

// attempt says what was tried.
func (w *writer) attempt() []string {
	f := w.n.Data.Refused
	if f == nil {
		return nil
	}
	id := "attempt/" + strings.ReplaceAll(f.GetVerb(), "_", "-")
	if !w.said.Has(id) {
		id = "attempt/other"
	}
	return some(w.text(id))
}

// key is what a key is called, by its holder and by its kind.
func (w *writer) key(k plan.Key) string {
	kind := "key/browser"
	if k.SSH {
		kind = "key/ssh"
	}
	if label := line(k.Label); label != "" {
		return w.with("value/key", "Label", label, "Kind", w.text(kind))
	}
	return w.text(kind)
}

// signing says with what a decision was signed; nothing of customers who have no keys.
func (w *writer) signing(s *plan.Signing) string {
	switch {
	case s == nil:
		return ""
	case s.Broken:
		return w.text("value/signature-broken")
	case s.Words == "":
		return w.text("value/not-signed")
	}
	return w.with("value/signed", "Key", w.key(s.Key), "Words", line(s.Words))
}
