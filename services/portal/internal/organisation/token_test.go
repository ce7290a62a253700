package organisation

import "testing"

// Tenants may share an issuer. A token that is for two of them is nobody's, whichever stands first.
func TestATokenIsOfOneOrganisation(t *testing.T) {
	const shared = "https://login.example"
	list := List{
		{Tenant: "meadowbank", Issuer: shared, ClientID: "bank"}, {Tenant: "sakura", Issuer: shared, ClientID: "health"},
		{Issuer: "https://login.nimbus.example", ClientID: "bank"},
	}
	for _, c := range []struct {
		issuer    string
		audiences []string
		want      *Organisation
	}{
		{shared, []string{"bank"}, &list[0]},
		{shared, []string{"other", "health"}, &list[1]},
		{"https://login.nimbus.example", []string{"bank", "health"}, &list[2]},
		{shared, []string{"bank", "health"}, nil},
		{shared, []string{"health", "bank"}, nil},
		{shared + "/", []string{"bank"}, nil},
		{shared, []string{""}, nil},
		{shared, nil, nil},
		{"", []string{"bank"}, nil},
	} {
		if got := list.OfToken(c.issuer, c.audiences); got != c.want {
			t.Errorf("%s %v: %v", c.issuer, c.audiences, got)
		}
	}
}
