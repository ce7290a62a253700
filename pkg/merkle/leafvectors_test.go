package merkle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

const vectorSecret = "a secret of the projector, 32 bytes or more"

// leafVectors are what every implementation must agree on about leaves and the second copy.
type leafVectors struct {
	Secret []byte `json:"secret"`
	// Events become these leaves and records.
	Events []leafVector `json:"events"`
	// Entries and Bundles are read by themselves.
	Entries []readVector `json:"entries"`
	Bundles []readVector `json:"bundles"`
	// Copies are events of the second copy that are compared with their leaves.
	Copies []copyVector `json:"copies"`
	// Appends follow the event of that format and sequence in a tenant's tree.
	Appends []appendVector `json:"appends"`
}

type leafVector struct {
	Format         uint8      `json:"format"`
	Tenant         string     `json:"tenant"`
	StreamSequence uint64     `json:"streamSequence"`
	TenantSequence uint64     `json:"tenantSequence"`
	Subject        string     `json:"subject"`
	Bytes          []byte     `json:"bytes"`
	Salt           tlog.Hash  `json:"salt"`
	PositionSalt   *tlog.Hash `json:"positionSalt,omitempty"`
	Position       *tlog.Hash `json:"position,omitempty"`
	Commitment     tlog.Hash  `json:"commitment"`
	Entry          []byte     `json:"entry"`
	Leaf           tlog.Hash  `json:"leaf"`
	Record         []byte     `json:"record"`
}

type readVector struct {
	Name   string `json:"name"`
	Answer string `json:"answer"`
	Data   []byte `json:"data"`
}

type copyVector struct {
	Name           string    `json:"name"`
	Answer         string    `json:"answer"`
	TenantSequence uint64    `json:"tenantSequence"` // of the leaf
	Leaf           tlog.Hash `json:"leaf"`
	Entry          []byte    `json:"entry"`
	Record         []byte    `json:"record"`
}

type appendVector struct {
	Name           string `json:"name"`
	Answer         string `json:"answer"`
	LastFormat     uint8  `json:"lastFormat"`
	LastSequence   uint64 `json:"lastStreamSequence"`
	Format         uint8  `json:"format"`
	StreamSequence uint64 `json:"streamSequence"`
	Subject        string `json:"subject"`
}

// answer is what a reader has to say.
func answer(err error) string {
	if err != nil {
		return "refused"
	}
	return "valid"
}

const vectorSubject = "lockbox.event.bank.request.r1.1.AccessRequested"

func makeLeafVectors(t testing.TB) leafVectors {
	salts, err := NewSalts([]byte(vectorSecret))
	must(t, err)
	all := leafVectors{Secret: []byte(vectorSecret)}
	leaf := func(format uint8, tenant string, n uint64, e Stored) (Statement, Record) {
		s, r := salts.leaf(format, tenant, n, e)
		v := leafVector{
			Format: format, Tenant: tenant, StreamSequence: e.Sequence, TenantSequence: n, Subject: e.Subject, Bytes: e.Bytes,
			Salt: tlog.Hash(r.Salt), Commitment: s.Commitment, Entry: s.Append(nil), Leaf: tlog.RecordHash(s.Append(nil)),
			Record: r.Append(nil),
		}
		if format == Format2 {
			salt := tlog.Hash(r.Place.Salt)
			v.PositionSalt, v.Position = &salt, &s.Position
		}
		all.Events = append(all.Events, v)
		return s, r
	}
	s1, r1 := leaf(Format1, "bank", 2, Stored{3, vectorSubject, []byte("stored")})
	s2, r2 := leaf(Format2, "bank", 2, Stored{3, vectorSubject, []byte("stored")})
	leaf(Format2, "bank", 2, Stored{3, vectorSubject, []byte("restored")})
	leaf(Format2, "bank", 3, Stored{4, vectorSubject, []byte("stored")})
	leaf(Format2, "_", 2, Stored{3, vectorSubject, []byte("stored")})
	leaf(Format2, strings.Repeat("t", 256), 1<<48, Stored{1<<53 - 1, "s", []byte{}})

	entry := func(name string, data []byte) {
		_, err := ParseStatement(data)
		all.Entries = append(all.Entries, readVector{name, answer(err), data})
	}
	changed := func(s Statement, change func(*Statement)) []byte {
		change(&s)
		return s.Append(nil)
	}
	e1, e2 := s1.Append(nil), s2.Append(nil)
	entry("format 1", e1)
	entry("format 2", e2)
	entry("the longest subject", changed(s2, func(s *Statement) { s.Subject = strings.Repeat("s", 4096) }))
	entry("nothing", []byte{})
	entry("format 0", append([]byte{0}, e2[1:]...))
	entry("format 3", append([]byte{3}, e2[1:]...))
	entry("format 1, without a subject", e1[:49])
	entry("format 2, without a subject", e2[:73])
	entry("format 2, cut inside the commitment", e2[:60])
	entry("format 1, too long a subject", changed(s1, func(s *Statement) { s.Subject = strings.Repeat("s", 4097) }))
	entry("format 2, too long a subject", changed(s2, func(s *Statement) { s.Subject = strings.Repeat("s", 4097) }))
	entry("format 1, stream sequence 0", changed(s1, func(s *Statement) { s.StreamSequence = 0 }))
	entry("format 1, tenant sequence 0", changed(s1, func(s *Statement) { s.TenantSequence = 0 }))
	entry("format 1, a tenant sequence above the stream's", changed(s1, func(s *Statement) { s.TenantSequence = 4 }))
	entry("format 2, tenant sequence 0", changed(s2, func(s *Statement) { s.TenantSequence = 0 }))
	entry("format 2, a tenant sequence above 2^48", changed(s2, func(s *Statement) { s.TenantSequence = 1<<48 + 1 }))

	bundle := func(name string, data []byte) {
		_, err := Records(data)
		all.Bundles = append(all.Bundles, readVector{name, answer(err), data})
	}
	placed := func(sequence uint64) []byte {
		return Record{r2.Salt, Place{sequence, r2.Place.Salt}, r2.Bytes}.Append(nil)
	}
	b1, b2 := r1.Append(nil), r2.Append(nil)
	bundle("format 1", b1)
	bundle("format 2", b2)
	bundle("both formats", append(slices.Clone(b1), b2...))
	bundle("no bytes", Record{Salt: r1.Salt}.Append(nil))
	bundle("256 events", bytes.Repeat(Record{}.Append(nil), 256))
	bundle("nothing", []byte{})
	bundle("257 events", bytes.Repeat(Record{}.Append(nil), 257))
	bundle("format 1, cut inside the salt", b1[:20])
	bundle("format 1, cut inside the bytes", b1[:len(b1)-1])
	bundle("format 1, bytes behind the end", append(slices.Clone(b1), 0))
	bundle("format 2, cut inside the position salt", b2[:60])
	bundle("format 2, cut inside the bytes", b2[:len(b2)-1])
	bundle("format 2, cut behind a whole one", append(slices.Clone(b2), b2[:40]...))
	for _, kind := range []byte{1, 3} {
		other := slices.Clone(b2)
		other[saltSize] = kind
		bundle(fmt.Sprintf("kind %d", kind), other)
	}
	bundle("stream sequence 0", append(append(slices.Clone(b2[:36]), make([]byte, 8)...), b2[44:]...))
	bundle("stream sequence 2^53 - 1", placed(1<<53-1))
	bundle("stream sequence 2^53", placed(1<<53))

	copied := func(name string, n uint64, leaf tlog.Hash, entry []byte, r Record) {
		v := copyVector{Name: name, TenantSequence: n, Leaf: leaf, Entry: entry, Record: r.Append(nil)}
		v.Answer = answer(v.check())
		all.Copies = append(all.Copies, v)
	}
	l1, l2 := tlog.RecordHash(e1), tlog.RecordHash(e2)
	copied("format 1", 2, l1, e1, r1)
	copied("format 2", 2, l2, e2, r2)
	copied("an entry that is not the leaf", 2, l1, e2, r2)
	copied("another place in the tree", 3, l2, e2, r2)
	copied("format 1, other bytes", 2, l1, e1, Record{r1.Salt, Place{}, []byte("restored")})
	copied("format 2, other bytes", 2, l2, e2, Record{r2.Salt, r2.Place, []byte("restored")})
	copied("format 2, another salt", 2, l2, e2, Record{r1.Salt, r2.Place, r2.Bytes})
	copied("format 2, another stream sequence", 2, l2, e2, Record{r2.Salt, Place{4, r2.Place.Salt}, r2.Bytes})
	copied("format 2, another position salt", 2, l2, e2, Record{r2.Salt, Place{3, r2.Salt}, r2.Bytes})
	copied("format 2, a record of format 1", 2, l2, e2, Record{r2.Salt, Place{}, r2.Bytes})
	copied("format 1, a record of format 2", 2, l1, e1, Record{r1.Salt, r2.Place, r1.Bytes})
	low := Place{1, r2.Place.Salt}
	s := s2
	s.Position = low.Position()
	copied("format 2, a stream sequence below the tenant's", 2, tlog.RecordHash(s.Append(nil)), s.Append(nil),
		Record{r2.Salt, low, r2.Bytes})
	one := e2[:73:73]
	copied("a leaf that is no statement", 2, tlog.RecordHash(one), one, r2)

	appended := func(name string, lastFormat uint8, last uint64, format uint8, sequence uint64, subject string) {
		v := appendVector{name, "", lastFormat, last, format, sequence, subject}
		v.Answer = answer(v.check(t, salts))
		all.Appends = append(all.Appends, v)
	}
	appended("format 1 after 1", Format1, 5, Format1, 9, "s")
	appended("format 2 after 1", Format1, 5, Format2, 9, "s")
	appended("format 2 after 2", Format2, 5, Format2, 9, "s")
	appended("format 1 after 2", Format2, 5, Format1, 9, "s")
	appended("format 3", Format2, 5, 3, 9, "s")
	appended("format 0", Format1, 5, 0, 9, "s")
	appended("the same sequence", Format2, 5, Format2, 5, "s")
	appended("an earlier sequence", Format2, 5, Format2, 4, "s")
	appended("sequence 2^53", Format2, 5, Format2, 1<<53, "s")
	appended("no subject", Format2, 5, Format2, 9, "")
	appended("too long a subject", Format2, 5, Format2, 9, strings.Repeat("s", 4097))
	return all
}

func (v copyVector) check() error {
	s, err := statementAt(v.Entry, v.Leaf, int64(v.TenantSequence)-1)
	if err != nil {
		return err
	}
	records, err := Records(v.Record)
	if err != nil {
		return err
	}
	w, err := placed(s, records[0])
	if err == nil {
		err = w.check()
	}
	return err
}

func (v appendVector) check(t testing.TB, salts *Salts) error {
	log, err := NewTenantLog(memory{}, salts, "bank")
	must(t, err)
	must(t, log.Append(v.LastFormat, Stored{v.LastSequence, "s", nil}))
	before := log.Tree()
	err = log.Append(v.Format, Stored{v.StreamSequence, v.Subject, nil})
	if err != nil && log.Tree() != before {
		t.Errorf("%s: it changed the tree", v.Name)
	}
	return err
}

func TestLeavesAreFrozen(t *testing.T) {
	all := makeLeafVectors(t)
	file, err := json.MarshalIndent(all, "", "  ")
	must(t, err)
	golden(t, "leaves.json", append(file, '\n'))
	answers := map[string]int{}
	for _, v := range slices.Concat(all.Entries, all.Bundles) {
		answers[v.Answer]++
	}
	for _, v := range all.Copies {
		answers[v.Answer]++
	}
	for _, v := range all.Appends {
		answers[v.Answer]++
	}
	if answers["valid"] != 14 || answers["refused"] != 44 {
		t.Errorf("the answers are %v", answers)
	}
}
