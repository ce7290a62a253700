package identity_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func TestAnIssuerMayNameItsClaimsOtherwise(t *testing.T) {
	w := newWorld(t)
	w.issuer.Claims = identity.Claims{Employer: "company", Groups: "https://nimbus.example/roles", Locale: "lang"}
	token := w.provider.sign(t, erin().with(object{
		"company": "Cirrus Consulting", "https://nimbus.example/roles": []string{"devops-managers"}, "lang": "ja",
	}))
	got, err := verify(t, token, w.issuer, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.GetEmployer() != "Cirrus Consulting" || !cmp.Equal(got.GetGroups(), []string{"devops-managers"}) ||
		got.GetPerson().GetLanguage() != "ja" {
		t.Errorf("%v", got)
	}
	// What the usual claims say counts for nothing then.
	got, err = verify(t, w.provider.sign(t, erin()), w.issuer, now)
	if err != nil || got.GetEmployer() != "" || len(got.GetGroups()) != 0 || got.GetPerson().GetLanguage() != "" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatCountsAsASecondFactor(t *testing.T) {
	const silver, gold = "urn:example:silver", "urn:example:gold"
	for _, c := range []struct {
		name  string
		rule  identity.MultiFactor
		token object
		want  bool
	}{
		{"usual, mfa", identity.MultiFactor{}, object{"amr": []string{"pwd", "mfa"}}, true},
		{"usual, one method as a text", identity.MultiFactor{}, object{"amr": "mfa"}, true},
		{"usual, a class says nothing", identity.MultiFactor{}, object{"amr": nil, "acr": gold}, false},
		{"usual, other methods", identity.MultiFactor{}, object{"amr": []string{"pwd", "otp"}}, false},
		{"usual, no text", identity.MultiFactor{}, object{"amr": []string{""}, "acr": ""}, false},
		{"own methods", identity.MultiFactor{AMR: []string{"hwk", "swk"}}, object{"amr": []string{"hwk"}}, true},
		{"own methods, mfa is none of them", identity.MultiFactor{AMR: []string{"hwk"}}, object{"amr": []string{"mfa"}},
			false},
		{"a class", identity.MultiFactor{ACR: []string{gold}}, object{"amr": nil, "acr": gold}, true},
		{"another class", identity.MultiFactor{ACR: []string{gold}}, object{"amr": nil, "acr": silver}, false},
		{"no class", identity.MultiFactor{ACR: []string{gold}}, object{"amr": nil}, false},
		{"a class, and mfa still counts", identity.MultiFactor{ACR: []string{gold}}, object{"amr": []string{"mfa"}}, true},
		{"classes only", identity.MultiFactor{AMR: []string{}, ACR: []string{gold}}, object{"amr": []string{"mfa"}}, false},
	} {
		w := newWorld(t)
		w.issuer.Claims.MultiFactor = c.rule
		got, err := verify(t, w.provider.sign(t, erin().with(c.token)), w.issuer, now)
		if err != nil || got.GetMultiFactor() != c.want {
			t.Errorf("%s: %v, %v", c.name, got.GetMultiFactor(), err)
		}
	}
}

func TestWhatCountsAsAnIsolatedIdentity(t *testing.T) {
	own := identity.IsolatedClaim{Claim: "account_type", Values: []string{"privileged", "break-glass"}}
	for _, c := range []struct {
		name  string
		rule  identity.IsolatedClaim
		token object
		want  bool
	}{
		{"usual", identity.IsolatedClaim{}, object{"isolated_identity": true}, true},
		{"usual, false", identity.IsolatedClaim{}, object{"isolated_identity": false}, false},
		{"usual, absent", identity.IsolatedClaim{}, nil, false},
		{"another truth value", identity.IsolatedClaim{Claim: "isolated"}, object{"isolated": true}, true},
		{"own, one of them", own, object{"account_type": "break-glass"}, true},
		{"own, in a list", own, object{"account_type": []string{"user", "privileged"}}, true},
		{"own, another", own, object{"account_type": "user"}, false},
		{"own, only nearly", own, object{"account_type": "Privileged"}, false},
		{"own, absent", own, object{"isolated_identity": true}, false},
	} {
		w := newWorld(t)
		w.issuer.Claims.Isolated = c.rule
		got, err := verify(t, w.provider.sign(t, erin().with(c.token)), w.issuer, now)
		if err != nil || got.GetIsolatedIdentity() != c.want {
			t.Errorf("%s: %v, %v", c.name, got.GetIsolatedIdentity(), err)
		}
	}
}

// A claim by which a rule may take rights away, and that has another form than it must have, is no guess at what was
// meant. One that only gives rights gives none then.
func TestClaimsOfAnotherForm(t *testing.T) {
	w := newWorld(t)
	w.issuer.Claims = identity.Claims{
		Employer: "company", Groups: "roles", MultiFactor: identity.MultiFactor{ACR: []string{"gold"}},
		Isolated: identity.IsolatedClaim{Claim: "account_type", Values: []string{"true"}},
	}
	for claim, odd := range map[string][]any{
		"company": {object{"name": "Nimbus"}, []string{"Nimbus", "Cirrus"}, []any{object{}}},
		"roles":   {object{"a": true}, []any{[]string{"support-engineers"}}},
	} {
		for _, says := range odd {
			_, err := verify(t, w.provider.sign(t, erin().with(object{claim: says})), w.issuer, now)
			refused(t, err, "`"+claim+"`")
		}
	}
	for _, c := range []object{
		{"acr": object{"gold": true}}, {"amr": object{"mfa": 1}}, {"amr": []any{[]string{"mfa"}}}, {"locale": object{}},
		{"account_type": object{"true": true}}, {"amr": 1}, {"amr": nil}, {"acr": ""},
	} {
		got, err := verify(t, w.provider.sign(t, erin().with(object{"amr": nil}).with(c)), w.issuer, now)
		if err != nil || got.GetMultiFactor() || got.GetIsolatedIdentity() {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if _, err := verify(t, w.provider.sign(t, erin().with(object{"employer": 7, "other": 1})), w.issuer, now); err != nil {
		t.Errorf("claims that nobody looks at: %v", err)
	}
	_, err := verify(t, w.provider.sign(t, erin().with(object{"company": "\u2067Nimbus"})), w.issuer, now)
	refused(t, err, "`company`")
}

func TestClaimRulesThatCannotBeMeant(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]identity.Claims{
		"a name of two lines": {Employer: "a\nb"}, "a name in look-alike letters": {Groups: "grоups"},
		"a human's claim of two lines": {Human: "a\nb"},
		"an empty method":              {MultiFactor: identity.MultiFactor{AMR: []string{""}}},
		"an empty class":               {MultiFactor: identity.MultiFactor{ACR: []string{"gold", ""}}},
		"an empty value":               {Isolated: identity.IsolatedClaim{Values: []string{""}}},
	} {
		w.issuer.Claims = c
		if _, err := identity.NewVerifier([]identity.Issuer{w.issuer}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What cannot be read as a human's name is nobody's: two such accounts are two people.
func TestAnIssuerMayNameTheClaimOfTheHuman(t *testing.T) {
	w := newWorld(t)
	w.issuer.Claims.Human = "employee_number"
	for _, c := range []struct {
		says any
		want string
	}{
		{"E-4711", "E-4711"}, {strings.Repeat("x", 255), strings.Repeat("x", 255)},
		{nil, ""}, {"", ""}, {4711, "4711"}, {[]string{"E-4711"}, "E-4711"}, {"E\n4711", ""}, {"\u2067E-4711", ""},
		{true, ""}, {object{"a": 1}, ""}, {[]string{"E-1", "E-2"}, ""}, {[]string{}, ""},
		{strings.Repeat("x", 256), ""},
	} {
		got, err := verify(t, w.provider.sign(t, erin().with(object{"employee_number": c.says})), w.issuer, now)
		if err != nil || got.GetPerson().GetHuman() != c.want {
			t.Errorf("%v: %q, %v", c.says, got.GetPerson().GetHuman(), err)
		}
	}
	w.issuer.Claims.Human = ""
	got, err := verify(t, w.provider.sign(t, erin().with(object{"human": "E-4711"})), w.issuer, now)
	if err != nil || got.GetPerson().GetHuman() != "" {
		t.Errorf("not configured: %v, %v", got, err)
	}
}

// A tenant that comes by the claim later does not get what was remembered before.
func TestATenantsIssuerMayNameTheClaimOfTheHuman(t *testing.T) {
	w := newWorld(t)
	token := w.bank.sign(t, grace().with(object{"employee_number": "M-1"}))
	for _, claim := range []string{"", "employee_number", "other"} {
		w.bankIssuer.HumanClaim = claim
		want := map[string]string{"employee_number": "M-1"}[claim]
		got, err := w.verifier.Verify(token, w.bankIssuer, now)
		if err != nil || got.GetPerson().GetHuman() != want {
			t.Errorf("%q: %q, %v", claim, got.GetPerson().GetHuman(), err)
		}
		if err := identity.CheckTenantIssuer(w.bankIssuer, []identity.Issuer{w.issuer}); err != nil {
			t.Error(err)
		}
	}
	w.bankIssuer.HumanClaim = "employee\nnumber"
	r, ok := refusal.As(identity.CheckTenantIssuer(w.bankIssuer, []identity.Issuer{w.issuer}))
	if !ok || r.GetField() != "create_tenant.issuer.human_claim" || r.GetRule() != "R51" {
		t.Errorf("%v", r)
	}
}

// A tenant's issuer says nothing about employers and groups, however its claims are named.
func TestTheUsualClaimsHoldForTenants(t *testing.T) {
	w := newWorld(t)
	got, err := w.verifier.Verify(w.bank.sign(t, grace().with(object{"amr": []string{"mfa"}, "groups": 7})), w.bankIssuer,
		now)
	if err != nil || !got.GetMultiFactor() || got.GetSide() != lockboxv1.Side_SIDE_TENANT || len(got.GetGroups()) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}
