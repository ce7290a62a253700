package cli

import (
	"context"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

// changeFlags are a change of where a tenant's people sign in, as flags. What has no flag stays as it is.
type changeFlags struct {
	issuerFlags
	name, reason   string
	administrators []string
}

func (in *changeFlags) add(c *cobra.Command) {
	in.issuerFlags.add(c, "")
	f := c.Flags()
	f.StringArrayVar(&in.administrators, "admin", nil,
		"a Global Administrator as `subject,name,address[,language]` (repeat for several)")
	f.StringVar(&in.reason, "reason", "", "`why`; everybody concerned reads it")
	_ = c.MarkFlagRequired("reason")
}

// read returns the change that the flags describe, for a tenant as it is.
func (in *changeFlags) read(
	ctx context.Context, a *app, c *cobra.Command, now *lockboxv1.SignInView,
) (*lockboxv1.SignInChange, *jwks.Found, error) {
	change := &lockboxv1.SignInChange{DisplayName: in.name, Reason: in.reason}
	var found *jwks.Found
	issuer := now.GetIssuer().GetUrl()
	people, wrong := in.people(c)
	touches := in.touchesIssuer(c)
	if touches {
		in.keep(c, now.GetIssuer())
		wrong = append([]error{in.keys(c)}, append(in.faults(), wrong...)...)
	}
	if err := allOf(wrong); err != nil {
		return nil, nil, err
	}
	if touches {
		looking, cancel := context.WithTimeout(ctx, max(a.timeout, 10*time.Second))
		defer cancel()
		var err error
		if change.Issuer, found, err = in.issuerFlags.read(looking, a, c); err != nil {
			return nil, nil, err
		}
		issuer = change.GetIssuer().GetUrl()
	}
	for _, p := range people {
		p.Issuer = issuer
		change.Administrators = append(change.Administrators, p)
	}
	return change, found, nil
}

// people reads the administrators that flags name, and returns what is wrong with them.
func (in *changeFlags) people(c *cobra.Command) (list []*lockboxv1.Person, wrong []error) {
	for _, text := range in.administrators {
		parts := strings.Split(text, ",")
		if len(parts) < 3 || len(parts) > 4 {
			wrong = append(wrong, usage(c, "--admin is subject,name,address or subject,name,address,language"))
			continue
		}
		p := &lockboxv1.Person{Subject: parts[0], DisplayName: parts[1], Email: parts[2]}
		if len(parts) == 4 {
			p.Language = parts[3]
		}
		list, wrong = append(list, p), append(wrong, flagged("admin", sound("administrators", p)))
	}
	return list, wrong
}

// touchesIssuer reports whether anything about the issuer is to change.
func (in *changeFlags) touchesIssuer(c *cobra.Command) bool {
	for _, flag := range []string{"issuer", "audience", "also-audience", "portal-client-id", "private-key-jwt", "jwks",
		"jwks-url", "human-claim", "subject-claim", "mfa-method", "mfa-class", "mfa-claim", "locale-claim",
		"auth-time-claim", "groups-claim", "map-group", "leeway", "token-max-bytes", "jwks-max-bytes", "ca-file"} {
		if c.Flags().Changed(flag) {
			return true
		}
	}
	return false
}

// keep fills in what no flag changes. Keys and authorities belong to their issuer: with another one they are looked
// for anew.
func (in *changeFlags) keep(c *cobra.Command, now *lockboxv1.TenantIssuer) {
	set := func(flag string) bool { return c.Flags().Changed(flag) }
	given := proto.CloneOf(&in.TenantIssuer)
	proto.Merge(&in.TenantIssuer, now) // lists are joined, so they are set below
	in.Url, in.Audience = first(given.GetUrl(), now.GetUrl()), first(given.GetAudience(), now.GetAudience())
	in.JwksUrl, in.Jwks = given.GetJwksUrl(), nil
	if in.Audiences = now.GetAudiences(); set("also-audience") {
		in.Audiences = given.GetAudiences()
	}
	if set("portal-client-id") {
		in.ClientId = given.GetClientId()
	}
	if set("private-key-jwt") {
		in.PrivateKeyJwt = given.GetPrivateKeyJwt()
	}
	for flag, claim := range map[string]struct{ to, given *string }{
		"human-claim":     {&in.HumanClaim, &given.HumanClaim},
		"subject-claim":   {&in.SubjectClaim, &given.SubjectClaim},
		"mfa-claim":       {&in.MultiFactorClaim, &given.MultiFactorClaim},
		"locale-claim":    {&in.LocaleClaim, &given.LocaleClaim},
		"groups-claim":    {&in.GroupsClaim, &given.GroupsClaim},
		"auth-time-claim": {&in.AuthenticationTimeClaim, &given.AuthenticationTimeClaim},
	} {
		if set(flag) {
			*claim.to = *claim.given
		}
	}
	if in.MultiFactorMethods = now.GetMultiFactorMethods(); set("mfa-method") {
		in.MultiFactorMethods = given.GetMultiFactorMethods()
	}
	if in.MultiFactorClasses = now.GetMultiFactorClasses(); set("mfa-class") {
		in.MultiFactorClasses = given.GetMultiFactorClasses()
	}
	if set("leeway") {
		in.Leeway = nil // read sets it
	}
	if set("token-max-bytes") {
		in.TokenMaxBytes = given.GetTokenMaxBytes()
	}
	if set("jwks-max-bytes") {
		in.JwksMaxBytes = given.GetJwksMaxBytes()
	}
	if set("ca-file") || in.GetUrl() != now.GetUrl() {
		in.Authorities = nil
	}
	// Another issuer has groups of its own, whose names may mean other people there.
	if in.GroupMap = nil; in.GetUrl() == now.GetUrl() {
		in.GroupMap = now.GetGroupMap()
	}
	if in.jwks == "" && in.GetJwksUrl() == "" && in.GetUrl() == now.GetUrl() {
		in.JwksUrl, in.kept = now.GetJwksUrl(), now.GetJwks()
	}
}

// proposing is a command that proposes a change by a route.
func (a *app) proposing(route lockboxv1.SignInRoute, c *cobra.Command, sentence string) *cobra.Command {
	in := &changeFlags{}
	in.add(c)
	if route == lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION {
		c.Flags().StringVar(&in.name, "name", "", "the customer's `name`")
	}
	c.Args, c.ValidArgsFunction = exactly(), nothing
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		now, err := s.tenantView(ctx, id, 0)
		if err != nil {
			return err
		}
		change, found, err := in.read(ctx, a, c, now.GetSignIn())
		if err != nil {
			return err
		}
		if change.GetIssuer() != nil && found != nil {
			found.Remarks = append(found.Remarks, unmapped(now, change.GetIssuer())...)
		}
		if in.onlyTry {
			return a.wouldStore(id, change, found)
		}
		reply, err := s.do(ctx, id, "", &lockboxv1.Command{Action: &lockboxv1.Command_ProposeSignInChange{
			ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: route, Change: change}}})
		if err != nil {
			return err
		}
		if found != nil {
			sentence += "\n" + strings.TrimSuffix(findings(a.look(), found), "\n")
		}
		return a.done(reply, "%s", sentence)
	})
	return c
}

// unmapped says which roles of groups nobody can activate through an issuer as it is going to be (R67).
func unmapped(now *lockboxv1.TenantView, next *lockboxv1.TenantIssuer) (remarks []string) {
	then := &lockboxv1.TenantView{SignIn: &lockboxv1.SignInView{Issuer: next}}
	for _, as := range assigned(now) {
		if tenant.ToGroup(as) && !render.Mapped(then, as.GetGroup()) {
			remarks = append(remarks, "it maps no group "+as.GetGroup()+
				" (--map-group), so nobody who signs in there can activate "+as.GetId())
		}
	}
	return remarks
}

// assigned lists the role assignments that somebody sees, of the tenant and its subscriptions.
func assigned(v *lockboxv1.TenantView) (list []*lockboxv1.RoleAssignment) {
	for _, a := range v.GetAssignments() {
		list = append(list, a.GetAssignment())
	}
	for _, s := range v.GetSubscriptions() {
		for _, a := range s.GetAssignments() {
			list = append(list, a.GetAssignment())
		}
	}
	return list
}

// settling is a command about the change that waits. Without a warning there is nothing to fear of it.
func (a *app) settling(
	c *cobra.Command, sentence, warning string, command func(id string) *lockboxv1.Command,
	routes ...lockboxv1.SignInRoute,
) *cobra.Command {
	c.ValidArgsFunction, c.Args = nothing, atMost("CHANGE")
	yes := new(bool)
	if warning != "" {
		yes = askAlways(c)
	}
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		var change string
		if len(args) > 0 {
			change = args[0]
		} else {
			v, err := s.tenantView(ctx, id, 0)
			if err != nil {
				return err
			}
			waiting := v.GetSignIn().GetPending()
			if waiting == nil || len(routes) > 0 && waiting.GetRoute() != routes[0] {
				return refusal.NotFound("change", "R65", "no such change waits")
			}
			change = waiting.GetChangeId()
		}
		if warning != "" {
			if err := a.confirmDangerous(ctx, c, *yes, warning, goOn); err != nil {
				return err
			}
		}
		return s.order(ctx, id, "", command(change), "%s", sentence)
	})
	return c
}

func confirmCommand(id string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmSignInChange{
		ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: id}}}
}

func (a *app) stopping(example string) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "stop [CHANGE]", Short: "Stop the change that waits", Example: example}
	c.Flags().StringVar(&reason, "reason", "", "`why`")
	return a.settling(c, "Stopped. Everything stays as it was.", "", func(id string) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_StopSignInChange{
			StopSignInChange: &lockboxv1.StopSignInChange{ChangeId: id, Reason: reason}}}
	})
}

func (a *app) tenantCorrectCommand() *cobra.Command {
	const route = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CORRECTION
	return group("correct", "Correct a customer that nobody has signed in to yet (onboarding)",
		`Until somebody of a customer has signed in, two people of onboarding can correct its issuer, audiences, keys, name and first
administrators. Everybody concerned is mailed, at the old addresses and the new. After that the customer changes it itself.`, "",
		a.proposing(route, &cobra.Command{Use: "propose", Short: "Propose a correction",
			Example: `  lockbox tenant correct propose --tenant meadowbank --issuer https://login.meadowbank.example \
      --admin "8f3a…,Grace Green,grace@meadowbank.example" --reason "The address was misspelled"`},
			"Proposed. Another one of onboarding confirms it with `lockbox tenant correct confirm`."),
		a.settling(&cobra.Command{Use: "confirm [CHANGE]", Short: "Confirm a correction that somebody else proposed",
			Example: "  lockbox tenant correct confirm --tenant meadowbank"},
			"Confirmed. It is corrected.", "It is corrected at once: whom it names can sign in.", confirmCommand, route),
		a.stopping("  lockbox tenant correct stop --tenant meadowbank"))
}

func (a *app) tenantIssuerCommand() *cobra.Command {
	const route = lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER
	finish := &cobra.Command{Use: "finish", Short: "End the former issuers, signed in through the new one",
		Args: exactly(), ValidArgsFunction: nothing,
		Long: `From then on only the present issuer is accepted. Roles of people of the former ones end, so give people their roles at the
new issuer first (lockbox role carry-over). It works only if you have signed in through the new one, so nobody is locked out.`,
		Example: "  lockbox tenant issuer finish --yes"}
	yes := askAlways(finish)
	finish.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		id, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		if err := a.confirmDangerous(ctx, finish, *yes,
			"Only the present issuer is accepted from now on: roles of people of the former ones end.", goOn); err != nil {
			return err
		}
		return s.order(ctx, id, "", &lockboxv1.Command{Action: &lockboxv1.Command_EndFormerSignIn{
			EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}}, "Only the present issuer is accepted from now on.")
	})
	return group("issuer", "Change where your people sign in",
		`A Global Administrator proposes another issuer, other keys, audiences or the claim that names the human. A second one confirms
it, or 24 hours pass in which any other can stop it. The former issuer or keys are accepted beside the new until a Global
Administrator who has signed in through the new ones ends them (finish). At another issuer people are others: name an
administrator there with --admin.`, "",
		a.proposing(route, &cobra.Command{Use: "propose", Short: "Propose to change where your people sign in",
			Example: `  lockbox tenant issuer propose --jwks new-keys.json --reason "Our keys rotate"
  lockbox tenant issuer propose --issuer https://id.meadowbank.example \
      --admin "a71c…,Grace Green,grace@meadowbank.example" --reason "We move"`},
			"Proposed. It is made when another Global Administrator confirms it, or in 24 hours unless one stops it."),
		a.settling(&cobra.Command{Use: "confirm [CHANGE]", Short: "Confirm a change that somebody else proposed",
			Example: "  lockbox tenant issuer confirm"},
			"Confirmed. Both sign-ins are accepted until somebody signed in through the new one ends the former "+
				"(`lockbox tenant issuer finish`).", "From now on your people can sign in as the change says.",
			confirmCommand, route),
		a.stopping("  lockbox tenant issuer stop"), finish)
}

func (a *app) tenantRecoverCommand() *cobra.Command {
	const route = lockboxv1.SignInRoute_SIGN_IN_ROUTE_RECOVERY
	return group("recover", "Help a customer whose administrators cannot sign in (onboarding)",
		`Two people of onboarding name another issuer or administrator. It is made seven days after the second confirmed it, and any
sign-in of one of the customer's administrators stops it. All its addresses are mailed at the beginning and before the end.`, "",
		a.proposing(route, &cobra.Command{Use: "propose", Short: "Propose a recovery",
			Example: `  lockbox tenant recover propose --tenant meadowbank \
      --admin "a71c…,Otto Owens,otto@meadowbank.example" --reason "Their only administrator left"`},
			"Proposed. Another one of onboarding confirms it with `lockbox tenant recover confirm`; then it waits seven days."),
		a.settling(&cobra.Command{Use: "confirm [CHANGE]", Short: "Confirm a recovery that somebody else proposed",
			Example: "  lockbox tenant recover confirm --tenant meadowbank"},
			"Confirmed. It is made in seven days unless one of the customer's administrators signs in.",
			"In seven days whom it names administers the customer, unless one of its administrators signs in.",
			confirmCommand, route),
		a.stopping("  lockbox tenant recover stop --tenant meadowbank"))
}
