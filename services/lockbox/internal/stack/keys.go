package stack

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"go.uber.org/zap"
)

// makeWriters makes the keys with which events are signed. The deployment's key lies beside them, unlike in a
// deployment of several machines: whoever has this machine has all of them.
func (s *Stack) makeWriters() error {
	_, err := s.writers().Make(bus.Identities())
	return err
}

func (s *Stack) writers() writerkeys.Maker {
	return writerkeys.Maker{Dir: s.keysDir(), Origin: LogName, Now: time.Now()}
}

// Writer returns the key with which an identity signs; nil if it signs nothing.
func (s *Stack) Writer(id bus.Identity) (*writerkeys.Keys, error) {
	if s.config.Unsigned || !slices.Contains(writerkeys.Writers([]bus.Identity{id}), id) {
		return nil, nil //nolint:nilnil // there is none
	}
	keys, err := writerkeys.In(s.keysDir(), id)
	return &keys, err
}

// Details is the option by which a journal encrypts and decrypts as the services do, until ctx ends.
func (s *Stack) Details(ctx context.Context, nc *nats.Conn) (journal.Option, error) {
	keys, err := keystore.New(ctx, nc, s.secret, zap.NewNop())
	return journal.WithDetails(keys), err
}

func (s *Stack) keysDir() string { return filepath.Join(s.config.Dir, "keys") }
