// Package keystore keeps the keys of what can be erased (package erasable) in a stream of its own, KEYS. A page holds a
// person's key at a tenant, an address's there, or the keys of the texts of some events; a writer makes pages before it
// needs them, so that no event waits for one. Pages are encrypted with a secret that the bus does not have.
//
// A key is destroyed by storing the page without it, and then having the servers remove the page with it from their
// files. Of a page, the message that was stored first counts: whoever may add pages cannot replace one, or bring one
// back. Whoever remembers keys forgets them within seconds. The stream is not part of any backup of the events: a
// backup of it would bring back what was erased, and has an end of its own.
package keystore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	rememberedPages = 4096
	// fewLeft is how many keys of texts are left when the next page is made.
	fewLeft = 16
	// forgetAfter is how often it is asked whether keys were destroyed: what was is remembered for no longer than that.
	forgetAfter = 5 * time.Second
	timeout     = 5 * time.Second
	// attempts is how often a page is tried to be stored that others store as well.
	attempts = 10
	// generations is how many keys one owner had at a tenant, at most.
	generations = 1000
	// atOnce is how many pages are stored anew at a time.
	atOnce = 16
)

// Store gives out keys, and opens what they encrypted. It is safe for concurrent use.
type Store struct {
	js     jetstream.JetStream
	secret Secret
	log    *zap.Logger

	pages *cache.Cache[erasable.PageID, *page]
	// forgot counts how often everything was forgotten.
	forgot atomic.Uint64
	// proven means that the secret is that of the store's pages.
	proven atomic.Bool

	mu sync.Mutex
	// texts are keys that no text has yet, the next one last; more are being made while making is not nil.
	texts  []erasable.KeyID
	making chan struct{}
	stream jetstream.Stream
	forget []func()
}

// New returns the store behind a connection. Until ctx ends, or the connection is closed, it looks whether keys were
// destroyed.
func New(ctx context.Context, nc *nats.Conn, secret Secret, log *zap.Logger) (*Store, error) {
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	s := &Store{js: js, secret: secret, log: log, pages: cache.New[erasable.PageID, *page](rememberedPages)}
	go s.watch(ctx)
	return s, nil
}

// Seal returns an event with what can be erased of it encrypted. It is UNAVAILABLE if there is no key to be had.
func (s *Store) Seal(ctx context.Context, e *lockboxv1.Event) (*lockboxv1.Event, error) {
	if !erasable.Touches(e) {
		return e, nil
	}
	sealed := proto.CloneOf(e)
	var text *erasable.KeyID
	err := erasable.Seal(sealed, func(o erasable.Owner) (id erasable.KeyID, key erasable.Key, err error) {
		switch {
		case !o.Text():
			id, err = s.ownerKey(ctx, e.GetTenant(), o)
		case text == nil:
			if id, err = s.textKey(ctx); err == nil {
				text = &id
			}
		default:
			id = *text
		}
		if err != nil {
			return id, key, err
		}
		return s.inUse(ctx, id)
	})
	return sealed, err
}

// inUse returns a key that was just given out.
func (s *Store) inUse(ctx context.Context, id erasable.KeyID) (erasable.KeyID, erasable.Key, error) {
	key, standing, err := s.key(ctx, id)
	if err == nil && standing != erasable.Readable {
		err = refusal.Unavailable("", "I11", "a key of the key store has just been destroyed")
	}
	return id, key, err
}

// Open decrypts what is encrypted of an event, in place. It is UNAVAILABLE if the store cannot be asked for a key.
func (s *Store) Open(ctx context.Context, e *lockboxv1.Event) error {
	return erasable.Open(e, func(id erasable.KeyID) (erasable.Key, erasable.Standing, error) { return s.key(ctx, id) })
}

func (s *Store) key(ctx context.Context, id erasable.KeyID) (key erasable.Key, standing erasable.Standing, err error) {
	p, err := s.page(ctx, id.Page)
	switch {
	case err != nil:
		return key, erasable.Unknown, err
	case p == nil || int(id.Place) >= len(p.places):
		s.log.Error("a key is missing from the key store, and was not destroyed", zap.Binary("key", id.Bytes()))
		return key, erasable.Unknown, nil
	case p.places[id.Place] == nil:
		return key, erasable.Destroyed, nil
	}
	return *p.places[id.Place], erasable.Readable, nil
}

// page returns a page as it is now; nil if there is none.
func (s *Store) page(ctx context.Context, id erasable.PageID) (*page, error) {
	if p, known := s.pages.Get(id); known {
		return p, nil
	}
	forgot := s.forgot.Load()
	p, err := s.load(ctx, id)
	if p == nil || err != nil {
		return nil, err
	}
	s.pages.Put(id, p)
	if s.forgot.Load() != forgot {
		s.pages.Clear() // it may have been read before what was to be forgotten
	}
	return p, nil
}

// load reads a page from the stream's leader; nil if there is none. A page that was damaged has no keys.
func (s *Store) load(ctx context.Context, id erasable.PageID) (*page, error) {
	m, err := s.next(ctx, 1, bus.KeyPageFilter(nameOf(id)))
	if m == nil || err != nil {
		return nil, err
	}
	p, err := s.read(m)
	if err == nil {
		return p, nil
	}
	if err := s.prove(ctx, false); err != nil {
		return nil, err
	}
	s.log.Error("a page of the key store was damaged", zap.String("page", nameOf(id)), zap.Error(err))
	return &page{id: id, sequence: m.Sequence}, nil
}

// read decrypts a stored page.
func (s *Store) read(m *jetstream.RawStreamMsg) (*page, error) {
	p, err := pageAt(m.Subject)
	if err == nil {
		p.sequence = m.Sequence
		err = s.secret.decrypt(p, m.Data)
	}
	return p, err
}

// ErrOtherSecret means that the secret is not the one with which the pages of the store are encrypted. Nothing is read
// or written with it.
var ErrOtherSecret = errors.New("the key store's pages are encrypted with another secret than the one that is " +
	"configured (erasure.secret_file): all services need the same")

// checkPage is a page without keys, the first one that is stored: whoever reads it has the store's secret.
var checkPage erasable.PageID

// Check looks whether the store can be used: it is ErrOtherSecret with another secret, and UNAVAILABLE if the store
// does not answer or is not there.
func (s *Store) Check(ctx context.Context) error { return s.prove(ctx, false) }

// prove returns ErrOtherSecret unless the secret is the store's. Whoever is about to store a page may find that there
// is no secret yet, and this becomes the store's.
func (s *Store) prove(ctx context.Context, begin bool) error {
	for !s.proven.Load() {
		m, err := s.next(ctx, 1, bus.KeyPageFilter(nameOf(checkPage)))
		switch {
		case err != nil:
			return err
		case m != nil:
			if _, err := s.read(m); err != nil {
				return ErrOtherSecret
			}
			s.proven.Store(true)
		case !begin:
			if m, err = s.next(ctx, 1, ">"); m != nil && err == nil {
				err = ErrOtherSecret // or its first page is lost, which is no better
			}
			return err
		default:
			if err := s.store(ctx, &page{id: checkPage}, 0); err != nil && !errors.Is(err, errTaken) {
				return err
			}
		}
	}
	return nil
}

// next returns the first message under a filter from a sequence on; nil if there is none.
func (s *Store) next(ctx context.Context, from uint64, filter string) (*jetstream.RawStreamMsg, error) {
	return s.ask(ctx, func(ctx context.Context, stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
	})
}

// ask asks the stream's leader for a message; nil if there is none.
func (s *Store) ask(
	ctx context.Context, question func(context.Context, jetstream.Stream) (*jetstream.RawStreamMsg, error),
) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stream, err := s.keys(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	m, err := question(ctx, stream)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return m, nil
}

func (s *Store) keys(ctx context.Context) (jetstream.Stream, error) {
	s.mu.Lock()
	known := s.stream
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	stream, err := s.js.Stream(ctx, bus.StreamKeys)
	if err == nil {
		s.mu.Lock()
		s.stream = stream
		s.mu.Unlock()
	}
	return stream, err
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the key store does not answer"), err)
}

// errTaken means that another version of the page was stored first.
var errTaken = errors.New("keystore: the place is taken")

// store stores a version of a page, if the last one of it has that sequence; 0: if there is none.
func (s *Store) store(ctx context.Context, p *page, last uint64) error {
	data, err := s.secret.encrypt(p)
	if err != nil {
		return err
	}
	p.sequence, err = s.publish(ctx, bus.KeyPageSubject(nameOf(p.id), p.version), data,
		jetstream.WithExpectLastSequenceForSubject(last, bus.KeyPageFilter(nameOf(p.id))))
	return err
}

func (s *Store) publish(
	ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt,
) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ack, err := s.js.Publish(ctx, subject, data, options...)
	var refused *jetstream.APIError
	switch {
	case errors.As(err, &refused) && slices.Contains(taken, refused.ErrorCode):
		return 0, fmt.Errorf("%w: %w", errTaken, err)
	case err != nil:
		return 0, unavailable(err)
	}
	return ack.Sequence, nil
}

// taken are the answers that say that another message was first: the subject already has its one message, the last one
// under the filter is another, or somebody's is just being stored.
var taken = []jetstream.ErrorCode{10077, 10071, 10164}

// ownerKey returns the key of an owner at a tenant, and makes one if there is none that was not destroyed.
func (s *Store) ownerKey(ctx context.Context, tenant string, o erasable.Owner) (id erasable.KeyID, err error) {
	for generation := range uint32(generations) {
		id.Page = s.secret.pageOf(tenant, o, generation)
		p, err := s.page(ctx, id.Page)
		if p == nil && err == nil {
			p, err = s.makePage(ctx, id.Page, 1)
		}
		if err != nil {
			return id, err
		}
		if len(p.places) == 1 && p.places[0] != nil {
			return id, nil
		}
	}
	return id, refusal.Unavailable("", "I11", "the key store has no key left for somebody")
}

// makePage stores a page of so many new keys, or returns the one that another writer stored meanwhile.
func (s *Store) makePage(ctx context.Context, id erasable.PageID, keys int) (*page, error) {
	if err := s.prove(ctx, true); err != nil {
		return nil, err
	}
	p, err := newPage(id, keys)
	if err != nil {
		return nil, err
	}
	for attempt := range attempts {
		why := s.store(ctx, p, 0)
		if !errors.Is(why, errTaken) {
			return p, why
		}
		if stored, err := s.load(ctx, id); stored != nil || err != nil {
			return stored, err
		}
		// On a cluster, what another leader was about to store may keep the place for a moment.
		s.log.Warn("the key store does not take a page", zap.Int("attempt", attempt+1), zap.Error(why))
		if err := pause(ctx, time.Duration(attempt+1)*10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, refusal.Unavailable("", "I11", "the key store does not take a page")
}

func pause(ctx context.Context, long time.Duration) error {
	select {
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-time.After(long):
		return nil
	}
}

// textKey returns a key that no text has yet.
func (s *Store) textKey(ctx context.Context) (erasable.KeyID, error) {
	for {
		s.mu.Lock()
		if len(s.texts) <= fewLeft && s.making == nil {
			s.making = make(chan struct{})
			go s.makeTexts(context.WithoutCancel(ctx), s.making)
		}
		if n := len(s.texts); n > 0 {
			id := s.texts[n-1]
			s.texts = s.texts[:n-1]
			s.mu.Unlock()
			return id, nil
		}
		made := s.making
		s.mu.Unlock()
		select {
		case <-made:
		case <-ctx.Done():
			return erasable.KeyID{}, unavailable(ctx.Err())
		}
		s.mu.Lock()
		none := len(s.texts) == 0 && s.making == nil
		s.mu.Unlock()
		if none {
			return erasable.KeyID{}, refusal.Unavailable("", "I11", "the key store gives out no key")
		}
	}
}

// makeTexts makes a page of keys for texts.
func (s *Store) makeTexts(ctx context.Context, made chan struct{}) {
	var p *page
	var id erasable.PageID
	_, err := rand.Read(id[:])
	if err == nil {
		p, err = s.makePage(ctx, id, placesOfTexts)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.pages.Put(id, p)
		fresh := make([]erasable.KeyID, placesOfTexts, placesOfTexts+len(s.texts))
		for i := range fresh {
			fresh[i] = erasable.KeyID{Page: id, Place: uint8(placesOfTexts - 1 - i)}
		}
		s.texts = append(fresh, s.texts...)
	} else {
		s.log.Warn("no page for keys of texts", zap.Error(err))
	}
	s.making = nil
	close(made)
}
