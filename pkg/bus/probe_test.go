package bus_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// Every key may do what its rights say, and nothing else of what any key may.
func TestEveryKeyHasItsRightsAndNoMore(t *testing.T) {
	b := shared.Bus(t)
	before := state(t, b)
	for id, seed := range b.Keys {
		trials, err := bus.Try(t.Context(), bus.Connection{InProcess: b, Identity: id, Seed: seed}, true)
		if err != nil {
			t.Fatal(err)
		}
		may, mayNot := 0, 0
		for _, trial := range trials {
			if trial.May != trial.Could {
				t.Errorf("%s, %s %s: may %v, could %v", id, trial.Use, trial.Subject, trial.May, trial.Could)
			}
			if trial.May {
				may++
			} else {
				mayNot++
			}
		}
		if may == 0 || mayNot < 50 {
			t.Errorf("%s: %d things that it may and %d that it may not were tried", id, may, mayNot)
		}
		if trials, err = bus.Try(t.Context(), bus.Connection{InProcess: b, Identity: id, Seed: seed}, false); err != nil {
			t.Fatal(err)
		}
		wrong := func(trial bus.Trial) bool { return trial.May != trial.Could }
		if len(trials) < 6 || len(trials) > 12 || slices.ContainsFunc(trials, wrong) {
			t.Errorf("%s: of few things were tried %v", id, trials)
		}
	}
	if after := state(t, b); !slices.Equal(before, after) {
		t.Errorf("streams were %v and are %v", before, after)
	}
}

// state is which streams there are, and what is in them.
func state(t *testing.T, b *journaltest.Bus) (all []string) {
	t.Helper()
	i, err := bus.Inspect(t.Context(), b.Connect(t, bus.Provisioner), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range i.Streams {
		if s.Info == nil || s.Drift != nil {
			t.Fatalf("%s: %v", s.Name, s.Drift)
		}
		at := s.Info.State
		all = append(all, fmt.Sprint(s.Name, at.Msgs, at.FirstSeq, at.LastSeq, at.Consumers))
	}
	return all
}

func TestInspectComparesWithWhatProvisionMakes(t *testing.T) {
	b := journaltest.New(t, 1)
	nc := b.Connect(t, bus.Provisioner)
	js, err := bus.JetStream(nc)
	must(t, err)
	inspect := func() (missing []string, drifts []error) {
		t.Helper()
		i, err := bus.Inspect(t.Context(), nc, 1)
		must(t, err)
		for _, s := range i.Streams {
			if s.Info == nil {
				missing = append(missing, s.Name)
			}
			if s.Drift != nil {
				drifts = append(drifts, s.Drift)
			}
		}
		for _, c := range i.Consumers {
			if c.Info == nil {
				missing = append(missing, c.Name)
			}
			if c.Drift != nil {
				drifts = append(drifts, c.Drift)
			}
		}
		return missing, drifts
	}
	if missing, drifts := inspect(); len(missing) != 12 || drifts != nil {
		t.Errorf("before provisioning there are missing %v, and others are %v", missing, drifts)
	}
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{Name: bus.StreamEvents,
		Subjects: []string{"lockbox.event.>"}})
	must(t, err)
	if _, drifts := inspect(); len(drifts) != 1 {
		t.Errorf("a stream of other settings: %v", drifts)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
