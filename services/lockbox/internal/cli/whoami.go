package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/build"
	"github.com/openlockbox/lockbox/pkg/refusal"
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
	// Verified says that the services took the token, Refused why they did not; neither, that they were not asked.
	Verified bool   `json:"verified"`
	Refused  string `json:"refused"`
	// Claims say what each claim counted for.
	Claims []claimReading `json:"claims"`

	view *lockboxv1.SelfView
}

// claimReading is what a claim counted for, for JSON and YAML output.
type claimReading struct {
	Fact     string   `json:"fact"`
	Claim    string   `json:"claim"`
	Says     string   `json:"says"`
	CountsAs string   `json:"counts_as"`
	Needs    []string `json:"needs"`
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who you are, as your token says", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Shows what your token says of you, how long it is good for, and where it comes from. Nothing of it is verified here: the
services are asked, if a Lockbox runs. They say whether your token is good, which roles you hold, and what each claim of your
token counted for: for instance which of your groups they know, or what would count as a second factor.`,
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
				text = render.Fields(a.look(), w.fields(a.look())) + render.Claims(a.look(), w.view)
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
		Claims: []claimReading{},
	}
	if !c.ExpiresAt.IsZero() {
		expires := c.ExpiresAt.UTC()
		w.ExpiresAt = &expires
	}
	if w.Tenant, err = s.tenant(ctx); err != nil || s.alone {
		return w, err
	}
	if err := w.verified(s.self(ctx)); err != nil || w.Tenant == "" {
		return w, err
	}
	v, err := s.tenantView(ctx, w.Tenant, 0)
	if err != nil {
		if code := ExitCode(err); code == exitForbidden || code == exitNotFound {
			return w, nil // a person without access holds no role
		}
		return nil, err
	}
	w.Roles = heldRoles(v, &lockboxv1.Person{Issuer: w.Issuer, Subject: w.Subject})
	return w, nil
}

// verified replaces what the token says by what the services made of it.
func (w *whoami) verified(v *lockboxv1.SelfView, err error) error {
	switch code := ExitCode(err); {
	case code == exitUnauthenticated:
		r, _ := refusal.As(err)
		w.Refused = r.GetMessage()
		return nil
	case code == exitForbidden || code == exitNotFound || code == exitInvalid || code == exitUnavailable:
		return nil // that says nothing about the token
	case err != nil:
		return err
	case v.GetActor() == nil:
		return nil
	}
	by := v.GetActor()
	p := by.GetPerson()
	w.Verified, w.view = true, v
	w.Name, w.Email, w.Issuer, w.Subject = p.GetDisplayName(), p.GetEmail(), p.GetIssuer(), p.GetSubject()
	w.Employer, w.Groups = by.GetEmployer(), append([]string{}, by.GetGroups()...)
	w.MultiFactor, w.IsolatedIdentity = by.GetMultiFactor(), by.GetIsolatedIdentity()
	for _, c := range v.GetClaims() {
		w.Claims = append(w.Claims, claimReading{c.GetFact(), c.GetClaim(), c.GetSays(), c.GetCountsAs(),
			append([]string{}, c.GetNeeds()...)})
	}
	return nil
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
		{"Token expires", expires}, {"Token from", w.TokenFrom}, {"Refused", w.refused()},
	}
}

func (w *whoami) refused() string {
	if w.Refused == "" {
		return ""
	}
	return "the services do not take this token: " + w.Refused
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Args: exactly(), ValidArgsFunction: nothing,
		RunE: func(*cobra.Command, []string) error {
			v := build.Version()
			text, err := render.ValueJSON(v)
			switch {
			case err != nil:
				return err
			case a.output == formatTable:
				text = fmt.Sprintln("lockbox", v)
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
