package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	engineer, approver = "erin", "otto"

	audience = "lockbox"
	lifetime = time.Hour
)

// issuer signs tokens as the demo's issuers do, with ES256, and verifies them as the services do.
type issuer struct {
	key    *ecdsa.PrivateKey
	signer jose.Signer
}

const issuerURL = "http://127.0.0.1:8080/issuer/meadowbank"

func newIssuer() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	named := jose.JSONWebKey{Key: key, KeyID: "peer", Algorithm: string(jose.ES256)}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: named},
		new(jose.SignerOptions).WithType("JWT"))
	return &issuer{key, signer}, err
}

func (i *issuer) token(subject string, now time.Time) (string, error) {
	return jwt.Signed(i.signer).Claims(map[string]any{
		"iss": issuerURL, "aud": audience, "sub": subject, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		"name": "Somebody Else", "email": subject + "@meadowbank.example", "locale": "en", "amr": []string{"pwd", "otp"},
		"auth_time": now.Unix(), "employee_number": "100-" + subject,
	}).Serialize()
}

// errToken means that nobody can be recognised by a token.
var errToken = errors.New("the token is refused")

// verify checks signature, issuer, audience, times and subject.
func (i *issuer) verify(token, subject string, now time.Time) error {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	payload, err := signed.Verify(&i.key.PublicKey)
	if err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	var claims jwt.Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	expected := jwt.Expected{Issuer: issuerURL, Subject: subject, AnyAudience: jwt.Audience{audience}, Time: now}
	if err := claims.ValidateWithLeeway(expected, time.Minute); err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	return nil
}
