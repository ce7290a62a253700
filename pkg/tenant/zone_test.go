package tenant_test

import (
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func inZone(name string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
		Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en", TimeZone: name}}}}
}

func TestR60AnOrganisationChoosesATimeZoneThatThereIs(t *testing.T) {
	const field = "change_settings.settings.time_zone"
	for _, name := range []string{"Local", "Europe", "europe/paris", "Mars/Olympus", "../etc/passwd", "Europe/Paris\n"} {
		contoso(t, premier).play(t, row{1, gina, inZone(name), no(invalid, field, "R60")})
	}
	contoso(t, premier).play(t,
		row{1, gina, inZone("Europe/Paris"), yes},
		row{2, gina, inZone("UTC"), yes},
		row{3, gina, inZone(""), yes},
	)
}
