package merkle

import (
	"strings"
	"testing"
)

func TestWhatIsNoStatement(t *testing.T) {
	valid := Statement{StreamSequence: 3, TenantSequence: 2, Subject: "subject"}
	if got, err := ParseStatement(valid.Append(nil)); err != nil || got != valid {
		t.Fatalf("%+v (%v)", got, err)
	}
	changed := func(change func(*Statement)) []byte {
		s := valid
		change(&s)
		return s.Append(nil)
	}
	for name, entry := range map[string][]byte{
		"nothing":                   nil,
		"another version":           append([]byte{2}, valid.Append(nil)[1:]...),
		"no subject":                changed(func(s *Statement) { s.Subject = "" }),
		"too long a subject":        changed(func(s *Statement) { s.Subject = strings.Repeat("x", 4097) }),
		"no stream sequence":        changed(func(s *Statement) { s.StreamSequence = 0 }),
		"no tenant sequence":        changed(func(s *Statement) { s.TenantSequence = 0 }),
		"more than the stream has":  changed(func(s *Statement) { s.TenantSequence = 4 }),
		"cut inside the commitment": valid.Append(nil)[:40],
	} {
		_, err := ParseStatement(entry)
		t.Run(name, func(t *testing.T) { wantBroken(t, err, Format) })
	}
}

// TestDifferentThingsHaveDifferentEncodings: where one part ends and the next begins cannot be shifted.
func TestDifferentThingsHaveDifferentEncodings(t *testing.T) {
	salts, err := NewSalts(make([]byte, 32))
	must(t, err)
	if Commit(Salt{}, []byte("ab")) == Commit(Salt{'a'}, []byte("b")) || salts.event("bank", 1) == salts.slot("bank", 1) ||
		salts.event("bank", 1) == salts.event("bank", 2) || salts.event("bank", 1) == salts.event("bank1", 1) {
		t.Error("two things have one hash")
	}
	other, err := NewSalts(append(make([]byte, 31), 1))
	must(t, err)
	if salts.event("bank", 1) == other.event("bank", 1) {
		t.Error("the secret does not matter")
	}
}
