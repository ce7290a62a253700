package projection

import (
	"context"
	"slices"

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

// decided are the facts that somebody of a tenant's may have signed about a request.
var decided = typeNumbers([]string{"CustomerApproved", "CustomerDenied", "AccessRevoked"})

// Decided returns the last decisions about requests that one of a tenant's people made, up to that sequence, at most so
// many, the oldest first. Subjects count as they do in Acted.
func (v *Snapshot) Decided(
	ctx context.Context, tenant string, p *lockboxv1.Person, through uint64, most int,
) (list []Event, err error) {
	args := append([]any{activity.Name(p.GetSubject()), p.GetIssuer(), tenant, through}, decided...)
	rows, err := v.query(ctx, `SELECT 0, seq, bytes FROM events INDEXED BY events_by_person JOIN stored USING (seq)
		WHERE person > 0 AND person IN (SELECT id FROM people WHERE subject = ? AND issuer = ?)
		AND tenant = (SELECT id FROM tenants WHERE name = ?) AND seq <= ? AND type IN (`+marks(len(decided))+`)
		ORDER BY seq DESC LIMIT ?`, append(args, most)...)
	if err == nil {
		err = v.events(ctx, rows, func(_ uint64, e Event) { list = append(list, e) })
	}
	slices.Reverse(list)
	return list, v.store.checked(err)
}
