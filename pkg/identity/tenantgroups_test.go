package identity_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

func issuersOf(list ...*lockboxv1.TenantIssuer) []*lockboxv1.TenantIssuer { return list }

// mapping returns the bank's issuer with a map of groups: pairs of the issuer's and the tenant's names.
func (w *world) mapping(claim string, pairs ...string) *lockboxv1.TenantIssuer {
	ti := proto.CloneOf(w.bankIssuer)
	ti.GroupsClaim = claim
	for i := 0; i < len(pairs); i += 2 {
		ti.GroupMap = append(ti.GroupMap, &lockboxv1.MappedGroup{Id: pairs[i], Name: pairs[i+1]})
	}
	return ti
}

// asTenants is the shape's configuration as a tenant's issuer has it.
func (s shape) asTenants(w *world) *lockboxv1.TenantIssuer {
	ti := w.mapping(s.Config.Groups)
	ti.SubjectClaim = s.Config.Subject
	for theirs, ours := range s.Config.GroupMap {
		ti.GroupMap = append(ti.GroupMap, &lockboxv1.MappedGroup{Id: theirs, Name: ours})
	}
	if len(ti.GetGroupMap()) == 0 {
		for _, same := range []string{aggregate.SupportEngineers, aggregate.SupportLeads, aggregate.SecurityOfficers} {
			ti.GroupMap = append(ti.GroupMap, &lockboxv1.MappedGroup{Id: same})
		}
	}
	return ti
}

// A tenant's groups are read as the provider's are, whoever wrote the token; but that they cannot be read, by reference
// or by form, ends no sign-in: it is said to whoever needs a group, with the name of the claim.
func TestR67ATenantsGroupsAsProvidersWriteThem(t *testing.T) {
	unread := 0
	for _, s := range readShapes(t) {
		t.Run(s.Kind, func(t *testing.T) {
			w := newWorld(t)
			ti := s.asTenants(w)
			if err := identity.CheckTenantIssuer(ti, []identity.Issuer{w.issuer}); err != nil {
				t.Fatal(err)
			}
			claims := object{"iss": bankURL, "aud": audience, "exp": now.Add(time.Hour).Unix()}
			for name, v := range s.Claims {
				claims[name] = v
			}
			token := w.bank.sign(t, claims)
			a, err := w.verifier.Verify(token, ti, now)
			aboutGroups := strings.Contains(s.Refused, "group") || strings.Contains(s.Refused, "_claim_names")
			if s.Refused != "" && !aboutGroups && !strings.Contains(s.Refused, "employer") {
				refused(t, err, s.Refused)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			why := w.verifier.GroupsUnread(token, issuersOf(ti), now)
			if aboutGroups {
				unread++
				r, _ := refusal.As(why)
				if a.GetGroups() != nil || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN ||
					r.GetField() != identity.GroupsField || !strings.Contains(r.GetMessage(), "`"+claimOf(ti)+"`") {
					t.Errorf("%v, %v", a.GetGroups(), why)
				}
				return
			}
			if s.Want != nil && !slices.Equal(a.GetGroups(), s.Want.Groups) {
				t.Errorf("groups %q, want %q", a.GetGroups(), s.Want.Groups)
			}
			if len(a.GetGroups()) > 0 && why != nil {
				t.Errorf("they were read, and yet: %v", why)
			}
		})
	}
	if unread < 3 {
		t.Errorf("only %d shapes whose groups cannot be read", unread)
	}
}

func claimOf(ti *lockboxv1.TenantIssuer) string {
	if c := ti.GetGroupsClaim(); c != "" {
		return c
	}
	return "groups"
}

const guid = "7B1C1C5E-6A0C-4F6E-9A55-0D1B7A3F2C11"

// Only mapped groups are kept, by the tenant's names: not one that the issuer calls as the tenant calls another, and
// none where nothing is mapped.
func TestR67OnlyMappedGroupsAreKept(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		says any
		ti   *lockboxv1.TenantIssuer
		want []string
		why  string // of a group that is not there
	}{
		"no map":               {[]string{"approvers"}, w.bankIssuer, nil, "maps no groups"},
		"no claim":             {nil, w.mapping("", "approvers", ""), nil, "it has no `groups`"},
		"no group":             {[]string{}, w.mapping("", "approvers", ""), nil, ""},
		"an object":            {object{"a": 1}, w.mapping("", "approvers", ""), nil, "neither a text nor a list"},
		"the same name":        {[]string{"approvers", "staff"}, w.mapping("", "approvers", ""), []string{"approvers"}, ""},
		"another name":         {guid, w.mapping("", strings.ToLower(guid), "approvers"), []string{"approvers"}, ""},
		"a name that is taken": {[]string{"approvers"}, w.mapping("", guid, "approvers"), nil, ""},
		"another case":         {[]string{"Approvers"}, w.mapping("", "approvers", ""), nil, ""},
		"two that are one":     {[]string{"/a", "/b"}, w.mapping("", "/a", "x", "/b", "x"), []string{"x"}, ""},
		"crosswise":            {[]string{"a"}, w.mapping("", "a", "b", "b", "a"), []string{"b"}, ""},
	} {
		token := w.bank.sign(t, grace().with(object{"groups": c.says}))
		a, err := w.verifier.Verify(token, c.ti, now)
		if err != nil || !slices.Equal(a.GetGroups(), c.want) || a.GetEmployer() != "" {
			t.Errorf("%s: %q of %q, %v", name, a.GetGroups(), a.GetEmployer(), err)
		}
		switch why := w.verifier.GroupsUnread(token, issuersOf(c.ti), now); {
		case c.why == "" && why != nil:
			t.Errorf("%s: %v", name, why)
		case c.why != "":
			if r, _ := refusal.As(why); r.GetField() != identity.GroupsField || !strings.Contains(r.GetMessage(), c.why) {
				t.Errorf("%s: %v", name, why)
			}
		}
	}
}

// What a token was worth under another map, it is not worth under this one.
func TestR67AChangedMapCountsAtOnce(t *testing.T) {
	w := newWorld(t)
	token := w.bank.sign(t, grace().with(object{"groups": []string{"a"}}))
	for _, c := range []struct{ theirs, want string }{{"a", "approvers"}, {"b", ""}, {"a", "approvers"}} {
		a, err := w.verifier.VerifyAny(token, issuersOf(w.mapping("", c.theirs, "approvers")), now)
		if got := strings.Join(a.GetGroups(), " "); err != nil || got != c.want {
			t.Errorf("%q mapped: %q, %v", c.theirs, got, err)
		}
	}
}

func TestR67AMapOfGroupsIsWhole(t *testing.T) {
	w := newWorld(t)
	many := make([]string, 202)
	for i := range many {
		many[i] = strings.Repeat("g", i/2+1)
	}
	for field, ti := range map[string]*lockboxv1.TenantIssuer{
		"groups_claim":   w.mapping("gr\noups"),
		"group_map":      w.mapping("", many...),
		"group_map.id":   w.mapping("", "", "approvers"),
		"group_map.name": w.mapping("", "a", strings.Repeat("n", 121)),
	} {
		if r, _ := refusal.As(identity.CheckTenantIssuer(ti, nil)); r.GetField() != "create_tenant.issuer."+field {
			t.Errorf("%s: %v", field, r)
		}
	}
	for name, ti := range map[string]*lockboxv1.TenantIssuer{
		"twice":                        w.mapping("", guid, "a", strings.ToLower(guid), "b"),
		"a name that nobody can write": w.mapping("", "e\u0301quipe", ""),
	} {
		if identity.CheckTenantIssuer(ti, nil) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestR67WhatATenantsGroupsCountedFor(t *testing.T) {
	w := newWorld(t)
	groups := func(ti *lockboxv1.TenantIssuer, claims object) []identity.Reading {
		t.Helper()
		all, err := w.verifier.Explain(w.bank.sign(t, grace().with(claims)), issuersOf(w.clinicIssuer, ti), now)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(all, func(r identity.Reading) bool { return r.Fact != "groups" })
	}
	for name, c := range map[string]struct {
		got, want []identity.Reading
	}{
		"mapped": {groups(w.mapping("", "/a", "approvers"), object{"groups": []string{"/a", "/b"}}),
			[]identity.Reading{{Fact: "groups", Claim: "groups", Says: "/a, /b", CountsAs: "approvers"}}},
		"others": {groups(w.mapping("roles", "/a", "approvers"), object{"roles": "/b"}),
			[]identity.Reading{{Fact: "groups", Claim: "roles", Says: "/b", Needs: []string{"/a"}}}},
		"by reference": {groups(w.mapping("", "/a", "approvers"), object{"groups": nil, "hasgroups": true}),
			[]identity.Reading{{Fact: "groups", Claim: "groups", Says: "too many to be there, only referred to (hasgroups)",
				Needs: []string{"/a"}}}},
		"no map": {groups(w.bankIssuer, object{"groups": "/b"}),
			[]identity.Reading{{Fact: "groups", Claim: "groups", Says: "/b"}}},
		"nothing": {groups(w.bankIssuer, object{"groups": nil}), []identity.Reading{}},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
