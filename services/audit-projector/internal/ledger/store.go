package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

const (
	eventsPrefix = "events/"
	// syncsAtOnce is the number of files that are synced concurrently, so that the disk can combine the syncs.
	syncsAtOnce = 16
	// writesAtOnce is the number of files of a tree that are written concurrently: creating a file takes about as long
	// as hashing its leaves.
	writesAtOnce = 4
)

// files stores the tiles of one tree in a directory. Written tiles can be read at once, and are durable after sync.
type files struct {
	dir     string
	written map[string]bool // since the last sync
	made    map[string]bool // directories
	// Writes run in the background while the tree grows.
	writing *errgroup.Group
	mu      sync.Mutex
	waiting map[string][]byte // by file name
}

func newFiles(dir string) *files {
	f := &files{dir: dir, written: map[string]bool{}, made: map[string]bool{}, writing: new(errgroup.Group),
		waiting: map[string][]byte{}}
	f.writing.SetLimit(writesAtOnce)
	return f
}

func (f *files) Read(path string) ([]byte, error) {
	name := f.name(path)
	f.mu.Lock()
	data, waits := f.waiting[name]
	f.mu.Unlock()
	if waits {
		return data, nil
	}
	return os.ReadFile(name) // #nosec G304 -- paths are made by merkle
}

func (f *files) name(path string) string { return filepath.Join(f.dir, filepath.FromSlash(path)) }

// Write returns before the file is written. sync reports write errors.
func (f *files) Write(path string, data []byte) error {
	name := f.name(path)
	if dir := filepath.Dir(name); !f.made[dir] {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		f.made[dir] = true
	}
	f.written[name] = true
	data = bytes.Clone(data) // the caller may reuse it
	f.mu.Lock()
	f.waiting[name] = data
	f.mu.Unlock()
	f.writing.Go(func() error {
		err := write(name, data)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiting, name)
		return err
	})
	return nil
}

// write skips files that an earlier run has written without syncing them.
func write(name string, data []byte) error {
	if there, err := os.ReadFile(name); err == nil && bytes.Equal(there, data) { // #nosec G304 -- paths are made by merkle
		return nil
	}
	// The file is not read before the state names its tree; if this is interrupted, the next run rewrites it.
	return os.WriteFile(name, data, 0o600)
}

// sync returns when everything written is durable, including the directory entries.
func (f *files) sync() error {
	if err := f.writing.Wait(); err != nil {
		return err
	}
	dirs := map[string]bool{}
	var all errgroup.Group
	all.SetLimit(syncsAtOnce)
	for name := range f.written {
		all.Go(func() error { return durable.Sync(name) })
		for dir := filepath.Dir(name); !dirs[dir]; dir = filepath.Dir(dir) {
			dirs[dir] = true
			if dir == f.dir {
				break
			}
		}
	}
	for dir := range dirs {
		all.Go(func() error { return durable.Sync(dir) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	clear(f.written)
	return nil
}

// partials returns the paths of the partial tiles in a tree of that size, including the second copy's if it has one.
func partials(size int64, events bool) map[string]bool {
	paths := map[string]bool{}
	for _, t := range merkle.Partials(size) {
		paths[merkle.Path(t)] = true
		if events && t.L < 0 {
			paths[merkle.EventsPath(t)] = true
		}
	}
	return paths
}

// outgrown removes the older tree's partial tiles that the newer tree does not have: only the newest partial tiles are
// kept.
func (f *files) outgrown(older, newer int64) error {
	keep := partials(newer, true)
	for path := range partials(older, true) {
		if keep[path] {
			continue
		}
		name := filepath.Join(f.dir, filepath.FromSlash(path))
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		_ = os.Remove(filepath.Dir(name)) // <N>.p, if empty
	}
	return nil
}

// sweep removes what an interrupted run has left: files that do not belong to a tree of that size.
func (f *files) sweep(size int64) error {
	keep := partials(size, true)
	var stray []string
	err := filepath.WalkDir(f.dir, func(name string, at fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == f.dir {
			return filepath.SkipAll
		}
		if err != nil || at.IsDir() {
			return err
		}
		path, err := filepath.Rel(f.dir, name)
		if path = filepath.ToSlash(path); err == nil && !keep[path] && !full(path, size) {
			stray = append(stray, name)
		}
		return err
	})
	for _, name := range stray {
		err = errors.Join(err, os.Remove(name))
		_ = os.Remove(filepath.Dir(name)) // if empty
	}
	return err
}

// full reports whether a path is that of a full tile in a tree of that size.
func full(path string, size int64) bool {
	t, err := merkle.ParsePath(strings.Replace(path, eventsPrefix, "tile/entries/", 1))
	return err == nil && t.W == 1<<t.H && t.N < size>>(t.H*(max(t.L, 0)+1))
}

// narrow returns a partial tile that is not stored from the beginning of a wider one, for queries about an earlier tree
// of which only the newest partial tiles are kept.
func narrow(from merkle.Reader, path string, size int64) ([]byte, error) {
	events := strings.HasPrefix(path, eventsPrefix)
	t, err := merkle.ParsePath(strings.Replace(path, eventsPrefix, "tile/entries/", 1))
	if err != nil {
		return nil, err
	}
	name := merkle.Path
	if events {
		name = merkle.EventsPath
	}
	there := t
	level := max(t.L, 0)
	there.W = int(min(1<<t.H, size>>(t.H*level)-t.N<<t.H))
	if there.W < t.W {
		return nil, fs.ErrNotExist
	}
	data, err := from.Read(name(there))
	if err != nil || there.W == t.W {
		return data, err
	}
	length := t.W * tlog.HashSize
	switch {
	case events:
		length, err = lengthOf(merkle.Records(data))(t.W, merkle.Record.Size)
	case t.L < 0:
		length, err = lengthOf(merkle.Entries(data))(t.W, func(e []byte) int { return 2 + len(e) })
	}
	if err != nil || length > len(data) {
		return nil, errors.Join(fmt.Errorf("%s is too short", name(there)), err)
	}
	return data[:length], nil
}

// lengthOf returns a function that sums the lengths of the first parts.
func lengthOf[P any](parts []P, err error) func(first int, length func(P) int) (int, error) {
	return func(first int, length func(P) int) (n int, _ error) {
		if err != nil || first > len(parts) {
			return 0, errors.Join(errors.New("it has fewer parts"), err)
		}
		for _, p := range parts[:first] {
			n += length(p)
		}
		return n, nil
	}
}
