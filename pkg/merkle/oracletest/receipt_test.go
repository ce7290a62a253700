package oracletest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// python runs a program that was written from FORMATS.md alone, and returns a line for each thing that it read.
func python(t *testing.T, program string, arguments ...string) []string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/usr/bin/python3", append([]string{"-B", program}, arguments...)...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err == nil {
		err = json.Unmarshal(file, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// agree compares answers; why something is refused is the verifier's own affair.
func agree(t *testing.T, names, want, got []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d answers to %d questions: %v", len(got), len(want), got)
	}
	for i := range want {
		answer := got[i]
		if strings.HasPrefix(answer, "refused: ") {
			answer = "refused"
		}
		if answer != want[i] {
			t.Errorf("%s: the other verifier says %q, want %q", names[i], got[i], want[i])
		}
	}
}

func TestAnotherVerifierAgreesAboutReceipts(t *testing.T) {
	var all []struct{ Name, Answer, Receipt string }
	read(t, "receipts.json", &all)
	dir := t.TempDir()
	var names, want []string
	arguments := []string{"../testdata/policy-all.txt"}
	for i, v := range all {
		file := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(file, []byte(v.Receipt), 0o600); err != nil {
			t.Fatal(err)
		}
		names, want, arguments = append(names, v.Name), append(want, v.Answer), append(arguments, file)
	}
	agree(t, names, want, python(t, "receipt.py", arguments...))
	agree(t, []string{"receipt.json", "receipt-v2.json"}, []string{"3 of 0, version 0", "3 of 3, version 3"},
		python(t, "receipt.py", "../testdata/policy.txt", "../testdata/receipt.json", "../testdata/receipt-v2.json"))
}

func TestAnotherVerifierAgreesAboutEvents(t *testing.T) {
	var all []struct{ Name, Answer string }
	read(t, "bound.json", &all)
	var names, want []string
	for _, v := range all {
		names, want = append(names, v.Name), append(want, v.Answer)
	}
	agree(t, names, want, python(t, "receipt.py", "--bound", "../testdata/policy-all.txt", "../testdata/bound.json"))
}

// TestAnotherVerifierAgreesAboutEachSentence holds it against the document about what receipts prove.
func TestAnotherVerifierAgreesAboutEachSentence(t *testing.T) {
	const file = "../../../services/verifier/testdata/sentences.json"
	var all []struct {
		Sentence string
		Vectors  []struct{ Name, Answer string }
	}
	read(t, file, &all)
	var names, want []string
	for _, s := range all {
		for _, v := range s.Vectors {
			names, want = append(names, s.Sentence[:8]+": "+v.Name), append(want, v.Answer)
		}
	}
	agree(t, names, want, python(t, "receipt.py", "--sentences", file))
}

func TestAnotherVerifierAgreesAboutHeads(t *testing.T) {
	var all struct {
		Proofs []struct{ Name, Answer string }
	}
	read(t, "heads.json", &all)
	var names, want []string
	for _, v := range all.Proofs {
		names, want = append(names, v.Name), append(want, v.Answer)
	}
	agree(t, names, want, python(t, "receipt.py", "--heads", "../testdata/heads.json"))
}

func TestAnotherImplementationAgreesAboutTheLog(t *testing.T) {
	type vector struct{ Name, Answer string }
	for _, what := range []string{"leaves", "directories"} {
		var all struct{ Entries, Bundles, Copies, Appends, Directories, Openings, Sightings []vector }
		file := what + ".json"
		read(t, file, &all)
		var names, want []string
		for _, v := range slices.Concat(all.Entries, all.Bundles, all.Copies, all.Appends, all.Directories, all.Openings,
			all.Sightings) {
			names, want = append(names, what+", "+v.Name), append(want, v.Answer)
		}
		agree(t, names, want, python(t, "log.py", what, "../testdata/"+file))
	}
}

func TestAnotherImplementationAgreesAboutErasure(t *testing.T) {
	type vector struct{ Name, Answer string }
	var all struct{ Owners, Values, Pages []vector }
	read(t, "erasure.json", &all)
	var names, want []string
	for _, v := range slices.Concat(all.Owners, all.Values, all.Pages) {
		names, want = append(names, v.Name), append(want, v.Answer)
	}
	got := python(t, "erasure.py", "../testdata/erasure.json")
	for i, line := range got {
		if err := json.Unmarshal([]byte(line), &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	agree(t, names, want, got)
}
