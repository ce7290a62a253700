package tenant

import lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"

// ShownToProvider returns somebody who acted as the provider's engineers see them: of the tenant's own people the name,
// or where the tenant wishes so only the tenant's own (R29). Others stay as they are.
func (s State) ShownToProvider(by *lockboxv1.Actor) *lockboxv1.Actor {
	if by.GetSide() != lockboxv1.Side_SIDE_TENANT {
		return by
	}
	shown := &lockboxv1.Person{DisplayName: by.GetPerson().GetDisplayName(), Erased: by.GetPerson().GetErased()}
	if s.Settings.GetDecidersShown() == lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION {
		shown = &lockboxv1.Person{DisplayName: s.Name}
	}
	return &lockboxv1.Actor{Side: by.GetSide(), Person: shown}
}
