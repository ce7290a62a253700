package merkle

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

var add = flag.Bool("add", false, "write golden files that are not there; existing ones are never written again")

// golden compares with a frozen file. Receipts are kept for years and trees for ever, so that no later version may make
// or read anything otherwise.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && *add {
		must(t, os.WriteFile(path, got, 0o644))
		return
	}
	must(t, err)
	if string(want) != string(got) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

func TestEncodingsAreFrozen(t *testing.T) {
	s := story(t)
	var out strings.Builder
	say := func(name string, data []byte) { fmt.Fprintf(&out, "%-21s %s\n", name, hex.EncodeToString(data)) }
	said, record := s.salts.leaf(Format1, "bank", 2, s.stream[2])
	salt, commitment, statement := record.Salt, said.Commitment, said.Append(nil)
	leaf, directory := tlog.RecordHash(statement), s.directory.Entry()
	slotSalt := s.salts.slot(Format1, 3, 1, "bank")
	say("event salt", salt[:])
	say("event commitment", commitment[:])
	say("statement", statement)
	say("statement's leaf hash", leaf[:])
	say("slot salt", slotSalt[:])
	say("slot entry", slotEntry(Format1, slotSalt, 1, TenantTree{Tenant: "bank", Tree: s.trees["bank"]}))
	say("directory entry", directory)
	golden(t, "encodings.txt", []byte(out.String()))
	golden(t, "checkpoint.txt", s.signed)
	golden(t, "policy.txt", []byte(policyText(t, "2")))
}

func TestTilesAreFrozen(t *testing.T) {
	s := story(t)
	var out strings.Builder
	for _, path := range sorted(s.stores["bank"]) {
		fmt.Fprintf(&out, "bank/%s\n%x\n", path, s.stores["bank"][path])
	}
	for _, path := range sorted(s.globalStore) {
		fmt.Fprintf(&out, "%s\n%x\n", path, s.globalStore[path])
	}
	golden(t, "tiles.txt", []byte(out.String()))
}

func TestAReceiptIsFrozen(t *testing.T) {
	golden(t, "receipt.json", encoded(t, storyReceipt(story(t))))
	text, err := os.ReadFile(filepath.Join("testdata", "policy.txt"))
	must(t, err)
	file, err := os.ReadFile(filepath.Join("testdata", "receipt.json"))
	must(t, err)
	p, err := ParsePolicy(text)
	must(t, err)
	if _, err := verifiedProofs(file, p); err != nil {
		t.Error(err)
	}
}
