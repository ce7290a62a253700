package identity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4/json"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Claims maps an issuer's claims for which OpenID Connect has no standard name, and says which values count as a second
// factor or an isolated identity (R13). The zero value means the defaults: `employer`, `groups`, `locale`, "mfa" among
// `amr`, and `isolated_identity: true`.
type Claims struct {
	// Employer is the claim with the company's name, a string.
	Employer string `yaml:"employer"`
	// Groups is the claim that lists groups.
	Groups string `yaml:"groups"`
	// Locale is the claim with the person's language.
	Locale      string        `yaml:"locale"`
	MultiFactor MultiFactor   `yaml:"multi_factor"`
	Isolated    IsolatedClaim `yaml:"isolated"`
}

// MultiFactor says which sign-ins used more than one factor: those with one of AMR among their authentication methods
// (`amr`, RFC 8176), and those whose context class (`acr`) is one of ACR.
type MultiFactor struct {
	// AMR; nil means "mfa". An empty list that is not nil means that no method counts.
	AMR []string `yaml:"amr"`
	ACR []string `yaml:"acr"`
}

// IsolatedClaim says which accounts exist only for privileged work.
type IsolatedClaim struct {
	Claim string `yaml:"claim"`
	// Values are the accepted strings: the claim must be one of them or a list that contains one. If empty, the claim must
	// be the boolean true.
	Values []string `yaml:"values"`
}

// complete fills in the defaults, and returns an error for names and values that no token can have.
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

// statements are a token's mapped claims, in Lockbox's terms.
type statements struct {
	employer, locale      string
	groups                strs
	multiFactor, isolated bool
}

// read extracts the statements from a token's claims. Claims that are not used may have any value.
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
