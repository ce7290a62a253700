package written_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// A duration is read however people and their tools write it.
func TestADurationIsReadInEachSpelling(t *testing.T) {
	for want, spellings := range map[time.Duration][]string{
		0: {"0", "0s", "PT0S"},
		2 * time.Hour: {"2h", "2 h", " 2h ", "2H", "2 hours", "2hr", "120m", "120 min", "7200s", "7200.0s", "PT2H",
			"pt2h"},
		4 * time.Hour:          {"14400s", "PT4H", "PT14400S", "4 Hours"},
		90 * time.Minute:       {"90m", "1h30m", "1.5h", "1,5h", "1 hour 30 minutes", "PT1H30M", "PT90M", "PT1.5H"},
		36 * time.Hour:         {"1d12h", "1.5d", "36h", "P1DT12H", "1 day 12 hours"},
		14 * 24 * time.Hour:    {"2w", "14d", "P2W", "P14D", "2 weeks"},
		250 * time.Millisecond: {"250ms", "0.25s", "PT0.25S"},
	} {
		for _, s := range spellings {
			if got, err := written.Duration(s); got != want || err != nil {
				t.Errorf("%q is %s, %v; not %s", s, got, err, want)
			}
		}
	}
	for _, s := range []string{
		"", " ", "4", "14400", "h", "4x", "-4h", "+4h", "4h-", "h4", "4h 4h", "4m4h", "P", "PT", "P1M", "P1Y", "P4H",
		"PT1D",
		"1mo", "1y", "4hh", "1e3h", "NaN", "99999999999999999999h", "36501d", "4..5h", "0x4h", "٤h", "4h\x00", "4:00",
	} {
		if got, err := written.Duration(s); err == nil {
			t.Errorf("%q is taken as %s", s, got)
		}
	}
}

// Whatever Go writes as a duration is read as the same one.
func TestDurationsOfProgramsAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, int64(24*365*time.Hour)).Draw(t, "ns"))
		if got, err := written.Duration(want.String()); err != nil || (got-want).Abs() > time.Microsecond {
			t.Errorf("%s: %s, %v", want, got, err)
		}
		protobuf := strings.Trim(protojson.Format(durationpb.New(want)), `"`)
		if got, err := written.Duration(protobuf); err != nil || (got-want).Abs() > time.Microsecond {
			t.Errorf("%s: %s, %v", protobuf, got, err)
		}
	})
}

func TestAnEnumIsReadInEachSpelling(t *testing.T) {
	d := lockboxv1.ReasonType(0).Descriptor()
	for _, s := range []string{
		"CUSTOMER_INITIATED_SUPPORT", "REASON_TYPE_CUSTOMER_INITIATED_SUPPORT", "customer-initiated-support",
		"customer initiated support", " Customer_Initiated_Support ",
	} {
		n, err := written.Enum(d, s)
		if err != nil || lockboxv1.ReasonType(n) != lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "1", "UNSPECIFIED", "REASON_TYPE_UNSPECIFIED", "customer"} {
		if n, err := written.Enum(d, s); err == nil {
			t.Errorf("%q is taken as %d", s, n)
		}
	}
}

// What people write as YAML or JSON is what they mean.
func TestAFileIsWhatItSays(t *testing.T) {
	want := &lockboxv1.AccessIntent{TicketId: "0012345", Emergency: true, ResourceIds: []string{"/a"},
		ReasonType: lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT, Justification: "it hangs 😀",
		Duration: durationpb.New(4 * time.Hour)}
	for name, text := range map[string]string{
		"YAML": "ticketId: 0012345\nemergency: true\nresourceIds: [/a]\nreasonType: CUSTOMER_INITIATED_SUPPORT\n" +
			"justification: it hangs 😀\nduration: 4h\n",
		"YAML in the contract's words": "ticket_id: '0012345'\nemergency: true\nresource_ids:\n- /a\n" +
			"reason_type: customer-initiated-support\njustification: it hangs 😀\nduration: PT4H\nscenario: null\n",
		"YAML with a byte order mark": "\uFEFFticketId: 0012345\nemergency: true\nresourceIds: /a\n" +
			"reasonType: customer-initiated-support\njustification: it hangs 😀\nduration: 14400s\n",
		"YAML of Windows": "ticketId: 0012345\r\nemergency: true\r\nresourceIds: [/a]\r\n" +
			"reasonType: CUSTOMER_INITIATED_SUPPORT\r\njustification: it hangs 😀\r\nduration: 4h\r\n",
		"JSON of a program that escapes": "\uFEFF{\r\n\t\"ticketId\": \"0012345\",\t\"emergency\":true," +
			"\"resourceIds\":[\"\\/a\"]," +
			`"reasonType":"REASON_TYPE_CUSTOMER_INITIATED_SUPPORT","justification":"it hangs \ud83d\ude00",` +
			`"duration":"14400s","scenario":null}`,
	} {
		got := new(lockboxv1.AccessIntent)
		if err := written.Message([]byte(text), got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever is not understood is refused by the member and the line.
func TestWhatIsNotUnderstoodIsNamed(t *testing.T) {
	for text, want := range map[string][]string{
		"tenant: a\ntennant: b":                 {"tennant", "line 2", `did you mean "tenant"`},
		"duration: soon":                        {"duration", "line 1", "no length of time"},
		"a: b\n\nreasonType: maybe":             {"a", "not known"},
		"reasonType: maybe":                     {"reasonType", "customer-initiated-support"},
		"emergency: yes":                        {"emergency", "neither true nor false"},
		"tenant: {a: b}":                        {"tenant", "not a single value"},
		`{"tenant":7}`:                          {"tenant", "no text"},
		`{"resourceIds":["/a",{}]}`:             {"resourceIds", "not a single value"},
		"tenant: [a]":                           {"tenant", "not a single value"},
		"tenant: a\ntenant: b":                  {"message", "twice"},
		"resourceIds: [/a]\nresource_ids: [/b]": {"resource_ids", "twice"},
		"tenant: &x a\nscenario: *x":            {"scenario", "not a single value"},
		"- a":                                   {"message", "want keys with values"},
		"a: [":                                  {"message", "neither JSON nor YAML"},
		`{"tenant":"a"} {}`:                     {"message", "something follows"},
		`{"tenant":"a","tenant":"b"}`:           {"message", "twice"},
		`{"tenant":`:                            {"message", "neither JSON nor YAML"},
		"tenant: \xff":                          {"message", "UTF-8"},
		"a: b\n---\nc: d":                       {"message", "more than one document"},
		strings.Repeat(`{"tenant":`, 200):       {"message", "deep"},
	} {
		err := written.Message([]byte(text), new(lockboxv1.AccessIntent))
		r, refused := refusal.As(err)
		if !refused || r.GetField() != want[0] {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, part := range want[1:] {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
	both := `{"approve":{},"deny":{"reason":"no"}}`
	if err := written.Message([]byte(both), new(lockboxv1.Command)); err == nil {
		t.Error("two actions are taken as one")
	}
}

// What protobuf writes as JSON is read as the same message.
func TestProtobufsOwnJSONIsRead(t *testing.T) {
	for _, m := range []proto.Message{
		&lockboxv1.Command{Id: "a", Tenant: "t", SeenVersion: 1 << 60, Action: &lockboxv1.Command_Approve{
			Approve: &lockboxv1.Approve{Reason: "“ok”\n", Duration: durationpb.New(90 * time.Second),
				ResourceIds: []string{"/a", "/b"}}}},
		&lockboxv1.Command{Action: &lockboxv1.Command_SetAsideMessage{SetAsideMessage: &lockboxv1.SetAsideMessage{
			Sequence: 7, Sha256: []byte{0, 0xFB, 0xFF, 1}}}},
		&lockboxv1.Command{Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{
			Until: timestamppb.New(time.Date(2026, 3, 14, 18, 52, 1, 5e6, time.UTC))}}},
		&lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{
			Settings: &lockboxv1.TenantSettings{RequiredApprovals: 2, Alternates: []*lockboxv1.AlternateAddress{
				{Email: "a@b.example"}, {Email: "c@d.example", Language: "fr"}}}}}},
	} {
		for name, o := range map[string]protojson.MarshalOptions{
			"JSON": {}, "contract": {UseProtoNames: true, Multiline: true},
		} {
			data, err := o.Marshal(m)
			got := m.ProtoReflect().New().Interface()
			if err == nil {
				err = written.Message(data, got)
			}
			if diff := cmp.Diff(m, got, protocmp.Transform()); err != nil || diff != "" {
				t.Errorf("%s: %s: %v %s", name, data, err, diff)
			}
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("tenant: a\nduration: 4h"))
	f.Add([]byte(`{"tenant":"a","resourceIds":["/a"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := new(lockboxv1.AccessIntent)
		if err := written.Message(data, in); err != nil {
			if _, refused := refusal.As(err); !refused {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		if _, err := proto.Marshal(in); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
}
