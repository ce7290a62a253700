package portal_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
)

// mostClicks from the mail to the approval, the mail's link being the first: whoever is asked at night on a phone has
// to be done with three.
const mostClicks = 3

// How far it is from the mail to the approval and to the revocation, for somebody who is signed in already. The clicks
// are promised; how long the machine takes is only told.
func TestTheWayFromTheMailIsShort(t *testing.T) {
	t.Parallel()
	w := visit(t)
	b := w.browser(phone)
	b.visit(w.info.PortalURL + "/t/" + bank)
	b.signIn("otto")
	id := w.requested("erin", intent(), request.CustomerNotified)
	link := w.link(w.mail("otto@meadowbank.example", id))

	b.clicks = 1 // the link
	begun := time.Now()
	b.visit(link)
	b.press(`a.button[href*="/approve/confirm"]`)
	b.press("#decision button.main")
	w.reaches(bank, id, request.Active)
	approved := time.Since(begun)
	if b.clicks > mostClicks {
		t.Errorf("%d clicks from the mail to the approval, more than %d", b.clicks, mostClicks)
	}
	toApprove := b.clicks

	begun = time.Now()
	b.press(`a.button[href$="/revoke"]`)
	b.fill("#reason", "We have seen enough.")
	b.press("#decision button:not([formaction])")
	w.reaches(bank, id, request.Revoked)
	t.Logf("mail to access: %d clicks, %v of the machine; to its revocation: %d more clicks and a reason, %v", toApprove,
		approved.Round(time.Millisecond), b.clicks-toApprove, time.Since(begun).Round(time.Millisecond))
	b.quiet()
}
