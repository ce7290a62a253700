package invariant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// asked is whom a request asks according to the events of its tenant and subscription, whatever its own event says.
type asked struct {
	scope     lockboxv1.Scope
	basis     lockboxv1.ApproverBasis
	approvers []*lockboxv1.Approver
	// passive are the assignments that were looked at and do not count.
	passive  []assignment
	settings *lockboxv1.TenantSettings
	// requester is whose address nobody may share; nil if that does not matter.
	requester *lockboxv1.Person
	// leftOut are those of whom the event says that they share it, which may have been erased since (R63).
	leftOut                  []*lockboxv1.Person
	tenantName, subscription string
	// humans are the identified accounts.
	humans []*lockboxv1.Person
	// unread: the subscription had been there for long, and the event does not know of it.
	unread bool
	// ended are the issuers whose people can sign in no longer.
	ended []string
}

// askedRightly checks that the frozen list is the whole list, with the addresses, names, alternates, number of
// approvals and basis that the tenant's own roles and settings give at the sequences that the event recorded (R18-R24,
// R30): whoever holds the orchestrator's key could otherwise choose who is asked, or who gets the mails.
func (b *book) askedRightly(q request, n *lockboxv1.CustomerNotified, r Recorded, broken say) {
	var found []string
	// Whoever shares the requester's address is not asked (R51), except by versions whose evaluations do not record how
	// long the customer has to answer either.
	shared := []bool{true}
	if q.evaluation().GetCustomerAnswerWithin() == nil {
		shared = []bool{false, true}
	}
	for _, count := range b.subscriptionCounts(q, n, r) {
		for _, passive := range shared {
			found = b.asks(q, n, r, count, passive).differences(n)
			if len(found) == 0 {
				return
			}
		}
	}
	for _, what := range found {
		broken("I1", r, "%s", what)
	}
}

// asks derives whom a request asks. The subscription's roles count if it is the tenant's; whoever shares the
// requester's address may be passive.
func (b *book) asks(
	q request, n *lockboxv1.CustomerNotified, r Recorded, subscriptionCounts, sharedIsPassive bool,
) asked {
	a := asked{scope: lockboxv1.Scope_SCOPE_TENANT, basis: lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT}
	if sharedIsPassive {
		a.requester = q.requester()
		for _, x := range n.GetExcluded() {
			if x.GetCodedReason().GetCode() == lockboxv1.ReasonCode_REASON_CODE_REQUESTERS_ADDRESS {
				a.leftOut = append(a.leftOut, x.GetPerson())
			}
		}
	}
	a.tenantName, a.settings = b.settingsAt(q.of.Tenant, n.GetTenantSequence())
	a.ended = b.signInAt(q.of.Tenant, n.GetTenantSequence()).ended
	a.humans = b.humansAt(q.of.Tenant, n.GetTenantSequence())
	ofTenant, at := b.assignments(q.tenant(), n.GetTenantSequence()), instant(r)
	if q.intent().GetSubscriptionId() == "" {
		a.add(ofTenant, at, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
	} else {
		a.scope, a.basis = lockboxv1.Scope_SCOPE_SUBSCRIPTION, lockboxv1.ApproverBasis_APPROVER_BASIS_SUBSCRIPTION
		in := b.subscription(q, r.Sequence)
		for _, e := range b.upTo(in, n.GetSubscriptionSequence()) {
			if f := e.GetSubscriptionRegistered(); f != nil {
				a.subscription = f.GetDisplayName()
			}
		}
		if subscriptionCounts {
			a.add(b.assignments(in, n.GetSubscriptionSequence()), at, lockboxv1.Role_ROLE_OWNER,
				lockboxv1.Role_ROLE_LOCKBOX_APPROVER)
			first := b.about[in]
			a.unread = n.GetSubscriptionSequence() == 0 && len(first) > 0 && first[0].Sequence < r.Sequence &&
				at.Sub(instant(first[0])) > maxStale
		}
		if a.people() < a.required() {
			fallback := lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR
			if a.settings.GetFallback() == lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS {
				fallback = lockboxv1.Role_ROLE_LOCKBOX_APPROVER
			}
			a.basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
			a.add(ofTenant, at, fallback)
		}
	}
	if len(a.approvers) == 0 {
		a.basis = lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY
	}
	return a
}

// identified adds to an assignment's person which human has the account, if that was recorded.
func (a *asked) identified(p *lockboxv1.Person) *lockboxv1.Person {
	for _, known := range slices.Backward(a.humans) {
		if same(known, p) {
			p = proto.CloneOf(p)
			p.Human = known.GetHuman()
			return p
		}
	}
	return p
}

// people counts the approvers, and a human with several accounts once (R51).
func (a *asked) people() (n int) {
	for i, p := range a.approvers {
		first := !slices.ContainsFunc(a.approvers[:i], func(other *lockboxv1.Approver) bool {
			return oneHuman(other.GetPerson(), p.GetPerson())
		})
		if first {
			n++
		}
	}
	return n
}

func (a *asked) required() int { return max(1, int(a.settings.GetRequiredApprovals())) }

// add adds whoever holds one of these roles.
func (a *asked) add(held []assignment, at time.Time, deciders ...lockboxv1.Role) {
	for _, h := range held {
		if !slices.Contains(deciders, h.GetRole()) || h.by != "" && !h.counts(at) { // that is gone
			continue
		}
		if !h.counts(at) || slices.Contains(a.ended, h.GetPerson().GetIssuer()) ||
			oneHuman(h.GetPerson(), a.requester) || a.sharesAddress(h.GetPerson()) {
			a.passive = append(a.passive, h)
			continue
		}
		who := approver(a.approvers, h.GetPerson())
		if who == nil {
			who = &lockboxv1.Approver{Person: a.identified(h.GetPerson())}
			a.approvers = append(a.approvers, who)
		}
		if !slices.Contains(who.GetRoles(), h.GetRole()) {
			who.Roles = append(who.Roles, h.GetRole())
		}
	}
}

// asksOthers says in which ways a request asks others, or on another basis. All administrators hear of that.
func (a asked) asksOthers(n *lockboxv1.CustomerNotified) (found []string) {
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if n.GetBasis() != a.basis {
		say("asks on the basis %q where the roles give %q", words(n.GetBasis()), words(a.basis))
	}
	if int(n.GetRequiredApprovals()) != a.required() {
		say("asks for %d approvals where the tenant demands %d", n.GetRequiredApprovals(), a.required())
	}
	for _, want := range a.approvers {
		is, who := frozen(n, want.GetPerson()), want.GetPerson().GetSubject()
		switch {
		case is == nil:
			say("does not ask %s, who could decide", who)
		case !erasable.Alike(is.GetPerson(), want.GetPerson()):
			say("asks %s under another address, name or language than the assignment's", who)
		}
	}
	for _, is := range n.GetApprovers() {
		if approver(a.approvers, is.GetPerson()) == nil {
			say("asks %s, who held no role to decide by", is.GetPerson().GetSubject())
		}
	}
	if !slices.EqualFunc(n.GetAlternates(), a.settings.GetAlternates(),
		erasable.Alike[*lockboxv1.AlternateAddress]) {
		say("tells other alternate addresses than the tenant's settings name")
	}
	return found
}

// differences says in which ways a request asks otherwise.
func (a asked) differences(n *lockboxv1.CustomerNotified) []string {
	found := a.asksOthers(n)
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if a.unread {
		say("rests on no event of the subscription, which had been registered")
	}
	if n.GetScope() != a.scope {
		say("asks at scope %s where %s is reached", n.GetScope(), a.scope)
	}
	for _, want := range a.approvers {
		is, who := frozen(n, want.GetPerson()), want.GetPerson().GetSubject()
		for _, role := range want.GetRoles() {
			if is != nil && !slices.Contains(is.GetRoles(), role) {
				say("does not say that %s was %s when the approvers were frozen", who, words(role))
			}
		}
	}
	for i, is := range n.GetApprovers() {
		want, who := approver(a.approvers, is.GetPerson()), is.GetPerson().GetSubject()
		if approver(n.GetApprovers()[:i], is.GetPerson()) != nil {
			say("asks %s twice", who)
		}
		for _, role := range is.GetRoles() {
			if !slices.Contains(want.GetRoles(), role) {
				say("%s was not %s when the approvers were frozen", who, words(role))
			}
		}
	}
	for _, p := range a.passive {
		if !slices.ContainsFunc(n.GetExcluded(), func(x *lockboxv1.ExcludedAssignment) bool {
			return same(x.GetPerson(), p.GetPerson()) && x.GetRole() == p.GetRole()
		}) {
			say("does not say that the assignment %q of %s did not count", words(p.GetRole()), p.GetPerson().GetSubject())
		}
	}
	if n.GetTenantName() != a.tenantName || n.GetSubscriptionName() != a.subscription {
		say("names tenant and subscription %q and %q, which were called %q and %q", n.GetTenantName(),
			n.GetSubscriptionName(), a.tenantName, a.subscription)
	}
	return found
}

// sharesAddress reports whether somebody has the requester's address. Where one of the two was erased, nothing but the
// event itself says so.
func (a *asked) sharesAddress(p *lockboxv1.Person) bool {
	if p.GetErased() || a.requester.GetErased() {
		return slices.ContainsFunc(a.leftOut, func(out *lockboxv1.Person) bool { return same(out, p) })
	}
	return p.GetEmail() != "" && strings.EqualFold(p.GetEmail(), a.requester.GetEmail())
}

func approver(among []*lockboxv1.Approver, p *lockboxv1.Person) *lockboxv1.Approver {
	for _, a := range among {
		if same(a.GetPerson(), p) {
			return a
		}
	}
	return nil
}

// subscriptionCounts returns whether a subscription's roles counted when the customer was asked; both if that cannot be
// told. They count while the subscription is the tenant's (R48), but CustomerNotified does not record at which sequence
// that was read: where it changed shortly before, either is true.
func (b *book) subscriptionCounts(q request, n *lockboxv1.CustomerNotified, r Recorded) []bool {
	id := q.intent().GetSubscriptionId()
	owner, known := b.ownerAt(id, r.Sequence)
	if id == "" || !known {
		for _, e := range b.about[b.subscription(q, r.Sequence)] {
			// The history of one tenant alone shows only that it gave the subscription up, shortly afterwards.
			if e.Event.GetSubscriptionGivenUp() != nil && e.Sequence > n.GetSubscriptionSequence() &&
				instant(e).Sub(instant(r)).Abs() <= maxStale {
				return []bool{false, true}
			}
		}
		return []bool{true}
	}
	is := owner.GetTenant() == q.of.Tenant
	var last *Recorded
	for i, e := range b.about[aggregate.Ownership(id)] {
		if e.Sequence < r.Sequence {
			last = &b.about[aggregate.Ownership(id)][i]
		}
	}
	if last == nil || instant(r).Sub(instant(*last)) <= maxStale {
		return []bool{!is, is}
	}
	return []bool{is}
}

// settingsAt returns a tenant's name and settings as of a sequence.
func (b *book) settingsAt(id string, sequence uint64) (name string, s *lockboxv1.TenantSettings) {
	for _, w := range b.signInsOf(id).wishes {
		if w.made != nil && w.made.Sequence <= sequence && w.GetChange().GetDisplayName() != "" {
			defer func() { name = w.GetChange().GetDisplayName() }() // nothing else renames a tenant
		}
	}
	for _, e := range b.upTo(aggregate.Tenant(id), sequence) {
		switch f := e.GetFact().(type) {
		case *lockboxv1.Event_TenantCreated:
			name = f.TenantCreated.GetDisplayName()
		case *lockboxv1.Event_SettingsChanged:
			s = f.SettingsChanged.GetSettings()
		}
	}
	return name, s
}

// humansAt returns those whose accounts were identified as of a sequence, the latest last.
func (b *book) humansAt(id string, sequence uint64) (people []*lockboxv1.Person) {
	for _, e := range b.upTo(aggregate.Tenant(id), sequence) {
		if e.GetAccountIdentified() != nil {
			people = append(people, e.GetActor().GetPerson())
		}
	}
	return people
}

// maxAnswer is the longest time that a customer may have to answer (R26).
const maxAnswer = 30 * 24 * time.Hour

// deadlineInTerms is the part of I3 that says what a deadline may be: the customer has exactly the time to answer, and
// the reminders, that the evaluator recorded before, which is another identity than the one that asks them (R26, R33).
// Evaluations of older versions do not record it; then a deadline is later than the event, and at most 30 days.
func deadlineInTerms(_ *book, of aggregate.Key, events []Recorded, broken say) {
	for i, r := range events {
		n := r.Event.GetCustomerNotified()
		if n == nil {
			continue
		}
		v, at, ends := request{of, events}.before(i).evaluation(), instant(r), n.GetExpiresAt().AsTime()
		within := ends.Sub(at)
		if within <= 0 || within > maxAnswer {
			broken("I3", r, "gives the customer %s to answer", within)
		}
		var remind []time.Time
		for _, t := range n.GetRemindAt() {
			if last := len(remind) - 1; t.AsTime().Before(at) || !t.AsTime().Before(ends) ||
				last >= 0 && t.AsTime().Before(remind[last]) {
				broken("I3", r, "reminds at %s, which is not between asking and the deadline", t.AsTime())
			}
			remind = append(remind, t.AsTime())
		}
		if v.GetCustomerAnswerWithin() == nil {
			continue
		}
		terms := v.GetCustomerAnswerWithin().AsDuration()
		if within != terms {
			broken("I3", r, "gives the customer %s to answer where the evaluation says %s", within, terms)
		}
		var want []time.Time
		for _, d := range v.GetCustomerRemindBefore() {
			if d.AsDuration() < terms {
				want = append(want, at.Add(terms-d.AsDuration()))
			}
		}
		if !slices.EqualFunc(remind, want, time.Time.Equal) {
			broken("I3", r, "reminds at other times than the evaluation says")
		}
	}
}

// words returns a value of an enumeration as people read it: "global administrator".
func words(e protoreflect.Enum) string {
	values := e.Descriptor().Values()
	value := values.ByNumber(e.Number())
	if value == nil {
		return strconv.Itoa(int(e.Number()))
	}
	prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(string(value.Name()), prefix), "_", " "))
}
