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

func (p pages) switchLockbox(v *site.Visit) error {
	f := form.Sent(v.R)
	c := change{
		Visit: v, form: f, then: v.Path(root), again: p.lockbox,
		fields: map[string]form.Field{"disable_lockbox.reason": {Name: "reason", Label: "administration.reason"}},
	}
	switch f.Value("do") {
	case "on":
		c.command = &lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
	case "off":
		c.command = &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: f.Value("reason")}}}
	default:
		return unknown()
	}
	return c.onWhatWasSeen()
}
