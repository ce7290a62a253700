package merkle

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// TenantLog builds a tenant's tree and the second copy of its events. The rules of Log apply to it.
type TenantLog struct {
	log    *Log
	salts  *Salts
	tenant string
	last   uint64 // stream sequence
	events []byte // the current partial bundle
	entry  []byte // scratch
}

// NewTenantLog returns a TenantLog of an empty tree.
func NewTenantLog(store Store, salts *Salts, tenant string) (*TenantLog, error) {
	if tenant == "" || len(tenant) > maxTenant {
		return nil, fmt.Errorf("a tenant's name has 1 to %d bytes", maxTenant)
	}
	return &TenantLog{log: NewLog(store), salts: salts, tenant: tenant}, nil
}

// OpenTenantLog continues a tenant's tree from its tiles, as OpenLog does.
func OpenTenantLog(store Store, salts *Salts, tenant string, tree tlog.Tree) (*TenantLog, error) {
	t, err := NewTenantLog(store, salts, tenant)
	if err != nil || tree == EmptyTree() {
		return t, err
	}
	if t.log, err = OpenLog(store, tree); err != nil {
		return nil, err
	}
	whole, err := readWhole(store, tree, tree.N-1)
	if err != nil {
		return nil, err
	}
	for _, w := range whole {
		t.last = w.StreamSequence
		if tree.N%tileWidth != 0 {
			t.events = appendRecord(t.events, w.Record)
		}
	}
	return t, nil
}

// Append adds the tenant's next event.
func (t *TenantLog) Append(e Stored) error {
	if t.log.failed != nil {
		return t.log.failed
	}
	record := Record{Salt: t.salts.event(t.tenant, e.Sequence), Bytes: e.Bytes}
	s := Statement{
		StreamSequence: e.Sequence, TenantSequence: uint64(t.log.size) + 1, //nolint:gosec // G115: a size is not negative
		Commitment: Commit(record.Salt, e.Bytes), Subject: e.Subject,
	}
	if err := s.Check(); err != nil {
		return fmt.Errorf("event %d of the stream: %w", e.Sequence, err)
	}
	if e.Sequence <= t.last {
		return fmt.Errorf("event %d of the stream comes after %d", e.Sequence, t.last)
	}
	if len(e.Bytes) > maxStored {
		return fmt.Errorf("event %d of the stream has more than %d bytes", e.Sequence, maxStored)
	}
	t.events = appendRecord(t.events, record)
	if (t.log.size+1)%tileWidth == 0 {
		if err := t.writeEvents(t.log.size + 1); err != nil {
			return err
		}
		t.events = t.events[:0]
	}
	t.entry = s.Append(t.entry[:0])
	t.last = e.Sequence
	return t.log.Append(t.entry)
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

// Last is the stream sequence of the last event; 0: there is none.
func (t *TenantLog) Last() uint64 { return t.last }

func (t *TenantLog) writeEvents(size int64) error {
	return t.log.write(EventsPath(tileAt(entriesLevel, size-1, size)), t.events)
}

// Whole is an event of the second copy with the leaf that it stands for.
type Whole struct {
	Statement
	Record
}

// readWhole reads the events that stand in one bundle with leaf n, each compared with its statement, and that with the
// tree.
func readWhole(from Reader, tree tlog.Tree, n int64) ([]Whole, error) {
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
		if Commit(records[i].Salt, records[i].Bytes) != s.Commitment {
			return nil, brokenAt(Tiles, s.TenantSequence, "the second copy is not what was recorded")
		}
		whole[i] = Whole{s, records[i]}
	}
	return whole, nil
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
