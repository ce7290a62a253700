// Package devissuer is the identity provider of `lockbox up --demo`: one issuer for the provider's staff and one for
// each demo tenant, all of them fictional. Anybody who can read its directory, or use a browser on its machine, can
// sign in as any persona. It is therefore created only in demo mode, and only services configured to trust it do.
//
// Each issuer is an OpenID Connect provider: authorization code flow with PKCE (S256 only) to loopback addresses (RFC
// 8252), and the device authorization grant (RFC 8628). Where a real provider asks for a password, this one lets the
// user choose a persona.
package devissuer

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// Audience is the audience of its tokens.
	Audience = "lockbox"
	// Lifetime is the lifetime of its tokens.
	Lifetime = time.Hour
	// DefaultURL is its URL unless configured otherwise.
	DefaultURL = "http://127.0.0.1:7070"

	// humanClaim is the claim with the employee number, which is the same in all accounts of one human (R51).
	humanClaim = "employee_number"
)

// ErrNotDemo is returned when a demo issuer is created outside demo mode.
var ErrNotDemo = errors.New("the demo issuer exists in demo mode only")

// Config configures a demo issuer.
type Config struct {
	// Demo must be true.
	Demo bool
	// Dir holds the private keys and the bearer secret, readable only by their owner. It is created if missing; an
	// existing directory continues the same issuer.
	Dir string
	// URL is where Handler is served: http on a loopback address, without a path. It is part of every person's
	// identity, so it is stored in Dir the first time and a different one is rejected later. Empty: the one stored in
	// Dir, else DefaultURL.
	URL string
	// Shape is the kind of identity provider, one of Shapes, whose tokens it writes. It says who people are, so it is
	// stored in Dir the first time and a different one is rejected later. Empty: the one stored in Dir, else the plain
	// one.
	Shape string
	// Now is Handler's clock; nil: time.Now.
	Now func() time.Time
}

// Issuer issues tokens for personas. It is safe for concurrent use.
type Issuer struct {
	url    string
	secret string
	shape  string
	now    func() time.Time
	side   map[string]*issuer // by tenant; "" is the provider's
}

// issuer is one of the OpenID Connect issuers: the provider's, or a tenant's.
type issuer struct {
	url     string
	tenant  string // empty: the provider
	name    string // the organisation's display name
	shape   shape
	signer  jose.Signer
	jwks    []byte
	codes   *codes
	devices *devices
}

// New opens the demo issuer in c.Dir, and creates it if needed.
func New(c Config) (*Issuer, error) {
	if !c.Demo {
		return nil, ErrNotDemo
	}
	if c.Dir == "" {
		return nil, errors.New("the demo issuer needs a directory for its keys")
	}
	kind, err := keepShape(c.Dir, c.Shape) // before the URL, by which it recognises an older demo
	if err != nil {
		return nil, err
	}
	base, err := keepURL(c.Dir, c.URL)
	if err != nil {
		return nil, err
	}
	secret, err := keepSecret(c.Dir)
	if err != nil {
		return nil, err
	}
	d := &Issuer{url: base, secret: secret, shape: kind, now: c.Now, side: make(map[string]*issuer)}
	if d.now == nil {
		d.now = time.Now
	}
	for _, tenant := range append(Tenants(), "") {
		path, file := "/provider", "provider.pem"
		if tenant != "" {
			path, file = "/t/"+tenant, "tenant-"+tenant+".pem"
		}
		key, err := keepKey(c.Dir, file)
		if err != nil {
			return nil, err
		}
		iss, err := newIssuer(base+path, key, shapes[kind])
		if err != nil {
			return nil, err
		}
		iss.tenant, iss.name = tenant, organisation(tenant)
		iss.codes, iss.devices = &codes{now: d.now, kept: map[string]authorization{}},
			&devices{now: d.now, all: map[string]*device{}}
		d.side[tenant] = iss
	}
	return d, nil
}

func newIssuer(at string, key *ecdsa.PrivateKey, as shape) (*issuer, error) {
	public := jose.JSONWebKey{Key: key.Public(), Algorithm: string(jose.ES256), Use: "sig"}
	sum, err := public.Thumbprint(crypto.SHA256) // RFC 7638: the key determines its id
	if err != nil {
		return nil, fmt.Errorf("naming the demo issuer's key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	header, named := (&jose.SignerOptions{}).WithType("JWT"), jose.JSONWebKey{Key: key, KeyID: public.KeyID}
	if as.thumbprint {
		public.CertificateThumbprintSHA1 = sum[:20] // as if it had a certificate
		header, named.KeyID = header.WithHeader("x5t", base64.RawURLEncoding.EncodeToString(sum[:20])), ""
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return nil, fmt.Errorf("writing the demo issuer's key set: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: named}, header)
	if err != nil {
		return nil, fmt.Errorf("preparing the demo issuer's key: %w", err)
	}
	return &issuer{url: at, shape: as, signer: signer, jwks: jwks}, nil
}

// Token issues a token for a persona, valid from now for Lifetime. An unknown persona is refused (NOT_FOUND).
func (d *Issuer) Token(persona string, now time.Time) (string, error) {
	p, known := Find(persona)
	if !known {
		var names []string
		for _, p := range Personas() {
			names = append(names, p.Name)
		}
		return "", refusal.NotFound("persona", "demo", "the demo has nobody of that name%s", input.DidYouMean(persona, names))
	}
	return d.side[p.Tenant].sign(p, now, now, "")
}

// sign issues a token for a persona that was chosen at the given time. The nonce is the client's, if it sent one
// (OpenID Connect Core 1.0 §2).
func (iss *issuer) sign(p Persona, chosen, now time.Time, nonce string) (string, error) {
	claims := map[string]any{
		"iss": iss.url, "aud": Audience, "sub": p.Name, "iat": now.Unix(), "exp": now.Add(Lifetime).Unix(),
		"name": p.DisplayName, "email": p.Email, "locale": p.Language, "amr": p.Methods,
		"auth_time": chosen.Unix(), humanClaim: p.EmployeeNumber(),
	}
	if p.Tenant == "" {
		claims["employer"] = p.Employer
	}
	if len(p.Groups) > 0 {
		claims["groups"] = p.Groups
	}
	if p.Isolated {
		claims["isolated_identity"] = true
	}
	iss.shape.claims(p, chosen, claims)
	if nonce != "" {
		claims["nonce"] = nonce
	}
	token, err := jwt.Signed(iss.signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing a demo token: %w", err)
	}
	return token, nil
}

// ProviderIssuer returns the issuer that services must trust to accept the provider's personas.
func (d *Issuer) ProviderIssuer() identity.Issuer {
	p := d.side[""]
	claims := p.shape.configured
	claims.Human = humanClaim
	return identity.Issuer{URL: p.url, Audience: Audience, JWKS: p.jwks, Side: lockboxv1.Side_SIDE_PROVIDER,
		Claims: claims}
}

// TenantIssuer returns the issuer that a demo tenant is created with; nil if there is no such demo tenant.
func (d *Issuer) TenantIssuer(tenant string) *lockboxv1.TenantIssuer {
	t, known := d.side[tenant]
	if !known || tenant == "" {
		return nil
	}
	c, group := t.shape.configured, &lockboxv1.MappedGroup{Id: OnCall}
	if t.shape.group != nil {
		group = &lockboxv1.MappedGroup{Id: t.shape.group(OnCall), Name: OnCall}
	}
	return &lockboxv1.TenantIssuer{
		Url: t.url, Audience: Audience, Jwks: t.jwks, HumanClaim: humanClaim, SubjectClaim: c.Subject, LocaleClaim: c.Locale,
		MultiFactorClaim: c.MultiFactor.Claim, MultiFactorMethods: c.MultiFactor.AMR, MultiFactorClasses: c.MultiFactor.ACR,
		GroupsClaim: c.Groups, GroupMap: []*lockboxv1.MappedGroup{group},
	}
}

// Person returns a persona as an administrator enters them, without the human that their tokens name; nil if there is
// no persona of that name.
func (d *Issuer) Person(persona string) *lockboxv1.Person {
	p, known := Find(persona)
	if !known {
		return nil
	}
	return &lockboxv1.Person{
		Issuer: d.side[p.Tenant].url, Subject: d.side[p.Tenant].shape.subject(p), DisplayName: p.DisplayName,
		Email: p.Email, Language: p.Language,
	}
}

// Shape returns the shape of its tokens, one of Shapes.
func (d *Issuer) Shape() string { return d.shape }

// URL returns the URL at which Handler must be served.
func (d *Issuer) URL() string { return d.url }

// Secret returns the bearer token that POST /token requires. It must be kept secret.
func (d *Issuer) Secret() string { return d.secret }

// checkURL accepts only http on a loopback address with a port and no path.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err == nil && u.Scheme == "http" && u.Port() != "" && s == "http://"+u.Host && loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("the demo issuer's URL must be like %s: http on a loopback address with a port, and no path; got %q",
		DefaultURL, s)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
