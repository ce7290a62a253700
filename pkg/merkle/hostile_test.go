package merkle

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestNonsenseIsCheap: whoever sends a receipt chooses its bytes. What is allocated before it is refused is bounded by
// how many there are.
func TestNonsenseIsCheap(t *testing.T) {
	const size = 6 << 20
	s := storyIn(t, Format2)
	file := string(encoded(t, storyReceipt(s)))
	together := string(encoded(t, storyTogether(s)))
	filled := func(before, part, after string) string {
		return before + strings.Repeat(part, size/len(part)) + after
	}
	// around splits a receipt at the beginning of what stands between two texts.
	around := func(file, begin, end string) (before, middle, after string) {
		before, rest, found := strings.Cut(file, begin)
		at := strings.Index(rest, end)
		if !found || at < 0 {
			t.Fatalf("no %q and %q", begin, end)
		}
		return before + begin, rest[:at], rest[at:]
	}
	beforeEvents, events, afterEvents := around(file, "\"events\": [", "\n  ],\n  \"head\"")
	beforeCount, _, afterCount := around(beforeEvents, "\"count\": ", ",")
	one := ",\n" + strings.TrimSuffix(strings.SplitAfter(events[1:], "\n    },\n")[1], ",\n")
	many := func(count int) string {
		return filled(beforeCount+fmt.Sprint(count)+afterCount+one[1:], one, afterEvents)
	}
	beforeProof, _, afterProof := around(together, "\n  \"proof\": [\n    ", "\n  ],\n  \"head\"")
	hash := `"` + strings.Repeat("A", 43) + `="`
	beforeHead, _, afterHead := around(file, hashOf(t, file, "running")+",\n    \"proof\": [", "\n    ]\n  }")
	step := "\n      {\n        \"bit\": 7,\n        \"sibling\": " + hash + "\n      },"
	beforeNote, _, afterNote := around(file, "\"checkpoint\": \"", "\"\n}\n")
	beforeBytes, _, afterBytes := around(file, "\"bytes\": \"", "\"")
	beforeTenant, _, afterTenant := around(file, "\"tenant\": \"", "\"")
	for name, file := range map[string]string{
		"empty objects as events":     filled(beforeEvents, "{},", "{}"+afterEvents),
		"events that are null":        filled(beforeEvents, "null,", "null"+afterEvents),
		"lists in lists":              filled(beforeEvents, "[", ""),
		"lists in lists, from there":  filled("", "[", ""),
		"one event again and again":   many(size/len(one) + 1),
		"more events than announced":  many(1),
		"fewer events than announced": many(size),
		"numbers without an end":      filled(beforeCount, "9", afterCount),
		"hashes as one proof":         filled(beforeProof, hash+",\n    ", hash+afterProof),
		"commas in a list":            filled(beforeProof, ",\n", afterProof),
		"steps to a head":             filled(beforeHead, step, step[:len(step)-1]+afterHead),
		"a note of spaces":            filled(beforeNote, " ", afterNote),
		"a note of escapes":           filled(beforeNote, `\u0000`, afterNote),
		"a note of signatures":        filled(beforeNote, `— a AAAAAAAA\n`, afterNote),
		"a tenant without an end":     filled(beforeTenant, "a", afterTenant),
		"bytes of an event":           filled(beforeBytes, "AAAA", afterBytes),
		"a long name of the format":   filled("{\n  \"format\": \"", "a", "\"\n"),
		"certificates": filled(strings.TrimSuffix(together, "[]\n}\n")+"[\n    ", "\"\",\n    ",
			"\"\"\n  ]\n}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(file)
			trusted := policy(t, "all")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := verifiedProofs(data, trusted)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("it was taken")
			}
			const share = 3
			if got := after.TotalAlloc - before.TotalAlloc; got > share*uint64(len(data)) {
				t.Errorf("%d bytes were allocated for a file of %d (%v)", got, len(data), err)
			} else {
				t.Logf("%.2f of the file, %d objects: %v", float64(got)/float64(len(data)), after.Mallocs-before.Mallocs, err)
			}
		})
	}
}

// hashOf is how a field of a receipt that holds a hash is written.
func hashOf(t *testing.T, file, field string) string {
	t.Helper()
	_, rest, found := strings.Cut(file, "\""+field+"\": ")
	if !found {
		t.Fatalf("no %s", field)
	}
	return rest[:46]
}

// storyTogether is storyReceipt with one proof for all events.
func storyTogether(s *sample) Receipt {
	s.t.Helper()
	r := storyReceipt(s)
	wanted := shown(2, 4, 7)
	wanted[1].Withhold = true
	var err error
	r.Events, r.Proof, err = ProveTogether(s.stores["bank"], s.trees["bank"], wanted)
	must(s.t, err)
	r.Writers = []string{}
	return r
}

// What one reader of a receipt writes, the other reads, and nothing else.
func TestAReceiptIsReadAsItIsWritten(t *testing.T) {
	s := storyIn(t, Format2)
	strange := storyTogether(s)
	strange.Tenant, strange.Writers = "<&>\u2028\\\"\b\f\n\r\t\x01é\U0001f512", []string{"", "a\nb\u2029"}
	strange.Events[0].Bytes = nil
	strange.Head.Proof = append(strange.Head.Proof, HeadStep{0, tlog.Hash{}})
	for name, r := range map[string]Receipt{
		"format 1": storyReceipt(story(t)), "format 2": storyReceipt(s), "one proof": storyTogether(s), "strange": strange,
		"both formats": storyReceipt(storyIn(t, changing)),
	} {
		file := encoded(t, r)
		read, err := ParseReceipt(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := encoded(t, read); !bytes.Equal(again, file) {
			t.Errorf("%s: read and written again it is\n%s", name, again)
		}
	}
}
