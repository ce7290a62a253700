package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// stub stands in for the services, on a real bus under the real rights. It answers from a small world of its own, keeps
// what it was sent, and knows just enough rules for people to be told all that they can be told.
type stub struct {
	server *embedded.Server
	keys   bus.Keys
	conns  []*nats.Conn
	issuer *devissuer.Issuer

	mu sync.Mutex
	*world
	commands, queries []string // as JSON, without ids and tokens
}

// startStub starts a bus with the stub's services in dir, and leaves a note for the command line.
func startStub(t testing.TB, dir string) *stub {
	t.Helper()
	s := &stub{}
	var err error
	s.keys, err = bus.LoadOrCreateKeys(filepath.Join(dir, "keys"), []string{client.Tool})
	must(t, err)
	public, err := s.keys.Public()
	must(t, err)
	s.server, err = embedded.Start(t.Context(),
		bus.ServerOptions{StoreDir: filepath.Join(dir, "nats"), PublicKeys: public, Host: "127.0.0.1", Port: -1}, nil)
	must(t, err)
	t.Cleanup(s.server.Shutdown)
	must(t, bus.Provision(t.Context(), s.connect(t, bus.Provisioner), 1))
	s.serveIssuer(t, filepath.Join(dir, "demo"))
	s.world = newWorld(s.issuer)
	s.serve(t)
	must(t, runinfo.Write(dir, runinfo.Info{
		NATSURL: s.server.ClientURL(), KeysDir: filepath.Join(dir, "keys"), MailboxDir: filepath.Join(dir, "mail"),
		Demo: &runinfo.Demo{IssuerURL: s.issuer.URL(), SecretFile: filepath.Join(dir, "demo", "secret")},
	}))
	return s
}

func (s *stub) connect(t testing.TB, id bus.Identity) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(bus.Connection{InProcess: s.server, Identity: id, Seed: s.keys[id]})
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func (s *stub) serveIssuer(t testing.TB, dir string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	s.issuer, err = devissuer.New(devissuer.Config{Demo: true, Dir: dir, URL: "http://" + listener.Addr().String()})
	must(t, err)
	server := &http.Server{Handler: s.issuer.Handler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

// serve starts orchestrator, projector and evaluator, as far as they are needed.
func (s *stub) serve(t testing.TB) {
	t.Helper()
	orchestrator, projector, evaluator := s.connect(t, bus.Orchestrator), s.connect(t, bus.Projector),
		s.connect(t, bus.Evaluator)
	_, err := orchestrator.Subscribe(bus.AnyCommand, func(m *nats.Msg) {
		c := new(lockboxv1.Command)
		reply := new(lockboxv1.CommandReply)
		verb, _, err := bus.ParseCommand(m.Subject)
		if err != nil || proto.Unmarshal(m.Data, c) != nil || verb != bus.Verb(c) {
			reply.Refusal = refusal.Of(refusal.Invalid("message", "bad input", "not a command for %s: %v", m.Subject, err))
		} else {
			reply = s.command(c)
		}
		respond(m, reply)
	})
	must(t, err)
	_, err = projector.Subscribe(bus.AnyQuery, func(m *nats.Msg) {
		q := new(lockboxv1.Query)
		reply := new(lockboxv1.QueryReply)
		if err := proto.Unmarshal(m.Data, q); err != nil || m.Subject != bus.QuerySubject(bus.Client, bus.QueryName(q)) {
			reply.Refusal = refusal.Of(refusal.Invalid("message", "bad input", "not a query for %s: %v", m.Subject, err))
		} else {
			reply = s.query(q)
		}
		respond(m, reply)
	})
	must(t, err)
	s.conns = []*nats.Conn{orchestrator, projector, evaluator}
	must(t, orchestrator.Flush())
	must(t, projector.Flush())
	intents, err := journal.Open(t.Context(), evaluator)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = intents.FollowIntents(ctx, func(_ context.Context, in journal.Intent) error { return s.evaluate(evaluator, in) })
	}()
	t.Cleanup(func() { cancel(); <-done; intents.Close() })
	s.story(t, orchestrator, evaluator)
}

// store stores bytes with the rights of an identity.
func (s *stub) store(id bus.Identity, subject, data string) error {
	nc, err := bus.Connect(bus.Connection{InProcess: s.server, Identity: id, Seed: s.keys[id]})
	if err != nil {
		return err
	}
	defer nc.Close()
	_, err = nc.Request(subject, []byte(data), time.Minute)
	return err
}

// stop takes the services away and leaves the bus.
func (s *stub) stop() {
	for _, nc := range s.conns {
		nc.Close()
	}
}

func respond(m *nats.Msg, reply proto.Message) {
	data, err := proto.Marshal(reply)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		panic(err)
	}
}

func (s *stub) command(c *lockboxv1.Command) *lockboxv1.CommandReply {
	s.mu.Lock()
	defer s.mu.Unlock()
	who, err := client.ReadClaims(c.GetToken())
	if c.GetToken() == "" && c.GetSigned() != nil { // by a key alone
		var by approval.Person
		by, err = s.world.keys.state.Holder(c.GetSigned(), 0)
		who = client.Claims{Subject: by.Subject}
	}
	if err != nil {
		return &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
	}
	kept := proto.CloneOf(c)
	kept.Id, kept.Token = "", ""
	s.commands = append(s.commands, who.Subject+" "+bus.Verb(c)+" "+text(kept))
	reply, err := s.decide(c, who)
	if err != nil {
		return &lockboxv1.CommandReply{Refusal: refusal.Of(err)}
	}
	return reply
}

func (s *stub) query(q *lockboxv1.Query) *lockboxv1.QueryReply {
	s.mu.Lock()
	defer s.mu.Unlock()
	who, err := client.ReadClaims(q.GetToken())
	if err != nil {
		return &lockboxv1.QueryReply{Refusal: refusal.Of(err)}
	}
	kept := proto.CloneOf(q)
	kept.Token = ""
	s.queries = append(s.queries, who.Subject+" "+bus.QueryName(q)+" "+text(kept))
	reply, err := s.answer(q, who)
	if err != nil {
		return &lockboxv1.QueryReply{Refusal: refusal.Of(err)}
	}
	return proto.CloneOf(reply) // what it shows goes on changing
}

func (s *stub) evaluate(nc *nats.Conn, in journal.Intent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	intent := new(lockboxv1.AccessIntent)
	if err := proto.Unmarshal(in.Data, intent); err != nil {
		return err
	}
	tool, _, err := bus.ParseIntentSubject(in.Subject)
	if err != nil {
		return err
	}
	subject, err := bus.OutcomeSubject(tool, intent.GetId())
	if err != nil {
		return err
	}
	data, err := proto.Marshal(s.submitted(intent))
	if err != nil {
		return err
	}
	return nc.Publish(subject, data)
}

// story stores events that can be replayed.
func (s *stub) story(t testing.TB, orchestrator, evaluator *nats.Conn) {
	t.Helper()
	after := map[string]uint64{}
	for _, e := range s.events {
		nc := orchestrator
		if e.GetAccessRequested() != nil || e.GetAccessEvaluated() != nil {
			nc = evaluator
		}
		j, err := journal.Open(t.Context(), nc)
		must(t, err)
		seq, err := j.Append(t.Context(), after[e.GetAggregateId()], e)
		must(t, err)
		after[e.GetAggregateId()] = seq
		j.Close()
	}
	j, err := journal.Open(t.Context(), evaluator)
	must(t, err)
	defer j.Close()
	must(t, j.PublishDeadLetter(t.Context(), client.Tool, &lockboxv1.DeadLetter{
		Service: "jit-evaluator", Subject: "lockbox.intent.console.meadowbank", Sequence: 9, Data: []byte("garbage"),
		Refusal: refusal.Of(refusal.Invalid("intent", "bad input", "cannot be read")),
	}))
}

// text is a message as compact JSON, always the same for the same message.
func text(m proto.Message) string {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return err.Error()
	}
	out, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// last is the last of what the services were sent.
func (s *stub) last(of *[]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*of) == 0 {
		return ""
	}
	return (*of)[len(*of)-1]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// named finds what has a name in a list.
func named[T any](list []T, name string, of func(T) string) (T, error) {
	i := slices.IndexFunc(list, func(item T) bool { return of(item) == name })
	if i < 0 {
		var none T
		return none, refusal.NotFound("", "I9", "there is nothing of that name that you may see")
	}
	return list[i], nil
}

func uuid(n int) string { return fmt.Sprintf("019b0000-0000-7000-8000-%012x", n) }
