package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// site is a bus with its keys, and nobody who answers.
type site struct {
	*testing.T
	dir  string
	keys bus.Keys
	// options are the server's.
	options bus.ServerOptions
	server  *embedded.Server
}

func start(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir()}
	var err error
	s.keys, err = bus.LoadOrCreateKeys(filepath.Join(s.dir, "keys"), []string{Tool})
	must(t, err)
	public, err := s.keys.Public()
	must(t, err)
	s.options = bus.ServerOptions{StoreDir: filepath.Join(s.dir, "nats"), PublicKeys: public, Host: "127.0.0.1", Port: -1}
	s.server, err = embedded.Start(t.Context(), s.options, nil)
	must(t, err)
	t.Cleanup(s.server.Shutdown)
	must(t, bus.Provision(t.Context(), s.connect(bus.Provisioner), 1))
	return s
}

func (s *site) connect(id bus.Identity) *nats.Conn {
	s.Helper()
	nc, err := bus.Connect(bus.Connection{InProcess: s.server, Identity: id, Seed: s.keys[id]})
	must(s, err)
	s.Cleanup(nc.Close)
	return nc
}

// client connects as the command line does.
func (s *site) client(timeout time.Duration) *Client {
	s.Helper()
	file := filepath.Join(s.dir, "token")
	must(s, os.WriteFile(file, []byte(" a.token.here\n"), 0o600))
	c := New(Config{URL: s.server.ClientURL(), KeysDir: filepath.Join(s.dir, "keys"), Tokens: TokenFile(file),
		Timeout: timeout})
	s.Cleanup(c.Close)
	return c
}

// commands answers commands with what answer returns; nil is silence.
func (s *site) commands(answer func(*lockboxv1.Command) *nats.Msg) {
	s.Helper()
	nc := s.connect(bus.Orchestrator)
	_, err := nc.Subscribe(bus.AnyCommand, func(m *nats.Msg) {
		c := new(lockboxv1.Command)
		if err := proto.Unmarshal(m.Data, c); err != nil {
			s.Error(err)
		}
		if reply := answer(c); reply != nil {
			if err := m.RespondMsg(reply); err != nil {
				s.Error(err)
			}
		}
	})
	must(s, err)
	must(s, nc.Flush())
}

func says(t *testing.T, m proto.Message) *nats.Msg {
	t.Helper()
	data, err := proto.Marshal(m)
	must(t, err)
	return &nats.Msg{Data: data}
}

func enable() *lockboxv1.Command {
	return &lockboxv1.Command{Tenant: "meadowbank",
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}
}

func TestACopysKeyIsUsedWhereThereIsNoOther(t *testing.T) {
	s := start(t)
	laptop := bus.Client.Copy("laptop")
	_, err := bus.LoadOrCreateKeys(filepath.Join(s.dir, "keys"), []string{Tool}, laptop)
	must(t, err)
	public, err := bus.ReadPublicKeys(filepath.Join(s.dir, "keys"))
	must(t, err)
	s.options.PublicKeys = public
	must(t, s.server.Reload(s.options))
	c := s.client(5 * time.Second)
	as := func(dir string, more ...string) string {
		t.Helper()
		c := New(c.config)
		c.config.KeysDir = dir
		defer c.Close()
		for _, name := range more {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
			must(t, os.Link(filepath.Join(s.dir, "keys", filepath.Base(name)), filepath.Join(dir, name)))
		}
		nc, err := c.connect(bus.Client)
		if err != nil {
			return err.Error()
		}
		return nc.Opts.Name
	}
	dir, nested := t.TempDir(), t.TempDir()
	for what, got := range map[string][2]string{
		"the only one":       {as(dir, "client@laptop.nk"), "client@laptop"},
		"in its directory":   {as(nested, "client@laptop/client@laptop.nk"), "client@laptop"},
		"beside the command": {as(dir, "client.nk"), "client"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s", what, got[0])
		}
	}
	must(t, os.Chmod(filepath.Join(dir, "client.nk"), 0o604)) // #nosec G302 -- this is what is refused
	if said := as(dir); !strings.Contains(said, filepath.Join(dir, "client.nk")+": others may read") {
		t.Errorf("a key that others may read: %s", said)
	}
}

func TestACommandCarriesIDAndToken(t *testing.T) {
	s := start(t)
	got := make(chan *lockboxv1.Command, 1)
	s.commands(func(c *lockboxv1.Command) *nats.Msg {
		got <- c
		return says(t, &lockboxv1.CommandReply{Sequence: 7, EventId: "e"})
	})
	sent := enable()
	reply, err := s.client(5*time.Second).Do(t.Context(), sent)
	must(t, err)
	if reply.GetSequence() != 7 {
		t.Errorf("the reply is %v", reply)
	}
	if c := <-got; len(c.GetId()) != 36 || c.GetToken() != "a.token.here" || c.GetTenant() != "meadowbank" {
		t.Errorf("the command was %v", c)
	}
	if sent.GetToken() != "" || sent.GetId() != "" {
		t.Error("the caller's own command was changed")
	}
}

func TestAfterASilenceTheSameCommandIsSentOnceMore(t *testing.T) {
	s := start(t)
	var mu sync.Mutex
	var ids []string
	s.commands(func(c *lockboxv1.Command) *nats.Msg {
		mu.Lock()
		defer mu.Unlock()
		if ids = append(ids, c.GetId()); len(ids) == 1 {
			return nil
		}
		return says(t, &lockboxv1.CommandReply{Sequence: 1})
	})
	_, err := s.client(300*time.Millisecond).Do(t.Context(), enable())
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("sent were %v, want one id twice", ids)
	}
}

func TestNoAnswerIsNeverAYes(t *testing.T) {
	s := start(t)
	c := s.client(200 * time.Millisecond)
	wants(t, "nobody listens", doing(c), lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE)
	mode := make(chan string, 1)
	s.commands(func(*lockboxv1.Command) *nats.Msg {
		m := <-mode
		mode <- m
		switch m {
		case "error":
			return &nats.Msg{Header: nats.Header{micro.ErrorHeader: {"broken"}, micro.ErrorCodeHeader: {"500"}}}
		case "garbage":
			return &nats.Msg{Data: []byte("garbage")}
		case "refusal":
			return says(t, &lockboxv1.CommandReply{
				Refusal: &lockboxv1.Refusal{Code: lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT}})
		}
		return nil
	})
	for name, code := range map[string]lockboxv1.RefusalCode{
		"silence": lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, "error": lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE,
		"garbage": lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE, "refusal": lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT,
	} {
		mode <- name
		wants(t, name, doing(c), code)
		<-mode
	}
}

func doing(c *Client) error {
	_, err := c.Do(context.Background(), enable())
	return err
}

func wants(t *testing.T, name string, err error, code lockboxv1.RefusalCode) {
	t.Helper()
	if !refusal.Is(err, code) {
		t.Errorf("%s: %v, want %v", name, err, code)
	}
}

func TestAServiceThatStartsLateIsWaitedFor(t *testing.T) {
	s := start(t)
	c := s.client(10 * time.Second)
	done := make(chan error, 1)
	go func() { done <- doing(c) }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	s.commands(func(*lockboxv1.Command) *nats.Msg { return says(t, &lockboxv1.CommandReply{Sequence: 1}) })
	must(t, <-done)
}

func TestACancelledCallEnds(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.client(time.Minute).Do(ctx, enable()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestQueriesAreAskedAndRefused(t *testing.T) {
	s := start(t)
	nc := s.connect(bus.Projector)
	_, err := nc.Subscribe(bus.QuerySubject(bus.Client, "list_tickets"), func(m *nats.Msg) {
		q := new(lockboxv1.Query)
		if err := proto.Unmarshal(m.Data, q); err != nil || q.GetToken() != "a.token.here" || q.GetMinSequence() != 3 {
			t.Errorf("the query was %v (%v)", q, err)
		}
		if err := m.RespondMsg(says(t, &lockboxv1.QueryReply{Sequence: 4,
			Refusal: &lockboxv1.Refusal{Code: lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND}})); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	must(t, nc.Flush())
	_, err = s.client(5*time.Second).Ask(t.Context(),
		&lockboxv1.Query{MinSequence: 3, Ask: &lockboxv1.Query_ListTickets{ListTickets: &lockboxv1.ListTickets{}}})
	wants(t, "query", err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND)
}

const intentID = "019b0000-0000-7000-8000-000000000001"

func TestAnIntentIsStoredWhetherOrNotSomebodyEvaluatesIt(t *testing.T) {
	s := start(t)
	c := s.client(5 * time.Second)
	intent := &lockboxv1.AccessIntent{Id: intentID, Tenant: "meadowbank"}
	for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
		outcome, err := c.Submit(t.Context(), intent, wait)
		must(t, err)
		if outcome != nil {
			t.Errorf("nobody evaluates, and yet the outcome is %v", outcome)
		}
	}
	nc := s.connect(bus.Evaluator)
	j, err := journal.Open(t.Context(), nc)
	must(t, err)
	defer j.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	stored := make(chan journal.Intent, 8)
	go func() {
		ended <- j.FollowIntents(ctx, func(_ context.Context, in journal.Intent) error {
			stored <- in
			subject, err := bus.OutcomeSubject(Tool, intentID)
			if err != nil {
				return err
			}
			return nc.PublishMsg(&nats.Msg{Subject: subject,
				Data: says(t, &lockboxv1.IntentOutcome{IntentId: intentID, Sequence: 9}).Data})
		})
	}()
	for range 2 {
		in := <-stored
		got := new(lockboxv1.AccessIntent)
		must(t, proto.Unmarshal(in.Data, got))
		if got.GetId() != intentID || got.GetToken() != "a.token.here" || in.Subject != "lockbox.intent.console._" {
			t.Errorf("stored was %v on %s", got, in.Subject)
		}
	}
	outcome, err := c.Submit(t.Context(), intent, 5*time.Second)
	must(t, err)
	if outcome.GetSequence() != 9 {
		t.Errorf("the outcome is %v", outcome)
	}
	cancel()
	must(t, <-ended)
	_, err = c.Submit(t.Context(), &lockboxv1.AccessIntent{Id: intentID, Tenant: "meadow.>"}, 0)
	wants(t, "a wildcard for a tenant", err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID)
	_, err = c.Submit(t.Context(), &lockboxv1.AccessIntent{Id: "*", Tenant: "meadowbank"}, 0)
	wants(t, "a wildcard for an id", err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID)
}

func TestKeysAndAddresses(t *testing.T) {
	s := start(t)
	keys := filepath.Join(s.dir, "keys")
	c := func(url, dir string) *Client {
		made := New(Config{URL: url, KeysDir: dir, Tokens: TokenFile(filepath.Join(s.dir, "token"))})
		t.Cleanup(made.Close)
		return made
	}
	if _, err := c("nats://127.0.0.1:1", keys).Journal(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nothing listens: %v", err)
	}
	_, err := c(s.server.ClientURL(), t.TempDir()).Journal(t.Context())
	wants(t, "no key", err, lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN)

	foreign := t.TempDir()
	_, err = bus.LoadOrCreateKeys(foreign, nil)
	must(t, err)
	_, err = c(s.server.ClientURL(), foreign).Journal(t.Context())
	wants(t, "a key from elsewhere", err, lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN)

	nested := t.TempDir()
	must(t, os.Mkdir(filepath.Join(nested, "compliance"), 0o700))
	must(t, os.Rename(filepath.Join(keys, "compliance.nk"), filepath.Join(nested, "compliance", "compliance.nk")))
	j, err := c(s.server.ClientURL(), nested).Journal(t.Context())
	must(t, err)
	j.Close()
	_, err = New(Config{}).Token(t.Context())
	wants(t, "nobody", err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
