package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Replays that read together get what each would have got alone: every message, whatever it is, once and in order.
// That holds through the reader of a server's copy and without one, and while somebody else uses that reader, in this
// process or with the same key in another.
func TestReplaysReadTogetherWhatEachWouldReadAlone(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1)
	writer, nc := b.Journal(t, bus.Orchestrator), b.Connect(t, bus.Orchestrator)
	const messages = 90
	for i := range messages / 3 {
		about := aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTicket, ID: journaltest.NewID()}
		after, err := writer.Append(t.Context(), 0, journaltest.Event(about, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Append(t.Context(), after, journaltest.Event(about, 2)); err != nil {
			t.Fatal(err)
		}
		// A message without bytes ends an answer to another account.
		var data []byte
		if i%2 == 0 {
			data = []byte("no event")
		}
		subject := bus.VersionFilter(about, uint64(i)+3)
		subject = subject[:len(subject)-1] + "TicketCommented"
		if _, err := nc.Request(subject, data, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	read := func(ctx context.Context, j *journal.Journal, r journal.Replay) (got []journal.Entry, err error) {
		r.Undecoded = true
		err = j.Replay(ctx, r, func(e journal.Entry) error {
			if got = append(got, e); r.Follow && len(got) == messages-int(r.From) {
				return errAll
			}
			return nil
		})
		if errors.Is(err, errAll) {
			err = nil
		}
		return got, err
	}
	want, err := read(t.Context(), b.Journal(t, bus.Notifier), journal.Replay{})
	if err != nil || len(want) != messages {
		t.Fatalf("%d messages, %v", len(want), err)
	}
	same := func(t *testing.T, got, want []journal.Entry) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%d of %d", len(got), len(want))
			return
		}
		for i, e := range got {
			w := want[i]
			if e.Seq != w.Seq || e.Subject != w.Subject || !e.Stored.Equal(w.Stored) || !bytes.Equal(e.Data, w.Data) ||
				e.Pending != w.Pending {
				t.Errorf("%+v is %+v when it is read alone", e, w)
				return
			}
		}
	}
	for _, id := range []bus.Identity{bus.Projector, bus.Notifier, bus.Compliance} {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			j := b.Journal(t, id, journal.Together())
			var all errgroup.Group
			for range 3 {
				other := b.Journal(t, id, journal.Together())
				all.Go(func() error {
					got, err := read(t.Context(), other, journal.Replay{})
					if err == nil {
						same(t, got, want)
					}
					return err
				})
			}
			for i := range 6 {
				all.Go(func() error {
					got, err := read(t.Context(), j, journal.Replay{Follow: i%2 == 0})
					if err == nil {
						same(t, got, want)
					}
					return err
				})
				all.Go(func() error {
					got, err := read(t.Context(), j, journal.Replay{From: uint64(i) + 2})
					if err == nil {
						same(t, got, want[i+1:])
					}
					return err
				})
			}
			if id == bus.Projector {
				all.Go(func() error { // whoever scans tries again when others have taken messages or moved the reader
					for {
						n := 0
						err := j.Scan(t.Context(), "", messages, func(m journal.Stored) error {
							if n++; m.Sequence != uint64(n) {
								return errMoved
							}
							return nil
						})
						if _, refused := refusal.As(err); !refused && !errors.Is(err, errMoved) {
							return err
						}
					}
				})
			}
			if err := all.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A long replay decodes ahead of its handler, on other processors. Whatever is stored, the handler is called as it
// would be without: with the same events and misfits in the same order, up to the same error.
func TestDecodingAheadChangesNothing(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1)
	nc := b.Connect(t, bus.Orchestrator)
	random := rand.New(rand.NewPCG(1, rand.Uint64())) // #nosec G404 -- a history needs no secret
	const messages = 80
	store := func(subject string, data []byte) {
		t.Helper()
		if _, err := nc.Request(subject, data, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		about := aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTicket, ID: journaltest.NewID()}
		e := journaltest.Event(about, 1)
		subject, err := bus.EventSubject(e)
		if err != nil {
			t.Fatal(err)
		}
		data, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		switch random.IntN(8) {
		case 0:
			data = nil
		case 1:
			data = data[:random.IntN(len(data))]
		case 2:
			data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		case 3:
			data, _ = proto.Marshal(journaltest.Event(about, 2)) // contradicts its subject
		}
		if i == messages-1 { // an event of a later version, at which everybody stops
			e.Fact = nil
			if data, err = proto.Marshal(e); err != nil {
				t.Fatal(err)
			}
			data = protowire.AppendString(protowire.AppendTag(data, 4000, protowire.BytesType), "news")
		}
		store(subject, data)
	}
	transcript := func(j *journal.Journal, from, stop uint64) (lines []string) {
		say := func(seq uint64, what string) error {
			lines = append(lines, strconv.FormatUint(seq, 10)+" "+what)
			if seq == stop {
				return errAll
			}
			return nil
		}
		err := j.Replay(t.Context(), journal.Replay{From: from,
			Misfit: func(e journal.Entry, m journal.Misfit) error {
				return say(e.Seq, fmt.Sprintf("%v %+v", e.Event, m))
			}}, func(e journal.Entry) error {
			return say(e.Seq, fmt.Sprintf("%s %d %s", e.Event.GetId(), e.Pending, e.Stored))
		})
		return append(lines, fmt.Sprint(err))
	}
	alone := b.Journal(t, bus.Notifier)
	for _, id := range []bus.Identity{bus.Notifier, bus.Compliance} {
		ahead := b.Journal(t, id, journal.Together())
		for range 20 {
			from, stop := uint64(random.IntN(messages)), uint64(random.IntN(2*messages))
			got, want := transcript(ahead, from, stop), transcript(alone, from, stop)
			if !slices.Equal(got, want) {
				t.Fatalf("%s from %d, ended at %d:\n%q\nand without decoding ahead\n%q", id, from, stop, got, want)
			}
		}
	}
	if all := transcript(alone, 1, 0); !strings.Contains(all[len(all)-1], input.ErrUnknownFact.Error()) {
		t.Errorf("ended by %s", all[len(all)-1])
	}
}

var (
	errAll   = errors.New("all are there")
	errMoved = errors.New("another process has moved the reader")
)
