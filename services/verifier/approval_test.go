package verifier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/verifier"
)

// approvalDocument is the sentences about approval files, and the files, each once.
type approvalDocument struct {
	Sentences []approvalSentence `json:"sentences"`
	Files     []string           `json:"files"`
}

// approvalSentence is one sentence of the document about approval files, with files on which whoever reads it wrongly
// goes wrong.
type approvalSentence struct {
	Sentence string           `json:"sentence"`
	Vectors  []approvalVector `json:"vectors"`
}

// approvalVector is an approval file with the keys by which it is verified, and what has to be concluded.
type approvalVector struct {
	Name string `json:"name"`
	// Policy is the text of a policy, Writers the deployment's verifier key or empty, Pin a fingerprint or empty.
	Policy  string `json:"policy"`
	Writers string `json:"writers,omitempty"`
	Pin     string `json:"pin,omitempty"`
	// Answer is "holds", "refused", or "not trusted" for want of cosignatures.
	Answer string `json:"answer"`
	// Rule is the rule that is broken, of pkg/approval, or the part of the proof, of merkle.Part.
	Rule string `json:"rule,omitempty"`
	// Says is what has to be said of it, and Never what must not be.
	Says  []string `json:"says,omitempty"`
	Never []string `json:"never,omitempty"`
	// File is the number of a file, from 0 on.
	File int `json:"file"`

	file string
}

// judge answers as the verifier does.
func (v approvalVector) judge(t *testing.T) (answer, rule, said string) {
	t.Helper()
	trust := verifier.Trust{Policy: savedAs(t, "policy.txt", []byte(v.Policy))}
	if v.Writers != "" {
		trust.Writers = savedAs(t, "writers.vkey", []byte(v.Writers+"\n"))
	}
	a, err := verifier.CheckApproval(savedAs(t, "approval.json", []byte(v.file)), trust, v.Pin)
	if err == nil {
		return "holds", "", a.Text()
	}
	var is *merkle.ProofError
	if rule = string(approval.RuleOf(err)); errors.As(err, &is) {
		rule = string(is.Part)
	}
	if errors.Is(err, verifier.ErrNotTrusted) {
		return "not trusted", rule, err.Error()
	}
	return "refused", rule, err.Error()
}

const approvalsHeading = "What an approval file proves, and what it does not"

// TestEachSentenceAboutApprovalsHasItsVectors: see TestEachSentenceHasItsVectors.
func TestEachSentenceAboutApprovalsHasItsVectors(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "approvals.json"))
	must(t, err)
	var all approvalDocument
	must(t, json.Unmarshal(file, &all))
	left := documentOf(t, approvalsHeading, 8)
	for _, s := range all.Sentences {
		name, text, _ := strings.Cut(s.Sentence, ". ")
		if left[name] != text {
			t.Errorf("%q is not in the document, which says %q", s.Sentence, left[name])
		}
		delete(left, name)
		negative := false
		for _, v := range s.Vectors {
			v.file = all.Files[v.File]
			negative = negative || v.Answer != "holds" || len(v.Never) > 0
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

func (v approvalVector) test(t *testing.T) {
	answer, rule, said := v.judge(t)
	if answer != v.Answer || rule != v.Rule {
		t.Fatalf("it is %q %q, want %q %q: %s", answer, rule, v.Answer, v.Rule, said)
	}
	args := []string{"approval", savedAs(t, "approval.json", []byte(v.file)), "--policy",
		savedAs(t, "policy.txt", []byte(v.Policy)), "--pin", v.Pin}
	if v.Writers != "" {
		args = append(args, "--writers-key", savedAs(t, "writers.vkey", []byte(v.Writers+"\n")))
	}
	code, out, why := run(t, nil, args...)
	if want := map[string]int{"holds": 0, "refused": 10, "not trusted": 14}[v.Answer]; code != want {
		t.Fatalf("the command ends with %d, want %d: %s", code, want, why)
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

// TestTheApprovalVectorsAreMadeSo makes them again; see TestTheVectorsAreMadeSo.
func TestTheApprovalVectorsAreMadeSo(t *testing.T) {
	texts := documentOf(t, approvalsHeading, 8)
	var all approvalDocument
	for _, of := range approvalVectors(t) {
		for i := range of.Vectors {
			v := &of.Vectors[i]
			v.Answer, v.Rule, _ = v.judge(t)
			if v.File = slices.Index(all.Files, v.file); v.File < 0 {
				v.File, all.Files = len(all.Files), append(all.Files, v.file)
			}
		}
		all.Sentences = append(all.Sentences, approvalSentence{of.Sentence + ". " + texts[of.Sentence], of.Vectors})
	}
	var file bytes.Buffer
	e := json.NewEncoder(&file)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	must(t, e.Encode(all))
	golden(t, "approvals.json", file.Bytes())
}

// vector is a file of this customer's that is verified with two witnesses and the pin. says and never are parted by |.
func (c *custody) vector(name string, file []byte, says, never string) approvalVector {
	v := approvalVector{Name: name, Policy: c.policy(), Pin: c.pin(), file: string(file)}
	for text, list := range map[string]*[]string{says: &v.Says, never: &v.Never} {
		if text != "" {
			*list = strings.Split(text, "|")
		}
	}
	return v
}

// logAlone has it verified by a policy that demands no witness.
func (v approvalVector) logAlone(c *custody) approvalVector {
	v.Policy = c.alone()
	return v
}

func approvalVectors(t *testing.T) []approvalSentence {
	t.Helper()
	return append(approvalProves(t), approvalProvesNot(t)...)
}

// edited changes what a file says, in its own spelling.
func edited(t *testing.T, file []byte, edit func(*approval.File)) []byte {
	t.Helper()
	f, err := approval.ParseFile(file)
	must(t, err)
	edit(&f)
	text, err := f.Encode()
	must(t, err)
	return text
}

func approvalProves(t *testing.T) []approvalSentence {
	t.Helper()
	plain := approvedCustody(t)
	file := plain.file()
	asked := func(required uint32) *custody {
		c := newCustody(t, approval.DemandSignatures)
		c.waits(wholeDay)
		c.asks(required)
		c.waits(wholeDay + hour)
		return c
	}

	forged := asked(1)
	forged.approves("otto", at.New("mallory", at.Ed25519), 1)
	unsigned := asked(1)
	unsigned.approves("otto", nil, 1)
	denied := asked(1)
	refusal := denied.decision(approval.Deny, "otto", denied.otto, 1)
	denied.request(orchestrator, denies(signs(t, refusal, denied.otto)))
	borrowed := asked(1)
	borrowed.approves("carl", borrowed.otto, 1)
	replayed := asked(1)
	of := replayed.decision(approval.Approve, "otto", replayed.otto, 1)
	of.Request = "r2"
	replayed.approvesAs("otto", signs(t, of, replayed.otto))
	one := asked(2)
	one.approves("otto", one.otto, 2)
	two := asked(2)
	two.approves("otto", two.otto, 2)
	two.approves("anna", two.anna, 2)
	changed := asked(1)
	before := signs(t, changed.decision(approval.Approve, "otto", changed.otto, 1), changed.otto)
	changed.request(orchestrator, asksQuestion)
	changed.approvesAs("otto", before)
	cli := newCustody(t, approval.DemandCommandLine)
	cli.waits(wholeDay)
	cli.asks(1)
	cli.waits(wholeDay + hour)
	cli.approves("anna", cli.anna, 1)

	longer := asked(1)
	longer.approves("otto", longer.otto, 1, lasts(8*hour))
	another := asked(1)
	another.approves("otto", another.otto, 1, by("anna"))

	removed := asked(1)
	removed.removes(removed.otto, removed.anna)
	removed.approves("otto", removed.otto, 1)
	fresh := asked(1)
	fresh.adds(fresh.carl, "carl")
	fresh.approves("carl", fresh.carl, 1)
	waited := newCustody(t, approval.DemandSignatures)
	waited.adds(waited.carl, "carl")
	early := waited.sees()
	waited.waits(wholeDay + hour)
	waited.sighted(early)
	waited.sign()
	late := waited.sees()
	waited.sighted(late)
	waited.asksBy(1, morning.Add(wholeDay+answerTime))
	waited.approves("carl", waited.carl, 1)
	unseen := newCustody(t, approval.DemandSignatures)
	unseen.adds(unseen.carl, "carl")
	unseen.waits(wholeDay + hour)
	unseen.asksBy(1, morning.Add(wholeDay+answerTime))
	unseen.approves("carl", unseen.carl, 1)

	hidden := asked(1)
	hidden.removes(hidden.otto, hidden.anna)
	hidden.approves("otto", hidden.otto, 1)
	withheld := hidden.proves(aboutKeys)
	withheld.Events[1].Withheld, withheld.Events[1].Salt, withheld.Events[1].Bytes = true, nil, nil
	cut := hidden.proves(aboutKeys)
	cut.Events = cut.Events[:1]
	cut = hidden.again(cut)

	// The log shows to nobody else a tree in which the key was not removed; its witnesses saw only the other one.
	fork := asked(1)
	fork.witnesses = nil
	fork.approves("otto", fork.otto, 1)
	borrowedEyes := asked(1)
	evidence := hidden.sees()
	borrowedEyes.witnesses = nil
	borrowedEyes.sighted(evidence)
	borrowedEyes.approves("otto", borrowedEyes.otto, 1)

	overdue := asked(1)
	inTime := signs(t, overdue.decision(approval.Approve, "otto", overdue.otto, 1), overdue.otto)
	overdue.waits(wholeDay + answerTime)
	overdue.sign()
	overdue.sighted(overdue.sees())
	overdue.approvesAs("otto", inTime)

	other := newCustody(t, approval.DemandSignatures)
	gone := edited(t, file, func(f *approval.File) { f.Approvals = nil })
	fewer := edited(t, waited.file(), func(f *approval.File) { f.Keys = f.Keys[:1] })

	return []approvalSentence{
		{"Given", []approvalVector{
			plain.vector("it holds", file,
				"by otto (https://login.contoso.example)|1 of 1 different people|eight words: ", "carl"),
			forged.vector("signed with a key that somebody made", forged.file(), "does not count", ""),
			unsigned.vector("not signed", unsigned.file(), "there is none", ""),
			denied.vector("a denial", denied.file(), "there is none", ""),
			borrowed.vector("signed with another person's key", borrowed.file(), "is not whose key it is", ""),
			replayed.vector("signed for another request", replayed.file(), `signed for "r2"`, ""),
			one.vector("by one person of two", one.file(), "1 of 2 different people", ""),
			two.vector("by both", two.file(), "by otto|by anna|2 of 2 different people", ""),
			changed.vector("of terms that had changed", changed.file(), "came after what was signed", ""),
			cli.vector("in a browser, where the command line is demanded", cli.file(), "at the command line", ""),
		}},
		{"As recorded", []approvalVector{
			longer.vector("recorded for longer than was signed", longer.file(), "3600 seconds were signed", ""),
			another.vector("recorded as somebody else's", another.file(), `recorded as by "anna"`, ""),
			plain.vector("approvals that the log does not show", gone, "are not those that the log shows", ""),
			waited.vector("keys that the log does not show", fewer, "are not those that the log shows", ""),
		}},
		{"Counted", []approvalVector{
			removed.vector("with a key that was removed", removed.file(), "does not count", ""),
			fresh.vector("with a key whose delay was not over", fresh.file(), "does not count", ""),
			unseen.vector("with a key whose delay no witness measured", unseen.file(), "does not count", ""),
			waited.vector("with a key whose delay witnesses saw pass", waited.file(), "by carl", ""),
		}},
		{"Whose keys", []approvalVector{
			pinnedTo(plain.vector("another fingerprint", file, "not the ones that you pinned", ""), at.Hash("another")),
			plain.vector("the twelve words", file, "the fingerprint that you gave", "TRUSTED ON FIRST USE"),
			plain.vector("the request of one, the keys of another's", plain.fileOf(plain.proves(aboutR1),
				other.proves(aboutKeys)), "", "The approval holds"),
		}},
		{"All keys", []approvalVector{
			hidden.vector("a removal withheld", hidden.fileOf(hidden.proves(aboutR1), withheld), "withheld", ""),
			hidden.vector("a removal left out", hidden.fileOf(hidden.proves(aboutR1), cut),
				"not proven that these are all", ""),
			fork.vector("a log that the customer's witnesses have not seen", fork.file(), "0 of the witnesses",
				"").logAlone(fork),
			borrowedEyes.vector("with what witnesses saw of another", borrowedEyes.file(), "0 of the witnesses",
				"").logAlone(borrowedEyes),
			plain.vector("it holds", file, "as of 2026-03-03T10:00:00Z", ""),
		}},
		{"Published", []approvalVector{
			plain.vector("before the deadline", file, "no later than 2026-03-03T10:00:00Z|yes: the deadline was",
				"not proven: the"),
			overdue.vector("after it", overdue.file(), "it was not in the log at", ""),
		}},
	}
}

func approvalProvesNot(t *testing.T) []approvalSentence {
	t.Helper()
	plain := approvedCustody(t)
	file := plain.file()
	late := newCustody(t, approval.DemandSignatures)
	late.waits(wholeDay)
	late.asks(1)
	late.witnesses = nil // which are down until the deadline has passed
	late.waits(wholeDay + hour)
	late.approves("otto", late.otto, 1)
	late.witnessed()
	late.waits(wholeDay + answerTime + hour)
	late.sign()

	revoked := approvedCustody(t)
	revoked.request(orchestrator, grants)
	revoked.waits(wholeDay + 2*hour)
	end := revoked.decision(approval.Revoke, "anna", revoked.anna, 1)
	revoked.request(orchestrator, revokes(signs(t, end, revoked.anna)))
	revoked.removes(revoked.otto, revoked.anna)
	older := revoked.proves(aboutR1)
	older.Events = older.Events[:4]
	older = revoked.again(older)

	evaluation := plain.proves(aboutR1)
	evaluation.Events[1].Withheld, evaluation.Events[1].Salt, evaluation.Events[1].Bytes = true, nil, nil
	notification := plain.proves(aboutR1)
	notification.Events[2].Withheld, notification.Events[2].Salt, notification.Events[2].Bytes = true, nil, nil

	return []approvalSentence{
		{"First use", []approvalVector{
			pinnedTo(plain.vector("without a pin", file, "TRUSTED ON FIRST USE|compare the fingerprint",
				"the fingerprint that you gave"), ""),
		}},
		{"In time", []approvalVector{
			late.vector("witnesses saw it after the deadline only", late.file(),
				"In time   not proven|no witness had seen it by then", "yes: the deadline"),
		}},
		{"Afterwards", []approvalVector{
			plain.vector("it was revoked later", file, "whether the access was revoked", "revoked by"),
			revoked.vector("a newer file says so", revoked.file(),
				"revoked by anna|this key was removed afterwards|AccessGranted", ""),
			revoked.vector("the end of the request left out", revoked.fileOf(older, revoked.proves(aboutKeys)),
				"the log counts more", "revoked by"),
		}},
		{"Withheld", []approvalVector{
			plain.vector("what was evaluated", plain.fileOf(evaluation, plain.proves(aboutKeys)),
				"What Lockbox evaluated", ""),
			plain.vector("what was asked for", plain.fileOf(notification, plain.proves(aboutKeys)),
				"says what was asked for", ""),
		}},
		{"Written by", []approvalVector{
			plain.vector("no writers' key", file, "Written   not checked", "is signed by the part of Lockbox"),
			writtenBy(plain.vector("the writers' key", file, "is signed by the part of Lockbox", "not checked"),
				plain.deployed.key),
			writtenBy(plain.vector("another deployment's", file, "", "The approval holds"), newStranger(t)),
		}},
		{"Owners", []approvalVector{
			plain.vector("a page that lies", file, "saw what they signed", "saw the page"),
		}},
	}
}

func pinnedTo(v approvalVector, pin string) approvalVector {
	v.Pin = pin
	return v
}

func writtenBy(v approvalVector, key string) approvalVector {
	v.Writers = key
	return v
}

func TestAHostileFileEndsWell(t *testing.T) {
	c := approvedCustody(t)
	file := c.file()
	policy := savedAs(t, "policy.txt", []byte(c.policy()))
	for name, data := range map[string][]byte{
		"empty":       {},
		"a web page":  []byte("<!DOCTYPE html>"),
		"cut off":     file[:len(file)/2],
		"doubled":     append(bytes.Clone(file), file...),
		"a receipt":   encoded(t, c.proves(aboutR1)),
		"no receipts": edited(t, file, func(f *approval.File) { f.RequestReceipt, f.KeysReceipt = "", "" }),
		"no base64":   edited(t, file, func(f *approval.File) { f.KeysReceipt = "====" }),
		"exchanged": edited(t, file, func(f *approval.File) {
			f.RequestReceipt, f.KeysReceipt = f.KeysReceipt, f.RequestReceipt
		}),
		"deep": bytes.Repeat([]byte("["), 1<<20),
	} {
		if code, _, why := run(t, nil, "approval", savedAs(t, "x.json", data), "--policy", policy); code != 10 {
			t.Errorf("%s: %d %s", name, code, why)
		}
	}
	fails(t, 2, "--pin", nil, "approval", savedAs(t, "x.json", file), "--policy", policy, "--pin", "seven words")
	fails(t, 2, "say whose signature", nil, "approval", savedAs(t, "x.json", file))
	// As mail programs save it.
	crlf := append([]byte("\xef\xbb\xbf"), append(bytes.Clone(file), "\r\n"...)...)
	code, _, why := run(t, nil, "approval", savedAs(t, "x.json", crlf), "--policy", policy, "--pin", c.pin())
	if code != 0 {
		t.Errorf("%d %s", code, why)
	}
}

// An answer is what the file is made of, and is not larger than what it says.
func TestAFileTravelsInTwoParts(t *testing.T) {
	c := approvedCustody(t)
	answer, err := logged.Pack("x.json", encoded(t, c.proves(aboutR1)), encoded(t, c.proves(aboutKeys)))
	must(t, err)
	file, err := logged.Unpack(answer)
	must(t, err)
	if !bytes.Equal(file, c.file()) {
		t.Error("it is another file")
	}
	if n := len(answer.GetRequestReceipt()) + len(answer.GetKeysReceipt()); n > len(file)/2 {
		t.Errorf("%d bytes for a file of %d", n, len(file))
	}
	answer.KeysReceipt = answer.KeysReceipt[:20]
	if _, err := logged.Unpack(answer); err == nil {
		t.Error("half an answer makes a file")
	}
}

// The documented command, with OpenSSH alone.
func TestOpenSSHVerifiesWhatIsExtracted(t *testing.T) {
	c := newCustody(t, approval.DemandSignatures)
	c.waits(wholeDay)
	c.asks(2)
	c.waits(wholeDay + hour)
	c.approves("anna", c.anna, 2)
	c.approves("otto", c.otto, 2)
	dir := filepath.Join(t.TempDir(), "signatures")
	args := []string{"approval", savedAs(t, "approval.json", c.file()), "--policy",
		savedAs(t, "policy.txt", []byte(c.policy())), "--pin", c.pin(), "--extract", dir}
	code, _, said := run(t, nil, args...)
	const command = "ssh-keygen -Y verify -f allowed_signers -I approval-2 -n lockbox-approval@openlockbox.github.io " +
		"-s approval-2.sig < approval-2"
	readme, err := os.ReadFile("README.md")
	must(t, err)
	if code != 0 || !strings.Contains(said, command) ||
		!strings.Contains(string(readme), strings.ReplaceAll(command, "approval-2", "approval-1")) {
		t.Fatalf("%d: %s", code, said)
	}
	verify := func() (string, error) {
		is := exec.CommandContext(t.Context(), "sh", "-c", command)
		is.Dir = dir
		out, err := is.CombinedOutput()
		return string(out), err
	}
	const good = `Good "lockbox-approval@openlockbox.github.io" signature`
	if out, err := verify(); err != nil || !strings.HasPrefix(out, good) {
		t.Errorf("%v: %s", err, out)
	}
	statement, err := os.ReadFile(filepath.Join(dir, "approval-2"))
	must(t, err)
	statement = bytes.Replace(statement, []byte("3600"), []byte("3601"), 1)
	must(t, os.WriteFile(filepath.Join(dir, "approval-2"), statement, 0o600))
	if out, err := verify(); err == nil {
		t.Errorf("another statement: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "approval-1.sig")); err == nil {
		t.Error("ssh-keygen knows no signature of a browser's")
	}
	fails(t, 1, "exists", nil, args...) // nothing is written over
}
