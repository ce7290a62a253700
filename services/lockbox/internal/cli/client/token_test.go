package client

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/identity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

const unauthenticated = lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED

func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestClaimsAreReadForShowing(t *testing.T) {
	got, err := ReadClaims(jwt(`{"iss":"https://a","sub":"b","aud":["x","y"],"exp":1800000000,"name":"n","email":"e","employer":"c","locale":"fr","groups":["g"],"amr":["pwd","mfa"],"isolated_identity":true}`))
	must(t, err)
	want := Claims{
		Issuer: "https://a", Subject: "b", Audience: []string{"x", "y"}, Name: "n", Email: "e", Employer: "c", Language: "fr",
		Groups:      []string{"g"},
		MultiFactor: true, IsolatedIdentity: true, ExpiresAt: time.Unix(1800000000, 0),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, err = ReadClaims(jwt(`{"aud":"x","exp":1.5e9}`))
	must(t, err)
	if !cmp.Equal(got.Audience, []string{"x"}) || got.ExpiresAt.Unix() != 1500000000 {
		t.Errorf("got %+v", got)
	}
	// Only the services say whether a token is good: what has another form is left out.
	got, err = ReadClaims(jwt(`{"iss":"https://a","sub":"b","aud":1,"exp":"1800000000","name":["n"],"email":{"a":1},"employer":["c"],"locale":null,"groups":"/g","amr":["mfa",null,7],"isolated_identity":"true"}`))
	must(t, err)
	want = Claims{Issuer: "https://a", Subject: "b", Name: "n", Employer: "c", Groups: []string{"/g"}, MultiFactor: true,
		ExpiresAt: time.Unix(1800000000, 0)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, token := range map[string]string{"empty": "", "two parts": "a.b", "no base64": "a.*.c", "no JSON": jwt("x"),
		"nothing": jwt("null"), "a list": jwt("[]")} {
		_, err := ReadClaims(token)
		wants(t, name, err, unauthenticated)
	}
}

func TestATokenFile(t *testing.T) {
	for name, content := range map[string]string{"empty": " \n", "too large": strings.Repeat("x", identity.MaxToken+1)} {
		file := filepath.Join(t.TempDir(), "token")
		must(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := TokenFile(file).Token(t.Context())
		wants(t, name, err, unauthenticated)
	}
	_, err := TokenFile("/does/not/exist").Token(t.Context())
	wants(t, "missing", err, unauthenticated)
}

// demo serves the demo issuer, behind another handler if one is given.
func demo(t *testing.T, instead http.HandlerFunc) Persona {
	t.Helper()
	dir := t.TempDir()
	server := httptest.NewUnstartedServer(nil)
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: dir, URL: "http://" + server.Listener.Addr().String()})
	must(t, err)
	server.Config.Handler = issuer.Handler()
	if instead != nil {
		server.Config.Handler = instead
	}
	server.Start()
	t.Cleanup(server.Close)
	return Persona{IssuerURL: issuer.URL(), SecretFile: filepath.Join(dir, "secret"), Name: "otto"}
}

func TestAPersonaGetsItsToken(t *testing.T) {
	p := demo(t, nil)
	token, err := p.Token(t.Context())
	must(t, err)
	claims, err := ReadClaims(token)
	must(t, err)
	if claims.Subject != "otto" || claims.Name != "Otto Owens" || claims.Issuer != p.IssuerURL+"/t/meadowbank" ||
		!claims.MultiFactor {
		t.Errorf("the claims are %+v", claims)
	}
	p.Name = "mallory&persona=otto"
	_, err = p.Token(t.Context())
	wants(t, "nobody of that name", err, unauthenticated)
	p.SecretFile = "/does/not/exist"
	_, err = p.Token(t.Context())
	wants(t, "no secret", err, unauthenticated)
	p = demo(t, nil)
	must(t, os.WriteFile(p.SecretFile, []byte("something else that is long"), 0o600))
	_, err = p.Token(t.Context())
	wants(t, "another secret", err, unauthenticated)
}

func TestADirectoryIsAsGoodAsAnIssuer(t *testing.T) {
	p := Persona{Dir: t.TempDir(), Name: "kenji"}
	token, err := p.Token(t.Context())
	must(t, err)
	if claims, err := ReadClaims(token); err != nil || claims.Subject != "kenji" {
		t.Errorf("the claims are %+v (%v)", claims, err)
	}
	p.Name = "mallory"
	_, err = p.Token(t.Context())
	wants(t, "nobody of that name", err, unauthenticated)
}

func TestTheSecretStaysOnThisMachine(t *testing.T) {
	for _, url := range []string{"http://issuer.example", "https://127.0.0.1:1", "http://10.0.0.1",
		"http://127.0.0.1.example", "http://localhost@issuer.example", "ftp://127.0.0.1", "://"} {
		_, err := Persona{IssuerURL: url, SecretFile: "/dev/null", Name: "otto"}.Token(t.Context())
		wants(t, url, err, unauthenticated)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("a redirect was followed")
	}))
	defer elsewhere.Close()
	p := demo(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	_, err := p.Token(t.Context())
	wants(t, "a redirect", err, unauthenticated)
	p = demo(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"access_token":""}`)) })
	_, err = p.Token(t.Context())
	wants(t, "no token", err, unauthenticated)
}
