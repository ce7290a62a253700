package devissuer

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Handler serves an OpenID Connect provider below `/provider` and below each `/t/<tenant>`, and `POST
// /token?persona=NAME`, which requires the secret as bearer token: programs without it must send the user to a
// browser. It accepts only requests that come from this machine and are addressed to it, so that no web page can reach
// it by DNS rebinding.
func (d *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, iss := range d.side {
		path := strings.TrimPrefix(iss.url, d.url)
		mux.HandleFunc("GET "+path+"/jwks", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, json.RawMessage(iss.jwks))
		})
		mux.HandleFunc("GET "+path+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, discover(iss.url))
		})
		mux.HandleFunc("GET "+path+"/authorize", d.askWho(iss))
		mux.HandleFunc("POST "+path+"/authorize", d.chosen(iss))
		mux.HandleFunc("POST "+path+"/token", d.tokenEndpoint(iss))
		mux.HandleFunc("POST "+path+"/device_authorization", d.deviceAuthorization(iss))
		mux.HandleFunc("GET "+path+"/device", d.askDevice(iss))
		mux.HandleFunc("POST "+path+"/device", d.deviceChosen(iss))
	}
	mux.HandleFunc("POST /token", d.token)
	mux.HandleFunc("GET /{$}", d.home)
	mux.HandleFunc("GET /style.css", style)
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "another page asked for this")
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r) {
			problem(w, http.StatusForbidden, "the demo issuer answers on this machine only")
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "same-origin")
		sameOrigin.Handler(mux).ServeHTTP(w, r)
	})
}

// discovery is the metadata required by OpenID Connect Discovery 1.0 §3, RFC 8628 §4 and RFC 9207 §3, as far as this
// issuer supports it.
type discovery struct {
	Issuer         string   `json:"issuer"`
	Authorization  string   `json:"authorization_endpoint"`
	Token          string   `json:"token_endpoint"`
	Device         string   `json:"device_authorization_endpoint"`
	JWKS           string   `json:"jwks_uri"`
	Scopes         []string `json:"scopes_supported"`
	ResponseTypes  []string `json:"response_types_supported"`
	ResponseModes  []string `json:"response_modes_supported"`
	GrantTypes     []string `json:"grant_types_supported"`
	SubjectTypes   []string `json:"subject_types_supported"`
	Algorithms     []string `json:"id_token_signing_alg_values_supported"`
	ClientSecrets  []string `json:"token_endpoint_auth_methods_supported"`
	Challenges     []string `json:"code_challenge_methods_supported"`
	Claims         []string `json:"claims_supported"`
	NamesItself    bool     `json:"authorization_response_iss_parameter_supported"`
	RequestsByLink bool     `json:"request_uri_parameter_supported"`
}

func discover(url string) discovery {
	return discovery{
		Issuer: url, Authorization: url + "/authorize", Token: url + "/token", Device: url + "/device_authorization",
		JWKS:   url + "/jwks",
		Scopes: []string{"openid"}, ResponseTypes: []string{"code"}, ResponseModes: []string{"query"},
		GrantTypes: []string{"authorization_code", deviceGrant}, SubjectTypes: []string{"public"},
		Algorithms:    []string{"ES256"},
		ClientSecrets: []string{"none"}, Challenges: []string{"S256"}, NamesItself: true,
		Claims: []string{"sub", "auth_time", "name", "email", "locale", "amr", "employer", "groups", "isolated_identity"},
	}
}

type tokenReply struct {
	Token   string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"` // seconds
}

func (d *Issuer) token(w http.ResponseWriter, r *http.Request) {
	secret, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !isBearer || subtle.ConstantTimeCompare([]byte(secret), []byte(d.secret)) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem(w, http.StatusUnauthorized, "send the secret from the demo issuer's directory as bearer token")
		return
	}
	token, err := d.Token(r.URL.Query().Get("persona"), d.now())
	if refused, ok := refusal.As(err); ok {
		problem(w, http.StatusNotFound, refused.GetMessage())
		return
	} else if err != nil {
		problem(w, http.StatusInternalServerError, "no token could be made")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, tokenReply{token, "Bearer", int(Lifetime.Seconds())})
}

// local reports whether a request comes from this machine and names a loopback host. A web page whose domain was made
// to resolve to 127.0.0.1 (DNS rebinding) sends its own name as host.
func local(r *http.Request) bool {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !loopback(from) {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return loopback(strings.Trim(host, "[]"))
}

func problem(w http.ResponseWriter, status int, text string) {
	reply(w, status, struct {
		Error string `json:"error"`
	}{text})
}

func reply[T any](w http.ResponseWriter, status int, body T) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"no answer could be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // fails only if the client is gone
}
