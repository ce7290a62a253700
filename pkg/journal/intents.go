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

// Intent is what a tool published, not yet looked at.
type Intent struct {
	Seq uint64
	// Stored is when the bus took it; its token is verified as of then.
	Stored  time.Time
	Subject string
	Data    []byte
	// Deliveries counts how often it was handed out, from 1.
	Deliveries uint64
}

// FollowIntents hands out intents, each at least once, many at a time and in no order, until ctx ends. An error of
// handle means again later.
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
// Without an answer it is ErrUnknown; the same intent may be submitted again.
func (j *Journal) SubmitIntent(ctx context.Context, tool string, intent *lockboxv1.AccessIntent) (uint64, error) {
	subject, err := bus.IntentSubject(tool, intent.GetTenant())
	if err != nil {
		return 0, err
	}
	return j.put(ctx, subject, intent)
}

// maxParked is how much of a message DEADLETTER keeps, in bytes; no intent is larger.
const maxParked = bus.MaxPayload - 16<<10

// PublishDeadLetter parks what could not be understood, with its hash. Of a command larger than 240 KiB only the
// beginning is kept, and of a token not its signature.
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

// tokenForm is what a signed token looks like (RFC 7519), wherever it stands in a message.
var tokenForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.([A-Za-z0-9_-]+)`)

// blunt overwrites the signatures of tokens, so that nobody who reads what was set aside can act as its sender.
func blunt(data []byte) []byte {
	data = bytes.Clone(data)
	for _, at := range tokenForm.FindAllSubmatchIndex(data, -1) {
		for i := at[2]; i < at[3]; i++ {
			data[i] = '*'
		}
	}
	return data
}

// put stores one message by a publish of its own.
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
