package keystore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
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
				ids = append(ids, erasable.KeyID{Page: page, Place: uint8(place)}) //nolint:gosec // G115: one
			}
		}
	}
	return ids, nil
}

// Left returns those of the keys that were not destroyed yet.
func (s *Store) Left(ctx context.Context, ids []erasable.KeyID) (left []erasable.KeyID, err error) {
	for _, id := range ids {
		p, err := s.load(ctx, id.Page)
		if err != nil {
			return nil, err
		}
		if p != nil && int(id.Place) < len(p.places) && p.places[id.Place] != nil {
			left = append(left, id)
		}
	}
	return left, nil
}

// Destroy destroys keys for an erasure, and returns how many were still there. Afterwards the servers have none of
// them, not even in older versions of their pages. It can be repeated, after an error or after a restored backup.
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
		n, err := s.strike(ctx, id, pages[id])
		destroyed += n
		if err != nil {
			return destroyed, err
		}
	}
	if _, err = s.publish(ctx, bus.KeysDestroyedSubject(erasure), nil); errors.Is(err, errTaken) {
		err = nil
	}
	if err == nil {
		s.Forget()
	}
	return destroyed, err
}

// strike takes keys off a page, and deletes the versions of it that have them.
func (s *Store) strike(ctx context.Context, id erasable.PageID, places []uint8) (struck int, err error) {
	for range attempts {
		p, err := s.load(ctx, id)
		if err != nil {
			return 0, err
		}
		if p == nil {
			return 0, nil // lost, and nothing to destroy
		}
		for _, place := range places {
			if int(place) < len(p.places) && p.places[place] != nil {
				p.places[place] = nil
				struck++
			}
		}
		if struck > 0 {
			p.version++
			if err := s.store(ctx, p); errors.Is(err, errTaken) {
				struck = 0
				continue // another copy does the same
			} else if err != nil {
				return 0, err
			}
		}
		return struck, s.deleteBefore(ctx, p)
	}
	return 0, refusal.Unavailable("", "I11", "the key store does not take a page")
}

// deleteBefore has the servers overwrite all versions of a page before this one.
func (s *Store) deleteBefore(ctx context.Context, p *page) error {
	ctx, cancel := context.WithTimeout(ctx, 4*timeout)
	defer cancel()
	stream, err := s.keys(ctx)
	if err != nil {
		return unavailable(err)
	}
	for version := p.version - 1; version >= 0; version-- {
		m, err := stream.GetLastMsgForSubject(ctx, bus.KeyPageSubject(p.name(), version))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil {
			err = stream.SecureDeleteMsg(ctx, m.Sequence)
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return unavailable(err)
		}
	}
	return nil
}

// watch forgets what it knows whenever keys were destroyed.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTicker(forgetAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m, err := s.last(ctx, bus.AnyKeysDestroyed)
		if err != nil {
			if ctx.Err() == nil {
				// Whoever cannot ask shall not go on showing what may have been erased.
				s.log.Warn("whether keys were destroyed is not known", zap.Error(err))
				s.pages.Clear()
			}
			continue
		}
		if m != nil && m.Sequence > s.noted.Load() {
			s.noted.Store(m.Sequence)
			s.Forget()
		}
	}
}

// Forget forgets all keys, and has whoever uses the store forget what was read with them.
func (s *Store) Forget() {
	s.pages.Clear()
	s.owners.Clear()
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
