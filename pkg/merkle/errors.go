package merkle

import "fmt"

// Part names what does not hold. An error about a proof always says which part of it is wrong.
type Part string

// The parts of what is verified, from the outside in.
const (
	// Format: not a document of this kind, or not in its one spelling.
	Format Part = "format"
	// LogSignature: the checkpoint is not signed by the log's key, or is not one of this log.
	LogSignature Part = "log signature"
	// Cosignatures: a witness's cosignature is wrong, or there are too few.
	Cosignatures Part = "cosignatures"
	// Global: the directory is not the last of the signed checkpoint.
	Global Part = "directory in the global tree"
	// Slot: the tenant's checkpoint is not what stands in its slot of the directory.
	Slot Part = "tenant checkpoint in the directory"
	// Order: the events are not in order, not complete from the first to the last, or not those that were announced.
	Order Part = "order of the events"
	// Content: the bytes of an event are not those that were recorded.
	Content Part = "bytes of an event"
	// Event: the event is not in the tenant's tree at its place.
	Event Part = "event in the tenant's tree"
	// Growth: a later tree does not contain an earlier one, so history was rewritten or cut off.
	Growth Part = "growth"
	// Tiles: what is stored is not what its tree says.
	Tiles Part = "tiles"
)

// ProofError is a proof that does not hold.
type ProofError struct {
	Part Part
	// Sequence is the tenant sequence of the event concerned; 0: no single event.
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
