package identity

import (
	"maps"
	"slices"
	"strings"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Reading says what one of a token's claims counted for.
type Reading struct {
	// Fact is what Lockbox wants to know: subject, name, email, language, authenticated_at, human, multi_factor,
	// isolated_identity, employer or groups.
	Fact string
	// Claim is where it looked, Says what is there, cleaned and shortened; empty: nothing.
	Claim, Says string
	// CountsAs is what it took from it; empty: nothing.
	CountsAs string
	// Needs are the values that would have counted, if nothing did. Empty: any of the right form.
	Needs []string
}

// explain says what the claims of a verified token counted for.
func (t *trusted) explain(all claimSet, r *result) []Reading {
	c, p := t.Claims, r.actor.GetPerson()
	signedIn := ""
	if !r.signedIn.IsZero() {
		signedIn = r.signedIn.UTC().Format(time.RFC3339)
	}
	list := []Reading{
		reading(all, "subject", c.Subject, p.GetSubject()),
		reading(all, "name", "name", p.GetDisplayName()),
		reading(all, "email", "email", p.GetEmail()),
		reading(all, "language", c.Locale, p.GetLanguage(), "en", "fr", "ja"),
		reading(all, "authenticated_at", c.AuthTime, signedIn),
	}
	if c.Human != "" {
		list = append(list, reading(all, "human", c.Human, p.GetHuman()))
	}
	list = append(list, t.explainFactors(all)...)
	isolated, needs := "", c.Isolated.Values
	if r.actor.GetIsolatedIdentity() {
		isolated = "an isolated identity"
	}
	if len(needs) == 0 {
		needs = []string{"true"}
	}
	list = append(list, reading(all, "isolated_identity", c.Isolated.Claim, isolated, needs...))
	if t.Side == lockboxv1.Side_SIDE_PROVIDER {
		list = append(list, reading(all, "employer", c.Employer, r.actor.GetEmployer()))
	}
	return append(list, t.explainGroups(all, r)...)
}

// explainGroups says which groups counted: nothing of a tenant that maps none, if the token names none either.
func (t *trusted) explainGroups(all claimSet, r *result) []Reading {
	count := slices.Sorted(maps.Keys(t.groups))
	if len(t.groupMap) > 0 {
		count = slices.Sorted(maps.Keys(t.groupMap))
	}
	said := reading(all, "groups", t.Claims.Groups, strings.Join(r.actor.GetGroups(), ", "), count...)
	if by := all.reference(t.Claims.Groups); by != "" {
		said.Says = "too many to be there, only referred to (" + by + ")"
	}
	if said.Says == "" && len(count) == 0 {
		return nil
	}
	return []Reading{said}
}

// explainFactors says which claims counted as a second factor: methods, and classes if any would count.
func (t *trusted) explainFactors(all claimSet) (list []Reading) {
	for _, c := range []struct {
		claim    string
		accepted []string
	}{
		{t.Claims.MultiFactor.Claim, t.Claims.MultiFactor.AMR},
		{"acr", t.Claims.MultiFactor.ACR}, {"acrs", t.Claims.MultiFactor.ACR},
	} {
		said, _ := all.texts(c.claim)
		if len(c.accepted) == 0 && len(said) == 0 || c.claim == "acrs" && len(said) == 0 {
			continue
		}
		counts := ""
		if anyOf(said, c.accepted) {
			counts = "a second factor"
		}
		list = append(list, reading(all, "multi_factor", c.claim, counts, c.accepted...))
	}
	return list
}

func reading(all claimSet, fact, claim, counts string, needs ...string) Reading {
	r := Reading{Fact: fact, Claim: claim, CountsAs: counts}
	said, _ := all.texts(claim)
	if raw, given := all.get(claim); given && len(said) == 0 {
		said = []string{string(raw)}
	}
	r.Says = displayName(strings.Join(said, ", "))
	if counts == "" {
		r.Needs = slices.Clone(needs)
	}
	return r
}
