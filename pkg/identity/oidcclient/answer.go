package oidcclient

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/oauth2"
)

// Person is a person who has signed in.
type Person struct {
	// Token is their ID token, of at most identity.MaxToken bytes.
	Token   string
	Subject string
	// Name to display: the subject if the token has no other.
	Name string
	// Locale is the token's locale, unmodified; empty if absent.
	Locale  string
	Expires time.Time
	// Authenticated is when they last authenticated; zero if absent from the token.
	Authenticated time.Time
}

// RefusedError means that the issuer refused the sign-in, with the OAuth error code: access_denied if the person
// declined.
type RefusedError struct {
	Code    string
	refusal error
}

func (e *RefusedError) Error() string { return e.refusal.Error() }

// Unwrap returns the refusal, UNAUTHENTICATED.
func (e *RefusedError) Unwrap() error { return e.refusal }

// Finish completes a sign-in with the issuer's answer, received at redirect. The caller has already compared the state.
// It returns UNAUTHENTICATED if the answer signs nobody in, and UNAVAILABLE if the issuer does not respond.
func (i *Issuer) Finish(ctx context.Context, redirect string, a Attempt, answer url.Values) (Person, error) {
	if by := answer.Get("iss"); by != i.Issuer && (by != "" || i.namesItself) { // RFC 9207 §2.4
		return Person{}, refusal.Unauthenticated("login", rule, "another issuer answered than the one that was asked")
	}
	if code := answer.Get("error"); code != "" {
		return Person{}, i.refused(code, answer.Get("error_description"))
	}
	oauth := i.OAuth()
	oauth.RedirectURL = redirect
	tokens, err := oauth.Exchange(i.Context(ctx), answer.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Person{}, i.Failed(ctx, err)
	}
	return i.Identify(ctx, tokens, a.Nonce)
}

// Identify verifies the ID token in an answer, with the nonce that was sent.
func (i *Issuer) Identify(ctx context.Context, answer *oauth2.Token, nonce string) (Person, error) {
	token, ok := answer.Extra("id_token").(string)
	if !ok || token == "" {
		return Person{}, refusal.Unauthenticated("login", rule, "%s gave no ID token", i.Issuer)
	}
	id, err := i.ids.Verify(i.Context(ctx), token)
	if err != nil {
		return Person{}, i.notGood(err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return Person{}, refusal.Unauthenticated("login", rule, "the ID token of %s is for another sign-in (`nonce`)",
			i.Issuer)
	}
	if len(token) > identity.MaxToken {
		return Person{}, refusal.Unauthenticated("login", rule,
			"the ID token of %s is longer than %d bytes; the services take no longer one", i.Issuer, identity.MaxToken)
	}
	said := map[string]any{}
	if err := id.Claims(&said); err != nil {
		return Person{}, i.notGood(err)
	}
	if party, named := said["azp"]; named && party != i.ID { // OpenID Connect Core 1.0 §3.1.3.7
		return Person{}, refusal.Unauthenticated("login", rule, "the ID token of %s was made for another program (`azp`)",
			i.Issuer)
	}
	p := Person{Token: token, Subject: id.Subject, Name: id.Subject, Expires: id.Expiry}
	p.Locale, _ = said["locale"].(string)
	if name, _ := said["name"].(string); name != "" {
		p.Name = name
	}
	if at, ok := said["auth_time"].(float64); ok {
		p.Authenticated = time.Unix(int64(at), 0)
	}
	return p, nil
}

func (i *Issuer) notGood(err error) error {
	return refusal.Unauthenticated("login", rule, "the ID token of %s is not good: %.500s", i.Issuer, err)
}

// Failed converts an error of the issuer's endpoints to a refusal.
func (i *Issuer) Failed(ctx context.Context, err error) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) && answered.ErrorCode != "" {
		return i.refused(answered.ErrorCode, answered.ErrorDescription)
	}
	return i.unavailable(ctx, err)
}

func (i *Issuer) refused(code, description string) error {
	e := &RefusedError{Code: code}
	switch code {
	case "access_denied":
		e.refusal = refusal.Unauthenticated("login", rule, "the sign-in was declined")
		return e
	case "expired_token":
		e.refusal = refusal.Unauthenticated("login", rule, "nobody used the code in time")
		return e
	}
	if description != "" {
		code += ": " + description
	}
	e.refusal = refusal.Unauthenticated("login", rule, "%s refuses the sign-in: %.500s", i.Issuer, code)
	return e
}

func (i *Issuer) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return refusal.Unavailable("issuer", rule, "%s does not answer as an OpenID Connect issuer: %.500s", i.Issuer, err)
}

// Misleads returns the refusal for an issuer with an address that is not Trustworthy.
func (i *Issuer) Misleads() error {
	return refusal.Unauthenticated("issuer", rule,
		"%s sends sign-ins to an address that is neither https nor on this machine", i.Issuer)
}
