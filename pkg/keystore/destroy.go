package keystore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// OwnerKeys returns the keys that a person or an address has at a tenant and that were not destroyed.
func (s *Store) OwnerKeys(ctx context.Context, tenant string, o erasable.Owner) (ids []erasable.KeyID, err error) {
	for generation := range uint32(generations) {
		page := s.secret.pageOf(tenant, o, generation)
		p, err := s.load(ctx, page)
		if err != nil {
			return nil, err
		}
		if p == nil {
			break
		}
		for place, key := range p.places {
			if key != nil {
				ids = append(ids, erasable.KeyID{Page: page, Place: uint8(place)})
			}
		}
	}
	return ids, nil
}

// Left returns those of the keys that were not destroyed yet: that are in any stored version of their page.
func (s *Store) Left(ctx context.Context, ids []erasable.KeyID) (left []erasable.KeyID, err error) {
	for _, id := range ids {
		versions, err := s.versions(ctx, id.Page)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(versions, func(p *page) bool { return p.has(id.Place) }) {
			left = append(left, id)
		}
	}
	return left, nil
}

// versions returns all stored versions of a page, in the order in which they were stored. What cannot be read has no
// keys, and version -1.
func (s *Store) versions(ctx context.Context, id erasable.PageID) (versions []*page, err error) {
	for from := uint64(1); ; {
		m, err := s.next(ctx, from, bus.KeyPageFilter(nameOf(id)))
		if m == nil || err != nil {
			return versions, err
		}
		p, err := s.read(m)
		if err != nil {
			if err := s.prove(ctx, false); err != nil {
				return nil, err
			}
			p = &page{id: id, version: -1, sequence: m.Sequence}
		}
		versions, from = append(versions, p), m.Sequence+1
	}
}

// Destroy destroys keys for an erasure, and returns how many were still there. Afterwards the servers give none of them
// to anybody, not even in older versions of their pages. Their files have none of them, but for what they remove every
// few minutes. It can be repeated, after an error or after a restored backup.
func (s *Store) Destroy(ctx context.Context, erasure string, ids ...erasable.KeyID) (destroyed int, err error) {
	pages := map[erasable.PageID][]uint8{}
	var order []erasable.PageID
	for _, id := range ids {
		if pages[id.Page] == nil {
			order = append(order, id.Page)
		}
		pages[id.Page] = append(pages[id.Page], id.Place)
	}
	for _, id := range order {
		n, err := s.renew(ctx, id, pages[id], false)
		destroyed += n
		if err != nil {
			return destroyed, err
		}
	}
	if _, err := s.note(ctx, erasure); err != nil {
		return destroyed, err
	}
	s.Forget()
	return destroyed, s.rewrite(ctx)
}

// note stores that keys were destroyed.
func (s *Store) note(ctx context.Context, name string) (sequence uint64, err error) {
	sequence, err = s.publish(ctx, bus.KeysDestroyedSubject(name), nil)
	if errors.Is(err, errTaken) {
		return 0, nil
	}
	return sequence, err
}

// renew takes keys off a page, and deletes all versions of it that have them. Of a page that has none of them it stores
// a new version only if that is wanted.
func (s *Store) renew(ctx context.Context, id erasable.PageID, places []uint8, anyway bool) (struck int, err error) {
	for range attempts {
		versions, err := s.versions(ctx, id)
		if err != nil || len(versions) == 0 {
			return 0, err // if it is lost, there is nothing to destroy
		}
		newest := slices.MaxFunc(versions, func(a, b *page) int { return a.version - b.version })
		var stored []uint64
		for _, p := range versions {
			stored = append(stored, p.sequence)
		}
		struck = 0
		for _, place := range places {
			if newest.has(place) {
				newest.places[place] = nil
				struck++
			}
		}
		if newest.version >= 0 && (struck > 0 || anyway) {
			newest.version++
			err := s.store(ctx, newest, stored[len(stored)-1])
			if errors.Is(err, errTaken) {
				continue // another copy does the same
			}
			if err != nil {
				return 0, err
			}
		}
		for _, sequence := range stored {
			if sequence == newest.sequence {
				continue // it is as it should be
			}
			if err := s.remove(ctx, sequence, !anyway); err != nil {
				return struck, err
			}
		}
		return struck, nil
	}
	return 0, refusal.Unavailable("", "I11", "the key store does not take a page")
}

// remove has the servers delete a message. With a key on it that was destroyed, they overwrite it where they can, which
// writes its file anew.
func (s *Store) remove(ctx context.Context, sequence uint64, overwrite bool) error {
	_, err := s.ask(ctx, func(ctx context.Context, stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		remove := stream.DeleteMsg
		if overwrite {
			remove = stream.SecureDeleteMsg
		}
		if err := remove(ctx, sequence); err != nil {
			_, gone := stream.GetMsg(ctx, sequence)
			return nil, cmp.Or(gone, err)
		}
		return nil, nil
	})
	return err
}

const (
	// blockSize is the size of a file of messages of this stream: that of a bucket of keys and values.
	blockSize = 4 << 20
	// fillerSize is the size of a message that is stored for its size. It fits into the largest with its headers.
	fillerSize = bus.MaxKeyMessage - 1<<10
)

// rewrite stores everything anew and deletes what was there, so that the servers remove all files that held a key that
// was destroyed. Where they encrypt what they store, they do not overwrite a message that is deleted: it stays in its
// file, encrypted, until nothing else is in the file or most of it was deleted. (Nats-server 2.15.2,
// fileStore.removeMsg and syncBlocks.) It takes three milliseconds a page on two busy cores.
func (s *Store) rewrite(ctx context.Context) error {
	// No file that holds something from before these also holds something from after them.
	var fill errgroup.Group
	fill.SetLimit(atOnce)
	for range blockSize/fillerSize + 1 {
		fill.Go(func() error {
			_, err := s.publish(ctx, bus.KeyFillerSubject(uuid.NewString()), make([]byte, fillerSize))
			return err
		})
	}
	if err := fill.Wait(); err != nil {
		return err
	}
	until, err := s.note(ctx, uuid.NewString()) // so that the older notes are not needed any more
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for from := uint64(1); ; {
		m, err := s.next(ctx, from, ">")
		if err != nil || m == nil || m.Sequence >= until {
			return errors.Join(err, g.Wait())
		}
		from = m.Sequence + 1
		g.Go(func() error {
			if p, err := pageAt(m.Subject); err == nil {
				_, err := s.renew(ctx, p.id, nil, true)
				return err
			}
			return s.remove(ctx, m.Sequence, false)
		})
	}
}

// watch forgets what it knows whenever keys were destroyed.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTicker(forgetAfter)
	defer tick.Stop()
	var noted uint64 // the last note's sequence, which is smaller in a store that was made anew
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m, err := s.ask(ctx, func(ctx context.Context, stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
			return stream.GetLastMsgForSubject(ctx, bus.AnyKeysDestroyed)
		})
		if err != nil {
			if ctx.Err() != nil || s.js.Conn().IsClosed() {
				return
			}
			// Whoever cannot ask shall not go on showing what may have been erased.
			s.log.Warn("whether keys were destroyed is not known", zap.Error(err))
			s.pages.Clear()
			continue
		}
		var last uint64
		if m != nil {
			last = m.Sequence
		}
		if last != noted {
			noted = last
			s.Forget()
		}
	}
}

// Forget forgets all keys, and has whoever uses the store forget what was read with them.
func (s *Store) Forget() {
	s.forgot.Add(1)
	s.pages.Clear()
	s.mu.Lock()
	forget := slices.Clone(s.forget)
	s.mu.Unlock()
	for _, f := range forget {
		f()
	}
}

// OnForget has a function called after keys were destroyed, wherever that was: what was read with them is to be read
// anew. It is called within seconds.
func (s *Store) OnForget(forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget = append(s.forget, forget)
}
