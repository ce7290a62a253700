package merkle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	version    = 0x01
	saltSize   = 32
	maxSubject = 4 << 10  // bytes; more than the bus accepts, and an entry must be shorter than 64 KiB
	maxTenant  = 256      // bytes
	maxStored  = 16 << 20 // bytes of one event; far more than the bus accepts
)

// Salt hides the content of a commitment from anyone who does not have the salt.
type Salt [saltSize]byte

// Stored is an event as stored in the stream.
type Stored struct {
	Sequence uint64
	Subject  string
	Bytes    []byte
}

// Statement is what a leaf of a tenant's tree says about an event.
type Statement struct {
	StreamSequence, TenantSequence uint64
	Commitment                     tlog.Hash
	Subject                        string
}

// Check returns an error for a statement that no event can have.
func (s Statement) Check() error {
	switch {
	case s.StreamSequence == 0 || s.TenantSequence == 0:
		return errors.New("sequences count from 1")
	case s.TenantSequence > s.StreamSequence:
		return errors.New("a tenant has no more events than the stream")
	case s.Subject == "" || len(s.Subject) > maxSubject:
		return errors.New("a subject has 1 to 4096 bytes")
	}
	return nil
}

// Append appends the statement's only valid encoding to data.
func (s Statement) Append(data []byte) []byte {
	data = append(data, version)
	data = binary.BigEndian.AppendUint64(data, s.StreamSequence)
	data = binary.BigEndian.AppendUint64(data, s.TenantSequence)
	data = append(data, s.Commitment[:]...)
	return append(data, s.Subject...)
}

// ParseStatement parses an entry of a tenant's tree.
func ParseStatement(entry []byte) (Statement, error) {
	const head = 1 + 8 + 8 + tlog.HashSize
	if len(entry) <= head || entry[0] != version {
		return Statement{}, broken(Format, "not a statement of version 1")
	}
	s := Statement{
		StreamSequence: binary.BigEndian.Uint64(entry[1:]),
		TenantSequence: binary.BigEndian.Uint64(entry[9:]),
		Commitment:     tlog.Hash(entry[17:head]),
		Subject:        string(entry[head:]),
	}
	if err := s.Check(); err != nil {
		return Statement{}, broken(Format, "%v", err)
	}
	return s, nil
}

// Commit returns the commitment to an event's stored bytes.
func Commit(salt Salt, stored []byte) tlog.Hash {
	return sum(sha256.New(), eventTag, salt[:], stored)
}

var (
	eventTag     = []byte("lockbox/v1 event\n")
	eventSaltTag = []byte("lockbox/v1 event salt\n")
	slotSaltTag  = []byte("lockbox/v1 slot salt\n")
)

func sum(h hash.Hash, parts ...[]byte) (result tlog.Hash) {
	h.Reset()
	for _, part := range parts {
		_, _ = h.Write(part) // a hash.Hash never fails
	}
	h.Sum(result[:0])
	return result
}

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

func (s *Salts) event(tenant string, sequence uint64) Salt {
	return s.derive(eventSaltTag, sequence, tenant)
}

func (s *Salts) slot(tenant string, number uint64) Salt { return s.derive(slotSaltTag, number, tenant) }

func (s *Salts) derive(tag []byte, number uint64, tenant string) Salt {
	var bytes [8]byte
	binary.BigEndian.PutUint64(bytes[:], number)
	return Salt(sum(s.mac, tag, bytes[:], []byte(tenant)))
}
