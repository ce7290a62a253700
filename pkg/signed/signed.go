// Package signed implements how every stored event carries its writer's signature (R50): keys of writers and their
// certificates, the block at the end of a stored event, and the judgement of whether an event of the stream is signed
// as it has to be. The formats, and why they are so, are in pkg/merkle/FORMATS.md, section 1. It is pure.
//
// A writer has a [Signer]. It signs the events of one commit together: one signature, and in each event the path from
// it to what was signed. Whoever judges has a [Keyring], to which the stream's own facts about keys are added in order,
// and which trusts nothing but the deployment's verifier key, given by other means.
package signed

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/fact"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCommit is how many events may be signed together.
const MaxCommit = 1024

// MaxBlock is the size in bytes of the longest field that Sign appends: tag, length and block.
const MaxBlock = 2 + 2 + fixedSize + 10*tlog.HashSize

// KeyID names a writer's key: the first eight bytes of a hash over it.
type KeyID [8]byte

// IDOf returns the id of a public key.
func IDOf(key ed25519.PublicKey) KeyID {
	h := sha256.New()
	h.Write([]byte("lockbox/v1 writer key\n"))
	h.Write(key)
	return KeyID(h.Sum(nil)[:8])
}

func (id KeyID) String() string { return fmt.Sprintf("%x", id[:]) }

// Signer signs what one writer stores. It is safe for concurrent use.
type Signer struct {
	origin string
	writer fact.Writer
	key    ed25519.PrivateKey
	id     KeyID
}

// PublicOf returns the public half of a key.
func PublicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// NewSigner returns the signer of a writer of the deployment that is called origin. It fails for a key that is not one
// of Ed25519, and for names that cannot stand in a certificate.
func NewSigner(origin string, key ed25519.PrivateKey, writer fact.Writer) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("the writer's key: not an Ed25519 key")
	}
	if !isName(origin) || !isName(string(writer)) {
		return nil, fmt.Errorf("the names %q and %q: not names of a deployment and a writer", origin, writer)
	}
	return &Signer{origin, writer, key, IDOf(PublicOf(key))}, nil
}

// KeyID names the signer's key.
func (s *Signer) KeyID() KeyID { return s.id }

// Writer is whose signer it is.
func (s *Signer) Writer() fact.Writer { return s.writer }

// Unsigned is an event, or another message, before it is signed.
type Unsigned struct {
	// Subject is where it will be stored.
	Subject string
	// Previous is the hash of the content of the aggregate's version before ([Hash]); zero for version 1, and for what has
	// no version.
	Previous [sha256.Size]byte
	// Content is the encoded message, without a field 19.
	Content []byte
}

// Hash is the hash of a content, by which the aggregate's next version names it as its previous one.
func Hash(content []byte) [sha256.Size]byte { return sha256.Sum256(content) }

// Sign signs the messages of one commit, in the order in which they are stored, and returns their stored bytes: of each
// its content and one block. It fails for no message or more than [MaxCommit], and for content that is no message of
// protobuf or is signed already.
//
// The same commit signed again has the same bytes. A message that was signed in one commit keeps its bytes if it is
// sent again, alone or with others.
func (s *Signer) Sign(commit []Unsigned) (stored [][]byte, err error) {
	if len(commit) == 0 || len(commit) > MaxCommit {
		return nil, fmt.Errorf("a commit of %d messages: from 1 to %d are signed together", len(commit), MaxCommit)
	}
	leaves := make([]tlog.Hash, len(commit))
	for i, u := range commit {
		switch _, block, err := Content(u.Content); {
		case err != nil:
			return nil, err
		case block != nil:
			return nil, fmt.Errorf("the message on %s is signed already", u.Subject)
		case len(u.Subject) > maxText:
			return nil, fmt.Errorf("a subject of %d bytes: at most %d are signed", len(u.Subject), maxText)
		}
		leaves[i] = leaf(s.origin, u.Subject, u.Previous, Hash(u.Content))
	}
	root, paths := tree(leaves)
	signature := ed25519.Sign(s.key, statement(len(commit), root))
	stored = make([][]byte, len(commit))
	for i, u := range commit {
		b := block{key: s.id, previous: u.Previous, index: i, count: len(commit), path: paths[i], signature: signature}
		stored[i] = b.appendTo(u.Content)
	}
	return stored, nil
}

const maxText = 1<<16 - 1 // bytes

// leaf is the leaf of one message in the tree of its commit.
func leaf(origin, subject string, previous, content [sha256.Size]byte) tlog.Hash {
	entry := make([]byte, 0, 128+len(origin)+len(subject))
	entry = append(entry, "lockbox/v1 signed event\n"...)
	entry = appendText(appendText(entry, origin), subject)
	entry = append(append(entry, previous[:]...), content[:]...)
	return tlog.RecordHash(entry)
}

func appendText(to []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(s))), s...) // #nosec G115 -- checked by whoever calls
}

// statement is what a signature is over.
func statement(count int, root tlog.Hash) []byte {
	b := binary.BigEndian.AppendUint16([]byte("lockbox/v1 commit\n"), uint16(count)) // #nosec G115 -- at most MaxCommit
	return append(b, root[:]...)
}
