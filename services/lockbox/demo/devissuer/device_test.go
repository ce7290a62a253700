package devissuer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"golang.org/x/oauth2"
)

// poll asks once for a device's token, and returns the error code or the persona.
func poll(t *testing.T, issuer, device string) string {
	t.Helper()
	response, body := newBrowser(t).post(t, issuer+"/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {devissuer.ClientID},
		"device_code": {device},
	}, nil)
	var got struct {
		Error string `json:"error"`
		ID    string `json:"id_token"`
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if (got.Error == "") != (response.StatusCode == http.StatusOK) || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, %s", response.Status, body)
	}
	if got.Error == "" {
		return fmt.Sprint(claims(t, got.ID)["sub"])
	}
	return got.Error
}

func TestADevice(t *testing.T) {
	s := serve(t)
	issuer := s.TenantIssuer("meadowbank").GetUrl()
	c := newClient(t, s, issuer)
	begin := func() *oauth2.DeviceAuthResponse {
		d, err := c.DeviceAuth(t.Context())
		must(t, err)
		return d
	}
	expect := func(what, device, want string) {
		t.Helper()
		if got := poll(t, issuer, device); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}

	d := begin()
	if !regexp.MustCompile(`^[B-Z]{4}-[B-Z]{4}$`).MatchString(d.UserCode) || d.VerificationURI != issuer+"/device" ||
		d.Interval != 1 {
		t.Errorf("got %+v", d)
	}
	expect("at first", d.DeviceCode, "authorization_pending")
	expect("again at once", d.DeviceCode, "slow_down")
	s.after(5 * time.Second)
	expect("now it is six seconds", d.DeviceCode, "slow_down")
	s.after(11 * time.Second)
	expect("and now eleven", d.DeviceCode, "authorization_pending")
	s.after(11 * time.Second)
	at := d.VerificationURI + "?user_code=" + strings.ToLower(strings.ReplaceAll(d.UserCode, "-", ""))
	if response, page := newBrowser(t).choose(t, at, "grace"); response.StatusCode != http.StatusOK ||
		!strings.Contains(page, "You are Grace Green") {
		t.Errorf("%s: %s", response.Status, page)
	}
	expect("at another issuer", "x"+d.DeviceCode[1:], "invalid_grant")
	expect("approved", d.DeviceCode, "grace")
	expect("a second time", d.DeviceCode, "invalid_grant")

	d = begin()
	newBrowser(t).choose(t, d.VerificationURIComplete, "")
	expect("denied", d.DeviceCode, "access_denied")

	d = begin()
	_, page := newBrowser(t).get(t, d.VerificationURIComplete)
	if !strings.Contains(page, d.UserCode) {
		t.Error("the page does not show the code to compare")
	}
	s.after(10 * time.Minute)
	expect("expired", d.DeviceCode, "expired_token")
	if response, _ := newBrowser(t).get(t, d.VerificationURIComplete); response.StatusCode != http.StatusNotFound {
		t.Errorf("the page of an expired code: %s", response.Status)
	}
	s.after(11 * time.Minute)
	begin()
	expect("long ago", d.DeviceCode, "invalid_grant")
}

func TestADevicesCodeIsDecidedOnceAndByThePageOnly(t *testing.T) {
	s := serve(t)
	c := newClient(t, s, s.ProviderIssuer().URL)
	d, err := c.DeviceAuth(t.Context())
	must(t, err)
	b := newBrowser(t)
	_, page := b.get(t, d.VerificationURIComplete)
	proof := formProof.FindStringSubmatch(page)[1]
	for name, form := range map[string]url.Values{
		"no proof": {"persona": {"erin"}}, "of a tenant": {"persona": {"otto"}, "proof": {proof}},
		"nobody": {"persona": {"x"}, "proof": {proof}},
	} {
		if response, _ := b.post(t, d.VerificationURIComplete, form, nil); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
	if response, _ := b.post(t, d.VerificationURIComplete, url.Values{"persona": {"erin"}, "proof": {proof}},
		nil); response.StatusCode != http.StatusOK {
		t.Errorf("the page: %s", response.Status)
	}
	if response, _ := b.post(t, d.VerificationURIComplete, url.Values{"persona": {"olga"}, "proof": {proof}},
		nil); response.StatusCode != http.StatusBadRequest {
		t.Errorf("a second decision: %s", response.Status)
	}
	// The real client asks until it knows.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	token, err := c.DeviceAccessToken(ctx, d)
	must(t, err)
	raw, _ := token.Extra("id_token").(string)
	if id, err := c.ids.Verify(t.Context(), raw); err != nil || id.Subject != "erin" {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestDevicesThatAreRefused(t *testing.T) {
	s := serve(t)
	at := s.ProviderIssuer().URL + "/device_authorization"
	for name, row := range map[string]struct {
		form url.Values
		want int
	}{
		"another client": {url.Values{"client_id": {"other"}, "scope": {"openid"}}, 401},
		"no sign-in":     {url.Values{"client_id": {devissuer.ClientID}}, 400},
		"a client twice": {url.Values{"client_id": {devissuer.ClientID, "other"}, "scope": {"openid"}}, 400},
	} {
		if response, _ := newBrowser(t).post(t, at, row.form, nil); response.StatusCode != row.want {
			t.Errorf("%s: %s, want %d", name, response.Status, row.want)
		}
	}
	form := url.Values{"client_id": {devissuer.ClientID}, "scope": {"openid"}}
	for range 100 {
		if response, body := newBrowser(t).post(t, at, form, nil); response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", response.Status, body)
		}
	}
	if response, _ := newBrowser(t).post(t, at, form, nil); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %s", response.Status)
	}
}
