package main

import (
	"reflect"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
)

func TestTheProtocolIsReadInWhateverPiecesItArrives(t *testing.T) {
	t.Parallel()
	const said = "INFO {}\r\nPING\r\nPUB a 2\r\n\r\n\r\nPUB b inbox.1 5\r\nhello\r\n" +
		"HPUB c inbox.2 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG d 7 0\r\n\r\nHMSG e 7 inbox.3 12 12\r\nNATS/1.0\r\n\r\n\r\n+OK\r\nPUB"
	want := []message{
		{"a", "", nil, []byte("\r\n")}, {"b", "inbox.1", nil, []byte("hello")},
		{"c", "inbox.2", []byte("NATS/1.0\r\n\r\n"), []byte("hi")}, {"d", "", nil, nil},
		{"e", "inbox.3", []byte("NATS/1.0\r\n\r\n"), nil},
	}
	for piece := 1; piece <= len(said); piece++ {
		var p protocol
		var got []message
		raw := ""
		for rest := said; rest != ""; {
			now := min(piece, len(rest))
			for _, f := range p.frames([]byte(rest[:now])) {
				raw += string(f.raw)
				if f.is {
					got = append(got, shortened(f.message))
				}
			}
			rest = rest[now:]
		}
		if !reflect.DeepEqual(got, want) || raw+"PUB" != said {
			t.Fatalf("in pieces of %d: %q, all in all %q", piece, got, raw)
		}
	}
}

// shortened makes nothing of what is empty.
func shortened(m message) message {
	if len(m.header) == 0 {
		m.header = nil
	}
	if len(m.data) == 0 {
		m.data = nil
	}
	return m
}

func TestCommitsInARowAreThoseThatWaitForEachOther(t *testing.T) {
	t.Parallel()
	commit := func(sent, stored int) *exchange {
		return &exchange{message: message{subject: "lockbox.event.meadowbank.request.r.1.AccessRequested"},
			sent: sent, stored: stored, answered: stored}
	}
	for _, c := range []struct {
		name string
		all  []*exchange
		want int
	}{
		{"none", nil, 0},
		{"one after the other", []*exchange{commit(1, 2), commit(3, 4), commit(5, 6)}, 3},
		{"all at once", []*exchange{commit(1, 6), commit(2, 5), commit(3, 4)}, 1},
		{"two beside a long one", []*exchange{commit(1, 9), commit(2, 3), commit(4, 5)}, 2},
		{"what is no commit", []*exchange{{message: message{subject: "LB.API.INFO"}, sent: 1, stored: 2, answered: 2}}, 0},
	} {
		if got := (passed{all: c.all}).inARow((*exchange).commit); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
}

// An event waits while the orchestrator decides a command or writes, and nothing else does.
func TestTheFollowerComesAfterItsWriter(t *testing.T) {
	t.Parallel()
	event := message{subject: "lockbox.event.meadowbank.request.r.4.CustomerApproved", reply: "$JS.ACK.1"}
	command := message{subject: bus.CommandSubject(bus.Client, "approve"), reply: "inbox.1"}
	r := newRecord()
	held := func(when string, want bool) {
		t.Helper()
		if r.holds(bus.Orchestrator, event) != want {
			t.Errorf("%s: held is %v", when, !want)
		}
	}
	held("at rest", false)
	r.got(bus.Orchestrator, command)
	held("while a command is decided", true)
	if r.holds(bus.Orchestrator, command) || r.holds(bus.Evaluator, event) {
		t.Error("something else is held")
	}
	r.sent(bus.Orchestrator, message{subject: command.reply})
	held("when the command is answered", false)
	r.sent(bus.Orchestrator, message{subject: event.subject, reply: "inbox.2"})
	held("while an event is written", true)
	r.got(bus.Orchestrator, message{subject: "inbox.2"})
	held("when it is stored", false)
}
