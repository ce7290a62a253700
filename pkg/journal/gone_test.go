package journal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// An event that was removed from the stream behind the server's back, wherever it stood, is never passed over in
// silence: whoever reads gets what is there, all of it, or is told what is missing (I6).
func TestAnEventThatWasRemovedIsMissed(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		for _, securely := range []bool{false, true} {
			for place, removed := range map[string][]uint64{"first": {1}, "middle": {4}, "last": {6}, "last two": {5, 6},
				"all": {1, 2, 3, 4, 5, 6}} {
				t.Run(fmt.Sprintf("%d servers, %s, securely %t", servers, place, securely), func(t *testing.T) {
					t.Parallel()
					missed(t, servers, securely, removed)
				})
			}
		}
	}
}

// missed removes some of six events of two aggregates, which alternate, and reads in every way.
func missed(t *testing.T, servers int, securely bool, removed []uint64) {
	b := journaltest.Start(t, servers)
	tenants := []string{"meadowbank", "harborview"}
	var about []aggregate.Key
	for _, tenant := range tenants {
		about = append(about, aggregate.Key{Tenant: tenant, Kind: aggregate.KindRequest, ID: journaltest.NewID()})
	}
	const each = 3
	writer := b.Journal(t, bus.Orchestrator)
	after := make([]uint64, len(about))
	for version := range uint64(each) {
		for i, a := range about {
			var err error
			if after[i], err = writer.Append(t.Context(), after[i], journaltest.Event(a, version+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	awaitCopies(t, b, servers)
	b.Stop()
	for i := range servers {
		b.Remove(t, i, securely, removed...)
	}
	b.Resume(t)
	awaitCopies(t, b, servers)

	reader := b.Journal(t, bus.Compliance)
	refused := func(err error) bool { return refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) }
	for name, follow := range map[string]bool{"to the end": false, "and on": true} {
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		var got []uint64
		err := reader.Replay(ctx, journal.Replay{Follow: follow}, func(e journal.Entry) error {
			got = append(got, e.Seq)
			return nil
		})
		var corrupt *journal.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Seq != removed[0] || len(got) != int(removed[0])-1 {
			t.Errorf("everything, %s: %v, after %v", name, err, got)
		}
		for _, tenant := range tenants {
			part := journal.Replay{Tenant: tenant, Follow: follow}
			err = reader.Replay(ctx, part, func(journal.Entry) error { return nil })
			if r, is := refusal.As(err); !is || !refused(err) || r.GetRule() != "I6" {
				t.Errorf("a part, %s: %v", name, err)
			}
		}
		stop()
	}
	if last := removed[len(removed)-1]; last < 2*each {
		var got int
		err := reader.Replay(t.Context(), journal.Replay{From: last + 1, Tenant: tenants[1]}, func(journal.Entry) error {
			got++
			return nil
		})
		if err != nil || got == 0 {
			t.Errorf("what comes after it: %d events, %v", got, err)
		}
	}

	for i, a := range about {
		var lost []uint64
		for version := range uint64(each) {
			if sequence := version*uint64(len(about)) + uint64(i) + 1; slices.Contains(removed, sequence) {
				lost = append(lost, version+1)
			}
		}
		end := slices.Contains(lost, each) // so that what is left may look whole
		for name, load := range map[string]func(context.Context, aggregate.Key) ([]journal.Entry, error){
			"load": reader.Load, "at the leader": reader.LoadAtLeader,
		} {
			got, err := load(t.Context(), a)
			var history *journal.HistoryError
			switch {
			case refused(err), errors.As(err, &history) && len(lost) > 0:
			case err == nil && len(got) == each-len(lost) && len(got) > 0 && (len(lost) == 0 || end):
			default:
				t.Errorf("%s: %s, which lacks %v: %d events, %v", name, a, lost, len(got), err)
			}
		}
		// Who knew everything, and only asks what is new, is told if that is not there any more.
		known := journal.Version{Key: a, Version: each, Sequence: after[i]}
		news, err := reader.Since(t.Context(), known)
		if !refused(err) && (err != nil || news[0].Err == nil && news[0].Whole != end) {
			t.Errorf("what is new of %s, which lacks %v: %+v, %v", a, lost, news, err)
		}
		_, err = b.Journal(t, bus.Orchestrator).Append(t.Context(), after[i], journaltest.Event(a, each+1))
		if err == nil && end {
			t.Errorf("%s goes on after an event that is not there", a)
		}
	}
}

// awaitCopies waits until every server of a cluster is up to date.
func awaitCopies(t *testing.T, b *journaltest.Bus, servers int) {
	t.Helper()
	j := b.Journal(t, bus.Projector)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := j.Copies(t.Context())
		if err == nil && len(c.Servers) == servers {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, %v", c, err)
		}
	}
}
