package merkle

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight

	entriesLevel = -1 // as tlog numbers them
	maxTreeSize  = 1 << 48
)

// Reader reads tiles by path. It need not be trusted: everything read is verified against a tree.
type Reader interface {
	// Read returns the whole file, or an error. It is called only for files that must exist.
	Read(path string) ([]byte, error)
}

// Store holds the tiles of one tree.
type Store interface {
	Reader
	// Write replaces a file atomically. The file need not be on disk before the next Write, but must be before a
	// checkpoint that covers it is published. Write must not retain data.
	Write(path string, data []byte) error
}

// Path returns the C2SP tlog-tiles path of a tile of height 8, or of its entry bundle if the level is -1.
func Path(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), "tile/8/")
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + rest
	}
	return "tile/" + path
}

// ParsePath parses a path exactly as Path writes it; any other spelling is an error.
func ParsePath(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if entries, found := strings.CutPrefix(rest, "entries/"); found {
		rest = "data/" + entries
	}
	t, err := tlog.ParseTilePath("tile/8/" + rest)
	if !ok || err != nil || Path(t) != path || t.L > 63/tileHeight || t.N < 0 {
		return tlog.Tile{}, broken(Format, "%q is no path of a tile", path)
	}
	return t, nil
}

// EventsPath returns the path of the second copy of the events whose statements are in the entry bundle with the same
// number.
func EventsPath(t tlog.Tile) string {
	t.L = entriesLevel
	return "events/" + strings.TrimPrefix(Path(t), "tile/entries/")
}

// Entries splits an entry bundle of C2SP tlog-tiles. The entries share memory with the bundle.
func Entries(bundle []byte) ([][]byte, error) {
	var entries [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			return nil, broken(Format, "the entries end inside one")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		entries = append(entries, bundle[2:end:end])
		bundle = bundle[end:]
	}
	return entries, checkCount(len(entries))
}

func appendEntry(bundle, entry []byte) []byte {
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry))) //nolint:gosec // G115: Log.Append refuses longer ones
	return append(bundle, entry...)
}

// Record is what a statement commits to.
type Record struct {
	Salt Salt
	// Place is zero in format 1, where the statement shows the stream sequence.
	Place Place
	Bytes []byte
}

// A record begins with the salt and four bytes: its kind, and the length of the stored bytes.
const (
	recordHead = saltSize + 4
	record1    = 0 // format 1, which has no kind: this is the first byte of the length
	record2    = Format2
)

// Size returns the length of the record's encoding in bytes.
func (r Record) Size() int {
	if r.Place == (Place{}) {
		return recordHead + len(r.Bytes)
	}
	return recordHead + 8 + saltSize + len(r.Bytes)
}

// Records splits a bundle of the second copy. The records share memory with the bundle.
func Records(bundle []byte) ([]Record, error) {
	var records []Record
	for len(bundle) > 0 {
		if len(bundle) < recordHead {
			return nil, broken(Format, "the events end inside one")
		}
		r, begin := Record{Salt: Salt(bundle[:saltSize])}, recordHead
		switch bundle[saltSize] {
		case record1:
		case record2:
			if begin += 8 + saltSize; len(bundle) < begin {
				return nil, broken(Format, "the events end inside one")
			}
			r.Place = Place{binary.BigEndian.Uint64(bundle[recordHead:]), Salt(bundle[recordHead+8 : begin])}
			if r.Place.check() != nil {
				return nil, broken(Format, "a stream sequence is from 1 on and less than 2^53")
			}
		default:
			return nil, broken(Format, "an event of the second copy is of no known format")
		}
		end := begin + int(binary.BigEndian.Uint32(bundle[saltSize:])&maxStored)
		if len(bundle) < end {
			return nil, broken(Format, "the events end inside one")
		}
		r.Bytes = bundle[begin:end:end]
		records = append(records, r)
		bundle = bundle[end:]
	}
	return records, checkCount(len(records))
}

// Append appends the record's only valid encoding to a bundle of the second copy. The stored bytes must be less than
// 16 MiB.
func (r Record) Append(bundle []byte) []byte {
	bundle = append(bundle, r.Salt[:]...)
	length := uint32(len(r.Bytes)) //nolint:gosec // G115: see above
	if r.Place == (Place{}) {
		bundle = binary.BigEndian.AppendUint32(bundle, length)
		return append(bundle, r.Bytes...)
	}
	bundle = binary.BigEndian.AppendUint32(bundle, record2<<24|length)
	bundle = binary.BigEndian.AppendUint64(bundle, r.Place.Sequence)
	bundle = append(bundle, r.Place.Salt[:]...)
	return append(bundle, r.Bytes...)
}

func checkCount(n int) error {
	if n == 0 || n > tileWidth {
		return broken(Format, "%d in a bundle of 1 to 256", n)
	}
	return nil
}

// tileAt returns the tile that contains number n of a level, with its width in a tree of that size.
func tileAt(level int, n, size int64) tlog.Tile {
	t := tlog.Tile{H: tileHeight, L: level, N: n / tileWidth, W: tileWidth}
	if level > 0 {
		size >>= tileHeight * level
	}
	if left := size - t.N*tileWidth; left < tileWidth {
		t.W = int(left)
	}
	return t
}

// read reads a tile, or the full tile that has replaced a partial one. It returns the width of what it read.
func read(from Reader, t tlog.Tile, path func(tlog.Tile) string) ([]byte, error) {
	data, err := from.Read(path(t))
	if err == nil || t.W == tileWidth {
		return data, err
	}
	full := t
	full.W = tileWidth
	if data, fullErr := from.Read(path(full)); fullErr == nil {
		return data, nil
	}
	return nil, err
}

// tiles implements tlog.TileReader; tlog verifies every tile against the tree before using it.
type tiles struct{ Reader }

func (tiles) Height() int                     { return tileHeight }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (r tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, t := range wanted {
		data, err := read(r.Reader, t, Path)
		if err != nil {
			return nil, err
		}
		if len(data) != t.W*tlog.HashSize && len(data) != tileWidth*tlog.HashSize {
			return nil, broken(Tiles, "%s has %d bytes", Path(t), len(data))
		}
		found[i] = data[:t.W*tlog.HashSize]
	}
	return found, nil
}

// Hashes returns a reader of a tree's hashes that verifies the tiles against the tree's root.
func Hashes(from Reader, tree tlog.Tree) tlog.HashReader {
	return tlog.TileHashReader(tree, tiles{from})
}

// readEntries reads the entries of the tile that contains leaf n, in a tree of that size.
func readEntries(from Reader, n, size int64) ([][]byte, error) {
	t := tileAt(entriesLevel, n, size)
	data, err := read(from, t, Path)
	if err != nil {
		return nil, err
	}
	entries, err := Entries(data)
	if err != nil {
		return nil, broken(Tiles, "%s: %v", Path(t), err)
	}
	if len(entries) != t.W && len(entries) != tileWidth {
		return nil, broken(Tiles, "%s has %d entries", Path(t), len(entries))
	}
	return entries[:t.W], nil
}

// readRecords reads the events of the bundle that contains leaf n, in a tree of that size.
func readRecords(from Reader, n, size int64) ([]Record, error) {
	t := tileAt(entriesLevel, n, size)
	data, err := read(from, t, EventsPath)
	if err != nil {
		return nil, err
	}
	records, err := Records(data)
	if err != nil {
		return nil, broken(Tiles, "%s: %v", EventsPath(t), err)
	}
	if len(records) != t.W && len(records) != tileWidth {
		return nil, broken(Tiles, "%s has %d events", EventsPath(t), len(records))
	}
	return records[:t.W], nil
}

func checkTree(tree tlog.Tree) error {
	if tree.N < 0 || tree.N > maxTreeSize {
		return fmt.Errorf("no tree has %d leaves", tree.N)
	}
	return nil
}

// Partials returns the partial tiles of a tree of that size, its entry bundle first. A larger tree needs none of them.
func Partials(size int64) []tlog.Tile {
	var found []tlog.Tile
	if size%tileWidth != 0 {
		found = append(found, tileAt(entriesLevel, size-1, size))
	}
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		if n := size >> (tileHeight * level); n%tileWidth != 0 {
			found = append(found, tileAt(level, n-1, size))
		}
	}
	return found
}
