package signed

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// field is the number of the field in which a message holds its block.
	field = 19
	// blockVersion is the first byte of a block.
	blockVersion = 0x01
	// fixedSize is the size in bytes of a block without a path.
	fixedSize = 1 + len(KeyID{}) + sha256.Size + 2 + 2 + ed25519.SignatureSize
)

// tag is how field 19 begins.
var tag = protowire.AppendTag(nil, field, protowire.BytesType)

// What can be wrong with stored bytes.
var (
	errNoMessage = errors.New("its bytes are no message")
	errMisplaced = errors.New("its field 19 is not at its end, or not in the one form that it may have")
)

// Content splits stored bytes into what was signed and the block at their end; block is nil if there is none, and empty
// if there is an empty one. It looks only for where the block is; a Keyring judges it. It fails for bytes that are no
// message of protobuf, and for a field 19 that is not at the end, is there twice, or has another form than this one.
func Content(stored []byte) (content, block []byte, err error) {
	for rest := stored; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, nil, errNoMessage
		}
		if number == field {
			if content, block, err = cut(stored, len(stored)-len(rest)); err != nil {
				return nil, nil, err
			}
			return content, block, nil
		}
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if size < 0 {
			return nil, nil, errNoMessage
		}
		rest = rest[n+size:]
	}
	return stored, nil, nil
}

// cut splits stored bytes at the field that begins there: it has the shortest form, and is the last.
func cut(stored []byte, at int) (content, block []byte, err error) {
	rest := stored[at:]
	if len(rest) <= len(tag) || !slices.Equal(rest[:len(tag)], tag) {
		return nil, nil, errMisplaced
	}
	size, n := protowire.ConsumeVarint(rest[len(tag):])
	if n < 0 || n != protowire.SizeVarint(size) || size != uint64(len(rest)-len(tag)-n) { //nolint:gosec // G115: not negative
		return nil, nil, errMisplaced
	}
	return stored[:at:at], rest[len(tag)+n:], nil
}

// block is a signature block.
type block struct {
	key          KeyID
	previous     [sha256.Size]byte
	index, count int
	path         []tlog.Hash
	signature    []byte
}

// appendTo returns a content with the block after it.
func (b block) appendTo(content []byte) []byte {
	size := fixedSize + len(b.path)*tlog.HashSize
	stored := make([]byte, 0, len(content)+len(tag)+2+size)
	stored = append(append(stored, content...), tag...)
	stored = protowire.AppendVarint(stored, uint64(size)) // #nosec G115 -- a few hundred
	stored = append(append(append(stored, blockVersion), b.key[:]...), b.previous[:]...)
	stored = binary.BigEndian.AppendUint16(stored, uint16(b.index)) // #nosec G115 -- below MaxCommit
	stored = binary.BigEndian.AppendUint16(stored, uint16(b.count)) // #nosec G115 -- at most MaxCommit
	for _, h := range b.path {
		stored = append(stored, h[:]...)
	}
	return append(stored, b.signature...)
}

// KeyIn returns the id of the key that stored bytes name as their signer's; false if they have no signature of the form
// that one has. It judges nothing.
func KeyIn(stored []byte) (id KeyID, signed bool) {
	_, data, err := Content(stored)
	if err != nil {
		return id, false
	}
	b, ok := parseBlock(data)
	return b.key, ok
}

// parseBlock reads a block; false if it has another form, or an index that its commit does not have.
func parseBlock(data []byte) (b block, ok bool) {
	if len(data) < fixedSize || (len(data)-fixedSize)%tlog.HashSize != 0 || data[0] != blockVersion {
		return b, false
	}
	take := func(n int) (part []byte) {
		part, data = data[:n:n], data[n:]
		return part
	}
	take(1)
	b.key, b.previous = KeyID(take(len(b.key))), [sha256.Size]byte(take(sha256.Size))
	b.index, b.count = int(binary.BigEndian.Uint16(take(2))), int(binary.BigEndian.Uint16(take(2)))
	for len(data) > ed25519.SignatureSize {
		b.path = append(b.path, tlog.Hash(take(tlog.HashSize)))
	}
	b.signature = data
	return b, b.index < b.count && b.count <= MaxCommit
}
