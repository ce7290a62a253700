package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

// maxDrift is how far this machine's clock may be from the portal's before the doctor mentions it: tokens and deadlines
// depend on it.
const maxDrift = 5 * time.Second

// checkup is what the doctor found, check by check.
type checkup struct {
	*session
	findings []render.Finding
	failed   error // of the first check that failed
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check that everything works from here, and say what to do", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Checks one after the other: whether a Lockbox is found and its bus answers, whether its services do, whether the services take
your token and what it lacks, whether your organisation's issuer has keys that cannot be used or is about to change, and whether
the portal answers and agrees about the time. Nothing is changed; the services are asked twice without a token, and count and
record that they refused. It ends with the exit code of the first check that failed.`,
		Example: "  lockbox doctor\n  lockbox doctor --as erin -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			d := &checkup{}
			s, err := a.open(c)
			if d.found("Lockbox", err, "", "start one (`lockbox up --demo`), or name one with --url and --keys") {
				defer s.Close()
				d.session = s
				d.examine(c.Context())
			}
			if err := a.write(page{
				json:  func() (string, error) { return render.ValueJSON(d.findings) },
				human: func(l render.Look) string { return render.Findings(l, d.findings) },
			}); err != nil {
				return err
			}
			return d.failed
		},
	}
}

// found records a check. It returns whether it succeeded.
func (d *checkup) found(check string, err error, says, advice string) bool {
	f := render.Finding{Check: check, State: render.Fine, Says: says}
	if err != nil {
		f.State, f.Says, f.Advice = render.Failed, err.Error(), advice
		if r, refused := refusal.As(err); refused {
			f.Says = r.GetMessage()
		}
		if d.failed == nil {
			d.failed = fmt.Errorf("%s: %w", check, err)
		}
	}
	d.findings = append(d.findings, f)
	return err == nil
}

// mind records something that works and still wants attention.
func (d *checkup) mind(check, says, advice string) {
	d.findings = append(d.findings, render.Finding{Check: check, State: render.Mind, Says: says, Advice: advice})
}

func (d *checkup) examine(ctx context.Context) {
	d.findings[0].Says = "found, with its portal at " + d.portal
	if d.portal == "" {
		d.findings[0].Says = "found"
	}
	anybody, took, err := d.Reach()
	if !d.found("Bus", err, fmt.Sprintf("answers in %s", took.Round(10*time.Microsecond)),
		"check address, keys and the authority of its certificate (--url, --keys, --ca)") {
		return
	}
	// Whoever has no token is refused, which a service that does not work cannot do.
	_, err = anybody.Ask(ctx, "", &lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	d.found("Queries", answered(err), "are answered", "look at the audit-projector")
	_, err = anybody.Do(ctx, "", &lockboxv1.Command{Tenant: "doctor",
		Action: &lockboxv1.Command_SignIn{SignIn: &lockboxv1.SignIn{}}})
	d.found("Commands", answered(err), "are answered", "look at the lockbox-orchestrator")
	d.person(ctx)
	d.reach(ctx)
}

// answered returns the error of a service that did not answer: a refusal is an answer.
func answered(err error) error {
	if _, refused := refusal.As(err); refused && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		return nil
	}
	return err
}

// person checks the caller's token, and their organisation's sign-in.
func (d *checkup) person(ctx context.Context) {
	if d.from == "" {
		d.mind("You", "are not signed in", "sign in with `lockbox login`; in the demo, be somebody with --as")
		return
	}
	v, err := d.self(ctx)
	if !d.found("You", err, "", "see `lockbox whoami`; sign in again with `lockbox login`") {
		return
	}
	says := render.PersonName(v.GetActor().GetPerson()) + ", by " + d.from
	if v.GetTenant() != "" {
		says += ", of " + v.GetTenantName()
	}
	d.findings[len(d.findings)-1].Says = says
	if v.GetActor().GetSide() == lockboxv1.Side_SIDE_PROVIDER && !v.GetActor().GetMultiFactor() {
		d.mind("Second factor", "your sign-in does not show one, and access to customers' data needs it",
			"`lockbox whoami` says which claims would")
	}
	id := v.GetTenant()
	if id == "" {
		if id, err = d.tenant(ctx); err != nil || id == "" {
			return
		}
	}
	t, err := d.tenantView(ctx, id, 0)
	if code := ExitCode(err); code == exitForbidden || code == exitNotFound {
		return // it is not theirs to see
	}
	if d.found("Sign-in", err, id+" signs in at "+t.GetIssuer(), "") {
		d.signIn(t)
	}
}

func (d *checkup) signIn(t *lockboxv1.TenantView) {
	d.keys("Issuer's keys", "", t.GetIssuerKeys(), t.GetIssuerKeysPassedOver())
	if c := t.GetSignIn().GetPending(); c != nil {
		d.mind("Change of sign-in", "one waits, proposed by "+render.PersonName(c.GetProposedBy().GetPerson()),
			"look at it with `lockbox tenant show`; `lockbox tenant issuer confirm` or `stop`")
	}
	for i, former := range t.GetSignIn().GetFormer() {
		keys := render.FormerKeys(t, i)
		d.keys("Former keys", "at "+former.GetUrl()+": ", keys.GetUsable(), keys.GetPassedOver())
		d.mind("Former issuer", former.GetUrl()+" is still accepted",
			"once everybody has a role at the new one: `lockbox tenant issuer finish`")
	}
	for _, as := range assigned(t) {
		if tenant.ToGroup(as) && !render.Mapped(t, as.GetGroup()) {
			d.mind("Roles of groups", "nobody can activate "+as.GetId()+": the sign-in maps no group "+as.GetGroup(),
				"map it with `lockbox tenant issuer propose --map-group`, or remove the role")
		}
	}
}

// keys looks at the keys of an issuer that are passed over; where begins each sentence.
func (d *checkup) keys(check, where string, usable uint32, passed []string) {
	for _, why := range passed {
		d.mind(check, where+"one cannot be used and is passed over: "+why,
			"the issuer's operator can correct it; it harms no other key")
	}
	if len(passed) > 0 && usable == 0 {
		d.found(check, refusal.Unavailable("issuer", "R13",
			"%snone can be used: nobody who signs in there is recognised", where), "",
			"have the issuer publish a key that can be used, or change it with `lockbox tenant issuer propose`")
	}
}

// reach checks that the portal answers, and what it says of the time.
func (d *checkup) reach(ctx context.Context) {
	if d.portal == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, max(d.app.timeout, time.Second))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, d.portal+"/signin", nil)
	if err != nil {
		d.found("Portal", err, "", "")
		return
	}
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		if err = answer.Body.Close(); answer.StatusCode >= http.StatusInternalServerError {
			err = errors.Join(err, refusal.Unavailable("portal", "I11", "answers with %s", answer.Status))
		}
	} else {
		err = refusal.Unavailable("portal", "I11", "%s does not answer: %v", d.portal, err)
	}
	if !d.found("Portal", err, "answers at "+d.portal, "look at the portal") {
		return
	}
	there, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return
	}
	if drift := d.app.Now().Sub(there); drift.Abs() > maxDrift {
		d.mind("Clock", fmt.Sprintf("this machine's is %s from the portal's", drift.Abs().Round(time.Second)),
			"set the time by NTP; tokens and deadlines depend on it")
	} else {
		d.found("Clock", nil, "agrees with the portal's", "")
	}
}
