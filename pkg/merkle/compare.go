package merkle

import (
	"errors"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"
)

// Kind is how a stream differs from its trees.
type Kind string

// The kinds of differences.
const (
	// Gap: recorded in the tree; the stream goes on behind it, without it.
	Gap Kind = "gap"
	// Regression: recorded in the tree; the stream ends before it.
	Regression Kind = "regression"
	// Changed: the stream has another subject or other bytes than were recorded.
	Changed Kind = "changed"
	// Unrecorded: the stream has an event where the trees have none.
	Unrecorded Kind = "unrecorded"
)

// Difference is an event about which stream and tree disagree.
type Difference struct {
	Kind     Kind
	Tenant   string
	Sequence uint64 // in the stream
	// Recorded is what the tree says; of an unrecorded event, nothing.
	Recorded Statement
}

// Comparison holds a stream, or a replica of it, against the trees. It needs the leaves alone, 8 KiB at a time and
// tenant; the statements are read where there is a difference. It is not for several goroutines at once.
type Comparison struct {
	salts   *Salts
	covered uint64
	last    uint64
	names   []string
	tenants map[string]*cursor
	entry   []byte // scratch
}

// Compare begins a comparison with trees that hold every event up to the stream sequence covered, and none after it.
func Compare(salts *Salts, covered uint64) *Comparison {
	return &Comparison{salts: salts, covered: covered, tenants: map[string]*cursor{}}
}

// Add adds a tenant's tree. All are added before the first event.
func (c *Comparison) Add(tenant string, from Reader, tree tlog.Tree) error {
	if c.tenants[tenant] != nil || c.last != 0 || checkTree(tree) != nil {
		return fmt.Errorf("the tree of %q is there already, comes too late or cannot be", tenant)
	}
	c.names = append(c.names, tenant)
	c.tenants[tenant] = &cursor{from: from, tree: tree}
	return nil
}

// Next compares the next event that the stream has. Events are compared in the order of the stream; which is missing
// shows when its tenant's next one comes, or at the end. The error is of reading the tiles.
func (c *Comparison) Next(tenant string, e Stored) ([]Difference, error) {
	if e.Sequence <= c.last {
		return nil, fmt.Errorf("event %d of the stream comes after %d", e.Sequence, c.last)
	}
	c.last = e.Sequence
	at := c.tenants[tenant]
	var found []Difference
	for at != nil && at.n < at.tree.N {
		leaf, err := at.leaf()
		if err != nil {
			return found, err
		}
		if leaf == c.leafOf(tenant, at.n, e) {
			at.n++
			return found, nil
		}
		recorded, err := at.statement()
		if err != nil {
			return found, err
		}
		if recorded.StreamSequence > e.Sequence {
			break
		}
		at.n++
		if recorded.StreamSequence == e.Sequence {
			return append(found, Difference{Changed, tenant, e.Sequence, recorded}), nil
		}
		found = append(found, Difference{Gap, tenant, recorded.StreamSequence, recorded})
	}
	if e.Sequence <= c.covered {
		found = append(found, Difference{Kind: Unrecorded, Tenant: tenant, Sequence: e.Sequence})
	}
	return found, nil
}

// End says what is recorded and did not come: after the last event that the stream has.
func (c *Comparison) End() ([]Difference, error) {
	var found []Difference
	for _, tenant := range c.names {
		for at := c.tenants[tenant]; at.n < at.tree.N; at.n++ {
			recorded, err := at.statement()
			if err != nil {
				return found, err
			}
			kind := Gap
			if recorded.StreamSequence > c.last {
				kind = Regression
			}
			found = append(found, Difference{kind, tenant, recorded.StreamSequence, recorded})
		}
	}
	return found, nil
}

func (c *Comparison) leafOf(tenant string, n int64, e Stored) tlog.Hash {
	s := Statement{
		StreamSequence: e.Sequence, TenantSequence: uint64(n) + 1, //nolint:gosec // G115: a number of leaves
		Commitment: Commit(c.salts.event(tenant, e.Sequence), e.Bytes), Subject: e.Subject,
	}
	c.entry = s.Append(c.entry[:0])
	return tlog.RecordHash(c.entry)
}

// cursor goes through the leaves of a tree.
type cursor struct {
	from   Reader
	tree   tlog.Tree
	n      int64
	first  int64       // of the leaves that are here
	leaves []tlog.Hash // each compared with the root
}

func (at *cursor) leaf() (tlog.Hash, error) {
	if at.n >= at.first+int64(len(at.leaves)) {
		leaves, err := readLeaves(at.from, at.tree, at.n)
		if err != nil {
			return tlog.Hash{}, err
		}
		at.first, at.leaves = at.n/tileWidth*tileWidth, leaves
	}
	return at.leaves[at.n-at.first], nil
}

func (at *cursor) statement() (Statement, error) {
	leaf, err := at.leaf()
	if err != nil {
		return Statement{}, err
	}
	entries, err := readEntries(at.from, at.n, at.tree.N)
	if err != nil {
		return Statement{}, err
	}
	return statementAt(entries[at.n-at.first], leaf, at.n)
}

// Events reads the second copy from that tenant sequence on, each event compared with the tree: for a scrub of the
// tiles, and to restore a stream from them.
func Events(from Reader, tree tlog.Tree, sequence uint64) iter.Seq2[Whole, error] {
	return func(yield func(Whole, error) bool) {
		if sequence == 0 || checkTree(tree) != nil {
			yield(Whole{}, errors.New("sequences count from 1, and trees have a size"))
			return
		}
		for n := int64(min(sequence-1, uint64(tree.N))); n < tree.N; n = (n/tileWidth + 1) * tileWidth { //nolint:gosec // G115: at most a size
			whole, err := readWhole(from, tree, n)
			if err != nil {
				yield(Whole{}, err)
				return
			}
			for _, w := range whole[n%tileWidth:] {
				if !yield(w, nil) {
					return
				}
			}
		}
	}
}

// Scrub reads all entries of a tree, each compared with the tree.
func Scrub(from Reader, tree tlog.Tree) error {
	for n := int64(0); n < tree.N; n = (n/tileWidth + 1) * tileWidth {
		entries, err := readEntries(from, n, tree.N)
		if err != nil {
			return err
		}
		leaves, err := readLeaves(from, tree, n)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			if tlog.RecordHash(entry) != leaves[i] {
				return brokenAt(Tiles, uint64(n)+uint64(i)+1, "the entry is not the leaf of the tree")
			}
		}
	}
	return nil
}

// Ends checks that an entry is the last of a tree.
func Ends(from Reader, tree tlog.Tree, entry []byte) error {
	if tree.N < 1 {
		return errors.New("the tree is empty")
	}
	leaves, err := readLeaves(from, tree, tree.N-1)
	if err != nil {
		return err
	}
	if leaves[len(leaves)-1] != tlog.RecordHash(entry) {
		return broken(Tiles, "the last entry is another one")
	}
	return nil
}
