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

// readers may read all of EVENTS.
var readers = []bus.Identity{bus.Evaluator, bus.Orchestrator, bus.Notifier, bus.Projector, bus.Compliance}

// shared is the bus of the tests that leave it as it was provisioned.
var shared journaltest.Shared

func TestMain(m *testing.M) { shared.Run(m) }

// readersOfKeys read what can be erased.
var readersOfKeys = []bus.Identity{bus.Evaluator, bus.Orchestrator, bus.Notifier, bus.Projector, bus.Compliance}

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
	"lockbox.event.acme.keys.keys.3.KeysSighted":         {bus.Projector},
	"lockbox.event.acme.keys.keys.3.KeyChainChanged":     {bus.Orchestrator},
	"lockbox.event.acme.attempt.r.k.SignatureRefused":    {bus.Orchestrator},
	"lockbox.event._.alarm.guard.k.DifferenceFound":      {bus.Projector},
	"lockbox.event._.alarm.guard.k.CheckpointSigned":     nil,
	// but in a repair, on a server that nobody else reaches
	"lockbox.event._.alarm.guard.k.StreamRestored":                   nil,
	"lockbox.event._.alarm.guard.k.MessageSetAside":                  {bus.Orchestrator},
	"lockbox.event.acme.delivery.r.1.CustomerApproved":               nil,
	"lockbox.event.acme.request.r.1.NotificationSent":                nil,
	"lockbox.event.acme.request.r.1.SomethingElse":                   nil,
	"lockbox.event.acme.request.r.1":                                 nil,
	"lockbox.event.acme.request.r.1.CustomerApproved.x":              nil,
	"lockbox.intent.console.acme":                                    {bus.Tool(console)},
	"lockbox.intent.console":                                         nil,
	"lockbox.intent.other.acme":                                      nil,
	"lockbox.intent.portal.acme":                                     {bus.Portal},
	"lockbox.outcome.console.i":                                      {bus.Evaluator},
	"lockbox.update.console.i":                                       {bus.Projector},
	"lockbox.updates.console":                                        {bus.Tool(console)},
	"lockbox.updates.other":                                          nil,
	"lockbox.command.EDGE.approve":                                   {bus.Client},
	"lockbox.command.PORTAL.approve":                                 {bus.Portal},
	"lockbox.command.approve":                                        nil,
	"lockbox.query.EDGE.list_requests":                               {bus.Client},
	"lockbox.query.PORTAL.list_requests":                             {bus.Portal},
	"lockbox.query.list_requests":                                    nil,
	"lockbox.access.acme.portal.PORTAL.2026-11-29":                   {bus.Portal},
	"lockbox.access.acme.audit-projector.EDGE.2026-11-29":            {bus.Projector},
	"lockbox.access.acme.lockbox-orchestrator.EDGE.2026-11-29":       {bus.Orchestrator},
	"lockbox.access.acme.jit-evaluator.tool-x.2026-11-29":            {bus.Evaluator},
	"lockbox.access.acme.notifier.EDGE.2026-11-29":                   nil,
	"lockbox.access.acme.client.EDGE.2026-11-29":                     nil,
	"lockbox.access.acme.portal":                                     nil,
	"lockbox.key.0a.0":                                               {bus.Evaluator, bus.Orchestrator, bus.Notifier},
	"lockbox.key.0a.1":                                               {bus.Orchestrator},
	"lockbox.key.destroyed.e":                                        {bus.Orchestrator},
	"lockbox.key.0a":                                                 nil,
	"LB.API.STREAM.MSG.GET.KEYS":                                     readersOfKeys,
	"LB.API.STREAM.MSG.DELETE.KEYS":                                  {bus.Orchestrator},
	"LB.API.STREAM.CREATE.KEYS":                                      {bus.Provisioner},
	"LB.API.STREAM.UPDATE.KEYS":                                      nil,
	"LB.API.STREAM.PURGE.KEYS":                                       nil,
	"LB.API.STREAM.DELETE.KEYS":                                      nil,
	"LB.API.STREAM.SNAPSHOT.KEYS":                                    nil,
	"LB.API.STREAM.RESTORE.KEYS":                                     nil,
	"LB.API.DIRECT.GET.KEYS":                                         nil,
	"LB.API.CONSUMER.MSG.NEXT.KEYS.x":                                nil,
	"LB.API.CONSUMER.CREATE.KEYS.x":                                  {bus.Provisioner},
	"LB.API.DIRECT.GET.ACCESS":                                       {bus.Projector, bus.Compliance},
	"LB.API.STREAM.INFO.ACCESS":                                      {bus.Projector, bus.Compliance, bus.Provisioner},
	"LB.API.STREAM.CREATE.ACCESS":                                    {bus.Provisioner},
	"LB.API.STREAM.UPDATE.ACCESS":                                    nil,
	"LB.API.STREAM.PURGE.ACCESS":                                     nil,
	"LB.API.STREAM.DELETE.ACCESS":                                    nil,
	"LB.API.STREAM.MSG.DELETE.ACCESS":                                nil,
	"LB.API.STREAM.MSG.GET.ACCESS":                                   nil,
	"lockbox.changed.acme":                                           {bus.Projector},
	"lockbox.lease":                                                  {bus.Projector},
	"LB.API.$KV.SESSIONS.k":                                          {bus.Portal},
	"LB.API.$KV.SESSIONS.k.l":                                        nil,
	"LB.API.$KV.OTHER.k":                                             nil,
	"$KV.SESSIONS.k":                                                 nil,
	"LB.API.DIRECT.GET.KV_SESSIONS":                                  nil,
	"LB.API.STREAM.INFO.KV_SESSIONS":                                 {bus.Portal, bus.Provisioner},
	"LB.API.STREAM.MSG.GET.KV_SESSIONS":                              {bus.Portal},
	"LB.API.CONSUMER.CREATE.KV_SESSIONS.x":                           {bus.Provisioner},
	"lockbox.timer.acme.request.r":                                   {bus.Orchestrator},
	"lockbox.due.acme.request.r":                                     nil,
	"lockbox.deadletter.jit-evaluator.console":                       {bus.Evaluator},
	"lockbox.deadletter.lockbox-orchestrator.x":                      {bus.Orchestrator},
	"lockbox.other":                                                  nil,
	"LB.API.DIRECT.GET.EVENTS":                                       readers,
	"LB.API.STREAM.MSG.GET.EVENTS":                                   readers,
	"LB.API.STREAM.INFO.EVENTS":                                      append(slices.Clone(readers), bus.Provisioner),
	"LB.API.STREAM.MSG.GET.INTENTS":                                  {bus.Evaluator},
	"LB.API.STREAM.MSG.GET.DEADLETTER":                               {bus.Compliance},
	"LB.API.STREAM.INFO.TIMERS":                                      {bus.Orchestrator, bus.Provisioner},
	"LB.API.STREAM.CREATE.EVENTS":                                    {bus.Provisioner},
	"LB.API.STREAM.CREATE.OTHER":                                     nil,
	"LB.API.STREAM.UPDATE.EVENTS":                                    nil,
	"LB.API.STREAM.DELETE.EVENTS":                                    nil,
	"LB.API.STREAM.PURGE.EVENTS":                                     nil,
	"LB.API.STREAM.PURGE.INTENTS":                                    {bus.Evaluator},
	"LB.API.STREAM.PURGE.DEADLETTER":                                 nil,
	"LB.API.STREAM.MSG.DELETE.INTENTS":                               nil,
	"LB.API.STREAM.MSG.DELETE.EVENTS":                                nil,
	"LB.API.STREAM.SNAPSHOT.EVENTS":                                  nil,
	"LB.API.STREAM.RESTORE.EVENTS":                                   nil,
	"LB.API.STREAM.LEADER.STEPDOWN.EVENTS":                           nil,
	"LB.API.STREAM.PEER.REMOVE.EVENTS":                               nil,
	"LB.API.ACCOUNT.PURGE.LOCKBOX":                                   nil,
	"LB.API.INFO":                                                    nil,
	"LB.API.STREAM.LIST":                                             nil,
	"LB.API.CONSUMER.CREATE.EVENTS.x":                                {bus.Provisioner},
	"LB.API.CONSUMER.CREATE.INTENTS.x":                               {bus.Provisioner},
	"LB.API.CONSUMER.CREATE.TIMERS.x":                                {bus.Provisioner},
	"LB.API.CONSUMER.DURABLE.CREATE.EVENTS.x":                        nil,
	"LB.API.CONSUMER.DELETE.EVENTS.notifier":                         {bus.Provisioner},
	"LB.API.CONSUMER.DELETE.INTENTS.x":                               nil,
	"LB.API.CONSUMER.RESET.EVENTS.notifier":                          nil,
	"LB.API.CONSUMER.MSG.NEXT.EVENTS.notifier":                       {bus.Notifier},
	"LB.API.CONSUMER.MSG.NEXT.EVENTS.x":                              nil,
	"LB.API.CONSUMER.PAUSE.EVENTS.notifier":                          nil,
	"LB.API.CONSUMER.UNPIN.EVENTS.notifier":                          nil,
	"$JS.ACK.INTENTS.jit-evaluator.1.1.1.1.1":                        {bus.Evaluator},
	"$JS.ACK.EVENTS.notifier.1.1.1.1.1":                              {bus.Notifier},
	"$JS.ACK.EVENTS.notifier-alarms.1.1.1.1.1":                       {bus.Notifier},
	"$JS.ACK.EVENTS.x.1.1.1.1.1":                                     nil,
	"$JS.API.STREAM.DELETE.EVENTS":                                   nil,
	"$JS.API.INFO":                                                   nil,
	"$JS.API.CONSUMER.MSG.NEXT.EVENTS.notifier":                      nil,
	"_INBOX.client.x":                                                nil,
	"_R_.x":                                                          {bus.Orchestrator, bus.Projector},
	"$SYS.REQ.SERVER.PING":                                           nil,
	"$SRV.PING":                                                      nil,
	"LB.API.CONSUMER.MSG.NEXT.INTENTS.jit-evaluator":                 {bus.Evaluator},
	"LB.API.CONSUMER.MSG.NEXT.TIMERS.lockbox-due":                    {bus.Orchestrator},
	"LB.API.CONSUMER.RESET.EVENTS.audit-projector-copy-0":            {bus.Projector},
	"LB.API.CONSUMER.MSG.NEXT.EVENTS.audit-projector-copy-4":         {bus.Projector},
	"LB.API.CONSUMER.RESET.EVENTS.compliance-copy-0":                 {bus.Compliance},
	"LB.API.CONSUMER.MSG.NEXT.EVENTS.compliance-copy-4":              {bus.Compliance},
	"LB.API.CONSUMER.DELETE.EVENTS.compliance-copy-0":                {bus.Provisioner},
	"LB.API.CONSUMER.CREATE.EVENTS.audit-projector-copy-0":           {bus.Provisioner},
	"LB.API.CONSUMER.CREATE.EVENTS.audit-projector-copy-0.lockbox.>": {bus.Provisioner},
	"LB.API.DIRECT.GET.KV_SESSIONS.$KV.SESSIONS.k":                   nil,
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
	"lockbox.command.*":          nil,
	"lockbox.command.*.*":        {bus.Orchestrator},
	"lockbox.command.EDGE.deny":  {bus.Orchestrator},
	"lockbox.query.*":            nil,
	"lockbox.query.*.*":          {bus.Projector},
	"lockbox.access.>":           nil,
	"lockbox.key.>":              nil,
	"lockbox.changed.*":          {bus.Portal},
	"lockbox.lease":              {bus.Orchestrator},
	"lockbox.changed.acme":       {bus.Portal},
	"$KV.>":                      nil,
	"$KV.SESSIONS.*":             nil,
	"lockbox.outcome.console.>":  {bus.Tool(console)},
	"lockbox.outcome.console.i":  {bus.Tool(console)},
	"lockbox.outcome.other.i":    nil,
	"lockbox.outcome.portal.i":   {bus.Portal},
	"lockbox.update.console.>":   {bus.Tool(console)},
	"lockbox.update.console.i":   {bus.Tool(console)},
	"lockbox.update.other.i":     nil,
	"lockbox.update.>":           nil,
	"lockbox.updates.*":          {bus.Projector},
	"lockbox.updates.console":    {bus.Projector},
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
	for _, id := range append(bus.Identities(), bus.Tool(console), bus.Client.Copy("a-laptop")) {
		rights := bus.Rights(id)
		if len(rights) == 0 {
			t.Errorf("%s: an empty list would allow everything", id)
		}
		for _, r := range rights {
			// Through an import of an exact subject, a pulled message was stored under the subject that it had.
			if r.Account == "LOCKBOX" && r.There == "" && !strings.ContainsAny(r.Subject, "*>") && id != bus.Tool(console) {
				t.Errorf("%s stores under exactly %s", id, r.Subject)
			}
			if r.Subject == ">" || strings.HasPrefix(r.Subject, "*") || strings.HasPrefix(r.Subject, "$JS.API") ||
				r.Subject == "_INBOX.>" {
				t.Errorf("%s may use %s", id, r.Subject)
			}
		}
	}
	for _, id := range []bus.Identity{"", "other", bus.Tool(""), bus.Tool("*"), bus.Tool("a.>"), bus.Tool("portal"),
		bus.Client.Copy(""),
		bus.Client.Copy("*"), bus.Client.Copy("a.>"), "@a"} {
		if rights := bus.Rights(id); len(rights) > 0 {
			t.Errorf("%q has rights: %+v", id, rights)
		}
	}
}

func published(rights []bus.Right) (subjects []string) {
	for _, r := range rights {
		if r.Use == bus.Publishes {
			subjects = append(subjects, r.Subject)
		}
	}
	return subjects
}

// A tool that is for some customers publishes nothing about the others; nobody else's rights are limited by that.
func TestRightsOfALimitedTool(t *testing.T) {
	got := published(bus.Rights(bus.Tool(console), "acme", "meadowbank"))
	if want := []string{"lockbox.intent.console.acme", "lockbox.intent.console.meadowbank",
		"lockbox.updates.console"}; !slices.Equal(got, want) {
		t.Errorf("publishes %v", got)
	}
	for _, tenant := range []string{"*", ">", "acme.>", "", "Acme"} {
		if rights := bus.Rights(bus.Tool(console), "acme", tenant); len(rights) > 0 {
			t.Errorf("%q: %+v", tenant, rights)
		}
	}
	got, want := published(bus.Rights(bus.Client, "acme")), published(bus.Rights(bus.Client))
	if !slices.Equal(got, want) {
		t.Errorf("the client publishes %v", got)
	}
}

// Copies of an identity have its rights and an inbox of their own.
func TestRightsOfACopy(t *testing.T) {
	one, other := bus.Client.Copy("one"), bus.Client.Copy("other")
	if got, want := published(bus.Rights(one)), published(bus.Rights(bus.Client)); !slices.Equal(got, want) {
		t.Errorf("a copy publishes %v", got)
	}
	for _, r := range bus.Rights(one) {
		if r.Use == bus.Hears && strings.HasPrefix(r.Subject, "_INBOX.") && r.Subject != "_INBOX."+string(one)+".>" ||
			strings.Contains(r.Subject, string(other)) {
			t.Errorf("a copy hears %s", r.Subject)
		}
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
		{bus.Orchestrator, bus.CommandSubject(bus.Client, "approve"), bus.AnyCommand},
		{bus.Projector, bus.QuerySubject(bus.Client, "list_requests"), bus.AnyQuery},
	} {
		nc := b.Connect(t, service.id)
		stop, err := bus.Responder{
			Name: string(service.id), Endpoint: "test", Subject: service.listen, AtOnce: 1, TimeLimit: time.Second,
			Lane:   func(string, []byte) (string, bool) { return "", true },
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
	nc := shared.Bus(t).Connect(t, bus.Provisioner)
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
			other := journaltest.New(t, 1)
			js, err := bus.JetStream(shared.Bus(t).Connect(t, bus.Provisioner))
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
			if js, err = bus.JetStream(nc); err != nil {
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

// What two rights permit, the server would deliver twice: of what is stored once, one of both is refused.
func TestNoTwoRightsPermitTheSame(t *testing.T) {
	for _, id := range append(bus.Identities(), bus.Tool("ticketing")) {
		rights := bus.Rights(id)
		for i, a := range rights {
			for j, b := range rights {
				if i != j && a.Use == bus.Publishes && b.Use == bus.Publishes && a.Account == b.Account && a.There == "" &&
					bus.Matches(a.Subject, b.Subject) {
					t.Errorf("%s may publish %s by %s as well", id, b.Subject, a.Subject)
				}
			}
		}
	}
}
