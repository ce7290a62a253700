package merkle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/mldsa"
	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a log's statement about its tree (C2SP tlog-checkpoint). Ours has no extension lines.
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
	c, extension, err := parseCheckpoint(text)
	if err == nil && extension != "" {
		err = broken(Format, "not the three lines of a checkpoint")
	}
	return c, err
}

// parseCheckpoint parses the text of any log's checkpoint, and returns the lines after the third.
func parseCheckpoint(text string) (c Checkpoint, extension string, err error) {
	var parsed log.Checkpoint
	rest, err := parsed.Unmarshal([]byte(text))
	if err != nil || parsed.Size > maxTreeSize || len(parsed.Hash) != tlog.HashSize {
		return Checkpoint{}, "", broken(Format, "not the three lines of a checkpoint")
	}
	c = Checkpoint{parsed.Origin, tlog.Tree{N: int64(parsed.Size), Hash: tlog.Hash(parsed.Hash)}}
	extension = string(rest)
	if c.Text()+extension != text {
		return Checkpoint{}, "", broken(Format, "a checkpoint in another spelling")
	}
	if extension != "" && (!strings.HasSuffix(extension, "\n") || strings.Contains("\n"+extension, "\n\n")) {
		return Checkpoint{}, "", broken(Format, "an extension line that is empty or has no end")
	}
	return c, extension, nil
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

// TenantOrigin returns the origin of a tenant's tree in a log: the address of its tiles, if the log's origin is its
// own.
func TenantOrigin(log, tenant string) string { return log + "/tenants/" + tenant }

// SignTenant returns a checkpoint of a tenant's tree for readers of C2SP tlog-tiles, who know nothing of directories.
// It is signed by the log's keys under an origin of its own, so it is none of the global tree. Of itself it does not
// prove that anybody else is shown the tenant's slot with this tree: that takes the opening of the slot.
func SignTenant(log, tenant string, tree tlog.Tree, signers ...note.Signer) ([]byte, error) {
	if err := checkTree(tree); err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: Checkpoint{TenantOrigin(log, tenant), tree}.Text()}, signers...)
}

// unverified parses a signed note without verifying its signatures.
func unverified(signed []byte) (Checkpoint, *note.Note, error) {
	_, err := note.Open(signed, nil)
	var opened *note.UnverifiedNoteError
	if !errors.As(err, &opened) {
		return Checkpoint{}, nil, broken(Format, "the signed note: %v", err)
	}
	c, _, err := parseCheckpoint(opened.Note.Text)
	return c, opened.Note, err
}

// Cosigner is a witness's key for C2SP tlog-cosignature.
type Cosigner struct {
	vkey     string
	verifier note.Verifier
	// sign signs what a witness says at a time of the checkpoint with this text.
	sign func(text string, seconds uint64) ([]byte, error)
}

// NewCosigner returns the Cosigner of a witness with its name and Ed25519 key.
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
	return &Cosigner{vkey, verifier, func(text string, seconds uint64) ([]byte, error) {
		return ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, text)), nil
	}}, err
}

// NewMLDSACosigner returns the Cosigner of a witness with its name and the seed, of 32 bytes, of its ML-DSA-44 key. Its
// cosignatures do not cover extension lines, and names of witness and log have at most 255 bytes.
func NewMLDSACosigner(name string, seed []byte) (*Cosigner, error) {
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
	if err != nil {
		return nil, fmt.Errorf("not the seed of an ML-DSA-44 key: %w", err)
	}
	public := append([]byte{mldsa44}, key.PublicKey().Bytes()...)
	id := sha256.Sum256(slices.Concat([]byte(name+"\n"), public))
	vkey := fmt.Sprintf("%s+%x+%s", name, id[:4], base64.StdEncoding.EncodeToString(public))
	verifier, err := witnessKey(vkey)
	if err == nil && len(name) > mostName {
		err = fmt.Errorf("the name of a witness has at most %d bytes", mostName)
	}
	return &Cosigner{vkey, verifier, func(text string, seconds uint64) ([]byte, error) {
		c, _, err := parseCheckpoint(text)
		if err == nil && len(c.Origin) > mostName {
			err = fmt.Errorf("the name of a log has at most %d bytes", mostName)
		}
		if err != nil {
			return nil, err
		}
		message := append([]byte("subtree/v1\n\x00"), byte(len(name))) //nolint:gosec // G115: see mostName
		message = binary.BigEndian.AppendUint64(append(message, name...), seconds)
		message = append(append(message, byte(len(c.Origin))), c.Origin...) //nolint:gosec // G115: as above
		message = binary.BigEndian.AppendUint64(message, 0)
		message = binary.BigEndian.AppendUint64(message, uint64(c.Tree.N)) //nolint:gosec // G115: a size is not negative
		return key.Sign(nil, append(message, c.Tree.Hash[:]...), nil)
	}}, err
}

// mostName is the number of bytes that an ML-DSA-44 cosignature can name.
const mostName = 255

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
	signature, err := c.sign(string(text), uint64(seconds))
	return append(binary.BigEndian.AppendUint64(nil, uint64(seconds)), signature...), err
}
