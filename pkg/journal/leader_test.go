package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// late makes the leader seem not to have stored an event yet, to whoever asks through a proxy: the first few questions
// for it reach the leader as questions for something that is not there.
type late struct {
	mu   sync.Mutex
	left int
}

// hold holds the leader behind the event with which an aggregate has come to a version, at a sequence of two digits.
func hold(p *journaltest.Proxy, agg aggregate.Key, version, sequence uint64) *late {
	l := &late{left: 3}
	position, never := fmt.Appendf(nil, `"seq":%d}`, sequence), []byte(`"seq":99}`)
	filter := []byte(bus.VersionFilter(agg, version))
	none := []byte(strings.TrimSuffix(bus.VersionFilter(agg, version), fmt.Sprintf("%d.*", version)) + "9.*")
	p.Change(func(data []byte) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.left == 0 {
			return
		}
		copy(data, bytes.ReplaceAll(data, filter, none))
		if bytes.Contains(data, position) {
			copy(data, bytes.ReplaceAll(data, position, never))
			l.left--
		}
	})
	return l
}

func (l *late) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left == 0
}

func behind(t *testing.T, b *journaltest.Bus, id bus.Identity) (*journaltest.Proxy, *journal.Journal) {
	t.Helper()
	p := journaltest.NewProxy(t, b)
	nc, err := bus.Connect(bus.Connection{URL: p.URL(), Identity: id, Seed: b.Keys[id]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	j, err := journal.Open(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return p, j
}

// A replica can store what was committed a moment before the leader does. What was seen there is not denied afterwards
// because the leader does not have it yet.
func TestNothingSeenIsDeniedBecauseTheLeaderIsLater(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 3)
	writer := b.Journal(t, bus.Orchestrator)
	about := aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindRequest, ID: journaltest.NewID()}
	var sequences []uint64
	after := uint64(0)
	add := func() {
		t.Helper()
		version := uint64(len(sequences) + 1)
		var err error
		if after, err = writer.Append(t.Context(), after, journaltest.Event(about, version)); err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, after)
	}
	for range 12 { // so that sequences have two digits
		add()
		if len(sequences) == 8 {
			about.ID, sequences, after = journaltest.NewID(), nil, 0
		}
	}

	for name, see := range map[string]func(*journal.Journal) error{
		"loaded": func(j *journal.Journal) error {
			for {
				if found, err := j.Load(t.Context(), about); err != nil || len(found) == len(sequences) {
					return err
				}
			}
		},
		"followed": func(j *journal.Journal) error {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			return j.Follow(ctx, journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator},
				func(_ context.Context, e journal.Entry) error {
					if e.Seq == after {
						stop()
					}
					return nil
				})
		},
	} {
		proxy, j := behind(t, b, bus.Orchestrator)
		if err := see(j); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n := len(sequences)
		held := hold(proxy, about, uint64(n), after)
		known := journal.Version{Key: about, Version: uint64(n - 1), Sequence: sequences[n-2]}
		news, err := j.Since(t.Context(), known)
		if err != nil || len(news) != 1 || news[0].Err != nil || len(news[0].Entries) == 0 || !held.over() {
			t.Errorf("%s: %+v, %v; the leader was awaited: %t", name, news, err, held.over())
		} else if last := news[0].Entries[len(news[0].Entries)-1]; last.Seq != after {
			t.Errorf("%s: up to event %d instead of %d", name, last.Seq, after)
		}
	}

	// And nobody who follows the stream is told of it, because they may ask others, who ask the leader.
	proxy, reader := behind(t, b, bus.Compliance)
	var held *late
	told := errors.New("told")
	err := reader.Replay(t.Context(), journal.Replay{From: after + 1, Follow: true, Looked: func(time.Time, uint64) {
		if held == nil {
			held = hold(proxy, about, uint64(len(sequences)+1), after+1)
			add()
		}
	}}, func(e journal.Entry) error {
		if e.Seq != after || !held.over() {
			t.Errorf("event %d of %d was passed on; the leader was awaited: %t", e.Seq, after, held.over())
		}
		return told
	})
	if !errors.Is(err, told) {
		t.Error(err)
	}
}
