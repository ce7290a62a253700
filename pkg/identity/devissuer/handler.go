package devissuer

import (
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Handler serves discovery documents and key sets (`/provider/…`, `/t/<tenant>/…`) and `POST /token?persona=NAME`, which
// demands the secret as bearer token, so that other users of the machine cannot be anybody they like. It answers only
// what comes from this machine and is addressed to it, so that no web page can ask either.
func (d *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, iss := range d.side {
		path := strings.TrimPrefix(iss.url, d.url)
		mux.HandleFunc("GET "+path+"/jwks", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, json.RawMessage(iss.jwks))
		})
		mux.HandleFunc("GET "+path+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, discovery{
				Issuer: iss.url, JWKS: iss.url + "/jwks", Token: d.url + "/token", ResponseTypes: []string{"id_token"},
				SubjectTypes: []string{"public"}, Algorithms: []string{"ES256"},
			})
		})
	}
	mux.HandleFunc("POST /token", d.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r) {
			problem(w, http.StatusForbidden, "the demo issuer answers on this machine only")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// discovery is what OpenID Connect Discovery 1.0 §3 demands, as far as this issuer has it.
type discovery struct {
	Issuer        string   `json:"issuer"`
	JWKS          string   `json:"jwks_uri"`
	Token         string   `json:"token_endpoint"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
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

// local reports whether a request comes from this machine and names it as its goal: a web page whose name was made to
// resolve to 127.0.0.1 names something else.
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
	_, _ = w.Write(b) // whoever asked has gone away; there is nobody left to tell
}
