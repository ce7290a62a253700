package bus_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

const requestID = "0190a6f2-7c3e-7b1a-9f00-3d2c1b0a9e8d"

func denied() *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: "acme", Kind: aggregate.KindRequest, AggregateId: requestID, Version: 7,
		Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{}},
	}
}

func sent() *lockboxv1.Event {
	return &lockboxv1.Event{
		Tenant: "acme", Kind: aggregate.KindDelivery, AggregateId: requestID, ReportKey: "n-1",
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}},
	}
}

func TestEventSubject(t *testing.T) {
	for want, e := range map[string]*lockboxv1.Event{
		"lockbox.event.acme.request." + requestID + ".7.CustomerDenied":      denied(),
		"lockbox.event.acme.delivery." + requestID + ".n-1.NotificationSent": sent(),
	} {
		if got, err := bus.EventSubject(e); err != nil || got != want {
			t.Errorf("%s, %v; not %s", got, err, want)
		}
	}
}

// R46: that there is a demand may not be told yet, and the size of a customer's tree would tell it.
func TestALegalDemandStandsInTheProvidersTree(t *testing.T) {
	at := func(subject string) bus.EventAddress {
		t.Helper()
		a, err := bus.ParseEventSubject(subject)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for subject, want := range map[string]string{
		"lockbox.event.acme.disclosure.d.1.LegalDemandDisclosed": aggregate.ProviderTenant,
		"lockbox.event.acme.disclosure.d.2.DisclosureTold":       "acme",
		"lockbox.event.acme.disclosure.d.1.ExposureDisclosed":    "acme",
		"lockbox.event.acme.request.r.1.AccessRequested":         "acme",
		"lockbox.event._.policy.rules.1.RulesPublished":          aggregate.ProviderTenant,
	} {
		if got := aggregate.Tree(at(subject).Key, at(subject).Type); got != want {
			t.Errorf("%s: %s, not %s", subject, got, want)
		}
	}
}

func TestEventSubjectRefuses(t *testing.T) {
	for name, bad := range map[string]struct {
		field string
		spoil func(*lockboxv1.Event)
	}{
		"no tenant":              {"tenant", func(e *lockboxv1.Event) { e.Tenant = "" }},
		"a wildcard as tenant":   {"tenant", func(e *lockboxv1.Event) { e.Tenant = "*" }},
		"the rest as tenant":     {"tenant", func(e *lockboxv1.Event) { e.Tenant = ">" }},
		"a dot in the tenant":    {"tenant", func(e *lockboxv1.Event) { e.Tenant = "acme.corp" }},
		"a zero-width space":     {"tenant", func(e *lockboxv1.Event) { e.Tenant = "ac\u200bme" }},
		"a look-alike":           {"tenant", func(e *lockboxv1.Event) { e.Tenant = "аcme" }},
		"a kind that is not":     {"kind", func(e *lockboxv1.Event) { e.Kind = "request2" }},
		"a kind of another fact": {"fact", func(e *lockboxv1.Event) { e.Kind = aggregate.KindTenant }},
		"a dot in the id":        {"aggregate_id", func(e *lockboxv1.Event) { e.AggregateId = "a.b" }},
		"no fact":                {"fact", func(e *lockboxv1.Event) { e.Fact = nil }},
		"version 0":              {"version", func(e *lockboxv1.Event) { e.Version = 0 }},
		"a decision with a key":  {"report_key", func(e *lockboxv1.Event) { e.ReportKey = "n-1" }},
		"a report without a key": {"report_key",
			func(e *lockboxv1.Event) { proto.Reset(e); proto.Merge(e, sent()); e.ReportKey = "" }},
		"a report with a version": {"version",
			func(e *lockboxv1.Event) { proto.Reset(e); proto.Merge(e, sent()); e.Version = 1 }},
		"a report with a wild card": {"report_key",
			func(e *lockboxv1.Event) { proto.Reset(e); proto.Merge(e, sent()); e.ReportKey = "*" }},
	} {
		e := denied()
		bad.spoil(e)
		_, err := bus.EventSubject(e)
		if r, is := refusal.As(err); !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_INVALID ||
			r.GetField() != bad.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every fact has a writer, and only facts have.
func TestFactsHaveWriters(t *testing.T) {
	var written []string
	for _, id := range append(bus.Identities(), bus.Repairer) {
		for _, subject := range published(bus.Rights(id)) {
			if rest, is := strings.CutPrefix(subject, "lockbox.event."); is && rest != ">" { // whatever is restored
				written = append(written, rest[strings.LastIndex(rest, ".")+1:])
			}
		}
	}
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	var facts []string
	for i := range fields.Len() {
		facts = append(facts, string(fields.Get(i).Message().Name()))
	}
	slices.Sort(written)
	slices.Sort(facts)
	if diff := cmp.Diff(facts, slices.Compact(written)); diff != "" {
		t.Error(diff)
	}
}

func TestTypeOf(t *testing.T) {
	fields := (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		e := new(lockboxv1.Event)
		e.ProtoReflect().Mutable(fields.Get(i))
		if got, want := aggregate.TypeOf(e), string(fields.Get(i).Message().Name()); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if got := aggregate.TypeOf(new(lockboxv1.Event)); got != "" {
		t.Errorf("an event without a fact is %q", got)
	}
}

// anyEvent draws an event of any fact and kind, whether they belong together or not.
func anyEvent(t *rapid.T) *lockboxv1.Event {
	token := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_-]{0,30}`)
	odd := rapid.SampledFrom([]string{"", "*", ">", ".", "a.b", " ", "_", "-a", "é", "\u200b", "a\n"})
	e := &lockboxv1.Event{
		Tenant: rapid.OneOf(rapid.StringMatching(`[a-z0-9][a-z0-9-]{1,38}[a-z0-9]`), odd).Draw(t, "tenant"),
		Kind: rapid.SampledFrom([]string{aggregate.KindRequest, aggregate.KindTenant, aggregate.KindSubscription,
			aggregate.KindTicket, aggregate.KindDisclosure, aggregate.KindDelivery, aggregate.KindCheckpoint,
			aggregate.KindAlarm, "", "other"}).Draw(t, "kind"),
		AggregateId: rapid.OneOf(token, odd).Draw(t, "id"),
		Version:     rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "version"),
		ReportKey:   rapid.OneOf(rapid.Just(""), token, odd).Draw(t, "key"),
	}
	fields := e.ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	if i := rapid.IntRange(-1, fields.Len()-1).Draw(t, "fact"); i >= 0 {
		e.ProtoReflect().Mutable(fields.Get(i))
	}
	return e
}

func TestSubjectsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, other := anyEvent(t), anyEvent(t)
		subject, err := bus.EventSubject(e)
		if err != nil {
			return
		}
		at, err := bus.ParseEventSubject(subject)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		want := bus.EventAddress{Key: aggregate.KeyOf(e), Version: e.GetVersion(), ReportKey: e.GetReportKey(),
			Type: aggregate.TypeOf(e)}
		if at != want {
			t.Fatalf("%s is %+v, not %+v", subject, at, want)
		}
		if !strings.HasPrefix(subject, strings.TrimSuffix(bus.Filter(at.Key), ">")) {
			t.Fatalf("%s is not under %s", subject, bus.Filter(at.Key))
		}
		if !bus.Agrees(subject, e) {
			t.Fatalf("%s does not agree with its event", subject)
		}
		otherSubject, err := bus.EventSubject(other)
		if bus.Agrees(subject, other) != (err == nil && otherSubject == subject) {
			t.Fatalf("%s agrees with %v", subject, other)
		}
	})
}

func TestReplayFilter(t *testing.T) {
	for want, f := range map[string][4]string{
		"lockbox.event.>":                              {},
		"lockbox.event.acme.*.*.*.*":                   {"acme"},
		"lockbox.event._.*.*.*.*":                      {"_"},
		"lockbox.event.*.request.*.*.*":                {"", "request"},
		"lockbox.event.*.*.r-1.*.*":                    {"", "", "r-1"},
		"lockbox.event.acme.request.*.*.AccessGranted": {"acme", "request", "", "AccessGranted"},
	} {
		if got, err := bus.ReplayFilter(f[0], f[1], f[2], f[3]); err != nil || got != want {
			t.Errorf("%q: %s, %v", f, got, err)
		}
	}
}

func TestVerbAndQueryName(t *testing.T) {
	command := &lockboxv1.Command{Action: &lockboxv1.Command_InternalApprove{
		InternalApprove: &lockboxv1.InternalApprove{}}}
	if got := bus.CommandSubject(bus.Client, bus.Verb(command)); got != "lockbox.command.EDGE.internal_approve" {
		t.Error(got)
	}
	query := &lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: &lockboxv1.ListRequests{}}}
	if got := bus.QuerySubject(bus.Client, bus.QueryName(query)); got != "lockbox.query.EDGE.list_requests" {
		t.Error(got)
	}
	if bus.Verb(&lockboxv1.Command{}) != "" || bus.QueryName(&lockboxv1.Query{}) != "" {
		t.Error("nothing has a name")
	}
}

// plain tells whether every token of a subject is literal.
func plain(subject string) bool {
	return !slices.ContainsFunc(strings.Split(subject, "."), func(token string) bool {
		return token == "" || strings.ContainsFunc(token, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		})
	})
}

func FuzzParseEventSubject(f *testing.F) {
	f.Add("lockbox.event.acme.request." + requestID + ".7.CustomerDenied")
	f.Add("lockbox.event.acme.delivery.r.n-1.NotificationSent")
	f.Add("lockbox.event.acme.request.r.07.CustomerDenied")
	f.Add("lockbox.event.*.request.r.>.CustomerDenied")
	f.Fuzz(func(t *testing.T, subject string) {
		at, err := bus.ParseEventSubject(subject)
		if err != nil {
			if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) {
				t.Errorf("%q: %v", subject, err)
			}
			return
		}
		if !plain(subject) || !strings.HasPrefix(subject, strings.TrimSuffix(bus.Filter(at.Key), ">")) ||
			!strings.HasSuffix(subject, "."+at.Type) {
			t.Errorf("%q was read as %+v", subject, at)
		}
		if (at.Version == 0) != aggregate.Reported(at.Kind) || (at.ReportKey == "") == aggregate.Reported(at.Kind) {
			t.Errorf("%q was read as %+v", subject, at)
		}
	})
}

func FuzzSubjects(f *testing.F) {
	for _, bad := range []string{"*", ">", "a.b", "ac\u200bme", "аcme", "", "_", "acme ", "acme\r\nPUB x", "-acme", "ACME",
		strings.Repeat("a", 300)} {
		f.Add(bad, aggregate.KindRequest, requestID, "console")
		f.Add("acme", bad, requestID, "console")
		f.Add("acme", aggregate.KindRequest, bad, "console")
		f.Add("acme", aggregate.KindRequest, requestID, bad)
	}
	f.Add("acme", aggregate.KindDelivery, requestID, "console")
	f.Fuzz(func(t *testing.T, tenant, kind, id, tool string) {
		agg := aggregate.Key{Tenant: tenant, Kind: kind, ID: id}
		e := &lockboxv1.Event{Tenant: tenant, Kind: kind, AggregateId: id, Version: 1}
		if agg.Check() == nil && !aggregate.Reported(kind) {
			e.ProtoReflect().Mutable(factOf(kind))
		}
		subject, err := bus.EventSubject(e)
		check(t, subject, err, func() bool {
			at, err := bus.ParseEventSubject(subject)
			return err == nil && at.Key == agg
		})
		subject, err = bus.TimerSubject(agg)
		check(t, subject, err, func() bool { back, err := bus.ParseTimerSubject(subject); return err == nil && back == agg })
		subject, err = bus.DueSubject(agg)
		check(t, subject, err, func() bool { back, err := bus.ParseDueSubject(subject); return err == nil && back == agg })
		subject, err = bus.IntentSubject(tool, tenant)
		check(t, subject, err, func() bool {
			gotTool, gotTenant, err := bus.ParseIntentSubject(subject)
			return err == nil && gotTool == tool && gotTenant == tenant
		})
		subject, err = bus.OutcomeSubject(tool, id)
		check(t, subject, err, func() bool { return strings.Count(subject, ".") == 3 })
		subject, err = bus.ReplayFilter(tenant, kind, id, tool)
		if literal := strings.NewReplacer(".*", "", ".>", "").Replace(subject); err == nil && !plain(literal) {
			t.Errorf("the filter %q", subject)
		}
		for _, subject := range published(bus.Rights(bus.Tool(tool))) {
			if !plain(strings.TrimSuffix(subject, ".*")) {
				t.Errorf("a tool publishes %v", subject)
			}
		}
	})
}

func check(t *testing.T, subject string, err error, back func() bool) {
	t.Helper()
	switch {
	case err != nil && !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_INVALID):
		t.Errorf("not a refusal: %v", err)
	case err == nil && (!plain(subject) || !back()):
		t.Errorf("built %q", subject)
	}
}

// factOf is some fact of a decided kind.
func factOf(kind string) protoreflect.FieldDescriptor {
	name := map[string]protoreflect.Name{
		aggregate.KindRequest: "customer_denied", aggregate.KindTenant: "lockbox_enabled",
		aggregate.KindSubscription: "subscription_registered", aggregate.KindTicket: "ticket_opened",
		aggregate.KindDisclosure: "disclosure_told",
	}[kind]
	return (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Fields().ByName(name)
}

func TestAnAccessRecordsSubject(t *testing.T) {
	a := bus.AccessAddress{Tenant: "acme", Service: bus.Portal, Sender: "PORTAL", Day: "2026-11-29"}
	subject, err := a.Subject()
	if err != nil || subject != "lockbox.access.acme.portal.PORTAL.2026-11-29" {
		t.Fatal(subject, err)
	}
	if back, err := bus.ParseAccessSubject(subject); err != nil || back != a {
		t.Error(back, err)
	}
	if _, err := (bus.AccessAddress{"_", bus.Portal, "PORTAL", "2026-11-29"}).Subject(); err != nil {
		t.Error("the provider's own:", err)
	}
	for _, bad := range []bus.AccessAddress{
		{"*", bus.Portal, "PORTAL", "2026-11-29"}, {"acme", "", "PORTAL", "2026-11-29"},
		{"acme", bus.Portal, ">", "2026-11-29"}, {"acme", bus.Portal, "PORTAL", "2026.11"}, {"", bus.Portal, "X", "y"},
	} {
		if subject, err := bad.Subject(); err == nil {
			t.Error(subject)
		}
	}
	for _, bad := range []string{"", "lockbox.access.acme.portal.PORTAL", "lockbox.access.acme.portal.PORTAL.d.x",
		"lockbox.event.acme.portal.PORTAL.d", "lockbox.access.*.portal.PORTAL.d"} {
		if a, err := bus.ParseAccessSubject(bad); err == nil {
			t.Error(bad, a)
		}
	}
}
