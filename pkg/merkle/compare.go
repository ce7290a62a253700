package merkle

import (
	"errors"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"
)

// Kind is a kind of difference between a stream and its trees.
type Kind string

// The kinds of differences.
const (
	// Gap: recorded in the tree but missing from the stream, which has later events.
	Gap Kind = "gap"
	// Regression: recorded in the tree, but the stream ends before it.
	Regression Kind = "regression"
	// Changed: the subject or the bytes in the stream differ from what was recorded.
	Changed Kind = "changed"
	// Unrecorded: the event is in the stream but not in the trees.
	Unrecorded Kind = "unrecorded"
)

// Difference is an event about which stream and tree disagree.
type Difference struct {
	Kind     Kind
	Tenant   string
	Sequence uint64 // in the stream
	// Recorded is the statement in the tree; zero for an unrecorded event.
	Recorded Statement
}

// Comparison compares a stream, or a replica of it, with the trees. It needs only the leaf hashes, 8 KiB per tenant at
// a time; statements and the second copy are read only where there is a difference. It is not safe for concurrent use.
type Comparison struct {
	salts   *Salts
	covered uint64
	last    uint64
	names   []string
	tenants map[string]*cursor
	entry   []byte // scratch
}

// Compare begins a comparison with trees that contain every event up to the stream sequence covered, and none after it.
func Compare(salts *Salts, covered uint64) *Comparison {
	return &Comparison{salts: salts, covered: covered, tenants: map[string]*cursor{}}
}

// Add adds a tenant's tree. All trees must be added before the first event.
func (c *Comparison) Add(tenant string, from Reader, tree tlog.Tree) error {
	if c.tenants[tenant] != nil || c.last != 0 || checkTree(tree) != nil {
		return fmt.Errorf("the tree of %q is there already, comes too late or cannot be", tenant)
	}
	c.names = append(c.names, tenant)
	c.tenants[tenant] = &cursor{from: from, tree: tree, format: Format1}
	return nil
}

// Next compares the next event of the stream. Events must come in stream order. A missing event is reported with the
// tenant's next one, or by End. An error means that the tiles could not be read.
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
		// Where leaves become those of the next format, only the first of them shows that they do.
		for format := at.format; format <= Format2; format++ {
			if leaf == c.leafOf(format, tenant, at.n, e) {
				at.format = format
				at.n++
				return found, nil
			}
		}
		recorded, err := at.recorded()
		if err != nil {
			return found, err
		}
		if recorded.Sequence > e.Sequence {
			break
		}
		at.n++
		if recorded.Sequence == e.Sequence {
			return append(found, Difference{Changed, tenant, e.Sequence, recorded.Statement}), nil
		}
		found = append(found, Difference{Gap, tenant, recorded.Sequence, recorded.Statement})
	}
	if e.Sequence <= c.covered {
		found = append(found, Difference{Kind: Unrecorded, Tenant: tenant, Sequence: e.Sequence})
	}
	return found, nil
}

// End returns the recorded events that are missing. It is called after the last event of the stream.
func (c *Comparison) End() ([]Difference, error) {
	var found []Difference
	for _, tenant := range c.names {
		for at := c.tenants[tenant]; at.n < at.tree.N; at.n++ {
			recorded, err := at.recorded()
			if err != nil {
				return found, err
			}
			kind := Gap
			if recorded.Sequence > c.last {
				kind = Regression
			}
			found = append(found, Difference{kind, tenant, recorded.Sequence, recorded.Statement})
		}
	}
	return found, nil
}

func (c *Comparison) leafOf(format uint8, tenant string, n int64, e Stored) tlog.Hash {
	s, _ := c.salts.leaf(format, tenant, uint64(n)+1, e) //nolint:gosec // G115: a number of leaves
	c.entry = s.Append(c.entry[:0])
	return tlog.RecordHash(c.entry)
}

// cursor iterates over the leaves of a tree.
type cursor struct {
	from   Reader
	tree   tlog.Tree
	n      int64
	format uint8       // of the leaf before n; it never decreases
	first  int64       // number of leaves[0]
	leaves []tlog.Hash // verified against the root
	// events are what leaves commit to, read when there is a difference.
	events []Whole
}

func (at *cursor) leaf() (tlog.Hash, error) {
	if at.n >= at.first+int64(len(at.leaves)) {
		leaves, err := readLeaves(at.from, at.tree, at.n)
		if err != nil {
			return tlog.Hash{}, err
		}
		at.first, at.leaves, at.events = at.n/tileWidth*tileWidth, leaves, nil
	}
	return at.leaves[at.n-at.first], nil
}

func (at *cursor) recorded() (Whole, error) {
	if _, err := at.leaf(); err != nil {
		return Whole{}, err
	}
	if at.events == nil {
		var err error
		if at.events, err = readPlaced(at.from, at.tree, at.n); err != nil {
			return Whole{}, err
		}
	}
	return at.events[at.n-at.first], nil
}

// Events reads the second copy from a tenant sequence on and verifies each event against the tree, to scrub the tiles
// or to restore a stream from them.
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

// Scrub reads all entries of a tree and verifies each against the tree.
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

// Ends checks that an entry is the last one of a tree.
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
