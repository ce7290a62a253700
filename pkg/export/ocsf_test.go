package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/export"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// schema is testdata/ocsf-1.5.0.json.
type schema struct {
	Version string
	Classes map[string]struct {
		Caption    string
		Base       []string
		Attributes attributes
		AtLeastOne []string `json:"at_least_one"`
	}
	Base    map[string]attributes
	Objects map[string]struct {
		Attributes attributes
		AtLeastOne []string `json:"at_least_one"`
	}
}

type attributes map[string]struct {
	Type, Requirement string
	Array             bool
	// Caption names the attribute that has the caption of this one's id.
	Caption string
	Enum    map[string]string
}

func ocsfSchema(t testing.TB) (s schema) {
	t.Helper()
	data, err := os.ReadFile("testdata/ocsf-1.5.0.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// faults are what is wrong with an event.
func (s schema) faults(e map[string]any) (faults []string) {
	id := fmt.Sprint(e["class_uid"])
	class, known := s.Classes[id]
	if !known {
		return []string{"class " + id + " is not known"}
	}
	all := maps.Clone(class.Attributes)
	for _, base := range class.Base {
		maps.Copy(all, s.Base[base])
	}
	faults = s.object("", e, all)
	there := func(name string) bool { return e[name] != nil }
	if len(class.AtLeastOne) > 0 && !slices.ContainsFunc(class.AtLeastOne, there) {
		faults = append(faults, fmt.Sprintf("it has none of %v", class.AtLeastOne))
	}
	number := func(name string) int { n, _ := strconv.Atoi(fmt.Sprint(e[name])); return n }
	if number("type_uid") != number("class_uid")*100+number("activity_id") {
		faults = append(faults, fmt.Sprintf("type_uid is %v", e["type_uid"]))
	}
	if want := fmt.Sprintf("%v: %v", class.Caption, e["activity_name"]); e["type_name"] != want {
		faults = append(faults, fmt.Sprintf("type_name is %v", e["type_name"]))
	}
	return faults
}

func (s schema) object(path string, o map[string]any, all attributes) (faults []string) {
	for name, a := range all {
		v, there := o[name]
		if !there {
			if a.Requirement == "required" {
				faults = append(faults, path+name+" is missing")
			}
			continue
		}
		list, isList := v.([]any)
		switch {
		case a.Type == "any":
			continue
		case isList != a.Array || a.Array && len(list) == 0:
			faults = append(faults, path+name+" is a list, or is none, or is empty")
			continue
		case !a.Array:
			list = []any{v}
		}
		for _, v := range list {
			faults = append(faults, s.value(path+name, v, a.Type)...)
		}
		if a.Enum == nil {
			continue
		}
		caption, known := a.Enum[fmt.Sprint(v)]
		if !known || caption != "Other" && o[a.Caption] != caption {
			faults = append(faults, fmt.Sprintf("%s%s is %v, and %s is %v", path, name, v, a.Caption, o[a.Caption]))
		}
	}
	for name := range o {
		if _, known := all[name]; !known {
			faults = append(faults, path+name+" is no attribute")
		}
	}
	return faults
}

func (s schema) value(path string, v any, typ string) []string {
	switch typ {
	case "string":
		if text, is := v.(string); !is || text == "" {
			return []string{path + " is not a text, or is empty"}
		}
		return nil
	case "integer", "long", "timestamp":
		n, is := v.(json.Number)
		whole, err := n.Int64()
		if !is || err != nil || typ == "timestamp" && (whole < 1e12 || whole > 1e13) { // milliseconds of this century
			return []string{fmt.Sprintf("%s is %v", path, v)}
		}
		return nil
	}
	o, is := v.(map[string]any)
	object, known := s.Objects[typ]
	if !is || !known {
		return []string{path + " is not an object " + typ}
	}
	faults := s.object(path+".", o, object.Attributes)
	there := func(name string) bool { return o[name] != nil }
	if len(object.AtLeastOne) > 0 && !slices.ContainsFunc(object.AtLeastOne, there) {
		faults = append(faults, fmt.Sprintf("%s has none of %v", path, object.AtLeastOne))
	}
	return faults
}

func parseOCSF(t testing.TB, a *lockboxv1.Activity) map[string]any {
	t.Helper()
	f, _ := export.Named("ocsf")
	d := json.NewDecoder(bytes.NewReader(write(t, f, a)))
	d.UseNumber()
	e := map[string]any{}
	if err := d.Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// The tables say what of OCSF is checked; no validator of OCSF's own has seen the output.
func TestOCSFIsAsItsClassesDemand(t *testing.T) {
	s := ocsfSchema(t)
	seen := map[string]bool{}
	for _, a := range append(everything(t), complete(everything(t), asked(t))...) {
		e := parseOCSF(t, a)
		typ := a.GetEntry().GetType()
		seen[typ] = true
		for _, fault := range s.faults(e) {
			t.Errorf("%s: %s", typ, fault)
		}
		metadata, _ := e["metadata"].(map[string]any)
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(metadata["original_time"]))
		if err != nil || !at.Equal(a.GetEntry().GetTime().AsTime()) || metadata["version"] != s.Version ||
			metadata["uid"] != a.GetEvent().GetId() {
			t.Errorf("%s: %v, %v", typ, metadata, err)
		}
	}
	for _, action := range activity.Actions() {
		for _, typ := range activity.Types(action) {
			if !seen[typ] {
				t.Errorf("no event of type %s was exported", typ)
			}
		}
	}
}

func TestTheOCSFCheckFindsFaults(t *testing.T) {
	s := ocsfSchema(t)
	for want, spoil := range map[string]func(map[string]any){
		"entity is missing":          func(e map[string]any) { delete(e, "entity") },
		"session is no attribute":    func(e map[string]any) { e["session"] = map[string]any{} },
		"severity_id is 9":           func(e map[string]any) { e["severity_id"] = json.Number("9") },
		"status_id is 2":             func(e map[string]any) { e["status_id"] = json.Number("2") },
		"type_uid is 1":              func(e map[string]any) { e["type_uid"] = json.Number("1") },
		"time is 1700000000":         func(e map[string]any) { e["time"] = json.Number("1700000000") },
		"entity has none of":         func(e map[string]any) { e["entity"] = map[string]any{"type": "request"} },
		"message is not a text":      func(e map[string]any) { e["message"] = json.Number("1") },
		"metadata.product is":        func(e map[string]any) { e["metadata"] = map[string]any{"version": "1.5.0"} },
		"class 3003 is not known":    func(e map[string]any) { e["class_uid"] = json.Number("3003") },
		"observables is a list, or ": func(e map[string]any) { e["observables"] = "x" },
	} {
		e := parseOCSF(t, asEntry(asked(t)))
		if faults := s.faults(e); len(faults) > 0 {
			t.Fatal(faults)
		}
		spoil(e)
		if faults := strings.Join(s.faults(e), "; "); !strings.Contains(faults, want) {
			t.Errorf("%s: %s", want, faults)
		}
	}
}

func asEntry(e *lockboxv1.Event) *lockboxv1.Activity { return export.Entry(42, e) }

// Whoever gets access is the user; whoever decided is the actor.
func TestOCSFTellsTheEngineerFromWhoDecided(t *testing.T) {
	engineer := asked(t).GetActor().GetPerson()
	all := complete(everything(t), asked(t))
	for typ, want := range map[string]struct {
		typeUID, status, severity string
		resources                 bool
	}{
		"AccessGranted":           {"300501", "Success", "", true},
		"AccessRevoked":           {"300502", "Success", "Medium", true},
		"AccessReleased":          {"300502", "Success", "Informational", true},
		"AccessCompleted":         {"300502", "Success", "Informational", true},
		"AccessLapsed":            {"300501", "Failure", "Medium", true},
		"CustomerDenied":          {"300501", "Failure", "Medium", true},
		"InternalApprovalRefused": {"300501", "Failure", "Low", true},
		"InternalApprovalExpired": {"300501", "Failure", "Low", true},
		"RequestExpired":          {"300501", "Failure", "Low", true},
		"CustomerApproved":        {"300403", "Success", "Low", false},
		"DifferenceFound":         {"300401", "Success", "", false},
		"StreamRestored":          {"300403", "Success", "Critical", false},
		"NotificationFailed":      {"300401", "Failure", "Medium", false},
	} {
		found := 0
		for _, a := range all {
			if a.GetEntry().GetType() != typ {
				continue
			}
			found++
			e := parseOCSF(t, a)
			if fmt.Sprint(e["type_uid"]) != want.typeUID || e["status"] != want.status ||
				want.severity != "" && e["severity"] != want.severity || (e["resources"] != nil) != want.resources {
				t.Errorf("%s: %v", typ, e)
			}
			if want.status == "Failure" && e["status_detail"] == nil {
				t.Errorf("%s does not say why", typ)
			}
			user, is := e["user"].(map[string]any)
			if is && (user["uid"] != engineer.GetSubject() || user["email_addr"] != engineer.GetEmail()) {
				t.Errorf("%s is about %v", typ, user)
			}
			actor, _ := e["actor"].(map[string]any)
			decided, _ := actor["user"].(map[string]any)
			if p := a.GetEntry().GetActor().GetPerson(); p != nil && decided["uid"] != p.GetSubject() {
				t.Errorf("%s was decided by %v", typ, decided)
			}
		}
		if found == 0 {
			t.Errorf("there is no %s", typ)
		}
	}
}

// control: nist:AU-6
func TestOCSFGivesAccessThatNobodyWasAskedAboutMoreWeight(t *testing.T) {
	for waiver, want := range map[lockboxv1.Waiver]string{
		lockboxv1.Waiver_WAIVER_UNSPECIFIED:           "Low",
		lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:      "Low",
		lockboxv1.Waiver_WAIVER_PREVIEW_NOT_SIGNED_UP: "Medium",
		lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED:   "Medium",
		lockboxv1.Waiver_WAIVER_EMERGENCY:             "High",
	} {
		granted := &lockboxv1.AccessGranted{Waiver: waiver}
		a := asEntry(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessGranted{AccessGranted: granted}})
		if got := parseOCSF(t, a)["severity"]; got != want {
			t.Errorf("%s: %v, want %s", waiver, got, want)
		}
	}
	for kind, want := range map[lockboxv1.DifferenceKind]string{
		lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED:      "Critical",
		lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE: "High",
	} {
		difference := &lockboxv1.DifferenceFound{Kind: kind}
		a := asEntry(&lockboxv1.Event{Fact: &lockboxv1.Event_DifferenceFound{DifferenceFound: difference}})
		if got := parseOCSF(t, a)["severity"]; got != want {
			t.Errorf("%s: %v, want %s", kind, got, want)
		}
	}
}
