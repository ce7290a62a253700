package api

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestR61WhetherAccessEndsWithItsTicketIsReadAmongTheSettings(t *testing.T) {
	for name, settings := range map[string]*lockboxv1.TenantSettings{"seen": {DefaultLanguage: "en",
		AccessEndsWithTicket: true}, "hidden": nil} {
		b := bank()
		b.Queries["get_tenant"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tenant{
				Tenant: &lockboxv1.TenantView{Settings: settings}}}, nil
		}
		w, got := call(t, b, http.MethodGet, "/settings", bearertest.Otto, ""), new(lockboxv1.TenantSettings)
		if settings == nil {
			if w.Code != http.StatusNotFound {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			continue
		}
		if err := protojson.Unmarshal(w.Body.Bytes(), got); err != nil || !proto.Equal(got, settings) {
			t.Errorf("%s: %d %s, %v", name, w.Code, w.Body, err)
		}
	}
}

func TestR61TicketsAreReadAndDealtWith(t *testing.T) {
	done := func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return &lockboxv1.CommandReply{Sequence: 43, Version: 4, EventId: other}, nil
	}
	shown := &lockboxv1.TicketView{TicketId: "ref-x", Reference: "#12345", ClosedAt: timestamppb.Now(),
		ClosedBy: &lockboxv1.Actor{Person: &lockboxv1.Person{Subject: "otto"}}}
	b := bank()
	b.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Sequence: 42, Answer: &lockboxv1.QueryReply_Ticket{Ticket: shown}}, nil
	}
	b.Queries["list_tickets"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Sequence: 42, Answer: &lockboxv1.QueryReply_Tickets{
			Tickets: &lockboxv1.TicketList{Tickets: []*lockboxv1.TicketView{shown}}}}, nil
	}
	for address, answer := range map[string]proto.Message{
		"/tickets?limit=7": new(lockboxv1.TicketList), "/tickets/%2312345": new(lockboxv1.TicketView)} {
		w := call(t, b, http.MethodGet, address, bearertest.Otto, "")
		if err := protojson.Unmarshal(w.Body.Bytes(), answer); w.Code != http.StatusOK || err != nil ||
			proto.Size(answer) == 0 || w.Header().Get("Lockbox-Sequence") != "42" {
			t.Errorf("%s: %d, %v: %s", address, w.Code, err, w.Body)
		}
	}
	asked := map[string]bool{}
	for _, q := range b.Asked {
		if q.GetListTickets().GetLimit() == 7 || q.GetGetTicket().GetTicketId() == "#12345" {
			asked[q.GetTenant()] = true
		}
	}
	if len(b.Asked) != 2 || len(asked) != 1 {
		t.Errorf("asked %v", b.Asked)
	}
	for _, c := range []struct {
		address, body string
		want          *lockboxv1.Command
	}{
		{"/tickets", `{"title":"It hangs","reference":"#12345","subscriptionId":"x"}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_OpenTicket{OpenTicket: &lockboxv1.OpenTicket{Title: "It hangs",
				Reference: "#12345", SubscriptionId: "x"}}}},
		{"/tickets/%2312345/comment", `{"text":"Again."}`, &lockboxv1.Command{AggregateId: "#12345",
			Action: &lockboxv1.Command_CommentTicket{CommentTicket: &lockboxv1.CommentTicket{Text: "Again."}}}},
		{"/tickets/%2312345/close", `{"reason":"It runs."}`, &lockboxv1.Command{AggregateId: "#12345",
			Action: &lockboxv1.Command_CloseTicket{CloseTicket: &lockboxv1.CloseTicket{Reason: "It runs."}}}},
		{"/tickets/%2312345/reopen", `{}`, &lockboxv1.Command{AggregateId: "#12345",
			Action: &lockboxv1.Command_ReopenTicket{ReopenTicket: &lockboxv1.ReopenTicket{}}}},
	} {
		b := bank()
		for _, verb := range []string{"open_ticket", "comment_ticket", "close_ticket", "reopen_ticket"} {
			b.Commands[verb] = done
		}
		w := call(t, b, http.MethodPost, c.address, bearertest.Otto, c.body, "Idempotency-Key", other)
		if w.Code != http.StatusOK || len(b.Done) != 1 {
			t.Errorf("%s: %d %s", c.address, w.Code, w.Body)
			continue
		}
		c.want.Id, c.want.Tenant = b.Done[0].GetId(), "meadowbank"
		if diff := cmp.Diff(c.want, b.Done[0], protocmp.Transform()); diff != "" || c.want.GetId() == "" {
			t.Errorf("%s: %s", c.address, diff)
		}
	}
}
