package merkle

import "fmt"

// Part identifies the part of a proof that failed.
type Part string

// The parts of a proof, from the outside in.
const (
	// Format: not a document of this type, or not in its only valid form.
	Format Part = "format"
	// LogSignature: the checkpoint is not signed by the log's key, or belongs to another log.
	LogSignature Part = "log signature"
	// Cosignatures: a witness's cosignature is invalid, or there are too few.
	Cosignatures Part = "cosignatures"
	// Global: the directory is not the last leaf of the signed checkpoint.
	Global Part = "directory in the global tree"
	// Slot: the tenant's checkpoint is not the entry in its slot of the directory.
	Slot Part = "tenant checkpoint in the directory"
	// AggregateHead: the head is not in the trie whose root the tenant's slot holds.
	AggregateHead Part = "head of the aggregate"
	// Order: the events are out of order, incomplete, or not those that the receipt declares.
	Order Part = "order of the events"
	// Subject: it is not about one aggregate of the tenant in whose tree it is.
	Subject Part = "what it is about"
	// Content: the bytes of an event are not those recorded.
	Content Part = "bytes of an event"
	// Binding: the bytes of an event are not the event that its subject names.
	Binding Part = "event of its subject"
	// Writer: an event is not signed by the part of Lockbox that writes it.
	Writer Part = "writer's signature"
	// Event: the event is not in the tenant's tree at its position.
	Event Part = "event in the tenant's tree"
	// Contradiction: the head and the events of one receipt cannot both be true. The log signed both, so the receipt
	// convicts it: keep it.
	Contradiction Part = "head that contradicts the events"
	// Growth: a later tree does not extend an earlier one, so history was rewritten or truncated.
	Growth Part = "growth"
	// Tiles: the stored tiles do not match their tree.
	Tiles Part = "tiles"
)

// ProofError means that a proof is invalid.
type ProofError struct {
	Part Part
	// Sequence is the tenant sequence of the event concerned; 0 if it is not a single event.
	Sequence uint64
	Reason   string
}

func (e *ProofError) Error() string {
	if e.Sequence != 0 {
		return fmt.Sprintf("%s (event %d of the tenant): %s", e.Part, e.Sequence, e.Reason)
	}
	return fmt.Sprintf("%s: %s", e.Part, e.Reason)
}

func broken(part Part, format string, args ...any) error {
	return &ProofError{Part: part, Reason: fmt.Sprintf(format, args...)}
}

func brokenAt(part Part, sequence uint64, format string, args ...any) error {
	return &ProofError{Part: part, Sequence: sequence, Reason: fmt.Sprintf(format, args...)}
}
