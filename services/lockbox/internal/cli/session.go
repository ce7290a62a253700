package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/signin"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/spf13/cobra"
)

// session is one user's connection to one Lockbox.
type session struct {
	*client.Client
	app     *app
	command *cobra.Command
	// demo is nil unless a demo is running on this machine.
	demo *runinfo.Demo
	// portal is the portal's URL; empty if none is known.
	portal string
	// from describes the source of the caller's token; empty if nobody is signed in.
	from string
	// own is the caller's own customer, once it was asked for; empty for the provider's people.
	own *string
	// alone is set if no Lockbox is running, so that nothing can be queried.
	alone bool
	// unread is set if details of events could not be read, besides those that a journal knows of.
	unread bool
}

// with wraps a command's function so that it runs in a session.
func (a *app) with(do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		s, err := a.open(c)
		if err != nil {
			return err
		}
		defer s.Close()
		err = do(c.Context(), s, args)
		if s.unread || s.Unread() {
			_, _ = io.WriteString(a.Err, render.Paragraphs(a.lookAt(a.ErrTerminal), "Names, addresses and texts in the stream "+
				"are encrypted, and were not read: there is no secret of the key store here. --erasable-key names its file."))
		}
		return err
	}
}

// Journal opens the event stream for reading, with the compliance team's key. Where the deployment's key is known, what
// is not signed by its writer is no event. The caller must close it.
func (s *session) Journal(ctx context.Context) (*journal.Journal, error) {
	keys, err := pinned(s.app.writersKey(""))
	if err != nil {
		return nil, err
	}
	if keys == nil {
		return s.Client.Journal(ctx)
	}
	return s.Client.Journal(ctx, journal.WithKeyring(keys))
}

// running returns the running Lockbox of this machine. If the bus is named explicitly, that one alone is used.
func (a *app) running() (runinfo.Info, error) {
	if url := first(a.url, a.Getenv("LOCKBOX_URL")); url != "" {
		info := runinfo.Info{NATSURL: url, KeysDir: first(a.keys, a.Getenv("LOCKBOX_KEYS")),
			CAFile: first(a.ca, a.Getenv("LOCKBOX_CA"))}
		var err error
		if demo := a.Getenv("LOCKBOX_DEMO"); demo != "" {
			info.Demo, err = runinfo.DemoIn(demo)
		}
		return info, err
	}
	dir, err := dataDir(a.data, a.Getenv)
	if err != nil {
		return runinfo.Info{}, err
	}
	info, err := runinfo.Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return info, fmt.Errorf("%w (looked in %s)", errNothingRuns, dir)
	}
	if keys := first(a.keys, a.Getenv("LOCKBOX_KEYS")); keys != "" {
		info.KeysDir = keys
	}
	info.CAFile = first(a.ca, a.Getenv("LOCKBOX_CA"), info.CAFile)
	return info, err
}

func (a *app) open(c *cobra.Command) (*session, error) {
	info, err := a.running()
	if err != nil {
		return nil, err
	}
	if info.KeysDir == "" {
		return nil, usage(c, "--url needs --keys, the directory of your bus keys")
	}
	tokens, from, err := a.tokens(c, info)
	if err != nil {
		return nil, err
	}
	return &session{
		Client: client.New(client.Config{URL: info.NATSURL, KeysDir: info.KeysDir, CA: info.CAFile, Tokens: tokens,
			Timeout: a.timeout, ErasableKey: first(a.erasableKey, a.Getenv("LOCKBOX_ERASABLE_KEY"))}),
		app: a, command: c, demo: info.Demo, portal: info.PortalURL, from: from,
	}, nil
}

// tokens returns the source of the caller's token and its description. Flags take precedence over the environment, and
// that over a saved sign-in.
func (a *app) tokens(c *cobra.Command, info runinfo.Info) (source client.TokenSource, from string, err error) {
	as, file, profile := a.as, a.tokenFile, a.profile
	if as == "" && file == "" && profile == "" {
		as, file, profile = a.Getenv("LOCKBOX_AS"), a.Getenv("LOCKBOX_TOKEN_FILE"), a.Getenv("LOCKBOX_PROFILE")
	}
	said := 0
	for _, who := range []string{as, file, profile} {
		if who != "" {
			said++
		}
	}
	switch {
	case said > 1:
		return nil, "", usage(c,
			"say who you are once: with --as (LOCKBOX_AS), with --token-file (LOCKBOX_TOKEN_FILE) or with --profile (LOCKBOX_PROFILE)")
	case file != "":
		return client.TokenFile(file), "file " + file, nil
	case as != "" && info.Demo == nil:
		return nil, "", refusal.Unauthenticated("as", "demo", "--as is for the demo only, and this is none")
	case as != "":
		p := client.Persona{Dir: info.Demo.Dir, IssuerURL: info.Demo.IssuerURL, SecretFile: info.Demo.SecretFile, Name: as}
		return p, "persona " + as + " of the demo", nil
	}
	return a.saved(profile)
}

// saved returns the sign-in saved by `lockbox login`. It is an error if a profile was named but does not exist.
func (a *app) saved(profile string) (source client.TokenSource, from string, err error) {
	store, err := signin.DefaultStore(a.Getenv)
	if err != nil {
		if profile == "" {
			err = nil
		}
		return nil, "", err
	}
	name := first(profile, signin.DefaultProfile)
	if err := signin.CheckProfile(name); err != nil {
		return nil, "", err
	}
	if _, err := os.Stat(store.Path(name)); profile == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	return signin.Profile{Store: store, Name: name, Now: a.Now}, "login, profile " + name + ", " + store.Path(name), nil
}

// claims returns the claims of the caller's token, unverified.
func (s *session) claims(ctx context.Context) (client.Claims, error) {
	token, err := s.Token(ctx)
	if err != nil {
		return client.Claims{}, err
	}
	return client.ReadClaims(token)
}

// self asks the services who the caller is.
func (s *session) self(ctx context.Context) (*lockboxv1.SelfView, error) {
	of, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := s.ask(ctx, of, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	return reply.GetSelf(), err
}

// me returns the caller's identity as recorded in events; nil if nobody is signed in.
func (s *session) me(ctx context.Context) *lockboxv1.Person {
	if v, err := s.self(ctx); err == nil && v.GetActor() != nil { // an issuer may name people by another claim than sub
		return v.GetActor().GetPerson()
	}
	c, err := s.claims(ctx)
	if err != nil {
		return nil
	}
	return &lockboxv1.Person{Issuer: c.Issuer, Subject: c.Subject}
}

// tenant returns the selected customer: the one named, or else the caller's own. Empty means all customers, which only
// the provider's staff may query.
func (s *session) tenant(ctx context.Context) (string, error) {
	if named := first(s.app.tenant, s.app.Getenv("LOCKBOX_TENANT")); named != "" {
		return named, input.Tenant("tenant", named)
	}
	if s.demo == nil {
		return s.ownTenant(ctx), nil
	}
	claims, err := s.claims(ctx)
	if err != nil {
		return "", err
	}
	own, _ := strings.CutPrefix(claims.Issuer, s.demo.IssuerURL+"/t/")
	if own == claims.Issuer {
		return "", nil
	}
	return own, nil
}

// ownTenant returns the customer that the caller's token belongs to, as the services say; empty if it is none's, or
// while they cannot be asked.
func (s *session) ownTenant(ctx context.Context) string {
	if s.own == nil && s.from != "" && !s.alone {
		own := ""
		who := &lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}
		if reply, err := s.Ask(ctx, who); err == nil {
			own = reply.GetSelf().GetTenant()
		}
		s.own = &own
	}
	if s.own == nil {
		return ""
	}
	return *s.own
}

// oneTenant is tenant for commands that require one.
func (s *session) oneTenant(ctx context.Context) (string, error) {
	t, err := s.tenant(ctx)
	if err == nil && t == "" {
		err = usage(s.command, "name the customer with --tenant (or LOCKBOX_TENANT)")
	}
	return t, err
}

// ask sends a query about the selected tenant.
func (s *session) ask(
	ctx context.Context, tenant string, minSequence uint64, q *lockboxv1.Query,
) (*lockboxv1.QueryReply, error) {
	q.Tenant, q.MinSequence = tenant, minSequence
	return s.Ask(ctx, q)
}

// request reads one request.
func (s *session) request(ctx context.Context, tenant, id string, minSequence uint64) (*lockboxv1.RequestView, error) {
	reply, err := s.ask(ctx, tenant, minSequence,
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	return reply.GetRequest(), err
}

// find reads the request named by an argument: a full id, or its beginning or end as shown in lists.
func (s *session) find(ctx context.Context, arg string) (*lockboxv1.RequestView, error) {
	tenant, err := s.tenant(ctx)
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(arg)
	if input.UUIDv7("request", id) != nil {
		if id, tenant, err = s.expand(ctx, id); err != nil {
			return nil, err
		}
	}
	return s.request(ctx, tenant, id, 0)
}

// shortest is the minimum number of characters of an abbreviated id.
const shortest = 4

// expand resolves an abbreviated request id among all requests that the caller sees.
func (s *session) expand(ctx context.Context, part string) (id, of string, err error) {
	if err := s.checkPart(part); err != nil {
		return "", "", err
	}
	const named = 10 // of those that it could be
	list, err := s.requests(ctx, &lockboxv1.ListRequests{IdPart: part, Limit: named}, named)
	if err != nil {
		return "", "", err
	}
	v, err := pick(s.command, "request", part, "lockbox request list", list.GetRequests(), candidateOf)
	return v.GetRequestId(), v.GetTenant(), err
}

func (s *session) checkPart(part string) error {
	if len(part) < shortest || strings.Trim(part, "0123456789abcdef-") != "" {
		return usage(s.command, "%q is not a request ID (full ID, or at least %d characters of its start or end)", part,
			shortest)
	}
	return nil
}

func isPart(part, id string) bool { return strings.HasPrefix(id, part) || strings.HasSuffix(id, part) }

// candidateOf tells a request from others.
func candidateOf(v *lockboxv1.RequestView) candidate {
	return candidate{id: v.GetRequestId(), about: render.OneOf(v)}
}

// cast returns the demo personas who could act on a request next; outside the demo, none.
func (s *session) cast(v *lockboxv1.RequestView) render.Cast {
	if s.demo == nil {
		return render.Cast{Program: s.app.Program, Portal: s.portal}
	}
	c := render.Cast{Program: s.app.Program, Portal: s.portal,
		Requester: devissuer.NameOf(s.demo.Shape, v.GetRequester().GetPerson().GetSubject())}
	var owners []string
	if list := v.GetLockbox().GetApprovers(); len(list) > 0 {
		c.Approver = devissuer.NameOf(s.demo.Shape, list[0].GetPerson().GetSubject())
	}
	for _, p := range devissuer.Personas() {
		// The provider cannot see who was asked. In the demo, a tenant's first persona is its Global Administrator and
		// the second owns its subscriptions.
		if p.Tenant != "" && p.Tenant == v.GetTenant() && len(owners) < 2 {
			owners = append(owners, p.Name)
		}
		own := first(p.Human, p.Name) == c.Requester // nobody decides their own request, with whatever account
		if c.Internal == "" && slices.Contains(p.Groups, render.WaitingGroup(v)) && !own {
			c.Internal = p.Name
		}
	}
	if c.Approver == "" && len(owners) == 2 {
		c.Approver = owners[0]
		if v.GetIntent().GetSubscriptionId() != "" {
			c.Approver = owners[1]
		}
	}
	return c
}

const (
	settleTime  = 3 * time.Second
	settlePause = 50 * time.Millisecond
)

// settled reads a request until it has reached a stable state, or a few seconds have passed. In the other states only
// Lockbox itself acts, within moments.
func (s *session) settled(ctx context.Context, tenant, id string, minSequence uint64) (*lockboxv1.RequestView, error) {
	deadline := s.app.Now().Add(settleTime)
	for {
		v, err := s.request(ctx, tenant, id, minSequence)
		passing := v.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_SUBMITTED ||
			v.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED
		if err != nil || !passing || s.app.Now().After(deadline) {
			return v, err
		}
		if err := sleep(ctx, settlePause); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// first returns the first non-empty text.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
