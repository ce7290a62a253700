package bus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	console = "console"
)

// Who may publish what. An identity that a row does not name is denied.
var publish = map[string][]bus.Identity{
	"lockbox.event.acme.request.r.1.AccessRequested":     {bus.Evaluator},
	"lockbox.event.acme.request.r.2.AccessEvaluated":     {bus.Evaluator},
	"lockbox.event.acme.request.r.3.CustomerApproved":    {bus.Orchestrator},
	"lockbox.event.acme.request.r.4.AccessGranted":       {bus.Orchestrator},
	"lockbox.event.acme.tenant.acme.1.TenantCreated":     {bus.Orchestrator},
	"lockbox.event.acme.subscription.s.2.RoleAssigned":   {bus.Orchestrator},
	"lockbox.event.acme.ticket.t.1.TicketOpened":         {bus.Orchestrator},
	"lockbox.event.acme.delivery.r.n.NotificationSent":   {bus.Notifier},
	"lockbox.event.acme.delivery.r.n.NotificationFailed": {bus.Notifier},
	"lockbox.event._.checkpoint.log.17.CheckpointSigned": {bus.Projector},
	"lockbox.event._.alarm.guard.k.DifferenceFound":      {bus.Projector},
	"lockbox.event._.alarm.guard.k.CheckpointSigned":     nil,
	// but in a repair, on a server that nobody else reaches
	"lockbox.event._.alarm.guard.k.StreamRestored":      nil,
	"lockbox.event.acme.delivery.r.1.CustomerApproved":  nil,
	"lockbox.event.acme.request.r.1.NotificationSent":   nil,
	"lockbox.event.acme.request.r.1.SomethingElse":      nil,
	"lockbox.event.acme.request.r.1":                    nil,
	"lockbox.event.acme.request.r.1.CustomerApproved.x": nil,
	"lockbox.intent.console.acme":                       {bus.Tool(console)},
	"lockbox.intent.console":                            nil,
	"lockbox.intent.other.acme":                         nil,
	"lockbox.outcome.console.i":                         {bus.Evaluator},
	"lockbox.command.approve":                           {bus.Client, bus.Portal},
	"lockbox.query.list_requests":                       {bus.Client, bus.Portal},
	"lockbox.changed.acme":                              {bus.Projector},
	"lockbox.lease":                                     {bus.Projector},
	"$KV.SESSIONS.k":                                    {bus.Portal},
	"$KV.SESSIONS.k.l":                                  nil,
	"$KV.OTHER.k":                                       nil,
	"$JS.API.DIRECT.GET.KV_SESSIONS.$KV.SESSIONS.k":     nil,
	"$JS.API.DIRECT.GET.KV_SESSIONS":                    nil,
	"$JS.API.STREAM.INFO.KV_SESSIONS":                   {bus.Portal, bus.Provisioner},
	"$JS.API.STREAM.MSG.GET.KV_SESSIONS":                {bus.Portal},
	"$JS.API.CONSUMER.CREATE.KV_SESSIONS.x":             {bus.Provisioner},
	"lockbox.timer.acme.request.r":                      {bus.Orchestrator},
	"lockbox.due.acme.request.r":                        nil,
	"lockbox.deadletter.jit-evaluator":                  {bus.Evaluator},
	"lockbox.deadletter.lockbox-orchestrator":           {bus.Orchestrator},
	"lockbox.other":                                     nil,
	"$JS.API.DIRECT.GET.EVENTS": {bus.Evaluator, bus.Orchestrator, bus.Notifier,
		bus.Projector, bus.Compliance},
	"$JS.API.STREAM.MSG.GET.EVENTS": {bus.Evaluator, bus.Orchestrator, bus.Notifier,
		bus.Projector, bus.Compliance},
	"$JS.API.STREAM.MSG.GET.INTENTS":    nil,
	"$JS.API.STREAM.MSG.GET.DEADLETTER": {bus.Compliance},
	"$JS.API.STREAM.INFO.EVENTS": {bus.Evaluator, bus.Orchestrator, bus.Notifier,
		bus.Projector, bus.Compliance, bus.Provisioner},
	"$JS.API.STREAM.INFO.TIMERS":                       {bus.Orchestrator, bus.Provisioner},
	"$JS.API.STREAM.CREATE.EVENTS":                     {bus.Provisioner},
	"$JS.API.STREAM.CREATE.OTHER":                      nil,
	"$JS.API.STREAM.UPDATE.EVENTS":                     nil,
	"$JS.API.STREAM.DELETE.EVENTS":                     nil,
	"$JS.API.STREAM.PURGE.EVENTS":                      nil,
	"$JS.API.STREAM.MSG.DELETE.EVENTS":                 nil,
	"$JS.API.STREAM.SNAPSHOT.EVENTS":                   nil,
	"$JS.API.STREAM.RESTORE.EVENTS":                    nil,
	"$JS.API.STREAM.LEADER.STEPDOWN.EVENTS":            nil,
	"$JS.API.STREAM.PEER.REMOVE.EVENTS":                nil,
	"$JS.API.ACCOUNT.PURGE.LOCKBOX":                    nil,
	"$JS.API.INFO":                                     nil,
	"$JS.API.STREAM.LIST":                              nil,
	"$JS.API.CONSUMER.CREATE.EVENTS.x.lockbox.event.>": {bus.Projector, bus.Compliance, bus.Provisioner},
	"$JS.API.CONSUMER.CREATE.EVENTS.x":                 {bus.Projector, bus.Compliance, bus.Provisioner},
	"$JS.API.CONSUMER.CREATE.INTENTS.x":                {bus.Provisioner},
	"$JS.API.CONSUMER.CREATE.TIMERS.x":                 {bus.Provisioner},
	"$JS.API.CONSUMER.CREATE.EVENTS.x.lockbox.event.*.request.*.*.*": {bus.Evaluator, bus.Projector, bus.Compliance,
		bus.Provisioner},
	"$JS.API.CONSUMER.CREATE.EVENTS.x.lockbox.event.*.tenant.*.*.*": {bus.Projector, bus.Compliance, bus.Provisioner},
	"$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.x":                      nil,
	"$JS.API.CONSUMER.DELETE.EVENTS.notifier":                       {bus.Evaluator, bus.Projector, bus.Compliance},
	"$JS.API.CONSUMER.DELETE.INTENTS.jit-evaluator":                 nil,
	"$JS.API.CONSUMER.MSG.NEXT.INTENTS.jit-evaluator":               {bus.Evaluator},
	"$JS.API.CONSUMER.MSG.NEXT.TIMERS.lockbox-due":                  {bus.Orchestrator},
	"$JS.ACK.INTENTS.jit-evaluator.1.1.1.1.1":                       {bus.Evaluator},
	"$JS.ACK.EVENTS.notifier.1.1.1.1.1":                             {bus.Notifier},
	"$JS.ACK.EVENTS.lockbox-orchestrator.1.1.1.1.1":                 {bus.Orchestrator},
	"$JS.ACK.EVENTS.notifier-alarms.1.1.1.1.1":                      {bus.Notifier},
	"$JS.ACK.EVENTS.x.1.1.1.1.1":                                    {bus.Projector},
	"$JS.ACK.INTENTS.x.1.1.1.1.1":                                   nil,
	"_INBOX.client.x":                                               nil,
	"$SYS.REQ.SERVER.PING":                                          nil,
	"$SRV.PING":                                                     nil,
}

// Who may listen where.
var subscribe = map[string][]bus.Identity{
	">":                          nil,
	"*":                          nil,
	"lockbox.>":                  nil,
	"lockbox.event.>":            nil,
	"lockbox.event.acme.>":       nil,
	"lockbox.intent.>":           nil,
	"lockbox.intent.console.*":   nil,
	"lockbox.due.>":              nil,
	"lockbox.command.*":          {bus.Orchestrator},
	"lockbox.command.approve":    {bus.Orchestrator},
	"lockbox.query.*":            {bus.Projector},
	"lockbox.changed.*":          {bus.Portal},
	"lockbox.lease":              {bus.Orchestrator},
	"lockbox.changed.acme":       {bus.Portal},
	"$KV.>":                      nil,
	"$KV.SESSIONS.*":             nil,
	"lockbox.outcome.console.>":  {bus.Tool(console)},
	"lockbox.outcome.console.i":  {bus.Tool(console)},
	"lockbox.outcome.other.i":    nil,
	"lockbox.outcome.>":          nil,
	"_INBOX.>":                   nil,
	"_INBOX.*.x":                 nil,
	"_INBOX.client.>":            {bus.Client},
	"_INBOX.audit-projector.x.*": {bus.Projector},
	"$JS.EVENT.>":                nil,
	"$JS.API.>":                  nil,
	"$JS.ACK.>":                  nil,
	"$SYS.>":                     nil,
	"$SRV.PING":                  {bus.Orchestrator, bus.Projector},
}

// control: nist:AC-6, nist:AU-9, iso:8.15
func TestRights(t *testing.T) {
	b := journaltest.New(t, 1)
	for _, id := range append(bus.Identities(), bus.Tool(console)) {
		for subject, allowed := range publish {
			err := attempt(t, b, id, func(nc *nats.Conn) error { return nc.Publish(subject, nil) })
			if errors.Is(err, nats.ErrPermissionViolation) == slices.Contains(allowed, id) {
				t.Errorf("%s publishes %s: %v", id, subject, err)
			}
		}
		for subject, allowed := range subscribe {
			err := attempt(t, b, id, func(nc *nats.Conn) error {
				_, err := nc.SubscribeSync(subject)
				return err
			})
			if errors.Is(err, nats.ErrPermissionViolation) == slices.Contains(allowed, id) {
				t.Errorf("%s subscribes %s: %v", id, subject, err)
			}
		}
	}
}

// attempt does something on a new connection and returns what the server said of it.
func attempt(t *testing.T, b *journaltest.Bus, id bus.Identity, do func(*nats.Conn) error) error {
	t.Helper()
	nc, err := bus.Connect(bus.Connection{InProcess: b, Identity: id, Seed: b.Keys[id]})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := do(nc); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	return nc.LastError()
}

func TestRightsAreAllowListsWithoutSurprises(t *testing.T) {
	for _, id := range append(bus.Identities(), bus.Tool(console)) {
		rights := bus.Rights(id)
		if len(rights.Publish) == 0 || len(rights.Subscribe) == 0 {
			t.Errorf("%s: an empty list would allow everything: %+v", id, rights)
		}
		for _, subject := range slices.Concat(rights.Publish, rights.Subscribe) {
			if subject == ">" || strings.HasPrefix(subject, "*") || subject == "$JS.>" || subject == "$JS.API.>" ||
				subject == "_INBOX.>" {
				t.Errorf("%s may use %s", id, subject)
			}
		}
	}
	for _, id := range []bus.Identity{"", "other", bus.Tool(""), bus.Tool("*"), bus.Tool("a.>")} {
		if rights := bus.Rights(id); len(rights.Publish)+len(rights.Subscribe) > 0 || rights.AllowResponses {
			t.Errorf("%q has rights: %+v", id, rights)
		}
	}
}

// A tool that is for some customers publishes nothing about the others; nobody else's rights are limited by that.
func TestRightsOfALimitedTool(t *testing.T) {
	rights := bus.Rights(bus.Tool(console), "acme", "meadowbank")
	if want := []string{"lockbox.intent.console.acme", "lockbox.intent.console.meadowbank"}; !slices.Equal(rights.Publish,
		want) {
		t.Errorf("publishes %v", rights.Publish)
	}
	for _, tenant := range []string{"*", ">", "acme.>", "", "Acme"} {
		if rights := bus.Rights(bus.Tool(console), "acme", tenant); len(rights.Publish)+len(rights.Subscribe) > 0 {
			t.Errorf("%q: %+v", tenant, rights)
		}
	}
	if got, want := bus.Rights(bus.Client, "acme"), bus.Rights(bus.Client); !slices.Equal(got.Publish, want.Publish) {
		t.Errorf("the client publishes %v", got.Publish)
	}
}

// A service answers the requests that it received, and nothing else.
func TestServicesAnswer(t *testing.T) {
	b := journaltest.New(t, 1)
	for _, service := range []struct {
		id      bus.Identity
		subject string
		listen  string
	}{
		{bus.Orchestrator, bus.CommandSubject("approve"), bus.CommandSubject("*")},
		{bus.Projector, bus.QuerySubject("list_requests"), bus.QuerySubject("*")},
	} {
		nc := b.Connect(t, service.id)
		stop, err := bus.Responder{
			Name: string(service.id), Endpoint: "test", Subject: service.listen, AtOnce: 1, TimeLimit: time.Second,
			Answer: func(context.Context, string, []byte) proto.Message { return wrapperspb.String("done") },
			Log:    zap.NewNop(),
		}.Serve(t.Context(), nc)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil { // the server knows who listens
			t.Fatal(err)
		}
		client := b.Connect(t, bus.Client)
		if m, err := client.Request(service.subject, nil, 5*time.Second); err != nil || text(t, m) != "done" {
			t.Errorf("%s: %v, %v", service.id, m, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := nc.LastError(); err != nil {
			t.Errorf("%s: %v", service.id, err)
		}
	}
}

func TestProvision(t *testing.T) {
	b := journaltest.Start(t, 1)
	nc := b.Connect(t, bus.Provisioner)
	if err := bus.Provision(t.Context(), nc, 1); err != nil {
		t.Errorf("again: %v", err)
	}
	var drift *bus.DriftError
	if err := bus.Provision(t.Context(), nc, 3); !errors.As(err, &drift) || drift.Setting != "Replicas" {
		t.Errorf("fewer replicas than asked for: %v", err)
	}
}

// R38: nothing in EVENTS expires or can be replaced or deleted.
//
// control: nist:AU-9, iso:8.15
func TestProvisionRefusesWeakerStreams(t *testing.T) {
	for setting, weaken := range map[string]func(*jetstream.StreamConfig){
		"DenyPurge":            func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"DenyDelete":           func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"MaxAge":               func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"MaxMsgs":              func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 },
		"MaxBytes":             func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"DiscardNewPerSubject": func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = false },
		"MaxMsgsPerSubject":    func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 },
		"Storage":              func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"Subjects":             func(c *jetstream.StreamConfig) { c.Subjects = []string{"lockbox.event.acme.>"} },
		"AllowAtomicPublish":   func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			ours := journaltest.Start(t, 1)
			other := journaltest.New(t, 1)
			js, err := jetstream.New(ours.Connect(t, bus.Provisioner))
			if err != nil {
				t.Fatal(err)
			}
			stream, err := js.Stream(t.Context(), bus.StreamEvents)
			if err != nil {
				t.Fatal(err)
			}
			config := stream.CachedInfo().Config
			weaken(&config)
			nc := other.Connect(t, bus.Provisioner)
			if js, err = jetstream.New(nc); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			var drift *bus.DriftError
			if err := bus.Provision(context.Background(), nc, 1); !errors.As(err, &drift) || drift.Setting != setting ||
				drift.Stream != bus.StreamEvents {
				t.Errorf("%v", err)
			}
		})
	}
}

// The evaluator may read requests through consumers that it makes, and the server holds them to that.
func TestTheEvaluatorReplaysRequestsAndNothingElse(t *testing.T) {
	const requests = "lockbox.event.*.request.*.*.*"
	b := journaltest.New(t, 1)
	if err := bus.Provision(t.Context(), b.Connect(t, bus.Provisioner), 1); err != nil {
		t.Fatal(err)
	}
	nc := b.Connect(t, bus.Evaluator)
	for filter, made := range map[string]bool{
		`"filter_subject":"` + requests + `"`:                      true,
		`"filter_subject":"lockbox.event.*.tenant.*.*.*"`:          false,
		`"filter_subject":"lockbox.event.>"`:                       false,
		`"filter_subjects":["lockbox.event.>"]`:                    false,
		`"filter_subjects":["` + requests + `","lockbox.event.>"]`: false,
		`"description":"no filter"`:                                false,
	} {
		config := `{"stream_name":"EVENTS","config":{"name":"x","deliver_policy":"all","ack_policy":"none","replay_policy":"instant","mem_storage":true,"inactive_threshold":1000000000,` + filter + `}}`
		reply, err := nc.Request("$JS.API.CONSUMER.CREATE.EVENTS.x."+requests, []byte(config), 5*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		if refused := strings.Contains(string(reply.Data), `"error"`); refused == made {
			t.Errorf("%s: %s", filter, reply.Data)
		}
	}
}
