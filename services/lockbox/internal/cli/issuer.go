package cli

import (
	"context"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// issuerFlags are a tenant's issuer as flags, and how it is looked at before anything is stored.
type issuerFlags struct {
	lockboxv1.TenantIssuer
	jwks, ca        string
	unseen, onlyTry bool
	// kept are recorded keys that do not change.
	kept []byte
	// groups are the entries of the map of groups, as they were typed.
	groups []string
	leeway time.Duration
}

func (in *issuerFlags) add(c *cobra.Command, audience string) {
	f := c.Flags()
	f.StringVar(&in.Url, "issuer", "", "`URL` of the issuer, as its tokens name it (iss)")
	f.StringVar(&in.Audience, "audience", audience, "`what` its tokens for Lockbox are made out to")
	f.StringArrayVar(&in.Audiences, "also-audience", nil,
		"another `audience` that will do, as that of another client (repeat for several)")
	f.StringVar(&in.ClientId, "portal-client-id", "",
		"`id` of the portal as a public client there; with it people sign in to the portal without further configuration")
	f.BoolVar(&in.PrivateKeyJwt, "private-key-jwt", false,
		"the portal is no public client there, but has a key of its own (at PORTAL/.well-known/jwks.json)")
	f.StringVar(&in.jwks, "jwks", "", "`file` with the issuer's public keys, to be recorded as they are")
	f.StringVar(&in.JwksUrl, "jwks-url", "", "`URL` at which the issuer publishes its keys; none: where it says itself")
	f.StringVar(&in.HumanClaim, "human-claim", "",
		"`claim` of its tokens that is the same in all accounts of one human, such as an employee number")
	issuerClaims(f, &in.TenantIssuer)
	f.StringArrayVar(&in.groups, "map-group", nil,
		"`NAME=GROUP`: what you call a group, and what its tokens call it, a name or id (repeat; @FILE: one a line; \"\": none)")
	issuerLimits(f, in)
	f.StringVar(&in.ca, "ca-file", "",
		"`file` of the authorities that sign its servers' certificates, to be recorded (PEM); none: the public ones")
	f.BoolVar(&in.unseen, "no-check", false,
		"do not ask the issuer; only with --jwks, where it cannot be reached from here")
	f.BoolVar(&in.onlyTry, "dry-run", false, "show what would be stored and what was found, and store nothing")
	complete(c, "issuer", nothing)
	complete(c, "audience", nothing)
	complete(c, "human-claim", nothing)
	complete(c, "jwks-url", nothing)
}

// issuerClaims are the flags for claims that an issuer names otherwise than usual.
func issuerClaims(f *pflag.FlagSet, issuer *lockboxv1.TenantIssuer) {
	f.StringVar(&issuer.SubjectClaim, "subject-claim", "", "`claim` that identifies its people, such as oid; none: sub")
	f.StringSliceVar(&issuer.MultiFactorMethods, "mfa-method", nil,
		"`method` among amr that is a second factor; may be repeated; none: mfa")
	f.StringSliceVar(&issuer.MultiFactorClasses, "mfa-class", nil,
		"`class` as acr that is one, where tokens name no methods; may be repeated")
	f.StringVar(&issuer.MultiFactorClaim, "mfa-claim", "", "`claim` that lists the methods; none: amr")
	f.StringVar(&issuer.GroupsClaim, "groups-claim", "", "`claim` that lists a person's groups; none: groups")
	f.StringVar(&issuer.LocaleClaim, "locale-claim", "", "`claim` with a person's language; none: locale")
	f.StringVar(&issuer.AuthenticationTimeClaim, "auth-time-claim", "",
		"`claim` that says when they signed in; none: auth_time")
}

// issuerLimits are the flags for an issuer that needs more than usual.
func issuerLimits(f *pflag.FlagSet, in *issuerFlags) {
	f.DurationVar(&in.leeway, "leeway", 0, "how far its clock may be ahead, at most 5m; 0: 2s")
	f.Uint32Var(&in.TokenMaxBytes, "token-max-bytes", 0, "maximum size of its tokens, at most 49152 `bytes`; 0: 16384")
	f.Uint32Var(&in.JwksMaxBytes, "jwks-max-bytes", 0,
		"maximum size of its published key set, at most 1048576 `bytes`; 0: 131072")
}

// read returns the issuer and what it says of itself; found is nil if nobody asked it.
func (in *issuerFlags) read(
	ctx context.Context, a *app, c *cobra.Command,
) (*lockboxv1.TenantIssuer, *jwks.Found, error) {
	if err := in.keys(c); err != nil {
		return nil, nil, err
	}
	ti := proto.CloneOf(&in.TenantIssuer)
	if ti.GetJwks() == nil {
		ti.Jwks = in.kept
	}
	if in.jwks != "" {
		var err error
		if ti.Jwks, err = a.read(in.jwks); err != nil {
			return nil, nil, err
		}
	}
	if len(in.groups) > 0 {
		var err error
		if ti.GroupMap, err = a.groupMap(in.groups); err != nil {
			return nil, nil, err
		}
	}
	if in.leeway != 0 {
		ti.Leeway = durationpb.New(in.leeway)
	}
	if in.ca != "" {
		text, err := a.read(in.ca)
		if err != nil {
			return nil, nil, err
		}
		if ti.Authorities = certificates(text); len(ti.GetAuthorities()) == 0 {
			return nil, nil, refusal.Invalid("ca_file", "bad input", "%s holds no certificate", in.ca)
		}
	}
	if in.unseen {
		return ti, nil, nil
	}
	if _, err := plausible(ti); err != nil {
		return nil, nil, err
	}
	found, err := jwks.Look(ctx, ti)
	if err != nil {
		return nil, nil, err
	}
	if len(ti.GetJwks()) == 0 && ti.GetJwksUrl() == "" {
		ti.JwksUrl = found.KeysAt
	}
	more, err := plausible(ti)
	found.Remarks = append(found.Remarks, more...)
	for _, authority := range render.Authorities(a.look(), ti) {
		found.Remarks = append(found.Remarks, "its servers are known by the authority "+authority+", and by no public one")
	}
	return ti, &found, err
}

// keys refuses flags about the issuer's keys that contradict each other.
func (in *issuerFlags) keys(c *cobra.Command) error {
	switch {
	case in.jwks != "" && in.GetJwksUrl() != "":
		return usage(c, "either --jwks names the file with the issuer's public keys, or --jwks-url where they are")
	case in.unseen && in.jwks == "":
		return usage(c, "--no-check needs --jwks: keys that are fetched can be "+
			"looked at, and a mistake in where they are would lock the customer out")
	}
	return nil
}

// groupMap reads a map of groups: the tenant's name of each, `=`, and what the issuer's tokens call it. The first `=`
// is meant: names of the tenant's own need none, and those of a directory have some. Without one, both are the same.
func (a *app) groupMap(entries []string) (list []*lockboxv1.MappedGroup, err error) {
	for _, entry := range entries {
		lines := []string{entry}
		if file, is := strings.CutPrefix(entry, "@"); is {
			text, err := a.read(file)
			if err != nil {
				return nil, err
			}
			lines = strings.Split(string(text), "\n")
		}
		for _, line := range lines {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") && len(lines) > 1 {
				continue
			}
			name, id, is := strings.Cut(line, "=")
			if !is {
				name, id = "", line
			}
			list = append(list, &lockboxv1.MappedGroup{Id: strings.TrimSpace(id), Name: strings.TrimSpace(name)})
		}
	}
	return list, nil
}

// certificates returns the blocks of a PEM file without the remarks that tools write between them. What is no
// certificate is left for the check to refuse.
func certificates(text []byte) (blocks []byte) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return blocks
		}
		block.Headers = nil
		blocks = append(blocks, pem.EncodeToMemory(block)...)
	}
}

// plausible refuses what the services would refuse, and remarks on what is hardly ever meant.
func plausible(ti *lockboxv1.TenantIssuer) (remarks []string, err error) {
	checked := proto.CloneOf(ti)
	if checked.GetJwksUrl() == "" && len(checked.GetJwks()) == 0 {
		checked.JwksUrl = checked.GetUrl() // not known before the issuer said it
	}
	switch {
	case ti.GetUrl() == "":
		return nil, refusal.Invalid("issuer.url", "R13", "is missing; it is what the issuer's tokens say as iss")
	case strings.HasPrefix(ti.GetUrl(), "http://"):
		if r, _ := refusal.As(identity.CheckTenantIssuer(checked, nil)); strings.HasSuffix(r.GetField(), "url") {
			return nil, refusal.Invalid("issuer.url", "R13",
				"must begin with https: anybody on the way could change what is read over http")
		}
	case !strings.Contains(ti.GetUrl(), "://"):
		return nil, refusal.Invalid("issuer.url", "R13", "must be a whole address; did you mean https://%s?", ti.GetUrl())
	}
	for _, audience := range append([]string{ti.GetAudience()}, ti.GetAudiences()...) {
		switch {
		case audience == ti.GetUrl():
			return nil, refusal.Invalid("issuer.audience", "R13",
				"is the issuer itself; it has to be Lockbox, as the issuer knows it: a client id or the name of an API")
		case strings.ContainsAny(audience, " @"):
			remarks = append(remarks, fmt.Sprintf("the audience %q does not look like a client id", audience))
		}
	}
	return remarks, identity.CheckTenantIssuer(checked, nil)
}

// faults returns what is wrong with the flags of an issuer, before it is asked and files are read.
func (in *issuerFlags) faults() (found []error) {
	draft := proto.CloneOf(&in.TenantIssuer)
	if draft.GetJwksUrl() == "" {
		draft.JwksUrl = draft.GetUrl() // not known before the issuer said it
	}
	if _, err := plausible(&in.TenantIssuer); err != nil && in.jwks == "" {
		found = append(found, err)
	}
	for _, err := range identity.TenantIssuerFaults(draft, nil) {
		if r, refused := refusal.As(err); refused && (len(found) == 0 || !fieldOf(found[0], r.GetField())) &&
			!strings.HasSuffix(r.GetField(), "jwks_url") {
			found = append(found, err)
		}
	}
	return found
}

// fieldOf reports whether an error is about the same part of a message as a field.
func fieldOf(err error, field string) bool {
	r, refused := refusal.As(err)
	return refused && r.GetField()[strings.LastIndex(r.GetField(), ".")+1:] == field[strings.LastIndex(field, ".")+1:]
}

// sound refuses a person whose address or subject cannot be right.
func sound(field string, p *lockboxv1.Person) error {
	if p.GetSubject() == "" {
		return refusal.Invalid(field+".subject", "R13",
			"is missing; it is what the issuer's tokens say of them as sub, or as --subject-claim")
	}
	if p.GetEmail() == "" {
		return nil // the services say whether it is needed
	}
	return input.Email(field+".email", p.GetEmail())
}

// tryResult is what --dry-run shows.
type tryResult struct {
	Tenant string      `json:"tenant"`
	Stored bool        `json:"stored"`
	Would  any         `json:"would_store"`
	Found  *jwks.Found `json:"found,omitempty"`
}

// wouldStore shows what a command would store, and stores nothing.
func (a *app) wouldStore(id string, what proto.Message, found *jwks.Found) error {
	text, err := render.JSON(what)
	if err != nil {
		return err
	}
	record, err := render.RecordJSON(what)
	if err != nil {
		return err
	}
	return a.write(page{
		json: func() (string, error) {
			return render.ValueJSON(tryResult{Tenant: id, Would: record, Found: found})
		},
		human: func(l render.Look) string {
			return render.Sentence(l, "Nothing was stored. This would be, for "+render.Clean(id)+":") + "\n" + text + "\n" +
				findings(l, found)
		},
	})
}

// findings says what was found at an issuer.
func findings(l render.Look, found *jwks.Found) string {
	if found == nil {
		return render.Sentence(l, "The issuer was not asked. If anything about it is wrong, nobody can sign in.")
	}
	keys := fmt.Sprintf("%d %s at %s", len(found.Keys), plural(len(found.Keys), "key", "keys"), render.Clean(found.KeysAt))
	text := render.Sentence(l, "The issuer publishes "+keys+".")
	if found.Discovery != "" {
		text = render.Sentence(l, fmt.Sprintf("The issuer answers under its own name at %s, and publishes %s.",
			render.Clean(found.Discovery), keys))
	}
	for _, r := range found.Remarks {
		text += render.Sentence(l, "Note: "+render.Clean(r)+".")
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (a *app) tenantCreateCommand() *cobra.Command {
	t := &lockboxv1.CreateTenant{Administrator: &lockboxv1.Person{}}
	in := &issuerFlags{}
	var invite, portal string
	plan := &enumFlag[lockboxv1.SupportPlan]{value: lockboxv1.SupportPlan_SUPPORT_PLAN_DEVELOPER, as: "plan"}
	c := &cobra.Command{
		Use: "create TENANT", Short: "Create a tenant (onboarding)", Args: exactly("TENANT"), ValidArgsFunction: nothing,
		Long: `Creates a tenant with the issuer at which its people sign in and its first Global Administrator: a person of that issuer or, with
--invite, whoever accepts an invitation, for which a link and a code are shown once. The issuer's public keys are given as
a file (a JSON Web Key Set), which is recorded, or are fetched again and again from where the issuer publishes them.

Before anything is stored, the issuer is asked from here: whether it calls itself exactly what its tokens would have to say, and
whether its keys can be used. --dry-run stops after that. Until somebody of the customer has signed in, two people of onboarding
can correct what was stored (lockbox tenant correct).`,
		Example: `  lockbox tenant create meadowbank --name "Meadow Bank" --plan standard --dry-run \
      --issuer https://login.meadowbank.example --audience lockbox \
      --admin-subject 8f3a… --admin-name "Grace Green" --admin-email grace@meadowbank.example
  lockbox tenant create meadowbank --name "Meadow Bank" --issuer https://login.meadowbank.example --invite "Grace Green"`,
	}
	in.add(c, "lockbox")
	f := c.Flags()
	f.StringVar(&t.DisplayName, "name", "", "the customer's `name`")
	f.Var(plan, "plan", "support plan: "+strings.Join(spellings[lockboxv1.SupportPlan](), ", "))
	f.StringVar(&t.Administrator.Subject, "admin-subject", "",
		"the first Global Administrator, by `subject` as the issuer's tokens name them (sub, or --subject-claim)")
	f.StringVar(&invite, "invite", "",
		"instead of --admin-…: `whom` to invite as the first Global Administrator, as you call them")
	portalFlag(c, &portal)
	complete(c, "invite", nothing)
	f.StringVar(&t.Administrator.DisplayName, "admin-name", "", "their `name`")
	f.StringVar(&t.Administrator.Email, "admin-email", "", "their `address`")
	f.StringVar(&t.Administrator.Language, "admin-language", "", "their `language`; none: the tenant's")
	f.StringVar(&t.DefaultLanguage, "language", "en", "`language` of mails: "+strings.Join(tenant.Languages, ", "))
	complete(c, "plan", fixed(spellings[lockboxv1.SupportPlan]()...))
	complete(c, "language", fixed(tenant.Languages...))
	complete(c, "admin-language", fixed(tenant.Languages...))
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		var made issued
		t.Plan = plan.value
		draft := proto.CloneOf(t)
		var wrong error
		switch {
		case invite == "":
			wrong = sound("administrator", t.GetAdministrator())
		case t.GetAdministrator().GetSubject() != "":
			wrong = usage(c, "the first Global Administrator is named with --admin-subject or invited with --invite, not both")
		default:
			draft.Administrator = nil
		}
		if err := s.check(&lockboxv1.Command{Tenant: args[0], Action: &lockboxv1.Command_CreateTenant{CreateTenant: draft}},
			nil, append([]error{in.keys(c)}, append(in.faults(), wrong)...)...); err != nil {
			return err
		}
		if invite != "" {
			i := &lockboxv1.RoleInvitation{Id: "first-administrator", Note: invite,
				Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}
			var err error
			if made, err = s.issue(s.portalOf(portal), args[0], first(t.GetDisplayName(), args[0]), i, true); err != nil {
				return err
			}
			t.Administrator = nil
			t.Invitation = &lockboxv1.RoleInvitation{SecretHash: i.GetSecretHash(), Note: i.GetNote()}
		}
		looking, cancel := context.WithTimeout(ctx, max(a.timeout, 10*time.Second))
		defer cancel()
		ti, found, err := in.read(looking, a, c)
		if err != nil {
			return err
		}
		if t.Issuer = ti; t.GetAdministrator() != nil {
			t.Administrator.Issuer = ti.GetUrl()
		}
		if in.onlyTry {
			return a.wouldStore(args[0], t, found)
		}
		create := &lockboxv1.Command{Action: &lockboxv1.Command_CreateTenant{CreateTenant: t}}
		if invite != "" {
			if _, err := s.do(ctx, args[0], "", create); err != nil {
				return err
			}
			if err := a.say("Tenant " + render.Clean(args[0]) + " is created.\n" + findings(a.look(), found)); err != nil {
				return err
			}
			return a.issued(made)
		}
		return s.order(ctx, args[0], "", create,
			"Tenant %s is created. Its Global Administrator %s switches Lockbox on.\n%s", render.Clean(args[0]),
			render.PersonName(t.GetAdministrator()), strings.TrimSuffix(findings(a.look(), found), "\n"))
	})
	return c
}
