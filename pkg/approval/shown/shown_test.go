package shown_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
)

var update = flag.Bool("update", false, "write the texts of a new format to testdata")

// statement is one of the statements whose texts are kept.
type statement struct {
	name string
	// text is made of the statement as it was built, bytes are the statement.
	text  func(language string) string
	bytes []byte
}

func statements(t *testing.T) []statement {
	t.Helper()
	var all []statement
	add := func(name string, bytes []byte, err error, text func(string) string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, statement{name, text, bytes})
	}
	story := approvaltest.Begin()
	decision := func(name string, d approval.Decision) {
		bytes, err := d.Bytes()
		add(name, bytes, err, func(l string) string { return shown.Text(d, l) })
	}
	all1 := story.Decide(approval.Approve, "otto", story.Otto)
	decision("approve", all1)
	two := story.Decide(approval.Approve, "anna", story.Anna)
	two.Subscription, two.Approvals, two.Seconds = "", 3, 90061
	two.Resources = []string{"/a/100%s", "/b/\"quoted\" 資源"}
	two.Comment = approvaltest.Hash("comment")
	decision("approve of three, with a comment", two)
	decision("deny", story.Decide(approval.Deny, "otto", story.Otto))
	decision("revoke", story.Decide(approval.Revoke, "otto", story.Otto))
	for i, of := range []string{approval.SwitchOff, approval.Roles, approval.SignIn, approval.Settings,
		approval.StandingApproval, approval.Transfer, approval.LeavePreview} {
		c := approval.Change{Head: story.Head(approval.FormatChange, "otto", story.Otto), Change: of, Kind: "tenant",
			ID: approvaltest.Tenant, Follows: approval.EventOf(uint64(i+2), "SettingsChanged", nil),
			Content: []approval.Named{{Name: "lockbox", Value: "off: 100%"}, {Name: "why", Value: ""}}}
		if i%2 == 1 {
			c.Kind, c.ID = "subscription", "payments"
		}
		bytes, err := c.Bytes()
		add(of, bytes, err, func(l string) string { return shown.ChangeText(c, l) })
	}
	bytes, err := story.Genesis.Bytes()
	add("genesis", bytes, err, func(l string) string { return shown.GenesisText(story.Genesis, l) })
	synced := approvaltest.New("carl", approvaltest.EdDSA)
	synced.Backup = 1
	plain := approvaltest.New("dora", approvaltest.Ed25519)
	for _, c := range []approval.KeyChange{
		{Change: approval.AddKey, Keys: []approval.Enrolment{synced.Enrol("carl", approval.Approver)}},
		{Change: approval.RemoveKey, Remove: story.Otto.ID()},
		{Change: approval.RecoverKeys, Keys: []approval.Enrolment{synced.Enrol("carl", approval.Administrator),
			plain.Enrol("dora", approval.Administrator)}},
		{Change: approval.ReplaceRecovery, Recovery: []approval.Key{plain.Key}},
		{Change: approval.SetDemand, Demand: approval.DemandNone},
		{Change: approval.SetDemand, Demand: approval.DemandCommandLine},
	} {
		c = story.Change(c)
		bytes, err := c.Bytes()
		add(c.Change+" "+string(c.Demand), bytes, err, func(l string) string { return shown.KeyChangeText(c, l) })
	}
	return all
}

// What was signed once reads the same for ever: a statement has the hash of its text inside.
func TestTheTextOfAStatementNeverChanges(t *testing.T) {
	for _, language := range shown.Languages {
		var text strings.Builder
		for _, s := range statements(t) {
			fmt.Fprintf(&text, "=== %s\n%s", s.name, s.text(language))
		}
		file := filepath.Join("testdata", "v1."+language+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file) // #nosec G304 -- a test's own file
		if err != nil {
			t.Fatal(err)
		}
		if text.String() != string(want) {
			t.Errorf("%s: the texts have changed, and with them what was signed:\n%s", language, text.String())
		}
	}
}

func TestTheTextIsMadeFromTheStatementAlone(t *testing.T) {
	for _, s := range statements(t) {
		for _, language := range shown.Languages {
			text, _, err := shown.Of(s.bytes, language)
			if err != nil || text != s.text(language) {
				t.Errorf("%s, %s: read again: %v\n%s", s.name, language, err, text)
			}
		}
	}
	if text, _, err := shown.Of([]byte(`{"format":"lockbox-approval/v1"}`), "en"); err == nil {
		t.Errorf("shown as a statement: %s", text)
	}
}

// Each field of a decision that means something to its reader changes what they read.
func TestNothingOfADecisionIsLeftOut(t *testing.T) {
	story := approvaltest.Begin()
	d := story.Decide(approval.Approve, "otto", story.Otto)
	for name, change := range map[string]func(*approval.Decision){
		"decision":     func(d *approval.Decision) { d.Decision = approval.Deny },
		"request":      func(d *approval.Decision) { d.Request += "x" },
		"engineer":     func(d *approval.Decision) { d.Engineer.Subject += "x" },
		"issuer":       func(d *approval.Decision) { d.Engineer.Issuer += "x" },
		"resources":    func(d *approval.Decision) { d.Resources = append(d.Resources, "x") },
		"one resource": func(d *approval.Decision) { d.Resources = []string{"x"} },
		"seconds":      func(d *approval.Decision) { d.Seconds++ },
		"answer by":    func(d *approval.Decision) { d.AnswerBy = "2026-11-06T12:00:00.001Z" },
		"approvals":    func(d *approval.Decision) { d.Approvals++ },
		"events":       func(d *approval.Decision) { d.Events = d.Events[:2] },
		"comment":      func(d *approval.Decision) { d.Comment = approvaltest.Hash("x") },
		"subscription": func(d *approval.Decision) { d.Subscription = "" },
		"operation":    func(d *approval.Decision) { d.Scenario += "x" },
		"type":         func(d *approval.Decision) { d.ResourceType += "x" },
		"tenant":       func(d *approval.Decision) { d.Tenant += "x" },
		"by":           func(d *approval.Decision) { d.By.Subject += "x" },
		"key":          func(d *approval.Decision) { d.Key = approvaltest.Hash("x") },
		"keys":         func(d *approval.Decision) { d.Genesis = approvaltest.Hash("x") },
		"log":          func(d *approval.Decision) { d.Origin += "x" },
		"time":         func(d *approval.Decision) { d.IssuedAt = "2026-11-04T12:00:00.5Z" },
	} {
		other := d
		other.Resources = slices.Clone(d.Resources)
		change(&other)
		for _, language := range shown.Languages {
			if shown.Text(d, language) == shown.Text(other, language) {
				t.Errorf("%s, %s: reads the same", language, name)
			}
		}
	}
}

func TestOtherLanguagesReadEnglish(t *testing.T) {
	for tag, want := range map[string]string{"en": "en", "fr": "fr", "fr-CA": "fr", "JA": "ja", "de": "en", "": "en"} {
		if got := shown.Language(tag); got != want {
			t.Errorf("%q: %s, want %s", tag, got, want)
		}
	}
	story := approvaltest.Begin()
	d := story.Decide(approval.Revoke, "otto", story.Otto)
	texts := map[string]bool{}
	for _, l := range slices.Concat(shown.Languages, []string{"de"}) {
		texts[shown.Text(d, l)] = true
	}
	if len(texts) != 3 {
		t.Errorf("%d different texts: %v", len(texts), slices.Collect(maps.Keys(texts)))
	}
}
