package merkle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// Salts derives salts from the projector's secret. It is not safe for concurrent use.
type Salts struct {
	mac  hash.Hash
	text []byte // scratch
}

// NewSalts returns the Salts of a secret of at least 32 random bytes, which must never change or be disclosed. A holder
// of the secret can test guesses about withheld events. Without it the trees cannot be rebuilt, only continued from the
// existing tiles.
func NewSalts(secret []byte) (*Salts, error) {
	if len(secret) < saltSize {
		return nil, errors.New("the secret for salts has fewer than 32 bytes")
	}
	return &Salts{mac: hmac.New(sha256.New, secret)}, nil
}

// begin begins a text from which a salt is derived.
func (s *Salts) begin(tag []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(s.text[:0], tag...), number)
}

func (s *Salts) derive(text []byte) Salt {
	s.text = text
	return Salt(sum(s.mac, text))
}

// named appends a tenant's name and, before it, its length, which is at most maxTenant.
func named(text []byte, tenant string) []byte {
	return append(binary.BigEndian.AppendUint16(text, uint16(len(tenant))), tenant...) //nolint:gosec // G115: see above
}

// event returns the salt of an event. That of format 2 depends on the bytes: a backup that is restored and goes on
// differently would otherwise commit to two contents under one salt.
func (s *Salts) event(format uint8, tenant string, e Stored) Salt {
	if format == Format1 {
		return s.derive(append(s.begin(event1SaltTag, e.Sequence), tenant...))
	}
	stored := sha256.Sum256(e.Bytes)
	return s.derive(append(named(s.begin(event2SaltTag, e.Sequence), tenant), stored[:]...))
}

// place returns an event's stream sequence with the salt that hides it.
func (s *Salts) place(tenant string, sequence uint64) Place {
	return Place{sequence, s.derive(named(s.begin(positionSaltTag, sequence), tenant))}
}

// slot returns the salt of a slot in the directory with that number. The tenant of an empty slot is empty.
func (s *Salts) slot(format uint8, directory, slot uint64, tenant string) Salt {
	if format == Format1 {
		return s.derive(append(s.begin(slot1SaltTag, directory), tenant...))
	}
	return s.derive(named(binary.BigEndian.AppendUint64(s.begin(slot2SaltTag, directory), slot), tenant))
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
