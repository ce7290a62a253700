package merkle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// memory is a store that forgets nothing and remembers how often it was written to.
type memory map[string][]byte

func (m memory) Read(path string) ([]byte, error) {
	if data, ok := m[path]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) Write(path string, data []byte) error {
	m[path] = bytes.Clone(data)
	return nil
}

// sample is a world of tenants whose events arrive one by one, and checkpoints now and then; all of it is the same in
// each run.
type sample struct {
	t        testing.TB
	format   uint8
	salts    *Salts
	sequence uint64
	order    []string // of the slots
	logs     map[string]*TenantLog
	stores   map[string]memory
	heads    map[string]*Heads
	views    map[string]*HeadsView // at the last checkpoint
	stream   []Stored

	global      *Log
	globalStore memory
	directory   *Directory
	tree        tlog.Tree            // the global one at the last checkpoint
	trees       map[string]tlog.Tree // the tenants' at the last checkpoint
	signed      []byte
}

const origin = "log.example/audit"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newSample(t testing.TB) *sample { return newSampleIn(t, Format1) }

func newSampleIn(t testing.TB, format uint8) *sample {
	salts, err := NewSalts([]byte("a secret of the projector, 32 bytes or more"))
	must(t, err)
	s := &sample{
		t: t, format: format, salts: salts, logs: map[string]*TenantLog{}, stores: map[string]memory{},
		heads: map[string]*Heads{}, views: map[string]*HeadsView{},
		globalStore: memory{}, trees: map[string]tlog.Tree{},
	}
	s.global = NewLog(s.globalStore)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// event appends an event to the stream and to its tenant's tree.
func (s *sample) event(tenant, id string, version int, stored []byte) {
	s.t.Helper()
	about := "test." + tenant + ".request." + id
	leaf := s.put(tenant, fmt.Sprintf("%s.%d.Happened", about, version), stored)
	s.heads[tenant].Append(about, uint64(version), leaf)
}

// put appends what is stored on a subject to the stream and to a tenant's tree, but to no heads. It returns its leaf.
func (s *sample) put(tenant, subject string, stored []byte) tlog.Hash {
	s.t.Helper()
	if s.logs[tenant] == nil {
		s.stores[tenant] = memory{}
		var err error
		s.logs[tenant], err = NewTenantLog(s.stores[tenant], s.salts, tenant)
		must(s.t, err)
		s.heads[tenant] = NewHeads()
		s.order = append(s.order, tenant)
	}
	s.sequence++
	e := Stored{s.sequence, subject, stored}
	s.stream = append(s.stream, e)
	format := formatAt(s.format, s.sequence)
	must(s.t, s.logs[tenant].Append(format, e))
	is, _ := s.salts.leaf(format, tenant, uint64(s.logs[tenant].Tree().N), e)
	return tlog.RecordHash(is.Append(nil))
}

// checkpoint flushes everything, and signs and cosigns a checkpoint.
func (s *sample) checkpoint() {
	s.t.Helper()
	var all []TenantTree
	for _, tenant := range s.order {
		tree, err := s.logs[tenant].Flush()
		must(s.t, err)
		s.trees[tenant] = tree
		s.views[tenant] = s.heads[tenant].View()
		all = append(all, TenantTree{tenant, tree, s.views[tenant].Root()})
	}
	var err error
	s.directory, err = NewDirectory(formatAt(s.format, s.sequence), s.salts, s.global.Tree().N, all)
	must(s.t, err)
	must(s.t, s.global.Append(s.directory.Entry()))
	s.tree, err = s.global.Flush()
	must(s.t, err)
	s.signed = signedBy(s.t, Checkpoint{origin, s.tree}, "alpha", "beta", "gamma")
}

func signedBy(t testing.TB, c Checkpoint, witnesses ...string) []byte {
	t.Helper()
	signed, err := Sign(c, logSigner(t, origin))
	must(t, err)
	for i, name := range witnesses {
		signed, err = cosigner(t, name).Cosign(signed, noon.Add(time.Duration(i)*time.Second))
		must(t, err)
	}
	return signed
}

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func logSigner(t testing.TB, name string) note.Signer {
	t.Helper()
	hash := sha256.Sum256(append([]byte(name+"\n\x01"), key(name)[32:]...))
	text := fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, hash[:4],
		base64.StdEncoding.EncodeToString(append([]byte{1}, key(name).Seed()...)))
	signer, err := note.NewSigner(text)
	must(t, err)
	return signer
}

func logKey(t testing.TB, name string) string {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(name, ed25519.PublicKey(key(name)[32:]))
	must(t, err)
	return vkey
}

func cosigner(t testing.TB, name string) *Cosigner {
	t.Helper()
	c, err := NewCosigner(name+".example/witness", key(name))
	must(t, err)
	return c
}

func policyText(t testing.TB, quorum string) string {
	text := "log " + logKey(t, origin) + "\n"
	for _, name := range []string{"alpha", "beta", "gamma"} {
		text += fmt.Sprintf("witness %s %s\n", name, cosigner(t, name).VerifierKey())
	}
	return text + "group all-three " + quorum + " alpha beta gamma\nquorum all-three\n"
}

// policy demands so many of three witnesses.
func policy(t testing.TB, quorum string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(policyText(t, quorum)))
	must(t, err)
	return p
}

// receipt makes a receipt of these events, of which some are withheld.
func (s *sample) receipt(tenant, id string, wanted ...Wanted) Receipt {
	s.t.Helper()
	return s.receiptAbout(tenant, "test."+tenant+".request."+id, wanted...)
}

func (s *sample) receiptAbout(tenant, about string, wanted ...Wanted) Receipt {
	s.t.Helper()
	events, err := ProveEvents(s.stores[tenant], s.trees[tenant], wanted)
	must(s.t, err)
	opening, err := s.directory.Open(slices.Index(s.order, tenant))
	must(s.t, err)
	last, err := ProveLast(s.globalStore, s.tree)
	must(s.t, err)
	r := Receipt{
		Tenant: tenant, About: about, Events: events,
		Opening: opening, Directory: last, Checkpoint: string(s.signed),
	}
	if opening.Format() == Format2 {
		r.Head, err = s.views[tenant].Receipt(r.About)
		must(s.t, err)
	}
	return r
}

func encoded(t testing.TB, r Receipt) []byte {
	t.Helper()
	file, err := r.Encode()
	must(t, err)
	return file
}

// story is a world in which a bank's request "r1" has events 2, 4 and 7 of the bank's, and other tenants have events as
// well.
func story(t testing.TB) *sample { return storyIn(t, Format1) }

func storyIn(t testing.TB, format uint8) *sample {
	t.Helper()
	s := newSampleIn(t, format)
	step := func(tenant, id string, version int) {
		s.event(tenant, id, version, fmt.Appendf(nil, "%s %s version %d", tenant, id, version))
	}
	step("_", "rules", 1)
	step("bank", "r0", 1)
	step("bank", "r1", 1)
	s.checkpoint()
	step("clinic", "r1", 1)
	step("bank", "r0", 2)
	step("bank", "r1", 2)
	s.checkpoint()
	step("bank", "r2", 1)
	step("bank", "r3", 1)
	step("bank", "r1", 3)
	step("clinic", "r1", 2)
	s.checkpoint()
	step("depot", "r1", 1)
	step("bank", "r0", 3)
	s.checkpoint()
	return s
}

func shown(sequences ...uint64) []Wanted {
	var all []Wanted
	for _, s := range sequences {
		all = append(all, Wanted{TenantSequence: s})
	}
	return all
}

// storyReceipt is the receipt of the bank's request "r1", with its second event withheld.
func storyReceipt(s *sample) Receipt {
	wanted := shown(2, 4, 7)
	wanted[1].Withhold = true
	return s.receipt("bank", "r1", wanted...)
}

// wantBroken checks that an error says that this part is wrong.
func wantBroken(t testing.TB, err error, parts ...Part) {
	t.Helper()
	var proof *ProofError
	if !errors.As(err, &proof) {
		t.Fatalf("the error is %v, want a broken %v", err, parts)
	}
	if !slices.Contains(parts, proof.Part) {
		t.Errorf("broken is %q (%v), want %v", proof.Part, err, parts)
	}
}

// changing is a log whose first events are of format 1, and the others of format 2.
const changing = 3

func formatAt(format uint8, sequence uint64) uint8 {
	switch {
	case format != changing:
		return format
	case sequence <= 6:
		return Format1
	}
	return Format2
}

func inEachFormat(t *testing.T, test func(t *testing.T, format uint8)) {
	t.Helper()
	for format, name := range map[uint8]string{Format1: "format 1", Format2: "format 2", changing: "changing"} {
		t.Run(name, func(t *testing.T) { test(t, format) })
	}
}

func sorted(m memory) []string { return slices.Sorted(maps.Keys(m)) }

// verifiedProofs verifies all of a receipt but what its leaves say: the events of these worlds are none.
func verifiedProofs(file []byte, policy *Policy) (Report, error) {
	r, err := ParseReceipt(file)
	if err != nil {
		return Report{}, err
	}
	return verifyProofs(r, policy)
}

// tlogProve proves a leaf of the bank's tree.
func tlogProve(s *sample, n int64) ([]tlog.Hash, error) {
	tree := s.trees["bank"]
	return tlog.ProveRecord(tree.N, n, Hashes(s.stores["bank"], tree))
}
