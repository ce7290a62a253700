package identity

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Reader verifies the ID tokens of one issuer for a program at which people sign in, so that it takes what the services
// take. It decides nothing: a service verifies the same token again.
type Reader struct{ by *trusted }

// NewReader returns a Reader of an issuer's tokens; groups and employers do not matter to it.
func NewReader(iss Issuer) (*Reader, error) {
	iss.Side = lockboxv1.Side_SIDE_TENANT
	t, err := trust(iss)
	if err != nil {
		return nil, err
	}
	return &Reader{t}, nil
}

// ID is a verified ID token.
type ID struct {
	Person  *lockboxv1.Person
	Expires time.Time
	// Authenticated is when the person proved who they are; zero if the token does not say.
	Authenticated time.Time

	claims claimSet
}

// Text returns a claim that is a text; given is false if the token does not have it.
func (id *ID) Text(claim string) (s string, given bool) {
	_, given = id.claims.get(claim)
	return id.claims.text(claim), given
}

// Read verifies a token as of now. Every error is a refusal, UNAUTHENTICATED, or UNAVAILABLE if the issuer's keys
// cannot be fetched.
func (r *Reader) Read(token string, now time.Time) (*ID, error) {
	p, err := parse(token)
	if err != nil {
		return nil, err
	}
	read, err := p.verify(r.by, true)
	if err == nil {
		err = read.check(now)
	}
	if err != nil {
		return nil, err
	}
	return &ID{read.actor.GetPerson(), read.expires, read.signedIn, read.claims}, nil
}
