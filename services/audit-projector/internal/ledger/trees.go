package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

// trees are the trees on disk and, in memory, what was appended since.
type trees struct {
	dir   string
	salts *merkle.Salts
	disk  state
	// appended is the sequence of the last event in the trees in memory, and format that of the leaves since the last cut;
	// 0 if there are none.
	appended    uint64
	format      uint8
	global      *merkle.Log
	globalFiles *files
	// tenants in the order of their slots.
	tenants []*tenantTree
	named   map[string]*tenantTree
}

// tenantTree is one tenant's tree. Its log is open while it grows.
type tenantTree struct {
	name string
	disk tlog.Tree
	// heads are those of the tree in memory, view those of the tree on disk.
	heads *merkle.Heads
	view  *merkle.HeadsView
	files *files
	log   *merkle.TenantLog
}

func (t *tenantTree) tree() tlog.Tree {
	if t.log == nil {
		return t.disk
	}
	return t.log.Tree()
}

// openTrees opens the trees of the last checkpoint on disk. It removes files beyond that checkpoint. What earlier trees
// that were closed have in memory need not be read again.
func openTrees(dir string, salts *merkle.Salts, earlier map[string]*tenantTree) (*trees, error) {
	disk, err := readState(dir)
	if err != nil {
		return nil, err
	}
	t := &trees{
		dir: dir, salts: salts, disk: disk, appended: disk.Covered, globalFiles: newFiles(filepath.Join(dir, "global")),
		named: map[string]*tenantTree{},
	}
	if disk.Covered == 0 {
		t.global = merkle.NewLog(t.globalFiles)
		return t, t.sweepUnknown()
	}
	if t.global, err = merkle.OpenLog(t.globalFiles, disk.Global); err != nil {
		return nil, fmt.Errorf("%w: the global tree: %w", ErrDiffers, err)
	}
	if err := t.globalFiles.sweep(disk.Global.N); err != nil {
		return nil, err
	}
	for _, is := range disk.Tenants {
		of := t.add(is.Tenant, is.Tree)
		if err := of.files.sweep(is.Tree.N); err != nil {
			return nil, err
		}
		if before := earlier[is.Tenant]; before != nil && before.disk == is.Tree {
			of.heads, of.view = before.heads, before.view
		} else if of.heads, err = merkle.ReadHeads(of.files, is.Tree); err != nil {
			return nil, fmt.Errorf("%w: the tree of %s: %w", ErrDiffers, is.Tenant, err)
		} else {
			of.view = of.heads.View()
		}
		if disk.Format >= merkle.Format2 && of.view.Root() != is.Heads {
			return nil, fmt.Errorf("%w: the heads of %s are not those of its tree", ErrDiffers, is.Tenant)
		}
	}
	return t, t.sweepUnknown()
}

// sweepUnknown removes the trees of tenants that were not in any checkpoint yet.
func (t *trees) sweepUnknown() error {
	entries, err := os.ReadDir(filepath.Join(t.dir, "tenants"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if t.named[e.Name()] == nil {
			if err := os.RemoveAll(filepath.Join(t.dir, "tenants", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandon waits for pending writes, since the same files are about to be reopened, and returns the tenants' trees as
// they are on disk.
func (t *trees) abandon() map[string]*tenantTree {
	_ = t.globalFiles.writing.Wait() // an error is the reason for abandoning, or is repaired by the rebuild
	onDisk := map[string]*tenantTree{}
	for _, of := range t.tenants {
		_ = of.files.writing.Wait()
		if of.view != nil {
			of.heads.Back(of.view)
			onDisk[of.name] = of
		}
	}
	return onDisk
}

func (t *trees) add(name string, disk tlog.Tree) *tenantTree {
	is := &tenantTree{name: name, disk: disk, files: newFiles(filepath.Join(t.dir, "tenants", name))}
	t.tenants, t.named[name] = append(t.tenants, is), is
	return is
}

// append adds the next message of the stream, whether or not it is an event, as a leaf of that format.
func (t *trees) append(format uint8, e journal.Entry) error {
	if t.format != 0 && t.format != format {
		return errOther // which is of an earlier version, and has signed the leaves since the last cut as of its format
	}
	if e.Seq != t.appended+1 {
		return fmt.Errorf("%w: event %d of the stream comes after %d", ErrDiffers, e.Seq, t.appended)
	}
	name := bus.Tree(e.Subject)
	of := t.named[name]
	if of == nil {
		of = t.add(name, merkle.EmptyTree())
	}
	if of.log == nil {
		log, err := merkle.OpenTenantLog(of.files, t.salts, name, of.disk, of.heads)
		if err != nil {
			return fmt.Errorf("%w: the tree of %s: %w", ErrDiffers, name, err)
		}
		of.log, of.heads = log, log.Heads()
	}
	if err := of.log.Append(format, merkle.Stored{Sequence: e.Seq, Subject: e.Subject, Bytes: e.Data}); err != nil {
		return err
	}
	t.appended, t.format = e.Seq, format
	return nil
}

// follows reports whether a message is the next version of what its subject is about, as far as the heads tell. They
// count messages that are no events too.
func (t *trees) follows(subject string) bool {
	about, version := merkle.About(subject)
	at, under := bus.Under(subject)
	if about == "" || version == 0 || !under || aggregate.Reported(at.Kind) {
		return true
	}
	head := merkle.Head{}
	if of := t.named[bus.Tree(subject)]; of != nil && of.heads != nil {
		head, _ = of.heads.Head(about)
	}
	return version == head.Version+1 && head.Count == head.Version
}

// cut adds the directory of all that was appended to the global tree, in the format of the leaves.
func (t *trees) cut(format uint8) (state, error) {
	if t.format != 0 && t.format != format {
		return state{}, errOther // as in append
	}
	t.format = 0
	s := state{Covered: t.appended, Format: format, Tenants: make([]merkle.TenantTree, len(t.tenants))}
	for i, of := range t.tenants {
		s.Tenants[i] = merkle.TenantTree{Tenant: of.name, Tree: of.tree()}
		if format >= merkle.Format2 {
			s.Tenants[i].Heads = of.heads.View().Root()
		}
	}
	directory, err := merkle.NewDirectory(format, t.salts, t.global.Tree().N, s.Tenants)
	if err != nil {
		return state{}, err
	}
	if err := t.global.Append(directory.Entry()); err != nil {
		return state{}, err
	}
	s.Global = t.global.Tree()
	return s, nil
}

// keep saves the checkpoint's trees. Nothing may have been appended since the cut.
func (t *trees) keep(s state) error {
	if t.appended != s.Covered {
		return errors.New("the trees have grown since the cut")
	}
	if _, err := t.global.Flush(); err != nil {
		return err
	}
	all := []*files{t.globalFiles}
	for _, of := range t.tenants {
		if of.log == nil {
			continue
		}
		if _, err := of.log.Flush(); err != nil {
			return err
		}
		all = append(all, of.files)
	}
	for _, f := range all {
		if err := f.sync(); err != nil {
			return err
		}
	}
	return nil
}

// views returns the heads on disk in the order of the slots.
func (t *trees) views() []*merkle.HeadsView {
	views := make([]*merkle.HeadsView, len(t.tenants))
	for i, of := range t.tenants {
		views[i] = of.view
	}
	return views
}

// settle makes the saved trees the current ones on disk, and drops what belongs only to the previous ones: their
// partial tiles, and the open logs of idle tenants.
func (t *trees) settle(s state) error {
	if err := s.write(t.dir); err != nil {
		return err
	}
	errs := []error{t.globalFiles.outgrown(t.disk.Global.N, s.Global.N)}
	for i, of := range t.tenants {
		grown := s.Tenants[i].Tree
		if of.disk == grown {
			of.log = nil
			continue
		}
		errs = append(errs, of.files.outgrown(of.disk.N, grown.N))
		of.disk, of.view = grown, of.heads.View()
	}
	t.disk = s
	return errors.Join(errs...)
}
