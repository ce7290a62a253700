package journal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// maxParked is how many bytes of a message DEADLETTER keeps; no intent is larger.
const maxParked = bus.MaxPayload - 16<<10

// PublishDeadLetter stores a message that could not be processed, without the tokens in it and with the hash of the
// whole. A message larger than 240 KiB is truncated. It returns ErrFull if as many letters about the sender are kept as
// may be.
func (j *Journal) PublishDeadLetter(ctx context.Context, sender string, letter *lockboxv1.DeadLetter) error {
	for field, token := range map[string]string{"service": letter.GetService(), "sender": sender} {
		if err := input.Token(field, token); err != nil {
			return err
		}
	}
	letter = proto.CloneOf(letter)
	sum := sha256.Sum256(letter.GetData())
	letter.DataSha256 = sum[:]
	var like proto.Message = new(lockboxv1.Command)
	if _, _, err := bus.ParseIntentSubject(letter.GetSubject()); err == nil {
		like = new(lockboxv1.AccessIntent)
	}
	masked := mask(letter.GetData(), like)
	letter.Data = masked[:min(len(masked), maxParked)]
	_, err := j.put(ctx, bus.DeadLetterSubject(letter.GetService(), sender), letter)
	if full(err) {
		return fmt.Errorf("%w: %d of %s are kept", ErrFull, bus.MaxDeadLetters, sender)
	}
	return err
}

// DeadLetter is a message that could not be processed, with its sequence in DEADLETTER.
type DeadLetter struct {
	Seq    uint64
	Stored time.Time
	// Letter is nil if what is stored is no letter, whose bytes are then in Data.
	Letter  *lockboxv1.DeadLetter
	Subject string
	Data    []byte
}

// DeadLetters calls handle for each dead letter from sequence from to the current end of the stream, in order.
func (j *Journal) DeadLetters(ctx context.Context, from uint64, handle func(DeadLetter) error) error {
	for seq := max(1, from); ; {
		m, err := j.stored(ctx, bus.StreamDeadLetter, wanted{Next: bus.DeadLetters, Seq: seq})
		if err != nil || m.Seq == 0 {
			return err
		}
		letter := new(lockboxv1.DeadLetter)
		if err := proto.Unmarshal(m.Data, letter); err != nil {
			letter = nil
		}
		if err := handle(DeadLetter{m.Seq, m.Time, letter, m.Subject, m.Data}); err != nil {
			return err
		}
		seq = m.Seq + 1
	}
}
