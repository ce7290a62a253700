package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// DefaultTimeout is how long a caller waits for an answer.
const DefaultTimeout = 10 * time.Second

const (
	unanswered = "I11" // unavailable means refused
	retryPause = 200 * time.Millisecond
)

// Caller sends commands and queries over one connection. It is safe for concurrent use.
type Caller struct {
	Conn *nats.Conn
	// Timeout is how long to wait for one answer; 0 means DefaultTimeout.
	Timeout time.Duration
	// Silent is set while nobody answers: after a question or command that found nobody, until one is answered. It may be
	// nil.
	Silent *atomic.Bool
}

// Do sends a command with the person's token and returns the reply. A command without an id gets one. If there is no
// answer, the command is sent once more under the same id, which the receiver recognises. A refusal is returned as a
// refusal.Error.
func (c Caller) Do(ctx context.Context, token string, command *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	command = proto.CloneOf(command)
	if command.Token = token; command.GetId() == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		command.Id = id.String()
	}
	reply := new(lockboxv1.CommandReply)
	if err := c.call(ctx, CommandSubject(Identity(c.Conn.Opts.Name), Verb(command)), command, reply); err != nil {
		return nil, err
	}
	return reply, refused(reply.GetRefusal())
}

// Ask sends a query with the person's token and returns the reply. A refusal is returned as a refusal.Error.
func (c Caller) Ask(ctx context.Context, token string, query *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	query = proto.CloneOf(query)
	query.Token = token
	reply := new(lockboxv1.QueryReply)
	if err := c.call(ctx, QuerySubject(Identity(c.Conn.Opts.Name), QueryName(query)), query, reply); err != nil {
		return nil, err
	}
	return reply, refused(reply.GetRefusal())
}

// Submit publishes an intent of that id as a tool, with the person's token, and waits for its outcome, which may be a
// refusal. The outcome is nil if there is none in time: the intent is stored nevertheless, and will be evaluated. If
// the bus does not say whether it has the intent, it is published once more: the same intent is one request.
func (c Caller) Submit(
	ctx context.Context, token, tool, id string, intent *lockboxv1.AccessIntent, within time.Duration,
) (*lockboxv1.IntentOutcome, error) {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	intent = proto.CloneOf(intent)
	intent.Token = token
	to, err := IntentSubject(tool, intent.GetTenant())
	if err != nil {
		return nil, err
	}
	from, err := OutcomeSubject(tool, id)
	if err != nil {
		return nil, err
	}
	data, err := proto.Marshal(intent)
	if err != nil {
		return nil, refusal.Invalid("message", "bad input", "cannot be sent: %v", err)
	}
	// First, because an outcome is sent once.
	outcomes, err := c.Conn.SubscribeSync(from)
	if err == nil {
		defer func() { _ = outcomes.Unsubscribe() }()
		err = c.Conn.FlushTimeout(c.Timeout)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", refusal.Unavailable("", unanswered, "the bus cannot be heard"), err)
	}
	if err := c.publish(ctx, to, data); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		m, err := outcomes.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, nil //nolint:nilnil // no outcome yet, which is not an error
		}
		if err != nil {
			return nil, err
		}
		outcome := new(lockboxv1.IntentOutcome)
		if proto.Unmarshal(m.Data, outcome) == nil && outcome.GetIntentId() == id {
			return outcome, nil
		}
	}
}

// publish stores a message in a stream.
func (c Caller) publish(ctx context.Context, subject string, data []byte) error {
	m, err := c.request(ctx, subject, data)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		m, err = c.request(ctx, subject, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", refusal.OfKind(
			refusal.Unavailable("", unanswered,
				"the bus did not say whether it keeps the intent; submit it again"),
			"unsure"), err)
	}
	var ack struct {
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
		Seq uint64 `json:"seq"`
	}
	err = json.Unmarshal(m.Data, &ack)
	switch {
	case err == nil && ack.Error != nil && ack.Error.Code == maxPerSubject:
		return refusal.Unavailable("", "R52", "too many intents of this tool wait to be evaluated")
	case err != nil || ack.Error != nil || ack.Seq == 0:
		return refusal.Unavailable("", unanswered, "the bus does not keep the intent: %s", m.Data)
	}
	return nil
}

// maxPerSubject is JetStream's error for a subject that is full.
const maxPerSubject = 10077

func refused(r *lockboxv1.Refusal) error {
	if r == nil {
		return nil
	}
	return &refusal.Error{Refusal: r}
}

// call sends a request until it is answered. It retries until the timeout while there are no responders, because the
// service may be starting, and once more if an answer does not arrive in time.
func (c Caller) call(ctx context.Context, subject string, request, reply proto.Message) error {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	data, err := proto.Marshal(request)
	if err != nil {
		return refusal.Invalid("message", "bad input", "cannot be sent: %v", err)
	}
	giveUp := time.Now().Add(c.Timeout)
	for silences := 0; ; {
		msg, err := c.request(ctx, subject, data)
		if c.Silent != nil && ctx.Err() == nil {
			c.Silent.Store(err != nil)
		}
		switch {
		case err == nil:
			return decode(msg, reply)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrNoResponders) && time.Now().Before(giveUp):
			pause(ctx)
		case errors.Is(err, nats.ErrNoResponders):
			return refusal.Unavailable("", unanswered, "nobody answers on %s: the service is not running", subject)
		case errors.Is(err, context.DeadlineExceeded) && silences == 0:
			silences++
		case errors.Is(err, context.DeadlineExceeded):
			return refusal.OfKind(
				refusal.Unavailable("", unanswered, "no answer on %s within %v, twice; whether it was done is not known",
					subject, c.Timeout),
				"unsure")
		default:
			return fmt.Errorf("%w: %w", refusal.Unavailable("", unanswered, "the bus does not take the message"), err)
		}
	}
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}

func (c Caller) request(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return c.Conn.RequestWithContext(ctx, subject, data)
}

func decode(msg *nats.Msg, reply proto.Message) error {
	if why := msg.Header.Get(micro.ErrorHeader); why != "" {
		return refusal.Unavailable("", unanswered, "the service failed: %s", why)
	}
	if err := proto.Unmarshal(msg.Data, reply); err != nil {
		return refusal.Unavailable("", unanswered, "the answer is not a %s", reply.ProtoReflect().Descriptor().Name())
	}
	return nil
}
