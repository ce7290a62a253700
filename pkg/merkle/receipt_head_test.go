package merkle

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

const bankR1 = "test.bank.request.r1"

func TestAReceiptSaysWhetherItShowsAll(t *testing.T) {
	inEachFormat(t, func(t *testing.T, format uint8) {
		s := storyIn(t, format)
		for shows, complete := range []bool{1: false, 2: false, 3: format != Format1} {
			if shows == 0 {
				continue
			}
			r := storyReceipt(s)
			r.Events = r.Events[:shows]
			got, err := verifiedProofs(encoded(t, r), policy(t, "all"))
			must(t, err)
			want := Head{}
			if format != Format1 {
				want, _ = s.views["bank"].Head(bankR1)
				if want.Count != 3 || want.Version != 3 {
					t.Fatalf("the head is %+v", want)
				}
			}
			if got.Complete() != complete || got.Head != want || len(got.Events) != shows {
				t.Errorf("%d events: %+v, and all of them: %v", shows, got, got.Complete())
			}
		}
	})
}

// lies are heads that a log commits to although its leaves say something else.
func lies(s *sample) map[string]*Heads {
	leaves := s.leavesOf("bank", bankR1)
	with := func(versions []uint64, leaves ...tlog.Hash) *Heads {
		heads := NewHeads()
		heads.Append("test.bank.request.r0", 1, tlog.Hash{})
		for i, leaf := range leaves {
			heads.Append(bankR1, versions[i], leaf)
		}
		return heads
	}
	counted := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}
	return map[string]*Heads{
		"it counts fewer":              with(counted, leaves[0], leaves[1]),
		"another leaf":                 with(counted, leaves[0], leaves[1], tlog.Hash{1}),
		"leaves exchanged":             with(counted, leaves[1], leaves[0], leaves[2]),
		"a lower version":              with([]uint64{1, 2, 2}, leaves...),
		"a higher version":             with([]uint64{1, 2, 4}, leaves...),
		"a lower version, more leaves": with([]uint64{1, 2, 2, 2}, append(leaves, tlog.Hash{1})...),
		"more events than the tree":    with(counted, append(leaves, make([]tlog.Hash, 6)...)...),
	}
}

// leavesOf returns the hashes of an aggregate's leaves.
func (s *sample) leavesOf(tenant, about string) []tlog.Hash {
	var leaves []tlog.Hash
	sequence := uint64(0)
	for _, e := range s.stream {
		if strings.Split(e.Subject, ".")[1] != tenant {
			continue
		}
		sequence++
		if strings.HasPrefix(e.Subject, about+".") {
			is, _ := s.salts.leaf(formatAt(s.format, e.Sequence), tenant, sequence, e)
			leaves = append(leaves, tlog.RecordHash(is.Append(nil)))
		}
	}
	return leaves
}

// lyingReceipt is the receipt of a log that signs another head than its leaves have.
func lyingReceipt(t *testing.T, lie string) Receipt {
	s := storyIn(t, Format2)
	s.heads["bank"] = lies(s)[lie]
	s.checkpoint()
	return storyReceipt(s)
}

func TestAHeadThatContradictsTheEvents(t *testing.T) {
	for lie := range lies(storyIn(t, Format2)) {
		t.Run(lie, func(t *testing.T) {
			_, err := verifiedProofs(encoded(t, lyingReceipt(t, lie)), policy(t, "all"))
			wantBroken(t, err, Contradiction)
		})
	}
}

// wrongHeads are changes of a receipt of format 2 that whoever passes it on can make.
func wrongHeads(s *sample) map[string]struct {
	part   Part
	change func(*Receipt)
} {
	another, err := s.views["bank"].Receipt("test.bank.request.r0")
	must(s.t, err)
	return map[string]struct {
		part   Part
		change func(*Receipt)
	}{
		"no head":                {Format, func(r *Receipt) { r.Head = nil }},
		"no proof of the head":   {Format, func(r *Receipt) { r.Head.Proof = nil }},
		"a version beyond":       {Format, func(r *Receipt) { r.Head.Version = 1 << 53 }},
		"another version":        {AggregateHead, func(r *Receipt) { r.Head.Version-- }},
		"the shown ones counted": {AggregateHead, func(r *Receipt) { r.Head.Count--; r.Events = r.Events[:2] }},
		"nothing counted":        {AggregateHead, func(r *Receipt) { r.Head.Count = 0 }},
		"another running hash":   {AggregateHead, func(r *Receipt) { r.Head.Running[0] ^= 1 }},
		"another request's head": {AggregateHead, func(r *Receipt) { r.Head = another }},
		"a sibling":              {AggregateHead, func(r *Receipt) { r.Head.Proof[0].Sibling[5] ^= 1 }},
		"a bit":                  {AggregateHead, func(r *Receipt) { r.Head.Proof[0].Bit ^= 1 }},
		"the proof cut":          {AggregateHead, func(r *Receipt) { r.Head.Proof = r.Head.Proof[:1] }},
		"the proof emptied":      {AggregateHead, func(r *Receipt) { r.Head.Proof = []HeadStep{} }},
		"the proof prolonged": {AggregateHead,
			func(r *Receipt) { r.Head.Proof = append(r.Head.Proof, HeadStep{255, tlog.Hash{}}) }},
		"a proof without end":   {AggregateHead, func(r *Receipt) { r.Head.Proof = make([]HeadStep, 257) }},
		"the root of the heads": {Slot, func(r *Receipt) { r.Opening.Heads[0] ^= 1 }},
		"an empty trie": {Slot,
			func(r *Receipt) { *r.Opening.Heads, r.Head.Proof = tlog.Hash{}, []HeadStep{} }},
		"no root of the heads":      {Format, func(r *Receipt) { r.Opening.Heads = nil }},
		"a position":                {Event, func(r *Receipt) { r.Events[1].Position[0] ^= 1 }},
		"no position":               {Format, func(r *Receipt) { r.Events[1].Position = nil }},
		"a stream sequence as well": {Format, func(r *Receipt) { r.Events[1].StreamSequence = 6 }},
		"a stream sequence instead": {Order,
			func(r *Receipt) { r.Events[1].StreamSequence, r.Events[1].Position = 6, nil }},
		"the bytes of an event":       {Content, func(r *Receipt) { r.Events[0].Bytes = []byte("bank r1 version 9") }},
		"an event withheld elsewhere": {Event, func(r *Receipt) { r.Events[1].Commitment[0] ^= 1 }},
		"the middle left out":         {Order, func(r *Receipt) { r.Events = slices.Delete(r.Events, 1, 2) }},
		"the first left out":          {Order, func(r *Receipt) { r.Events = r.Events[1:] }},
		"slots that are no power":     {Slot, func(r *Receipt) { r.Opening.Slots = 65 }},
		"a slot less":                 {Slot, func(r *Receipt) { r.Opening.Slots = 32 }},
		"a cosignature less": {Cosignatures,
			func(r *Receipt) { r.Checkpoint = withoutSignature(r.Checkpoint, "— beta") }},
		"unsigned": {LogSignature,
			func(r *Receipt) { r.Checkpoint = withoutSignature(r.Checkpoint, "— "+origin) }},
		"another checkpoint": {LogSignature,
			func(r *Receipt) { r.Checkpoint = strings.Replace(r.Checkpoint, "\n4\n", "\n5\n", 1) }},
	}
}

func TestWhatIsWrongWithAHeadIsNamed(t *testing.T) {
	s := storyIn(t, Format2)
	for name, row := range wrongHeads(s) {
		t.Run(name, func(t *testing.T) {
			r := copyOf(t, storyReceipt(s))
			row.change(&r)
			_, err := verifiedProofs(encoded(t, r), policy(t, "all"))
			wantBroken(t, err, row.part)
		})
	}
}

// copyOf returns a receipt that shares nothing.
func copyOf(t *testing.T, r Receipt) Receipt {
	r, err := ParseReceipt(encoded(t, r))
	must(t, err)
	return r
}

// TestWhatIsCheapIsCheckedFirst breaks everything, and mends what was named, one part after another.
func TestWhatIsCheapIsCheckedFirst(t *testing.T) {
	s := storyIn(t, Format2)
	honest := storyReceipt(s)
	r := copyOf(t, honest)
	r.Checkpoint = withoutSignature(r.Checkpoint, "— "+origin)
	r.Opening.Root[0] ^= 1
	r.Directory[0][0] ^= 1
	r.Head.Running[0] ^= 1
	r.Events[2].Proof[0][0] ^= 1
	r.Events[0].Bytes[0] ^= 1
	steps := []struct {
		part Part
		mend func()
	}{
		{LogSignature, func() { r.Checkpoint = honest.Checkpoint }},
		{Slot, func() { r.Opening.Root = honest.Opening.Root }},
		{Global, func() { r.Directory = honest.Directory }},
		{AggregateHead, func() { r.Head.Running = honest.Head.Running }},
		{Event, func() { r.Events[2].Proof = honest.Events[2].Proof }},
		{Content, func() { r.Events[0].Bytes = honest.Events[0].Bytes }},
	}
	for _, step := range steps {
		_, err := verifiedProofs(encoded(t, r), policy(t, "all"))
		wantBroken(t, err, step.part)
		step.mend()
	}
	_, err := verifiedProofs(encoded(t, r), policy(t, "all"))
	must(t, err)
}

// receiptVector is a receipt's file and what a verifier must answer.
type receiptVector struct {
	Name string `json:"name"`
	// Answer is "refused", or how many events it shows, of how many as of the checkpoint, and up to which version.
	Answer  string `json:"answer"`
	Receipt string `json:"receipt"`
}

func TestReceiptsWithHeadsAreFrozen(t *testing.T) {
	s := storyIn(t, Format2)
	var all []receiptVector
	add := func(name string, file []byte) {
		answer := "refused"
		report, err := verifiedProofs(file, policy(t, "all"))
		if err == nil {
			answer = fmt.Sprintf("%d of %d, version %d", len(report.Events), report.Head.Count, report.Head.Version)
		} else if !errors.As(err, new(*ProofError)) {
			t.Fatal(err)
		}
		all = append(all, receiptVector{name, answer, string(file)})
	}
	add("format 1", encoded(t, storyReceipt(story(t))))
	add("format 2", encoded(t, storyReceipt(s)))
	add("leaves of both formats", encoded(t, storyReceipt(storyIn(t, changing))))
	partial := copyOf(t, storyReceipt(s))
	partial.Events = partial.Events[:2]
	add("the last event left out", encoded(t, partial))
	one := newSampleIn(t, Format2)
	one.event("bank", "r1", 1, []byte("<&>\u2028"))
	one.checkpoint()
	add("the only event of all", encoded(t, one.receipt("bank", "r1", shown(1)...)))
	good := len(all)
	for _, name := range slices.Sorted(maps.Keys(wrongHeads(s))) {
		r := copyOf(t, storyReceipt(s))
		wrongHeads(s)[name].change(&r)
		add(name, encoded(t, r))
	}
	for _, name := range slices.Sorted(maps.Keys(lies(s))) {
		add("a lie of the log: "+name, encoded(t, lyingReceipt(t, name)))
	}
	add("another spelling", []byte(strings.Replace(string(encoded(t, storyReceipt(s))), `": `, `":  `, 1)))
	add("an unknown field", []byte(strings.Replace(string(encoded(t, storyReceipt(s))), "{\n", "{\n  \"also\": 1,\n", 1)))
	for i, v := range all {
		if (v.Answer == "refused") != (i >= good) {
			t.Errorf("%s: %s", v.Name, v.Answer)
		}
	}
	file, err := json.MarshalIndent(all, "", "  ")
	must(t, err)
	golden(t, "receipts.json", append(file, '\n'))
	golden(t, "policy-all.txt", []byte(policyText(t, "all")))
	golden(t, "receipt-v2.json", encoded(t, storyReceipt(s)))
}
