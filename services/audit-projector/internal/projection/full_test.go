package projection_test

import (
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
	"go.uber.org/zap/zaptest"

	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
)

// A full disk is said to be full, and costs nothing that is in the projection.
func TestAProjectionOnAFullDiskIsKept(t *testing.T) {
	t.Parallel()
	dir := durabletest.Disk(t, 64)
	events := some()
	half := len(events) / 2
	s := open(t, dir)
	must(t, s.Apply(t.Context(), events[:half]))
	must(t, s.Complete(t.Context()))
	free := durabletest.Fill(t, dir)
	var err error
	for batch := range slices.Chunk(events[half:], 20) {
		if err = s.Apply(t.Context(), batch); err != nil {
			break
		}
	}
	if !durable.Full(err) {
		t.Errorf("the disk is full, and the error is %v", err)
	}
	_ = s.Close() // which may fail for the same reason
	if s, err = projection.Open(t.Context(), dir, projection.Options{Log: zaptest.NewLogger(t)}); err == nil {
		must(t, s.Close())
	} else if !durable.Full(err) {
		t.Errorf("opened on the full disk: %v", err)
	}

	free()
	s = open(t, dir)
	if s.Building() || s.Sequence() < uint64(half) {
		t.Fatalf("it is made again, and has %d of %d events", s.Sequence(), half)
	}
	must(t, s.Apply(t.Context(), events[s.Sequence():]))
	must(t, s.Close())
	other := t.TempDir()
	whole := open(t, other)
	must(t, whole.Apply(t.Context(), events))
	must(t, whole.Complete(t.Context()))
	must(t, whole.Close())
	if dump(t, dir) != dump(t, other) {
		t.Error("it is not what it would be on a disk with room")
	}
}
