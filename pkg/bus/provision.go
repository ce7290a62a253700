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

// SessionBucket is the key-value bucket in which the portal's replicas share web sessions, each encrypted under a key
// that only its browser holds. SessionLifetime is the maximum lifetime of a session.
const (
	SessionBucket   = "SESSIONS"
	SessionLifetime = 12 * time.Hour

	streamSessions = "KV_" + SessionBucket
	maxSessions    = 256 << 20 // bytes
)

// The durable consumers. The replicas of a service share one.
const (
	DurableEvaluator    = "jit-evaluator"
	DurableOrchestrator = "lockbox-orchestrator"
	DurableDue          = "lockbox-due"
	DurableNotifier     = "notifier"
	DurableAlarms       = "notifier-alarms"
)

// AckWait is how long a consumer waits for an acknowledgement before it redelivers a message. Handlers that take longer
// extend it in time, so this is also the delay before a message is redelivered after its handler was killed.
const AckWait = 5 * time.Second

// MaxIntent is the largest intent that the bus accepts, in bytes.
const MaxIntent = 128 << 10

// MaxAckPending is the maximum number of unacknowledged messages of a durable consumer.
const MaxAckPending = 2000

func streams(replicas int) []jetstream.StreamConfig {
	base := jetstream.StreamConfig{
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		// Deduplication only needs to catch immediate retries, and each id is kept in memory.
		Duplicates: 10 * time.Second,
	}
	events, intents, timers, deadLetter := base, base, base, base

	events.Name, events.Subjects = StreamEvents, []string{eventPrefix + ">"}
	// A stored event can be neither superseded nor removed.
	events.MaxMsgsPerSubject, events.Discard, events.DiscardNewPerSubject = 1, jetstream.DiscardNew, true
	events.DenyDelete, events.DenyPurge = true, true
	events.AllowAtomicPublish, events.AllowDirect = true, true

	intents.Name, intents.Subjects = StreamIntents, []string{intentPrefix + ">"}
	intents.MaxAge = 30 * 24 * time.Hour
	// Larger than any reader accepts, so that an oversized intent can be dead-lettered, and smaller than a dead letter.
	intents.MaxMsgSize = MaxIntent

	timers.Name, timers.Subjects = StreamTimers, []string{timerPrefix + ">", duePrefix + ">"}
	// A new timer replaces the aggregate's previous one. No MaxAge: it would delete timers before they fire.
	timers.MaxMsgsPerSubject = 1
	timers.AllowMsgSchedules, timers.AllowMsgTTL, timers.AllowAtomicPublish = true, true, true
	timers.AllowRollup = true // schedules imply it

	deadLetter.Name, deadLetter.Subjects = StreamDeadLetter, []string{deadLetterPrefix + ">"}

	sessions := base
	// The configuration that nats.go gives a bucket, except that only the leader answers: a lagging replica could still
	// return a session that has ended.
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

// CheckConsumer returns a *DriftError if a durable consumer's configuration has changed. Any identity that may create
// consumers on a stream can also change an existing one, and a follower would not notice missing messages.
func CheckConsumer(stream string, have jetstream.ConsumerConfig) error {
	for _, d := range durables() {
		if d.stream != stream || d.config.Durable != have.Durable {
			continue
		}
		// Fields that the server fills in, and fields that do no harm.
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

// differs returns the name of the first field in which two configurations differ and both values; an empty name if they
// are equal.
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
	var decided []string // no duties arise from tickets and reports
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

// DriftError means that a stream or consumer exists with a different setting. It is never updated automatically: a
// shorter MaxAge, for example, would empty EVENTS. The operator must decide.
type DriftError struct {
	Stream, Setting string
	Have, Want      any
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("bus: %s exists with %s = %v; it must be %v", e.Stream, e.Setting, e.Have, e.Want)
}

// Provision creates missing streams, with the given number of replicas, and missing durable consumers. It does not
// change existing streams, and returns a *DriftError if one is not configured as required; having more replicas is
// fine. Give ctx a deadline: Provision waits for a cluster that lacks servers.
func Provision(ctx context.Context, nc *nats.Conn, replicas int) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	// A cluster that is electing a leader drops requests silently; the next attempt finds what was already created.
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

// codeNoPeers: a cluster that has just started does not yet see enough of its servers.
const codeNoPeers jetstream.ErrorCode = 10005

// create creates a stream. Until ctx ends, it waits for the cluster to have enough servers.
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

// drift compares all settings of a stream except those that do no harm.
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
