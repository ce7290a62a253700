package export_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/export"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// R63: in every format, what was erased reads so, and who it was can still be told.
func TestR63EveryFormatSaysWhatWasErased(t *testing.T) {
	gone := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Person: &lockboxv1.Person{Issuer: "https://id.example", Subject: "otto", Erased: true}}
	a := export.Entry(7, &lockboxv1.Event{Id: "019a0000-0000-7000-8000-000000000001", Tenant: "contoso", Kind: "request",
		AggregateId: "r", Actor: gone,
		Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: erasable.Erased}}})
	a.Requester = gone
	for _, f := range export.Formats() {
		row, err := f.Row(a)
		if err != nil {
			t.Fatal(err)
		}
		said := string(row)
		if !strings.Contains(said, "denied access: [erased].") || !strings.Contains(said, "otto") {
			t.Errorf("%s: %s", f.Name, said)
		}
		if named := strings.Contains(said, "otto [erased]"); !named && f.Name != "jsonl" && f.Name != "cloudevents" {
			t.Errorf("%s has a name without saying that it was erased: %s", f.Name, said)
		}
		if wrote := strings.Contains(said, `"erased":true`); !wrote && f.Name != "csv" && f.Name != "azure" {
			t.Errorf("%s leaves out that the name was erased: %s", f.Name, said)
		}
	}
}
