package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

// shown is a checkpoint that is in the stream and whose trees are on disk.
type shown struct {
	state
	directory *merkle.Directory
	// heads are the tenants' heads in the order of their slots; nil after a restart, unless this is the last checkpoint.
	heads []*merkle.HeadsView
	// note is the signed note with the cosignatures received so far.
	note string
}

var (
	// ErrNone says that no checkpoint has been signed yet.
	ErrNone = errors.New("nothing was signed yet")
	// ErrNoTree says that a tenant has no tree, or that a tree was never of that size.
	ErrNoTree = errors.New("there is no such tree")
)

// slot returns the tenant's index in the directory, and its tree.
func (s shown) slot(tenant string) (int, tlog.Tree, error) {
	for i, is := range s.Tenants {
		if is.Tenant == tenant {
			return i, is.Tree, nil
		}
	}
	return 0, tlog.Tree{}, ErrNoTree
}

// view calls see while its argument cannot change.
func (l *Ledger) view(see func(shown) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.shown.Covered == 0 {
		return ErrNone
	}
	return see(*l.shown)
}

// globalTree returns a reader of the global tree on disk, also for earlier sizes of it.
func (l *Ledger) globalTree() merkle.Reader {
	return narrowed{newFiles(filepath.Join(l.Dir, "global")), l.shown.Global.N}
}

// tenantTree returns a reader of a tenant's tree on disk, also for earlier sizes of it.
func (l *Ledger) tenantTree(tenant string) merkle.Reader {
	_, tree, err := l.shown.slot(tenant)
	if err != nil {
		return narrowed{}
	}
	return narrowed{newFiles(filepath.Join(l.Dir, "tenants", tenant)), tree.N}
}

// narrowed reads the files of a tree of that size.
type narrowed struct {
	*files
	size int64
}

func (n narrowed) Read(path string) ([]byte, error) {
	if n.files == nil {
		return nil, fs.ErrNotExist
	}
	return narrow(n.files, path, n.size)
}

// Checkpoint returns the last signed note, whoever has cosigned it. Witnesses are asked with it; everybody else is
// shown what Public shows.
func (l *Ledger) Checkpoint() (signed []byte, err error) {
	err = l.view(func(s shown) error {
		signed = []byte(s.note)
		return nil
	})
	return signed, err
}

// Covered returns the last sequence that the last checkpoint covers; 0 if there is none.
func (l *Ledger) Covered() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.shown.Covered
}

// Growth returns the root of the global tree at an earlier size and the consistency proof from there to the last
// checkpoint.
func (l *Ledger) Growth(size int64) (g Growth, err error) {
	err = l.view(func(s shown) error {
		g, err = l.growth(s, size)
		return err
	})
	return g, err
}

func (l *Ledger) growth(s shown, size int64) (g Growth, err error) {
	if size < 0 || size > s.Global.N {
		return g, ErrNoTree
	}
	from := l.globalTree()
	if g.Root, err = tlog.TreeHash(size, merkle.Hashes(from, s.Global)); err != nil {
		return g, err
	}
	g.Checkpoint = s.note
	g.Growth, err = merkle.ProveGrowth(from, size, s.Global)
	return g, err
}

// Newest returns the last checkpoint and the size of its tree. Before the first one, it is that of an empty tree: it
// says nothing, and lets witnesses tell what they know.
func (l *Ledger) Newest() (signed []byte, size int64, err error) {
	err = l.view(func(s shown) error {
		signed, size = []byte(s.note), s.Global.N
		return nil
	})
	if errors.Is(err, ErrNone) {
		signed, err = merkle.Sign(merkle.Checkpoint{Origin: l.policy.Origin(), Tree: merkle.EmptyTree()}, l.Keys.Signers...)
	}
	return signed, size, err
}

// Growth is the response for an earlier size of the global tree.
type Growth struct {
	// Checkpoint is the last signed note.
	Checkpoint string `json:"checkpoint"`
	// Root is the root of the earlier tree, and Growth the proof from it to the checkpoint's.
	Root   tlog.Hash   `json:"root"`
	Growth []tlog.Hash `json:"growth"`
}

// Wanted is an event for a receipt.
type Wanted struct {
	Sequence uint64 // in the stream
	// Withhold leaves its bytes out.
	Withhold bool
}

// Origin returns the log's name.
func (l *Ledger) Origin() string { return l.policy.Origin() }

// PublicKey returns the log's public key, in the form that policies use, with former ones on further lines.
func (l *Ledger) PublicKey() string { return strings.Join(l.Keys.Verifiers, "\n") }

var (
	// ErrNotCovered says that an event is too new to be in a signed tree.
	ErrNotCovered = errors.New("the event is not in a signed tree yet")
	// ErrNewer says that the signed tree has newer events.
	ErrNewer = errors.New("the signed tree has newer events")
)

// keep saves the trees of a checkpoint to disk, and then publishes it.
func (l *Ledger) keep(s state) error {
	if err := l.trees.keep(s); err != nil {
		return err
	}
	directory, err := s.directory(l.Keys.Salts())
	if err != nil {
		return err
	}
	l.mu.Lock() // readers of the older trees read their files
	defer l.mu.Unlock()
	if err := l.trees.settle(s); err != nil {
		return err
	}
	l.present(&shown{s, directory, l.trees.views(), s.Checkpoint})
	return nil
}

// show publishes the checkpoint whose trees are on disk, if its directory is the one that was signed.
func (l *Ledger) show(t *trees) error {
	directory, err := t.disk.directory(l.Keys.Salts())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	if err := merkle.Ends(t.globalFiles, t.disk.Global, directory.Entry()); err != nil {
		return fmt.Errorf("%w: the tenants' trees are not those that were signed: %w", ErrDiffers, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.present(&shown{t.disk, directory, t.views(), t.disk.Checkpoint})
	l.recall()
	return nil
}
