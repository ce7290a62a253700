package site

import (
	"net/http"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
)

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// Secured adds the security headers to every response, and refuses cross-site form posts.
func (s *Site) Secured(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(s.elsewhere))
	protected := sameOrigin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		if s.Secure {
			h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		}
		if !strings.HasPrefix(r.URL.Path, assetPrefix) {
			h.Set("Cache-Control", "no-store")
		}
		// Every browser sends the origin of a form. A client that does not is no browser and has no business with
		// cookies.
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("Sec-Fetch-Site") == "" &&
			r.Header.Get("Origin") == "" {
			s.elsewhere(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// elsewhere refuses a form that did not come from a page of this site.
func (s *Site) elsewhere(w http.ResponseWriter, r *http.Request) {
	s.visit(w, r).Problem(http.StatusForbidden,
		refusal.Forbidden("origin", "bad input", "this was sent by a page of another site"))
}
