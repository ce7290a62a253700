// Package portal_test tries out the portal as people meet it: everything runs as `lockbox up --demo` runs it, engineers
// ask, mails arrive, and whoever got one follows its link in a browser.
package portal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

const (
	bank   = devissuer.TenantBank
	health = devissuer.TenantHealth
	// patience is how long a test waits for what must come; failing takes this long, passing does not.
	patience = time.Minute
)

// world is a running demo: its portal, its mails, and everybody in it.
type world struct {
	*testing.T
	// info says where everything is: PortalURL, MailboxURL, Demo.IssuerURL.
	info runinfo.Info
}

// shared is the site of the tests that ask for what they need and disturb nobody. Who changes what others read, or
// looks whether anything was written at all, starts one of their own.
var shared struct {
	once sync.Once
	info runinfo.Info
	stop func() error
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.stop != nil {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "the shared site:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// visit is a test's stay at the shared site.
func visit(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "lockbox-site-")
		if err != nil {
			shared.err = err
			return
		}
		log, err := zap.NewDevelopment(zap.IncreaseLevel(zap.WarnLevel))
		if err != nil {
			shared.err = err
			return
		}
		var stop func() error
		shared.info, stop, shared.err = launch(dir, log, request.DefaultTerms())
		shared.stop = func() error { return errors.Join(stop(), os.RemoveAll(dir)) }
	})
	must(t, shared.err)
	return &world{T: t, info: shared.info}
}

// start is a site of the test's own, which ends with it.
func start(t *testing.T) *world {
	t.Helper()
	return startLogging(t, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
}

func startLogging(t *testing.T, log *zap.Logger) *world {
	return startWith(t, log, request.DefaultTerms())
}

// startWith is a site with terms of its own.
func startWith(t *testing.T, log *zap.Logger, terms request.Terms) *world {
	t.Helper()
	info, stop, err := launch(t.TempDir(), log, terms)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	return &world{T: t, info: info}
}

// launch is `lockbox up --demo` on free ports.
func launch(dir string, log *zap.Logger, terms request.Terms) (info runinfo.Info, stop func() error, err error) {
	return launchWith(dir, log, terms, func(*stack.Config) {})
}

// launchWith is launch with something set otherwise.
func launchWith(
	dir string, log *zap.Logger, terms request.Terms, set func(*stack.Config),
) (info runinfo.Info, stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	stop = func() error {
		cancel()
		return <-ended
	}
	mails := demo.Notifier()
	mails.DigestAfter = 0 // each page is opened from its own mail
	config := stack.Config{
		Host: "127.0.0.1", Port: -1, Terms: terms,
		Tools:    []evaluator.Tool{evaluator.Unlimited(client.Tool), evaluator.Unlimited(bus.PortalTool)},
		Limits:   policy.NoLimits(), // erin asks for everything
		Notifier: mails, MailboxHTTP: "127.0.0.1:0", Portal: &portal.Config{Listen: "127.0.0.1:0"},
		Log: log, Metrics: observe.NewMetrics(),
	}
	set(&config)
	go func() {
		ended <- up.Run(ctx, up.Options{Dir: dir, Demo: true, IssuerAddr: "127.0.0.1:0", Out: io.Discard,
			Program: "lockbox", Stack: config})
	}()
	for {
		if info, err := runinfo.Read(dir); err == nil {
			return info, stop, nil
		}
		select {
		case err := <-ended:
			ended <- nil
			return info, stop, fmt.Errorf("it did not start: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// person is one of the demo's people with the means of the command line: what they do and ask goes past the portal.
// Token is what a program of theirs would hold.
func (w *world) person(persona string) *client.Client {
	c := client.New(client.Config{URL: w.info.NATSURL, KeysDir: w.info.KeysDir, Tokens: client.Persona{
		IssuerURL: w.info.Demo.IssuerURL, SecretFile: w.info.Demo.SecretFile, Name: persona,
	}})
	w.Cleanup(c.Close)
	return c
}

// does has a persona do something, and returns the sequence that it caused.
func (w *world) does(persona string, c *lockboxv1.Command) uint64 {
	w.Helper()
	reply, err := w.person(persona).Do(w.Context(), c)
	must(w, err)
	return reply.GetSequence()
}

// intent is a plausible intent for the bank: customer data, no internal approval.
func intent() *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{
		Tenant: bank, SubscriptionId: demo.BankProduction, ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds: []string{
			demo.Machine(demo.BankProduction, "payments-1"), demo.Machine(demo.BankProduction, "payments-2"),
		},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
		Justification: "The machine hangs; a memory dump will show where.", TicketId: demo.BankTicket,
	}
}

// requested submits an intent as a persona and waits until its request has come that far.
func (w *world) requested(persona string, in *lockboxv1.AccessIntent, want request.Status) (id string) {
	w.Helper()
	if in.GetId() == "" {
		fresh, err := uuid.NewV7()
		must(w, err)
		in.Id = fresh.String()
	}
	outcome, err := w.person(persona).Submit(w.Context(), in, patience)
	must(w, err)
	if outcome.GetRefusal() != nil && want != request.Refused {
		w.Fatalf("%s's intent is refused: %v", persona, outcome.GetRefusal())
	}
	w.reaches(in.GetTenant(), in.GetId(), want)
	return in.GetId()
}

// reaches waits until a request stands so, and returns it as the provider's security officer sees it.
func (w *world) reaches(tenant, id string, want request.Status) *lockboxv1.RequestView {
	w.Helper()
	olga := w.person("olga")
	defer olga.Close()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		reply, err := olga.Ask(w.Context(), &lockboxv1.Query{Tenant: tenant,
			Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
		if err != nil {
			last = err.Error()
			continue
		}
		if last = reply.GetRequest().GetStatus().String(); reply.GetRequest().GetStatus() == want {
			return reply.GetRequest()
		}
	}
	w.Fatalf("%s: not %v but %s", id, want, last)
	return nil
}

// mail waits for the newest mail to an address that speaks of everything named: a request's id, a word of its subject.
func (w *world) mail(to string, about ...string) mailbox.Message {
	w.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		all, err := mailbox.Read(w.info.MailboxDir)
		must(w, err)
		for _, m := range slices.Backward(all) {
			silent := func(of string) bool { return !strings.Contains(m.Subject, of) && !strings.Contains(m.Text, of) }
			if slices.Contains(m.Recipients, to) && !slices.ContainsFunc(about, silent) {
				return m
			}
		}
	}
	w.Fatalf("%s got no mail that speaks of %q", to, about)
	return mailbox.Message{}
}

// page is where the mailbox shows a mail in a browser, with its button.
func (w *world) page(m mailbox.Message) string { return w.info.MailboxURL + "/mails/" + m.ID }

// link is where a mail leads to in the portal; empty: nowhere.
func (w *world) link(m mailbox.Message) string {
	w.Helper()
	for line := range strings.Lines(m.Text) {
		if at := strings.TrimSpace(line); strings.HasPrefix(at, w.info.PortalURL+"/") {
			return at
		}
	}
	return ""
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newID(t *testing.T) string {
	t.Helper()
	id, err := uuid.NewV7()
	must(t, err)
	return id.String()
}
