package invariant

import (
	"crypto/sha256"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
)

// Signatures is I14 over a stream: each event is signed by the identity that may write it, once signing has begun, and
// follows the event that it was written to follow.
type Signatures struct {
	keys *signed.Keyring
	// before are the hashes of the contents of the last events that passed.
	before map[aggregate.Key][sha256.Size]byte
}

// NewSignatures judges under a deployment's key. It adds to the keyring what the stream says of writers' keys.
func NewSignatures(keys *signed.Keyring) *Signatures {
	return &Signatures{keys, map[aggregate.Key][sha256.Size]byte{}}
}

// Next says what is wrong with the signature of the next message of the stream; empty if nothing is, or if the message
// cannot be an event, which others find. Messages are given in stream order, from the first.
func (s *Signatures) Next(m Stored) (what string) {
	of, tail := split(m.Subject)
	e, broken := readEvent(of, tail, m.Bytes)
	if broken != "" {
		return ""
	}
	before := func() ([sha256.Size]byte, error) { return s.before[of], nil }
	at := signed.Message{Sequence: m.Sequence, Subject: m.Subject, Stored: m.Bytes, Event: e}
	if err := s.keys.Check(at, before); err != nil {
		return err.Error()
	}
	if err := s.keys.Add(e, m.Sequence); err != nil {
		return err.Error()
	}
	if e.GetVersion() > 0 {
		s.pass(of, m.Bytes)
	}
	return ""
}

func (s *Signatures) pass(of aggregate.Key, stored []byte) {
	content, _, err := signed.Content(stored)
	if err != nil {
		content = stored // from before signing began
	}
	if _, known := s.before[of]; !known {
		of = aggregate.Key{Tenant: strings.Clone(of.Tenant), Kind: strings.Clone(of.Kind), ID: strings.Clone(of.ID)}
	}
	s.before[of] = signed.Hash(content)
}

// Refuse has Check treat a message as one that is no event, because its writer has not signed it (I14).
func (b *Book) Refuse(sequence uint64, what string) {
	if b.refused == nil {
		b.refused = map[uint64]string{}
	}
	b.refused[sequence] = what
}

// rule is the invariant that a message breaks which is no event.
func (b *Book) rule(l line) string {
	if b.refused[l.sequence] != "" {
		return "I14"
	}
	return "I6"
}
