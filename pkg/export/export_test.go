package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/openlockbox/lockbox/pkg/export"
	"github.com/openlockbox/lockbox/pkg/input"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// everything is one entry for each stored example of each event type, in the order of their names.
func everything(t testing.TB) []*lockboxv1.Activity {
	t.Helper()
	files, err := filepath.Glob("../../proto/testdata/golden/*.bin")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d events, %v", len(files), err)
	}
	var all []*lockboxv1.Activity
	for _, file := range files {
		data, err := os.ReadFile(file) // #nosec G304 -- a file of the tests
		if err != nil {
			t.Fatal(err)
		}
		e, err := input.DecodeEvent(data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, export.Entry(42, e))
	}
	return all
}

// asked is the event with which the requests of the examples began.
func asked(t testing.TB) *lockboxv1.Event {
	t.Helper()
	files, err := filepath.Glob("../../proto/testdata/golden/AccessRequested.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	e, err := input.DecodeEvent(data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// complete adds to entries about an engineer's access who asked for it.
func complete(entries []*lockboxv1.Activity, asked *lockboxv1.Event) []*lockboxv1.Activity {
	for _, a := range entries {
		if export.BeganAs(a).Kind == asked.GetKind() {
			export.Begun(a, asked)
		}
	}
	return entries
}

func write(t testing.TB, f export.Format, entries ...*lockboxv1.Activity) []byte {
	t.Helper()
	out, err := f.Head()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range entries {
		row, err := f.Row(a)
		if err != nil {
			t.Fatalf("%s of %s: %v", f.Name, a.GetEntry().GetType(), err)
		}
		out = append(out, row...)
	}
	return out
}

// Other systems read these, so they never change for an event that was exported before: a new event adds lines.
//
// control: nist:AU-6, soc2:CC7.2, iso:8.15
func TestEveryEventInEveryFormat(t *testing.T) {
	for _, f := range export.Formats() {
		golden := filepath.Join("testdata", f.Name+".golden")
		entries := everything(t)
		if f.Name == "ocsf" { // the only one that does not just pass on what the entry has
			entries = complete(entries, asked(t))
		}
		got := write(t, f, entries...)
		if *update {
			if err := os.WriteFile(golden, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden) // #nosec G304 -- a file of the tests
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(got, want) {
			continue
		}
		lines, wanted := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i := range min(len(lines), len(wanted)) {
			if lines[i] != wanted[i] {
				t.Errorf("%s, line %d:\ngot  %s\nwant %s", f.Name, i+1, lines[i], wanted[i])
			}
		}
		t.Errorf("%s: %d lines, want %d (-update writes them)", f.Name, len(lines), len(wanted))
	}
}

func TestAFormatIsFoundByItsName(t *testing.T) {
	for _, name := range export.Names() {
		if f, known := export.Named(name); !known || f.Name != name || f.Title == "" || f.MediaType == "" ||
			f.Extension == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if _, known := export.Named("xml"); known {
		t.Error("there is an xml")
	}
}

func TestAFileThatIsIncompleteSaysSo(t *testing.T) {
	for _, f := range export.Formats() {
		row, err := f.Incomplete("Not all.")
		if err != nil || !bytes.Contains(row, []byte("incomplete")) || !bytes.Contains(row, []byte("Not all.")) ||
			row[len(row)-1] != '\n' {
			t.Errorf("%s: %q, %v", f.Name, row, err)
		}
	}
}

// The CloudEvents project's own type is the judge.
func TestCloudEventsAreValid(t *testing.T) {
	f, _ := export.Named("cloudevents")
	ids := map[string]bool{}
	for _, a := range everything(t) {
		var e event.Event
		if err := json.Unmarshal(write(t, f, a), &e); err != nil {
			t.Fatalf("%s: %v", a.GetEntry().GetType(), err)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", a.GetEntry().GetType(), err)
		}
		if want := "io.openlockbox." + a.GetKind() + "." + a.GetEntry().GetType(); e.Type() != want ||
			!e.Time().Equal(a.GetEntry().GetTime().AsTime()) {
			t.Errorf("%s at %s, want %s", e.Type(), e.Time(), want)
		}
		got := new(lockboxv1.Activity)
		if err := protojson.Unmarshal(e.Data(), got); err != nil || !proto.Equal(got, a) {
			t.Errorf("%s: its data are another entry: %v", e.Type(), err)
		}
		ids[e.Source()+" "+e.ID()] = true
	}
	if len(ids) == 0 {
		t.Error("nothing was looked at")
	}
}

func TestAFactThatIsNotKnownIsNotLeftOut(t *testing.T) {
	f, _ := export.Named("ocsf")
	if row, err := f.Row(export.Entry(1, &lockboxv1.Event{})); err == nil {
		t.Errorf("it became %s", row)
	}
}

// hostile is text as an insider would write it.
func hostile() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"=1+1", "+1", "-1", "@SUM(A1)", "＝1", ";", "\"", ",", "\n", "\r", "\r\n", "\t", "\x00",
			"\x1b]0;x\x07", "\u009b2J", "\u2028", "\u202e", "'", "<script>", "日本", " ", "\\", "\U000e0041"}),
		rapid.String(),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 6),
		func(pieces []string) string { return strings.ToValidUTF8(strings.Join(pieces, ""), "?") })
}

// control: nist:AU-6
func TestHostileTextStaysOneRowAndHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) string { return hostile().Draw(t, what) }
		by := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Employer: text("employer"),
			Person: &lockboxv1.Person{DisplayName: text("name"), Email: text("mail"), Subject: text("subject"),
				Issuer: text("issuer")}}
		e := &lockboxv1.Event{
			Id: "019e1b3c-4d5e-7f60-8a9b-000000000000", Tenant: "meadowbank", Kind: "request", AggregateId: "r1",
			Time: timestamppb.Now(), Actor: by,
			Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: text("reason")}},
		}
		a := export.Entry(1, e)
		a.ResourceIds = []string{text("resource")}
		for _, f := range export.Formats() {
			row, err := f.Row(a)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range string(row) {
				if unicode.Is(unicode.C, r) && !strings.ContainsRune("\r\n\t", r) {
					t.Fatalf("%s: %q steers", f.Name, r)
				}
			}
			if f.Name == "csv" {
				harmlessSheet(t, a, row)
				continue
			}
			if bytes.Count(row, []byte{'\n'}) != 1 || bytes.ContainsAny(row, "\r\t") || !json.Valid(row) {
				t.Fatalf("%s: %q", f.Name, row)
			}
			if f.Name == "jsonl" {
				got := new(lockboxv1.Activity)
				if err := protojson.Unmarshal(row, got); err != nil || !proto.Equal(got, a) {
					t.Fatalf("it reads %v, %v", got, err)
				}
			}
		}
	})
}

// harmlessSheet reads a row as programs do: by RFC 4180, and by semicolons, as some countries' spreadsheets do.
func harmlessSheet(t *rapid.T, a *lockboxv1.Activity, row []byte) {
	rows, err := csv.NewReader(bytes.NewReader(row)).ReadAll()
	if err != nil || len(rows) != 1 || len(rows[0]) != 22 {
		t.Fatalf("%d rows of %q, %v", len(rows), row, err)
	}
	plain := func(s string) string {
		s = strings.NewReplacer("\r\n", "\n", "'", "").Replace(s)
		return strings.Map(func(r rune) rune {
			if r != '\n' && r != '\t' && (unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029') {
				return '�'
			}
			return r
		}, s)
	}
	if got, want := plain(rows[0][11]), strings.ReplaceAll(a.GetEntry().GetActor().GetEmployer(), "\r\n",
		"�\n"); got != plain(want) {
		t.Fatalf("%q became %q", want, got)
	}
	for _, cell := range rows[0] {
		for _, part := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(";\t\n", r) }) {
			if part = strings.TrimLeft(part, "\" "); part != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(part)[0]) {
				t.Fatalf("%q in %q begins a formula", part, cell)
			}
		}
	}
}

func FuzzRow(f *testing.F) {
	files, err := filepath.Glob("../../proto/testdata/golden/*.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file) // #nosec G304 -- a file of the tests
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := input.DecodeEvent(data)
		if err != nil {
			return
		}
		for _, format := range export.Formats() {
			row, err := format.Row(export.Entry(1, e))
			if err != nil {
				continue // a time that JSON has no words for
			}
			if format.Name == "csv" {
				if rows, err := csv.NewReader(bytes.NewReader(row)).ReadAll(); err != nil || len(rows) != 1 {
					t.Errorf("%d rows, %v", len(rows), err)
				}
			} else if bytes.Count(row, []byte{'\n'}) != 1 || !json.Valid(row) {
				t.Errorf("%s: %q", format.Name, row)
			}
		}
	})
}

func TestAzuresEntriesAllHaveTheSameProperties(t *testing.T) {
	f, _ := export.Named("azure")
	want := slices.Sorted(maps.Keys(export.Azure(new(lockboxv1.Activity))))
	for _, a := range everything(t) {
		e := map[string]any{}
		if err := json.Unmarshal(write(t, f, a), &e); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(e)); !slices.Equal(got, want) {
			t.Errorf("%s has %v", a.GetEntry().GetType(), got)
		}
	}
}

// Every event of a request names what the request is about, also where only its first event says so (R39).
func TestEveryRowNamesSubscriptionResourcesTicketAndPerson(t *testing.T) {
	first := asked(t)
	in := first.GetAccessRequested().GetIntent()
	for _, a := range everything(t) {
		if export.BeganAs(a).Kind != first.GetKind() {
			continue
		}
		export.Begun(a, first)
		for _, name := range []string{"jsonl", "csv", "cloudevents", "ocsf", "azure"} {
			f, _ := export.Named(name)
			row := string(write(t, f, a))
			for _, want := range []string{in.GetSubscriptionId(), in.GetResourceIds()[0], in.GetTicketId(),
				first.GetActor().GetPerson().GetDisplayName()} {
				if want == "" || !strings.Contains(row, want) {
					t.Errorf("%s of %s does not name %q: %s", name, a.GetEntry().GetType(), want, row)
				}
			}
		}
	}
}

// What Azure Customer Lockbox logs has its names and scopes, about a subscription and about a tenant.
func TestTheFactsOfAzureAreCalledAsAzureCallsThem(t *testing.T) {
	for _, o := range export.AzureOperations {
		for subscription, scope := range map[string]string{"sub-1": "/subscriptions/sub-1", "": "/tenants/contoso"} {
			e := export.Azure(&lockboxv1.Activity{Tenant: "contoso", Kind: "request", RequestId: "r-1",
				SubscriptionId: subscription, Entry: &lockboxv1.TimelineEntry{Type: o.Fact}})
			operation, _ := e["operationName"].(export.AzureName)
			if operation.Value != "Microsoft.CustomerLockbox/requests/activitylog/"+o.Name+"/action" ||
				operation.LocalizedValue != o.English ||
				e["resourceId"] != scope+"/providers/Microsoft.CustomerLockbox/requests/r-1" {
				t.Errorf("%s: %v", o.Fact, e)
			}
		}
	}
}

func TestASheetForSpreadsheetsBeginsWithAByteOrderMark(t *testing.T) {
	plain, _ := export.Named("csv")
	marked, _ := export.Named("csv-bom")
	entries := everything(t)
	if got := write(t, marked, entries...); string(got) != "\xEF\xBB\xBF"+string(write(t, plain, entries...)) {
		t.Error("it is not the same file behind a byte order mark")
	}
}
