package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Command is a suggested command, or a page to open, and its purpose.
type Command struct {
	Line, For string
}

// Cast names the program and, in the demo, the personas who would run each command (--as).
type Cast struct {
	// Program is the name by which users call the program; empty: lockbox.
	Program                       string
	Requester, Internal, Approver string
	// Portal is the portal's URL; empty: none is known.
	Portal string
}

func (c Cast) command(as string) string {
	program := "lockbox "
	if c.Program != "" {
		program = Clean(c.Program) + " "
	}
	if as == "" {
		return program
	}
	return program + "--as " + Clean(as) + " "
}

// browse returns the portal's page of a request for a tenant's people, or for the provider's staff if tenant is empty;
// nothing if there is no portal.
func (c Cast) browse(v *lockboxv1.RequestView, tenant, what string) []Command {
	if c.Portal == "" {
		return nil
	}
	return []Command{{Clean(portalurl.To(c.Portal, tenant, "requests", v.GetRequestId())), what}}
}

// Next returns what people can do about a request in its current state.
func Next(v *lockboxv1.RequestView, cast Cast) []Command {
	id := ShortID(v.GetRequestId()) // short, so that a command fits on a line
	requester, approver := cast.command(cast.Requester), cast.command(cast.Approver)
	withdraw := Command{requester + "request withdraw " + id, "the requester takes it back"}
	switch v.GetStatus() {
	case lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL:
		approve := Command{cast.command(cast.Internal) + "internal approve " + id, "an internal approver lets it go on"}
		if v.GetEvaluation().GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY &&
			request.LastInternal(v.GetEvaluation(), len(v.GetInternalDecisions())) {
			approve.Line += " --reason WHY"
			approve.For = "an internal approver starts access at once; the customer is not asked"
		}
		return append(cast.browse(v, "", "an internal approver decides in a browser"), approve, withdraw)
	case lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED:
		commands := append(cast.browse(v, v.GetTenant(), "the customer decides in a browser"),
			Command{approver + "approval approve " + id, "the customer allows it"},
			Command{approver + "approval deny " + id + ` --reason WHY`, "the customer refuses"},
		)
		if slices.ContainsFunc(v.GetQuestions(), func(q *lockboxv1.Question) bool { return q.GetAnswerer() == nil }) {
			commands = append(commands, Command{requester + "approval answer " + id + " ANSWER",
				"the requester answers the question"})
		}
		return append(commands, withdraw)
	case lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE:
		return append(cast.browse(v, v.GetTenant(), "the customer looks at it in a browser"),
			Command{requester + "request release " + id, "the requester gives access back early"},
			Command{approver + "approval revoke " + id + " --reason WHY", "the customer takes access away"},
		)
	default:
		return nil
	}
}

// LookAt returns how the customer views a request that awaits their decision; nothing if none is awaited.
func LookAt(v *lockboxv1.RequestView, cast Cast) []Command {
	if v.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED {
		return nil
	}
	return []Command{{cast.command(cast.Approver) + "approval show " + ShortID(v.GetRequestId()),
		"the customer looks at it"}}
}

// WaitingGroup returns the provider's group whose internal approval is awaited; empty: none.
func WaitingGroup(v *lockboxv1.RequestView) string {
	given := len(v.GetInternalDecisions())
	for _, s := range v.GetEvaluation().GetInternalStages() {
		if given < int(s.GetCount()) {
			return s.GetGroup()
		}
		given -= int(s.GetCount())
	}
	return ""
}

// Commands renders suggested commands.
func Commands(l Look, commands []Command) string {
	if len(commands) == 0 {
		return ""
	}
	p := &page{Look: l}
	p.heading("Next")
	for _, c := range commands {
		p.line("  " + p.paint(accent, c.Line))
		p.line("      " + p.paint(dim, c.For))
	}
	return p.String()
}

// Allowance returns one sentence on what an approval allows, for the person who is about to give it.
func Allowance(v *lockboxv1.RequestView, d time.Duration, resourceIDs []string) string {
	asked := v.GetIntent().GetResourceIds()
	count := plural(len(asked), "resource", "resources")
	if len(resourceIDs) > 0 && len(resourceIDs) < len(asked) {
		count = fmt.Sprintf("%d of the %s asked for", len(resourceIDs), count)
	}
	if len(resourceIDs) == 0 {
		resourceIDs = asked
	}
	clean := make([]string, len(resourceIDs))
	for i, id := range resourceIDs {
		clean[i] = Clean(id)
	}
	where := named(v.GetSubscriptionName(), v.GetIntent().GetSubscriptionId())
	if where == "" {
		where = "tenant " + named(v.GetTenantName(), v.GetTenant())
	}
	return fmt.Sprintf("This allows %s to do %q on %s of %s (%s) for %s from the moment access begins.",
		ActorName(v.GetRequester()), Clean(what(v)), count, where, strings.Join(clean, ", "), Duration(d))
}
