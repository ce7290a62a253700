package identity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4/json"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Claims says under which names an issuer states what OpenID Connect has no one name for, and what it must state to
// count as a second factor or as an isolated identity (R13). The zero value is the usual way: `employer`, `groups`,
// `locale`, "mfa" among `amr`, and `isolated_identity: true`.
type Claims struct {
	// Employer is the claim that names the company, a text.
	Employer string `yaml:"employer"`
	// Groups is the claim that lists groups.
	Groups string `yaml:"groups"`
	// Locale is the claim that names the language.
	Locale      string        `yaml:"locale"`
	MultiFactor MultiFactor   `yaml:"multi_factor"`
	Isolated    IsolatedClaim `yaml:"isolated"`
}

// MultiFactor says which sign-ins used more than one factor: those with one of AMR among their methods (`amr`, RFC
// 8176), and those whose class (`acr`) is one of ACR.
type MultiFactor struct {
	// AMR; nil: mfa. An empty list that is not nil: methods prove nothing.
	AMR []string `yaml:"amr"`
	ACR []string `yaml:"acr"`
}

// IsolatedClaim says which accounts exist only for privileged work.
type IsolatedClaim struct {
	Claim string `yaml:"claim"`
	// Values are the texts of which the claim must be one, or hold one in a list. Empty: it must be the truth value true.
	Values []string `yaml:"values"`
}

// complete fills in the usual names, and refuses names and values that no token could have.
func (c Claims) complete() (Claims, error) {
	for _, name := range []struct {
		of    *string
		usual string
	}{{&c.Employer, "employer"}, {&c.Groups, "groups"}, {&c.Locale, "locale"}, {&c.Isolated.Claim, "isolated_identity"}} {
		if *name.of == "" {
			*name.of = name.usual
		}
		if !printableASCII(*name.of, maxName) {
			return c, fmt.Errorf("%q is no name for a claim", *name.of)
		}
	}
	if c.MultiFactor.AMR == nil {
		c.MultiFactor.AMR = []string{"mfa"} // RFC 8176 §2
	}
	if slices.Contains(slices.Concat(c.MultiFactor.AMR, c.MultiFactor.ACR, c.Isolated.Values), "") {
		return c, errors.New("an empty text proves nothing about a sign-in")
	}
	return c, nil
}

// statements are what a token says, in Lockbox's own terms.
type statements struct {
	employer, locale      string
	groups                strs
	multiFactor, isolated bool
}

// read finds the statements among a token's claims. Claims that are not used may be anything.
func (c Claims) read(payload []byte, side lockboxv1.Side) (s statements, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return s, err
	}
	var methods strs
	var class string
	into := func(name string, v any) error {
		raw, given := all[name]
		if !given {
			return nil
		}
		return json.Unmarshal(raw, v)
	}
	err = errors.Join(into(c.Locale, &s.locale), into("amr", &methods))
	if len(c.MultiFactor.ACR) > 0 {
		err = errors.Join(err, into("acr", &class))
	}
	if side == lockboxv1.Side_SIDE_PROVIDER {
		err = errors.Join(err, into(c.Employer, &s.employer), into(c.Groups, &s.groups))
	}
	if len(c.Isolated.Values) == 0 {
		err = errors.Join(err, into(c.Isolated.Claim, &s.isolated))
	} else {
		var values strs
		err = errors.Join(err, into(c.Isolated.Claim, &values))
		s.isolated = slices.ContainsFunc(values, func(v string) bool { return slices.Contains(c.Isolated.Values, v) })
	}
	s.multiFactor = slices.Contains(c.MultiFactor.ACR, class) ||
		slices.ContainsFunc(methods, func(m string) bool { return slices.Contains(c.MultiFactor.AMR, m) })
	return s, err
}
