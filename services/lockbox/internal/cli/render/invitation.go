package render

import (
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// invitationStates says how far an invitation has come, and how that looks.
var invitationStates = map[lockboxv1.InvitationState]cell{
	lockboxv1.InvitationState_INVITATION_STATE_OPEN:           {"open until", plain},
	lockboxv1.InvitationState_INVITATION_STATE_REDEEMED:       {"accepted: confirm it or turn it down", warn},
	lockboxv1.InvitationState_INVITATION_STATE_CONFIRMED:      {"confirmed", good},
	lockboxv1.InvitationState_INVITATION_STATE_WITHDRAWN:      {"withdrawn", dim},
	lockboxv1.InvitationState_INVITATION_STATE_TURNED_DOWN:    {"turned down", dim},
	lockboxv1.InvitationState_INVITATION_STATE_EXPIRED:        {"ran out", dim},
	lockboxv1.InvitationState_INVITATION_STATE_ISSUER_CHANGED: {"of no use: you sign in elsewhere now", dim},
}

// Invitations renders invitations to roles and what has become of them.
func Invitations(l Look, list []*lockboxv1.InvitationView) string {
	if len(list) == 0 {
		return "No invitations.\n"
	}
	columns := []column{
		{title: "SCOPE"}, {title: "ROLE", min: 16}, {title: "FOR", min: 12}, {title: "STATE", min: 20},
		{title: "ACCEPTED BY", min: 12}, {title: "ID THERE", drop: 1}, {title: "INVITATION"},
	}
	var rows [][]cell
	for _, i := range list {
		scope := i.GetSubscriptionId()
		if scope == "" {
			scope = "tenant"
		}
		state := invitationStates[i.GetState()]
		if i.GetState() == lockboxv1.InvitationState_INVITATION_STATE_OPEN {
			state.text = "open, ends " + l.In(i.GetInvitation().GetUntil().AsTime())
		}
		by, subject := cell{"-", dim}, ""
		if who := i.GetRedeemedBy(); who != nil {
			by, subject = cell{PersonName(who), plain}, who.GetSubject()
		}
		rows = append(rows, []cell{text(scope), text(tenant.RoleName(i.GetInvitation().GetRole())),
			text(i.GetInvitation().GetNote()), state, by, text(subject), {l.id(i.GetInvitation().GetId()), accent}})
	}
	return l.table(columns, rows)
}

// Offer says what somebody is invited to, before they accept it.
func Offer(i *lockboxv1.InvitationView) string {
	role := tenant.RoleName(i.GetInvitation().GetRole())
	text := fmt.Sprintf("%s invites %s to be %s of %s.", PersonName(i.GetInvitedBy().GetPerson()),
		Clean(i.GetInvitation().GetNote()), role, Clean(i.GetWhere()))
	if i.GetInvitation().GetEligibleOnly() {
		text += " The role counts only while you have activated it."
	}
	return text
}

// Redeemer says who accepted an invitation, and what of that is certain.
func Redeemer(i *lockboxv1.InvitationView) string {
	who := i.GetRedeemedBy()
	return strings.Join([]string{
		fmt.Sprintf("The invitation for %s to be %s of %s was accepted by", Clean(i.GetInvitation().GetNote()),
			tenant.RoleName(i.GetInvitation().GetRole()), Clean(i.GetWhere())),
		"    " + Clean(who.GetSubject()) + " at " + Clean(who.GetIssuer()),
		"who says of itself: " + PersonName(who) + ", " + Clean(who.GetEmail()),
	}, "\n")
}
