package stack_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/proto"
)

// The disk of all of Lockbox runs full. Commands are refused as unavailable and nothing is granted; once there is room,
// everything goes on without anybody's help, and all that was accepted is there.
func TestAFullDiskIsUnavailableAndPasses(t *testing.T) {
	t.Parallel()
	l := closed(t, request.DefaultTerms(), devissuer.Config{})
	l.config.Dir = durabletest.Disk(t, 96)
	l.open()
	t.Cleanup(func() { l.close() })
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	id := l.requested(l.intent("erin"), request.CustomerNotified)

	// attempt returns a command's refusal; a service that does not answer is one that is unavailable. A command that is
	// attempted again is the same one.
	attempt := func(as string, c *lockboxv1.Command) *lockboxv1.Refusal {
		if c.GetId() == "" {
			c.Id = newID(t)
		}
		c.Tenant, c.Token = bank, l.token(as)
		data, err := proto.Marshal(c)
		must(t, err)
		m, err := l.client.Request(bus.CommandSubject(bus.Client, bus.Verb(c)), data, patience/4)
		if err != nil {
			return &lockboxv1.Refusal{Code: lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, Message: err.Error()}
		}
		reply := new(lockboxv1.CommandReply)
		must(t, proto.Unmarshal(m.Data, reply))
		return reply.GetRefusal()
	}
	comments := map[string]bool{}
	say := func() *lockboxv1.Refusal {
		text := "comment " + newID(t)
		r := attempt("otto", comment(text))
		if r == nil {
			comments[text] = true
		}
		return r
	}
	unavailable := func(r *lockboxv1.Refusal) bool {
		if r != nil && r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
			t.Fatalf("it is refused for another reason: %v", r)
		}
		return r != nil
	}
	if r := say(); r != nil {
		t.Fatal(r)
	}

	free := durabletest.Fill(t, l.config.Dir)
	within(t, 2*patience, "a command that is refused", func() bool {
		first, second := unavailable(say()), unavailable(say())
		return first && second
	})
	approval := approve(id)
	if !unavailable(attempt("otto", approval)) {
		t.Error("a full disk takes an approval")
	}
	if l.stack.Err() != nil {
		t.Fatal(l.stack.Err())
	}
	free()
	within(t, 4*patience, "a command that is accepted", func() bool { return !unavailable(say()) })
	if s := l.state(id); s.Status != request.CustomerNotified {
		t.Errorf("meanwhile the request has become %v", s.Status)
	}
	within(t, 2*patience, "an approval", func() bool { return !unavailable(attempt("otto", approval)) })
	l.untilOf(bank, id, "access", func(s request.State) bool { return s.Status == request.Active })

	last := uint64(0)
	for _, e := range l.history(journal.Replay{}) {
		if e.Seq != last+1 {
			t.Errorf("event %d follows %d", e.Seq, last)
		}
		last = e.Seq
		delete(comments, e.Event.GetTicketCommented().GetText())
	}
	for text := range comments {
		t.Errorf("%s was accepted, and is gone", text)
	}
	within(t, 2*patience, "the projection", func() bool {
		r := l.query(&lockboxv1.Query{Tenant: bank, Token: l.token("otto"), MinSequence: last,
			Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
		return r.GetRefusal() == nil
	})
}

// The disk of the projection alone runs full: commands are carried out, what comes of them cannot be seen, and once
// there is room it can be again.
func TestAFullDiskOfTheProjectionPasses(t *testing.T) {
	t.Parallel()
	l := closed(t, request.DefaultTerms(), devissuer.Config{})
	disk := durabletest.Disk(t, 32)
	must(t, os.Symlink(disk, filepath.Join(l.config.Dir, "projection")))
	l.config.LogAddr = "127.0.0.1:0"
	l.open()
	t.Cleanup(func() { l.close() })
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	seen := func(sequence uint64) bool {
		data, err := proto.Marshal(&lockboxv1.Query{Tenant: bank, Token: l.token("otto"), MinSequence: sequence,
			Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
		must(t, err)
		m, err := l.client.Request(bus.QuerySubject(bus.Client, "get_request"), data, patience/4)
		reply := new(lockboxv1.QueryReply)
		return err == nil && proto.Unmarshal(m.Data, reply) == nil && reply.GetRefusal() == nil
	}
	last := l.does("otto", comment("before")).GetSequence()
	within(t, 2*patience, "the projection", func() bool { return seen(last) })

	free := durabletest.Fill(t, disk)
	within(t, 4*patience, "what cannot be seen", func() bool {
		last = l.does("otto", comment("meanwhile")).GetSequence()
		return !seen(last)
	})
	if err := l.stack.Err(); err != nil {
		t.Fatal(err)
	}
	free()
	within(t, 4*patience, "the projection again", func() bool { return seen(last) })
	l.does("otto", approve(id))
	within(t, 4*patience, "access", func() bool { return l.state(id).Status == request.Active })
	within(t, 2*patience, "the log", func() bool {
		r, err := http.Get(l.stack.LogURL() + "/checkpoint")
		if err != nil {
			return false
		}
		must(t, r.Body.Close())
		return r.StatusCode == http.StatusOK
	})
}
