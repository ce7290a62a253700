package administration

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// lockbox is the page on which Lockbox is switched on and off: it says what that means (R1, R2).
func (p pages) lockbox(v *site.Visit, f *form.Form) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	title := "administration.switch-on"
	if l.Tenant.GetLockboxEnabled() {
		title = "administration.switch-off"
	}
	return p.show(l, "lockbox", title, l)
}

func (p pages) switchOn(v *site.Visit) error {
	return change{
		Visit: v, form: form.Sent(v.R), then: v.Path(root), again: p.lockbox,
		command: &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}},
	}.onWhatWasSeen()
}

func (p pages) switchOff(v *site.Visit) error {
	f := form.Sent(v.R)
	return change{
		Visit: v, form: f, then: v.Path(root), again: p.lockbox,
		command: &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{DisableLockbox: &lockboxv1.DisableLockbox{Reason: f.Value("reason")}}},
		fields:  map[string]form.Field{"disable_lockbox.reason": {Name: "reason", Label: "administration.reason"}},
	}.onWhatWasSeen()
}
