package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/mod/sumdb/tlog"
)

// The formats of leaves and directories (FORMATS.md). A log changes from the first to the second at a checkpoint, and
// never back.
const (
	Format1 = 1
	Format2 = 2
)

const (
	saltSize   = 32
	maxSubject = 4 << 10   // bytes; more than the bus accepts, and an entry must be shorter than 64 KiB
	maxTenant  = 256       // bytes
	maxStored  = 1<<24 - 1 // bytes of one event; far more than the bus accepts
	maxNumber  = 1 << 53   // a stream sequence is less, so that no reader of JSON loses a digit of it
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
	// Format is Format1 or Format2.
	Format         uint8
	TenantSequence uint64
	// StreamSequence is in statements of format 1 only; it tells how many events the other tenants have.
	StreamSequence uint64
	// Position commits to the stream sequence; only in statements of format 2.
	Position tlog.Hash
	// Commitment commits to the stored bytes.
	Commitment tlog.Hash
	Subject    string
}

// Check returns an error for a statement that no event can have.
func (s Statement) Check() error {
	switch {
	case s.Format == Format1 && (s.StreamSequence == 0 || s.TenantSequence == 0):
		return errors.New("sequences count from 1")
	case s.Format == Format1 && s.TenantSequence > s.StreamSequence:
		return errors.New("a tenant has no more events than the stream")
	case s.Format == Format1 && s.Position != tlog.Hash{}, s.Format == Format2 && s.StreamSequence != 0:
		return errors.New("it shows the stream sequence or commits to it, as its format says")
	case s.Format == Format2 && (s.TenantSequence == 0 || s.TenantSequence > maxTreeSize):
		return errors.New("tenant sequences count from 1 to 2^48")
	case s.Format != Format1 && s.Format != Format2:
		return fmt.Errorf("there is no format %d", s.Format)
	case s.Subject == "" || len(s.Subject) > maxSubject:
		return errors.New("a subject has 1 to 4096 bytes")
	}
	return nil
}

// Append appends the statement's only valid encoding to data.
func (s Statement) Append(data []byte) []byte {
	data = append(data, s.Format)
	if s.Format == Format1 {
		data = binary.BigEndian.AppendUint64(data, s.StreamSequence)
	}
	data = binary.BigEndian.AppendUint64(data, s.TenantSequence)
	if s.Format == Format2 {
		data = append(data, s.Position[:]...)
	}
	data = append(data, s.Commitment[:]...)
	return append(data, s.Subject...)
}

// ParseStatement parses an entry of a tenant's tree.
func ParseStatement(entry []byte) (Statement, error) {
	const head1, head2 = 1 + 8 + 8 + tlog.HashSize, 1 + 8 + tlog.HashSize + tlog.HashSize
	var s Statement
	switch {
	case len(entry) > head1 && entry[0] == Format1:
		s = Statement{
			Format: Format1, StreamSequence: binary.BigEndian.Uint64(entry[1:]),
			TenantSequence: binary.BigEndian.Uint64(entry[9:]), Commitment: tlog.Hash(entry[17:head1]),
			Subject: string(entry[head1:]),
		}
	case len(entry) > head2 && entry[0] == Format2:
		s = Statement{
			Format: Format2, TenantSequence: binary.BigEndian.Uint64(entry[1:]), Position: tlog.Hash(entry[9:41]),
			Commitment: tlog.Hash(entry[41:head2]), Subject: string(entry[head2:]),
		}
	default:
		return Statement{}, broken(Format, "not a statement of format 1 or 2, or too short")
	}
	if err := s.Check(); err != nil {
		return Statement{}, broken(Format, "%v", err)
	}
	return s, nil
}

// Place is the stream sequence of an event with the salt that hides it in the statement's Position.
type Place struct {
	Sequence uint64
	Salt     Salt
}

// Position returns the commitment to the place. Who runs the log shows a Place to an auditor who must see that a
// tenant's events are in the order of the stream.
func (p Place) Position() tlog.Hash {
	var text [64]byte
	data := append(append(text[:0], positionTag...), p.Salt[:]...)
	return sha256.Sum256(binary.BigEndian.AppendUint64(data, p.Sequence))
}

func (p Place) check() error {
	if p.Sequence == 0 || p.Sequence >= maxNumber {
		return errors.New("stream sequences count from 1 and are less than 2^53")
	}
	return nil
}

// Commit returns the commitment to an event's stored bytes in statements of a format.
func Commit(format uint8, salt Salt, stored []byte) tlog.Hash {
	tag := event2Tag
	if format == Format1 {
		tag = event1Tag
	}
	return sum(sha256.New(), tag, salt[:], stored)
}

var (
	event1Tag       = []byte("lockbox/v1 event\n")
	event1SaltTag   = []byte("lockbox/v1 event salt\n")
	slot1SaltTag    = []byte("lockbox/v1 slot salt\n")
	event2Tag       = []byte("lockbox/v2 event\n")
	positionTag     = []byte("lockbox/v2 position\n")
	event2SaltTag   = []byte("lockbox/v2 event salt\n")
	positionSaltTag = []byte("lockbox/v2 position salt\n")
	slot2SaltTag    = []byte("lockbox/v2 slot salt\n")
)

func sum(h hash.Hash, parts ...[]byte) (result tlog.Hash) {
	h.Reset()
	for _, part := range parts {
		_, _ = h.Write(part) // a hash.Hash never fails
	}
	h.Sum(result[:0])
	return result
}
