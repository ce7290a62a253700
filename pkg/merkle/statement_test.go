package merkle

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestWhatIsNoStatement(t *testing.T) {
	valid1 := Statement{Format: Format1, StreamSequence: 3, TenantSequence: 2, Subject: "subject"}
	valid2 := Statement{Format: Format2, TenantSequence: 2, Position: tlog.Hash{7}, Subject: "subject"}
	for _, valid := range []Statement{valid1, valid2} {
		if got, err := ParseStatement(valid.Append(nil)); err != nil || got != valid {
			t.Fatalf("%+v (%v)", got, err)
		}
	}
	changed := func(valid Statement, change func(*Statement)) []byte {
		change(&valid)
		return valid.Append(nil)
	}
	long := func(s *Statement) { s.Subject = strings.Repeat("x", 4097) }
	for name, entry := range map[string][]byte{
		"nothing":                    nil,
		"an unknown format":          append([]byte{3}, valid2.Append(nil)[1:]...),
		"no format":                  append([]byte{0}, valid1.Append(nil)[1:]...),
		"a first called a second":    append([]byte{2}, valid1.Append(nil)[1:]...),
		"no subject":                 changed(valid1, func(s *Statement) { s.Subject = "" }),
		"no subject, 2":              changed(valid2, func(s *Statement) { s.Subject = "" }),
		"too long a subject":         changed(valid1, long),
		"too long a subject, 2":      changed(valid2, long),
		"no stream sequence":         changed(valid1, func(s *Statement) { s.StreamSequence = 0 }),
		"no tenant sequence":         changed(valid1, func(s *Statement) { s.TenantSequence = 0 }),
		"no tenant sequence, 2":      changed(valid2, func(s *Statement) { s.TenantSequence = 0 }),
		"more than the stream has":   changed(valid1, func(s *Statement) { s.TenantSequence = 4 }),
		"more than a tree holds":     changed(valid2, func(s *Statement) { s.TenantSequence = maxTreeSize + 1 }),
		"cut inside the commitment":  valid1.Append(nil)[:40],
		"cut behind the position, 2": valid2.Append(nil)[:41],
	} {
		_, err := ParseStatement(entry)
		t.Run(name, func(t *testing.T) { wantBroken(t, err, Format) })
	}
	for name, s := range map[string]Statement{
		"a first with a position": {Format: Format1, StreamSequence: 3, TenantSequence: 2, Position: tlog.Hash{7},
			Subject: "s"},
		"a second that shows": {Format: Format2, StreamSequence: 3, TenantSequence: 2, Subject: "s"},
		"a third":             {Format: 3, StreamSequence: 3, TenantSequence: 2, Subject: "s"},
	} {
		if s.Check() == nil {
			t.Errorf("%s can be", name)
		}
	}
}

// TestDifferentThingsHaveDifferentEncodings: where one part ends and the next begins cannot be shifted.
func TestDifferentThingsHaveDifferentEncodings(t *testing.T) {
	salts, err := NewSalts(make([]byte, 32))
	must(t, err)
	other, err := NewSalts(append(make([]byte, 31), 1))
	must(t, err)
	at := func(sequence uint64) Stored { return Stored{sequence, "subject", []byte("bytes")} }
	seen := map[[32]byte]string{}
	for name, hash := range map[string][32]byte{
		"a commitment":                  Commit(Format1, Salt{}, []byte("ab")),
		"a commitment, shifted":         Commit(Format1, Salt{'a'}, []byte("b")),
		"a commitment of format 2":      Commit(Format2, Salt{}, []byte("ab")),
		"an event's salt":               salts.event(Format1, "bank", at(1)),
		"another event's":               salts.event(Format1, "bank", at(2)),
		"another tenant's":              salts.event(Format1, "bank1", at(1)),
		"another secret's":              other.event(Format1, "bank", at(1)),
		"an event's salt of format 2":   salts.event(Format2, "bank", at(1)),
		"another event's, 2":            salts.event(Format2, "bank", at(2)),
		"another tenant's, 2":           salts.event(Format2, "bank1", at(1)),
		"another secret's, 2":           other.event(Format2, "bank", at(1)),
		"of other bytes, 2":             salts.event(Format2, "bank", Stored{1, "subject", []byte("bytez")}),
		"a place":                       salts.place("bank", 1).Salt,
		"another place":                 salts.place("bank", 2).Salt,
		"another tenant's place":        salts.place("bank1", 1).Salt,
		"a position":                    salts.place("bank", 1).Position(),
		"a position with the same salt": Place{2, salts.place("bank", 1).Salt}.Position(),
		"a slot's salt":                 salts.slot(Format1, 1, 1, "bank"),
		"another directory's":           salts.slot(Format1, 2, 1, "bank"),
		"a slot's salt of format 2":     salts.slot(Format2, 1, 1, "bank"),
		"another directory's, 2":        salts.slot(Format2, 2, 1, "bank"),
		"another slot's, 2":             salts.slot(Format2, 1, 2, "bank"),
		"an empty slot's, 2":            salts.slot(Format2, 1, 1, ""),
		"another empty slot's, 2":       salts.slot(Format2, 1, 2, ""),
	} {
		if was, is := seen[hash]; is {
			t.Errorf("%s is %s", name, was)
		}
		seen[hash] = name
	}
}
