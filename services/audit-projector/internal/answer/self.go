package answer

import (
	"context"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/view"
)

// getSelf returns the caller's own identity. The tenant in the query matters only for the customer's people.
func (v *viewer) getSelf(ctx context.Context) (*lockboxv1.SelfView, error) {
	self := &lockboxv1.SelfView{Actor: v.by}
	var issuers []*lockboxv1.TenantIssuer
	if v.by.GetSide() != lockboxv1.Side_SIDE_PROVIDER {
		self, issuers = view.Self(v.customer, v.by, v.now), v.customer.Tenant.Issuers()
	}
	if self.GetFirstSignIn() != "" {
		acted, err := v.Acted(ctx, v.customer.Tenant.ID, v.by.GetPerson())
		if err != nil {
			return nil, err
		}
		if acted {
			self.FirstSignIn = ""
		}
	}
	readings, err := v.verifier.Explain(v.token, issuers, v.now)
	if err != nil {
		return nil, err
	}
	for _, r := range readings {
		self.Claims = append(self.Claims, &lockboxv1.ClaimReading{
			Fact: r.Fact, Claim: r.Claim, Says: r.Says, CountsAs: r.CountsAs, Needs: r.Needs,
		})
	}
	return self, nil
}

// listServices returns the catalogue in force to any caller: it is the provider's own, and the same for all.
func (v *viewer) listServices() (*lockboxv1.ServiceList, error) {
	c, err := v.catalogue.After(v.Catalogue())
	if err != nil {
		return nil, err
	}
	return view.Services(c), nil
}
