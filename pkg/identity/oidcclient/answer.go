package oidcclient

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/oauth2"
)

// Why an answer signs nobody in, for those who are told so in their own language.
const (
	answeredByAnother = lockboxv1.ReasonCode_REASON_CODE_SIGN_IN_ANSWERED_BY_ANOTHER
	withoutToken      = lockboxv1.ReasonCode_REASON_CODE_SIGN_IN_WITHOUT_TOKEN
	forAnotherSignIn  = lockboxv1.ReasonCode_REASON_CODE_TOKEN_FOR_ANOTHER_SIGN_IN
	forAnotherProgram = lockboxv1.ReasonCode_REASON_CODE_TOKEN_FOR_ANOTHER_PROGRAM
	addressNotSecure  = lockboxv1.ReasonCode_REASON_CODE_ISSUER_ADDRESS_NOT_SECURE
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
	// Refresh gets another ID token without signing in; empty if the issuer gave none.
	Refresh string
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
		return Person{}, refusal.Because(
			refusal.Unauthenticated("login", rule, "another issuer answered than the one that was asked"),
			reason.Of(answeredByAnother))
	}
	if code := answer.Get("error"); code != "" {
		return Person{}, i.refused(code, answer.Get("error_description"))
	}
	oauth := i.OAuth()
	oauth.RedirectURL = redirect
	proof, err := i.proof()
	if err != nil {
		return Person{}, err
	}
	tokens, err := oauth.Exchange(i.Context(ctx), answer.Get("code"), append(proof, oauth2.VerifierOption(a.Verifier))...)
	if err != nil {
		return Person{}, i.Failed(ctx, err)
	}
	return i.Identify(ctx, tokens, a.Nonce)
}

// Renew gets another ID token for somebody who signed in before, without their doing. It is not a sign-in: the issuer
// must name the same person and the same time of it (OpenID Connect Core 1.0 §12.2), so that nobody is taken for
// freshly signed in by it. It returns UNAUTHENTICATED if they have to sign in again.
func (i *Issuer) Renew(ctx context.Context, was Person) (Person, error) {
	oauth := i.OAuth()
	answer, err := oauth.TokenSource(i.Context(ctx), &oauth2.Token{RefreshToken: was.Refresh}).Token()
	if err != nil {
		return Person{}, i.Failed(ctx, err)
	}
	now, err := i.identify(ctx, answer, nil)
	switch {
	case err != nil:
		return Person{}, err
	case now.Subject != was.Subject:
		return Person{}, refusal.OfKind(
			refusal.Unauthenticated("login", rule, "%s renewed the sign-in of somebody else", i.Issuer),
			"renewed-by-another")
	case !now.Authenticated.IsZero() && !now.Authenticated.Equal(was.Authenticated):
		return Person{}, refusal.OfKind(
			refusal.Unauthenticated("login", rule,
				"%s says of a renewed token that somebody signed in, and nobody did (`auth_time`); sign in again", i.Issuer),
			"renewed-without-sign-in")
	}
	return now, nil
}

// Identify verifies the ID token in an answer, with the nonce that was sent.
func (i *Issuer) Identify(ctx context.Context, answer *oauth2.Token, nonce string) (Person, error) {
	return i.identify(ctx, answer, &nonce)
}

// identify is Identify; without a nonce it is not compared, because a renewed token need not have one.
func (i *Issuer) identify(ctx context.Context, answer *oauth2.Token, nonce *string) (Person, error) {
	token, ok := answer.Extra("id_token").(string)
	if !ok || token == "" {
		return Person{}, refusal.Because(refusal.Unauthenticated("login", rule, "%s gave no ID token", i.Issuer),
			reason.Of(withoutToken))
	}
	id, err := i.ids.Read(token, i.Now())
	if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		return Person{}, i.unavailable(ctx, err)
	}
	if err != nil {
		return Person{}, i.notGood(err)
	}
	if said, _ := id.Text("nonce"); nonce != nil && subtle.ConstantTimeCompare([]byte(said), []byte(*nonce)) != 1 {
		return Person{}, refusal.Because(
			refusal.Unauthenticated("login", rule, "the ID token of %s is for another sign-in (`nonce`)",
				i.Issuer),
			reason.Of(forAnotherSignIn))
	}
	if party, named := id.Text("azp"); named && party != i.ID { // OpenID Connect Core 1.0 §3.1.3.7
		return Person{}, refusal.Because(
			refusal.Unauthenticated("login", rule, "the ID token of %s was made for another program (`azp`)",
				i.Issuer),
			reason.Of(forAnotherProgram))
	}
	p := Person{
		Token: token, Subject: id.Person.GetSubject(), Name: id.Person.GetDisplayName(), Expires: id.Expires,
		Authenticated: id.Authenticated, Refresh: answer.RefreshToken,
	}
	p.Locale, _ = id.Text("locale")
	return p, nil
}

func (i *Issuer) notGood(err error) error {
	why, _ := refusal.As(err)
	return refusal.Because(
		refusal.Unauthenticated("login", rule, "the ID token of %s is not good: %.500s", i.Issuer, why.GetMessage()),
		why.GetCodedReason())
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
		e.refusal = refusal.OfKind(
			refusal.Unauthenticated("login", rule, "the sign-in was declined"),
			"sign-in-declined")
		return e
	case "expired_token":
		e.refusal = refusal.OfKind(
			refusal.Unauthenticated("login", rule, "nobody used the code in time"),
			"code-not-used")
		return e
	}
	if description != "" {
		code += ": " + description
	}
	e.refusal = refusal.OfKind(
		refusal.Unauthenticated("login", rule, "%s refuses the sign-in: %.500s", i.Issuer, code),
		"sign-in-refused", "answer", code)
	return e
}

func (i *Issuer) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return refusal.Unavailable("issuer", rule, "%s does not answer as an OpenID Connect issuer: %.500s", i.Issuer,
		jwks.Certificate(err))
}

// Misleads returns the refusal for an issuer with an address that is not Trustworthy.
func (i *Issuer) Misleads() error {
	return refusal.Because(refusal.Unauthenticated("issuer", rule,
		"%s sends sign-ins to an address that is neither https nor on this machine", i.Issuer),
		reason.Of(addressNotSecure))
}
