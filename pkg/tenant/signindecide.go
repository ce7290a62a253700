package tenant

import (
	"slices"
	"strconv"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// rule is the rule that refusals about a change of sign-in name.
const rule = "R65"

// decideSignIn decides the commands about where people sign in; ours is false for all others.
func (s State) decideSignIn(c aggregate.Command, e *lockboxv1.Event, now time.Time) (ours bool, err error) {
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_ProposeSignInChange:
		return true, s.propose(c.By, a.ProposeSignInChange, e, now)
	case *lockboxv1.Command_ConfirmSignInChange:
		return true, s.confirm(c.By, a.ConfirmSignInChange.GetChangeId(), e, now)
	case *lockboxv1.Command_StopSignInChange:
		return true, s.stop(c.By, a.StopSignInChange, e, now)
	case *lockboxv1.Command_EndFormerSignIn:
		if err := s.mayEndFormer(c.By, now); err != nil {
			return true, err
		}
		if err := s.Fresh(c.By, now); err != nil {
			return true, err
		}
		e.Fact = &lockboxv1.Event_FormerSignInEnded{FormerSignInEnded: &lockboxv1.FormerSignInEnded{}}
	case *lockboxv1.Command_SignIn:
		if !aggregate.Customer(c.By) {
			return true, refusal.Because(refusal.Forbidden("token", rule, "only the tenant's own people sign in to it"),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_CUSTOMERS_PEOPLE_ONLY))
		}
		if s.SignInMatters(c.By, now) || s.Roles.unseen(c.By) {
			e.Fact = s.signedIn(c.By, now)
		}
	default:
		return false, nil
	}
	return true, nil
}

func (s State) propose(
	by *lockboxv1.Actor, p *lockboxv1.ProposeSignInChange, e *lockboxv1.Event, now time.Time,
) error {
	if err := s.mayPropose(by, p.GetRoute(), now); err != nil {
		return err
	}
	if p.GetRoute() == byCustomer {
		if err := s.Fresh(by, now); err != nil {
			return err
		}
	}
	if s.Change != nil {
		return refusal.Conflict("propose_sign_in_change", rule,
			"another change waits already, %s; stop that one first", s.Change.ID)
	}
	if p.GetRoute() != byCustomer && p.GetChange().GetIssuer().GetUrl() == by.GetPerson().GetIssuer() {
		return refusal.Invalid(changeField+".issuer.url", "I10", "the provider's people are not the tenant's")
	}
	if err := s.checkChange(p.GetRoute(), p.GetChange()); err != nil {
		return err
	}
	f := &lockboxv1.SignInChangeProposed{Route: p.GetRoute(), Change: p.GetChange()}
	if p.GetRoute() == byCustomer {
		f.DueAt = timestamp(now.Add(AloneWait))
	}
	e.Fact = &lockboxv1.Event_SignInChangeProposed{SignInChangeProposed: f}
	return nil
}

func (s State) confirm(by *lockboxv1.Actor, id string, e *lockboxv1.Event, now time.Time) error {
	if err := s.pending("confirm_sign_in_change.change_id", id, by); err != nil {
		return err
	}
	if err := s.mayConfirm(by, now); err != nil {
		return err
	}
	if s.Change.Route == byCustomer {
		if err := s.Fresh(by, now); err != nil {
			return err
		}
	}
	f := &lockboxv1.SignInChangeConfirmed{ChangeId: id}
	if s.Change.Route == recovery {
		f.DueAt = timestamp(now.Add(RecoveryWait))
		f.RemindAt = timestamppb.New(now.Add(RecoveryWait - RecoveryReminder))
	}
	e.Fact = &lockboxv1.Event_SignInChangeConfirmed{SignInChangeConfirmed: f}
	return nil
}

func (s State) stop(by *lockboxv1.Actor, f *lockboxv1.StopSignInChange, e *lockboxv1.Event, now time.Time) error {
	if err := s.pending("stop_sign_in_change.change_id", f.GetChangeId(), by); err != nil {
		return err
	}
	if err := s.mayStop(by, now); err != nil {
		return err
	}
	if err := prose.Check("stop_sign_in_change.reason", f.GetReason(), 0, 1000); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_SignInChangeStopped{
		SignInChangeStopped: &lockboxv1.SignInChangeStopped{ChangeId: f.GetChangeId(), Reason: f.GetReason()}}
	return nil
}

// pending refuses another change than the one that waits.
func (s State) pending(field, id string, by *lockboxv1.Actor) error {
	if !aggregate.Customer(by) && !aggregate.Provider(by, aggregate.Onboarding) {
		return refusal.Because(refusal.Forbidden("token", rule, onlyThose),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADMINISTRATORS_ONLY))
	}
	if !s.isPending(id) {
		return refusal.OfKind(
			refusal.NotFound(field, rule, "no such change waits; it was made or stopped, or another one waits"),
			"no-sign-in-change")
	}
	return nil
}

const onlyThose = "where a tenant's people sign in is changed by its Global Administrators, and by the provider's " +
	"onboarding as long as nobody of the tenant can"

// mayPropose refuses those who may not change the sign-in by a route.
func (s State) mayPropose(by *lockboxv1.Actor, route lockboxv1.SignInRoute, now time.Time) error {
	switch route {
	case byCustomer:
		return s.administrator(by, rule, now)
	case correction, recovery:
		switch {
		case !aggregate.Provider(by, aggregate.Onboarding):
			return refusal.Because(refusal.Forbidden("token", rule, onlyThose),
				reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADMINISTRATORS_ONLY))
		case route == correction && s.SignedIn:
			return refusal.OfKind(
				refusal.Precondition("propose_sign_in_change.route", rule,
					"somebody of this tenant has signed in, so it is the tenant's own to change; if none of its administrators "+
						"can sign in any more, propose a recovery"),
				"own-change")
		case route == recovery && !s.SignedIn:
			return refusal.OfKind(
				refusal.Precondition("propose_sign_in_change.route", rule,
					"nobody of this tenant has ever signed in; correct its sign-in instead, which takes no waiting time"),
				"correct-instead")
		}
		return nil
	}
	return refusal.Invalid("propose_sign_in_change.route", rule, "is not a route by which sign-in is changed")
}

// mayConfirm refuses those who are not the second human of the pending change.
func (s State) mayConfirm(by *lockboxv1.Actor, now time.Time) error {
	if err := s.mayPropose(by, s.Change.Route, now); err != nil {
		return err
	}
	switch {
	case s.Change.Confirmed != nil:
		return refusal.Because(refusal.Precondition("confirm_sign_in_change.change_id", rule,
			"it is confirmed already, and waits until %s",
			s.Change.DueAt.UTC().Format(time.RFC3339)),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_CHANGE_CONFIRMED_ALREADY))
	case SameVoice(s.Change.By.GetPerson(), by.GetPerson()):
		return refusal.Because(refusal.Forbidden("token", rule, "a second human has to confirm it, and you proposed it"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_CHANGE_PROPOSED_BY_YOURSELF))
	case s.Change.Route == byCustomer && s.lapses(now):
		return refusal.Because(refusal.Precondition("confirm_sign_in_change.change_id", rule,
			"whoever proposed it is not a Global Administrator any more; stop it and propose it yourself"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_PROPOSER_NO_ADMINISTRATOR))
	}
	return nil
}

// mayStop refuses those who may not stop the pending change: the customer's administrators may stop any, onboarding its
// own.
func (s State) mayStop(by *lockboxv1.Actor, now time.Time) error {
	if s.overseer(by, now) || s.Change.Route != byCustomer && aggregate.Provider(by, aggregate.Onboarding) {
		return nil
	}
	return refusal.Because(refusal.Forbidden("token", rule,
		"a Global Administrator stops it, or onboarding if it proposed it"),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADMINISTRATORS_ONLY))
}

// mayEndFormer refuses those who do not show that the present issuer works for an administrator who always is one.
func (s State) mayEndFormer(by *lockboxv1.Actor, now time.Time) error {
	if err := s.administrator(by, rule, now); err != nil {
		return err
	}
	switch {
	case len(s.Former) == 0:
		return refusal.Precondition("end_former_sign_in", rule, "no former issuer is accepted any more")
	case by.GetPerson().GetIssuer() != s.Issuer.GetUrl():
		return refusal.Naming(
			refusal.Precondition("token", rule,
				"you are signed in through a former issuer; sign in through %s to show that it works", s.Issuer.GetUrl()),
			"issuer", s.Issuer.GetUrl())
	case !slices.ContainsFunc(s.Roles.list, func(a Assignment) bool {
		return permanentAdministrator(a) && a.GetPerson().GetIssuer() == s.Issuer.GetUrl()
	}):
		return refusal.Precondition("end_former_sign_in", "R2",
			"nobody of the present issuer is a Global Administrator for good; assign one first")
	}
	return nil
}

const changeField = "propose_sign_in_change.change"

// checkChange refuses a change that is not whole. Whether its issuer can be used is checked where issuers are known.
func (s State) checkChange(route lockboxv1.SignInRoute, c *lockboxv1.SignInChange) error {
	if err := prose.Check(changeField+".reason", c.GetReason(), 1, 1000); err != nil {
		return err
	}
	target, others := s.Issuer.GetUrl(), false
	if next := c.GetIssuer(); next != nil {
		others = next.GetUrl() != target || next.GetSubjectClaim() != s.Issuer.GetSubjectClaim()
		target = next.GetUrl()
	}
	switch {
	case c.GetDisplayName() != "" && route != correction:
		return refusal.Invalid(changeField+".display_name", rule, "is changed by a correction only")
	case proto.Equal(c.GetIssuer(), s.Issuer), c.GetIssuer() == nil && c.GetDisplayName() == "" &&
		len(c.GetAdministrators()) == 0:
		return refusal.OfKind(refusal.Invalid(changeField, rule, "changes nothing"), "changes-nothing")
	case others && len(c.GetAdministrators()) == 0 && s.Roles.administrated: // others are invited anew (R66)
		return refusal.Invalid(changeField+".administrators", rule,
			"at another issuer, or by another claim, people are others; name at least one Global Administrator there")
	case len(c.GetAdministrators()) > maxNewAdministrators:
		return refusal.OfKind(
			refusal.Invalid(changeField+".administrators", rule, "at most %d are named at once", maxNewAdministrators),
			"administrators-too-many", "most", strconv.Itoa(maxNewAdministrators))
	case c.GetIssuer() != nil && len(s.Former) >= maxFormer:
		return refusal.Naming(
			refusal.Precondition(changeField+".issuer", rule,
				"%d former issuers are accepted still; end them first, signed in through the present one", len(s.Former)),
			"most", strconv.Itoa(len(s.Former)))
	}
	for i, p := range c.GetAdministrators() {
		if err := checkPerson(changeField+".administrators", p, target); err != nil {
			return err
		}
		if slices.ContainsFunc(c.GetAdministrators()[:i], func(q *lockboxv1.Person) bool { return SamePerson(p, q) }) {
			return refusal.Invalid(changeField+".administrators.subject", rule, "each is named once")
		}
	}
	if name := c.GetDisplayName(); name != "" {
		return prose.CheckLine(changeField+".display_name", name, 1, 120)
	}
	return nil
}
