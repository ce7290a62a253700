package portal_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// inEachLanguage looks at a page until it says something in each language, and none of what it must not say.
func (b *tab) inEachLanguage(address string, says map[string]string, not ...string) {
	b.Helper()
	for _, lang := range []string{"fr", "ja", "en"} {
		b.eventually(lang+": "+says[lang], func() bool {
			b.visit(address + "?lang=" + lang)
			return strings.Contains(b.everything(), says[lang])
		})
		for _, text := range not {
			if strings.Contains(b.everything(), text) {
				b.Errorf("%s: %q is still there:\n%s", lang, text, b.everything())
			}
		}
	}
}

// R63: somebody wrote into a denial what should not be there. The bank's administrator erases it from the request's
// log, and then nobody reads it any more; who denied, and when, is still there.
func TestR63AnAdministratorErasesADenialsReason(t *testing.T) {
	t.Parallel()
	w := visit(t)
	const secret = "The password is hunter2-and-more."
	id := w.requested("erin", intent(), request.CustomerNotified)
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: secret}}})
	w.reaches(bank, id, request.Denied)
	page := w.info.PortalURL + "/t/" + bank + "/requests/" + id
	b := w.browser(phone)
	b.visit(page + "?lang=en")
	b.signIn("grace")
	b.reads(secret)
	b.accessible()
	b.press(`#timeline ~ .history a[href*="/erasures/new"]`)
	b.reads("It cannot be undone.")
	b.reads("stays on record under their ID")
	b.accessible()
	b.picture("en-erase-phone-light")
	b.fill("#reason", "A secret got into it.")
	run(b, chromedpBool(`(document.querySelector("#checked").checked = true)`))
	b.press("main form button.danger")
	b.eventually("it is erased", func() bool {
		b.visit(w.info.PortalURL + "/t/" + bank + "/erasures")
		return strings.Contains(b.text("article.card"), "1 key destroyed")
	})
	b.reads("What Otto Owens wrote")
	b.accessible()
	b.inEachLanguage(page, map[string]string{"en": "[erased]", "fr": "[effacé]", "ja": "［消去済み］"}, "hunter2")
	b.reads("Otto Owens")
	if b.has(`.history a[href*="/erasures/new"]`) {
		t.Error("what is erased is offered to be erased")
	}
	b.accessible()
	b.quiet()

	// Nobody else is offered any of it.
	otto := w.browser(desktop)
	otto.visit(page + "?lang=en")
	otto.signIn("otto")
	otto.reads("[erased]")
	if otto.has(`a[href*="/erasures"]`) {
		t.Error("an owner is offered to erase")
	}
}

// R63: one officer proposes to erase an engineer's name at one customer, and cannot confirm it. A second one does.
func TestR63TwoOfficersEraseAnEngineersName(t *testing.T) {
	t.Parallel()
	w := visit(t)
	id := w.requested("ivan", intent(), request.CustomerNotified)
	asked := w.reaches(bank, id, request.CustomerNotified)
	name, issuer := asked.GetRequester().GetPerson().GetDisplayName(), asked.GetRequester().GetPerson().GetIssuer()
	if name == "" {
		t.Fatal("nobody knows who asks")
	}
	w.does("otto", &lockboxv1.Command{Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Deny{Deny: &lockboxv1.Deny{Reason: "Not now."}}})
	w.reaches(bank, id, request.Denied)
	olga := w.browser(desktop)
	olga.visit(w.info.PortalURL + "/provider/erasures/new?lang=en")
	olga.signIn("olga")
	olga.accessible()
	olga.picture("en-propose-erasure-desktop-light")
	olga.choose("#customer", bank)
	run(olga, chromedpBool(`(document.querySelector("input[name=what][value=person]").checked = true)`))
	olga.fill("#subject", "ivan")
	olga.fill("#issuer", issuer)
	olga.fill("#reason", "Ivan has left.")
	run(olga, chromedpBool(`(document.querySelector("#checked").checked = true)`))
	olga.press("main form button.danger")
	olga.reads("Waits for a second security officer")
	olga.reads(name)
	olga.press(`main a.button[href*="/provider/erasures/0"]`)
	olga.accessible()
	olga.reads("Another security officer has to confirm it.")
	if olga.has(`input[name=do][value=confirm]`) {
		t.Error("who proposed is offered to confirm")
	}
	proposal := olga.at()
	erasure := proposal[strings.LastIndexByte(proposal, '/')+1:]
	confirm := &lockboxv1.Command{Tenant: bank, AggregateId: erasure,
		Action: &lockboxv1.Command_ConfirmErasure{ConfirmErasure: &lockboxv1.ConfirmErasure{}}}
	_, err := w.person("olga").Do(w.Context(), confirm)
	if refusal.Of(err).GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN {
		t.Errorf("one officer alone: %v", err)
	}
	if w.reaches(bank, id, request.Denied).GetRequester().GetPerson().GetDisplayName() != name {
		t.Error("erased by one officer alone")
	}

	rosa := w.browser(phone)
	rosa.visit(proposal + "?lang=en")
	rosa.signIn("rosa-admin")
	rosa.reads("Ivan has left.")
	rosa.accessible()
	rosa.picture("en-confirm-erasure-phone-light")
	run(rosa, chromedpBool(`(document.querySelector("#checked").checked = true)`))
	rosa.press("main form button.danger")
	rosa.eventually("it is erased", func() bool {
		rosa.visit(w.info.PortalURL + "/provider/erasures")
		return strings.Contains(rosa.everything(), "ivan (name erased)")
	})
	if text := rosa.everything(); strings.Contains(text, name) || !strings.Contains(text, "ivan (name erased)") {
		t.Errorf("the list says %s", text)
	}
	otto := w.browser(desktop)
	page := w.info.PortalURL + "/t/" + bank + "/requests/" + id
	otto.visit(page)
	otto.signIn("otto")
	otto.inEachLanguage(page, map[string]string{"en": "ivan (name erased)", "fr": "ivan (nom effacé)",
		"ja": "ivan（氏名は消去済み）"}, name, asked.GetRequester().GetPerson().GetEmail())
	otto.accessible()
	olga.quiet()
	rosa.quiet()
}
