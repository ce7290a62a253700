package journal

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/bus"
)

// TenantsOfRequest names the tenants that have a request under this id: none or one, unless something went wrong. It
// looks at any replica, through the subject index.
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
