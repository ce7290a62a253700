package merkle

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func TestAReceiptSaysWhatIsProven(t *testing.T) {
	s := story(t)
	got, err := verifiedProofs(encoded(t, storyReceipt(s)), policy(t, "2"))
	must(t, err)
	want := Report{
		Tenant: "bank", About: "test.bank.request.r1",
		Events: []Proven{
			{StreamSequence: 3, TenantSequence: 2, Subject: "test.bank.request.r1.1.Happened",
				Bytes: []byte("bank r1 version 1")},
			{StreamSequence: 6, TenantSequence: 4, Subject: "test.bank.request.r1.2.Happened", Withheld: true},
			{StreamSequence: 9, TenantSequence: 7, Subject: "test.bank.request.r1.3.Happened",
				Bytes: []byte("bank r1 version 3")},
		},
		Slot: 1, Tree: s.trees["bank"],
		Signed: Signed{
			Checkpoint: Checkpoint{origin, s.tree},
			Cosigned:   []Cosigned{{"alpha", noon}, {"beta", noon.Add(1e9)}, {"gamma", noon.Add(2e9)}},
			Quorum:     noon.Add(1e9),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReceiptsOfEveryTenantAndSize(t *testing.T) {
	inEachFormat(t, testReceiptsOfEveryTenantAndSize)
}

func testReceiptsOfEveryTenantAndSize(t *testing.T, format uint8) {
	s := newSampleIn(t, format)
	tenants := []string{"_", "bank", "clinic", "depot", "estate"}
	for round := 1; round <= 9; round++ {
		for i, tenant := range tenants[:min(round, len(tenants))] {
			for range 1 + (round+i)%3 {
				s.event(tenant, "other", 1, nil)
			}
			s.event(tenant, "r1", 1, []byte{byte(round)})
		}
		s.checkpoint()
		for _, tenant := range s.order {
			r := s.receipt(tenant, "r1", shown(uint64(s.trees[tenant].N))...)
			if _, err := verifiedProofs(encoded(t, r), policy(t, "all")); err != nil {
				t.Fatalf("round %d, %s: %v", round, tenant, err)
			}
		}
	}
}

// TestWhatIsWrongIsNamed changes one thing after another in a valid receipt.
func TestWhatIsWrongIsNamed(t *testing.T) {
	flip := func(hashes []tlog.Hash) []tlog.Hash {
		hashes = slices.Clone(hashes)
		hashes[0][7] ^= 1
		return hashes
	}
	s := story(t)
	for name, row := range map[string]struct {
		part   Part
		change func(*Receipt)
	}{
		"a byte of an event":       {Content, func(r *Receipt) { r.Events[0].Bytes[3] ^= 1 }},
		"an event's bytes emptied": {Content, func(r *Receipt) { r.Events[0].Bytes = nil }},
		"the salt of an event":     {Content, func(r *Receipt) { r.Events[0].Salt[0] ^= 1 }},
		"bytes and their commitment": {Event,
			func(r *Receipt) {
				e := &r.Events[0]
				e.Bytes[3] ^= 1
				e.Commitment = Commit(Format1, Salt(*e.Salt), e.Bytes)
			}},
		"a withheld commitment":  {Event, func(r *Receipt) { r.Events[1].Commitment[0] ^= 1 }},
		"a stream sequence":      {Event, func(r *Receipt) { r.Events[1].StreamSequence++ }},
		"a tenant sequence":      {Event, func(r *Receipt) { r.Events[1].TenantSequence++ }},
		"a tenant sequence of 0": {Format, func(r *Receipt) { r.Events[0].TenantSequence = 0 }},
		"a tenant sequence beyond": {Event,
			func(r *Receipt) { r.Events[2].TenantSequence = 9; r.Events[2].StreamSequence = 100 }},
		"an event's type": {Event,
			func(r *Receipt) { r.Events[0].Subject = "test.bank.request.r1.1.Approved" }},
		"an event's proof":     {Event, func(r *Receipt) { r.Events[0].Proof = flip(r.Events[0].Proof) }},
		"an event's proof cut": {Event, func(r *Receipt) { r.Events[0].Proof = r.Events[0].Proof[1:] }},
		"an event's proof prolonged": {Event,
			func(r *Receipt) { r.Events[0].Proof = append(r.Events[0].Proof, tlog.Hash{}) }},
		"a proof without end":           {Format, func(r *Receipt) { r.Events[0].Proof = make([]tlog.Hash, 65) }},
		"another event's proof":         {Event, func(r *Receipt) { r.Events[0].Proof = r.Events[1].Proof }},
		"the first event left out":      {Order, func(r *Receipt) { r.Events = r.Events[1:] }},
		"a middle event left out":       {Order, func(r *Receipt) { r.Events = slices.Delete(r.Events, 1, 2) }},
		"all events left out":           {Order, func(r *Receipt) { r.Events = r.Events[:0] }},
		"two events exchanged":          {Order, func(r *Receipt) { r.Events[0], r.Events[1] = r.Events[1], r.Events[0] }},
		"an event twice":                {Order, func(r *Receipt) { r.Events = append(r.Events, r.Events[2]) }},
		"another request":               {Order, func(r *Receipt) { r.About = "test.bank.request.r" }},
		"about everything":              {Order, func(r *Receipt) { r.About = "" }},
		"another tenant":                {Slot, func(r *Receipt) { r.Tenant = "clinic" }},
		"no tenant":                     {Slot, func(r *Receipt) { r.Tenant = "" }},
		"the tenant's size":             {Slot, func(r *Receipt) { r.Opening.Size-- }},
		"a size below zero":             {Format, func(r *Receipt) { r.Opening.Size = -1 }},
		"the tenant's root":             {Slot, func(r *Receipt) { r.Opening.Root[0] ^= 1 }},
		"the slot":                      {Slot, func(r *Receipt) { r.Opening.Slot++ }},
		"a slot beyond":                 {Slot, func(r *Receipt) { r.Opening.Slot = 4 }},
		"a slot below zero":             {Format, func(r *Receipt) { r.Opening.Slot = -1 }},
		"the slots doubled":             {Slot, func(r *Receipt) { r.Opening.Slots *= 2 }},
		"the slots, the proof as short": {Global, func(r *Receipt) { r.Opening.Slots-- }},
		"the salt of the slot":          {Slot, func(r *Receipt) { r.Opening.Salt[0] ^= 1 }},
		"the directory":                 {Slot, func(r *Receipt) { r.Opening.Directory[0] ^= 1 }},
		"the proof of the slot":         {Slot, func(r *Receipt) { r.Opening.Proof = flip(r.Opening.Proof) }},
		"no proof of the slot":          {Slot, func(r *Receipt) { r.Opening.Proof = []tlog.Hash{} }},
		"the proof of the directory":    {Global, func(r *Receipt) { r.Directory = flip(r.Directory) }},
		"no proof of the directory":     {Global, func(r *Receipt) { r.Directory = []tlog.Hash{} }},
		"proofs missing":                {Format, func(r *Receipt) { r.Directory = nil }},
		"the size in the checkpoint": {LogSignature,
			func(r *Receipt) { r.Checkpoint = strings.Replace(r.Checkpoint, "\n4\n", "\n5\n", 1) }},
		"another log": {LogSignature, func(r *Receipt) { r.Checkpoint = "x" + r.Checkpoint }},
		"no signature of the log": {LogSignature,
			func(r *Receipt) { r.Checkpoint = withoutSignature(r.Checkpoint, "— "+origin) }},
		"a cosignature less": {Cosignatures,
			func(r *Receipt) { r.Checkpoint = withoutSignature(r.Checkpoint, "— beta") }},
		"a signature twice": {Format,
			func(r *Receipt) { r.Checkpoint += signatureOf(r.Checkpoint, "— beta") + "\n" }},
		"a note without its end":     {Format, func(r *Receipt) { r.Checkpoint = strings.TrimSuffix(r.Checkpoint, "\n") }},
		"shown and withheld":         {Format, func(r *Receipt) { r.Events[0].Withheld = true }},
		"neither shown nor withheld": {Format, func(r *Receipt) { r.Events[1].Withheld = false }},
	} {
		t.Run(name, func(t *testing.T) {
			r := storyReceipt(s)
			salt := *r.Events[0].Salt
			r.Events[0].Bytes, r.Events[0].Salt = bytes.Clone(r.Events[0].Bytes), &salt
			row.change(&r)
			_, err := verifiedProofs(encoded(t, r), policy(t, "all"))
			wantBroken(t, err, row.part)
		})
	}
}

func signatureOf(signed, prefix string) string {
	for line := range strings.Lines(signed) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

func withoutSignature(signed, prefix string) string {
	return strings.Replace(signed, signatureOf(signed, prefix)+"\n", "", 1)
}

func TestOneSpelling(t *testing.T) { inEachFormat(t, testOneSpelling) }

func testOneSpelling(t *testing.T, format uint8) {
	file := string(encoded(t, storyReceipt(storyIn(t, format))))
	replace := func(old, by string) string {
		t.Helper()
		if !strings.Contains(file, old) {
			t.Fatalf("no %q in the receipt", old)
		}
		return strings.Replace(file, old, by, 1)
	}
	for name, other := range map[string]string{
		"empty":                  "",
		"null":                   "null\n",
		"another version":        replace("lockbox-receipt/v", "lockbox-receipt/v0"),
		"a space":                replace(`"tenant":`, `"tenant" :`),
		"a field in capitals":    replace(`"tenant"`, `"Tenant"`),
		"an unknown field":       replace("{\n", "{\n  \"note\": \"\",\n"),
		"a field twice":          replace(`  "tenant": "bank",`, "  \"tenant\": \"bank\",\n  \"tenant\": \"bank\","),
		"an escaped letter":      replace(`"bank"`, `"\u0062ank"`),
		"the announced number":   replace(`"count": 3`, `"count": 2`),
		"a number as a fraction": replace(`"count": 3`, `"count": 3.0`),
		"without the last line":  strings.TrimSuffix(file, "\n"),
		"something after it":     file + "{}",
		"spaces after it":        file + " ",
		"cut":                    file[:len(file)/2],
	} {
		_, err := verifiedProofs([]byte(other), policy(t, "2"))
		if t.Run(name, func(t *testing.T) { wantBroken(t, err, Format, Order) }); t.Failed() {
			t.Log(name)
		}
	}
}

// TestEverySingleChangeIsRefused makes 10,000 changes in each format: of a bit, a byte, a line, or of a bit of what a
// text of the receipt stands for, under a policy that demands all its cosignatures.
func TestEverySingleChangeIsRefused(t *testing.T) { inEachFormat(t, testEverySingleChangeIsRefused) }

func testEverySingleChangeIsRefused(t *testing.T, format uint8) {
	s := storyIn(t, format)
	file := encoded(t, storyReceipt(s))
	all := policy(t, "all")
	alphabet := []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\"{}[],:. \n\\-")
	rapid.Check(t, func(rt *rapid.T) { // 100 times 100
		for range 100 {
			changed := bytes.Clone(file)
			at := rapid.IntRange(0, len(file)-1).Draw(rt, "at")
			lines := bytes.SplitAfter(file, []byte("\n"))
			i, j := rapid.IntRange(0, len(lines)-1).Draw(rt, "line"), rapid.IntRange(0, len(lines)-1).Draw(rt, "other line")
			switch rapid.IntRange(0, 6).Draw(rt, "kind") {
			case 0:
				changed[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
			case 1:
				changed[at] = rapid.SampledFrom(alphabet).Draw(rt, "byte")
			case 2:
				changed = slices.Delete(changed, at, at+1)
			case 3:
				changed = slices.Insert(changed, at, rapid.SampledFrom(alphabet).Draw(rt, "byte"))
			case 4:
				changed = bytes.Join(slices.Delete(lines, i, i+1), nil)
			case 5:
				lines[i], lines[j] = lines[j], lines[i]
				changed = bytes.Join(lines, nil)
			case 6:
				changed = changeBehindBase64(rt, changed)
			}
			if bytes.Equal(changed, file) {
				changed[at] ^= 0x20
			}
			if _, err := verifiedProofs(changed, all); err == nil {
				rt.Fatalf("taken:\n%s", changed)
			}
		}
	})
}

// changeBehindBase64 changes a bit of what a base64 text of the receipt stands for, so that the file remains
// well-formed.
func changeBehindBase64(rt *rapid.T, file []byte) []byte {
	var places [][2]int
	isBase64 := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '='
	}
	for start := 0; start < len(file); {
		end := start
		for end < len(file) && isBase64(file[end]) {
			end++
		}
		if end-start >= 24 && (end-start)%4 == 0 {
			places = append(places, [2]int{start, end})
		}
		start = end + 1
	}
	place := rapid.SampledFrom(places).Draw(rt, "base64")
	raw, err := base64.StdEncoding.DecodeString(string(file[place[0]:place[1]]))
	if err != nil {
		return file
	}
	raw[rapid.IntRange(0, len(raw)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
	copy(file[place[0]:], base64.StdEncoding.EncodeToString(raw))
	return file
}

func TestWhatIsWithheldCannotBeGuessedOrReplaced(t *testing.T) {
	inEachFormat(t, testWhatIsWithheldCannotBeGuessedOrReplaced)
}

func testWhatIsWithheldCannotBeGuessedOrReplaced(t *testing.T, format uint8) {
	s := storyIn(t, format)
	r := storyReceipt(s)
	// Somebody guesses the bytes rightly. Without the salt they cannot see that they did.
	r.Events[1].Withheld, r.Events[1].Bytes, r.Events[1].Salt = false, []byte("bank r1 version 2"), &tlog.Hash{}
	_, err := verifiedProofs(encoded(t, r), policy(t, "2"))
	wantBroken(t, err, Content)
	// The provider can show them later, and only these.
	full := s.receipt("bank", "r1", shown(2, 4, 7)...)
	if full.Events[1].Commitment != r.Events[1].Commitment {
		t.Error("what is shown later has another commitment")
	}
	if _, err := verifiedProofs(encoded(t, full), policy(t, "2")); err != nil {
		t.Error(err)
	}
}

// TestHistoryToldBackwards: the tree holds the versions, but not in their order.
func TestHistoryToldBackwards(t *testing.T) { inEachFormat(t, testHistoryToldBackwards) }

func testHistoryToldBackwards(t *testing.T, format uint8) {
	s := newSampleIn(t, format)
	s.event("bank", "r1", 2, nil)
	s.event("bank", "r1", 1, nil)
	s.checkpoint()
	_, err := verifiedProofs(encoded(t, s.receipt("bank", "r1", shown(2, 1)...)), policy(t, "2"))
	wantBroken(t, err, Order)
}

func TestProvingNamesWhatIsNotThere(t *testing.T) {
	s := story(t)
	for _, sequence := range []uint64{0, 9, 1 << 63} {
		if _, err := ProveEvents(s.stores["bank"], s.trees["bank"], shown(sequence)); err == nil {
			t.Errorf("event %d was proven", sequence)
		}
	}
	if _, err := ProveLast(s.globalStore, tlog.Tree{}); err == nil {
		t.Error("the last of nothing was proven")
	}
	for _, slot := range []int{-1, 4} {
		if _, err := s.directory.Open(slot); err == nil {
			t.Errorf("slot %d was opened", slot)
		}
	}
	for path := range s.stores["bank"] {
		if !strings.Contains(path, "/000.p/8") {
			continue // of an earlier checkpoint
		}
		damaged := memory{}
		for p, data := range s.stores["bank"] {
			damaged[p] = bytes.Clone(data)
		}
		damaged[path][40] ^= 1
		if _, err := ProveEvents(damaged, s.trees["bank"], shown(1, 2)); err == nil {
			t.Errorf("proven from a damaged %s", path)
		}
	}
}
