package merkle

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// Whatever is read comes from somebody else. What a parser takes, it writes again as it was.

func FuzzStatement(f *testing.F) {
	commitment := Commit(Format1, Salt{1}, []byte("x"))
	f.Add(Statement{Format1, 2, 3, tlog.Hash{}, commitment, "subject"}.Append(nil))
	f.Add(Statement{Format2, 2, 0, Place{3, Salt{2}}.Position(), commitment, "subject"}.Append(nil))
	f.Fuzz(func(t *testing.T, entry []byte) {
		if s, err := ParseStatement(entry); err == nil && !bytes.Equal(s.Append(nil), entry) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add(appendEntry(appendEntry(nil, []byte("one")), nil))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		entries, err := Entries(bundle)
		var again []byte
		for _, e := range entries {
			again = appendEntry(again, e)
		}
		if err == nil && !bytes.Equal(again, bundle) {
			t.Errorf("%q", entries)
		}
	})
}

func FuzzRecords(f *testing.F) {
	one := Record{Salt{1}, Place{}, []byte("one")}
	f.Add(Record{}.Append(one.Append(nil)))
	f.Add(Record{Salt{2}, Place{7, Salt{3}}, []byte("two")}.Append(one.Append(nil)))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		records, err := Records(bundle)
		var again []byte
		for _, r := range records {
			again = r.Append(again)
		}
		if err == nil && !bytes.Equal(again, bundle) {
			t.Errorf("%v", records)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/8")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := ParsePath(path); err == nil && Path(tile) != path {
			t.Errorf("%+v", tile)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(Checkpoint{origin, EmptyTree()}.Text())
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCheckpoint(text); err == nil && c.Text() != text {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzOpen(f *testing.F) {
	signed := signedBy(f, Checkpoint{origin, EmptyTree()}, "alpha", "beta", "gamma")
	f.Add(signed)
	all := policy(f, "all")
	f.Fuzz(func(t *testing.T, other []byte) {
		// Only the order of the signatures, and signatures of strangers, are free.
		if s, err := all.Open(other); err == nil && s.Tree != EmptyTree() {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(policyText(f, "2")))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := ParsePolicy(text); err == nil && (p.Quorum() < 0 || p.Quorum() > len(p.witnesses)) {
			t.Errorf("%d of %d", p.Quorum(), len(p.witnesses))
		}
	})
}

func FuzzReceipt(f *testing.F) {
	all := policy(f, "all")
	want := map[string]Report{}
	for format, name := range map[string]string{receiptFormat1: "receipt.json", receiptFormat2: "receipt-v2.json"} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		must(f, err)
		f.Add(file)
		want[format], err = verifiedProofs(file, all)
		must(f, err)
	}
	f.Fuzz(func(t *testing.T, other []byte) {
		r, err := ParseReceipt(other)
		if err != nil {
			return
		}
		if again, err := r.Encode(); err != nil || !bytes.Equal(again, other) {
			t.Errorf("%v\n%s", err, again)
		}
		// Bytes may be withheld and the last events left out, signatures stand in another order, and strangers may have
		// signed as well; nothing else.
		got, err := verifiedProofs(other, all)
		if err != nil {
			return
		}
		want := want[r.Format]
		if got.Tenant != want.Tenant || got.About != want.About || got.Tree != want.Tree || got.Head != want.Head ||
			len(got.Events) > len(want.Events) {
			t.Fatalf("taken:\n%s", other)
		}
		for i, e := range got.Events {
			is := want.Events[i]
			if e.StreamSequence != is.StreamSequence || e.TenantSequence != is.TenantSequence || e.Subject != is.Subject ||
				!e.Withheld && !bytes.Equal(e.Bytes, is.Bytes) {
				t.Fatalf("taken:\n%s", other)
			}
		}
	})
}
