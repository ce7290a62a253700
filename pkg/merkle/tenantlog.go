package merkle

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TenantLog builds a tenant's tree, its heads and the second copy of its events. The rules of Log apply to it.
type TenantLog struct {
	log    *Log
	heads  *Heads
	salts  *Salts
	tenant string
	format uint8  // of the last event
	last   uint64 // its stream sequence
	events []byte // the current partial bundle
	entry  []byte // scratch
}

// NewTenantLog returns a TenantLog of an empty tree.
func NewTenantLog(store Store, salts *Salts, tenant string) (*TenantLog, error) {
	return &TenantLog{log: NewLog(store), heads: NewHeads(), salts: salts, tenant: tenant}, checkTenant(tenant)
}

// OpenTenantLog continues a tenant's tree from its tiles, as OpenLog does, and from its heads, as ReadHeads returns
// them.
func OpenTenantLog(store Store, salts *Salts, tenant string, tree tlog.Tree, heads *Heads) (*TenantLog, error) {
	t, err := NewTenantLog(store, salts, tenant)
	if err != nil || tree == EmptyTree() {
		return t, err
	}
	t.heads = heads
	if t.log, err = OpenLog(store, tree); err != nil {
		return nil, err
	}
	whole, err := readWhole(store, tree, tree.N-1)
	if err != nil {
		return nil, err
	}
	for _, w := range whole {
		t.format, t.last = w.Format, w.Sequence
		if tree.N%tileWidth != 0 {
			t.events = w.Record.Append(t.events)
		}
	}
	return t, nil
}

// Append adds the tenant's next event as a leaf of a format, which is not lower than that of the one before it.
func (t *TenantLog) Append(format uint8, e Stored) error {
	if t.log.failed != nil {
		return t.log.failed
	}
	switch {
	case (Place{Sequence: e.Sequence}).check() != nil || e.Sequence <= t.last:
		return fmt.Errorf("event %d of the stream comes after %d", e.Sequence, t.last)
	case len(e.Bytes) > maxStored:
		return fmt.Errorf("event %d of the stream has more than %d bytes", e.Sequence, maxStored)
	case format < t.format:
		return fmt.Errorf("event %d of the stream is of format %d after one of %d", e.Sequence, format, t.format)
	}
	s, record := t.salts.leaf(format, t.tenant, uint64(t.log.size)+1, e) //nolint:gosec // G115: a size is not negative
	if err := s.Check(); err != nil {
		return fmt.Errorf("event %d of the stream: %w", e.Sequence, err)
	}
	t.events = record.Append(t.events)
	if (t.log.size+1)%tileWidth == 0 {
		if err := t.writeEvents(t.log.size + 1); err != nil {
			return err
		}
		t.events = t.events[:0]
	}
	t.entry = s.Append(t.entry[:0])
	t.format, t.last = format, e.Sequence
	leaf := tlog.RecordHash(t.entry)
	t.heads.append(e.Subject, leaf)
	return t.log.append(t.entry, leaf)
}

// Flush writes the partial bundle of the second copy and then the partial tiles, and returns the tree.
func (t *TenantLog) Flush() (tlog.Tree, error) {
	if len(t.events) > 0 {
		if err := t.writeEvents(t.log.size); err != nil {
			return tlog.Tree{}, err
		}
	}
	return t.log.Flush()
}

// Tree returns the size and the root.
func (t *TenantLog) Tree() tlog.Tree { return t.log.Tree() }

// Heads returns the heads of the tree, which grow with it.
func (t *TenantLog) Heads() *Heads { return t.heads }

// Last is the stream sequence of the last event; 0: there is none.
func (t *TenantLog) Last() uint64 { return t.last }

func (t *TenantLog) writeEvents(size int64) error {
	return t.log.write(EventsPath(tileAt(entriesLevel, size-1, size)), t.events)
}

// Whole is an event of the second copy with the leaf that it stands for.
type Whole struct {
	Statement
	Record
	// Sequence is the event's sequence in the stream.
	Sequence uint64
}

// readWhole reads the events that stand in one bundle with leaf n, each compared with its statement, and that with the
// tree.
func readWhole(from Reader, tree tlog.Tree, n int64) ([]Whole, error) {
	whole, err := readPlaced(from, tree, n)
	for _, w := range whole {
		if err := w.check(); err != nil {
			return nil, err
		}
	}
	return whole, err
}

// check compares the bytes with the statement.
func (w Whole) check() error {
	if Commit(w.Format, w.Salt, w.Bytes) != w.Commitment {
		return brokenAt(Tiles, w.TenantSequence, "the second copy is not what was recorded")
	}
	return nil
}

// readPlaced is readWhole, but compares only statements and stream sequences.
func readPlaced(from Reader, tree tlog.Tree, n int64) ([]Whole, error) {
	entries, err := readEntries(from, n, tree.N)
	if err != nil {
		return nil, err
	}
	records, err := readRecords(from, n, tree.N)
	if err != nil {
		return nil, err
	}
	leaves, err := readLeaves(from, tree, n)
	if err != nil {
		return nil, err
	}
	whole := make([]Whole, len(entries))
	for i, entry := range entries {
		s, err := statementAt(entry, leaves[i], n/tileWidth*tileWidth+int64(i))
		if err != nil {
			return nil, err
		}
		if whole[i], err = placed(s, records[i]); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

// placed returns a statement with its record, after comparing their stream sequences.
func placed(s Statement, r Record) (Whole, error) {
	switch {
	case s.Format == Format1 && r.Place == Place{}:
		return Whole{s, r, s.StreamSequence}, nil
	case s.Format == Format2 && r.Place.Position() == s.Position && r.Place.Sequence >= s.TenantSequence:
		return Whole{s, r, r.Place.Sequence}, nil
	}
	return Whole{}, brokenAt(Tiles, s.TenantSequence, "the second copy has another stream sequence than was recorded")
}

// readLeaves reads the hashes of the leaves that stand in one tile with leaf n, each compared with the root.
func readLeaves(from Reader, tree tlog.Tree, n int64) ([]tlog.Hash, error) {
	t := tileAt(0, n, tree.N)
	indexes := make([]int64, t.W)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, t.N*tileWidth+int64(i))
	}
	leaves, err := Hashes(from, tree).ReadHashes(indexes)
	if err != nil {
		return nil, broken(Tiles, "%s: %v", Path(t), err)
	}
	return leaves, nil
}

// statementAt reads the entry of leaf n, which has this hash.
func statementAt(entry []byte, leaf tlog.Hash, n int64) (Statement, error) {
	sequence := uint64(n) + 1 //nolint:gosec // G115: a number of leaves
	if tlog.RecordHash(entry) != leaf {
		return Statement{}, brokenAt(Tiles, sequence, "its statement is not the leaf of the tree")
	}
	s, err := ParseStatement(entry)
	if err != nil || s.TenantSequence != sequence {
		return Statement{}, brokenAt(Tiles, sequence, "its leaf is no statement about it")
	}
	return s, nil
}
