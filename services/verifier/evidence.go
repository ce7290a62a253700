package verifier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	"golang.org/x/mod/sumdb/tlog"
)

const evidenceFormat = "lockbox-evidence/v1"

// evidence is what a log signed that cannot all be true. It is whole in itself: what it shows is derived anew from what
// is signed in it, and nothing in it is believed.
type evidence struct {
	Format string `json:"format"`
	// What says what it shows, for people.
	What string `json:"what"`
	// Seen is one of the two checkpoints; without one, entries are read from the first on.
	Seen *merkle.Seen `json:"seen,omitempty"`
	// Shown is the other one.
	Shown *merkle.Seen `json:"shown,omitempty"`
	// Growth shows instead what the log signed as the beginning of a later tree.
	Growth *growth `json:"growth,omitempty"`
	// Before are the entries' heads at Seen, and Entries all from there to Shown.
	Before  *entries `json:"before,omitempty"`
	Entries [][]byte `json:"entries,omitempty"`
	// Receipt is a receipt that the heads at Seen contradict.
	Receipt []byte `json:"receipt,omitempty"`
	// Events are events of the tree at Shown whose bytes contradict what was promised, or are not signed by their writers,
	// each with its proof; Heads are those of the aggregates of which they are all events, and Writers the certificates.
	Events  []merkle.ReceiptEvent `json:"events,omitempty"`
	Heads   []headOf              `json:"heads,omitempty"`
	Writers []string              `json:"writers,omitempty"`

	// pinned is the writers' key of whoever checks it; nil: they have none.
	pinned *signed.Pinned
}

// growth is what a log answers about the beginning of its tree.
type growth struct {
	Checkpoint string      `json:"checkpoint"`
	Root       tlog.Hash   `json:"root"`
	Growth     []tlog.Hash `json:"growth"`
}

// verify returns the signed checkpoint after checking that its tree begins with the root at that size.
func (g growth) verify(size int64, policy *merkle.Policy) (merkle.Signed, error) {
	signed, err := policy.Open([]byte(g.Checkpoint))
	if err != nil {
		return merkle.Signed{}, err
	}
	return signed, merkle.CheckGrowth(tlog.Tree{N: size, Hash: g.Root}, signed.Tree, g.Growth)
}

// check returns what the evidence proves, by the log's key alone: each is a contradiction of what the log signed. It
// fails if it proves nothing.
func (e *evidence) check(policy *merkle.Policy) ([]string, error) {
	policy = policy.LogAlone()
	var seen merkle.Signed
	if e.Seen != nil {
		var err error
		if seen, err = e.Seen.Verify(policy); err != nil {
			return nil, err
		}
	}
	switch {
	case e.Growth != nil && e.Seen != nil:
		after, err := e.Growth.verify(seen.Tree.N, policy)
		if err != nil {
			return nil, err
		}
		if e.Growth.Root == seen.Tree.Hash {
			return nil, errNoEvidence
		}
		return []string{fmt.Sprintf("the log signed a tree of size %d with the root %v, and one of size %d whose first %d "+
			"have the root %v", seen.Tree.N, seen.Tree.Hash, after.Tree.N, seen.Tree.N, e.Growth.Root)}, nil
	case e.Receipt != nil && e.Seen != nil:
		return e.receipt(policy)
	case e.Shown == nil:
		return nil, errNoEvidence
	case e.Events != nil:
		return e.facts(policy)
	case e.Entries != nil:
		return e.entries(policy)
	case e.Seen == nil:
		return nil, errNoEvidence
	}
	err := merkle.Contradict(*e.Seen, *e.Shown, policy)
	return proved(nil, err)
}

var errNoEvidence = errors.New("it contradicts nothing")

// proved is what a comparison found.
func proved(found []string, err error) ([]string, error) {
	var convicted *merkle.ConvictionError
	switch {
	case errors.As(err, &convicted):
		found = append(found, convicted.Reason)
	case err != nil:
		return nil, err
	}
	if len(found) == 0 {
		return nil, errNoEvidence
	}
	return found, nil
}

// entries reads the entries between the two checkpoints. What the earlier one begins with is believed as far as the log
// signed it: the root of the tree, and that of the heads.
func (e *evidence) entries(policy *merkle.Policy) ([]string, error) {
	if _, err := e.Shown.Verify(policy); err != nil {
		return nil, err
	}
	before, seen := &entries{}, merkle.Seen{}
	if e.Seen != nil {
		seen = *e.Seen
	}
	if e.Before != nil {
		before = e.Before.copied()
	}
	if err := before.open(); err != nil {
		return nil, err
	}
	if before.Size > 0 {
		if err := before.signed(seen); err != nil {
			return nil, err
		}
	}
	found, err := before.readOn(seen, e.Entries, *e.Shown)
	var what []string
	for _, one := range found {
		what = append(what, one.what)
	}
	return proved(what, err)
}

// signed checks that these are the entries and heads that a checkpoint commits to.
func (e *entries) signed(seen merkle.Seen) error {
	if e.Tree() != seen.Opening.Tree() || seen.Opening.Heads == nil || e.heads.View().Root() != *seen.Opening.Heads {
		return errors.New("the heads are not those of the checkpoint")
	}
	return nil
}

// receipt compares what a receipt proves with the heads at a checkpoint: each event of an aggregate follows from those
// before it, so that as many of them are the same.
func (e *evidence) receipt(policy *merkle.Policy) ([]string, error) {
	report, shown, err := receiptSeen(e.Receipt, policy)
	if err != nil {
		return nil, err
	}
	if err := merkle.Contradict(*e.Seen, shown, policy); err != nil {
		return proved(nil, err)
	}
	if e.Before == nil || report.Head.Count == 0 || report.Tenant != e.Seen.Tenant {
		return nil, errNoEvidence
	}
	known := e.Before.copied()
	if err := known.open(); err != nil {
		return nil, err
	}
	if err := known.signed(*e.Seen); err != nil {
		return nil, err
	}
	head, _ := known.heads.Head(report.About)
	later, earlier := report.Tree.N >= known.Size, report.Tree.N <= known.Size
	switch is := report.Head; {
	case is.Count == head.Count && is != head:
		return []string{fmt.Sprintf("the log signed two heads of %d events of %s", is.Count, clean(report.About))}, nil
	case is.Count < head.Count && later, is.Count > head.Count && earlier:
		return []string{fmt.Sprintf("the log counted %d events of %s among %d of the tenant, and %d among %d",
			is.Count, clean(report.About), report.Tree.N, head.Count, known.Size)}, nil
	}
	return nil, errNoEvidence
}

// receiptSeen verifies a receipt and returns it with the checkpoint that it is under.
func receiptSeen(file []byte, policy *merkle.Policy) (merkle.Report, merkle.Seen, error) {
	report, err := merkle.VerifyReceipt(file, policy)
	if err != nil {
		return merkle.Report{}, merkle.Seen{}, err
	}
	r, err := merkle.ParseReceipt(file)
	return report, merkle.Seen{Tenant: r.Tenant, Checkpoint: r.Checkpoint, Opening: r.Opening, Directory: r.Directory}, err
}

// save writes the evidence to a new file, after checking that it convinces: nobody is accused with less. It returns
// ErrContradiction, or why it is none.
func (e *evidence) save(name string, policy *merkle.Policy) error {
	found, err := e.check(policy)
	if err != nil {
		return fmt.Errorf("%w, ask again: %w", ErrInconclusive, err)
	}
	e.Format, e.What = evidenceFormat, strings.Join(found, "; ")
	err = keep(name, e)
	keys := "the log’s key"
	if e.pinned != nil {
		alone := *e
		alone.pinned = nil
		if _, err := alone.check(policy); err != nil {
			keys = "the keys of log and writers"
		}
	}
	return errors.Join(fmt.Errorf("%w: %s. Keep %s: the log signed all that is in it, and it convinces anybody who knows "+
		"%s", ErrContradiction, e.What, name, keys), err)
}

// Evidence is evidence against a log that was checked.
type Evidence struct {
	Trusted string   `json:"trusted"`
	Log     string   `json:"log"`
	Proves  []string `json:"proves"`
}

// IsEvidence reports whether a file is evidence against a log.
func IsEvidence(file []byte) bool {
	var e struct{ Format string }
	return json.Unmarshal(file, &e) == nil && e.Format == evidenceFormat
}

// CheckEvidence checks the evidence in a file, offline, by the log's key alone. The error is ErrNotProven if it
// convicts nobody.
func CheckEvidence(name string, trust Trust) (*Evidence, error) {
	trusted, from, err := trust.receipts()
	if err != nil {
		return nil, err
	}
	policy := trusted.Policy
	file, err := os.ReadFile(name) // #nosec G304 -- the user names it
	if err != nil {
		return nil, err
	}
	var e evidence
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	e.pinned, _ = trusted.Writers.(*signed.Pinned)
	if err = decoder.Decode(&e); err == nil {
		found, failed := e.check(policy)
		if failed == nil {
			return &Evidence{Trusted: from, Log: policy.Origin(), Proves: found}, nil
		}
		err = failed
	}
	if e.Events != nil && e.pinned == nil {
		err = fmt.Errorf("%w, without --writers-key", err)
	}
	return nil, fmt.Errorf("%w: %s convicts nobody: %w", ErrNotProven, name, err)
}

// Text formats the evidence for people.
func (e *Evidence) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The evidence holds: the log %s contradicts itself.\n\n", clean(e.Log))
	for _, one := range e.Proves {
		b.WriteString("- " + one + "\n")
	}
	fmt.Fprintf(&b, "\nTrusted   %s\n\nThe log’s key signed both sides. It does not show who held that key.\n", e.Trusted)
	return b.String()
}
