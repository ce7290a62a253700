package merkle

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
)

// Salts derives salts from the projector's secret. It is not safe for concurrent use.
type Salts struct{ mac hash.Hash }

// NewSalts returns the Salts of a secret of at least 32 random bytes, which must never change or be disclosed. A holder
// of the secret can test guesses about withheld events. Without it the trees cannot be rebuilt, only continued from the
// existing tiles.
func NewSalts(secret []byte) (*Salts, error) {
	if len(secret) < saltSize {
		return nil, errors.New("the secret for salts has fewer than 32 bytes")
	}
	return &Salts{hmac.New(sha256.New, secret)}, nil
}

func (s *Salts) derive(parts ...[]byte) Salt { return Salt(sum(s.mac, parts...)) }

// event returns the salt of an event. That of format 2 depends on the bytes: a backup that is restored and goes on
// differently would otherwise commit to two contents under one salt.
func (s *Salts) event(format uint8, tenant string, e Stored) Salt {
	if format == Format1 {
		return s.derive(event1SaltTag, u64(e.Sequence), []byte(tenant))
	}
	stored := sha256.Sum256(e.Bytes)
	return s.derive(event2SaltTag, u64(e.Sequence), prefixed(tenant), stored[:])
}

// place returns an event's stream sequence with the salt that hides it.
func (s *Salts) place(tenant string, sequence uint64) Place {
	return Place{sequence, s.derive(positionSaltTag, u64(sequence), prefixed(tenant))}
}

// slot returns the salt of a slot in the directory with that number. The tenant of an empty slot is empty.
func (s *Salts) slot(format uint8, directory, slot uint64, tenant string) Salt {
	if format == Format1 {
		return s.derive(slot1SaltTag, u64(directory), []byte(tenant))
	}
	return s.derive(slot2SaltTag, u64(directory), u64(slot), prefixed(tenant))
}

// leaf returns what the leaf of a tenant's next event says and what it commits to.
func (s *Salts) leaf(format uint8, tenant string, sequence uint64, e Stored) (Statement, Record) {
	is := Statement{Format: format, TenantSequence: sequence, Subject: e.Subject}
	record := Record{Salt: s.event(format, tenant, e), Bytes: e.Bytes}
	if format == Format1 {
		is.StreamSequence = e.Sequence
	} else {
		record.Place = s.place(tenant, e.Sequence)
		is.Position = record.Place.Position()
	}
	is.Commitment = Commit(format, record.Salt, e.Bytes)
	return is, record
}

// checkTenant returns an error for a name that no tenant can have.
func checkTenant(tenant string) error {
	if tenant == "" || len(tenant) > maxTenant {
		return fmt.Errorf("a tenant's name has 1 to %d bytes", maxTenant)
	}
	return nil
}
