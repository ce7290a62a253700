package stack_test

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/verify"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// acceptsWithoutLink writes that somebody accepted an invitation whose link it does not have, because the stream holds
// a hash only, on a subscription of its own.
func (i *insider) acceptsWithoutLink() {
	i.Helper()
	const of = "meadow-forged"
	about := aggregate.Subscription(bank, of)
	i.does("onboarding", register(bank, of))
	hash, err := invitation.New().Hash("")
	must(i, err)
	i.does("grace", &lockboxv1.Command{AggregateId: of, Action: &lockboxv1.Command_InviteRole{
		InviteRole: &lockboxv1.InviteRole{Invitation: &lockboxv1.RoleInvitation{Id: "i-1", Note: "Olga", SecretHash: hash,
			Role: lockboxv1.Role_ROLE_OWNER, Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION}}}})
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	states, err := repository.New(i.watch).Basis(i.Context(), about)
	must(i, err)
	s := states.Subscription(bank, of)
	otto := i.issuer.Person("otto")
	seq, err := j.Append(i.Context(), s.Sequence, &lockboxv1.Event{Id: newID(i), Tenant: bank, Kind: about.Kind,
		AggregateId: of, Version: s.Version + 1, Time: timestamppb.Now(), CausationId: newID(i),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: otto},
		Fact: &lockboxv1.Event_InvitationRedeemed{InvitationRedeemed: &lockboxv1.InvitationRedeemed{
			InvitationId: "i-1", Proof: hash, Person: otto}}})
	must(i, err)
	states, err = repository.New(i.watch).Basis(i.Context(), about)
	must(i, err)
	if s := states.Subscription(bank, of); s.Fault == nil || s.Fault.Sequence != seq || s.Roles.Names(otto) {
		i.Errorf("it is believed: %+v", s)
	}
	i.mayNot("grace", confirmation(of, "i-1", otto.GetIssuer(), otto.GetSubject()), precondition, "I6")
	i.logged("ALARM: inconsistent history; no more decisions are based on it", "aggregate:"+about.String())
	if v := i.verified().Violations; !slices.ContainsFunc(v, func(v verify.Violation) bool {
		return v.Sequence == seq && v.Invariant == "I19"
	}) {
		i.Errorf("audit verify does not name event %d: %+v", seq, v)
	}
}
