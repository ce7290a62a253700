package administration_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
)

// signIns is the bank with these sign-ins on record.
func signIns(b *bank, who ...*lockboxv1.AccessPerson) *bank {
	b.Queries["list_access"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		list := new(lockboxv1.AccessList)
		for _, p := range who {
			list.Records = append(list.Records, &lockboxv1.AccessRecord{Kind: q.GetListAccess().GetKinds()[0], Who: p})
		}
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Access{Access: list}}, nil
	}
	return b
}

// R19: a role is given to one of those who have signed in or hold a role, and nobody has to know anybody's ID.
func TestR19ARoleIsGivenToSomebodyWhoIsKnown(t *testing.T) {
	customer := lockboxv1.Side_SIDE_TENANT
	b := signIns(administrator(), &lockboxv1.AccessPerson{Issuer: issuer, Subject: "nina", Name: "Nina Novak",
		Side: customer},
		&lockboxv1.AccessPerson{Issuer: "https://elsewhere.example", Subject: "eve", Name: "Eve", Side: customer},
		&lockboxv1.AccessPerson{Issuer: issuer, Subject: "olga", Name: "Olga", Side: lockboxv1.Side_SIDE_PROVIDER})
	b.does(99)
	b.tenant.Subscriptions[1].Assignments[0].NeverSignedIn = true
	h := served(t, b)
	page := get(t, h, "/roles/assign", http.StatusOK)
	holds(t, page, `<option value="nina">Nina Novak (nina)</option>`, "Fleur Lefèvre (fleur@meadowbank.example)",
		"Otto Owens (otto@meadowbank.example) · Has never signed in", `href="/t/meadowbank/administration/roles/invite"`)
	lacks(t, page, ">Eve ", ">Olga")
	for name, row := range map[string]struct {
		pairs  []string
		want   *lockboxv1.Person
		status int
	}{
		"who holds a role": {[]string{"person", "fleur"}, fleur, http.StatusSeeOther},
		"who signed in": {[]string{"person", "nina", "email", "nina@meadowbank.example", "language", "ja"},
			person("nina", "Nina Novak", "ja"), http.StatusSeeOther},
		"nobody":          {nil, nil, http.StatusBadRequest},
		"two at once":     {[]string{"person", "fleur", "subject", "nina"}, nil, http.StatusBadRequest},
		"not on the list": {[]string{"person", "eve"}, nil, http.StatusBadRequest},
	} {
		b.Done = nil
		values := filled(t, page, "/roles/assign", "", append([]string{"role", "ROLE_AUDITOR"}, row.pairs...)...)
		w := sitetest.Post(h, base+"/roles/assign", values)
		if w.Code != row.status || len(b.Done) > 0 != (row.want != nil) {
			t.Errorf("%s: %d, %d commands", name, w.Code, len(b.Done))
		} else if row.want != nil && !proto.Equal(b.Done[0].GetAssignRole().GetAssignment().GetPerson(), row.want) {
			t.Errorf("%s: gave it to %v", name, b.Done[0].GetAssignRole().GetAssignment().GetPerson())
		}
	}
	b.Queries["list_access"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.Unavailable("", "I11", "no answer")
	}
	if w := sitetest.Post(h, base+"/roles/assign", url.Values{"person": {"fleur"}}); w.Code < http.StatusBadRequest {
		t.Errorf("nobody knows who signed in: %d", w.Code)
	}
}

// R23: that nobody can decide is said in red before a request comes, where roles are and on the first page.
func TestR23AScopeWhereNobodyIsActiveIsSaid(t *testing.T) {
	b := administrator()
	page := get(t, served(t, b), "", http.StatusOK)
	if strings.Count(page, "Nobody active can decide here") != 1 { // the archive has no roles
		t.Errorf("of the organisation and two subscriptions, %d lack deciders", strings.Count(page, "Nobody active"))
	}
	holds(t, get(t, served(t, b), "/subscriptions/meadow-archive", http.StatusOK), `class="note danger" role="alert"`,
		"Requests go to the fallback")
	lacks(t, get(t, served(t, b), "/subscriptions/meadow-production", http.StatusOK), "Nobody active")
	b.preview.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
	holds(t, get(t, served(t, b), "/subscriptions/meadow-archive", http.StatusOK), "A request would wait until it expires")
	b.tenant.Assignments = b.tenant.GetAssignments()[1:] // an auditor alone
	if page = get(t, served(t, b), "", http.StatusOK); strings.Count(page, "Nobody active can decide here") != 2 {
		t.Error("an auditor decides for the organisation")
	}
	b.tenant.Partial = true
	lacks(t, get(t, served(t, b), "", http.StatusOK), "Nobody active")
}
