package merkle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	receiptFormat1 = "lockbox-receipt/v1"
	receiptFormat2 = "lockbox-receipt/v2"
	receiptFormat3 = "lockbox-receipt/v3"
	maxReceipt     = 64 << 20 // bytes
	maxProof       = 64       // hashes: a tree has no more levels
)

// Receipt contains the events of one aggregate and everything needed to prove them. It is a file to keep.
type Receipt struct {
	// Format is lockbox-receipt/v1 or, if the directory is of format 2, lockbox-receipt/v3; lockbox-receipt/v2 has a proof
	// in each event instead of one for all.
	Format string `json:"format"`
	// Tenant is the tenant whose tree contains the events.
	Tenant string `json:"tenant"`
	// About is the common prefix of the events' subjects. A version and a type follow, each after a dot.
	About string `json:"about"`
	// Count is the number of events. They are versions 1 to Count, in this order.
	Count  int            `json:"count"`
	Events []ReceiptEvent `json:"events"`
	// Proof proves that all events are in the tenant's tree, as ProveTogether makes it; only in lockbox-receipt/v3.
	Proof []tlog.Hash `json:"proof,omitzero"`
	// Head is what the log says about all events of the aggregate. It is there in format 2 and missing in format 1.
	Head *ReceiptHead `json:"head,omitempty"`
	// Opening is the tenant's checkpoint, in its slot of the last directory of the global tree.
	Opening Opening `json:"tenantCheckpoint"`
	// Directory is the inclusion proof of that directory, the last leaf of the global tree.
	Directory []tlog.Hash `json:"directoryProof"`
	// Checkpoint is the signed note of the global tree.
	Checkpoint string `json:"checkpoint"`
	// Writers are the certificates of the keys that signed the events, signed notes of the deployment's key; only in
	// lockbox-receipt/v3. Who verifies trusts none of them before it has verified that signature.
	Writers []string `json:"writers,omitzero"`
}

// ReceiptEvent is one event. Salt and Bytes are as recorded; a withheld event has only the commitment to them.
type ReceiptEvent struct {
	// StreamSequence is that of an event of format 1, Position that of one of format 2.
	StreamSequence uint64     `json:"streamSequence,omitempty"`
	TenantSequence uint64     `json:"tenantSequence"`
	Subject        string     `json:"subject"`
	Position       *tlog.Hash `json:"position,omitempty"`
	Commitment     tlog.Hash  `json:"commitment"`
	Withheld       bool       `json:"withheld,omitempty"`
	Salt           *tlog.Hash `json:"salt,omitempty"`
	Bytes          []byte     `json:"bytes,omitempty"`
	// Proof is the inclusion proof of the event in the tenant's tree. It is missing in lockbox-receipt/v3.
	Proof []tlog.Hash `json:"proof,omitzero"`
}

// ReceiptHead is the head of what the receipt is about, with its proof in the trie whose root the tenant's slot holds.
type ReceiptHead struct {
	Version uint64     `json:"version"`
	Count   uint64     `json:"count"`
	Running tlog.Hash  `json:"running"`
	Proof   []HeadStep `json:"proof"`
}

// Receipt returns the head of an aggregate as receipts show it.
func (v *HeadsView) Receipt(about string) (*ReceiptHead, error) {
	proof := v.Prove(about)
	if proof.Head.Key != HeadKey(about) {
		return nil, fmt.Errorf("%q has no head", about)
	}
	is := proof.Head
	return &ReceiptHead{is.Version, is.Count, is.Running, proof.Path}, nil
}

// Statement returns what the leaf says.
func (e ReceiptEvent) Statement() Statement {
	s := Statement{Format1, e.TenantSequence, e.StreamSequence, tlog.Hash{}, e.Commitment, e.Subject}
	if e.Position != nil {
		s.Format, s.Position = Format2, *e.Position
	}
	return s
}

// Receipt returns an event of which nothing is shown yet, and nothing proved.
func (s Statement) Receipt() ReceiptEvent {
	e := ReceiptEvent{StreamSequence: s.StreamSequence, TenantSequence: s.TenantSequence, Subject: s.Subject,
		Commitment: s.Commitment, Withheld: true}
	if s.Format == Format2 {
		e.Position = &s.Position
	}
	return e
}

// Wanted selects an event for a receipt.
type Wanted struct {
	TenantSequence uint64
	// Withhold omits the event's bytes, which the recipient of the receipt must not see.
	Withhold bool
}

// ProveEvents reads events from a tenant's tiles, in the given order, with their inclusion proofs in the tenant's tree.
func ProveEvents(from Reader, tree tlog.Tree, wanted []Wanted) ([]ReceiptEvent, error) {
	events, err := readEvents(from, tree, wanted)
	for i, e := range events {
		n := int64(e.TenantSequence - 1) //nolint:gosec // G115: less than a size
		if events[i].Proof, err = tlog.ProveRecord(tree.N, n, Hashes(from, tree)); err != nil {
			return nil, err
		}
	}
	return events, err
}

// readEvents reads events without their proofs.
func readEvents(from Reader, tree tlog.Tree, wanted []Wanted) ([]ReceiptEvent, error) {
	events := make([]ReceiptEvent, 0, len(wanted))
	for _, w := range wanted {
		if tree.N < 1 || w.TenantSequence == 0 || w.TenantSequence > uint64(tree.N) {
			return nil, fmt.Errorf("the tree has %d events, none of them %d", tree.N, w.TenantSequence)
		}
		n := int64(w.TenantSequence - 1) //nolint:gosec // G115: less than a size
		whole, err := readWhole(from, tree, n)
		if err != nil {
			return nil, err
		}
		is := whole[n%tileWidth]
		e := is.Receipt()
		if e.Withheld = w.Withhold; !w.Withhold {
			salt := tlog.Hash(is.Salt)
			e.Salt, e.Bytes = &salt, is.Bytes
		}
		events = append(events, e)
	}
	return events, nil
}

// ProveLast returns the inclusion proof of the last leaf of the global tree.
func ProveLast(from Reader, global tlog.Tree) ([]tlog.Hash, error) {
	if global.N < 1 {
		return nil, errors.New("the global tree is empty")
	}
	return tlog.ProveRecord(global.N, global.N-1, Hashes(from, global))
}

// Encode returns the receipt's file.
func (r Receipt) Encode() ([]byte, error) {
	switch {
	case r.Opening.Format() == Format1:
		r.Format = receiptFormat1
	case r.Proof == nil:
		r.Format = receiptFormat2
	default:
		r.Format = receiptFormat3
	}
	r.Count = len(r.Events)
	return encode(r)
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Find returns the tenant sequence of the event with a stream sequence; 0 if it is not in the tree.
func Find(from Reader, tree tlog.Tree, streamSequence uint64) (uint64, error) {
	low, high := int64(0), tree.N // if it exists, it is leaf n, low <= n < high
	for low < high {
		middle := low + (high-low)/2
		first := middle / tileWidth * tileWidth
		events, err := readPlaced(from, tree, middle)
		if err != nil {
			return 0, err
		}
		for i, e := range events {
			switch {
			case e.Sequence == streamSequence:
				return e.TenantSequence, nil
			case e.Sequence > streamSequence && i == 0:
				high = first
			case e.Sequence < streamSequence:
				low = first + int64(i) + 1
			}
		}
		if high > first && low < first+int64(len(events)) {
			return 0, nil // between two of these
		}
	}
	return 0, nil
}
