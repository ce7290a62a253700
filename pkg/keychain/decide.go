package keychain

import (
	"cmp"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Decide returns the event that results from a command about keys, or neither event nor error if it would change
// nothing.
func Decide(s State, t tenant.State, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	e, err := s.Begin(c, 0, func() error { return may(t, c.By, now) }, now)
	if err != nil {
		err = aggregate.Changed{By: s.by, At: s.at, Version: s.Version}.Since(c, err)
	}
	if e == nil || err != nil {
		return nil, err
	}
	switch a := c.GetAction().(type) {
	case *lockboxv1.Command_OfferKey:
		err = s.offer(t, c.By, a.OfferKey, e, now)
	case *lockboxv1.Command_SignKeys:
		err = s.sign(a.SignKeys.GetChange(), e)
	default:
		err = refusal.Invalid("action", "bad input", "this command is not about keys")
	}
	if err != nil {
		return nil, err
	}
	return aggregate.End(s, e, Evolve)
}

// may refuses everybody but the tenant's people who have a role there: keys are a matter of the customer alone.
func may(t tenant.State, by *lockboxv1.Actor, now time.Time) error {
	if !t.Exists() {
		return refusal.OfKind(refusal.NotFound("tenant", rule, "there is no such customer"), "tenant")
	}
	if !aggregate.Customer(by) || !t.Accepts(by.GetPerson().GetIssuer()) {
		return refusal.OfKind(refusal.Forbidden("token", rule, "only the customer's own people have keys"),
			"keys-customer-only")
	}
	return t.Fresh(by, now)
}

// offer records a key that somebody would decide with.
func (s State) offer(
	t tenant.State, by *lockboxv1.Actor, o *lockboxv1.OfferKey, e *lockboxv1.Event, now time.Time,
) error {
	enrolment, err := approval.ParseEnrolment(o.GetEnrolment())
	if err != nil {
		return Refusal("offer_key.enrolment", err)
	}
	id, err := enrolment.Key.ID()
	if err != nil {
		return Refusal("offer_key.enrolment.key", err)
	}
	switch {
	case !ofActor(enrolment.Person, by):
		return refusal.OfKind(refusal.Forbidden("offer_key.enrolment.person", rule, "you can only offer a key of your own"),
			"key-not-yours")
	case enrolment.Role == approval.Administrator && !administrator(t, by, now):
		return refusal.OfKind(refusal.Forbidden("offer_key.enrolment.role", rule,
			"an administrator's key belongs to a Global Administrator"), "key-not-administrator")
	case s.known(id, enrolment.Key):
		return refusal.OfKind(refusal.Conflict("offer_key.enrolment.key", rule, "this key was enrolled before"), "key-known")
	case len(without(s.Offers, enrolment.Person.Account, id)) >= mostOffers:
		return refusal.OfKind(refusal.Precondition("offer_key", rule,
			"%d keys wait to be enrolled, and no more can", mostOffers), "keys-waiting", "most", "64")
	}
	if err := prose.CheckLine("offer_key.label", o.GetLabel(), 1, 100); err != nil {
		return err
	}
	e.Fact = &lockboxv1.Event_KeyOffered{KeyOffered: &lockboxv1.KeyOffered{Enrolment: o.GetEnrolment(),
		Label: o.GetLabel()}}
	return nil
}

// known reports whether a key was enrolled, under whatever name.
func (s State) known(id string, k approval.Key) bool {
	if s.Chain == nil {
		return false
	}
	return slices.ContainsFunc(s.Chain.Keys(), func(e approval.Enrolled) bool {
		return e.ID == id || e.Key.Public == k.Public
	})
}

// sign adds signatures to a statement. If these are all that it needs, it takes effect.
func (s State) sign(change *lockboxv1.SignedStatement, e *lockboxv1.Event) error {
	signed := FromProto(change)
	for _, o := range s.Open {
		if o.Statement == signed.Statement {
			signed.Signatures = Merge(o.Signatures, signed.Signatures)
		}
	}
	signed.Signatures = Merge(nil, signed.Signatures)
	isGenesis := false
	if _, err := approval.ParseGenesis([]byte(signed.Statement)); err == nil {
		isGenesis = true
	} else if _, not := approval.ParseKeyChange([]byte(signed.Statement)); not != nil {
		if strings.Contains(signed.Statement, `"`+approval.FormatGenesis+`"`) {
			not = err
		}
		return Refusal("sign_keys.change.statement", not)
	}
	if isGenesis {
		return s.signGenesis(signed, e)
	}
	if s.Chain == nil {
		return refusal.OfKind(refusal.Precondition("sign_keys.change", rule, "there are no keys yet: a genesis comes first"),
			"no-keys")
	}
	stored := approval.Stored{Sequence: Now, Signed: signed}
	_, err := s.Chain.Extend(stored)
	if err == nil {
		e.Fact = &lockboxv1.Event_KeyChainChanged{KeyChainChanged: &lockboxv1.KeyChainChanged{Change: ToProto(signed)}}
		return nil
	}
	return s.leaveOpen(signed, e, err, func() error { return s.Chain.Partly(stored) })
}

func (s State) signGenesis(signed approval.Signed, e *lockboxv1.Event) error {
	if s.Chain != nil {
		return refusal.OfKind(refusal.Conflict("sign_keys.change", rule, "the chain of keys has begun already"),
			"keys-begun")
	}
	g, err := approval.ParseGenesis([]byte(signed.Statement))
	if err != nil {
		return Refusal("sign_keys.change.statement", err)
	}
	if g.Tenant != e.GetTenant() || g.Replaces != "" {
		return refusal.OfKind(refusal.Invalid("sign_keys.change.statement.tenant", rule,
			"the genesis is another customer's, or replaces another one"), "genesis-elsewhere")
	}
	for _, k := range g.Administrators {
		offered := func(o Offer) bool { return o.Key.Public == k.Key.Public && o.Person == k.Person && o.Role == k.Role }
		if !slices.ContainsFunc(s.Offers, offered) {
			return refusal.OfKind(refusal.Precondition("sign_keys.change.statement.administrators", rule,
				"%s has not offered this key: everybody offers their own first", k.Person.Subject), "key-not-offered",
				"who", k.Person.Subject)
		}
	}
	stored := approval.Stored{Sequence: Now, Signed: signed}
	if _, err = approval.Fold([]approval.Stored{stored}, nil); err == nil {
		e.Fact = &lockboxv1.Event_KeyChainBegan{KeyChainBegan: &lockboxv1.KeyChainBegan{Genesis: ToProto(signed)}}
		return nil
	}
	return s.leaveOpen(signed, e, err, func() error { return approval.PartlyGenesis(stored) })
}

// leaveOpen records a statement that not everybody has signed who has to, if all that is there holds.
func (s State) leaveOpen(signed approval.Signed, e *lockboxv1.Event, missing error, holds func() error) error {
	if !slices.Contains([]approval.Rule{approval.RulePossession, approval.RulePeople, approval.RuleAuthority,
		approval.RuleForm}, approval.RuleOf(missing)) {
		return Refusal("sign_keys.change", missing)
	}
	if err := holds(); err != nil {
		return Refusal("sign_keys.change", err)
	}
	i := slices.IndexFunc(s.Open, func(o Open) bool { return o.Statement == signed.Statement })
	switch {
	case i >= 0 && slices.Equal(s.Open[i].Signatures, signed.Signatures):
		return nil // nothing new
	case i < 0 && len(s.besides(e.GetActor())) >= mostOpen:
		return refusal.OfKind(refusal.Precondition("sign_keys", rule,
			"%d statements wait for signatures, and no more can", mostOpen), "keys-waiting", "most", "16")
	}
	e.Fact = &lockboxv1.Event_KeyChangeOffered{KeyChangeOffered: &lockboxv1.KeyChangeOffered{Change: ToProto(signed)}}
	return nil
}

// Refusal is why something signed does not count, as a refusal (FORBIDDEN, or INVALID if it is malformed) that names
// the field below the given one, and the rule. Any other error is returned as it is.
func Refusal(field string, err error) error {
	why := new(approval.Error)
	if !errors.As(err, &why) {
		return err
	}
	if why.Field != "" {
		field += "." + why.Field
	}
	is := refusal.Forbidden(field, rule, "what is signed does not count: %s", why.Reason)
	switch why.Rule {
	case approval.RuleForm, approval.RuleValue, approval.RuleKey:
		is = refusal.Invalid(field, rule, "what is signed cannot be read: %s", why.Reason)
	}
	return refusal.OfKind(is, "signature", "rule", string(why.Rule), "why", why.Reason)
}

// Attempt reports whether a refusal is for want of a signature, or because it does not hold.
func Attempt(r *lockboxv1.Refusal) bool {
	kind := parameter(r, refusal.Kind)
	return kind == "signature" || strings.HasPrefix(kind, "unsigned")
}

// RuleIn is the rule of package approval that a refusal names; "demand" for want of any signature.
func RuleIn(r *lockboxv1.Refusal) string {
	return cmp.Or(parameter(r, "rule"), string(approval.RuleDemand))
}

func parameter(r *lockboxv1.Refusal, name string) string {
	for _, p := range r.GetCodedReason().GetParameters() {
		if p.GetName() == name {
			return p.GetValue()
		}
	}
	return ""
}

// Fingerprint is the digest of the genesis in hexadecimal digits; empty before there is one.
func (s State) Fingerprint() string {
	if s.Chain == nil {
		return ""
	}
	fingerprint := s.Chain.Fingerprint()
	return hex.EncodeToString(fingerprint[:])
}
