package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Intent is an intent as a tool published it, unverified.
type Intent struct {
	Seq uint64
	// Stored is when the bus stored it; its token is verified as of this time.
	Stored  time.Time
	Subject string
	Data    []byte
	// Deliveries counts deliveries, from 1.
	Deliveries uint64
}

// FollowIntents passes intents to handle, each at least once, concurrently and in no particular order, until ctx ends.
// If handle returns an error, the intent is retried later.
func (j *Journal) FollowIntents(ctx context.Context, handle func(context.Context, Intent) error) error {
	return j.work(ctx, job{
		stream: bus.StreamIntents, durable: bus.DurableEvaluator, concurrency: unordered,
		line: func(_ jetstream.Msg, meta *jetstream.MsgMetadata) string {
			return strconv.FormatUint(meta.Sequence.Stream, 10)
		},
		handle: func(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			return handle(ctx, Intent{meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Data(), meta.NumDelivered})
		},
	})
}

// SubmitIntent publishes an intent as an engineering tool does, and returns its sequence in INTENTS once it is on disk.
// It returns ErrUnknown if the bus does not answer; submitting the same intent again is safe.
func (j *Journal) SubmitIntent(ctx context.Context, tool string, intent *lockboxv1.AccessIntent) (uint64, error) {
	subject, err := bus.IntentSubject(tool, intent.GetTenant())
	if err != nil {
		return 0, err
	}
	return j.put(ctx, subject, intent)
}

// maxParked is how many bytes of a message DEADLETTER keeps; no intent is larger.
const maxParked = bus.MaxPayload - 16<<10

// PublishDeadLetter stores a message that could not be processed, with its hash. A message larger than 240 KiB is
// truncated, and the signatures of tokens in it are masked.
func (j *Journal) PublishDeadLetter(ctx context.Context, letter *lockboxv1.DeadLetter) error {
	if err := input.Token("service", letter.GetService()); err != nil {
		return err
	}
	letter = proto.CloneOf(letter)
	sum := sha256.Sum256(letter.GetData())
	letter.DataSha256 = sum[:]
	letter.Data = blunt(letter.GetData()[:min(len(letter.GetData()), maxParked)])
	_, err := j.put(ctx, bus.DeadLetterSubject(letter.GetService()), letter)
	return err
}

// tokenForm matches a signed token (RFC 7519) anywhere in a message.
var tokenForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.([A-Za-z0-9_-]+)`)

// blunt masks the signatures of tokens, so that readers of dead letters cannot impersonate the sender.
func blunt(data []byte) []byte {
	data = bytes.Clone(data)
	for _, at := range tokenForm.FindAllSubmatchIndex(data, -1) {
		for i := at[2]; i < at[3]; i++ {
			data[i] = '*'
		}
	}
	return data
}

// put publishes one message outside the writer's batches and waits for its acknowledgement.
func (j *Journal) put(ctx context.Context, subject string, m proto.Message) (uint64, error) {
	data, err := proto.Marshal(m)
	if err != nil {
		return 0, refusal.Invalid("message", rule, "cannot be marshalled: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	answer := make(chan ack, 1)
	reply := j.inbox.expect(func(m *nats.Msg) {
		select {
		case answer <- parseAck(m, 1):
		default:
		}
	})
	defer j.inbox.forget(reply)
	if err := j.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: data}); err != nil {
		return 0, notSent(err)
	}
	var r ack
	select {
	case r = <-answer:
	case <-ctx.Done():
		r.err = j.complaint(fmt.Errorf("%w: %w", ErrUnknown, ctx.Err()))
	}
	if r.err != nil {
		return 0, fmt.Errorf("journal: publish on %s: %w", subject, r.err)
	}
	return r.seq, nil
}
