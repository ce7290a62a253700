// A consumer of the event stream: everything that ever happened, in order, and then what happens next. It
// uses the NATS client and the generated messages only.
//
//	follow-events [-ca FILE] NATS-URL SEED-FILE [FIRST-SEQUENCE]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

func main() {
	ca := flag.String("ca", "", "file of the authority that signed the bus's certificate")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: follow-events [-ca FILE] NATS-URL SEED-FILE [FIRST-SEQUENCE]")
		os.Exit(2)
	}
	first := uint64(1)
	if flag.NArg() > 2 {
		first, _ = strconv.ParseUint(flag.Arg(2), 10, 64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *ca, flag.Arg(0), flag.Arg(1), max(1, first)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing to clean up
	}
}

func run(ctx context.Context, ca, url, seedFile string, first uint64) error {
	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		return err
	}
	options := []nats.Option{key, nats.CustomInboxPrefix("_INBOX.compliance")}
	if ca != "" {
		options = append(options, nats.RootCAs(ca)) // with it, nothing is ever sent without TLS
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return err
	}
	defer nc.Close()
	// Store the sequence of the last event processed together with the results, and start after it next time.
	for next := first; ctx.Err() == nil; {
		messages, err := read(ctx, nc, next)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for _, message := range messages {
			event := new(lockboxv1.Event)
			broken := proto.Unmarshal(message.Data, event)
			isNone := broken != nil || event.GetFact() == nil && len(event.ProtoReflect().GetUnknown()) == 0
			if event.GetFact() == nil && !isNone {
				return fmt.Errorf("%s: unknown event type; stop here, never skip one", message.Header.Get("Nats-Subject"))
			}
			sequence, err := strconv.ParseUint(message.Header.Get("Nats-Sequence"), 10, 64)
			if err != nil || sequence != next {
				return fmt.Errorf("sequence %d is missing", next)
			}
			next++
			if isNone {
				fmt.Println(sequence, "is no event; never act on one, and go on:", message.Header.Get("Nats-Subject"))
				continue
			}
			fmt.Println(sequence, event.GetTime().AsTime().Format("2006-01-02 15:04:05"), message.Header.Get("Nats-Subject"))
		}
		if len(messages) == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// read returns the events from a sequence on, as many as come in one answer; none if there are no more yet. Nothing is
// left behind on the server.
func read(ctx context.Context, nc *nats.Conn, from uint64) ([]*nats.Msg, error) {
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	question := fmt.Appendf(nil, `{"seq":%d,"batch":1000,"max_bytes":1048576}`, from)
	if err := nc.PublishRequest("LB.API.DIRECT.GET.EVENTS", answers.Subject, question); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var messages []*nats.Msg
	for {
		message, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		switch status := message.Header.Get("Status"); status {
		case "":
			messages = append(messages, message)
		case "204", "404": // the end of the answer; there is nothing
			return messages, nil
		default:
			return nil, fmt.Errorf("the bus answers %s %s", status, message.Header.Get("Description"))
		}
	}
}
