// An engineering tool: publish an intent, wait until it is on disk, and hear what became of it. It uses
// the NATS client and the generated messages only, as a program in any other language would.
//
//	publish-intent NATS-URL SEED-FILE TOKEN < intent.json
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const tool = "console" // the tool for which the key was created

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: publish-intent NATS-URL SEED-FILE TOKEN < intent.json")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing to clean up
	}
}

func run(ctx context.Context, url, seedFile, token string) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	intent := new(lockboxv1.AccessIntent)
	if err := protojson.Unmarshal(text, intent); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	intent.Id, intent.Token = id.String(), token // the engineer's own token, as issued

	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		return err
	}
	// A tool may subscribe only below its own inbox. No reconnect buffer: a publish that failed must not be sent
	// later.
	nc, err := nats.Connect(url, key, nats.CustomInboxPrefix("_INBOX.tool-"+tool), nats.ReconnectBufSize(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	outcome, err := nc.SubscribeSync("lockbox.outcome." + tool + "." + intent.GetId())
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	data, err := proto.Marshal(intent)
	if err != nil {
		return err
	}
	if _, err := js.Publish(ctx, "lockbox.intent."+tool+"."+intent.GetTenant(), data); err != nil {
		return err // Not acknowledged: publish the same intent again, with the same id.
	}
	message, err := outcome.NextMsgWithContext(ctx)
	if err != nil {
		return err
	}
	heard := new(lockboxv1.IntentOutcome)
	if err := proto.Unmarshal(message.Data, heard); err != nil {
		return err
	}
	fmt.Println(protojson.Format(heard))
	return nil
}
