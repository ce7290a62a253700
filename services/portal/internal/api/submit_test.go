package api

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	intents = "/tenants/meadowbank/intents"
	wanted  = `{"id": "` + id + `", "resourceType": "compute/virtual-machines", "scenario": "memory-dump", ` +
		`"resourceIds": ["/subscriptions/x/y"], "reasonType": "CUSTOMER_INITIATED_SUPPORT", "justification": "It hangs.", ` +
		`"ticketId": "0012345", "duration": "4h"}`
)

// evaluated answers every intent.
func evaluated(o *lockboxv1.IntentOutcome) *sitetest.Backend {
	b := bank()
	b.Intents = func(id string, in *lockboxv1.AccessIntent) (*lockboxv1.IntentOutcome, error) {
		o := proto.CloneOf(o)
		o.IntentId, o.Tenant, o.DryRun = id, in.GetTenant(), in.GetDryRun()
		return o, nil
	}
	return b
}

func accepted() *lockboxv1.IntentOutcome {
	return &lockboxv1.IntentOutcome{Sequence: 7, Status: "REQUEST_STATUS_SUBMITTED",
		Deadline: timestamppb.New(sitetest.Now), PortalUrl: "https://lockbox.example/provider/requests/x",
		NextStep: lockboxv1.NextStep_NEXT_STEP_CUSTOMER_DECISION, Next: "The customer is asked.",
		Evaluation: "EVALUATION_OUTCOME_CUSTOMER_DECIDES", Reasons: []string{"So it is."},
		CodedReasons: []*lockboxv1.Reason{{Code: lockboxv1.ReasonCode_REASON_CODE_CUSTOMER_DECIDES}}}
}

// R62: an engineer asks by REST, as `lockbox intent submit` does, and is told what becomes of it.
func TestAskingForAccess(t *testing.T) {
	b := evaluated(accepted())
	w := call(t, b, http.MethodPost, intents, bearertest.Lena, wanted)
	o := new(lockboxv1.IntentOutcome)
	if err := protojson.Unmarshal(w.Body.Bytes(), o); err != nil || w.Code != http.StatusAccepted ||
		w.Header().Get("Location") != "/lockbox/v1/requests/"+id || o.GetIntentId() != id || o.GetNext() == "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	want := &lockboxv1.AccessIntent{Id: id, Tenant: "meadowbank", ResourceType: "compute/virtual-machines",
		Scenario: "memory-dump", ResourceIds: []string{"/subscriptions/x/y"},
		ReasonType:    lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT,
		Justification: "It hangs.", TicketId: "0012345", Duration: durationpb.New(14400e9)}
	if len(b.Submitted) != 1 || !proto.Equal(b.Submitted[0], want) {
		t.Errorf("submitted %v", b.Submitted)
	}

	b = evaluated(accepted())
	w = call(t, b, http.MethodPost, intents, bearertest.Lena, strings.Replace(wanted, `"id": "`+id+`", `, "", 1))
	if made := b.Submitted[0].GetId(); w.Code != http.StatusAccepted || input.UUIDv7("id", made) != nil ||
		w.Header().Get("Location") != "/lockbox/v1/requests/"+made {
		t.Errorf("without an id: %d %v", w.Code, b.Submitted)
	}

	b = evaluated(accepted())
	w = call(t, b, http.MethodPost, intents+"?dry_run=true", bearertest.Lena, wanted)
	if w.Code != http.StatusOK || !b.Submitted[0].GetDryRun() {
		t.Errorf("a dry run: %d %v", w.Code, b.Submitted)
	}

	b = bank() // nobody evaluates it in time
	w = call(t, b, http.MethodPost, intents, bearertest.Lena, wanted)
	if w.Code != http.StatusAccepted || w.Header().Get("Location") == "" {
		t.Errorf("no outcome: %d %v", w.Code, w.Header())
	}
}

// What a tool signs is passed on byte for byte, with nothing beside it.
func TestASignedIntentIsPassedOn(t *testing.T) {
	b := evaluated(accepted())
	signature := []byte("sixty-four bytes, or not: that is for the evaluator to say")
	w := call(t, b, http.MethodPost, intents, bearertest.Lena, wanted, "Lockbox-Tool", "ticketing", "Lockbox-Signature",
		base64.StdEncoding.EncodeToString(signature))
	want := &lockboxv1.AccessIntent{Tenant: "meadowbank", SignedBy: "ticketing", Signature: signature,
		Signed: []byte(wanted)}
	if w.Code != http.StatusAccepted || len(b.Submitted) != 1 || !proto.Equal(b.Submitted[0], want) {
		t.Errorf("%d, submitted %v", w.Code, b.Submitted)
	}
}

// A refusal names field and rule in any case, also where something is not there.
func TestARefusedIntentIsAProblem(t *testing.T) {
	o := accepted()
	o.Refusal = refusal.Of(refusal.NotFound("ticket_id", "R11", "the tenant has no such ticket"))
	w := call(t, evaluated(o), http.MethodPost, intents, bearertest.Lena, wanted)
	if got := wrong(t, w); w.Code != http.StatusNotFound || got != "Not Found: NOT_FOUND ticket_id" ||
		w.Header().Get("Location") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	onlyTool, onlySignature := []string{"Lockbox-Tool", "x"}, []string{"Lockbox-Signature", "eA=="}
	oneTool := slices.Concat(onlyTool, onlySignature)
	twoTools := slices.Concat(onlyTool, oneTool)
	for name, row := range map[string]struct {
		address, token, body string
		headers              []string
		status               int
	}{
		"a customer's":           {intents, bearertest.Otto, wanted, nil, http.StatusForbidden},
		"another customer's":     {"/tenants/sakura/intents", bearertest.Otto, wanted, nil, http.StatusNotFound},
		"an unknown member":      {intents, bearertest.Lena, `{"tenent": "meadowbank"}`, nil, http.StatusBadRequest},
		"a token inside":         {intents, bearertest.Lena, `{"token": "x"}`, nil, http.StatusBadRequest},
		"a dry run inside":       {intents, bearertest.Lena, `{"dryRun": true}`, nil, http.StatusBadRequest},
		"a tenant of stars":      {"/tenants/*/intents", bearertest.Lena, wanted, nil, http.StatusBadRequest},
		"an id that is none":     {intents, bearertest.Lena, `{"id": "1"}`, nil, http.StatusBadRequest},
		"a number as a ticket":   {intents, bearertest.Lena, `{"ticketId": 12345}`, nil, http.StatusBadRequest},
		"an unknown parameter":   {intents + "?dryrun=true", bearertest.Lena, wanted, nil, http.StatusBadRequest},
		"a tool, no signature":   {intents, bearertest.Lena, wanted, onlyTool, http.StatusBadRequest},
		"a signature, no tool":   {intents, bearertest.Lena, wanted, onlySignature, http.StatusBadRequest},
		"two tools":              {intents, bearertest.Lena, wanted, twoTools, http.StatusBadRequest},
		"a signature of nothing": {intents, bearertest.Lena, `{}`, oneTool, http.StatusBadRequest},
	} {
		b := evaluated(accepted())
		w := call(t, b, http.MethodPost, row.address, row.token, row.body, row.headers...)
		if w.Code != row.status || len(b.Submitted) > 0 {
			t.Errorf("%s: %d %s, submitted %v", name, w.Code, w.Body, b.Submitted)
		}
	}
	// Nothing is stored for somebody whose token the services do not take.
	b := evaluated(accepted())
	b.Queries["get_self"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.Unauthenticated("token", "R13", "it is not valid")
	}
	if w := call(t, b, http.MethodPost, intents, bearertest.Lena, wanted); w.Code != http.StatusUnauthorized ||
		len(b.Submitted) > 0 {
		t.Errorf("a token that is not valid: %d, submitted %v", w.Code, b.Submitted)
	}
}
