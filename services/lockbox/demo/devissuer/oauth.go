package devissuer

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	oautherrors "github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
)

const (
	// ClientID is the one client: whoever asks for a sign-in to Lockbox on this machine. It has no secret, for it could
	// keep none (RFC 8252 §8.4).
	ClientID = Audience
	// CallbackPath is where a client listens, on a loopback address and any port.
	CallbackPath = "/callback"
)

const (
	codeLifetime = time.Minute
	maxForm      = 64 << 10
)

// The names of what go-oauth2 carries for us from a code to its tokens.
const (
	extNonce   = "nonce"
	extChosen  = "chosen" // when somebody said who to be, in seconds since 1970
	extIDToken = "id_token"
)

// chosenKey is where a context has that moment for a device, which has no code that could carry it.
type chosenKey struct{}

// machinery is OAuth 2.0 for one issuer, as go-oauth2 does it: codes bound to a client, an address and a PKCE challenge,
// and the answers of the token endpoint. Tokens are ours.
type machinery struct {
	server  *server.Server
	manager *manage.Manager
}

func (d *Issuer) newMachinery(iss *issuer) machinery {
	m := manage.NewManager()
	m.MapAuthorizeGenerate(codeMaker{})
	m.MapAccessGenerate(tokenMaker{d, iss})
	m.MapClientStorage(onlyClient{})
	m.MapTokenStorage(&codes{now: d.now, kept: map[string]keptCode{}})
	m.SetValidateURIHandler(func(_, redirect string) error {
		if !goodRedirect(redirect) {
			return oautherrors.ErrInvalidGrant
		}
		return nil
	})
	m.SetAuthorizeCodeExp(codeLifetime)
	m.SetAuthorizeCodeTokenCfg(&manage.Config{AccessTokenExp: Lifetime})
	m.SetExtractExtensionHandler(func(asked *oauth2.TokenGenerateRequest, info oauth2.ExtendableTokenInfo) {
		if asked.Request == nil || asked.Code != "" {
			return // a device, which has no code; or a code that is redeemed, which carries all this on
		}
		info.SetExtension(url.Values{
			extNonce: {asked.Request.URL.Query().Get(extNonce)}, extChosen: {strconv.FormatInt(d.now().Unix(), 10)},
		})
	})
	s := server.NewServer(&server.Config{
		TokenType:                   "Bearer",
		AllowedResponseTypes:        []oauth2.ResponseType{oauth2.Code},
		AllowedGrantTypes:           []oauth2.GrantType{oauth2.AuthorizationCode},
		AllowedCodeChallengeMethods: []oauth2.CodeChallengeMethod{oauth2.CodeChallengeS256},
		ForcePKCE:                   true,
	}, m)
	s.ClientInfoHandler = server.ClientFormHandler
	s.SetResponseErrorHandler(standard)
	s.ExtensionFieldsHandler = func(info oauth2.TokenInfo) map[string]any {
		return map[string]any{extIDToken: extension(info, extIDToken)}
	}
	return machinery{s, m}
}

// standard makes an error of go-oauth2 one of RFC 6749 §5.2: its own have other names and statuses.
func standard(re *oautherrors.Response) {
	switch {
	case errors.Is(re.Error, oautherrors.ErrInvalidClient):
		re.StatusCode = http.StatusUnauthorized
	case errors.Is(re.Error, oautherrors.ErrUnsupportedGrantType), errors.Is(re.Error, oautherrors.ErrUnauthorizedClient):
		re.Error, re.StatusCode = oautherrors.ErrUnsupportedGrantType, http.StatusBadRequest
	case errors.Is(re.Error, oautherrors.ErrInvalidGrant), errors.Is(re.Error, oautherrors.ErrMissingCodeVerifier):
		re.Error, re.StatusCode = oautherrors.ErrInvalidGrant, http.StatusBadRequest
	case errors.Is(re.Error, oautherrors.ErrServerError):
		re.StatusCode = http.StatusInternalServerError
	default:
		re.Error, re.StatusCode = oautherrors.ErrInvalidRequest, http.StatusBadRequest
	}
	re.Description = oautherrors.Descriptions[re.Error]
}

func extension(info oauth2.TokenInfo, name string) string {
	if e, ok := info.(oauth2.ExtendableTokenInfo); ok {
		return e.GetExtension().Get(name)
	}
	return ""
}

// goodRedirect reports whether an address is http on a loopback address, any port, and exactly our path: RFC 8252 §7.3 and
// §8.3, where a name such as localhost is not good enough.
func goodRedirect(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Port() == "" || redirect != "http://"+u.Host+CallbackPath {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback()
}

// onlyClient knows ClientID and nobody else.
type onlyClient struct{}

func (onlyClient) GetByID(_ context.Context, id string) (oauth2.ClientInfo, error) {
	if id != ClientID {
		return nil, oautherrors.ErrInvalidClient
	}
	return &models.Client{ID: ClientID, Public: true}, nil
}

type codeMaker struct{}

func (codeMaker) Token(context.Context, *oauth2.GenerateBasic) (string, error) {
	return rand.Text(), nil
}

// tokenMaker makes the tokens of one issuer: the access token as Token makes it, and the ID token, which is the same with
// the nonce that was asked for (OpenID Connect Core 1.0 §2). Both say when somebody chose, however late they are fetched.
type tokenMaker struct {
	d   *Issuer
	iss *issuer
}

func (t tokenMaker) Token(ctx context.Context, asked *oauth2.GenerateBasic, _ bool) (access, refresh string, err error) {
	p, known := Find(asked.UserID)
	if !known || p.Tenant != t.iss.tenant {
		return "", "", oautherrors.ErrInvalidGrant
	}
	chosen, now := chosenAt(ctx, asked.TokenInfo), t.d.now()
	if access, err = t.iss.sign(p, chosen, now, ""); err != nil {
		return "", "", err
	}
	id, err := t.iss.sign(p, chosen, now, extension(asked.TokenInfo, extNonce))
	if e, ok := asked.TokenInfo.(oauth2.ExtendableTokenInfo); ok {
		e.SetExtension(url.Values{extIDToken: {id}})
	}
	return access, "", err
}

// chosenAt is when somebody said who to be. Of what does not say, it is so long ago that nobody takes it for fresh.
func chosenAt(ctx context.Context, info oauth2.TokenInfo) time.Time {
	if at, ok := ctx.Value(chosenKey{}).(time.Time); ok {
		return at
	}
	seconds, err := strconv.ParseInt(extension(info, extChosen), 10, 64)
	if err != nil {
		return time.Unix(0, 0)
	}
	return time.Unix(seconds, 0)
}

// codes keeps authorization codes, each until somebody asks for it, right or wrong, or its time is up: a code that was
// seen is worth nothing any more (RFC 6749 §4.1.2). Tokens are not kept: nobody looks them up.
type codes struct {
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]keptCode
}

type keptCode struct {
	info  oauth2.TokenInfo
	until time.Time
}

// Create keeps a code.
func (c *codes) Create(_ context.Context, info oauth2.TokenInfo) error {
	if info.GetCode() == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for code, k := range c.kept {
		if !now.Before(k.until) {
			delete(c.kept, code)
		}
	}
	c.kept[info.GetCode()] = keptCode{info, now.Add(codeLifetime)}
	return nil
}

// GetByCode takes a code out: of two who ask at once, one gets it.
func (c *codes) GetByCode(_ context.Context, code string) (oauth2.TokenInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, known := c.kept[code]
	delete(c.kept, code)
	if !known || !c.now().Before(k.until) {
		return nil, nil //nolint:nilnil // how go-oauth2's stores say that there is none
	}
	return k.info, nil
}

// RemoveByCode does nothing: GetByCode took it out.
func (*codes) RemoveByCode(context.Context, string) error { return nil }

// RemoveByAccess does nothing: no token is kept.
func (*codes) RemoveByAccess(context.Context, string) error { return nil }

// RemoveByRefresh does nothing: there are no refresh tokens.
func (*codes) RemoveByRefresh(context.Context, string) error { return nil }

// GetByAccess finds nothing: no token is kept.
func (*codes) GetByAccess(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, oautherrors.ErrInvalidAccessToken
}

// GetByRefresh finds nothing: there are no refresh tokens.
func (*codes) GetByRefresh(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, oautherrors.ErrInvalidRefreshToken
}

// tokenEndpoint answers POST …/token.
func (d *Issuer) tokenEndpoint(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil || repeated(r.PostForm) {
			oauthProblem(w, http.StatusBadRequest, "invalid_request", "each parameter once, as a form")
			return
		}
		if r.PostForm.Get("grant_type") == deviceGrant {
			d.deviceToken(w, r, iss)
			return
		}
		r.Form = r.PostForm                           // what stands in the address counts for nothing
		_ = iss.oauth.server.HandleTokenRequest(w, r) // it has answered; whoever asked may have gone away
	}
}

// repeated reports whether a parameter was given twice, which RFC 6749 §3.1 forbids: two readers could take two values.
func repeated(form url.Values) bool {
	for _, values := range form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

func oauthProblem(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Cache-Control", "no-store")
	reply(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
}

// wantsOpenID reports whether a scope asks for a sign-in; any other scope is ignored (OpenID Connect Core 1.0 §3.1.2.1).
func wantsOpenID(scope string) bool { return slices.Contains(strings.Fields(scope), "openid") }
