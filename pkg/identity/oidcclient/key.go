package oidcclient

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // a name of the certificate, as issuers look it up (RFC 7515 §4.1.7)
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	// assertionLife is short, because each assertion is used once, at once. The issuer's clock may be MaxSkew behind.
	assertionLife = 2 * time.Minute
	minKeyBits    = 2048
)

// Key proves a client to issuers that want no secret (`private_key_jwt`, OpenID Connect Core 1.0 §9). It is an RSA key,
// which every such issuer takes.
type Key struct {
	private     jose.JSONWebKey
	certificate []byte // DER; nil: none
	public      []byte
}

// ParseKey reads RSA private keys of at least 2,048 bits (PEM, PKCS #8 or #1). The first one signs; the others are
// published too, so that a key can be announced before it is used, and for a while afterwards. A certificate is named
// in assertions by its thumbprint, for issuers that look keys up by it.
func ParseKey(text []byte) (*Key, error) {
	k := &Key{}
	published := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			k.certificate = block.Bytes
			continue
		}
		key, err := parsePrivate(block)
		if err != nil {
			return nil, err
		}
		public := jose.JSONWebKey{Key: key.Public(), Use: "sig"}
		thumbprint, err := public.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, err
		}
		public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
		if len(published.Keys) == 0 {
			k.private = jose.JSONWebKey{Key: key, KeyID: public.KeyID}
		}
		published.Keys = append(published.Keys, public)
	}
	if len(published.Keys) == 0 {
		return nil, errors.New("holds no private key (PEM)")
	}
	if k.certificate != nil {
		c, err := x509.ParseCertificate(k.certificate)
		if err != nil {
			return nil, fmt.Errorf("its certificate: %w", err)
		}
		if of, ok := c.PublicKey.(*rsa.PublicKey); !ok || !of.Equal(published.Keys[0].Key) {
			return nil, errors.New("its certificate is not of its first key")
		}
	}
	var err error
	k.public, err = json.Marshal(published)
	return k, err
}

func parsePrivate(block *pem.Block) (*rsa.PrivateKey, error) {
	var parsed any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("holds a %s, which is neither an unencrypted private key nor a certificate", block.Type)
	}
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < minKeyBits {
		return nil, fmt.Errorf("holds a key that is not RSA of at least %d bits", minKeyBits)
	}
	return key, nil
}

// Public returns the JSON Web Key Set (RFC 7517) to register at issuers.
func (k *Key) Public() []byte { return k.public }

// assertion returns what authenticates a client at a token endpoint, once (RFC 7523 §3). It is made out to the endpoint
// that it is sent to, so no issuer can use it at another.
func (k *Key) assertion(client, endpoint string, algorithm jose.SignatureAlgorithm, now time.Time) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if k.certificate != nil {
		long, short := sha256.Sum256(k.certificate), sha1.Sum(k.certificate) //nolint:gosec // see the import
		options.WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(long[:])).
			WithHeader("x5t", base64.RawURLEncoding.EncodeToString(short[:]))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: k.private}, options)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": client, "sub": client, "aud": endpoint, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// algorithm returns how assertions are signed for an issuer that takes these algorithms; none: it does not say.
func algorithm(takes []string) jose.SignatureAlgorithm {
	if !slices.Contains(takes, string(jose.RS256)) && slices.Contains(takes, string(jose.PS256)) {
		return jose.PS256
	}
	return jose.RS256
}

// proof returns the parameters with which the client authenticates itself by its key; none without one.
func (i *Issuer) proof() ([]oauth2.AuthCodeOption, error) {
	if i.Key == nil {
		return nil, nil
	}
	assertion, err := i.Key.assertion(i.ID, i.oauth.Endpoint.TokenURL, i.algorithm, i.Now())
	if err != nil {
		return nil, err
	}
	return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("client_assertion_type", assertionType),
		oauth2.SetAuthURLParam("client_assertion", assertion)}, nil
}
