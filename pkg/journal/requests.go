package journal

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/bus"
)

// TenantsOfRequest returns the tenants that have a request with this id: at most one, unless something went wrong. It
// reads the subject index of any replica.
func (j *Journal) TenantsOfRequest(ctx context.Context, id string) ([]string, error) {
	filter, err := bus.RequestInAnyTenant(id)
	if err != nil {
		return nil, err
	}
	found, err := j.find(ctx, []string{filter})
	if err != nil {
		return nil, fmt.Errorf("tenants of request %s: %w", id, err)
	}
	var tenants []string
	for _, m := range found {
		e, err := newEntry(m.Seq, m.Time, m.Subject, m.Data)
		if isMisfit(err) {
			continue // it is no request, wherever it stands
		}
		if err != nil {
			return nil, fmt.Errorf("tenants of request %s: %w", id, err)
		}
		tenants = append(tenants, e.Event.GetTenant())
	}
	return tenants, nil
}
