package bus

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Inspection is how the streams and consumers are, beside what Provision would make.
type Inspection struct {
	Streams []StreamState
	// Consumers are those that services share, Readers the projector's of the servers' own copies.
	Consumers, Readers []ConsumerState
}

// StreamState is one stream.
type StreamState struct {
	Name string
	// Info is nil if there is no such stream, or if Err says why the bus cannot tell.
	Info *jetstream.StreamInfo
	Err  error
	// Drift is a *DriftError if a setting is another; nil if none is.
	Drift error
}

// ConsumerState is one consumer.
type ConsumerState struct {
	Stream, Name string
	// Info is nil if there is no such consumer, or if Err says why the bus cannot tell: the server that it is on is away.
	Info *jetstream.ConsumerInfo
	Err  error
	// Drift is a *DriftError if a setting is another; nil if none is.
	Drift error
}

// Inspect compares streams and consumers with what Provision makes, and changes nothing. Replicas is how many copies of
// each stream there have to be at least. The connection must be the provisioner's.
func Inspect(ctx context.Context, nc *nats.Conn, replicas int) (i Inspection, err error) {
	js, err := JetStream(nc)
	if err != nil {
		return i, err
	}
	for _, want := range streams(replicas) {
		state := StreamState{Name: want.Name}
		stream, err := js.Stream(ctx, want.Name)
		switch {
		case err == nil:
			state.Info = stream.CachedInfo()
			state.Drift = drift(state.Info.Config, want)
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case answered(err):
			state.Err = err
		default:
			return i, fmt.Errorf("bus: stream %s: %w", want.Name, err)
		}
		i.Streams = append(i.Streams, state)
	}
	look := func(stream, name string) (ConsumerState, error) {
		state := ConsumerState{Stream: stream, Name: name}
		consumer, err := js.Consumer(ctx, stream, name)
		switch {
		case err == nil:
			state.Info = consumer.CachedInfo()
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		case answered(err):
			state.Err = err
		default:
			return state, fmt.Errorf("bus: consumer %s of %s: %w", name, stream, err)
		}
		return state, nil
	}
	for _, d := range durables() {
		state, err := look(d.stream, d.config.Durable)
		if err != nil {
			return i, err
		}
		if state.Info != nil {
			state.Drift = CheckConsumer(d.stream, state.Info.Config)
		}
		i.Consumers = append(i.Consumers, state)
	}
	for _, name := range CopyReaders(Projector) {
		state, err := look(StreamEvents, name)
		if err != nil {
			return i, err
		}
		i.Readers = append(i.Readers, state)
	}
	return i, nil
}

// answered reports whether an error is an answer about this one thing, and not about the bus.
func answered(err error) bool {
	var answer *jetstream.APIError
	return errors.As(err, &answer) && answer.Code != http.StatusServiceUnavailable
}
