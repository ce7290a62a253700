package merkle

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a log's statement about its tree (C2SP tlog-checkpoint), without extension lines.
type Checkpoint struct {
	Origin string
	Tree   tlog.Tree
}

// Text returns the text of the checkpoint's note.
func (c Checkpoint) Text() string {
	return string(log.Checkpoint{Origin: c.Origin, Size: uint64(c.Tree.N), Hash: c.Tree.Hash[:]}.Marshal()) //nolint:gosec // G115: a size is not negative
}

// ParseCheckpoint parses the text of a checkpoint's note, exactly as Text writes it.
func ParseCheckpoint(text string) (Checkpoint, error) {
	var parsed log.Checkpoint
	_, err := parsed.Unmarshal([]byte(text)) // the rest would be extension lines, which Text never writes
	if err != nil || parsed.Size > maxTreeSize || len(parsed.Hash) != tlog.HashSize {
		return Checkpoint{}, broken(Format, "not the three lines of a checkpoint")
	}
	c := Checkpoint{parsed.Origin, tlog.Tree{N: int64(parsed.Size), Hash: tlog.Hash(parsed.Hash)}}
	if c.Text() != text {
		return Checkpoint{}, broken(Format, "a checkpoint in another spelling")
	}
	return c, nil
}

// Sign returns the signed note of a checkpoint. The signers' name must be the origin.
func Sign(c Checkpoint, signers ...note.Signer) ([]byte, error) {
	for _, signer := range signers {
		if c.Origin != signer.Name() {
			return nil, fmt.Errorf("the key is %q, the log %q", signer.Name(), c.Origin)
		}
	}
	if err := checkTree(c.Tree); err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: c.Text()}, signers...)
}

// unverified parses a signed note without verifying its signatures.
func unverified(signed []byte) (Checkpoint, *note.Note, error) {
	_, err := note.Open(signed, nil)
	var opened *note.UnverifiedNoteError
	if !errors.As(err, &opened) {
		return Checkpoint{}, nil, broken(Format, "the signed note: %v", err)
	}
	c, err := ParseCheckpoint(opened.Note.Text)
	return c, opened.Note, err
}

// Cosigner is a witness's key for C2SP tlog-cosignature v1.
type Cosigner struct {
	key      ed25519.PrivateKey
	vkey     string
	verifier note.Verifier
}

// NewCosigner returns the Cosigner of a witness with its name and key.
func NewCosigner(name string, key ed25519.PrivateKey) (*Cosigner, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("not an Ed25519 key")
	}
	public := ed25519.PublicKey(key[ed25519.SeedSize:])
	plain, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, err
	}
	vkey, err := cosignature.VKeyToCosignatureV1(plain)
	if err != nil {
		return nil, err
	}
	verifier, err := witnessKey(vkey)
	return &Cosigner{key, vkey, verifier}, err
}

// VerifierKey returns the public key in the format used in policies.
func (c *Cosigner) VerifierKey() string { return c.vkey }

// Cosign adds the witness's cosignature to a signed note. The witness must already have verified the log's signature,
// and that the tree grew from the last one it saw.
func (c *Cosigner) Cosign(signed []byte, at time.Time) ([]byte, error) {
	_, opened, err := unverified(signed)
	if err != nil {
		return nil, err
	}
	return note.Sign(opened, cosigning{c, at})
}

// Line returns the cosignature alone, as a tlog-witness responds.
func (c *Cosigner) Line(signed []byte, at time.Time) ([]byte, error) {
	cosigned, err := c.Cosign(signed, at)
	if err != nil {
		return nil, err
	}
	last := bytes.LastIndexByte(cosigned[:len(cosigned)-1], '\n') // signatures are added at the end
	return cosigned[last+1:], nil
}

type cosigning struct {
	*Cosigner
	at time.Time
}

func (c cosigning) Name() string    { return c.verifier.Name() }
func (c cosigning) KeyHash() uint32 { return c.verifier.KeyHash() }

func (c cosigning) Sign(text []byte) ([]byte, error) {
	seconds := c.at.Unix()
	if seconds < 0 {
		return nil, errors.New("a cosignature is not from before 1970")
	}
	signature := ed25519.Sign(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, text))
	return append(binary.BigEndian.AppendUint64(nil, uint64(seconds)), signature...), nil
}

// witnessKey parses a witness's public key, name+hash+key, of the type for Ed25519 cosignatures.
func witnessKey(vkey string) (note.Verifier, error) {
	verifier, err := cosignature.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("witness key %q: %w", vkey, err)
	}
	const ed25519Cosignature = 0x04
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || key[0] != ed25519Cosignature || parts[1] != fmt.Sprintf("%08x", verifier.KeyHash()) {
		return nil, fmt.Errorf("witness key %q: not one for Ed25519 cosignatures, or with another key's hash", vkey)
	}
	return verifier, nil
}
