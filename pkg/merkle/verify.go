package merkle

import (
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Trust is what a receipt is verified with. Nothing in a receipt can add to it.
type Trust struct {
	// Policy says whose signatures on the checkpoint are enough.
	Policy *Policy
	// Writers judges who signed each event that is shown. If it is nil, receipts say nothing about who wrote them.
	Writers Writers
}

// VerifyReceipt verifies a receipt's file with only public keys: the checkpoint's signatures, all proofs, and that each
// event shown is the one that its subject names, of this tenant, and signed by its writer if writers' keys are known.
// The error is a *ProofError that names the invalid part; the Report is then meaningless.
func (t Trust) VerifyReceipt(file []byte) (Report, error) {
	r, err := ParseReceipt(file)
	if err != nil {
		return Report{}, err
	}
	if err := checkSubjects(r); err != nil {
		return Report{}, err
	}
	report, err := verifyProofs(r, t.Policy)
	if err != nil {
		return Report{}, err
	}
	if err := report.bind(r, t.Writers); err != nil {
		return Report{}, err
	}
	return report, nil
}

// VerifyReceipt verifies a receipt's file with a policy alone; see Trust.
func VerifyReceipt(file []byte, policy *Policy) (Report, error) {
	return Trust{Policy: policy}.VerifyReceipt(file)
}

// verifyProofs verifies signatures and proofs, whatever the leaves say. What is cheap comes first.
func verifyProofs(r Receipt, policy *Policy) (Report, error) {
	signed, err := policy.Open([]byte(r.Checkpoint))
	if err != nil {
		return Report{}, err
	}
	if signed.Extension != "" || signed.Repeated {
		return Report{}, broken(Format, "a receipt's note has three lines, and each signature once")
	}
	if err := r.Opening.verify(r.Tenant, signed.Tree, r.Directory); err != nil {
		return Report{}, err
	}
	report := Report{
		Tenant: r.Tenant, About: r.About, Slot: r.Opening.Slot, Tree: r.Opening.Tree(), Signed: signed,
	}
	if report.Head, err = verifyHead(r); err != nil {
		return Report{}, err
	}
	hashes, err := verifyLeaves(r, report.Tree)
	if err != nil {
		return Report{}, err
	}
	report.Events = make([]Proven, 0, len(r.Events))
	for _, e := range r.Events {
		if !e.Withheld && Commit(e.Statement().Format, Salt(*e.Salt), e.Bytes) != e.Commitment {
			return Report{}, brokenAt(Content, e.TenantSequence, "what is shown is not what was recorded")
		}
		report.Events = append(report.Events, Proven{
			StreamSequence: e.StreamSequence, TenantSequence: e.TenantSequence, Subject: e.Subject,
			Withheld: e.Withheld, Bytes: e.Bytes,
		})
	}
	if r.Head != nil {
		running := Head{Key: report.Head.Key}
		for i, leaf := range hashes {
			running = running.Then(uint64(i)+1, leaf)
		}
		if err := verifyAll(report.Head, running, report.Tree); err != nil {
			return Report{}, err
		}
	}
	return report, nil
}

// verifyHead returns the head of a receipt of format 2 after checking its proof, and no head for one of format 1.
func verifyHead(r Receipt) (Head, error) {
	if r.Head == nil {
		return Head{}, nil
	}
	is := Head{Key: HeadKey(r.About), Version: r.Head.Version, Count: r.Head.Count, Running: r.Head.Running}
	head, _, err := CheckHead(*r.Opening.Heads, HeadProof{is, r.Head.Proof}, r.About) // its key is the one asked for
	return head, err
}

// verifyAll holds the head against that of the events shown, all of which are in the tree. If some are not shown, as is
// anybody's right who passes a receipt on, only numbers can be compared.
func verifyAll(head, shown Head, tree tlog.Tree) error {
	switch {
	case head.Count > uint64(tree.N): //nolint:gosec // G115: the opening was checked
		return broken(Contradiction, "it counts %d events in a tree of %d", head.Count, tree.N)
	case head.Count < shown.Count || head.Version < shown.Version:
		return broken(Contradiction, "it counts %d events up to version %d, and version %d is in the tree", head.Count,
			head.Version, shown.Version)
	case head.Count == shown.Count && head != shown:
		return broken(Contradiction, "it counts as many events, and they are not these")
	}
	return nil
}

// verifyLeaves checks that the events are the next versions of the receipt's aggregate, and leaves of the tenant's tree
// at their tenant sequences. It returns the hashes of these leaves.
func verifyLeaves(r Receipt, tree tlog.Tree) ([]tlog.Hash, error) {
	hashes, numbers := make([]tlog.Hash, len(r.Events)), make([]int64, len(r.Events))
	for i, e := range r.Events {
		if err := verifyPlace(r, i); err != nil {
			return nil, err
		}
		s := e.Statement()
		if err := s.Check(); err != nil {
			return nil, brokenAt(Format, e.TenantSequence, "%v", err)
		}
		if e.TenantSequence > uint64(tree.N) { //nolint:gosec // G115: the opening was checked
			return nil, brokenAt(Event, e.TenantSequence, "the tree has only %d", tree.N)
		}
		hashes[i], numbers[i] = tlog.RecordHash(s.Append(nil)), int64(e.TenantSequence-1) //nolint:gosec // G115: less than a size
		if r.Proof == nil {
			if err := tlog.CheckRecord(e.Proof, tree.N, tree.Hash, numbers[i], hashes[i]); err != nil {
				return nil, brokenAt(Event, e.TenantSequence, "it is not what the tree holds there: %v", err)
			}
		}
	}
	if r.Proof == nil {
		return hashes, nil
	}
	return hashes, checkTogether(tree, numbers, hashes, r.Proof)
}

// verifyPlace checks that event i is the next version of the receipt's aggregate.
func verifyPlace(r Receipt, i int) error {
	e := r.Events[i]
	rest, ok := strings.CutPrefix(e.Subject, r.About+".")
	found, typ, dot := strings.Cut(rest, ".")
	if !ok || !dot || r.About == "" || !isType(typ) || found != strconv.Itoa(i+1) {
		return brokenAt(Order, e.TenantSequence, "%q is not version %d of %q, of one type", e.Subject, i+1, r.About)
	}
	if i == 0 {
		return nil
	}
	was := r.Events[i-1]
	switch {
	case e.TenantSequence <= was.TenantSequence, e.Position == nil && e.StreamSequence <= was.StreamSequence,
		e.Statement().Format < was.Statement().Format:
		return brokenAt(Order, e.TenantSequence, "it does not come after the one before it")
	case e.Position == nil && e.StreamSequence-was.StreamSequence < e.TenantSequence-was.TenantSequence:
		return brokenAt(Order, e.TenantSequence, "more events of the tenant lie before it than the stream has room for")
	}
	return nil
}

// isType reports whether this can be the name of a fact: one token of a subject.
func isType(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || (c < 'a' || c > 'z') && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}
