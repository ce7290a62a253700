// Package keystore keeps the keys of what can be erased (package erasable) in a stream of its own, KEYS. A page holds a
// person's key at a tenant, an address's there, or the keys of the texts of some events; a writer makes pages before it
// needs them, so that no event waits for one. Pages are encrypted with a secret that the bus does not have.
//
// A key is destroyed by storing the page without it, and then having the servers overwrite the page with it. Whoever
// remembers keys forgets them within seconds. The stream is not part of any backup of the events: a backup of it would
// bring back what was erased, and has an end of its own.
package keystore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
)

// Store gives out keys, and opens what they encrypted. It is safe for concurrent use.
type Store struct {
	js     jetstream.JetStream
	secret Secret
	log    *zap.Logger

	pages  *cache.Cache[erasable.PageID, *page]
	owners *cache.Cache[ownerAt, erasable.KeyID]
	// noted is the sequence of the last note that keys were destroyed.
	noted atomic.Uint64

	mu sync.Mutex
	// texts are keys that no text has yet; next is being made while making is not nil.
	texts  []erasable.KeyID
	making chan struct{}
	stream jetstream.Stream
	forget []func()
}

type ownerAt struct {
	tenant string
	owner  erasable.Owner
}

// New returns the store behind a connection. Until ctx ends it looks whether keys were destroyed.
func New(ctx context.Context, nc *nats.Conn, secret Secret, log *zap.Logger) (*Store, error) {
	js, err := bus.JetStream(nc)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	s := &Store{js: js, secret: secret, log: log,
		pages:  cache.New[erasable.PageID, *page](rememberedPages),
		owners: cache.New[ownerAt, erasable.KeyID](rememberedPages)}
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

// page returns the newest version of a page; nil if there is none.
func (s *Store) page(ctx context.Context, id erasable.PageID) (*page, error) {
	if p, known := s.pages.Get(id); known {
		return p, nil
	}
	noted := s.noted.Load()
	p, err := s.load(ctx, id)
	if err == nil && p != nil && s.noted.Load() == noted {
		s.pages.Put(id, p)
	}
	return p, err
}

// load reads the newest version of a page from the stream's leader; nil if there is none.
func (s *Store) load(ctx context.Context, id erasable.PageID) (*page, error) {
	p := &page{id: id}
	m, err := s.last(ctx, bus.KeyPageFilter(p.name()))
	if m == nil || err != nil {
		return nil, err
	}
	p.sequence = m.Sequence
	if p.version, err = bus.ParseKeyPageSubject(m.Subject); err == nil {
		err = s.secret.decrypt(p, m.Data)
	}
	if err != nil {
		return nil, refusal.Unavailable("", "I11", "page %s of the key store cannot be read: %v", p.name(), err)
	}
	return p, nil
}

// last returns the last message under a filter; nil if there is none.
func (s *Store) last(ctx context.Context, filter string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stream, err := s.keys(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, filter)
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

// store stores a page.
func (s *Store) store(ctx context.Context, p *page) error {
	data, err := s.secret.encrypt(p)
	if err != nil {
		return err
	}
	ack, err := s.publish(ctx, bus.KeyPageSubject(p.name(), p.version), data)
	if err != nil {
		return err
	}
	p.sequence = ack.Sequence
	return nil
}

func (s *Store) publish(ctx context.Context, subject string, data []byte) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ack, err := s.js.Publish(ctx, subject, data)
	var refused *jetstream.APIError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == codeSubjectTaken:
		return nil, errTaken
	case err != nil:
		return nil, unavailable(err)
	}
	return ack, nil
}

// codeSubjectTaken: the subject already has its one message.
const codeSubjectTaken jetstream.ErrorCode = 10077

// ownerKey returns the key of an owner at a tenant, and makes one if there is none that was not destroyed.
func (s *Store) ownerKey(ctx context.Context, tenant string, o erasable.Owner) (id erasable.KeyID, err error) {
	at := ownerAt{tenant, o}
	if id, known := s.owners.Get(at); known {
		return id, nil
	}
	for generation := uint32(0); generation < generations; {
		page := s.secret.pageOf(tenant, o, generation)
		p, err := s.page(ctx, page)
		if err != nil {
			return id, err
		}
		if p == nil {
			if p, err = newPage(page, 1); err == nil {
				err = s.store(ctx, p)
			}
			if errors.Is(err, errTaken) {
				continue // by another writer, whose key it is then
			}
			if err != nil {
				return id, err
			}
			s.pages.Put(page, p)
		}
		if len(p.places) == 1 && p.places[0] != nil {
			id.Page = page
			s.owners.Put(at, id)
			return id, nil
		}
		generation++
	}
	return id, refusal.Unavailable("", "I11", "the key store has no key left for somebody")
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
	var id erasable.PageID
	_, err := rand.Read(id[:])
	var p *page
	if err == nil {
		p, err = newPage(id, placesOfTexts)
	}
	if err == nil {
		err = s.store(ctx, p)
	}
	if err == nil {
		s.pages.Put(id, p)
	} else {
		s.log.Warn("no page for keys of texts", zap.Error(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		for place := range placesOfTexts {
			s.texts = append([]erasable.KeyID{{Page: id, Place: uint8(place)}}, s.texts...)
		}
	}
	s.making = nil
	close(made)
}
