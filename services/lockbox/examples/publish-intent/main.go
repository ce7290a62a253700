// An engineering tool: publish an intent, wait until it is on disk, and hear what became of it. It uses
// the NATS client and the generated messages only, as a program in any other language would.
//
//	publish-intent [-ca FILE] NATS-URL SEED-FILE TOKEN-FILE < intent.json
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
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
	ca := flag.String("ca", "", "file of the authority that signed the bus's certificate")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: publish-intent [-ca FILE] NATS-URL SEED-FILE TOKEN-FILE < intent.json")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, *ca, flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing to clean up
	}
}

func run(ctx context.Context, ca, url, seedFile, tokenFile string) error {
	// From a file: everybody on the machine can see a program's arguments.
	token, err := os.ReadFile(tokenFile) // #nosec G304,G703 -- the user names it
	if err != nil {
		return err
	}
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
	intent.Id, intent.Token = id.String(), strings.TrimSpace(string(token)) // the engineer's own, as issued

	key, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		return err
	}
	// A tool may subscribe only below its own inbox. No reconnect buffer: a publish that failed must not be sent
	// later.
	options := []nats.Option{key, nats.CustomInboxPrefix("_INBOX.tool-" + tool), nats.ReconnectBufSize(-1)}
	if ca != "" {
		options = append(options, nats.RootCAs(ca)) // with it, nothing is ever sent without TLS
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return err
	}
	defer nc.Close()
	outcomes, err := nc.SubscribeSync("lockbox.outcome." + tool + "." + intent.GetId())
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
	for {
		message, err := outcomes.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		// Another tool can have an answer of its own delivered here.
		heard := new(lockboxv1.IntentOutcome)
		if err := proto.Unmarshal(message.Data, heard); err != nil || heard.GetIntentId() != intent.GetId() {
			continue
		}
		fmt.Println(protojson.Format(heard))
		return nil
	}
}
