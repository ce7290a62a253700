package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// checkup is what was found of what one person needs, check by check.
type checkup struct {
	*session
	checks []render.Check
}

// FromHere checks what somebody at this command line needs, and adds it to a checkup: that there is a Lockbox whose bus
// and services answer, that these take the caller's token, that their organisation's issuer has keys that can be used,
// and that the portal answers and agrees about the time.
func FromHere(c *cobra.Command, into *render.Checkup) {
	a := &app{Environment: System()}
	for name, value := range map[string]*string{"data": &a.data, "url": &a.url, "keys": &a.keys, "ca": &a.ca,
		"token-file": &a.tokenFile, "as": &a.as, "profile": &a.profile, "tenant": &a.tenant} {
		*value = c.Flag(name).Value.String()
	}
	a.timeout, _ = time.ParseDuration(c.Flag("timeout").Value.String()) // pflag has parsed it
	d := &checkup{}
	s, err := a.open(c)
	if d.found("Lockbox", err, "found", "start one (`lockbox up --demo`), or name one with --url and --keys") {
		defer s.Close()
		d.session = s
		d.examine(c.Context())
	}
	for _, check := range d.checks {
		into.Add("From here", check)
	}
}

// add adds a finding to its check.
func (d *checkup) add(check string, f render.Finding) {
	for i := range d.checks {
		if c := &d.checks[i]; c.Name == check {
			c.Findings = append(c.Findings, f)
			return
		}
	}
	id := "here-" + strings.ToLower(strings.NewReplacer(" ", "-", "'", "").Replace(check))
	d.checks = append(d.checks, render.Check{ID: id, Name: check, Findings: []render.Finding{f}})
}

// found records a check. It returns whether it succeeded.
func (d *checkup) found(check string, err error, says, cure string) bool {
	f := render.Finding{State: render.OK, Says: says}
	if err != nil {
		f.State, f.Says, f.Cure = render.Failed, err.Error(), cure
		if r, refused := refusal.As(err); refused {
			f.Says = r.GetMessage()
		}
	}
	d.add(check, f)
	return err == nil
}

// mind records something that works and still wants attention.
func (d *checkup) mind(check, says, cure string) {
	d.add(check, render.Finding{State: render.Warning, Says: says, Cure: cure})
}

func (d *checkup) examine(ctx context.Context) {
	if d.portal != "" {
		d.checks[0].Findings[0].Says = "found, with its portal at " + d.portal
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
		d.add("You", render.Finding{State: render.NotChecked, Says: "you are not signed in",
			Cure: "`lockbox login` signs you in; in the demo, be somebody with --as"})
		return
	}
	v, err := d.self(ctx)
	says := render.PersonName(v.GetActor().GetPerson()) + ", by " + d.from
	if v.GetTenant() != "" {
		says += ", of " + v.GetTenantName()
	}
	if !d.found("You", err, says, "see `lockbox whoami`; sign in again with `lockbox login`") {
		return
	}
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
