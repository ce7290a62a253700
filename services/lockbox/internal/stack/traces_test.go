package stack_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/observe/trace/tracetest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
)

const (
	toolsTrace  = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
	callersSpan = "5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
)

// startTraced is a Lockbox with a portal that sends its traces to an address.
func startTraced(t *testing.T, address string) *lockbox {
	t.Helper()
	l := startWithPortal(t)
	traces, err := trace.New(trace.Config{URL: address}, "v1", l.config.Log, l.config.Metrics.Registerer())
	must(t, err)
	t.Cleanup(traces.Close)
	l.config.Traces = traces
	l.config.Tools = append(l.config.Tools, evaluator.Unlimited(bus.PortalTool))
	l.restart(0)
	// What is read before the projector answers is not traced.
	l.query(&lockboxv1.Query{Token: l.token("erin"), Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}})
	return l
}

// approves approves by REST, as a program of the customer's does that traces its own work.
func (l *lockbox) approves(as, id string, headers ...string) {
	l.Helper()
	r, err := http.NewRequestWithContext(l.Context(), http.MethodPost,
		l.stack.PortalURL()+"/lockbox/v1/requests/"+id+"/approve", strings.NewReader("{}"))
	must(l, err)
	r.Header.Set("Authorization", "Bearer "+l.token(as))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	must(l, err)
	must(l, w.Body.Close())
	if w.StatusCode != http.StatusOK {
		l.Fatalf("approving is answered %d", w.StatusCode)
	}
}

// tree is a trace that has arrived.
type tree struct {
	*lockbox
	collector *tracetest.Collector
	trace     string
}

func (l *lockbox) tree(c *tracetest.Collector, id string) tree { return tree{l, c, trace.ID(id)} }

func (r tree) spans() (all []tracetest.Span) {
	for _, s := range r.collector.Spans() {
		if s.Trace == r.trace {
			all = append(all, s)
		}
	}
	return all
}

// span waits for a span of a service.
func (r tree) span(service, name string) (found tracetest.Span) {
	r.Helper()
	within(r.T, patience, service+": "+name, func() bool {
		all := r.spans()
		i := slices.IndexFunc(all, func(s tracetest.Span) bool { return s.Service == service && s.Name == name })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// A request's steps in all services are one trace, whose ID is the request's: from the tool's intent to the mails that
// say that access is active.
func TestARequestIsOneTraceAcrossAllServices(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	l := startTraced(t, c.Address())
	in := l.intent("erin")
	in.TraceParent = "00-" + toolsTrace + "-01"
	id := l.requested(in, request.CustomerNotified)
	l.approves("otto", id, "Traceparent", "00-"+callersSpan+"-01")
	l.reaches(id, request.Active)
	r := l.tree(c, id)

	const approvePath = "HTTP POST /lockbox/v1/requests/{requestId}/approve"
	for _, step := range []struct{ service, name, above, aboveName string }{
		{"jit-evaluator", "event AccessRequested", "jit-evaluator", "intent"},
		{"jit-evaluator", "event AccessEvaluated", "jit-evaluator", "intent"},
		{"lockbox-orchestrator", "event CustomerNotified", "lockbox-orchestrator", "duty CustomerNotified"},
		{"lockbox-orchestrator", "duty CustomerNotified", "jit-evaluator", "event AccessEvaluated"},
		{"notifier", "mails CustomerNotified", "lockbox-orchestrator", "event CustomerNotified"},
		{"notifier", "mail approval-requested", "notifier", "mails CustomerNotified"},
		{"portal", approvePath, "jit-evaluator", "intent"},
		{"lockbox-orchestrator", "command approve", "portal", approvePath},
		{"lockbox-orchestrator", "event CustomerApproved", "lockbox-orchestrator", "command approve"},
		{"notifier", "mails AccessGranted", "lockbox-orchestrator", "event AccessGranted"},
		{"notifier", "mail access-granted", "notifier", "mails AccessGranted"},
		{"audit-projector", "projection CustomerApproved", "lockbox-orchestrator", "event CustomerApproved"},
		{"audit-projector", "projection NotificationSent", "notifier", "event NotificationSent"},
	} {
		span := r.span(step.service, step.name)
		above := r.span(step.above, step.aboveName)
		if step.name == "projection NotificationSent" || strings.HasPrefix(step.name, "mail ") {
			continue // there are several
		}
		if span.Parent != above.ID {
			t.Errorf("%s is not below %s", step.name, step.aboveName)
		}
	}
	if want := strings.ReplaceAll(id, "-", ""); r.trace != want {
		t.Errorf("trace %s, not %s", r.trace, want)
	}
	if root := r.span("jit-evaluator", "intent"); root.Parent != "" || !slices.Equal(root.Links, []string{toolsTrace}) ||
		root.Attributes[trace.Request] != id || root.Attributes[trace.Tenant] != bank ||
		root.Attributes[trace.Tool] != tool || root.Attributes[trace.Result] != "ok" {
		t.Errorf("the intent: %+v", root)
	}
	if call := r.span("portal", approvePath); !slices.Equal(call.Links, []string{callersSpan}) {
		t.Errorf("the program's call: %+v", call)
	}
	r.whole()
	r.impersonal()
}

// whole expects that every span is below another one, but for the first. What is delivered twice is there twice.
func (r tree) whole() {
	r.Helper()
	within(r.T, patience, "a whole tree", func() bool {
		ids, first := map[string]bool{}, map[string]bool{}
		for _, s := range r.spans() {
			ids[s.ID] = true
		}
		for _, s := range r.spans() {
			if s.Parent == "" {
				first[s.ID] = true
			} else if !ids[s.Parent] {
				return false
			}
		}
		return len(first) == 1
	})
}

var idOrName = regexp.MustCompile(`^[A-Za-z0-9_./{}:-]+$`)

// impersonal expects nothing of a person, and no text, in anything that was exported.
func (r tree) impersonal() {
	r.Helper()
	for _, s := range r.collector.Spans() {
		for name, value := range s.Attributes {
			if !idOrName.MatchString(value) {
				r.Errorf("%s: %s is %q", s.Name, name, value)
			}
		}
	}
	texts := r.collector.Texts()
	for _, text := range []string{"@", "otto", "erin", "eyJ", "Otto", "Erin", "memory dump", "Nimbus", "Meadow Bank"} {
		if strings.Contains(texts, text) {
			r.Errorf("%q is exported", text)
		}
	}
}

var (
	toConfirm = regexp.MustCompile(`href="(/[^"]+/approve/confirm\?[^"]+)"`)
	hidden    = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
)

// The portal's pages are traced as its REST API is.
func TestAnApprovalOnThePortalsPagesIsTraced(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	l := startTraced(t, c.Address())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	home := l.stack.PortalURL() + "/t/" + bank
	otto, err := visitor.SignIn(t.Context(), home, "otto")
	must(t, err)
	open := func(method, address string, form url.Values) string {
		r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
		must(t, err)
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", l.stack.PortalURL())
		}
		answer, err := visitor.Read(otto, r)
		must(t, err)
		if answer.Status != http.StatusOK {
			t.Fatalf("%s: %d", address, answer.Status)
		}
		return answer.Body
	}
	link := toConfirm.FindStringSubmatch(open(http.MethodGet, home+"/requests/"+id, nil))
	if link == nil {
		t.Fatal("the request's page does not lead to its approval")
	}
	page := open(http.MethodGet, l.stack.PortalURL()+html.UnescapeString(link[1]), nil)
	_, form, _ := strings.Cut(page, `action="/t/`+bank+"/requests/"+id+`/approve"`)
	form, _, _ = strings.Cut(form, "</form>")
	values := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(form, -1) {
		values.Add(m[1], html.UnescapeString(m[2]))
	}
	open(http.MethodPost, home+"/requests/"+id+"/approve", values)
	r := l.tree(c, id)
	call := r.span("portal", "HTTP POST /requests/{id}/approve")
	if command := r.span("lockbox-orchestrator", "command approve"); command.Parent != call.ID ||
		call.Attributes[trace.Request] != id || call.Attributes[trace.Verb] != "approve" {
		t.Errorf("%+v below %+v", command, call)
	}
	r.span("notifier", "mail access-granted")
	r.whole()
	r.impersonal()
}

// Somebody asks by REST, and the first span is the portal's. Whoever names a trace as a hostile program would gets no
// link, and whom a request does not concern leaves nothing in its trace.
func TestNobodyElseWritesIntoATrace(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	l := startTraced(t, c.Address())
	in := l.intent("erin")
	hostile := "00-" + strings.ReplaceAll(in.GetId(), "-", "") + "-0123456789abcdef-01; otto@meadowbank.example"
	in.TraceParent = hostile
	if a := l.post(bank, "", in.GetToken(), l.body(in), "Traceparent", "00-zz-zz-01"); a.status != http.StatusAccepted {
		t.Fatalf("%+v", a)
	}
	id := in.GetId()
	l.reaches(id, request.CustomerNotified)
	r := l.tree(c, id)
	root := r.span("portal", "HTTP POST /lockbox/v1/tenants/{tenant}/intents")
	if intent := r.span("jit-evaluator", "intent"); root.Parent != "" || intent.Parent != root.ID ||
		len(intent.Links)+len(root.Links) > 0 {
		t.Errorf("%+v below %+v", intent, root)
	}

	another := approve(id)
	another.TraceParent = "00-" + trace.ID(id) + "-" + root.ID + "-01"
	another.Tenant = health
	l.mayNot("lena", another, notFound, "I9")
	stranger := approve(id)
	stranger.Token = "x.y.z"
	l.mayNot("", stranger, unauthenticated, "R13")
	again := l.intent("erin")
	again.Id, again.Justification = id, "Something else altogether."
	if o := l.submit(again); o.GetRefusal().GetCode() != conflict {
		t.Errorf("an id that was used: %v", o)
	}
	l.does("otto", approve(id))
	l.does("otto", approve(id)) // it is so already
	r.span("notifier", "mail access-granted")
	within(t, patience, "the two commands that approvers sent", func() bool {
		commands := 0
		for _, s := range r.spans() {
			if s.Service == "lockbox-orchestrator" && strings.HasPrefix(s.Name, "command") {
				commands++
			}
		}
		return commands == 2
	})
	for _, s := range r.spans() {
		if s.Attributes[trace.Tenant] == health {
			t.Errorf("a stranger's: %+v", s)
		}
		if s.Service == "jit-evaluator" && s.Name == "intent" && s.ID != r.span("jit-evaluator", "intent").ID {
			t.Errorf("a second intent: %+v", s)
		}
	}
	r.whole()
	r.impersonal()
}

func TestWithoutACollectorTheStoryGoesOn(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	c.Close()
	l := startTraced(t, c.Address())
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.approves("otto", id)
	l.reaches(id, request.Active)
	l.mailed(id, "access-granted", "erin@")
	if len(c.Spans()) > 0 {
		t.Error("a collector that is down has spans")
	}
}
