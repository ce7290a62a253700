package portal_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

// Grace assigns a role to a group, by a page that says what that means; Audrey, whose sign-in names the group,
// activates it on her phone, is asked, and approves; Eli, whose sign-in does not, is offered nothing (R67).
func TestAGroupsRoleIsActivatedInTheBrowser(t *testing.T) {
	t.Parallel()
	w := visit(t)
	production := w.info.PortalURL + "/t/" + bank + "/administration/subscriptions/" + demo.BankProduction
	grace := w.browser(desktop)
	grace.visit(production)
	grace.signIn("grace")
	grace.press(`a[href$="/assign?to=group"]`)
	grace.reads("Only those who have activated it are asked to approve")
	grace.accessible()
	grace.picture("groups-1-assign")
	grace.do(chromedp.Click(chromedp.CSS(`input[value="ROLE_LOCKBOX_APPROVER"]`)))
	grace.choose("#group", devissuer.OnCall)
	grace.press("form.card button.main")
	grace.reads("Only for members who have activated it")
	grace.accessible()
	grace.picture("groups-2-roles")

	eli := w.browser(phone)
	eli.visit(production)
	eli.signIn("eli")
	if eli.has(`input[name="assignment"][value^="0"]`) {
		t.Error("a role of a group that he is not in is offered to him")
	}
	audrey := w.browser(phone)
	audrey.visit(production)
	audrey.signIn("audrey")
	audrey.accessible()
	audrey.picture("groups-3-activate")
	audrey.press("td.do form button.main")
	audrey.reads("Through the group " + devissuer.OnCall)
	audrey.accessible()
	audrey.picture("groups-4-active")
	id := w.requested("erin", intent(), request.CustomerNotified)
	w.does("audrey", &lockboxv1.Command{Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{Reason: "Go ahead."}}})
	w.reaches(bank, id, request.Active)

	grace.visit(production)
	grace.picture("groups-5-held")
	grace.visit(w.info.PortalURL + "/t/" + bank + "/administration/sign-in")
	grace.reads("Groups that count")
	grace.accessible()
	grace.picture("groups-6-sign-in")
	grace.visit(production)
	grace.press(`a[href*="/remove/0"]`) // the group's assignment has the command's id
	grace.reads("nobody can activate this role through the group")
	grace.accessible()
	grace.picture("groups-7-remove")
	grace.press("form button.bad")
	audrey.visit(production)
	if audrey.has("td.do form") {
		t.Error("what was removed can be activated")
	}
	for _, b := range []*tab{grace, eli, audrey} {
		b.quiet()
	}
}
