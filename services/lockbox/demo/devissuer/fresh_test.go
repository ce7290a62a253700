package devissuer_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"golang.org/x/oauth2"
)

// saysChosen checks when a token says that somebody signed in, and when that it was made.
func saysChosen(t *testing.T, what, token string, chosen, made time.Time) {
	t.Helper()
	c := claims(t, token)
	if c["auth_time"] != float64(chosen.Unix()) || c["iat"] != float64(made.Unix()) {
		t.Errorf("%s: chosen at %v, made at %v; want %d and %d", what, c["auth_time"], c["iat"], chosen.Unix(), made.Unix())
	}
}

// A token that is fetched late is no fresher for it.
func TestATokenSaysWhenSomebodyChose(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.TenantIssuer("meadowbank").GetUrl())

	code, verifier := c.code(t, "otto")
	chosen := s.time()
	s.after(50 * time.Second)
	tokens, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	must(t, err)
	id, _ := tokens.Extra("id_token").(string)
	saysChosen(t, "the ID token of a code", id, chosen, s.time())
	saysChosen(t, "the access token of a code", tokens.AccessToken, chosen, s.time())

	d, err := c.DeviceAuth(t.Context())
	must(t, err)
	s.after(time.Minute)
	newBrowser(t).choose(t, d.VerificationURIComplete, "otto")
	chosen = s.time()
	s.after(5 * time.Minute)
	_, body := newBrowser(t).post(t, c.Endpoint.TokenURL, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {devissuer.ClientID},
		"device_code": {d.DeviceCode},
	}, nil)
	var got struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	must(t, json.Unmarshal([]byte(body), &got))
	saysChosen(t, "the ID token of a device", got.ID, chosen, s.time())
	saysChosen(t, "the access token of a device", got.Access, chosen, s.time())

	made, err := s.Token("otto", s.time())
	must(t, err)
	saysChosen(t, "a token without a browser", made, s.time(), s.time())
}

// It asks every time, and so honours whatever a client says of how fresh a sign-in has to be (OpenID Connect Core 1.0
// §3.1.2.1), also to a browser in which somebody has just chosen.
func TestItAsksEveryTime(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	b := newBrowser(t)
	for _, asks := range []url.Values{
		{}, {"prompt": {"login"}}, {"max_age": {"0"}}, {"max_age": {"3600"}}, {"prompt": {"login"}, "max_age": {"0"}},
		{"max_age": {"soon"}},
	} {
		s.after(time.Minute)
		verifier := oauth2.GenerateVerifier()
		options := []oauth2.AuthCodeOption{oidc.Nonce("nonce"), oauth2.S256ChallengeOption(verifier)}
		for name := range asks {
			options = append(options, oauth2.SetAuthURLParam(name, asks.Get(name)))
		}
		at := c.AuthCodeURL("state", options...)
		if response, page := b.get(t, at); response.StatusCode != http.StatusOK || !formOfPage.MatchString(page) {
			t.Errorf("%v: %s: nobody is asked", asks, response.Status)
		}
		response, _ := b.choose(t, at, "erin")
		tokens, err := c.Exchange(t.Context(), answer(t, response).Get("code"), oauth2.VerifierOption(verifier))
		must(t, err)
		saysChosen(t, asks.Encode(), tokens.AccessToken, s.time(), s.time())
	}
}

func TestItSaysThatItsTokensTellTheTimeOfTheSignIn(t *testing.T) {
	s := serve(t)
	var said struct {
		Claims []string `json:"claims_supported"`
	}
	must(t, newClient(t, s, s.ProviderIssuer().URL).provider.Claims(&said))
	if !slices.Contains(said.Claims, "auth_time") {
		t.Errorf("it says %v", said.Claims)
	}
}
