package observe

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// A line about a request says which, and which trace. What strangers send is in a line only if it is an id.
func TestALineSaysWhatItIsAbout(t *testing.T) {
	const id, other, traceID = "019b2f3c-5d10-7abc-8def-0123456789ab", "019b2f3c-5d10-7abc-8def-0123456789ac",
		"019b2f3c5d107abc8def0123456789ab"
	const token = "eyJhbGciOiJub25lIn0.bm9ib2R5LWF0LWFsbA.c2lnbmF0dXJl"
	request := aggregate.Request("meadow-bank", id)
	approve := &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}
	type fields = map[string]string
	for name, c := range map[string]struct {
		got  []zap.Field
		want fields
	}{
		"a request": {About(request, zap.String("rule", "R1")),
			fields{"tenant": "meadow-bank", "request": id, "trace": traceID, "rule": "R1"}},
		"the rules":  {About(aggregate.Rules), fields{"tenant": "_", "aggregate": aggregate.Rules.String()}},
		"nothing":    {About(aggregate.Key{}), fields{}},
		"no request": {About(aggregate.Request("Otto@meadowbank.example", token)), fields{}},
		"an event": {AboutEvent(&lockboxv1.Event{Id: other, Tenant: "meadow-bank", Kind: aggregate.KindRequest,
			AggregateId: id, Fact: &lockboxv1.Event_AccessGranted{}}),
			fields{"tenant": "meadow-bank", "request": id, "trace": traceID, "event": other, "type": "AccessGranted"}},
		"a mail": {AboutEvent(&lockboxv1.Event{Id: other, Tenant: "meadow-bank", Kind: aggregate.KindDelivery,
			AggregateId: other, ReportKey: other, CorrelationId: id, Fact: &lockboxv1.Event_NotificationSent{}}),
			fields{"tenant": "meadow-bank", "request": id, "trace": traceID, "event": other, "type": "NotificationSent",
				"aggregate": "meadow-bank/delivery/" + other}},
		"a command": {AboutCommand(&lockboxv1.Command{Id: other, Tenant: "meadow-bank", AggregateId: id, Action: approve},
			"approve"), fields{"tenant": "meadow-bank", "request": id, "trace": traceID, "command": other, "verb": "approve"}},
		"a command that is none": {AboutCommand(&lockboxv1.Command{Id: token, Tenant: token, AggregateId: token,
			Action: approve}, "approve"), fields{"verb": "approve"}},
	} {
		var out bytes.Buffer
		log, err := NewLogger(LogOptions{Out: &out})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("x", c.got...)
		got := fields{}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, always := range []string{"level", "time", "message"} {
			delete(got, always)
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}
