package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
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
	StreamAccess     = "ACCESS"
	// StreamKeys holds the keys of what can be erased (package keystore). It is in no backup of the others.
	StreamKeys = "KEYS"
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

const (
	// MaxIntents is how many intents of one tool may wait to be evaluated; if it is limited to some customers, about each.
	MaxIntents = 5000
	// MaxDeadLetters is how many dead letters are kept of one service about one sender.
	MaxDeadLetters = 1000
	// MaxAccessRecords is how many access records are kept about one customer, of one service, about one sender and day.
	MaxAccessRecords = 20_000
	// MaxAccessRecord is the largest of them, in bytes.
	MaxAccessRecord = 8 << 10
	// MaxKeyMessage is the largest message in the key store, in bytes. A page has two thousand.
	MaxKeyMessage = 128 << 10
	// AccessAge is how long an access record is kept.
	AccessAge = 400 * 24 * time.Hour
)

// MaxAckPending is the maximum number of unacknowledged messages of a durable consumer. A follower has them all in
// hand, and only behind more than these does one tenant's message wait for another's.
const MaxAckPending = 20_000

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
	// A tool that floods is refused before it fills the disk; no other tool is. See anyTenant.
	intents.MaxMsgsPerSubject, intents.Discard, intents.DiscardNewPerSubject = MaxIntents, jetstream.DiscardNew, true

	timers.Name, timers.Subjects = StreamTimers, []string{timerPrefix + ">", duePrefix + ">"}
	// A new timer replaces the aggregate's previous one. No MaxAge: it would delete timers before they fire.
	timers.MaxMsgsPerSubject = 1
	timers.AllowMsgSchedules, timers.AllowMsgTTL, timers.AllowAtomicPublish = true, true, true
	timers.AllowRollup = true // schedules imply it

	deadLetter.Name, deadLetter.Subjects = StreamDeadLetter, []string{deadLetterPrefix + ">"}
	deadLetter.MaxMsgsPerSubject, deadLetter.Discard, deadLetter.DiscardNewPerSubject = MaxDeadLetters,
		jetstream.DiscardNew, true

	access := base
	access.Name, access.Subjects = StreamAccess, []string{accessPrefix + ">"}
	// What is full refuses more, for this customer, service, sender and day: a flood pushes out nothing, not even of the
	// same sender, and whoever may write here cannot make away with what is written.
	access.MaxMsgsPerSubject, access.Discard, access.DiscardNewPerSubject = MaxAccessRecords, jetstream.DiscardNew, true
	access.MaxAge, access.MaxMsgSize = AccessAge, MaxAccessRecord
	access.DenyDelete, access.DenyPurge, access.AllowDirect = true, true, true

	keys := base
	keys.Name, keys.Subjects = StreamKeys, []string{keyPrefix + ">"}
	// A page is never replaced: a new version is stored beside it, and then the old one is deleted. Only the leader
	// answers: a lagging replica could return a key that was destroyed.
	keys.MaxMsgsPerSubject, keys.Discard, keys.DiscardNewPerSubject = 1, jetstream.DiscardNew, true
	keys.DenyPurge, keys.MaxMsgSize = true, MaxKeyMessage

	sessions := base
	// The configuration that nats.go gives a bucket, except that only the leader answers: a lagging replica could still
	// return a session that has ended.
	sessions.Name, sessions.Subjects = streamSessions, []string{sessionPrefix + ">"}
	sessions.MaxMsgsPerSubject, sessions.Discard, sessions.DenyDelete = 1, jetstream.DiscardNew, true
	sessions.AllowRollup = true
	sessions.MaxAge, sessions.MaxBytes = SessionLifetime, maxSessions

	return []jetstream.StreamConfig{events, intents, timers, deadLetter, access, keys, sessions}
}

// BatchDirs returns where a server stages atomic batches: a directory for each stream that takes some.
func BatchDirs(storeDir string) (dirs []string) {
	for _, c := range streams(1) {
		if c.AllowAtomicPublish {
			dirs = append(dirs, filepath.Join(storeDir, StoreName, accountStreams, "streams", c.Name, "batches"))
		}
	}
	return dirs
}

// maxReplicas is the largest number of copies that a stream can have.
const maxReplicas = 5

// CopyReaders are the names of the consumers through which an identity reads the servers' own copies of EVENTS. Each
// has a single replica and so reads the copy of the server that it is on. There is one for each server, in no
// particular order.
func CopyReaders(id Identity) []string {
	names := make([]string, maxReplicas)
	for i := range names {
		names[i] = string(id) + "-copy-" + strconv.Itoa(i)
	}
	return names
}

// ReadsCopies reports whether an identity has the right to use its CopyReaders.
func ReadsCopies(id Identity) bool {
	return id.Of() == Projector || id.Of() == Compliance || id.Of() == Repairer
}

type durableConsumer struct {
	stream string
	config jetstream.ConsumerConfig
}

// CheckConsumer returns a *DriftError if a durable consumer's configuration has changed. The provisioner could change
// it, and a follower would not notice missing messages.
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
	var decided []string // no duties arise from other reports
	for _, kind := range []string{aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription,
		aggregate.KindOwnership, aggregate.KindDisclosure, aggregate.KindErasure, aggregate.KindKeys} {
		decided = append(decided, eventPrefix+"*."+kind+".>")
	}
	told := append(slices.Clone(decided), eventPrefix+"*."+aggregate.KindDigest+".>",
		eventPrefix+"*."+aggregate.KindAttempt+".>")
	// Of tickets, only a closing has consequences: access may end with it (R61).
	decided = append(decided, eventPrefix+"*."+aggregate.KindTicket+".*.*.TicketClosed")
	return []durableConsumer{
		work(StreamIntents, DurableEvaluator),
		work(StreamEvents, DurableOrchestrator, decided...),
		work(StreamEvents, DurableNotifier, told...),
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

// Provision creates missing streams, with the given number of replicas, and missing consumers, among them one for each
// server's copy of EVENTS and each of the given readers, by default the projector, and the compliance team. It does not
// change existing streams, and returns a *DriftError if one is not configured as required; more replicas are fine.
// Give ctx a deadline: Provision waits for a cluster that lacks servers.
func Provision(ctx context.Context, nc *nats.Conn, replicas int, readers ...Identity) error {
	js, err := JetStream(nc)
	if err != nil {
		return err
	}
	if len(readers) == 0 {
		readers = []Identity{Projector}
	}
	readers = append(slices.Clone(readers), Compliance)
	// A cluster that is electing a leader drops requests silently; the next attempt finds what was already created.
	for range provisionAttempts {
		attempt, cancel := context.WithTimeout(ctx, provisionTimeout)
		err = provision(attempt, js, replicas, readers)
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

func provision(ctx context.Context, js jetstream.JetStream, replicas int, readers []Identity) error {
	for _, want := range streams(replicas) {
		stream, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			stream, err = create(ctx, js, want)
		}
		if err != nil {
			return fmt.Errorf("bus: stream %s: %w", want.Name, err)
		}
		err = drift(stream.CachedInfo().Config, want)
		if err != nil && bounded(ctx, stream, want) {
			want.Replicas = max(want.Replicas, stream.CachedInfo().Config.Replicas)
			_, err = js.UpdateStream(ctx, want)
		}
		if err != nil {
			return fmt.Errorf("bus: stream %s: %w", want.Name, err)
		}
	}
	for _, d := range durables() {
		if _, err := js.CreateOrUpdateConsumer(ctx, d.stream, d.config); err != nil {
			return fmt.Errorf("bus: consumer %s of %s: %w", d.config.Durable, d.stream, err)
		}
	}
	for _, id := range readers {
		if err := ProvisionReader(ctx, js, id); err != nil {
			return fmt.Errorf("bus: the readers of %s: %w", id, err)
		}
	}
	return nil
}

// bounded reports whether a stream of an earlier version can be bounded as this version wants it, without losing
// anything.
func bounded(ctx context.Context, stream jetstream.Stream, want jetstream.StreamConfig) bool {
	if want.Name != StreamIntents && want.Name != StreamDeadLetter {
		return false
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return false
	}
	for _, n := range info.State.Subjects {
		if n > uint64(want.MaxMsgsPerSubject) { //nolint:gosec // G115: a positive constant
			return false
		}
	}
	return true
}

// placements is how many times a reader is created until the cluster puts it on a server that has none yet.
const placements = 64

// ProvisionReader creates the missing CopyReaders of an identity, one on each server that has a copy of EVENTS.
func ProvisionReader(ctx context.Context, js jetstream.JetStream, id Identity) error {
	stream, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return err
	}
	missing := map[string]bool{"": true} // a stand-alone server has no name
	if c := stream.CachedInfo().Cluster; c != nil && len(c.Replicas) > 0 {
		missing = map[string]bool{c.Leader: true}
		for _, r := range c.Replicas {
			if !r.Offline {
				missing[r.Name] = true
			}
		}
	}
	for _, name := range CopyReaders(id)[:min(len(missing), maxReplicas)] {
		if err := placeReader(ctx, stream, name, missing); err != nil {
			return err
		}
	}
	return nil
}

// placeReader creates a reader, if it is not there, until it is on one of the servers, which it removes.
func placeReader(ctx context.Context, stream jetstream.Stream, name string, servers map[string]bool) error {
	config := jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy, Replicas: 1,
	}
	for range placements {
		reader, err := stream.CreateConsumer(ctx, config)
		if err != nil {
			return err
		}
		server := ""
		if c := reader.CachedInfo().Cluster; c != nil && !servers[""] {
			server = c.Leader
		}
		if servers[server] {
			delete(servers, server)
			return nil
		}
		if err := stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return fmt.Errorf("%s was not placed on any of %s", name, slices.Sorted(maps.Keys(servers)))
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
			return nil, fmt.Errorf("fewer servers are up than the %d replicas need: %w", want.Replicas, err)
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
