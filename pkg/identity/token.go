package identity

import (
	"crypto/sha256"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	maxSubject = 255 // OpenID Connect Core 1.0 §2
	maxName    = 200
	maxHuman   = 255
)

// seconds reads seconds since 1970, up to the year 5138.
func seconds(s string) (time.Time, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f < 1e11) {
		return time.Time{}, errors.New("not a time")
	}
	return time.Unix(int64(math.Floor(f)), 0), nil
}

// parsed is a well-formed token whose content is not verified yet.
type parsed struct {
	token  string
	jws    *jose.JSONWebSignature
	names  names
	issuer string
}

// result is a token with verified signature and claims, and its validity period.
type result struct {
	actor *lockboxv1.Actor
	by    *trusted
	keys  *KeySet // that verified it
	// All but the first are zero if absent from the token.
	expires, notBefore, made, signedIn time.Time
	// groupsUnread is why the groups of a tenant's token could not be read; nil if they could.
	groupsUnread error
	// Only if an explanation was asked for.
	claims   claimSet
	readings []Reading
}

// check refuses a token that is not valid at now.
func (r *result) check(now time.Time) error {
	latest := now.Add(r.by.Leeway)
	switch {
	case !now.Before(r.expires):
		return refusal.Because(refusal.Unauthenticated(field, rule, "has expired; sign in again"),
			reason.Of(tokenExpired))
	case r.notBefore.After(latest):
		return refusal.Because(refusal.Unauthenticated(field, rule, "is not valid yet (`nbf`); is a clock wrong?"),
			reason.Of(aheadOfTime, "claim", "nbf"))
	case r.made.After(latest):
		return refusal.Because(
			refusal.Unauthenticated(field, rule, "was issued in the future (`iat`); is a clock wrong?"),
			reason.Of(aheadOfTime, "claim", "iat"))
	case r.signedIn.After(latest):
		return refusal.Because(
			refusal.Unauthenticated(field, rule, "is about a sign-in in the future (`auth_time`); is a clock wrong?"),
			reason.Of(aheadOfTime, "claim", "auth_time"))
	}
	return nil
}

func errTooLong(limit int) error {
	return refusal.Because(refusal.Unauthenticated(field, rule, "is longer than %d bytes", limit),
		reason.Of(tokenTooLong, "most", strconv.Itoa(limit)))
}

func errForeign() error {
	return refusal.Because(refusal.Unauthenticated(field, rule,
		"is from an issuer that is not trusted here; sign in with the organisation this is about"),
		reason.Of(issuerNotTrusted))
}

func errClaim(name string) error {
	return refusal.Because(refusal.Unauthenticated(field, rule, "its claims are malformed: `%s`", name),
		reason.Of(claimUnreadable, "claim", name))
}

func errMalformed() error {
	return refusal.Because(refusal.Unauthenticated(field, rule, "is not a signed JSON Web Token in compact form"),
		reason.Of(tokenMalformed))
}

// parse checks only the form: size, alphabet, header.
func parse(token string) (*parsed, error) {
	if token == "" {
		return nil, refusal.Because(refusal.Unauthenticated(field, rule, "is missing; send the caller's own token"),
			reason.Of(tokenMissing))
	}
	if len(token) > MaxToken {
		return nil, errTooLong(MaxToken)
	}
	if strings.Count(token, ".") != 2 || strings.ContainsFunc(token, func(r rune) bool { return !tokenRune(r) }) {
		return nil, errMalformed()
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return nil, refusal.Because(refusal.Unauthenticated(field, rule, "is not signed with %s", algorithmsAre),
			reason.Of(algorithmNotUsed))
	} else if err != nil {
		return nil, errMalformed()
	}
	header := jws.Signatures[0].Protected
	if _, critical := header.ExtraHeaders["crit"]; critical {
		return nil, refusal.Because(refusal.Unauthenticated(field, rule,
			"has critical header parameters (`crit`), and none are understood here"),
			reason.Of(headersNotUnderstood))
	}
	if !plainJWT(header) {
		return nil, refusal.Because(
			refusal.Unauthenticated(field, rule, "is of another type (`typ`) than JWT or at+jwt"),
			reason.Of(tokenOfAnotherType))
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &c); err != nil {
		return nil, errMalformed()
	}
	p := &parsed{token: token, jws: jws, issuer: c.Issuer,
		names: names{kid: header.KeyID, algorithm: jose.SignatureAlgorithm(header.Algorithm)}}
	for name, into := range map[jose.HeaderKey]*string{"x5t": &p.names.x5t, "x5t#S256": &p.names.x5t256} {
		if thumb, ok := header.ExtraHeaders[name].(string); ok && thumb != "" {
			*into = plainThumb(thumb)
		}
	}
	return p, nil
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
	s = strings.TrimPrefix(strings.ToLower(s), "application/") // which may be left out (RFC 7515 §4.1.9)
	return ok && (s == "jwt" || s == "at+jwt")
}

// content returns the token's claims if one of the keys has signed it. If renew is true, the issuer may have newer keys
// of which one has.
func (p *parsed) content(keys *KeySet) (payload []byte, renew bool, err error) {
	if keys == nil {
		return nil, true, refusal.OfKind(
			refusal.Unavailable(field, "I11",
				"the keys of its issuer cannot be had just now, so nobody can be recognised by it; try again later"),
			"keys-unavailable")
	}
	from := keys.choose(p.names)
	for _, key := range from.keys {
		if payload, err := p.jws.Verify(key.key); err == nil {
			return payload, false, nil
		}
	}
	anonymous := p.names.kid == "" && p.names.x5t == "" && p.names.x5t256 == ""
	switch {
	case len(from.keys) > 0:
		return nil, !from.named, refusal.Because(refusal.Unauthenticated(field, rule, "its signature is wrong"),
			reason.Of(signatureWrong))
	case from.named:
		return nil, false, refusal.Because(
			refusal.Unauthenticated(field, rule, "is signed with an algorithm that its key is not for"),
			reason.Of(keyOfAnotherAlgorithm))
	case anonymous && keys.fitting(p.names.algorithm) > 1:
		return nil, false, refusal.Because(refusal.Unauthenticated(field, rule,
			"does not say which key signed it (`kid`), and several of its issuer's fit"),
			reason.Of(keyNotNamed))
	case anonymous:
		return nil, true, refusal.Because(refusal.Unauthenticated(field, rule,
			"does not say which key signed it (`kid`), and none of its issuer's fits"),
			reason.Of(keyNotNamed))
	}
	return nil, true, refusal.Because(refusal.Unauthenticated(field, rule,
		"is signed with a key that its issuer's key set here does not hold (`kid`)"),
		reason.Of(keyUnknown))
}

// verify checks signature and claims against one issuer and its keys, but no times.
func (p *parsed) verify(by *trusted, explain bool) (*result, error) {
	if len(p.token) > by.MaxToken {
		return nil, errTooLong(by.MaxToken)
	}
	payload, keys, err := by.content(p)
	if err != nil {
		return nil, err
	}
	var all claimSet
	if err := json.Unmarshal(payload, &all); err != nil {
		return nil, errMalformed()
	}
	audience, ok := all.audience()
	switch {
	case all.text("iss") != by.URL:
		return nil, errForeign()
	case !ok:
		return nil, errClaim("aud")
	case !by.hears(audience):
		return nil, refusal.Because(
			refusal.Unauthenticated(field, rule, "is not made out to %q (`aud`)", by.Audience),
			reason.Of(forAnotherAudience, "audience", by.Audience))
	}
	r := &result{by: by, keys: keys, signedIn: all.signedIn(by.Claims.AuthTime)}
	for name, into := range map[string]*time.Time{"exp": &r.expires, "nbf": &r.notBefore, "iat": &r.made} {
		if *into, ok = all.instant(name); !ok {
			return nil, errClaim(name)
		}
	}
	if r.expires.IsZero() {
		return nil, refusal.Because(refusal.Unauthenticated(field, rule, "does not say when it expires (`exp`)"),
			reason.Of(tokenWithoutEnd))
	}
	said, err := by.read(all)
	if err != nil {
		return nil, err
	}
	r.actor, r.groupsUnread = said.actor(by), said.groupsUnread
	sum := sha256.Sum256([]byte(p.token))
	r.actor.TokenSha256 = sum[:]
	if !r.signedIn.IsZero() {
		r.actor.AuthenticatedAt = timestamppb.New(r.signedIn)
	}
	if explain {
		r.claims, r.readings = all, by.explain(all, r)
	}
	return r, nil
}

// actor returns the actor to record in events. Of a tenant's people no employer is kept, and only the groups that the
// tenant maps.
func (s statements) actor(by *trusted) *lockboxv1.Actor {
	return &lockboxv1.Actor{
		Side: by.Side,
		Person: &lockboxv1.Person{
			Issuer: by.URL, Subject: s.subject, DisplayName: s.name, Email: s.email, Language: s.locale, Human: s.human,
		},
		Employer: s.employer, Groups: s.groups, MultiFactor: s.multiFactor, IsolatedIdentity: s.isolated,
	}
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
