package identity

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Claims maps an issuer's claims for which OpenID Connect has no standard name, and says which values count as a second
// factor or an isolated identity (R13). The zero value means the defaults: `sub`, `employer`, `groups`, `locale`,
// `auth_time`, "mfa" among `amr`, and `isolated_identity: true`; no claim names the human, and groups have Lockbox's
// names.
//
// A claim is a member of the token. If there is none of that name, the dots in it are the way to one inside of others:
// realm_access.roles.
type Claims struct {
	// Subject is the claim that identifies the account, with the issuer; empty: sub. Another one makes everybody somebody
	// else, so it is the same in every service, from the beginning. Dots lead into other claims: realm_access.roles.
	Subject string `yaml:"subject"`
	// Employer is the claim with the company's name, a string; empty: employer.
	Employer string `yaml:"employer"`
	// Groups is the claim that lists groups; empty: groups.
	Groups string `yaml:"groups"`
	// GroupMap translates the issuer's names or ids of groups to Lockbox's. If there is one, others do not count.
	GroupMap map[string]string `yaml:"group_map"`
	// Locale is the claim with the person's language; empty: locale.
	Locale string `yaml:"locale"`
	// AuthTime is the claim that says when the person proved who they are; empty: auth_time.
	AuthTime string `yaml:"auth_time"`
	// Human is the claim whose value is the same in all accounts of one human (R51), a string. Empty: each account counts
	// as a human of its own.
	Human       string        `yaml:"human"`
	MultiFactor MultiFactor   `yaml:"multi_factor"`
	Isolated    IsolatedClaim `yaml:"isolated"`
}

// MultiFactor says which sign-ins used more than one factor: those with one of AMR among their authentication methods
// (Claim, else `amr`, RFC 8176), and those whose context class (`acr`, or in Entra ID one of `acrs`) is one of ACR.
type MultiFactor struct {
	// Claim is the claim that lists the methods; empty: amr. AD FS calls it authmethod in some tokens.
	Claim string `yaml:"claim"`
	// AMR are the methods of which one is a second factor. Not set: mfa; an empty list: no method counts.
	AMR []string `yaml:"amr"`
	// ACR are the classes of which one (in `acr`, in Entra ID `acrs`) is a second factor; empty: none.
	ACR []string `yaml:"acr"`
}

// IsolatedClaim says which accounts exist only for privileged work.
type IsolatedClaim struct {
	// Claim is the claim that marks such an account; empty: isolated_identity.
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
	}{
		{&c.Subject, "sub"}, {&c.Employer, "employer"}, {&c.Groups, "groups"}, {&c.Locale, "locale"},
		{&c.AuthTime, "auth_time"}, {&c.MultiFactor.Claim, "amr"}, {&c.Isolated.Claim, "isolated_identity"},
	} {
		if *name.of == "" {
			*name.of = name.usual
		}
		if !printableASCII(*name.of, maxName) {
			return c, fmt.Errorf("%q is no name for a claim", *name.of)
		}
	}
	if c.Human != "" && !printableASCII(c.Human, maxName) {
		return c, fmt.Errorf("%q is no name for a claim", c.Human)
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
	subject, name, email    string
	employer, locale, human string
	groups                  []string
	multiFactor, isolated   bool
	// groupsUnread is why the groups of a tenant's token could not be read; nil if they could.
	groupsUnread error
}

// read extracts the statements from a token's claims. Claims that are not used may have any value. A claim that only
// gives rights or comfort, and has a form that it cannot have, counts as absent; the others are refused by name,
// because rules may take rights away by them.
func (t *trusted) read(all claimSet) (s statements, err error) {
	c := t.Claims
	if s.subject, err = all.subject(c.Subject); err != nil {
		return s, err
	}
	s.name, s.email = displayName(all.text("name")), usableAddress(all)
	if s.name == "" {
		s.name = s.subject
	}
	if languages, _ := all.texts(c.Locale); len(languages) > 0 {
		s.locale = language(languages[0])
	}
	methods, _ := all.texts(c.MultiFactor.Claim)
	classes, _ := all.texts("acr")
	contexts, _ := all.texts("acrs")
	s.multiFactor = anyOf(methods, c.MultiFactor.AMR) || anyOf(slices.Concat(classes, contexts), c.MultiFactor.ACR)
	if len(c.Isolated.Values) == 0 {
		raw, _ := all.get(c.Isolated.Claim)
		s.isolated = string(raw) == "true"
	} else {
		values, _ := all.texts(c.Isolated.Claim)
		s.isolated = anyOf(values, c.Isolated.Values)
	}
	if c.Human != "" {
		s.human = all.human(c.Human)
	}
	if t.Side != lockboxv1.Side_SIDE_PROVIDER {
		// A tenant's rules take nothing away by groups, so that they cannot be read keeps nobody out.
		s.groups, s.groupsUnread = t.tenantGroups(all)
		return s, nil
	}
	if s.employer, err = all.employer(c.Employer); err != nil {
		return s, err
	}
	s.groups, err = t.readGroups(all)
	return s, err
}

func anyOf(said, accepted []string) bool {
	return slices.ContainsFunc(said, func(v string) bool { return slices.Contains(accepted, v) })
}

func (s claimSet) subject(claim string) (string, error) {
	var subject string
	if raw, _ := s.get(claim); json.Unmarshal(raw, &subject) != nil || !printableASCII(subject, maxSubject) {
		return "", refusal.Because(
			refusal.Unauthenticated(field, rule, "its subject (`%s`) is not 1 to %d printable ASCII characters",
				claim, maxSubject),
			reason.Of(claimUnreadable, "claim", claim))
	}
	return subject, nil
}

// human returns what all accounts of one human share; empty if that cannot be read and so identifies nobody: refusing
// the token would lock out who signs in with it. A number is as good as its digits.
func (s claimSet) human(claim string) string {
	said, ok := s.texts(claim)
	if raw, _ := s.get(claim); !ok || len(said) != 1 || string(raw) == "true" || string(raw) == "false" ||
		prose.CheckLine(field, said[0], 1, maxHuman) != nil {
		return ""
	}
	return said[0]
}

func (s claimSet) employer(claim string) (string, error) {
	if err := s.elsewhere(claim); err != nil {
		return "", err
	}
	named, ok := s.texts(claim)
	if slices.Sort(named); !ok || len(slices.Compact(named)) > 1 {
		return "", refusal.Because(
			refusal.Unauthenticated(field, rule, "its `%s` is not the name of one company", claim),
			reason.Of(claimUnreadable, "claim", claim))
	}
	if len(named) == 0 || named[0] == "" {
		return "", nil
	}
	if prose.CheckLine(field, named[0], 1, maxName) != nil {
		return "", refusal.Because(refusal.Unauthenticated(field, rule,
			"its `%s` is longer than %d characters, or holds some that are not shown", claim, maxName),
			reason.Of(claimUnreadable, "claim", claim))
	}
	return named[0], nil
}
