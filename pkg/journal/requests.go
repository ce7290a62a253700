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
	entries, err := j.lastOf(ctx, []string{filter})
	if err != nil {
		return nil, fmt.Errorf("tenants of request %s: %w", id, err)
	}
	tenants := make([]string, len(entries))
	for i, e := range entries {
		tenants[i] = e.Event.GetTenant()
	}
	return tenants, nil
}
