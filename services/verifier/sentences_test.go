package verifier_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
)

// sentence is one sentence of the document, with receipts on which whoever reads it wrongly goes wrong.
type sentence struct {
	Sentence string   `json:"sentence"`
	Vectors  []vector `json:"vectors"`
}

// vector is a receipt with the keys by which it is verified, and what has to be concluded.
type vector struct {
	Name string `json:"name"`
	// Policy is the text of a policy, Writers the deployment's verifier key or empty.
	Policy  string `json:"policy"`
	Writers string `json:"writers,omitempty"`
	// Answer is "refused", or what is concluded; see conclusion.
	Answer string `json:"answer"`
	// Part is what is wrong, in the words of merkle.Part.
	Part string `json:"part,omitempty"`
	// Says is what has to be said of it, and Never what must not be.
	Says    []string `json:"says,omitempty"`
	Never   []string `json:"never,omitempty"`
	Receipt string   `json:"receipt"`
}

// conclusion is what a receipt that holds proves, as short as another implementation can say it.
func conclusion(r merkle.Report) string {
	when, writers := "none", "not judged"
	if at, proved := r.Time(); proved {
		when = at.At.Format(time.RFC3339)
	}
	if r.Judged {
		var all []string
		for _, e := range r.Events {
			all = append(all, "["+e.Writer+"]")
		}
		writers = strings.Join(all, " ")
	}
	return fmt.Sprintf("%d of %d, version %d; time %s; writers %s", len(r.Events), r.Head.Count, r.Head.Version, when,
		writers)
}

// judge answers as a verifier does.
func (v vector) judge(t *testing.T) (answer, part string) {
	t.Helper()
	policy, err := merkle.ParsePolicy([]byte(v.Policy))
	must(t, err)
	trust := merkle.Trust{Policy: policy}
	if v.Writers != "" {
		pinned, err := signed.Pin(v.Writers)
		must(t, err)
		trust.Writers = pinned
	}
	report, err := trust.VerifyReceipt([]byte(v.Receipt))
	var is *merkle.ProofError
	switch {
	case errors.As(err, &is):
		return "refused", string(is.Part)
	case err != nil:
		t.Fatal(err)
	}
	return conclusion(report), ""
}

// document is the sentences of the document, by the words with which they begin.
func document(t *testing.T) map[string]string {
	t.Helper()
	return documentOf(t, "What a receipt proves, and what it does not", 15)
}

// documentOf is those of a section, which has so many at least.
func documentOf(t *testing.T, heading string, least int) map[string]string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !found || !end {
		t.Fatal("the document is not there")
	}
	all := map[string]string{}
	item := regexp.MustCompile(`(?m)^- \*\*(.+?)\.\*\* ((?:.+\n)(?:  .+\n)*)`)
	for _, m := range item.FindAllStringSubmatch(section, -1) {
		all[m[1]] = strings.Join(strings.Fields(m[2]), " ")
	}
	if lines := strings.Count(section, "\n- "); lines != len(all) || lines < least {
		t.Fatalf("%d sentences of %d were read", len(all), lines)
	}
	return all
}

// TestEachSentenceHasItsVectors: a document about proofs is as true as what fails when it is not.
func TestEachSentenceHasItsVectors(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "sentences.json"))
	must(t, err)
	var all []sentence
	must(t, json.Unmarshal(file, &all))
	left := document(t)
	for _, s := range all {
		name, text, _ := strings.Cut(s.Sentence, ". ")
		if left[name] != text {
			t.Errorf("%q is not in the document, which says %q", s.Sentence, left[name])
		}
		delete(left, name)
		negative := false
		for _, v := range s.Vectors {
			negative = negative || v.Answer == "refused" || len(v.Never) > 0
			t.Run(name+"/"+v.Name, func(t *testing.T) { v.test(t) })
		}
		if !negative {
			t.Errorf("%s: no vector says what must not be concluded", name)
		}
	}
	for name := range left {
		t.Errorf("nothing fails if this is not true: %s", name)
	}
}

func (v vector) test(t *testing.T) {
	if answer, part := v.judge(t); answer != v.Answer || part != v.Part {
		t.Fatalf("it is %q %s, want %q %s", answer, part, v.Answer, v.Part)
	}
	dir := t.TempDir()
	receipt, policy := filepath.Join(dir, "receipt.json"), filepath.Join(dir, "policy.txt")
	must(t, os.WriteFile(receipt, []byte(v.Receipt), 0o600))
	must(t, os.WriteFile(policy, []byte(v.Policy), 0o600))
	args := []string{"receipt", receipt, "--policy", policy}
	if v.Writers != "" {
		writers := filepath.Join(dir, "writers.vkey")
		must(t, os.WriteFile(writers, []byte(v.Writers+"\n"), 0o600))
		args = append(args, "--writers-key", writers)
	}
	code, out, why := run(t, nil, args...)
	if refused := v.Answer == "refused"; refused != (code == 10) || !refused && code != 0 {
		t.Fatalf("the command ends with %d: %s", code, why)
	}
	for _, want := range v.Says {
		if !strings.Contains(out+why, want) {
			t.Errorf("it does not say %q: %s%s", want, out, why)
		}
	}
	for _, never := range v.Never {
		if strings.Contains(out+why, never) {
			t.Errorf("it says %q: %s%s", never, out, why)
		}
	}
}

// TestTheVectorsAreMadeSo makes them again. A sentence that is added gets its vectors by -update; those that are there
// never change.
func TestTheVectorsAreMadeSo(t *testing.T) {
	var all []sentence
	texts := document(t)
	for _, of := range vectorsOf(t) {
		for i := range of.vectors {
			v := &of.vectors[i]
			v.Answer, v.Part = v.judge(t)
		}
		all = append(all, sentence{of.name + ". " + texts[of.name], of.vectors})
	}
	var file bytes.Buffer
	e := json.NewEncoder(&file)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	must(t, e.Encode(all))
	golden(t, "sentences.json", file.Bytes())
}

// deployment certifies writers' keys, which follow from their names.
type deployment struct {
	key     string
	certify func(writer string) string
	writer  func(writer string) *signed.Signer
}

func newDeployment(t *testing.T) deployment {
	t.Helper()
	const origin = "log.example/lockbox"
	signer, key := noteKey(t, signed.DeploymentName(origin))
	private := func(name string) ed25519.PrivateKey {
		seed := sha256.Sum256([]byte(name))
		return ed25519.NewKeyFromSeed(seed[:])
	}
	return deployment{key, func(writer string) string {
		text, err := signed.Certificate{Origin: origin, Identity: writer, Key: signed.PublicOf(private(writer)),
			From: morning, Until: morning.Add(24 * time.Hour)}.Issue(signer)
		must(t, err)
		return string(text)
	}, func(writer string) *signed.Signer {
		s, err := signed.NewSigner(origin, private(writer), fact.Writer(writer))
		must(t, err)
		return s
	}}
}

var morning = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
