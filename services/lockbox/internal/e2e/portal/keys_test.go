package portal_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/ops"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/portal"
	"github.com/openlockbox/lockbox/services/verifier/witness"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// signing is a site on which people can have keys: its portal has a name, and its log has a witness.
func signing(t *testing.T) *world {
	t.Helper()
	dir, keys := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "keys"), 0o700))
	_, err := logkeys.LoadOrCreate(filepath.Join(dir, "keys"), "lockbox.localhost/log")
	must(t, err)
	public, err := os.ReadFile(filepath.Join(dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	its, err := witness.CreateKey(filepath.Join(keys, "key"), "witness.example")
	must(t, err)
	sees, err := witness.Open(t.TempDir(), its, []string{strings.TrimSpace(string(public))}, time.Now)
	must(t, err)
	server := httptest.NewServer(sees.Handler())
	t.Cleanup(func() {
		server.Close()
		must(t, sees.Close())
	})
	policy := filepath.Join(keys, "policy")
	must(t, os.WriteFile(policy, fmt.Appendf(nil, "log %switness them %s %s\nquorum them\n", public,
		its.VerifierKey(), server.URL), 0o600))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	at := listener.Addr().(*net.TCPAddr) //nolint:errcheck // as it was asked for
	must(t, listener.Close())
	log := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	info, stop, err := launchWith(dir, log, request.DefaultTerms(), func(c *stack.Config) {
		c.LogPolicy = policy
		c.Portal = &portal.Config{Listen: at.String(), URL: fmt.Sprintf("http://localhost:%d", at.Port)}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	return &world{T: t, info: info}
}

// authenticator puts a security key or a passkey's device at a browser.
func (b *tab) authenticator(o webauthn.VirtualAuthenticatorOptions) webauthn.AuthenticatorID {
	b.Helper()
	o.Protocol, o.Ctap2version = webauthn.AuthenticatorProtocolCtap2, webauthn.Ctap2versionCtap21
	o.AutomaticPresenceSimulation = true
	var id webauthn.AuthenticatorID
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		made, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &o})
		id = made.AuthenticatorID
		return err
	}))
	return id
}

var (
	// passkey is on one device, and unlocked by whom it belongs to.
	passkey = webauthn.VirtualAuthenticatorOptions{Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true}
	// stick is a security key with a PIN that keeps no credentials.
	stick = webauthn.VirtualAuthenticatorOptions{Transport: webauthn.AuthenticatorTransportUsb,
		HasUserVerification: true, IsUserVerified: true}
)

// recognises says whether an authenticator verifies its user.
func (b *tab) recognises(id webauthn.AuthenticatorID, is bool) {
	b.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, webauthn.SetUserVerified,
			webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: is})
		return err
	}))
}

// addCredential is webauthn.AddCredential without members that not every authenticator takes.
var addCredential = cdp.Command[map[string]any, cdp.Empty]{Method: webauthn.CommandAddCredential}

// clone replaces an authenticator by a copy that has not counted.
func (b *tab) clone(id webauthn.AuthenticatorID) {
	b.Helper()
	var copied *webauthn.Credential
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		has, err := cdp.Call(ctx, t, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: id})
		if err != nil || len(has.Credentials) != 1 || has.Credentials[0].SignCount < 2 {
			return fmt.Errorf("%d credentials: %w", len(has.Credentials), err)
		}
		copied = has.Credentials[0]
		_, err = cdp.Call(ctx, t, webauthn.RemoveVirtualAuthenticator,
			webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: id})
		return err
	}))
	second := b.authenticator(stick)
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, addCredential, map[string]any{"authenticatorId": second, "credential": map[string]any{
			"credentialId": copied.CredentialID, "isResidentCredential": copied.IsResidentCredential, "rpId": copied.RpID,
			"privateKey": copied.PrivateKey, "signCount": 1}})
		return err
	}))
}

// appoint makes somebody a Global Administrator too.
func (w *world) appoint(by, who, tenant string) {
	w.Helper()
	reply, err := w.person(who).Ask(w.Context(), &lockboxv1.Query{Tenant: tenant,
		Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	must(w, err)
	p := reply.GetSelf().GetActor().GetPerson()
	p.Human = ""
	w.does(by, &lockboxv1.Command{Tenant: tenant, Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{
		Assignment: &lockboxv1.RoleAssignment{Id: who + "-too", Person: p,
			Role:  lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR,
			Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}}}})
}

// forges approves a request as the insider of `lockbox demo forge`.
func (w *world) forges(id string) {
	w.Helper()
	env := cli.System()
	var out bytes.Buffer
	env.Out, env.Err = &out, &out
	if code := cli.Run(w.Context(), []string{"demo", "forge", id, "--data", filepath.Dir(w.info.KeysDir)}, env,
		ops.Commands()...); code != 0 || !strings.Contains(out.String(), "Access did not begin") {
		w.Fatalf("%d: %s", code, &out)
	}
}

// enters opens a page of the portal and signs in.
func (b *tab) enters(address, persona string) {
	b.Helper()
	b.visit(address)
	b.signIn(persona)
}

// enrols registers a key of the browser's.
func (b *tab) enrols(keys, label string) {
	b.Helper()
	b.visit(keys + "/enrol")
	b.fill("#label", label)
	b.press("#enrol button.main")
	b.reads(label)
}

// offline makes an SSH key as the customer does, and signs with it as they do.
type offline struct {
	*testing.T
	dir string
}

func newOffline(t *testing.T) offline {
	t.Helper()
	o := offline{t, t.TempDir()}
	o.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "recovery", "-f", filepath.Join(o.dir, "recovery"))
	return o
}

func (o offline) run(name string, args ...string) {
	o.Helper()
	if out, err := exec.CommandContext(o.Context(), name, args...).CombinedOutput(); err != nil { // #nosec G204 -- a test
		o.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (o offline) public() string {
	o.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, "recovery.pub"))
	must(o.T, err)
	return string(data)
}

func (o offline) sign(statement, format string) string {
	o.Helper()
	file := filepath.Join(o.dir, "statement")
	must(o.T, os.WriteFile(file, []byte(statement), 0o600))
	o.run("ssh-keygen", "-q", "-Y", "sign", "-n", approval.Namespace(format), "-f", filepath.Join(o.dir, "recovery"), file)
	data, err := os.ReadFile(file + ".sig") // #nosec G304 -- a test's own
	must(o.T, err)
	return string(data)
}

// Two administrators establish keys and one of them approves with hers; who has none is told so in words. Each reads
// their own language.
func TestFromKeysToASignedApproval(t *testing.T) {
	t.Parallel()
	w := signing(t)
	health1 := intent()
	health1.Tenant, health1.SubscriptionId, health1.TicketId = health, demo.HealthClinic, demo.HealthTicket
	health1.ResourceIds = []string{demo.Machine(demo.HealthClinic, "booking-1")}
	for _, c := range []struct {
		name, tenant, first, second, approver, stranger, engineer string
		intent                                                    *lockboxv1.AccessIntent
		// What the second reads: on the page that signs, and what the stranger reads.
		text, refused, language string
	}{
		{"bank", bank, "grace", "fleur", "fleur", "otto", "erin", intent(), "Vous approuvez cette demande.",
			"you have no active key", "fr"},
		{"health", health, "hana", "kenji", "kenji", "", "bob", health1, "この要求を承認します。", "", "ja"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, info: w.info}
			w.appoint(c.first, c.second, c.tenant)
			base := w.info.PortalURL + "/t/" + c.tenant
			first, second := w.browser(desktop), w.browser(phoneDark)
			blue, red := first.authenticator(passkey), second.authenticator(stick)
			first.enters(base+"/keys", c.first)
			first.accessible()
			first.picture("keys-1-none-" + c.name)
			first.visit(base + "/keys/enrol")
			first.accessible()
			first.picture("keys-2-enrol-" + c.name)
			first.enrols(base+"/keys", "blue key")
			second.enters(base+"/keys", c.second)
			second.enrols(base+"/keys", "red key")

			// A genesis is drafted, and signed by both and by the key that is kept offline.
			cold := newOffline(t)
			first.visit(base + "/keys/genesis")
			first.fill("#recovery", cold.public())
			first.accessible()
			first.picture("keys-3-genesis-" + c.name)
			first.press("#genesis button.main")
			first.accessible()
			first.picture("keys-4-statement-" + c.name)
			words := first.text("#words")
			if len(strings.Fields(words)) != approval.FingerprintWords {
				t.Errorf("the fingerprint reads %q", words)
			}
			page, _, _ := strings.Cut(first.at(), "?")
			statement := first.attribute(`#sign input[name=statement]`, "value")
			// A key that does not recognise its owner signs nothing, and the page says so.
			first.recognises(blue, false)
			first.do(chromedp.Click(chromedp.CSS("#sign button.main")))
			first.eventually("why nothing was signed", func() bool {
				return first.has(`[data-failed="NotAllowedError"]:not([hidden])`)
			})
			first.recognises(blue, true)
			first.press("#sign button.main")
			first.fill("#ssh", cold.sign(statement, approval.FormatGenesis))
			first.press("#by-ssh button")
			second.visit(page)
			if got := second.text("#words"); got != words {
				t.Errorf("the second reads %q, the first %q", got, words)
			}
			second.accessible()
			second.picture("keys-5-statement-phone-dark-" + c.name)
			second.press("#sign button.main")
			second.reads(words)
			second.accessible()
			second.picture("keys-6-begun-phone-dark-" + c.name)
			second.visit(base + "/keys/fingerprint")
			second.accessible()
			second.picture("keys-7-fingerprint-phone-dark-" + c.name)

			id := w.requested(c.engineer, c.intent, request.CustomerNotified)
			at := base + "/requests/" + id
			if c.stranger != "" { // who has no key is told what to do
				third := w.browser(desktopDark)
				third.enters(at, c.stranger)
				third.press(`a.button[href*="/approve/confirm"]`)
				third.press("#decision button.main")
				third.reads(c.refused)
				third.accessible()
				third.picture("keys-8-no-key-dark-" + c.name)
				third.quiet()
			}
			second.visit(at)
			second.press(`a.button[href*="/approve/confirm"]`)
			second.press("#decision button.main")
			second.reads(c.text)
			second.accessible()
			second.picture("keys-9-sign-phone-dark-" + c.name)
			eight := second.text("#words")
			if len(strings.Fields(eight)) != approval.DecisionWords {
				t.Errorf("the statement reads %q", eight)
			}
			second.press("#sign button.main")
			view := w.reaches(c.tenant, id, request.Active)
			signed := view.GetCustomerDecisions()[0].GetSigned()
			if got := approval.Text(approval.Digest(approval.FormatDecision, signed.GetStatement()),
				approval.DecisionWords); got != eight {
				t.Errorf("%q was signed, not what the page said: %q", got, eight)
			}
			second.visit(at)
			second.reads(eight)
			if !second.has(`section[aria-labelledby=signatures] .state.good`) {
				t.Error("the request does not say that its approval is signed")
			}
			second.accessible()
			second.picture("keys-10-approved-phone-dark-" + c.name)

			// An approval that somebody with the orchestrator's keys forges is shown as not signed, and gives no access.
			c.intent.Id = ""
			other := w.requested(c.engineer, c.intent, request.CustomerNotified)
			w.forges(other)
			w.reaches(c.tenant, other, request.Lapsed)
			second.visit(base + "/requests/" + other)
			if !second.has(`section[aria-labelledby=signatures] .state.wait`) ||
				second.has(`section[aria-labelledby=signatures] .state.good`) {
				t.Error("a forged approval is not shown as unsigned")
			}
			second.accessible()
			second.picture("keys-13-forged-phone-dark-" + c.name)

			// Signed out, with a copy of the key whose counter has fallen behind, access is revoked all the same.
			second.visit(at + "/revoke")
			second.accessible()
			saved := run(second, chromedp.Evaluate[string](
				"fetch("+strconv.Quote(at+"/revocation")+").then((r) => r.text())", chromedp.EvalAwaitPromise))
			second.clone(red)
			second.press(`form[action="/signout"] button`)
			second.visit(w.info.PortalURL + "/revoke?lang=" + c.language)
			second.fill("#saved", saved)
			second.fill("#reason", "x")
			second.accessible()
			second.picture("keys-11-revoke-phone-dark-" + c.name)
			second.press("#revoke button.main")
			second.accessible()
			second.press("#sign button.bad")
			second.accessible()
			w.reaches(c.tenant, id, request.Revoked)
			first.visit(base + "/keys")
			if !first.has(`[data-label] .note.wait time`) {
				t.Error("nobody is told that two devices may have the key")
			}
			first.accessible()

			// Whatever could get around a demand is signed too.
			first.visit(base + "/administration/lockbox")
			first.fill("#reason", "x")
			first.press("main form button.bad")
			first.accessible()
			first.picture("keys-12-change-" + c.name)
			first.press("#sign button.main")
			first.eventually("Lockbox is off", func() bool {
				reply, err := w.person(c.first).Ask(t.Context(), &lockboxv1.Query{Tenant: c.tenant,
					Ask: &lockboxv1.Query_GetTenant_{GetTenant_: &lockboxv1.GetTenant{}}})
				return err == nil && !reply.GetTenant().GetLockboxEnabled()
			})
			first.quiet()
			second.quiet()
		})
	}
}
