package azure_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/services/preview/customerlockbox/mgmt/2018-02-28-preview/customerlockbox" //nolint:staticcheck // clients in use are of this one, whatever has succeeded it
	"github.com/Azure/azure-sdk-for-go/services/preview/monitor/mgmt/2022-10-01-preview/insights"                //nolint:staticcheck // clients in use are of this one, whatever has succeeded it
	"github.com/Azure/go-autorest/autorest"
	"github.com/Azure/go-autorest/autorest/adal"
	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

const (
	bank       = devissuer.TenantBank
	production = demo.BankProduction
	tool       = "console"
	version    = "2018-02-28-preview"
	patience   = 20 * time.Second
)

// lockbox is a whole Lockbox with the demo's customers and a portal.
type lockbox struct {
	*testing.T
	issuer *devissuer.Issuer
	tools  *journal.Journal
	// url is where the portal is, and so where clients are pointed in place of Azure's.
	url string
}

func start(t *testing.T) *lockbox {
	t.Helper()
	log := zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	must(t, err)
	s, err := stack.Start(context.Background(), stack.Config{
		Dir: t.TempDir(), Tools: []evaluator.Tool{evaluator.Unlimited(tool)},
		Issuers: []identity.Issuer{issuer.ProviderIssuer()}, Terms: request.DefaultTerms(),
		Limits:   policy.NoLimits(), // erin alone asks for more than one page
		Notifier: notifier.Config{Provider: devissuer.Provider, SMTP: notifier.SMTP{From: "lockbox@nimbus.example"}},
		Log:      log, Metrics: observe.NewMetrics(),
	})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(s.Err(), s.Close())) })
	client, err := s.Connect(bus.Client)
	must(t, err)
	t.Cleanup(client.Close)
	must(t, demo.Seed(t.Context(), client, issuer, time.Now))

	toolConn, err := s.Connect(bus.Tool(tool))
	must(t, err)
	t.Cleanup(toolConn.Close)
	tools, err := journal.Open(t.Context(), toolConn)
	must(t, err)
	l := &lockbox{T: t, issuer: issuer, tools: tools}
	l.servePortal(s, log)
	return l
}

func (l *lockbox) servePortal(s *stack.Stack, log *zap.Logger) {
	l.Helper()
	listener, err := new(net.ListenConfig).Listen(l.Context(), "tcp", "127.0.0.1:0")
	must(l, err)
	l.url = "http://" + listener.Addr().String()
	conn, err := s.Connect(bus.Portal)
	must(l, err)
	config := portal.Config{Listen: listener.Addr().String(), URL: l.url, Provider: devissuer.Provider,
		Organisations: []portal.Organisation{
			{Name: devissuer.Provider, Issuer: l.issuer.ProviderIssuer().URL, ClientID: devissuer.Audience},
		}}
	for tenant, name := range map[string]string{bank: devissuer.TenantBankName,
		devissuer.TenantHealth: devissuer.TenantHealthName} {
		config.Organisations = append(config.Organisations, portal.Organisation{
			Tenant: tenant, Name: name, Issuer: l.issuer.TenantIssuer(tenant).GetUrl(), ClientID: devissuer.Audience,
		})
	}
	must(l, config.Check())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- portal.Serve(ctx, &service.Connected{Identity: bus.Portal, Conn: conn, Log: log, Now: time.Now}, config,
			listener)
	}()
	l.Cleanup(func() {
		stop()
		must(l, <-ended)
		conn.Close()
	})
}

// submit asks for access as an engineer and returns the request's id.
func (l *lockbox) submit(justification string) string {
	l.Helper()
	return l.submitFor(justification, demo.Machine(production, "payments-1"), demo.Machine(production, "payments-2"))
}

func (l *lockbox) submitFor(justification string, resources ...string) string {
	l.Helper()
	token, err := l.issuer.Token("erin", time.Now())
	must(l, err)
	id, err := uuid.NewV7()
	must(l, err)
	_, err = l.tools.SubmitIntent(l.Context(), tool, &lockboxv1.AccessIntent{
		Id: id.String(), Tenant: bank, Token: token, SubscriptionId: production, ResourceType: "compute/virtual-machines",
		Scenario:      "memory-dump",
		ResourceIds:   resources,
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
		Justification: justification, TicketId: demo.BankTicket,
	})
	must(l, err)
	return id.String()
}

// as is how a client signs its requests.
func (l *lockbox) as(persona string) autorest.Authorizer {
	l.Helper()
	token, err := l.issuer.Token(persona, time.Now())
	must(l, err)
	return autorest.NewBearerAuthorizer(&adal.Token{AccessToken: token})
}

func (l *lockbox) requests(persona string) customerlockbox.RequestsClient {
	c := customerlockbox.NewRequestsClientWithBaseURI(l.url)
	c.Authorizer, c.RetryAttempts = l.as(persona), 1
	return c
}

func (l *lockbox) activity(persona, subscription string) insights.ActivityLogsClient {
	c := insights.NewActivityLogsClientWithBaseURI(l.url, subscription)
	c.Authorizer, c.RetryAttempts = l.as(persona), 1
	return c
}

// pending waits until so many requests wait for the customer, and lists them over all pages.
func (l *lockbox) pending(n int) (found []customerlockbox.LockboxRequestResponse, pages int) {
	l.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		found, pages = nil, 0
		page, err := l.requests("otto").List(l.Context(), production, "properties/status eq 'Pending'")
		for ; err == nil && page.NotDone(); err = page.NextWithContext(l.Context()) {
			found, pages = append(found, page.Values()...), pages+1
		}
		must(l, err)
		if len(found) == n {
			return found, pages
		}
		if time.Now().After(deadline) {
			l.Fatalf("%d requests wait, not %d", len(found), n)
		}
	}
}

// refused is how a client sees that it was refused: the status and ARM's code.
func (l *lockbox) refused(err error, status int, code string) {
	l.Helper()
	detailed := autorest.DetailedError{}
	if !errors.As(err, &detailed) || detailed.StatusCode != status || !strings.Contains(err.Error(), code) {
		l.Errorf("want %d %s, got %v", status, code, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
