package merkle

import (
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// VerifyReceipt verifies a receipt's file with only a policy's public keys. The error is a *ProofError that names the
// invalid part; the Report is then meaningless.
func VerifyReceipt(file []byte, policy *Policy) (Report, error) {
	r, err := ParseReceipt(file)
	if err != nil {
		return Report{}, err
	}
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
	running := Head{Key: report.Head.Key}
	for i, e := range r.Events {
		if err := verifyPlace(r, i); err != nil {
			return Report{}, err
		}
		leaf, err := verifyLeaf(e, report.Tree)
		if err != nil {
			return Report{}, err
		}
		running = running.Then(uint64(i)+1, leaf)
	}
	for _, e := range r.Events {
		if !e.Withheld && Commit(e.statement().Format, Salt(*e.Salt), e.Bytes) != e.Commitment {
			return Report{}, brokenAt(Content, e.TenantSequence, "what is shown is not what was recorded")
		}
		report.Events = append(report.Events, Proven{
			StreamSequence: e.StreamSequence, TenantSequence: e.TenantSequence, Subject: e.Subject,
			Withheld: e.Withheld, Bytes: e.Bytes,
		})
	}
	if r.Head != nil {
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

// verifyPlace checks that event i is the next version of the receipt's aggregate.
func verifyPlace(r Receipt, i int) error {
	e := r.Events[i]
	rest, ok := strings.CutPrefix(e.Subject, r.About+".")
	found, typ, dot := strings.Cut(rest, ".")
	if !ok || !dot || r.About == "" || typ == "" || found != strconv.Itoa(i+1) {
		return brokenAt(Order, e.TenantSequence, "%q is not version %d of %q", e.Subject, i+1, r.About)
	}
	if i == 0 {
		return nil
	}
	was := r.Events[i-1]
	if e.TenantSequence <= was.TenantSequence || e.Position == nil && e.StreamSequence <= was.StreamSequence ||
		e.statement().Format < was.statement().Format {
		return brokenAt(Order, e.TenantSequence, "it does not come after the one before it")
	}
	return nil
}

// verifyLeaf checks that the event is the leaf at its tenant sequence, and returns the hash of that leaf.
func verifyLeaf(e ReceiptEvent, tree tlog.Tree) (tlog.Hash, error) {
	s := e.statement()
	if err := s.Check(); err != nil {
		return tlog.Hash{}, brokenAt(Format, e.TenantSequence, "%v", err)
	}
	if e.TenantSequence > uint64(tree.N) { //nolint:gosec // G115: the opening was checked
		return tlog.Hash{}, brokenAt(Event, e.TenantSequence, "the tree has only %d", tree.N)
	}
	n, leaf := int64(e.TenantSequence-1), tlog.RecordHash(s.Append(nil)) //nolint:gosec // G115: less than a size
	if err := tlog.CheckRecord(e.Proof, tree.N, tree.Hash, n, leaf); err != nil {
		return tlog.Hash{}, brokenAt(Event, e.TenantSequence, "it is not what the tree holds there: %v", err)
	}
	return leaf, nil
}
