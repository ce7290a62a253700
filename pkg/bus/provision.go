package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
)

// The streams.
const (
	StreamEvents     = "EVENTS"
	StreamIntents    = "INTENTS"
	StreamTimers     = "TIMERS"
	StreamDeadLetter = "DEADLETTER"
)

// SessionBucket is the key-value bucket in which the portal's copies share web sessions, each encrypted under a key
// that only its browser holds. SessionLifetime is how long one lasts at most.
const (
	SessionBucket   = "SESSIONS"
	SessionLifetime = 12 * time.Hour

	streamSessions = "KV_" + SessionBucket
	maxSessions    = 256 << 20 // bytes
)

// The durable consumers. The copies of a service share one.
const (
	DurableEvaluator    = "jit-evaluator"
	DurableOrchestrator = "lockbox-orchestrator"
	DurableDue          = "lockbox-due"
	DurableNotifier     = "notifier"
	DurableAlarms       = "notifier-alarms"
)

// AckWait is how long a consumer waits for word of a message before it delivers it again. Whoever works on one longer
// says so in time; so this is also how long a message rests after its handler was killed.
const AckWait = 5 * time.Second

// MaxIntent is the largest intent that the bus takes, in bytes.
const MaxIntent = 128 << 10

// MaxAckPending is how many unacknowledged messages a durable consumer hands out.
const MaxAckPending = 2000

func streams(replicas int) []jetstream.StreamConfig {
	base := jetstream.StreamConfig{
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		// Only a publish repeated at once needs recognising, and each id is kept in memory.
		Duplicates: 10 * time.Second,
	}
	events, intents, timers, deadLetter := base, base, base, base

	events.Name, events.Subjects = StreamEvents, []string{eventPrefix + ">"}
	// An event once written can neither be shadowed nor removed.
	events.MaxMsgsPerSubject, events.Discard, events.DiscardNewPerSubject = 1, jetstream.DiscardNew, true
	events.DenyDelete, events.DenyPurge = true, true
	events.AllowAtomicPublish, events.AllowDirect = true, true

	intents.Name, intents.Subjects = StreamIntents, []string{intentPrefix + ">"}
	intents.MaxAge = 30 * 24 * time.Hour
	// More than anything reads, so that what is too large can be parked, and less than a parked message may hold.
	intents.MaxMsgSize = MaxIntent

	timers.Name, timers.Subjects = StreamTimers, []string{timerPrefix + ">", duePrefix + ">"}
	// A new timer replaces the aggregate's last. No MaxAge: it would delete a timer unfired.
	timers.MaxMsgsPerSubject = 1
	timers.AllowMsgSchedules, timers.AllowMsgTTL, timers.AllowAtomicPublish = true, true, true
	timers.AllowRollup = true // schedules imply it

	deadLetter.Name, deadLetter.Subjects = StreamDeadLetter, []string{deadLetterPrefix + ">"}

	sessions := base
	// What nats.go makes of a bucket, except that only the leader answers: a replica that is behind would still know a
	// session that has been ended.
	sessions.Name, sessions.Subjects = streamSessions, []string{sessionPrefix + ">"}
	sessions.MaxMsgsPerSubject, sessions.Discard, sessions.DenyDelete = 1, jetstream.DiscardNew, true
	sessions.AllowRollup = true
	sessions.MaxAge, sessions.MaxBytes = SessionLifetime, maxSessions

	return []jetstream.StreamConfig{events, intents, timers, deadLetter, sessions}
}

type durableConsumer struct {
	stream string
	config jetstream.ConsumerConfig
}

// CheckConsumer returns a *DriftError if a durable consumer does not hand out what it was made for. Whoever may make
// consumers on a stream can also change one that exists, and a follower would never hear of what it is not told.
func CheckConsumer(stream string, have jetstream.ConsumerConfig) error {
	for _, d := range durables() {
		if d.stream != stream || d.config.Durable != have.Durable {
			continue
		}
		// What the server fills in or reports of itself, and what does no harm.
		want := d.config
		want.Name, want.Replicas, want.Metadata, want.Description = have.Name, have.Replicas, have.Metadata, have.Description
		want.MaxWaiting, want.PriorityPolicy = have.MaxWaiting, have.PriorityPolicy
		if setting, a, b := differs(have, want); setting != "" {
			return &DriftError{stream + "/" + have.Durable, setting, a, b}
		}
		return nil
	}
	return fmt.Errorf("bus: %s has no durable consumer %q", stream, have.Durable)
}

// differs names the first field in which two configurations differ, with its values; an empty name if there is none.
func differs[C any](have, want C) (field string, h, w any) {
	a, b := reflect.ValueOf(have), reflect.ValueOf(want)
	for i := range a.NumField() {
		if h, w := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(h, w) {
			return a.Type().Field(i).Name, h, w
		}
	}
	return "", nil, nil
}

func durables() []durableConsumer {
	work := func(stream, name string, filters ...string) durableConsumer {
		config := jetstream.ConsumerConfig{
			Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: AckWait, MaxDeliver: -1,
			MaxAckPending: MaxAckPending, FilterSubjects: filters,
		}
		if len(filters) == 1 {
			config.FilterSubject, config.FilterSubjects = filters[0], nil
		}
		return durableConsumer{stream, config}
	}
	var decided []string // tickets and reports owe nobody anything
	for _, kind := range []string{aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription,
		aggregate.KindDisclosure} {
		decided = append(decided, eventPrefix+"*."+kind+".>")
	}
	return []durableConsumer{
		work(StreamIntents, DurableEvaluator),
		work(StreamEvents, DurableOrchestrator, decided...),
		work(StreamEvents, DurableNotifier, decided...),
		work(StreamEvents, DurableAlarms, eventPrefix+"*."+aggregate.KindAlarm+".>"),
		work(StreamTimers, DurableDue, duePrefix+">"),
	}
}

// DriftError says that a stream or consumer exists with another setting than ours. Nobody updates it silently: a
// shorter MaxAge on EVENTS would empty it. The operator decides.
type DriftError struct {
	Stream, Setting string
	Have, Want      any
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("bus: %s exists with %s = %v; it must be %v", e.Stream, e.Setting, e.Have, e.Want)
}

// Provision makes the streams, of that many replicas, and the durable consumers where they are missing. It changes no
// stream that exists, and returns a *DriftError if one is not as it must be; more replicas than asked for are welcome.
// Give ctx a deadline: a cluster that lacks servers is waited for.
func Provision(ctx context.Context, nc *nats.Conn, replicas int) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	// A cluster whose leader changes drops a request without a word; what was made by then is found the next time.
	for range provisionAttempts {
		attempt, cancel := context.WithTimeout(ctx, provisionTimeout)
		err = provision(attempt, js, replicas)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	return err
}

const (
	provisionAttempts = 6
	provisionTimeout  = 8 * time.Second
)

func provision(ctx context.Context, js jetstream.JetStream, replicas int) error {
	for _, want := range streams(replicas) {
		stream, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			stream, err = create(ctx, js, want)
		}
		if err != nil {
			return fmt.Errorf("bus: stream %s: %w", want.Name, err)
		}
		if err := drift(stream.CachedInfo().Config, want); err != nil {
			return err
		}
	}
	for _, d := range durables() {
		if _, err := js.CreateOrUpdateConsumer(ctx, d.stream, d.config); err != nil {
			return fmt.Errorf("bus: consumer %s of %s: %w", d.config.Durable, d.stream, err)
		}
	}
	return nil
}

// codeNoPeers: a cluster that has just started does not see enough of its servers yet.
const codeNoPeers jetstream.ErrorCode = 10005

// create makes a stream, and waits until ctx ends for a cluster to be complete enough.
func create(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	for {
		stream, err := js.CreateStream(ctx, want)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.ErrorCode != codeNoPeers {
			return stream, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// drift compares everything that an operator can set on a stream but what does no harm.
func drift(have, want jetstream.StreamConfig) error {
	if have.Replicas > want.Replicas {
		want.Replicas = have.Replicas
	}
	have.Description, have.Metadata, have.Placement = "", nil, nil
	have.ConsumerLimits = want.ConsumerLimits
	if !want.AllowDirect {
		have.AllowDirect = false
	}
	if setting, a, b := differs(have, want); setting != "" {
		return &DriftError{have.Name, setting, a, b}
	}
	return nil
}
