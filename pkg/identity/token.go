package identity

import (
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	maxSubject = 255 // OpenID Connect Core 1.0 §2
	maxName    = 200
)

// claims are the standard claims read from a token; Claims maps the others. go-jose's JSON decoder matches names
// exactly and rejects duplicates, so a token cannot be read in two ways.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience strs     `json:"aud"`
	Expires  *seconds `json:"exp"`
	Not      *seconds `json:"nbf"`
	Issued   *seconds `json:"iat"`
	SignedIn *seconds `json:"auth_time"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
}

// strs is a list of strings, which a token may also give as a single string (RFC 7519 §4.1.3).
type strs []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *strs) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var one string
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		*s = strs{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*s = list
	return nil
}

// seconds is a NumericDate (RFC 7519 §2), truncated to whole seconds.
type seconds time.Time

// UnmarshalJSON reads seconds since 1970, up to the year 5138.
func (s *seconds) UnmarshalJSON(data []byte) error {
	f, err := strconv.ParseFloat(string(data), 64)
	if err != nil || !(f >= 0 && f < 1e11) {
		return errors.New("not a time")
	}
	*s = seconds(time.Unix(int64(math.Floor(f)), 0))
	return nil
}

// parsed is a well-formed token whose content is not verified yet.
type parsed struct {
	token  string
	jws    *jose.JSONWebSignature
	issuer string
}

// result is a token with verified signature and claims, and its validity period.
type result struct {
	actor *lockboxv1.Actor
	by    *trusted
	keys  *KeySet // that verified it
	// All but the first are zero if absent from the token.
	expires, notBefore, made, signedIn time.Time
}

// check refuses a token that is not valid at now.
func (r *result) check(now time.Time) error {
	switch {
	case !now.Before(r.expires):
		return refusal.Unauthenticated(field, rule, "has expired; sign in again")
	case r.notBefore.After(now.Add(Leeway)):
		return refusal.Unauthenticated(field, rule, "is not valid yet (`nbf`); is a clock wrong?")
	case r.made.After(now.Add(Leeway)):
		return refusal.Unauthenticated(field, rule, "was issued in the future (`iat`); is a clock wrong?")
	case r.signedIn.After(now.Add(Leeway)):
		return refusal.Unauthenticated(field, rule, "is about a sign-in in the future (`auth_time`); is a clock wrong?")
	}
	return nil
}

func errTooLong() error {
	return refusal.Unauthenticated(field, rule, "is longer than %d bytes", MaxToken)
}

func errForeign() error {
	return refusal.Unauthenticated(field, rule,
		"is from an issuer that is not trusted here; sign in with the organisation this is about")
}

func errClaims() error {
	return refusal.Unauthenticated(field, rule, "its claims are malformed")
}

func errMalformed() error {
	return refusal.Unauthenticated(field, rule, "is not a signed JSON Web Token in compact form")
}

// parse checks only the form: size, alphabet, header.
func parse(token string) (*parsed, error) {
	if token == "" {
		return nil, refusal.Unauthenticated(field, rule, "is missing; send the caller's own token")
	}
	if len(token) > MaxToken {
		return nil, errTooLong()
	}
	if strings.Count(token, ".") != 2 || strings.ContainsFunc(token, func(r rune) bool { return !tokenRune(r) }) {
		return nil, errMalformed()
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return nil, refusal.Unauthenticated(field, rule, "is not signed with ES256, EdDSA, RS256 or PS256")
	} else if err != nil {
		return nil, errMalformed()
	}
	header := jws.Signatures[0].Protected
	if _, critical := header.ExtraHeaders["crit"]; critical {
		return nil, refusal.Unauthenticated(field, rule,
			"has critical header parameters (`crit`), and none are understood here")
	}
	if !plainJWT(header) {
		return nil, refusal.Unauthenticated(field, rule, "is of another type (`typ`) than JWT or at+jwt")
	}
	if header.KeyID == "" {
		return nil, refusal.Unauthenticated(field, rule, "does not say which key signed it (`kid`)")
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c); err != nil {
		return nil, errMalformed()
	}
	return &parsed{token: token, jws: jws, issuer: c.Issuer}, nil
}

func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// plainJWT rejects tokens issued for another purpose, such as logout tokens (RFC 8725 §3.11).
func plainJWT(header jose.Header) bool {
	typ, named := header.ExtraHeaders[jose.HeaderType]
	if !named {
		return true
	}
	s, ok := typ.(string)
	return ok && (strings.EqualFold(s, "JWT") || strings.EqualFold(s, "at+jwt"))
}

func (p *parsed) kid() string { return p.jws.Signatures[0].Protected.KeyID }

// verify checks signature and claims against one issuer and its keys, but no times.
func (p *parsed) verify(by *trusted, keys *KeySet) (*result, error) {
	if keys == nil {
		return nil, refusal.Unavailable(field, "I11",
			"the keys of its issuer cannot be had just now, so nobody can be recognised by it; try again later")
	}
	header := p.jws.Signatures[0].Protected
	key, known := keys.find(header.KeyID)
	if !known {
		return nil, refusal.Unauthenticated(field, rule,
			"is signed with a key that its issuer's key set here does not hold (`kid`)")
	}
	if !key.fits(jose.SignatureAlgorithm(header.Algorithm)) {
		return nil, refusal.Unauthenticated(field, rule, "is signed with an algorithm that its key is not for")
	}
	payload, err := p.jws.Verify(key.key)
	if err != nil {
		return nil, refusal.Unauthenticated(field, rule, "its signature is wrong")
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, errClaims()
	}
	switch {
	case c.Issuer != by.URL:
		return nil, errForeign()
	case !slices.Contains(c.Audience, by.Audience):
		return nil, refusal.Unauthenticated(field, rule, "is not made out to %q (`aud`)", by.Audience)
	case c.Expires == nil:
		return nil, refusal.Unauthenticated(field, rule, "does not say when it expires (`exp`)")
	}
	said, err := by.Claims.read(payload, by.Side)
	if err != nil {
		return nil, errClaims()
	}
	actor, err := c.actor(by, said)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(p.token))
	actor.TokenSha256 = sum[:]
	r := &result{actor: actor, by: by, keys: keys, expires: time.Time(*c.Expires)}
	if c.Not != nil {
		r.notBefore = time.Time(*c.Not)
	}
	if c.Issued != nil {
		r.made = time.Time(*c.Issued)
	}
	if c.SignedIn != nil {
		r.signedIn = time.Time(*c.SignedIn)
		actor.AuthenticatedAt = timestamppb.New(r.signedIn)
	}
	return r, nil
}

// actor returns the actor to record in events. Employer and groups are kept on the provider's side only: a tenant's
// roles come from its own events.
func (c *claims) actor(by *trusted, said statements) (*lockboxv1.Actor, error) {
	if !printableASCII(c.Subject, maxSubject) {
		return nil, refusal.Unauthenticated(field, rule, "its subject (`sub`) is not 1 to %d printable ASCII characters",
			maxSubject)
	}
	if c.Name != "" && input.Line(field, c.Name, 1, maxName) != nil {
		return nil, refusal.Unauthenticated(field, rule,
			"its `name` is longer than %d characters, or holds some that are not shown", maxName)
	}
	if c.Email != "" && input.Email(field, c.Email) != nil {
		return nil, refusal.Unauthenticated(field, rule, "its `email` is not a plain e-mail address")
	}
	name := c.Name
	if name == "" {
		name = c.Subject
	}
	a := &lockboxv1.Actor{
		Side: by.Side,
		Person: &lockboxv1.Person{
			Issuer: by.URL, Subject: c.Subject, DisplayName: name, Email: c.Email, Language: language(said.locale),
		},
		MultiFactor:      said.multiFactor,
		IsolatedIdentity: said.isolated,
	}
	if by.Side != lockboxv1.Side_SIDE_PROVIDER {
		return a, nil
	}
	if said.employer != "" && input.Line(field, said.employer, 1, maxName) != nil {
		return nil, refusal.Unauthenticated(field, rule,
			"its `%s` is longer than %d characters, or holds some that are not shown", by.Claims.Employer, maxName)
	}
	a.Employer = said.employer
	for _, g := range said.groups {
		if by.groups[g] && !slices.Contains(a.Groups, g) {
			a.Groups = append(a.Groups, g)
		}
	}
	return a, nil
}

func printableASCII(s string, limit int) bool {
	if len(s) == 0 || len(s) > limit || strings.TrimSpace(s) != s {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// language returns the locale's primary language tag (BCP 47) if it is supported, otherwise "".
func language(locale string) string {
	tag, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	switch tag = strings.ToLower(tag); tag {
	case "en", "fr", "ja":
		return tag
	}
	return ""
}
