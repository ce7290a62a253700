package projector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"go.uber.org/zap/zaptest"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
)

// world is the service on a bus of its own, under the real rights.
type world struct {
	t       testing.TB
	bus     *journaltest.Bus
	servers int
	issuer  *devissuer.Issuer
	story   *story.Story
	client  *nats.Conn
	stored  int
	// after is the last event of each aggregate in the stream, in which the projector's reports stand as well.
	after map[aggregate.Key]uint64
	log   string // where the log is served
	keys  string // the directory of its keys
	vkey  string
	// policy is the file that names the log's witnesses; empty for none.
	policy string
	// Each event type has one writer.
	writers map[aggregate.Writer]*journal.Journal
}

func newWorld(t testing.TB) *world { return newWorldOf(t, 1) }

// newWorldOf has a bus of so many servers.
func newWorldOf(t testing.TB, servers int) *world {
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	must(t, err)
	w := &world{t: t, bus: journaltest.Start(t, servers), servers: servers, issuer: issuer,
		story: story.New(time.Now().UTC()), after: map[aggregate.Key]uint64{}, keys: t.TempDir()}
	keys, err := logkeys.LoadOrCreate(w.keys, "log.example/lockbox")
	must(t, err)
	w.vkey = keys.Verifiers[0]
	w.client = w.bus.Connect(t, bus.Client)
	w.writers = map[aggregate.Writer]*journal.Journal{}
	for _, id := range []bus.Identity{bus.Evaluator, bus.Orchestrator, bus.Notifier} {
		w.writers[aggregate.Writer(id)] = w.bus.Journal(t, id)
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) actor(name string) *lockboxv1.Actor {
	p, _ := devissuer.Find(name)
	side := lockboxv1.Side_SIDE_PROVIDER
	if p.Tenant != "" {
		side = lockboxv1.Side_SIDE_TENANT
	}
	return &lockboxv1.Actor{Side: side, Person: w.issuer.Person(name), Employer: p.Employer, Groups: p.Groups,
		MultiFactor: true}
}

// store appends what the story has told since, and returns the last sequence.
func (w *world) store() (last uint64) {
	w.t.Helper()
	for _, e := range w.story.Entries[w.stored:] {
		var err error
		about, writer := aggregate.KeyOf(e.Event), w.writers[aggregate.WriterOf(e.Event)]
		if about.Kind == aggregate.KindDelivery {
			last, _, err = writer.Report(w.t.Context(), e.Event)
		} else {
			last, err = writer.Append(w.t.Context(), w.after[about], e.Event)
		}
		must(w.t, err)
		w.after[about] = last
	}
	w.stored = len(w.story.Entries)
	return last
}

// run runs the service until the returned function is called.
func (w *world) run(dir string) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	to := bus.Connection{Identity: bus.Projector, Seed: w.bus.Keys[bus.Projector], Log: zaptest.NewLogger(w.t)}
	if w.servers == 1 {
		to.InProcess = w.bus
	} else {
		to.URL = w.bus.URL()
	}
	rt, err := service.Open(ctx, to, []identity.Issuer{w.issuer.ProviderIssuer()}, nil)
	must(w.t, err)
	ended := make(chan error, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.log = "http://" + listener.Addr().String()
	c := projector.Config{Dir: dir, Log: projector.LogConfig{
		SigningKeyFile: config.SecretFile(filepath.Join(w.keys, logkeys.SigningKeyFile)),
		SaltsFile:      config.SecretFile(filepath.Join(w.keys, logkeys.SaltsFile)),
		Interval:       100 * time.Millisecond, RescanEvery: time.Second, Listener: listener, PolicyFile: w.policy,
	}}
	go func() { ended <- projector.Run(ctx, rt, c) }()
	return func() {
		w.t.Helper()
		cancel()
		must(w.t, <-ended)
		rt.Close()
	}
}

// ask asks as a client does: again for as long as nobody listens.
func (w *world) ask(who string, q *lockboxv1.Query) *lockboxv1.QueryReply {
	w.t.Helper()
	token, err := w.issuer.Token(who, time.Now())
	must(w.t, err)
	q.Token = token
	data, err := proto.Marshal(q)
	must(w.t, err)
	for giveUp := time.Now().Add(20 * time.Second); ; {
		m, err := w.client.Request(bus.QuerySubject(bus.Client, bus.QueryName(q)), data, 10*time.Second)
		if err == nil {
			reply := new(lockboxv1.QueryReply)
			must(w.t, proto.Unmarshal(m.Data, reply))
			return reply
		}
		if time.Now().After(giveUp) {
			w.t.Fatal(err)
		}
	}
}

func TestOnTheBus(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	const bank = devissuer.TenantBank
	w.story.Create(bank, "Meadow Bank", w.issuer.TenantIssuer(bank), w.actor("grace"))
	w.story.Subscription(bank, "prod", "Production")
	id := w.story.Submit(w.actor("erin"), story.Dump(bank, "prod", "vm1"))
	w.story.Mail(bank, id, "grace@meadowbank.example")
	w.store()
	stop := w.run(dir)
	get := &lockboxv1.Query{Tenant: bank,
		Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}
	if got := w.ask("grace",
		get).GetRequest(); got.GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED ||
		len(got.GetTimeline()) != 4 {
		t.Fatalf("at first: %v", got)
	}
	// Whoever shows it hears that there is something new, and nothing more.
	portal := w.bus.Connect(t, bus.Portal)
	hints, err := portal.SubscribeSync(bus.AnyChanged)
	must(t, err)
	must(t, portal.Flush())

	// People read their own writes.
	w.story.Command(w.actor("grace"), story.Approve(bank, id))
	get.MinSequence = w.store()
	if got := w.ask("grace", get); got.GetRequest().GetStatus() != lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE ||
		got.GetSequence() < get.GetMinSequence() {
		t.Fatalf("after the approval: %v", got)
	}
	hint, err := hints.NextMsg(10 * time.Second)
	must(t, err)
	if tenant, err := bus.ParseChangedSubject(hint.Subject); err != nil || tenant != bank || len(hint.Data) != 0 {
		t.Errorf("hint %s %q, %v", hint.Subject, hint.Data, err)
	}
	if got := w.ask("hana", get).GetRefusal().GetCode(); got != lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED {
		t.Errorf("a token of a tenant that does not exist: %v", got)
	}
	stop()

	// What was stored while it was down is there when it answers again, from the old file or from a new one.
	other := w.story.Submit(w.actor("erin"), story.Dump(bank, "prod", "vm2"))
	last := w.store()
	for _, d := range []string{dir, t.TempDir()} {
		stop := w.run(d)
		list := &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}}
		got := w.ask("grace", list)
		if rs := got.GetRequests().GetRequests(); len(rs) != 2 || rs[0].GetRequestId() != other ||
			rs[1].GetRequestId() != id || got.GetSequence() < last {
			t.Errorf("after a restart: %v", got)
		}
		stop()
	}
}

// control: nist:AU-9
func TestTheLogToWhomItConcerns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const bank = devissuer.TenantBank
	w.story.Create(bank, "Meadow Bank", w.issuer.TenantIssuer(bank), w.actor("grace"))
	w.story.Subscription(bank, "prod", "Production")
	w.story.Assign(w.actor("grace"), bank, "prod", "a1", w.actor("otto"), lockboxv1.Role_ROLE_OWNER, false)
	w.story.Create(devissuer.TenantHealth, devissuer.TenantHealthName, w.issuer.TenantIssuer(devissuer.TenantHealth),
		w.actor("hana"))
	id := w.story.Submit(w.actor("erin"), story.Dump(bank, "prod", "vm1"))
	w.story.Command(w.actor("otto"), story.Approve(bank, id))
	w.store()
	defer w.run(t.TempDir())()

	get := &lockboxv1.Query{Tenant: bank,
		Ask: &lockboxv1.Query_GetReceipt{GetReceipt: &lockboxv1.GetReceipt{RequestId: id}}}
	receipt := w.ask("grace", get)
	const unavailable = lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
	giveUp := time.Now().Add(20 * time.Second)
	for receipt.GetRefusal().GetCode() == unavailable && time.Now().Before(giveUp) {
		time.Sleep(50 * time.Millisecond)
		receipt = w.ask("grace", get)
	}
	policy, err := merkle.ParsePolicy([]byte("log " + w.vkey + "\nquorum none\n"))
	must(t, err)
	report, err := merkle.VerifyReceipt(receipt.GetReceipt().GetFile(), policy)
	if err != nil {
		t.Fatalf("%v: %v", receipt.GetRefusal(), err)
	}
	var told []*lockboxv1.Event
	for _, e := range w.story.Entries {
		if e.Event.GetAggregateId() == id {
			told = append(told, e.Event)
		}
	}
	if len(report.Events) != len(told) || !report.Complete() {
		t.Fatalf("the receipt has %d events of %d: %+v", len(report.Events), len(told), report.Head)
	}
	for i, e := range report.Events {
		counted := told[i].GetAccessEvaluated().GetFacts().GetHistory() != nil
		shown := new(lockboxv1.Event)
		must(t, proto.Unmarshal(e.Bytes, shown))
		if e.Withheld != counted || !e.Withheld && (!proto.Equal(shown, told[i]) || !bus.Agrees(e.Subject, shown)) {
			t.Errorf("event %d, %s: withheld %t, %v", i, e.Subject, e.Withheld, shown)
		}
	}
	for who, want := range map[string]string{"grace": w.vkey, "olga": w.vkey, "erin": ""} {
		asked := &lockboxv1.Query{Tenant: bank,
			Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}}
		if got := w.ask(who, asked); got.GetRequest() == nil || got.GetRequest().GetLogKey() != want {
			t.Errorf("%s reads the key %q, want %q: %v", who, got.GetRequest().GetLogKey(), want, got.GetRefusal())
		}
	}
	for who, want := range map[string]lockboxv1.RefusalCode{
		"olga": lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED, "otto": lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED,
		"erin": lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "hana": lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND,
	} {
		if got := w.ask(who, get).GetRefusal().GetCode(); got != want {
			t.Errorf("%s asks for the receipt: %v", who, got)
		}
	}

	foreign := w.get("hana", "/tenants/"+bank+"/tile/entries/000.p/1")
	for _, c := range []struct {
		who, path string
		want      int
	}{
		{"", "/checkpoint", http.StatusOK},
		{"", "/growth?size=1", http.StatusOK},
		{"", "/growth?size=999", http.StatusNotFound},
		{"", "/growth?size=x", http.StatusBadRequest},
		{"", "/tile/0/000.p/1", http.StatusOK},
		{"", "/tile/entries/000.p/1", http.StatusOK},
		{"", "/tile/entries/001", http.StatusNotFound},
		{"", "/tile/0/000.p/0", http.StatusNotFound},
		{"", "/tile/events/000.p/1", http.StatusNotFound},
		{"", "/tenants/" + bank + "/checkpoint", http.StatusUnauthorized},
		{"", "/tenants/" + bank + "/tile/0/000.p/1", http.StatusUnauthorized},
		{"grace", "/tenants/" + bank + "/checkpoint", http.StatusOK},
		{"hana", "/tenants/" + bank + "/checkpoint", http.StatusNotFound},
		{"grace", "/tenants/_/checkpoint", http.StatusNotFound},
		{"grace", "/tenants/" + bank + "/sighting?format=2", http.StatusOK},
		{"grace", "/tenants/" + bank + "/tile/0/000.p/1", http.StatusOK},
		{"grace", "/tenants/" + bank + "/tile/entries/000.p/1", http.StatusOK},
		{"grace", "/tenants/" + bank + "/events/000.p/1", http.StatusNotFound},
		{"grace", "/tenants/" + bank + "/events/1", http.StatusOK},
		{"olga", "/tenants/" + bank + "/events/1?count=1", http.StatusOK},
		{"grace", "/tenants/" + bank + "/events/0", http.StatusNotFound},
		{"grace", "/tenants/" + bank + "/events/01", http.StatusNotFound},
		{"grace", "/tenants/" + bank + "/events/99999", http.StatusNotFound},
		{"grace", "/tenants/" + bank + "/events/1?count=x", http.StatusBadRequest},
		{"grace", "/tenants/_/events/1", http.StatusNotFound},
		{"grace", "/tenants/" + devissuer.TenantHealth + "/events/1", http.StatusNotFound},
		{"otto", "/tenants/" + bank + "/events/1", http.StatusNotFound}, // owns a subscription, and sees no more than that
		{"erin", "/tenants/" + bank + "/events/1", http.StatusNotFound},
		{"hana", "/tenants/" + bank + "/events/1", http.StatusNotFound},
		{"", "/tenants/" + bank + "/events/1", http.StatusUnauthorized},
		{"grace", "/tenants/" + bank + "/tile/%2e%2e/events/000.p/1", http.StatusNotFound},
		{"grace", "/tenants/" + devissuer.TenantHealth + "/sighting", http.StatusNotFound},
		{"grace", "/tenants/nobody/sighting", http.StatusNotFound},
		{"grace", "/tenants/_/sighting", http.StatusNotFound},
		{"olga", "/tenants/" + bank + "/sighting?format=2", http.StatusOK},
		{"olga", "/tenants/" + bank + "/sighting", http.StatusBadRequest}, // would take the format for a contradiction
		{"otto", "/tenants/" + bank + "/sighting", http.StatusNotFound},   // owns a subscription, and sees no more than that
		{"erin", "/tenants/" + bank + "/sighting", http.StatusNotFound},
		{"hana", "/tenants/" + bank + "/sighting", http.StatusNotFound},
		{"", "/tenants/" + bank + "/sighting", http.StatusUnauthorized},
		{"", "/tenants/nobody/sighting", http.StatusUnauthorized},
	} {
		got := w.get(c.who, c.path)
		if got.status != c.want {
			t.Errorf("%q gets %s: %d %q", c.who, c.path, got.status, got.body)
		}
		if c.want == http.StatusNotFound && got.body != foreign.body {
			t.Errorf("%q gets %s: %q", c.who, c.path, got.body)
		}
	}
	w.tiled("", "", "log.example/lockbox")
	if tree := w.tiled("grace", "/tenants/"+bank, "log.example/lockbox/tenants/"+bank); tree.N < int64(len(told)) {
		t.Errorf("the tenant's tree has %d entries", tree.N)
	}
	var bundle merkle.Bundle
	must(t, json.Unmarshal([]byte(w.get("grace", "/tenants/"+bank+"/events/1").body), &bundle))
	place := 0
	for _, e := range w.story.Entries {
		if e.Event.GetTenant() != bank {
			continue
		}
		is := bundle.Events[place]
		counted := e.Event.GetAccessEvaluated().GetFacts().GetHistory() != nil
		if is.Withheld != counted || counted == (is.Salt != nil) || !counted && !bytes.Equal(is.Bytes, e.Data) {
			t.Errorf("of %s it shows %+v", e.Subject, is)
		}
		place++
	}
	var next merkle.Sighting
	must(t, json.Unmarshal([]byte(w.get("grace", "/tenants/"+bank+"/sighting?format=2").body), &next))
	seen, err := merkle.Follow(merkle.Seen{Tenant: bank}, next, policy)
	must(t, err)
	if uint64(seen.Opening.Size) < uint64(len(told)) {
		t.Errorf("the tenant's tree has %d events", seen.Opening.Size)
	}
}

// served reads tiles over HTTP, as any client of C2SP tlog-tiles does.
type served struct {
	*world
	who, prefix string
}

func (served) Height() int                     { return 8 }
func (served) SaveTiles([]tlog.Tile, [][]byte) {}

func (s served) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, t := range tiles {
		got := s.get(s.who, s.prefix+"/tile"+strings.TrimPrefix(t.Path(), "tile/8"))
		if got.status != http.StatusOK {
			return nil, fmt.Errorf("%s: %d", t.Path(), got.status)
		}
		all = append(all, []byte(got.body))
	}
	return all, nil
}

// tiled reads the tree that is served under a prefix with its checkpoint: every entry is the leaf that the root
// stands on.
func (w *world) tiled(who, prefix, origin string) tlog.Tree {
	w.t.Helper()
	key, err := note.NewVerifier(strings.TrimSpace(w.vkey))
	must(w.t, err)
	opened, err := note.Open([]byte(w.get(who, prefix+"/checkpoint").body), note.VerifierList(key))
	must(w.t, err)
	is, err := merkle.ParseCheckpoint(opened.Text)
	must(w.t, err)
	if is.Origin != origin || is.Tree.N == 0 || is.Tree.N >= 256 {
		w.t.Errorf("the checkpoint is of %s, %d entries", is.Origin, is.Tree.N)
	}
	entries, err := merkle.Entries([]byte(w.get(who, fmt.Sprintf("%s/tile/entries/000.p/%d", prefix, is.Tree.N)).body))
	must(w.t, err)
	hashes := tlog.TileHashReader(is.Tree, served{w, who, prefix})
	for i, e := range entries {
		found, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		must(w.t, err)
		if found[0] != tlog.RecordHash(e) {
			w.t.Errorf("%s: entry %d is not its leaf", origin, i)
		}
		if prefix == "" && strings.Contains(string(e), devissuer.TenantBank) {
			w.t.Errorf("entry %d names a tenant: %q", i, e)
		}
	}
	if int64(len(entries)) != is.Tree.N {
		w.t.Errorf("%s: %d entries of %d", origin, len(entries), is.Tree.N)
	}
	return is.Tree
}

type got struct {
	status int
	body   string
}

func (w *world) get(who, path string) got {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.log+path, nil)
	must(w.t, err)
	if who != "" {
		token, err := w.issuer.Token(who, time.Now())
		must(w.t, err)
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	must(w.t, err)
	body, err := io.ReadAll(answer.Body)
	must(w.t, errors.Join(err, answer.Body.Close()))
	return got{answer.StatusCode, string(body)}
}

func TestAConfigurationThatCannotWork(t *testing.T) {
	t.Parallel()
	whole := projector.Config{Dir: "d", Log: projector.LogConfig{SigningKeyFile: "k", SaltsFile: "s"}}
	must(t, whole.Check())
	for field, spoil := range map[string]func(*projector.Config){
		"dir":                  func(c *projector.Config) { c.Dir = "" },
		"log.signing_key_file": func(c *projector.Config) { c.Log.SigningKeyFile = "" },
		"log.salts_file":       func(c *projector.Config) { c.Log.SaltsFile = "" },
		"log.interval":         func(c *projector.Config) { c.Log.Interval = time.Minute },
	} {
		c := whole
		spoil(&c)
		if r, is := refusal.As(projector.Run(t.Context(), &service.Runtime{}, c)); !is || r.GetField() != field {
			t.Errorf("%s: %v", field, r)
		}
	}
}

// BenchmarkRebuildFromTheBus reads, decodes and writes everything, until the first answer.
func BenchmarkRebuildFromTheBus(b *testing.B) {
	w := newWorld(b)
	w.story = story.Crowd(5000)
	w.store()
	b.ResetTimer()
	for range b.N {
		stop := w.run(b.TempDir())
		w.ask("olga", &lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}})
		stop()
	}
	b.ReportMetric(float64(b.N*w.stored)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(w.stored), "events")
}
