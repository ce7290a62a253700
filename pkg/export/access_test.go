package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	"github.com/openlockbox/lockbox/pkg/export"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// accessRecords are one of each kind, of somebody and of nobody, refused and left out.
func accessRecords() (all []*lockboxv1.AccessRecord) {
	erin := &lockboxv1.AccessPerson{Issuer: "https://login.nimbus.example", Subject: "erin", Name: "Erin \u202eEllis",
		Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud"}
	at := timestamppb.New(time.Date(2026, 3, 14, 9, 26, 53, 589_793_000, time.UTC))
	for _, k := range accesstext.Kinds {
		for i, who := range []*lockboxv1.AccessPerson{erin, nil} {
			r := &lockboxv1.AccessRecord{Id: fmt.Sprintf("019a0000-0000-7000-8000-00000000%02d%02d", k, i),
				Tenant: "meadowbank", Time: at, Kind: k, Who: who, Sender: "PORTAL", Service: "audit-projector",
				Action: "get_request", AboutKind: "request", AboutId: "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b", Count: 1}
			if k == lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED || who == nil {
				r.RefusalCode, r.RefusalField, r.RefusalRule = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN, "token", "R20"
			}
			if k == lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED {
				r.Reason, r.RefusalCode = "declined", lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED
			}
			all = append(all, r, &lockboxv1.AccessRecord{Id: r.GetId() + "x", Tenant: "_", Time: at, Kind: k, Who: who,
				Sender: "EDGE", Service: "portal", LeftOut: 12, Since: timestamppb.New(at.AsTime().Add(-time.Minute))})
		}
	}
	return all
}

func accessAs(t *testing.T, format string, r *lockboxv1.AccessRecord) (e map[string]any, line []byte) {
	t.Helper()
	f, _ := export.Named(format)
	line, err := f.Access(42, r)
	if err != nil || bytes.Count(line, []byte{'\n'}) != 1 || bytes.Contains(line, []byte("\u202e")) {
		t.Fatalf("%s: %s, %v", format, line, err)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%s: %s, %v", format, line, err)
	}
	return e, line
}

func TestR69RecordsAreAsOCSFsClassesDemand(t *testing.T) {
	s := ocsfSchema(t)
	for _, r := range accessRecords() {
		e, _ := accessAs(t, "ocsf", r)
		name := fmt.Sprintf("%s of %s", accesstext.Name(r.GetKind()), r.GetWho().GetSubject())
		for _, fault := range s.faults(e) {
			t.Errorf("%s: %s", name, fault)
		}
		want := map[lockboxv1.AccessKind]string{
			lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN: "300201", lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED: "300201",
			lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED: "600399", lockboxv1.AccessKind_ACCESS_KIND_READ: "600302",
			lockboxv1.AccessKind_ACCESS_KIND_EXPORT: "600302"}[r.GetKind()]
		status := "Success"
		if r.GetRefusalCode() != 0 || r.GetReason() != "" || r.GetLeftOut() > 0 &&
			(r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED ||
				r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED) {
			status = "Failure"
		}
		if fmt.Sprint(e["type_uid"]) != want || e["status"] != status {
			t.Errorf("%s: %v, %v", name, e["type_uid"], e["status"])
		}
		if n := fmt.Sprint(e["count"]); r.GetLeftOut() > 0 && n != "12" {
			t.Errorf("%s: %s", name, n)
		}
	}
}

func TestR69RecordsInTheOtherFormats(t *testing.T) {
	for _, r := range accessRecords() {
		e, _ := accessAs(t, "cloudevents", r)
		if e["specversion"] != "1.0" || e["id"] != r.GetId() || e["sequence"] != "00000000000000000042" ||
			e["type"] != "io.openlockbox.access."+accesstext.Name(r.GetKind()) ||
			e["source"] != "/tenants/"+r.GetTenant() || e["subject"] == "" {
			t.Errorf("%v", e)
		}
		_, line := accessAs(t, "jsonl", r)
		back := new(lockboxv1.AccessRecord)
		if err := protojson.Unmarshal(line, back); err != nil || !proto.Equal(back, r) {
			t.Errorf("%s, %v", line, err)
		}
		e, _ = accessAs(t, "azure", r)
		if e["eventDataId"] != r.GetId() || !strings.HasPrefix(fmt.Sprint(e["resourceId"]), "/tenants/"+r.GetTenant()+
			"/providers/OpenLockbox.Lockbox/accessRecords/") || strings.Contains(fmt.Sprint(e), "Microsoft") {
			t.Errorf("%v", e)
		}
	}
	csv, _ := export.Named("csv")
	if _, err := csv.Access(1, accessRecords()[0]); err == nil {
		t.Error("a sheet of events holds an access record")
	}
}

// A record about a request or a ticket names what that is about; whoever was refused may have named anything.
func TestR69ARecordNamesWhatItIsAbout(t *testing.T) {
	first := asked(t)
	in := first.GetAccessRequested().GetIntent()
	for kind, want := range map[string]string{"request": "AccessRequested", "ticket": "TicketOpened", "tenant": ""} {
		r := &lockboxv1.AccessRecord{Tenant: "meadowbank", AboutKind: kind, AboutId: "SR-1"}
		if got := export.AboutAccess(r); got.Type != want {
			t.Errorf("a %s began with %q", kind, got.Type)
		}
	}
	for _, id := range []string{"", ">", "*", "a.b", "a b", strings.Repeat("x", 300)} {
		r := &lockboxv1.AccessRecord{Tenant: "meadowbank", AboutKind: "request", AboutId: id}
		if got := export.AboutAccess(r); got != (export.Began{}) {
			t.Errorf("%q is looked for as %v", id, got)
		}
	}
	r, urgent := accessRecords()[0], proto.CloneOf(first)
	urgent.GetAccessRequested().GetIntent().Emergency = true
	export.AccessBegun(r, urgent)
	if !r.GetEmergency() {
		t.Error("a record about an emergency does not say so")
	}
	if export.AccessBegun(r, first); r.GetEmergency() {
		t.Error("a record about no emergency says so")
	}
	for _, name := range []string{"jsonl", "cloudevents", "ocsf", "azure"} {
		f, _ := export.Named(name)
		row, err := f.Access(1, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{in.GetSubscriptionId(), in.GetResourceIds()[0], in.GetTicketId(), "Ellis"} {
			if !strings.Contains(string(row), want) {
				t.Errorf("%s does not name %s: %s", name, want, row)
			}
		}
	}
}
