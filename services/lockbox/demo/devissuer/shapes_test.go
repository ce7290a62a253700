package devissuer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/testing/protocmp"
)

func shaped(t *testing.T, dir, shape string) *devissuer.Issuer {
	t.Helper()
	d, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir, Shape: shape})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Whatever the tokens look like, Lockbox sees the same people with the same rights.
func TestR13EveryShapeSaysTheSameOfEverybody(t *testing.T) {
	usual := open(t, t.TempDir())
	for _, shape := range devissuer.Shapes() {
		d := shaped(t, t.TempDir(), shape)
		v := verifier(t, d.ProviderIssuer())
		subjects := map[string]bool{}
		for _, p := range devissuer.Personas() {
			actor := func(of *devissuer.Issuer, v *identity.Verifier) *lockboxv1.Actor {
				token, err := of.Token(p.Name, now)
				if err != nil {
					t.Fatal(err)
				}
				a, err := v.Verify(token, of.TenantIssuer(p.Tenant), now)
				if err != nil {
					t.Fatalf("%s: %s: %v", shape, p.Name, err)
				}
				return a
			}
			want, got := actor(usual, verifier(t, usual.ProviderIssuer())), actor(d, v)
			if got.GetPerson().GetSubject() != d.Person(p.Name).GetSubject() ||
				devissuer.Subject(shape, p.Name) != got.GetPerson().GetSubject() ||
				devissuer.NameOf(shape, got.GetPerson().GetSubject()) != p.Name || subjects[got.GetPerson().GetSubject()] {
				t.Errorf("%s: %s is %v", shape, p.Name, got.GetPerson())
			}
			subjects[got.GetPerson().GetSubject()] = true
			got.TokenSha256, got.Person.Subject = want.GetTokenSha256(), want.GetPerson().GetSubject()
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("%s: %s: %s", shape, p.Name, diff)
			}
		}
		for _, tenant := range devissuer.Tenants() {
			if err := identity.CheckTenantIssuer(d.TenantIssuer(tenant), []identity.Issuer{d.ProviderIssuer()}); err != nil {
				t.Errorf("%s: %v", shape, err)
			}
		}
		// With the configuration of another shape they would be nobody, or without rights.
		if shape == "plain" {
			continue
		}
		token, err := d.Token("erin", now)
		if err != nil {
			t.Fatal(err)
		}
		unconfigured := d.ProviderIssuer()
		unconfigured.Claims = identity.Claims{}
		a, err := verifier(t, unconfigured).Verify(token, nil, now)
		if err == nil && slices.Contains(a.GetGroups(), "support-engineers") && a.GetMultiFactor() {
			t.Errorf("%s needs no configuration: %v", shape, a)
		}
	}
	if devissuer.Subject("plain", "nobody") != "" || devissuer.Subject("odd", "erin") != "" ||
		devissuer.NameOf("okta", "nobody") != "nobody" {
		t.Error("nobody is somebody")
	}
}

func TestTheShapeStaysAsItWasTheFirstTime(t *testing.T) {
	dir := t.TempDir()
	shaped(t, dir, "entra")
	for _, same := range []string{"", "entra"} {
		if d := shaped(t, dir, same); d.Shape() != "entra" {
			t.Errorf("%q: %s", same, d.Shape())
		}
	}
	for shape, want := range map[string]string{
		"okta": "began with tokens in the shape entra", "entr": `did you mean "entra"`,
	} {
		_, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir, Shape: shape})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", shape, err)
		}
	}
	// A demo from before there were shapes has the plain one, and nothing is written for that.
	old := filepath.Join(t.TempDir(), "old")
	open(t, old)
	must(t, removeShape(old))
	if d := shaped(t, old, ""); d.Shape() != "plain" || removeShape(old) == nil {
		t.Errorf("%s", d.Shape())
	}
	if _, err := devissuer.New(devissuer.Config{Demo: true, Dir: old, Shape: "okta"}); err == nil {
		t.Error("everybody of an older demo became somebody else")
	}
}

func removeShape(dir string) error { return os.Remove(filepath.Join(dir, "shape")) }
