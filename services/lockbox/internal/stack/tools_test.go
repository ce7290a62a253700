package stack_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"google.golang.org/protobuf/proto"
)

// The same engineer, the same intent: what a tool is not for, it cannot submit (R13).
func TestAnEngineeringToolSubmitsOnlyWhatItIsFor(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.config.Tools = []evaluator.Tool{{Name: tool, Tenants: []string{bank}, Services: []string{"storage/*"}}}
	l.restart(0)
	before := l.decided()

	in := l.intent("erin")
	if r := l.submit(in).GetRefusal(); r.GetCode() != forbidden || r.GetField() != "resource_type" ||
		r.GetRule() != "R13" {
		t.Errorf("another service: %v", r)
	}
	data, err := proto.Marshal(in)
	must(t, err)
	l.nothingSetAside()

	// The bus does not even take what is for another customer.
	subject, err := bus.IntentSubject(tool, health)
	must(t, err)
	nc := l.connect(bus.Tool(tool))
	must(t, nc.Publish(subject, data))
	must(t, nc.Flush())
	if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("another customer: %v", err)
	}
	if after := l.decided(); after != before {
		t.Errorf("something was decided after %d, at %d", before, after)
	}

	l.config.Tools = []evaluator.Tool{{Name: tool, Tenants: []string{bank}, Services: []string{"compute/*"}}}
	l.restart(0)
	l.requested(l.intent("erin"), request.CustomerNotified)
}
