package merkle

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/tlog"
)

// Log builds the tiles of one tree. Full tiles are written when they fill, partial ones by Flush. The same entries and
// flushes produce the same files. After an error a Log is unusable: open it again at the last known tree. It is not
// safe for concurrent use.
type Log struct {
	store Store
	size  int64
	// levels holds, per level of tiles, the hashes of the current partial tile.
	levels [][]tlog.Hash
	// entries is the current partial bundle.
	entries []byte
	failed  error
}

// NewLog returns a Log of an empty tree.
func NewLog(store Store) *Log { return &Log{store: store} }

// OpenLog continues a tree from its tiles, which must match exactly this tree. Files of a larger tree, left by a run
// that ended before its checkpoint was stored, are overwritten.
func OpenLog(store Store, tree tlog.Tree) (*Log, error) {
	if err := checkTree(tree); err != nil {
		return nil, err
	}
	l := &Log{store: store, size: tree.N}
	for level := 0; tree.N>>(tileHeight*level) > 0; level++ {
		n := tree.N >> (tileHeight * level)
		hashes := make([]tlog.Hash, 0, tileWidth)
		if n%tileWidth != 0 {
			t := tileAt(level, n-1, tree.N)
			data, err := tiles{store}.ReadTiles([]tlog.Tile{t})
			if err != nil {
				return nil, err
			}
			for i := range t.W {
				hashes = append(hashes, tlog.Hash(data[0][i*tlog.HashSize:]))
			}
		}
		l.levels = append(l.levels, hashes)
	}
	if l.Tree() != tree {
		return nil, broken(Tiles, "they are of the root %v, not %v", l.Tree().Hash, tree.Hash)
	}
	if tree.N%tileWidth == 0 {
		return l, nil
	}
	entries, err := readEntries(store, tree.N-1, tree.N)
	if err != nil {
		return nil, err
	}
	for i, entry := range entries {
		if tlog.RecordHash(entry) != l.levels[0][i] {
			return nil, broken(Tiles, "entry %d is not what its hash says", tree.N-int64(len(entries)-i))
		}
		l.entries = appendEntry(l.entries, entry)
	}
	return l, nil
}

// Append adds an entry.
func (l *Log) Append(entry []byte) error { return l.append(entry, tlog.RecordHash(entry)) }

// append adds an entry with the hash of its leaf.
func (l *Log) append(entry []byte, leaf tlog.Hash) error {
	switch {
	case l.failed != nil:
		return l.failed
	case len(entry) > math.MaxUint16:
		return errors.New("an entry has at most 65535 bytes")
	case l.size >= maxTreeSize:
		return errors.New("the tree is full")
	}
	l.entries = appendEntry(l.entries, entry)
	l.size++
	if l.size%tileWidth == 0 {
		if err := l.write(Path(tileAt(entriesLevel, l.size-1, l.size)), l.entries); err != nil {
			return err
		}
		l.entries = l.entries[:0]
	}
	return l.push(0, leaf)
}

// push adds a hash to a level. If that fills the tile, it adds the tile's hash to the level above.
func (l *Log) push(level int, h tlog.Hash) error {
	if level == len(l.levels) {
		l.levels = append(l.levels, make([]tlog.Hash, 0, tileWidth))
	}
	l.levels[level] = append(l.levels[level], h)
	if len(l.levels[level]) < tileWidth {
		return nil
	}
	full := l.levels[level]
	if err := l.writeHashes(level); err != nil {
		return err
	}
	root := rootOf(full)
	l.levels[level] = full[:0]
	return l.push(level+1, root)
}

// rootOf returns the root of a tree over these hashes. The last may be the root of an incomplete subtree.
func rootOf(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := 1
	for half*2 < len(hashes) {
		half *= 2
	}
	return tlog.NodeHash(rootOf(hashes[:half]), rootOf(hashes[half:]))
}

// Tree returns the size and the root.
func (l *Log) Tree() tlog.Tree {
	var right []tlog.Hash // root of the lower levels' hashes, if any
	for _, hashes := range l.levels {
		if all := append(hashes[:len(hashes):len(hashes)], right...); len(all) > 0 {
			right = []tlog.Hash{rootOf(all)}
		}
	}
	if right == nil {
		return EmptyTree()
	}
	return tlog.Tree{N: l.size, Hash: right[0]}
}

// EmptyTree returns the empty tree, whose root is the hash of the empty string (RFC 6962 §2.1).
func EmptyTree() tlog.Tree {
	root, _ := tlog.TreeHash(0, nil) // reads nothing, so it cannot fail
	return tlog.Tree{Hash: root}
}

// Flush writes the partial tiles, so that the tree can be opened again, read and proven. It returns the tree.
func (l *Log) Flush() (tlog.Tree, error) {
	if l.failed != nil {
		return tlog.Tree{}, l.failed
	}
	if len(l.entries) > 0 {
		if err := l.write(Path(tileAt(entriesLevel, l.size-1, l.size)), l.entries); err != nil {
			return tlog.Tree{}, err
		}
	}
	for level, hashes := range l.levels {
		if len(hashes) > 0 {
			if err := l.writeHashes(level); err != nil {
				return tlog.Tree{}, err
			}
		}
	}
	return l.Tree(), nil
}

func (l *Log) writeHashes(level int) error {
	data := make([]byte, 0, tileWidth*tlog.HashSize)
	for _, h := range l.levels[level] {
		data = append(data, h[:]...)
	}
	n := l.size >> (tileHeight * level)
	return l.write(Path(tileAt(level, n-1, l.size)), data)
}

func (l *Log) write(path string, data []byte) error {
	if err := l.store.Write(path, data); err != nil {
		l.failed = fmt.Errorf("write %s: %w", path, err)
		return l.failed
	}
	return nil
}
