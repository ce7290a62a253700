package journaltest

import (
	"slices"
	"sync"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
)

// since checks that known events are not sent again, and that the result is one consistent cut.
func (c *contract) since(t *testing.T) {
	one, two := newAggregate(NewTenant(), aggregate.KindTicket), newAggregate(NewTenant(), aggregate.KindTicket)
	_, seqs := mustAppend(t, c.writer, one, 3)
	_, others := mustAppend(t, c.writer, two, 1)
	long := newAggregate(NewTenant(), aggregate.KindTicket)
	_, many := mustAppend(t, c.writer, long, 40)
	never := journal.Version{Key: newAggregate(NewTenant(), aggregate.KindTicket)}
	last, other := journal.Version{Key: one, Version: 3, Sequence: seqs[2]},
		journal.Version{Key: two, Version: 1, Sequence: others[0]}
	type news struct {
		whole bool
		seqs  []uint64
	}
	for name, row := range map[string]struct {
		known []journal.Version
		want  []news
	}{
		"the last":         {[]journal.Version{last}, []news{{}}},
		"the last of both": {[]journal.Version{last, other}, []news{{}, {}}},
		"not the last": {[]journal.Version{{Key: one, Version: 2, Sequence: seqs[1]}, other},
			[]news{{seqs: seqs[2:]}, {}}},
		"far behind the last": {[]journal.Version{{Key: long, Version: 1, Sequence: many[0]}, other},
			[]news{{seqs: many[1:]}, {}}},
		"nothing": {[]journal.Version{{Key: one}, {Key: two}, never},
			[]news{{true, seqs}, {true, others}, {true, nil}}},
		"one of them": {[]journal.Version{{Key: one}, other}, []news{{true, seqs}, {}}},
		"another in its place": {
			[]journal.Version{{Key: one, Version: 3, Sequence: seqs[2] + 1}}, []news{{true, seqs}},
		},
		"more than there is": {[]journal.Version{{Key: one, Version: 4, Sequence: seqs[2] + 1}}, []news{{true, seqs}}},
		"as if a stream had lost its end": {
			[]journal.Version{last, {Key: two, Version: 2, Sequence: others[0] + 1}}, []news{{}, {true, others}},
		},
	} {
		got, err := c.reader.Since(t.Context(), row.known...)
		if err != nil || len(got) != len(row.want) {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		for i, want := range row.want {
			var seqs []uint64
			for _, e := range got[i].Entries {
				seqs = append(seqs, e.Seq)
			}
			// Whoever has the last event of an aggregate needs no more than that it is told so, in whatever form.
			if got[i].Err != nil || got[i].Whole != want.whole && len(want.seqs) > 0 || !slices.Equal(seqs, want.seqs) {
				t.Errorf("%s: aggregate %d: whole %t, %v, %v; want %+v", name, i, got[i].Whole, seqs, got[i].Err, want)
			}
		}
	}
	// Those who ask at the same time share requests, and know different events of the same aggregate.
	var all sync.WaitGroup
	for range 5 {
		for version := range uint64(len(many)) {
			all.Go(func() {
				known := journal.Version{Key: long, Version: version + 1, Sequence: many[version]}
				got, err := c.reader.Since(t.Context(), other, known)
				if err != nil || len(got) != 2 || len(got[0].Entries) > 0 || got[1].Err != nil {
					t.Errorf("after version %d: %v, %v", version+1, got, err)
				} else if n := len(got[1].Entries); !got[1].Whole && n != len(many)-1-int(version) ||
					n > 0 && got[1].Entries[n-1].Seq != many[len(many)-1] {
					t.Errorf("after version %d: %d events", version+1, n)
				}
			})
		}
	}
	all.Wait()
}
