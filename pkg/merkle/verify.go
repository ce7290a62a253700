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
	if err := r.Opening.verify(r.Tenant, signed.Tree, r.Directory); err != nil {
		return Report{}, err
	}
	report := Report{
		Tenant: r.Tenant, About: r.About, Slot: r.Opening.Slot, Tree: r.Opening.Tree(), Signed: signed,
	}
	for i, e := range r.Events {
		if err := verifyPlace(r, i); err != nil {
			return Report{}, err
		}
		if err := verifyEvent(e, report.Tree); err != nil {
			return Report{}, err
		}
		report.Events = append(report.Events, Proven{
			StreamSequence: e.StreamSequence, TenantSequence: e.TenantSequence, Subject: e.Subject,
			Withheld: e.Withheld, Bytes: e.Bytes,
		})
	}
	return report, nil
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

// verifyEvent checks that the event is the leaf at its tenant sequence, and that its bytes, if not withheld, are those
// recorded.
func verifyEvent(e ReceiptEvent, tree tlog.Tree) error {
	s := e.statement()
	if err := s.Check(); err != nil {
		return brokenAt(Format, e.TenantSequence, "%v", err)
	}
	if !e.Withheld && Commit(s.Format, Salt(*e.Salt), e.Bytes) != e.Commitment {
		return brokenAt(Content, e.TenantSequence, "what is shown is not what was recorded")
	}
	if e.TenantSequence > uint64(tree.N) { //nolint:gosec // G115: the opening was checked
		return brokenAt(Event, e.TenantSequence, "the tree has only %d", tree.N)
	}
	n := int64(e.TenantSequence - 1) //nolint:gosec // G115: less than a size
	if err := tlog.CheckRecord(e.Proof, tree.N, tree.Hash, n, tlog.RecordHash(s.Append(nil))); err != nil {
		return brokenAt(Event, e.TenantSequence, "it is not what the tree holds there: %v", err)
	}
	return nil
}
