package keychain

import (
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Subject is what the log calls a tenant's keys.
func Subject(tenantID string) string { return logged.Subject(tenantID) }

// Verify verifies what witnesses saw of a tenant's keys, as [logged.Verify] does.
func Verify(g approval.Genesis, f *lockboxv1.KeysSighted) (seen approval.Sighting, version uint64, err error) {
	return logged.Verify(g, f)
}
