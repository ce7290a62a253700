// A consumer of the event stream: everything that ever happened, in order, and then what happens next. It
// uses the NATS client and the generated messages only.
//
//	follow-events NATS-URL SEED-FILE [FIRST-SEQUENCE]
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: follow-events NATS-URL SEED-FILE [FIRST-SEQUENCE]")
		os.Exit(2)
	}
	first := uint64(1)
	if len(os.Args) > 3 {
		first, _ = strconv.ParseUint(os.Args[3], 10, 64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2], max(1, first)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing to clean up
	}
}

func run(ctx context.Context, url, seedFile string, first uint64) error {
	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(url, key, nats.CustomInboxPrefix("_INBOX.compliance"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	// Store the sequence of the last event processed together with the results, and start after it next time.
	consumer, err := js.OrderedConsumer(ctx, "EVENTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"lockbox.event.>"}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq: first,
	})
	if err != nil {
		return err
	}
	for {
		message, err := consumer.Next(jetstream.FetchContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		event := new(lockboxv1.Event)
		if err := proto.Unmarshal(message.Data(), event); err != nil {
			return err
		}
		if event.GetFact() == nil {
			return fmt.Errorf("%s: unknown event type; stop here, never skip one", message.Subject())
		}
		meta, err := message.Metadata()
		if err != nil {
			return err
		}
		fmt.Println(meta.Sequence.Stream, event.GetTime().AsTime().Format("2006-01-02 15:04:05"), message.Subject())
	}
}
