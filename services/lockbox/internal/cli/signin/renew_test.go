package signin

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
)

// A kept sign-in is renewed without anybody's doing, and is never taken for a fresh one (R25, R65).
func TestR65AKeptSignInIsRenewedAndIsNoFreshOne(t *testing.T) {
	p := play(t)
	store := Store{t.TempDir()}
	begun := time.Now().Truncate(time.Second)
	now := begun.Add(devissuer.Lifetime)
	old, err := p.Token("erin", begun)
	must(t, err)
	was, err := client.ReadClaims(old)
	must(t, err)
	of := Profile{Store: store, Name: DefaultProfile, Now: func() time.Time { return now }}
	keep := func(refresh string) {
		must(t, store.Save(DefaultProfile, Saved{Issuer: p.url, ClientID: devissuer.ClientID, Token: old, Refresh: refresh}))
	}
	answers := func(persona string, at time.Time) {
		token, err := p.Token(persona, at)
		must(t, err)
		p.change["/provider/token"] = respond(map[string]any{"access_token": "a", "token_type": "Bearer",
			"id_token": token, "refresh_token": "second"})
	}

	keep("")
	_, err = of.Token(t.Context())
	wants(t, "without a refresh token", err, unauthenticated, "sign in again")

	keep("first")
	answers("erin", now) // this issuer says that she signed in just now
	_, err = of.Token(t.Context())
	wants(t, "a fresh sign-in that nobody made", err, unauthenticated, "sign in again")
	answers("bob", now)
	_, err = of.Token(t.Context())
	wants(t, "somebody else", err, unauthenticated, "sign in again")
	p.change["/provider/token"] = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, err = of.Token(t.Context())
	wants(t, "an issuer out of order", err, unavailable, "does not answer")

	now = now.Add(-renewed) // it is good still
	if token, err := of.Token(t.Context()); err != nil || token != old {
		t.Errorf("out of order, and the token is good: %v", err)
	}
	silent, err := p.Token("erin", begun)
	must(t, err)
	p.change["/provider/token"] = respond(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": silent,
		"refresh_token": "second"})
	token, err := of.Token(t.Context())
	if err != nil || token != silent {
		t.Fatalf("%v", err)
	}
	says, err := client.ReadClaims(token)
	must(t, err)
	if !says.AuthenticatedAt.Equal(was.AuthenticatedAt) {
		t.Error("it counts as a fresh sign-in")
	}
	kept, err := store.Load(DefaultProfile)
	if err != nil || kept.Token != silent || kept.Refresh != "second" {
		t.Errorf("kept as %+v, %v", kept, err)
	}
	info, err := os.Stat(store.Path(DefaultProfile))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v", info.Mode())
	}
	if form := p.asked[len(p.asked)-1]; form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "first" {
		t.Errorf("asked %v", form)
	}
}

// The authorities that a sign-in was made with are used when it is renewed.
func TestR65AKeptSignInIsRenewedWithItsAuthorities(t *testing.T) {
	p := play(t)
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	must(t, os.WriteFile(file, authority, 0o600))
	begun := time.Now()
	token, err := p.Token("erin", begun)
	must(t, err)
	of := Profile{Store: Store{t.TempDir()}, Name: DefaultProfile,
		Now: func() time.Time { return begun.Add(devissuer.Lifetime) }}
	for authorities, want := range map[string]string{"": "authority that is not known", file: "404",
		file + ".gone": "no such file"} {
		must(t, of.Save(DefaultProfile, Saved{Issuer: server.URL, ClientID: "lockbox", CAFile: authorities, Token: token,
			Refresh: "first"}))
		_, err := of.Token(t.Context())
		wants(t, "authorities "+authorities, err, unavailable, want)
	}
}
