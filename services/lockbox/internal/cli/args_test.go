package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestTimesAreReadInTheReadersZone(t *testing.T) {
	zone := time.FixedZone("there", 2*60*60)
	env, _, _ := nobody(t) // it is 14:30 there
	env.Zone = zone
	a := &app{Environment: env}
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 5, day, hour, minute, second, 0, zone)
	}
	for s, want := range map[string]time.Time{
		"now": at(12, 14, 30, 0), "2026-05-12T10:00:00Z": at(12, 12, 0, 0),
		"2026-05-12T10:00:00.5+05:00": at(12, 7, 0, 0).Add(500 * time.Millisecond),
		"2026-05-12 10:00":            at(12, 10, 0, 0), "2026-05-12 10:00:01": at(12, 10, 0, 1),
		"2026-05-12T10:00": at(12, 10, 0, 0),
		"2026-05-12":       at(12, 0, 0, 0),
		"09:15":            at(12, 9, 15, 0), "09:15:30": at(12, 9, 15, 30),
		"2h": at(12, 12, 30, 0), "1d2h": at(11, 12, 30, 0), "30m ago": at(12, 14, 0, 0), "+3d": at(15, 14, 30, 0),
	} {
		got, err := a.parseTime(s)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "soon", "-2h", "2026-13-01", "25:00", "+now", "0h", "2026-05-12 10:00 CEST"} {
		if got, err := a.parseTime(s); err == nil {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}

func TestALengthOfTimeIsMoreThanNone(t *testing.T) {
	if got, err := parseDuration("1h30m"); err != nil || got != 90*time.Minute {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "0", "0s", "2"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}

func TestEnumsAreReadInAnySpelling(t *testing.T) {
	for _, s := range []string{"customer-notified", "CUSTOMER_NOTIFIED", "REQUEST_STATUS_CUSTOMER_NOTIFIED",
		"Customer Notified"} {
		if got, err := parseEnum[lockboxv1.RequestStatus](s); err != nil ||
			got != lockboxv1.RequestStatus_REQUEST_STATUS_CUSTOMER_NOTIFIED {
			t.Errorf("%q is %v (%v)", s, got, err)
		}
	}
	for _, s := range []string{"", "unspecified", "notified", "3"} {
		if got, err := parseEnum[lockboxv1.RequestStatus](s); err == nil {
			t.Errorf("%q was read as %v", s, got)
		}
	}
	if got := spellings[lockboxv1.SupportPlan](); !cmp.Equal(got,
		[]string{"basic", "developer", "standard", "professional-direct", "premier"}) {
		t.Errorf("plans are spelled %v", got)
	}
	list := &enumList[lockboxv1.RequestStatus]{sets: statusSets}
	for _, s := range []string{"active,denied", "active", "pending"} {
		if err := list.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	if len(list.values) != 6 {
		t.Errorf("the list is %v", list.values)
	}
}

// intentOf parses the flags of intent submit into an intent.
func intentOf(t *testing.T, args ...string) (*lockboxv1.AccessIntent, error) {
	t.Helper()
	env, _, _ := nobody(t)
	a := &app{Environment: env}
	root := a.root(nil)
	submit, rest, err := root.Find(append([]string{"intent", "submit"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	submit.ResetFlags()
	in := &intentFlags{reason: enumFlag[lockboxv1.ReasonType]{as: "reason"}}
	in.register(submit.Flags())
	if err := submit.ParseFlags(rest); err != nil {
		return nil, err
	}
	return (&session{app: a, command: submit}).intent(context.Background(), in)
}

func TestFlagsBecomeAnIntent(t *testing.T) {
	got, err := intentOf(t, "--tenant", "meadowbank", "--subscription", "prod", "--type", "compute/virtual-machines",
		"--scenario", "memory-dump",
		"--resource", "/subscriptions/prod/a", "--resource", "/subscriptions/prod/b,c", "--reason-type",
		"response-to-production-alert", "--justification", "two\nlines",
		"--ticket", "SR-1", "--duration", "1h30m", "--id", "019b0000-0000-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	want := &lockboxv1.AccessIntent{
		Id: "019b0000-0000-7000-8000-000000000001", Tenant: "meadowbank", SubscriptionId: "prod",
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		ResourceIds:   []string{"/subscriptions/prod/a", "/subscriptions/prod/b,c"},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT,
		Justification: "two\nlines", TicketId: "SR-1", Duration: durationpb.New(90 * time.Minute),
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestAFileAndFlagsBecomeAnIntent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "intent.yaml")
	content := "tenant: meadowbank\nresourceType: compute/virtual-machines\nresource_ids: [/a, /b]\nduration: 7200s\njustification: |\n  two\n  lines\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := intentOf(t, "-f", file, "--resource", "/c", "--tenant", "sakura")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetId()) != 36 || got.GetId()[14] != '7' {
		t.Errorf("its id is %q, want a UUID of version 7", got.GetId())
	}
	got.Id = ""
	want := &lockboxv1.AccessIntent{Tenant: "sakura", ResourceType: "compute/virtual-machines",
		ResourceIds: []string{"/c"}, Duration: durationpb.New(2 * time.Hour), Justification: "two\nlines\n"}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoIntentIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"no YAML": "{", "a list": "- a", "an unknown field": "tenant: a\nmfa: true", "a key twice": "tenant: a\ntenant: b",
		"an unknown enum": "reason_type: BECAUSE",
		"a token":         "tenant: abc\ntoken: x", "too large": "justification: " + strings.Repeat("x", 70_000),
		"a number for text": `{"tenant": 1}`,
	} {
		file := filepath.Join(t.TempDir(), "intent.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := intentOf(t, "-f", file, "--tenant", "meadowbank"); err == nil {
			t.Errorf("%s became %v", name, got)
		}
	}
	if _, err := intentOf(t, "-f", "/does/not/exist"); err == nil {
		t.Error("a file that does not exist became an intent")
	}
}

func FuzzReadIntent(f *testing.F) {
	f.Add([]byte("tenant: meadowbank\nresource_ids: [/a]"))
	f.Add([]byte(`{"id": "x", "duration": "1s"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		env, _, _ := nobody(t)
		if in, err := readIntent(New(env), "fuzz", data); err == nil && in.GetToken() != "" {
			t.Error("a token was let through")
		}
	})
}
