package journaltest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/highwayhash"
	"github.com/openlockbox/lockbox/pkg/bus"
)

// The records of a server's block files: length, sequence and time, length of the subject, subject, what follows, and a
// checksum of all but the lengths.
const (
	recordHead, recordSum = 22, 8
	// headed marks the length of a record with headers, erased and tombstone the sequence of one that was overwritten, and
	// of a note that a message is gone.
	headed            = 1 << 31
	erased, tombstone = 1 << 63, 1 << 62
)

// Remove removes messages of EVENTS from the files of a stopped server, as the server itself would, which nobody can
// ask for: it notes that they are gone and, if securely, overwrites them. EVENTS has one file, which is not encrypted.
func (b *Bus) Remove(t testing.TB, server int, securely bool, sequences ...uint64) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(b.StoreDir(server), bus.StoreName, "*", "streams", bus.StreamEvents, "msgs",
		"*"))
	if err != nil {
		t.Fatal(err)
	}
	block := ""
	for _, name := range found {
		switch filepath.Base(name) {
		case "1.blk":
			block = name
		case "index.db": // which would be believed
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("EVENTS has more than one file: %s", name)
		}
	}
	data, err := os.ReadFile(block) // #nosec G304 -- a test's own file
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range sequences {
		data = removeFrom(t, data, sequence, securely)
	}
	if err := os.WriteFile(block, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func removeFrom(t testing.TB, data []byte, sequence uint64, securely bool) []byte {
	t.Helper()
	le := binary.LittleEndian
	for rest := data; len(rest) > 0; {
		length := le.Uint32(rest) &^ headed
		record := rest[:length]
		rest = rest[length:]
		if le.Uint64(record[4:]) != sequence {
			continue
		}
		if securely {
			le.PutUint32(record, length)
			le.PutUint64(record[4:], sequence|erased)
			le.PutUint64(record[12:], 0)
			le.PutUint16(record[20:], 0)
			_, _ = rand.Read(record[recordHead : length-recordSum])
			checksum(record)
		}
		note := make([]byte, recordHead+recordSum)
		le.PutUint32(note, recordHead+recordSum)
		le.PutUint64(note[4:], sequence|tombstone)
		checksum(note)
		return append(bytes.Clone(data), note...)
	}
	t.Fatalf("the file has no message %d", sequence)
	return nil
}

// checksum signs a record without subject and headers.
func checksum(record []byte) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-1", bus.StreamEvents))
	h, _ := highwayhash.New64(key[:])
	end := len(record) - recordSum
	_, _ = h.Write(record[4:20])
	_, _ = h.Write(record[recordHead:end])
	copy(record[end:], h.Sum(nil))
}
