package projection

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/activity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Acted reports whether anything that one of a tenant's people did is recorded, a sign-in included (R66). Subjects that
// differ in case only count as one, as in the filter by person.
func (v *Snapshot) Acted(ctx context.Context, tenant string, p *lockboxv1.Person) (acted bool, err error) {
	err = v.one(ctx, `SELECT EXISTS (SELECT 1 FROM people p CROSS JOIN events e INDEXED BY events_by_person
		ON e.person = p.id AND e.person > 0 AND e.tenant = (SELECT id FROM tenants WHERE name = ?)
		WHERE p.subject = ? AND p.issuer = ?)`,
		[]any{tenant, activity.Name(p.GetSubject()), p.GetIssuer()}, &acted)
	return acted, v.store.checked(err)
}
