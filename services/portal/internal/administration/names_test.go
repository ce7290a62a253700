package administration

import (
	"maps"
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

func TestEveryValueHasAName(t *testing.T) {
	speakers(t, func(l looking) {
		var failed []error
		said := func(_ string, err error) {
			if err != nil {
				failed = append(failed, err)
			}
		}
		for n := range lockboxv1.Role_name {
			if r := lockboxv1.Role(n); r != lockboxv1.Role_ROLE_UNSPECIFIED {
				said(l.Role(r))
			}
		}
		for n := range lockboxv1.ApproverBasis_name {
			if b := lockboxv1.ApproverBasis(n); b != lockboxv1.ApproverBasis_APPROVER_BASIS_UNSPECIFIED {
				said(scoped{looking: l, Asked: &lockboxv1.ApproversPreview{Basis: b}}.Basis())
			}
		}
		for _, id := range []string{"", "meadow-production"} {
			s := scoped{looking: l, ID: id}
			for _, r := range s.Choices() {
				said(s.Means(r))
			}
		}
		for id, s := range settings {
			c := choosing{looking: l, ID: id, setting: s}
			for _, value := range s.choices {
				said(c.Spoken(value))
			}
			for _, which := range []string{"title", "lead", "question", "effect"} {
				said(c.Text(which))
			}
		}
		for _, tag := range append([]string{""}, tenant.Languages...) {
			said(l.Language(tag))
		}
		for _, err := range failed {
			t.Error(err)
		}
	})
}

func TestSettingsAreReadBackAsTheyAreSet(t *testing.T) {
	if got := slices.Sorted(maps.Keys(settings)); !slices.Equal(got, slices.Sorted(slices.Values(looking{}.Shown()))) {
		t.Errorf("there are %v", got)
	}
	for id, s := range settings {
		for _, value := range s.choices {
			of := new(lockboxv1.TenantSettings)
			if err := s.set(of, value); err != nil || s.value(of) != value {
				t.Errorf("%s: %q is %q, %v", id, value, s.value(of), err)
			}
		}
	}
}

func speakers(t *testing.T, do func(looking)) {
	t.Helper()
	all, err := words.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tenant.Languages {
		do(looking{Visit: &site.Visit{Say: all.In(tag)}})
	}
}
