package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// SetAside is a message that could not be processed, with its sequence in DEADLETTER.
type SetAside struct {
	Seq    uint64
	Stored time.Time
	Letter *lockboxv1.DeadLetter
}

// DeadLetters calls handle for each dead letter from sequence from to the current end of the stream, in order.
func (j *Journal) DeadLetters(ctx context.Context, from uint64, handle func(SetAside) error) error {
	for seq := max(1, from); ; {
		m, err := j.stored(ctx, bus.StreamDeadLetter, wanted{Next: bus.DeadLetters, Seq: seq})
		if err != nil || m.Seq == 0 {
			return err
		}
		letter := new(lockboxv1.DeadLetter)
		if err := proto.Unmarshal(m.Data, letter); err != nil {
			return fmt.Errorf("journal: dead letter %d: %w", m.Seq, err)
		}
		if err := handle(SetAside{m.Seq, m.Time, letter}); err != nil {
			return err
		}
		seq = m.Seq + 1
	}
}
