package aggregate

import (
	"cmp"
	"slices"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Command is a command with the verified identity of its sender.
type Command struct {
	*lockboxv1.Command
	By *lockboxv1.Actor
	// Sealed are the command's secrets, encrypted to whoever needs them; empty if it has none, or if nothing is
	// configured to encrypt them with. Of a command with secrets, an event takes only these.
	Sealed []byte
	// Found is what is behind each thing that the command wants erased, in its order (R63).
	Found []Found
	// GroupsUnread is why the groups in the sender's token could not be read, as a refusal; nil if they could (R67).
	GroupsUnread error
}

// Found is what is behind a thing to erase.
type Found struct {
	// Keys are those that were not destroyed yet.
	Keys []erasable.KeyID
	// By is who caused the event, of the texts of one; nil if there is no such event.
	By *lockboxv1.Actor
	// Holds reports whether a person has a role on one of the tenant's subscriptions, or is to have one.
	Holds bool
	// Asks reports whether a person has a request at the tenant that has not ended.
	Asks bool
	// Untold reports whether the event is of a disclosure that the tenant has not been told of yet.
	Untold bool
}

// Of returns the aggregate that a command is about; of a ticket that is named by its reference, where a new ticket of
// that reference is. It refuses (INVALID) an id that this kind cannot have, a command on one of the provider's own
// aggregates that names a customer, and the reverse.
func Of(c *lockboxv1.Command) (Key, error) {
	about := about(c)
	switch about.Kind {
	case KindPolicy, KindAlarm, KindSigning:
		if named := (Key{c.GetTenant(), about.Kind, c.GetAggregateId()}); named != about {
			return about, refusal.OfKind(
				refusal.Invalid("tenant", "bad input", "this command is about %s", about),
				"another-tenant")
		}
		return about, nil
	case KindOwnership:
		if err := input.Tenant("tenant", c.GetTenant()); err != nil {
			return about, err
		}
		return about, input.Token("aggregate_id", c.GetAggregateId())
	case KindErasure: // of the provider's own events, too
		return about, refusal.First(CheckTenant(about.Tenant), input.UUIDv7("aggregate_id", about.ID))
	case KindTenant, KindKeys:
		if c.GetAggregateId() != "" {
			return about, refusal.Invalid("aggregate_id", "bad input", "a command about the tenant names no other aggregate")
		}
	}
	if err := input.Tenant("tenant", about.Tenant); err != nil {
		return about, err
	}
	switch about.Kind {
	case KindTicket:
		return about, checkTicket(c)
	case KindRequest, KindDisclosure:
		return about, input.UUIDv7("aggregate_id", about.ID)
	}
	return about, input.Token("aggregate_id", about.ID)
}

// checkTicket refuses (INVALID) a command that names no ticket, or two.
func checkTicket(c *lockboxv1.Command) error {
	id, reference := c.GetAggregateId(), c.GetOpenTicket().GetReference()
	if reference == "" {
		return CheckReference("aggregate_id", prose.Line(id))
	}
	if id != "" && TicketID(id) != TicketID(reference) {
		return refusal.Invalid("aggregate_id", "R11",
			"names another ticket than open_ticket.reference; one of both is enough")
	}
	return CheckReference("open_ticket.reference", reference)
}

// about is Of for a command that was already checked.
func about(c *lockboxv1.Command) Key {
	tenant, id := c.GetTenant(), c.GetAggregateId()
	switch c.GetAction().(type) {
	case *lockboxv1.Command_CreateTenant, *lockboxv1.Command_ChangeSupportPlan, *lockboxv1.Command_EnableLockbox,
		*lockboxv1.Command_DisableLockbox, *lockboxv1.Command_SignUpPreview, *lockboxv1.Command_SignOffPreview,
		*lockboxv1.Command_ChangeSettings, *lockboxv1.Command_ProposeSignInChange, *lockboxv1.Command_ConfirmSignInChange,
		*lockboxv1.Command_StopSignInChange, *lockboxv1.Command_EndFormerSignIn, *lockboxv1.Command_AddWebhook,
		*lockboxv1.Command_RemoveWebhook:
		return Tenant(tenant)
	case *lockboxv1.Command_AssignRole, *lockboxv1.Command_RemoveRole, *lockboxv1.Command_ActivateRole,
		*lockboxv1.Command_DeactivateRole, *lockboxv1.Command_InviteRole, *lockboxv1.Command_RedeemInvitation,
		*lockboxv1.Command_ConfirmInvitation, *lockboxv1.Command_EndInvitation, *lockboxv1.Command_SignIn:
		if id == "" {
			return Tenant(tenant)
		}
		return Subscription(tenant, id)
	case *lockboxv1.Command_RegisterSubscription, *lockboxv1.Command_TransferSubscription:
		return Ownership(id)
	case *lockboxv1.Command_OpenTicket:
		reference := c.GetOpenTicket().GetReference()
		if id != "" && reference != "" { // the id may be the one of a ticket from before there were references
			return Ticket(tenant, TicketToken(id))
		}
		return Ticket(tenant, TicketID(id+reference))
	case *lockboxv1.Command_AssignTicket, *lockboxv1.Command_CommentTicket, *lockboxv1.Command_CloseTicket,
		*lockboxv1.Command_ReopenTicket:
		return Ticket(tenant, TicketToken(id))
	case *lockboxv1.Command_PublishRules:
		return Rules
	case *lockboxv1.Command_PublishCatalogue:
		return Catalogue
	case *lockboxv1.Command_DiscloseExposure, *lockboxv1.Command_DiscloseLegalDemand:
		return Disclosure(tenant, id)
	case *lockboxv1.Command_SetAsideMessage:
		return Guard
	case *lockboxv1.Command_BeginSigning, *lockboxv1.Command_CertifyWriter, *lockboxv1.Command_RevokeWriter:
		return SigningWriters
	case *lockboxv1.Command_EraseDetails, *lockboxv1.Command_ConfirmErasure, *lockboxv1.Command_DeclineErasure:
		return Erasure(tenant, id)
	case *lockboxv1.Command_OfferKey, *lockboxv1.Command_SignKeys:
		return Keys(tenant)
	}
	return Request(tenant, id)
}

// Provider reports whether the actor is one of the provider's people and in at least one of the groups, if any are
// named.
func Provider(a *lockboxv1.Actor, groups ...string) bool {
	return a.GetSide() == lockboxv1.Side_SIDE_PROVIDER && a.GetPerson().GetSubject() != "" &&
		(len(groups) == 0 ||
			slices.ContainsFunc(a.GetGroups(), func(g string) bool { return slices.Contains(groups, g) }))
}

// Customer reports whether the actor is one of the customer's people.
func Customer(a *lockboxv1.Actor) bool {
	return a.GetSide() == lockboxv1.Side_SIDE_TENANT && a.GetPerson().GetSubject() != ""
}

// TakesAway reports whether a command says no, takes something away or gives it back, or has the customer asked: what
// no limit may ever keep anybody from doing (R52).
func TakesAway(c *lockboxv1.Command) bool {
	switch c.GetAction().(type) {
	case *lockboxv1.Command_Deny, *lockboxv1.Command_Revoke, *lockboxv1.Command_InternalRefuse,
		*lockboxv1.Command_Withdraw, *lockboxv1.Command_Release, *lockboxv1.Command_RemoveRole,
		*lockboxv1.Command_DeactivateRole, *lockboxv1.Command_EnableLockbox, *lockboxv1.Command_SignUpPreview,
		*lockboxv1.Command_StopSignInChange, *lockboxv1.Command_EndFormerSignIn, *lockboxv1.Command_SignIn,
		*lockboxv1.Command_EndInvitation, *lockboxv1.Command_RemoveWebhook, *lockboxv1.Command_CloseTicket:
		return true
	}
	return false
}

// MappedName returns a tenant's own name of one of its issuer's groups.
func MappedName(g *lockboxv1.MappedGroup) string { return cmp.Or(g.GetName(), g.GetId()) }

// System reports whether the actor is a part of Lockbox itself.
func System(a *lockboxv1.Actor) bool { return a.GetSide() == lockboxv1.Side_SIDE_SYSTEM }

// Groups of the provider's people, as the provider's issuer names them.
const (
	SupportEngineers = "support-engineers"
	SupportLeads     = "customer-support-leads"
	DevOpsManagers   = "devops-managers"
	SecurityOfficers = "security-officers"
	Onboarding       = "onboarding"
	// EmergencyResponders are engineers who may also request emergency access (R43).
	EmergencyResponders = "emergency-responders"
	// TicketSystems are credentials of programs: they open tickets at any customer, see those that they opened, and do
	// nothing else (R61).
	TicketSystems = "ticket-systems"
)
