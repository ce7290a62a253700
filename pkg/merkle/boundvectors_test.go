package merkle

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/tlog"
)

// tampered are changes of a receipt with one proof for all its events.
func tampered() map[string]func(*Receipt) {
	return map[string]func(*Receipt){
		"a hash less":            func(r *Receipt) { r.Proof = r.Proof[1:] },
		"a hash more":            func(r *Receipt) { r.Proof = append(r.Proof, tlog.Hash{}) },
		"hashes exchanged":       func(r *Receipt) { r.Proof[0], r.Proof[1] = r.Proof[1], r.Proof[0] },
		"a hash changed":         func(r *Receipt) { r.Proof[1][3] ^= 4 },
		"another place":          func(r *Receipt) { r.Events[1].TenantSequence++ },
		"one place for both":     func(r *Receipt) { r.Events[1].TenantSequence = r.Events[0].TenantSequence },
		"beyond the tree":        func(r *Receipt) { r.Events[1].TenantSequence = 99 },
		"a proof in an event":    func(r *Receipt) { r.Events[0].Proof = []tlog.Hash{} },
		"no certificates":        func(r *Receipt) { r.Writers = nil },
		"no proof for all":       func(r *Receipt) { r.Proof = nil },
		"bytes changed":          func(r *Receipt) { r.Events[0].Bytes[2] ^= 1 },
		"without its salt":       func(r *Receipt) { r.Events[0].Salt = nil },
		"the last one left out":  func(r *Receipt) { r.Events = r.Events[:1] },
		"events exchanged":       func(r *Receipt) { r.Events[0], r.Events[1] = r.Events[1], r.Events[0] },
		"another request's name": func(r *Receipt) { r.About += "0" },
	}
}

// between is a request of two events among others of the bank's.
func between(t testing.TB, format uint8) Receipt {
	t.Helper()
	s := newSampleIn(t, format)
	others := func(from, to int) {
		for i := from; i < to; i++ {
			s.put("bank", fmt.Sprintf("lockbox.event.bank.ticket.t%d.1.TicketOpened", i), nil)
		}
	}
	others(0, 2)
	about := bankRequest
	var wanted []Wanted
	for i, e := range tell(t, func(*told, *lockboxv1.Event) {}) {
		s.heads["bank"].Append(about, uint64(i)+1, s.put("bank", e.subject, e.stored))
		wanted = append(wanted, Wanted{TenantSequence: uint64(s.logs["bank"].Tree().N)})
		others(10*(i+1), 10*(i+1)+3)
	}
	s.checkpoint()
	r := s.receiptAbout("bank", about, wanted...)
	var err error
	r.Events, r.Proof, err = ProveTogether(s.stores["bank"], s.trees["bank"], wanted)
	must(t, err)
	r.Writers = []string{}
	return r
}

// TestBoundReceiptsAreFrozen writes down receipts of real events, what must be refused about them, and receipts with
// one proof.
func TestBoundReceiptsAreFrozen(t *testing.T) {
	var all []receiptVector
	add := func(name string, file []byte, holds bool) {
		answer := "refused"
		report, err := VerifyReceipt(file, policy(t, "all"))
		if err == nil {
			answer = fmt.Sprintf("%d of %d, version %d", len(report.Events), report.Head.Count, report.Head.Version)
		} else if !errors.As(err, new(*ProofError)) {
			t.Fatal(err)
		}
		if (err == nil) != holds {
			t.Errorf("%s: %v", name, err)
		}
		all = append(all, receiptVector{name, answer, string(file)})
	}
	for format, name := range []string{Format1: "format 1", Format2: "format 2"} {
		if name != "" {
			file, _ := recorded(t, uint8(format), bankRequest, tell(t, func(*told, *lockboxv1.Event) {}), asRecorded)
			add(name, file, true)
		}
	}
	add("among others", encoded(t, between(t, Format2)), true)
	add("leaves of both formats", encoded(t, between(t, changing)), true)
	for _, name := range slices.Sorted(maps.Keys(tampered())) {
		r := between(t, Format2)
		tampered()[name](&r)
		add(name, encoded(t, r), false)
	}
	file := string(encoded(t, between(t, Format2)))
	add("as the format before", []byte(strings.Replace(file, "receipt/v3", "receipt/v2", 1)), false)
	add("as a later format", []byte(strings.Replace(file, "receipt/v3", "receipt/v4", 1)), false)
	for _, name := range slices.Sorted(maps.Keys(misfits(t))) {
		file, _ := recorded(t, Format2, bankRequest, tell(t, misfits(t)[name]), asRecorded)
		add("recorded: "+name, file, false)
	}
	for _, about := range slices.Sorted(maps.Keys(abouts())) {
		row := abouts()[about]
		for _, format := range []uint8{Format1, Format2} {
			file, _ := recorded(t, format, about, []told{{row.tree, about + ".1." + row.typ, nil}}, withheld)
			add(fmt.Sprintf("in format %d, about %s of %s as %s", format, about, row.tree, row.typ), file, row.part == "")
		}
	}
	file2, err := json.MarshalIndent(all, "", "  ")
	must(t, err)
	golden(t, "bound.json", append(file2, '\n'))
}
