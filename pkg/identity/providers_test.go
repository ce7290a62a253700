package identity_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// shape is a token as a provider writes it, and the right answer.
type shape struct {
	Kind   string
	Config struct {
		Subject, Groups, Employer, Human string
		GroupMap                         map[string]string `json:"group_map"`
		AuthTime                         string            `json:"auth_time"`
		FactorClaim                      string            `json:"multi_factor_claim"`
		AMR, ACR                         []string
		Isolated                         struct {
			Claim  string
			Values []string
		}
	}
	Claims  object
	Want    *wanted
	Refused string
}

type wanted struct {
	Subject, Name, Email, Employer, Language, Human string
	Groups                                          []string
	MultiFactor                                     bool `json:"multi_factor"`
	Isolated                                        bool
	AuthTime                                        int64 `json:"auth_time"`
}

func readShapes(t *testing.T) (list []shape) {
	t.Helper()
	b, err := os.ReadFile("testdata/providers.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func (s shape) claims() identity.Claims {
	c := s.Config
	return identity.Claims{
		Subject: c.Subject, Groups: c.Groups, Employer: c.Employer, Human: c.Human, GroupMap: c.GroupMap,
		AuthTime:    c.AuthTime,
		MultiFactor: identity.MultiFactor{Claim: c.FactorClaim, AMR: c.AMR, ACR: c.ACR},
		Isolated:    identity.IsolatedClaim{Claim: c.Isolated.Claim, Values: c.Isolated.Values},
	}
}

func TestR13TokensAsProvidersWriteThem(t *testing.T) {
	w := newWorld(t)
	for _, s := range readShapes(t) {
		t.Run(s.Kind, func(t *testing.T) {
			iss := w.issuer
			iss.Claims = s.claims()
			claims := object{"iss": providerURL, "aud": audience, "exp": now.Add(time.Hour).Unix()}
			for name, v := range s.Claims {
				claims[name] = v // null stays null
			}
			a, err := verify(t, w.provider.sign(t, claims), iss, now)
			if s.Refused != "" {
				refused(t, err, s.Refused)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := a.GetPerson()
			got := wanted{
				Subject: p.GetSubject(), Name: p.GetDisplayName(), Email: p.GetEmail(), Employer: a.GetEmployer(),
				Language: p.GetLanguage(), Human: p.GetHuman(), Groups: a.GetGroups(), MultiFactor: a.GetMultiFactor(),
				Isolated: a.GetIsolatedIdentity(), AuthTime: a.GetAuthenticatedAt().GetSeconds(),
			}
			if d := cmp.Diff(*s.Want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestR13ALongNameIsCutForDisplay(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{strings.Repeat("n", 201), strings.Repeat("é", 5000), strings.Repeat("e\u0301", 300)} {
		a, err := verify(t, w.provider.sign(t, erin().with(object{"name": name})), w.issuer, now)
		shown := a.GetPerson().GetDisplayName()
		if err != nil || utf8.RuneCountInString(shown) > 200 || !strings.HasSuffix(shown, "…") ||
			!strings.HasPrefix(prose.Line(name), strings.TrimSuffix(shown, "…")) {
			t.Errorf("%q, %v", shown, err)
		}
	}
	whole := strings.Repeat("n", 200)
	if a, err := verify(t, w.provider.sign(t, erin().with(object{"name": whole})), w.issuer, now); err != nil ||
		a.GetPerson().GetDisplayName() != whole {
		t.Errorf("%v", err)
	}
}

// Where groups mean nothing, it does not matter that there are too many.
func TestR13OveragesAreRefusedOnlyWhereGroupsCount(t *testing.T) {
	w := newWorld(t)
	over := object{"groups": nil, "employer": nil, "hasgroups": true,
		"_claim_names": object{"groups": "src1", "employer": "src1"}}
	if _, err := w.verifier.Verify(w.bank.sign(t, grace().with(over)), w.bankIssuer, now); err != nil {
		t.Errorf("a customer's: %v", err)
	}
}

func TestR13MapsOfGroupsThatCannotBeMeant(t *testing.T) {
	w := newWorld(t)
	for want, groups := range map[string]map[string]string{
		`"support-enginers", which is no group`: {"/a": "support-enginers"},
		`did you mean "support-engineers"`:      {"/a": "support-enginers"},
		`in another spelling, to`: {"7b1c1c5e-6a0c-4f6e-9a55-0d1b7a3f2c11": "support-engineers",
			"7B1C1C5E-6A0C-4F6E-9A55-0D1B7A3F2C11": "devops-managers"},
		"without a name":          {" ": "support-engineers"},
		`"", which is no group`:   {"/a": ""},
		`"oncall", which is no g`: {"/a": "oncall"},
	} {
		w.issuer.Claims.GroupMap = groups
		if _, err := identity.NewVerifier([]identity.Issuer{w.issuer}); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "claims.group_map") {
			t.Errorf("%v: %v", groups, err)
		}
	}
	w.issuer.Claims.GroupMap = map[string]string{"/a": "oncall", "7b1c1c5e-6a0c-4f6e-9a55-0d1b7a3f2c11": "oncall",
		"7B1C1C5E-6A0C-4F6E-9A55-0D1B7A3F2C11": "oncall"}
	w.issuer.Groups = []string{"oncall"}
	if _, err := identity.NewVerifier([]identity.Issuer{w.issuer}); err != nil {
		t.Errorf("a group of one's own: %v", err)
	}
}

// A tenant that names other claims later does not get what was remembered before, and a subject of one issuer is nobody
// of another.
func TestR13ATenantsIssuerMayNameItsClaims(t *testing.T) {
	w := newWorld(t)
	token := w.bank.sign(t, grace().with(object{"oid": "0-1", "amr": []string{"hwk"}, "acr": "gold", "lang": "ja",
		"locale": "fr", "signed_in": now.Add(-time.Hour).Unix(), "methods": "mfa"}))
	for name, c := range map[string]struct {
		change func(*lockboxv1.TenantIssuer)
		want   wanted
	}{
		"usual": {func(*lockboxv1.TenantIssuer) {}, wanted{Subject: "grace", Language: "fr"}},
		"subject": {func(ti *lockboxv1.TenantIssuer) { ti.SubjectClaim = "oid" },
			wanted{Subject: "0-1", Language: "fr"}},
		"methods": {func(ti *lockboxv1.TenantIssuer) { ti.MultiFactorMethods = []string{"hwk"} },
			wanted{Subject: "grace", Language: "fr", MultiFactor: true}},
		"claim": {func(ti *lockboxv1.TenantIssuer) { ti.MultiFactorClaim = "methods" },
			wanted{Subject: "grace", Language: "fr", MultiFactor: true}},
		"classes": {func(ti *lockboxv1.TenantIssuer) { ti.MultiFactorClasses = []string{"gold"} },
			wanted{Subject: "grace", Language: "fr", MultiFactor: true}},
		"language": {func(ti *lockboxv1.TenantIssuer) { ti.LocaleClaim = "lang" },
			wanted{Subject: "grace", Language: "ja"}},
		"time": {func(ti *lockboxv1.TenantIssuer) { ti.AuthenticationTimeClaim = "signed_in" },
			wanted{Subject: "grace", Language: "fr", AuthTime: now.Add(-time.Hour).Unix()}},
	} {
		ti := &lockboxv1.TenantIssuer{Url: bankURL, Audience: audience, Jwks: w.bankIssuer.GetJwks()}
		c.change(ti)
		if err := identity.CheckTenantIssuer(ti, []identity.Issuer{w.issuer}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range 2 {
			a, err := w.verifier.Verify(token, ti, now)
			p := a.GetPerson()
			got := wanted{Subject: p.GetSubject(), Language: p.GetLanguage(), MultiFactor: a.GetMultiFactor(),
				AuthTime: a.GetAuthenticatedAt().GetSeconds()}
			if d := cmp.Diff(c.want, got); err != nil || d != "" || p.GetIssuer() != bankURL {
				t.Errorf("%s: %v %s", name, err, d)
			}
		}
	}
	for field, ti := range map[string]*lockboxv1.TenantIssuer{
		"subject_claim":             {SubjectClaim: "o\nid"},
		"locale_claim":              {LocaleClaim: "läng"},
		"authentication_time_claim": {AuthenticationTimeClaim: strings.Repeat("x", 201)},
		"multi_factor_claim":        {MultiFactorClaim: " amr"},
		"multi_factor_methods":      {MultiFactorMethods: []string{""}},
		"multi_factor_classes":      {MultiFactorClasses: make([]string, 21)},
	} {
		ti.Url, ti.Audience, ti.Jwks = bankURL, audience, w.bankIssuer.GetJwks()
		if r, _ := refusal.As(identity.CheckTenantIssuer(ti, nil)); r.GetField() != "create_tenant.issuer."+field {
			t.Errorf("%s: %v", field, r)
		}
	}
}

func TestR13SizesAndLeewayOfAnIssuer(t *testing.T) {
	w := newWorld(t)
	long := w.provider.sign(t, erin().with(object{"padding": strings.Repeat("x", 20<<10)}))
	ahead := w.provider.sign(t, erin().with(object{"iat": now.Add(time.Minute).Unix()}))
	_, err := verify(t, long, w.issuer, now)
	refused(t, err, "longer than 16384 bytes")
	_, err = verify(t, ahead, w.issuer, now)
	refused(t, err, "issued in the future")
	w.issuer.MaxToken, w.issuer.Leeway = 32<<10, time.Minute
	for _, token := range []string{long, ahead} {
		if _, err := verify(t, token, w.issuer, now); err != nil {
			t.Error(err)
		}
	}
	_, err = verify(t, ahead, w.issuer, now.Add(-1))
	refused(t, err, "issued in the future")
	_, err = verify(t, w.provider.sign(t, erin().with(object{"exp": now.Unix()})), w.issuer, now)
	refused(t, err, "has expired") // there is no leeway for that
	for _, iss := range []identity.Issuer{{MaxToken: -1}, {MaxToken: identity.MaxToken + 1}, {Leeway: -1},
		{Leeway: identity.MaxLeeway + 1}} {
		iss.URL, iss.Audience, iss.JWKS, iss.Side = w.issuer.URL, audience, w.issuer.JWKS, w.issuer.Side
		if _, err := identity.NewVerifier([]identity.Issuer{iss}); err == nil {
			t.Errorf("accepted %d, %v", iss.MaxToken, iss.Leeway)
		}
	}
}

// One subject at two issuers is two people.
func TestR13ASubjectIsOfItsIssuer(t *testing.T) {
	w := newWorld(t)
	second := w.issuer
	second.URL = "http://adfs.nimbus.example/adfs/services/trust" // only a name
	v, err := identity.NewVerifier([]identity.Issuer{w.issuer, second})
	if err != nil {
		t.Fatal(err)
	}
	for _, iss := range []string{providerURL, second.URL} {
		a, err := v.Verify(w.provider.sign(t, erin().with(object{"iss": iss})), nil, now)
		if err != nil || a.GetPerson().GetIssuer() != iss {
			t.Errorf("%v, %v", a, err)
		}
	}
}

func TestR13WhatEachClaimCountedFor(t *testing.T) {
	w := newWorld(t)
	w.issuer.Claims.GroupMap = map[string]string{"/support": "support-engineers"}
	w.issuer.Claims.MultiFactor.ACR = []string{"2"}
	v, err := identity.NewVerifier([]identity.Issuer{w.issuer})
	if err != nil {
		t.Fatal(err)
	}
	token := w.provider.sign(t, erin().with(object{"groups": []string{"/support", "/x"}, "amr": "pwd", "acr": 1,
		"email": "a#EXT#@x.example", "name": "Er\u202ein"}))
	got, err := v.Explain(token, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []identity.Reading{
		{Fact: "subject", Claim: "sub", Says: "erin-0001", CountsAs: "erin-0001"},
		{Fact: "name", Claim: "name", Says: "Erin", CountsAs: "Erin"},
		{Fact: "email", Claim: "email", Says: "a#EXT#@x.example"},
		{Fact: "language", Claim: "locale", Says: "en-GB", CountsAs: "en"},
		{Fact: "authenticated_at", Claim: "auth_time"},
		{Fact: "multi_factor", Claim: "amr", Says: "pwd", Needs: []string{"mfa"}},
		{Fact: "multi_factor", Claim: "acr", Says: "1", Needs: []string{"2"}},
		{Fact: "isolated_identity", Claim: "isolated_identity", Needs: []string{"true"}},
		{Fact: "employer", Claim: "employer", Says: "Nimbus Cloud", CountsAs: "Nimbus Cloud"},
		{Fact: "groups", Claim: "groups", Says: "/support, /x", CountsAs: "support-engineers"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	_, err = v.Explain(token, nil, now.Add(2*time.Hour))
	refused(t, err, "has expired")
	if got, err := w.verifier.Explain(w.bank.sign(t, grace()), issuersOf(w.bankIssuer), now); err != nil ||
		got[len(got)-1].Fact != "groups" {
		t.Errorf("a customer's: %v, %v", got, err)
	}
}
