package api

import (
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ticketActions are what can be done to a ticket (R61): the command's action by the last segment of the path.
var ticketActions = map[string]protoreflect.Name{"comment": "comment_ticket", "close": "close_ticket",
	"reopen": "reopen_ticket"}

func listTickets(c *bearer.Call) error {
	q := new(lockboxv1.ListTickets)
	reply, err := ask(c, parameters{"limit": one(number(&q.Limit))},
		&lockboxv1.Query{Ask: &lockboxv1.Query_ListTickets{ListTickets: q}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetTickets())
}

func getTicket(c *bearer.Call) error {
	reply, err := ask(c, nil, &lockboxv1.Query{Ask: &lockboxv1.Query_GetTicket{
		GetTicket: &lockboxv1.GetTicket{TicketId: c.Param("ticketId")}}})
	if err != nil {
		return err
	}
	return answer(c, reply.GetTicket())
}

// onTicket opens a ticket, or does something to the one that the path names.
func onTicket(action protoreflect.Name) func(*bearer.Call) error {
	return func(c *bearer.Call) error {
		command, fields := beginAction(action)
		return send(c, command, fields, c.Param("ticketId"))
	}
}

// beginAction creates the command, and the body members that fill it in.
func beginAction(action protoreflect.Name) (*lockboxv1.Command, bearer.Fields) {
	command, fields := new(lockboxv1.Command), bearer.Fields{}
	fill(command, action, fields)
	return command, fields
}
