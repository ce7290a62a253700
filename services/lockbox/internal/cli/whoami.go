package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/spf13/cobra"
)

// whoami is the identity that the token states, for JSON and YAML output.
type whoami struct {
	Name             string     `json:"name"`
	Email            string     `json:"email"`
	Issuer           string     `json:"issuer"`
	Subject          string     `json:"subject"`
	Employer         string     `json:"employer"`
	Groups           []string   `json:"groups"`
	MultiFactor      bool       `json:"multi_factor"`
	IsolatedIdentity bool       `json:"isolated_identity"`
	ExpiresAt        *time.Time `json:"expires_at"`
	// TokenFrom describes the source of the token: a persona, a file or a saved sign-in.
	TokenFrom string `json:"token_from"`
	Tenant    string `json:"tenant"`
	// Roles are the currently active roles, as the services see them.
	Roles []string `json:"roles"`
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who you are, as your token says", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Shows what your token says of you, how long it is good for, and where it comes from. Nothing of it is verified here: whoever
receives your messages does that. The roles that you hold are asked for, so they are shown only if your token is good, and if a
Lockbox runs.`,
		Example: "  lockbox whoami\n  lockbox whoami --as otto",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open(c)
			if errors.Is(err, errNothingRuns) {
				s, err = a.alone(c, err)
			}
			if err != nil {
				return err
			}
			defer s.Close()
			w, err := s.whoami(c.Context())
			if err != nil {
				return err
			}
			text, err := render.ValueJSON(w)
			if err != nil {
				return err
			}
			switch a.output {
			case formatTable:
				text = render.Fields(a.look(), w.fields(a.look()))
			case formatYAML:
				text, err = render.YAML(text)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.Out, text)
			return err
		},
	}
}

// alone returns a session for a user who has a token while no Lockbox is running; without a token it returns
// nothingRuns.
func (a *app) alone(c *cobra.Command, nothingRuns error) (*session, error) {
	tokens, from, err := a.tokens(c, runinfo.Info{})
	if err == nil && tokens == nil {
		err = nothingRuns
	}
	if err != nil {
		return nil, err
	}
	return &session{Client: client.New(client.Config{Tokens: tokens}), app: a, command: c, from: from, alone: true}, nil
}

func (s *session) whoami(ctx context.Context) (*whoami, error) {
	c, err := s.claims(ctx)
	if err != nil {
		return nil, err
	}
	w := &whoami{
		Name: c.Name, Email: c.Email, Issuer: c.Issuer, Subject: c.Subject, Employer: c.Employer,
		Groups:      append([]string{}, c.Groups...),
		MultiFactor: c.MultiFactor, IsolatedIdentity: c.IsolatedIdentity, TokenFrom: s.from, Roles: []string{},
	}
	if !c.ExpiresAt.IsZero() {
		expires := c.ExpiresAt.UTC()
		w.ExpiresAt = &expires
	}
	if w.Tenant, err = s.tenant(ctx); err != nil || w.Tenant == "" || s.alone {
		return w, err
	}
	v, err := s.tenantView(ctx, w.Tenant, 0)
	if err != nil {
		if code := ExitCode(err); code == exitForbidden || code == exitNotFound {
			return w, nil // a person without access holds no role
		}
		return nil, err
	}
	w.Roles = heldRoles(v, &lockboxv1.Person{Issuer: c.Issuer, Subject: c.Subject})
	return w, nil
}

// heldRoles lists a person's active roles.
func heldRoles(v *lockboxv1.TenantView, p *lockboxv1.Person) []string {
	roles := []string{}
	add := func(list []*lockboxv1.AssignmentView, of string) {
		for _, a := range list {
			name := tenant.RoleName(a.GetAssignment().GetRole()) + " of " + of
			if a.GetActive() && tenant.SamePerson(a.GetAssignment().GetPerson(), p) && !slices.Contains(roles, name) {
				roles = append(roles, name)
			}
		}
	}
	add(v.GetAssignments(), v.GetTenant())
	for _, sub := range v.GetSubscriptions() {
		add(sub.GetAssignments(), sub.GetSubscriptionId())
	}
	return roles
}

func (w *whoami) fields(l render.Look) [][2]string {
	signedIn := "with one factor"
	if w.MultiFactor {
		signedIn = "with several factors"
	}
	if w.IsolatedIdentity {
		signedIn += ", as an isolated identity"
	}
	expires := "-"
	if w.ExpiresAt != nil {
		expires = l.In(*w.ExpiresAt)
	}
	return [][2]string{
		{"Name", w.Name}, {"Address", w.Email}, {"Employer", w.Employer}, {"Groups", strings.Join(w.Groups, ", ")},
		{"Tenant", w.Tenant},
		{"Roles", strings.Join(w.Roles, ", ")}, {"Signed in", signedIn}, {"Issuer", w.Issuer}, {"Subject", w.Subject},
		{"Token expires", expires}, {"Token from", w.TokenFrom},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Args: exactly(), ValidArgsFunction: nothing,
		RunE: func(*cobra.Command, []string) error {
			v := version()
			text, err := render.ValueJSON(v)
			switch {
			case err != nil:
				return err
			case a.output == formatTable:
				text = fmt.Sprintf("lockbox %s (%s, built with %s)\n", v.Version, first(v.Revision, "unknown revision"), v.Go)
			case a.output == formatYAML:
				if text, err = render.YAML(text); err != nil {
					return err
				}
			}
			_, err = fmt.Fprint(a.Out, text)
			return err
		},
	}
}

type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
}

func version() buildVersion {
	v := buildVersion{Version: "(devel)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version, v.Go = first(info.Main.Version, v.Version), info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
