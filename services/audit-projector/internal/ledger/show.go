package ledger

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	"golang.org/x/mod/sumdb/tlog"
)

// shown is a checkpoint that is in the stream and whose trees are on disk: the one that is published.
type shown struct {
	state
	directory *merkle.Directory
	// heads are the tenants' heads in the order of their slots.
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
	return see(l.shown)
}

func (l *Ledger) globalFiles() *files { return newFiles(filepath.Join(l.Dir, "global")) }
func (l *Ledger) tenantFiles(tenant string) *files {
	return newFiles(filepath.Join(l.Dir, "tenants", tenant))
}

// Checkpoint returns the last signed note.
func (l *Ledger) Checkpoint() (signed []byte, err error) {
	err = l.view(func(s shown) error {
		signed = []byte(s.note)
		return nil
	})
	return signed, err
}

// Cosign adds a cosignature, by a witness of the policy, to the last checkpoint. It rejects one of an earlier
// checkpoint.
func (l *Ledger) Cosign(policy *merkle.Policy, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	cosigned, err := policy.Add([]byte(l.shown.note), line)
	if err == nil {
		l.shown.note = string(cosigned)
	}
	return err
}

// Covered returns the last sequence that the last checkpoint covers; 0 if there is none.
func (l *Ledger) Covered() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.shown.Covered
}

// Growth returns the root of the global tree at an earlier size and the consistency proof from there.
func (l *Ledger) Growth(size int64) (g Growth, err error) {
	err = l.view(func(s shown) error {
		if size < 0 || size > s.Global.N {
			return ErrNoTree
		}
		if g.Root, err = tlog.TreeHash(size, merkle.Hashes(l.globalFiles(), s.Global)); err != nil {
			return err
		}
		g.Checkpoint = s.note
		g.Growth, err = merkle.ProveGrowth(l.globalFiles(), size, s.Global)
		return err
	})
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

// Sighting returns what a tenant's follower needs who last saw the trees at these sizes; 0 for never.
func (l *Ledger) Sighting(tenant string, global, size int64) (seen merkle.Sighting, err error) {
	err = l.view(func(s shown) error {
		slot, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		if global < 0 || global > s.Global.N || size < 0 || size > tree.N {
			return ErrNoTree
		}
		seen.Checkpoint = s.note
		if seen.Opening, err = s.directory.Open(slot); err != nil {
			return err
		}
		if seen.Directory, err = merkle.ProveLast(l.globalFiles(), s.Global); err != nil {
			return err
		}
		if seen.GlobalGrowth, err = merkle.ProveGrowth(l.globalFiles(), global, s.Global); err != nil {
			return err
		}
		seen.TenantGrowth, err = merkle.ProveGrowth(l.tenantFiles(tenant), size, tree)
		return err
	})
	return seen, err
}

// Tile returns a tile of a tenant's tree, hashes or entries, by its path. The second copy has no path here, because it
// contains what receipts withhold.
func (l *Ledger) Tile(tenant, path string) (data []byte, err error) {
	if _, err := merkle.ParsePath(path); err != nil {
		return nil, err
	}
	data, err = l.read(tenant, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoTree
	}
	return data, err
}

func (l *Ledger) read(tenant, path string) (data []byte, err error) {
	err = l.view(func(s shown) error {
		_, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		data, err = narrow(l.tenantFiles(tenant), path, tree.N)
		return err
	})
	return data, err
}

// Wanted is an event for a receipt.
type Wanted struct {
	Sequence uint64 // in the stream
	// Withhold leaves its bytes out.
	Withhold bool
}

// PublicKey returns the log's public key, in the form that policies use, with former ones on further lines.
func (l *Ledger) PublicKey() string { return strings.Join(l.Keys.Verifiers, "\n") }

// Receipt proves all events of one aggregate in order. about is the prefix of their subjects, and wanted are those of
// the stream up to the sequence read. It returns ErrNotCovered if the last checkpoint does not cover the last of them
// yet, and ErrNewer if it covers others that are not among them.
func (l *Ledger) Receipt(
	ctx context.Context, tenant, about string, wanted []Wanted, read uint64,
) (file []byte, err error) {
	var r merkle.Receipt
	err = l.view(func(s shown) error {
		slot, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		if len(wanted) == 0 || wanted[len(wanted)-1].Sequence > s.Covered {
			return ErrNotCovered
		}
		r = merkle.Receipt{Tenant: tenant, About: about, Checkpoint: s.note}
		if s.Format >= merkle.Format2 {
			if r.Head, err = s.heads[slot].Receipt(about); err != nil {
				return err
			}
			// Otherwise messages that are no event make the difference, and no receipt will show them.
			if r.Head.Count > uint64(len(wanted)) && s.Covered > read {
				return ErrNewer
			}
		}
		events := make([]merkle.Wanted, len(wanted))
		for i, w := range wanted {
			n, err := merkle.Find(l.tenantFiles(tenant), tree, w.Sequence)
			if err != nil {
				return err
			}
			events[i] = merkle.Wanted{TenantSequence: n, Withhold: w.Withhold}
		}
		if s.Format >= merkle.Format2 {
			r.Events, r.Proof, err = merkle.ProveTogether(l.tenantFiles(tenant), tree, events)
		} else {
			r.Events, err = merkle.ProveEvents(l.tenantFiles(tenant), tree, events)
		}
		if err != nil {
			return err
		}
		if r.Opening, err = s.directory.Open(slot); err != nil {
			return err
		}
		r.Directory, err = merkle.ProveLast(l.globalFiles(), s.Global)
		return err
	})
	if err == nil && r.Proof != nil {
		r.Writers, err = l.certificates(ctx, r.Events)
	}
	if err != nil {
		return nil, err
	}
	return r.Encode()
}

// certificates returns those of the keys that signed what is shown of these events, in the order of first use: they
// stand in the provider's own tree, which customers never see.
func (l *Ledger) certificates(ctx context.Context, events []merkle.ReceiptEvent) ([]string, error) {
	var ids []signed.KeyID
	for _, e := range events {
		if id, is := signed.KeyIn(e.Bytes); is && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	found := []string{}
	if len(ids) == 0 {
		return found, nil
	}
	recorded := map[signed.KeyID]string{}
	at := aggregate.SigningWriters
	err := l.Journal.Replay(ctx, journal.Replay{Tenant: at.Tenant, Kind: at.Kind, ID: at.ID,
		Misfit: func(journal.Entry, journal.Misfit) error { return nil }}, func(e journal.Entry) error {
		for _, text := range slices.Concat(e.Event.GetSigningBegan().GetCertificates(),
			[]string{e.Event.GetWriterCertified().GetCertificate()}) {
			if id, is := signed.KeyOf(text); is && recorded[id] == "" {
				recorded[id] = text
			}
		}
		return nil
	})
	for _, id := range ids {
		if text := recorded[id]; text != "" {
			found = append(found, text)
		}
	}
	return found, err
}

var (
	// ErrNotCovered says that an event is too new to be in a signed tree.
	ErrNotCovered = errors.New("the event is not in a signed tree yet")
	// ErrNewer says that the signed tree has newer events.
	ErrNewer = errors.New("the signed tree has newer events")
)
