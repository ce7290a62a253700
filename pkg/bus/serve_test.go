package bus_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// responding serves as the orchestrator, and connects a client that asks it.
func responding(t *testing.T, r bus.Responder) (ask func(data string) (*nats.Msg, error), stop func() error) {
	t.Helper()
	b := journaltest.New(t, 1)
	nc := b.Connect(t, bus.Orchestrator)
	r.Name, r.Endpoint, r.Subject, r.Log = "responder", "test", bus.AnyCommand, zap.NewNop()
	if r.Lane == nil {
		r.Lane = func(_ string, data []byte) (string, bool) { return string(data), true }
	}
	r.Refuse = func(why *lockboxv1.Refusal) proto.Message { return wrapperspb.String(why.GetMessage()) }
	stop, err := r.Serve(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // the server knows who listens
		t.Fatal(err)
	}
	client := b.Connect(t, bus.Client)
	return func(data string) (*nats.Msg, error) {
		return client.Request(bus.CommandSubject(bus.Client, "approve"), []byte(data), 10*time.Second)
	}, stop
}

func text(t *testing.T, m *nats.Msg) string {
	t.Helper()
	var s wrapperspb.StringValue
	if err := proto.Unmarshal(m.Data, &s); err != nil {
		t.Error(err)
	}
	return s.GetValue()
}

func TestAResponderAnswersWithinItsBounds(t *testing.T) {
	const atOnce = 3
	var now, most atomic.Int32
	ask, stop := responding(t, bus.Responder{
		AtOnce: atOnce, TimeLimit: time.Minute,
		Answer: func(ctx context.Context, subject string, data []byte) proto.Message {
			if deadline, limited := ctx.Deadline(); !limited || time.Until(deadline) > time.Minute {
				t.Errorf("the answer may take until %v", deadline)
			}
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			return wrapperspb.String(fmt.Sprintf("%s %s", subject, data))
		},
	})
	answers := make(chan error)
	const requests = 12
	for i := range requests {
		go func() {
			m, err := ask(strconv.Itoa(i))
			if err == nil && text(t, m) != fmt.Sprintf("lockbox.command.EDGE.approve %d", i) {
				err = fmt.Errorf("request %d is answered %q", i, m.Data)
			}
			answers <- err
		}()
	}
	for range requests {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n != atOnce {
		t.Errorf("%d answers were made at once, want %d", n, atOnce)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestStoppingWaitsForTheLastAnswer(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	ask, stop := responding(t, bus.Responder{
		AtOnce: 1, TimeLimit: time.Minute,
		Answer: func(context.Context, string, []byte) proto.Message {
			close(begun)
			<-finish
			return wrapperspb.String("the last")
		},
	})
	var answer *nats.Msg
	answered := make(chan error, 1)
	go func() {
		m, err := ask("")
		answer = m
		answered <- err
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("stopped before the answer was given: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(finish)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil || text(t, answer) != "the last" {
		t.Errorf("%v, %v", answer, err)
	}
	if m, err := ask(""); err == nil {
		t.Errorf("answered after it stopped: %q", m.Data)
	}
}

// One caller's requests hang, and there are more of them than may wait; another is answered, and a stranger too.
func TestACallerWhoseRequestsHangHoldsNobodyElseUp(t *testing.T) {
	const hanging = 60
	begun, finish := make(chan struct{}, hanging), make(chan struct{})
	ask, stop := responding(t, bus.Responder{
		AtOnce: 4, MostWaiting: 20, TimeLimit: time.Minute,
		Lane: func(_ string, data []byte) (string, bool) { return string(data), string(data) != "stranger" },
		Answer: func(_ context.Context, _ string, data []byte) proto.Message {
			if string(data) == "loud" {
				begun <- struct{}{}
				<-finish
			}
			return wrapperspb.String("done")
		},
	})
	answers := make(chan string, hanging)
	for range hanging {
		go func() {
			m, err := ask("loud")
			if err != nil {
				t.Error(err)
				return
			}
			answers <- text(t, m)
		}()
	}
	<-begun
	<-begun
	// Half of the slots, and all that may wait: the rest are refused at once.
	for range hanging - 2 - 20 {
		if answer := <-answers; !strings.Contains(answer, "too many at once") {
			t.Errorf("answered %q", answer)
		}
	}
	for _, caller := range []string{"quiet", "stranger", "quiet"} {
		if m, err := ask(caller); err != nil || text(t, m) != "done" {
			t.Errorf("%s: %v, %v", caller, m, err)
		}
	}
	if len(begun) > 0 {
		t.Error("one caller has more than half of the slots")
	}
	close(finish)
	for range 2 + 20 {
		if answer := <-answers; answer != "done" {
			t.Errorf("answered %q", answer)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
