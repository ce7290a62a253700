package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// publicFile holds the last checkpoint that enough witnesses have cosigned, with their cosignatures.
	publicFile = "public.json"
	// waitingAtMost is how many checkpoints wait for cosignatures: while a witness is slow, the log signs several.
	waitingAtMost = 16
)

// Public is what everybody is shown: the last checkpoint that enough witnesses have cosigned. The log itself goes on
// from its last one.
type Public struct{ *Ledger }

// Public returns what everybody is shown.
func (l *Ledger) Public() Public { return Public{l} }

// present makes a checkpoint the last one. It is published as soon as enough witnesses have cosigned it. If the trees
// were only opened again, its cosignatures stay. The ledger must be locked.
func (l *Ledger) present(s *shown) {
	was := l.shown
	l.shown = s
	switch {
	case s.Checkpoint == was.Checkpoint:
		s.note = was.note
		if l.public == was {
			l.public = s
		}
		for i, waits := range l.waiting {
			if waits == was {
				l.waiting[i] = s
			}
		}
	case l.Witnesses == nil:
		l.public = s
	default:
		l.waiting = append(l.waiting, s)
		l.waiting = l.waiting[max(0, len(l.waiting)-waitingAtMost):]
		l.publish(s)
	}
}

// publish publishes a checkpoint if it has enough cosignatures and is not older than what is published.
func (l *Ledger) publish(s *shown) {
	if l.Witnesses == nil || !l.Witnesses.Enough([]byte(s.note)) || l.public != nil && l.public.Global.N > s.Global.N {
		return
	}
	l.public = s
	for len(l.waiting) > 0 && l.waiting[0].Global.N < s.Global.N {
		l.waiting = l.waiting[1:]
	}
	kept := s.state
	kept.Checkpoint = s.note
	data, err := json.Marshal(kept)
	if err == nil {
		err = durable.Replace(filepath.Join(l.Dir, publicFile), data, 0o600)
	}
	if err != nil {
		l.Log.Warn("what everybody is shown is not kept; after a restart it has to be cosigned anew", zap.Error(err))
	}
}

// Cosign adds a cosignature, by a witness of the policy, to the checkpoint that it is of: one that waits for it, or the
// published one. It takes the place of an earlier one by the same witness. It rejects one of any other checkpoint.
func (l *Ledger) Cosign(policy *merkle.Policy, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := []*shown{l.shown}
	for i := len(l.waiting) - 1; i >= 0; i-- {
		all = append(all, l.waiting[i])
	}
	if l.public != nil {
		all = append(all, l.public)
	}
	var first error
	for _, s := range all {
		cosigned, err := policy.Renew([]byte(s.note), line)
		if err == nil {
			s.note = string(cosigned)
			l.publish(s)
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// recall publishes what was published before a restart. It is verified like everything else on disk; if it is not what
// it should be, the witnesses have to cosign first. The ledger must be locked.
func (l *Ledger) recall() {
	if l.Witnesses == nil || l.public != nil {
		return
	}
	s, err := l.published()
	switch {
	case err != nil:
		l.Log.Warn("what everybody was shown has to be cosigned anew", zap.Error(err))
	case s != nil && s.Global == l.shown.Global: // the last one, with its heads
		l.shown.note = s.note
		l.public = l.shown
	case s != nil:
		l.public = s
	}
}

func (l *Ledger) published() (*shown, error) {
	data, err := os.ReadFile(filepath.Join(l.Dir, publicFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	var is state
	if err == nil {
		err = json.Unmarshal(data, &is)
	}
	if err != nil {
		return nil, err
	}
	if err := l.check(is.Checkpoint, is); err != nil {
		return nil, err
	}
	if is.Global.N > l.shown.Global.N {
		return nil, fmt.Errorf("it is of size %d, and the log of %d", is.Global.N, l.shown.Global.N)
	}
	directory, err := is.directory(l.Keys.Salts())
	if err != nil {
		return nil, err
	}
	if err := merkle.Ends(l.globalTree(), is.Global, directory.Entry()); err != nil {
		return nil, err
	}
	if !l.Witnesses.Enough([]byte(is.Checkpoint)) {
		return nil, errors.New("the policy demands other witnesses now")
	}
	return &shown{state: is, directory: directory, note: is.Checkpoint}, nil
}

// view calls see while its argument cannot change.
func (p Public) view(see func(shown) error) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.public == nil || p.public.Covered == 0 {
		return ErrNone
	}
	return see(*p.public)
}

// Checkpoint returns the published note.
func (p Public) Checkpoint() (signed []byte, err error) {
	err = p.view(func(s shown) error {
		signed = []byte(s.note)
		return nil
	})
	return signed, err
}

// Growth returns the root of the global tree at an earlier size and the consistency proof from there.
func (p Public) Growth(size int64) (g Growth, err error) {
	err = p.view(func(s shown) error {
		g, err = p.growth(s, size)
		return err
	})
	return g, err
}

// Sighting returns what a tenant's follower needs who last saw the trees at these sizes; 0 for never.
func (p Public) Sighting(tenant string, global, size int64) (seen merkle.Sighting, err error) {
	err = p.view(func(s shown) error {
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
		if seen.Directory, err = merkle.ProveLast(p.globalTree(), s.Global); err != nil {
			return err
		}
		if seen.GlobalGrowth, err = merkle.ProveGrowth(p.globalTree(), global, s.Global); err != nil {
			return err
		}
		seen.TenantGrowth, err = merkle.ProveGrowth(p.tenantTree(tenant), size, tree)
		return err
	})
	return seen, err
}

// Seen returns what was last published about an aggregate of a tenant: the checkpoint with the tenant's tree, and the
// proof of how many of these events that tree has. about is the prefix of their subjects. It returns ErrNotCovered if
// that cannot be proven until the next checkpoint is published.
func (p Public) Seen(tenant, about string) (seen merkle.Seen, head merkle.HeadProof, err error) {
	err = p.view(func(s shown) error {
		slot, _, err := s.slot(tenant)
		if err != nil {
			return err
		}
		if s.Format < merkle.Format2 || s.heads == nil {
			return ErrNotCovered
		}
		seen, head = merkle.Seen{Tenant: tenant, Checkpoint: s.note}, s.heads[slot].Prove(about)
		if seen.Opening, err = s.directory.Open(slot); err != nil {
			return err
		}
		seen.Directory, err = merkle.ProveLast(p.globalTree(), s.Global)
		return err
	})
	return seen, head, err
}

// Tile returns a tile of a tenant's tree, hashes or entries, by its path. The second copy has no path here, because it
// contains what receipts withhold; see Events.
func (p Public) Tile(tenant, path string) (data []byte, err error) {
	t, err := merkle.ParsePath(path)
	if err != nil {
		return nil, err
	}
	err = p.view(func(s shown) error {
		_, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		if !within(t, tree.N) {
			return ErrNoTree
		}
		data, err = p.tenantTree(tenant).Read(path)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoTree
	}
	return data, err
}

// within reports whether a tile is one of a tree of that size.
func within(t tlog.Tile, size int64) bool { return t.N<<t.H+int64(t.W) <= size>>(t.H*max(t.L, 0)) }

// Receipt proves all events of one aggregate in order. about is the prefix of their subjects, and wanted are those of
// the stream up to the sequence read. It returns ErrNotCovered if the published checkpoint does not cover the last of
// them yet, and ErrNewer if it covers others that are not among them.
func (p Public) Receipt(
	ctx context.Context, tenant, about string, wanted []Wanted, read uint64,
) (file []byte, err error) {
	var r merkle.Receipt
	err = p.view(func(s shown) error {
		slot, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		if len(wanted) == 0 || wanted[len(wanted)-1].Sequence > s.Covered || s.heads == nil {
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
		from := p.tenantTree(tenant)
		events := make([]merkle.Wanted, len(wanted))
		for i, w := range wanted {
			n, err := merkle.Find(from, tree, w.Sequence)
			if err != nil {
				return err
			}
			events[i] = merkle.Wanted{TenantSequence: n, Withhold: w.Withhold}
		}
		if s.Format >= merkle.Format2 {
			r.Events, r.Proof, err = merkle.ProveTogether(from, tree, events)
		} else {
			r.Events, err = merkle.ProveEvents(from, tree, events)
		}
		if err != nil {
			return err
		}
		if r.Opening, err = s.directory.Open(slot); err != nil {
			return err
		}
		r.Directory, err = merkle.ProveLast(p.globalTree(), s.Global)
		return err
	})
	if err == nil && r.Proof != nil {
		stored := make([][]byte, len(r.Events))
		for i, e := range r.Events {
			stored[i] = e.Bytes
		}
		r.Writers, err = p.certificates(ctx, stored)
	}
	if err != nil {
		return nil, err
	}
	return r.Encode()
}
