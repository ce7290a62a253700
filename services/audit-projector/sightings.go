package projector

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap"
)

const (
	// sightEvery is the pause between two looks at what witnesses have cosigned, sightAgain that after an error.
	sightEvery = 500 * time.Millisecond
	sightAgain = 5 * time.Second
)

// sightings writes down what witnesses have seen of customers' keys, as far as a key or a demand waits for it (R42).
// Nobody believes the writer: each event proves itself, and whoever leaves one out only lets keys wait longer.
type sightings struct {
	public  ledger.Public
	journal *journal.Journal
	// customers are those of the projection; none while it is being built.
	customers func() map[string]*projection.Customer
	now       func() time.Time
	log       *zap.Logger
	// looked is what each customer's keys were compared with last: nothing comes of the same again.
	looked map[string]compared
}

// compared is a published checkpoint with its cosignatures, and how far keys had come.
type compared struct {
	checkpoint string
	version    uint64
}

func (s *sightings) run(ctx context.Context) {
	s.looked = map[string]compared{}
	for wait := sightEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = sightEvery
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("what witnesses have seen of keys is not written down yet", zap.Error(err))
			wait = sightAgain
		}
	}
}

// look writes down what helps now.
func (s *sightings) look(ctx context.Context) error {
	checkpoint, err := s.public.Checkpoint()
	if err != nil {
		return nil //nolint:nilerr // nothing was published yet
	}
	customers := s.customers()
	for _, tenant := range slices.Sorted(maps.Keys(customers)) {
		keys := customers[tenant].Keys
		now := compared{string(checkpoint), keys.Version}
		if !keys.Waits() || s.looked[tenant] == now {
			continue
		}
		if err := s.write(ctx, tenant); err != nil {
			return err
		}
		s.looked[tenant] = now
	}
	return nil
}

// write writes down what was published last about a tenant's keys, if it helps. If another copy of the projector, or
// somebody who changes keys, was faster, the projection will show it, and it is looked at again.
func (s *sightings) write(ctx context.Context, tenant string) error {
	seen, err := s.evidence(tenant)
	if seen == nil || err != nil {
		return err
	}
	entries, err := s.journal.LoadAtLeader(ctx, aggregate.Keys(tenant))
	if err != nil {
		return err
	}
	var keys keychain.State
	for _, e := range entries {
		keys = keychain.Evolve(keys, e.Seq, e.Event)
	}
	if !keys.Helps(seen) {
		return nil
	}
	e := keys.Follow(&lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: Name}, "", s.now())
	e.Fact = &lockboxv1.Event_KeysSighted{KeysSighted: seen}
	if err := repository.Identify(e); err != nil {
		return err
	}
	if _, err = s.journal.Append(ctx, keys.Sequence, e); errors.Is(err, journal.ErrConflict) {
		return nil
	}
	return err
}

// evidence is what was published last about a tenant's keys; nil if nothing can be proven yet.
func (s *sightings) evidence(tenant string) (*lockboxv1.KeysSighted, error) {
	seen, head, err := s.public.Seen(tenant, sighted.Subject(tenant))
	if errors.Is(err, ledger.ErrNotCovered) || errors.Is(err, ledger.ErrNone) || errors.Is(err, ledger.ErrNoTree) {
		return nil, nil //nolint:nilnil // the next checkpoint may
	}
	if err != nil {
		return nil, err
	}
	f := &lockboxv1.KeysSighted{LogKeys: s.public.PublicKey()}
	if f.Seen, err = json.Marshal(seen); err == nil {
		f.Head, err = json.Marshal(head)
	}
	return f, err
}
