package bus_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// A bus that an earlier version provisioned has consumers that know fewer kinds of events. Who follows one refuses
// until it is provisioned again; then it goes on where it was, with the new kinds as well.
func TestConsumersOfAnEarlierVersionAreBroughtUpToDate(t *testing.T) {
	old := journaltest.New(t, 1)
	js, err := bus.JetStream(old.Connect(t, bus.Provisioner))
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Provision(t.Context(), old.Connect(t, bus.Provisioner), 1); err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), bus.StreamEvents, bus.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	config.FilterSubjects = []string{"lockbox.event.*." + aggregate.KindRequest + ".>",
		"lockbox.event.*." + aggregate.KindTenant + ".>"}
	if _, err := js.CreateOrUpdateConsumer(t.Context(), bus.StreamEvents, config); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		c, err := js.Consumer(t.Context(), bus.StreamEvents, bus.DurableNotifier)
		if err != nil {
			t.Fatal(err)
		}
		return bus.CheckConsumer(bus.StreamEvents, c.CachedInfo().Config)
	}
	var drift *bus.DriftError
	if err := check(); !errors.As(err, &drift) || drift.Setting != "FilterSubjects" {
		t.Errorf("an earlier version's consumer: %v", err)
	}
	if err := bus.Provision(t.Context(), old.Connect(t, bus.Provisioner), 1); err != nil {
		t.Errorf("provisioning again: %v", err)
	}
	if err := check(); err != nil {
		t.Errorf("after that: %v", err)
	}
	for _, kind := range []string{aggregate.KindKeys, aggregate.KindAttempt} {
		if c, err := js.Consumer(t.Context(), bus.StreamEvents, bus.DurableNotifier); err != nil || !filters(c, kind) {
			t.Errorf("the notifier does not hear of %s: %v", kind, err)
		}
	}
}

func filters(c jetstream.Consumer, kind string) bool {
	for _, subject := range c.CachedInfo().Config.FilterSubjects {
		if subject == "lockbox.event.*."+kind+".>" {
			return true
		}
	}
	return false
}
