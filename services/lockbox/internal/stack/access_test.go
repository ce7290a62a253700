package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/forwarder"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	signIn  = lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN
	failed  = lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED
	refused = lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED
	read    = lockboxv1.AccessKind_ACCESS_KIND_READ
	exports = lockboxv1.AccessKind_ACCESS_KIND_EXPORT
)

// startWithPortal is start with a portal at which people can sign in.
func startWithPortal(t *testing.T) *lockbox {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := emptyOf(t, request.DefaultTerms(), devissuer.Config{URL: "http://" + listener.Addr().String()})
	server := &http.Server{Handler: l.issuer.Handler(), ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
	l.config.Portal = &portal.Config{Listen: "127.0.0.1:0", Organisations: demo.Organisations(l.issuer)}
	l.restart(0)
	return l
}

// looked lists access records as a persona.
func (l *lockbox) looked(as, tenant string, ask *lockboxv1.ListAccess) *lockboxv1.QueryReply {
	l.Helper()
	for {
		reply := l.query(&lockboxv1.Query{Tenant: tenant, Token: l.token(as),
			Ask: &lockboxv1.Query_ListAccess{ListAccess: ask}})
		// Otherwise the records are still being read.
		if reply.GetRefusal().GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
			return reply
		}
	}
}

func (l *lockbox) records(as, tenant string) []*lockboxv1.AccessRecord {
	l.Helper()
	reply := l.looked(as, tenant, &lockboxv1.ListAccess{Limit: 1000})
	if reply.GetRefusal() != nil {
		l.Fatalf("%s may not list them: %v", as, reply.GetRefusal())
	}
	return reply.GetAccess().GetRecords()
}

// recorded waits until a persona is shown such a record.
func (l *lockbox) recorded(as, what string, is func(*lockboxv1.AccessRecord) bool) (found *lockboxv1.AccessRecord) {
	l.Helper()
	within(l.T, patience, "a record: "+what, func() bool {
		records := l.records(as, bank)
		if i := slices.IndexFunc(records, is); i >= 0 {
			found = records[i]
		}
		return found != nil
	})
	return found
}

func of(kind lockboxv1.AccessKind, subject, action, about string) func(*lockboxv1.AccessRecord) bool {
	return func(r *lockboxv1.AccessRecord) bool {
		return r.GetKind() == kind && strings.Contains(r.GetWho().GetSubject(), subject) &&
			(subject != "" || r.GetWho() == nil) && r.GetAction() == action && r.GetAboutId() == about
	}
}

// hook receives what a forwarder sends, and keeps CloudEvents by type.
type hook struct {
	mu   sync.Mutex
	seen map[string][]map[string]any
}

func (h *hook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	event := map[string]any{}
	_ = json.Unmarshal(body, &event)
	h.mu.Lock()
	defer h.mu.Unlock()
	typ := fmt.Sprint(event["type"])
	h.seen[typ] = append(h.seen[typ], event)
}

func (h *hook) count(typ string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen[typ])
}

// forwards sends everything of the bank to a webhook.
func (l *lockbox) forwards(dir string) (h *hook, stop func()) {
	l.Helper()
	h = &hook{seen: map[string][]map[string]any{}}
	server := httptest.NewServer(h)
	key := filepath.Join(l.TempDir(), "key")
	_, err := forwarder.CreateKey(key)
	must(l, err)
	c := forwarder.Config{Cursors: dir, Targets: []forwarder.Target{{Name: "siem", Tenant: bank,
		Webhook: forwarder.Webhook{URL: server.URL, KeyFile: config.SecretFile(key)}}}}
	must(l, c.Check())
	ctx, cancel := context.WithCancel(l.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&forwarder.Forwarder{Config: c, Source: l.watch, Now: time.Now, Log: zap.NewNop()}).Run(ctx)
	}()
	return h, func() {
		cancel()
		must(l, <-ended)
		server.Close()
	}
}

// An administrator signs in, a stranger's command is refused, one of the provider's people reads a request, and an
// auditor exports the log: the customer is shown all four, and so is its SIEM (R69).
//
// control: nist:AU-2, nist:AU-3
func TestR69WhoLookedIsShownToTheCustomerAndForwarded(t *testing.T) {
	t.Parallel()
	l := startWithPortal(t)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	url := l.stack.PortalURL()

	// The sign-ins.
	page := url + "/t/" + bank
	grace, err := visitor.SignIn(t.Context(), page, "grace")
	must(t, err)
	answer, err := http.Get(url + "/callback?state=nobody's&code=x")
	must(t, err)
	must(t, answer.Body.Close())
	// The stranger.
	c := approve(id)
	c.Token = forged(t, l)
	if r := l.answered("", c, unauthenticated).GetRefusal(); r.GetCode() != unauthenticated {
		t.Fatal(r)
	}
	l.mayNot("erin", approve(id), forbidden, "I10")
	// The reads: about the customer, and across customers.
	for _, tenant := range []string{bank, ""} {
		l.query(&lockboxv1.Query{Tenant: tenant, Token: l.token("erin"), Ask: &lockboxv1.Query_GetRequest{
			GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	}
	l.query(&lockboxv1.Query{Token: l.token("olga"), Ask: &lockboxv1.Query_ListRequests{
		ListRequests: &lockboxv1.ListRequests{Statuses: []lockboxv1.RequestStatus{request.CustomerNotified}}}})
	// The export.
	audrey, err := visitor.SignIn(t.Context(), page, "audrey")
	must(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		page+"/activity/export?format=csv&person=erin&from=2020-01-01T00:00", nil)
	must(t, err)
	file, err := visitor.Read(audrey, r)
	must(t, err)
	if file.Status != http.StatusOK || !strings.HasPrefix(file.Body, "sequence,") {
		t.Fatal(file)
	}

	cursors := t.TempDir()
	h, stop := l.forwards(cursors)
	seen := map[string]*lockboxv1.AccessRecord{
		"sign_in": l.recorded("grace", "grace's sign-in", func(r *lockboxv1.AccessRecord) bool {
			return of(signIn, "grace", "", "")(r) && r.GetSender() == "PORTAL" && r.GetService() == "portal" &&
				r.GetWho().GetSide() == lockboxv1.Side_SIDE_TENANT
		}),
		"command_refused": l.recorded("grace", "the stranger", func(r *lockboxv1.AccessRecord) bool {
			return of(refused, "", "approve", id)(r) && r.GetRefusalCode() == unauthenticated && r.GetSender() == "EDGE"
		}),
		"read": l.recorded("grace", "erin's read", func(r *lockboxv1.AccessRecord) bool {
			return of(read, "erin", "get_request", id)(r) && r.GetWho().GetSide() == lockboxv1.Side_SIDE_PROVIDER
		}),
		"export": l.recorded("grace", "audrey's export", func(r *lockboxv1.AccessRecord) bool {
			return of(exports, "audrey", "list_activity", "")(r) && r.GetFormat() == "csv" && r.GetFilter() == "person=erin" &&
				r.GetFilterSince() != nil && r.GetResults() > 0 && r.GetSender() == "PORTAL"
		}),
	}
	l.recorded("grace", "erin's refused approval", func(r *lockboxv1.AccessRecord) bool {
		return of(refused, "erin", "approve", id)(r) && r.GetRefusalRule() == "I10"
	})
	l.recorded("grace", "olga's list across customers", func(r *lockboxv1.AccessRecord) bool {
		return of(read, "olga", "list_requests", "")(r) && r.GetResults() == 1 &&
			r.GetFilter() == "statuses=customer notified"
	})
	for kind, record := range seen {
		typ := "io.openlockbox.access." + kind
		within(t, patience, kind+" at the webhook", func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return slices.ContainsFunc(h.seen[typ], func(e map[string]any) bool { return e["id"] == record.GetId() })
		})
	}
	within(t, patience, "events at the webhook",
		func() bool { return h.count("io.openlockbox.request.CustomerNotified") > 0 })
	stop()

	// What there is to see of it, and for whom.
	r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, page+"/access-records?provider=1", nil)
	must(t, err)
	shown, err := visitor.Read(grace, r)
	must(t, err)
	if !strings.Contains(shown.Body, "Viewed a request") || !strings.Contains(shown.Body, "Erin") ||
		strings.Contains(shown.Body, "Exported the activity log") {
		t.Errorf("%d %s", shown.Status, shown.Body)
	}
	l.bordersOfRecords(id)

	// It is kept, over a restart and without the file from which it is shown.
	l.close()
	must(t, os.Remove(filepath.Join(l.config.Dir, "projection", "access.db")))
	l.open()
	for kind, record := range seen {
		l.recorded("audrey", kind+", after a restart", func(r *lockboxv1.AccessRecord) bool { return proto.Equal(r, record) })
	}
	h, stop = l.forwards(cursors) // goes on where it was
	l.query(&lockboxv1.Query{Tenant: bank, Token: l.token("otto"), Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	within(t, patience, "the next read", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.ContainsFunc(h.seen["io.openlockbox.access.read"], func(e map[string]any) bool {
			return strings.Contains(fmt.Sprint(e["data"]), "get_request") && strings.Contains(fmt.Sprint(e["data"]), "otto")
		})
	})
	stop()
	if n := h.count("io.openlockbox.access.sign_in"); n != 0 {
		t.Errorf("%d sign-ins came twice, although the cursor was kept", n)
	}
}

// bordersOfRecords checks who is shown which records.
func (l *lockbox) bordersOfRecords(id string) {
	l.Helper()
	for _, r := range l.records("grace", bank) {
		if r.GetTenant() != bank {
			l.Errorf("the bank is shown %v", r)
		}
	}
	for _, r := range l.records("hana", health) {
		if r.GetTenant() != health || r.GetAboutId() == id {
			l.Errorf("another customer is shown %v", r)
		}
	}
	for _, r := range l.records("olga", bank) {
		if r.GetWho().GetSide() == lockboxv1.Side_SIDE_TENANT && (r.GetKind() == read || r.GetKind() == exports) {
			l.Errorf("the provider is shown what the bank's people read: %v", r)
		}
	}
	if !slices.ContainsFunc(l.records("olga", ""), func(r *lockboxv1.AccessRecord) bool {
		return r.GetKind() == failed && r.GetTenant() == "_" && r.GetReason() == "unknown" && r.GetWho() == nil
	}) {
		l.Error("the sign-in that nobody had begun is recorded nowhere")
	}
	for as, tenant := range map[string]string{"erin": bank, "otto": bank, "hana": bank, "grace": health} {
		if r := l.looked(as, tenant, &lockboxv1.ListAccess{}).GetRefusal(); r.GetCode() != notFound {
			l.Errorf("%s is shown the records of %s: %v", as, tenant, r)
		}
	}
	only := l.looked("grace", bank, &lockboxv1.ListAccess{Kinds: []lockboxv1.AccessKind{read, exports}, ProviderOnly: true,
		Person: "ERIN", Limit: 1}).GetAccess()
	if len(only.GetRecords()) != 1 || !strings.Contains(only.GetRecords()[0].GetWho().GetSubject(), "erin") {
		l.Errorf("what the provider's erin read: %v", only)
	}
	newest := l.records("grace", bank)
	if !slices.IsSortedFunc(newest[:2], func(a, b *lockboxv1.AccessRecord) int {
		return b.GetTime().AsTime().Compare(a.GetTime().AsTime())
	}) {
		l.Errorf("they are not newest first: %v", newest[:2])
	}
	page := l.looked("grace", bank, &lockboxv1.ListAccess{Limit: 2}).GetAccess()
	next := l.looked("grace", bank, &lockboxv1.ListAccess{Limit: 2, PageToken: page.GetNextPageToken()}).GetAccess()
	if len(next.GetRecords()) != 2 || proto.Equal(next.GetRecords()[0], page.GetRecords()[1]) {
		l.Errorf("the second page: %v", next)
	}
}

// A flood of refused commands leaves the records of everybody else, and an honest count of itself.
func TestR69AFloodOfRefusedCommandsHidesNobody(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.mayNot("erin", approve(id), forbidden, "I10")
	const flood = 2000
	token := forged(t, l)
	for range flood {
		c := approve(newID(t))
		c.Token = token
		if l.command("", c).GetRefusal() == nil {
			t.Fatal("a stranger's command is accepted")
		}
	}
	l.query(&lockboxv1.Query{Tenant: bank, Token: l.token("erin"), Ask: &lockboxv1.Query_GetRequest{
		GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	l.mayNot("olga", approve(id), forbidden, "I10")
	l.restart(0) // which writes what was only counted yet
	l.recorded("grace", "erin's refusal, before the flood", of(refused, "erin", "approve", id))
	l.recorded("grace", "erin's read, after it", of(read, "erin", "get_request", id))
	l.recorded("grace", "olga's refusal, after it", of(refused, "olga", "approve", id))
	strangers, ones := uint64(0), 0
	for _, r := range l.records("grace", bank) {
		if r.GetKind() == refused && r.GetWho() == nil {
			strangers += r.GetCount() + r.GetLeftOut()
			ones++
		}
	}
	if strangers != flood || ones > 200 {
		t.Errorf("%d of %d strangers' commands, in %d records", strangers, flood, ones)
	}
}

// A bus of an earlier version gets the stream when it is provisioned the next time, and keeps what it has.
func TestR69AnOlderBusGetsTheStream(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.close()
	found, err := filepath.Glob(filepath.Join(l.config.Dir, "nats", "*", "*", "streams", "ACCESS"))
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("where is the stream? %v", found)
	}
	must(t, os.RemoveAll(found[0]))
	l.open()
	if l.state(id).Status != request.CustomerNotified {
		t.Error("the request is lost")
	}
	l.mayNot("erin", approve(id), forbidden, "I10")
	l.recorded("grace", "erin's refused approval", of(refused, "erin", "approve", id))
}
