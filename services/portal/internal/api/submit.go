package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	// toolHeader and signatureHeader are set by a tool that signs an intent: its name, and the signature in Base64.
	toolHeader      = "Lockbox-Tool"
	signatureHeader = "Lockbox-Signature"
	// outcomeWithin is how long a caller waits for the evaluation. After that the intent is accepted all the same.
	outcomeWithin = 15 * time.Second
)

// submitIntent publishes an intent with the engineer's own token: as the portal's, or as the tool's that signed it,
// which the evaluator verifies (R62).
func submitIntent(c *bearer.Call) error {
	tenant, dryRun := c.Param("tenant"), false
	if err := ownTenant(c, tenant); err != nil {
		return err
	}
	if c.Customer() {
		return refusal.Forbidden("token", "R5", "access is requested by one of the provider's people")
	}
	if err := (parameters{"dry_run": one(flag(&dryRun))}).read(c); err != nil {
		return err
	}
	if err := input.Tenant("tenant", tenant); err != nil {
		return err
	}
	body, err := c.JSONBody()
	if err != nil {
		return err
	}
	message, id, err := readIntent(c, tenant, body)
	if err != nil {
		return err
	}
	// Nothing is stored for somebody whose token is not valid: what waits to be evaluated is limited.
	if _, err := c.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetSelf{GetSelf: &lockboxv1.GetSelf{}}}); err != nil {
		return err
	}
	message.DryRun = dryRun
	outcome, err := c.Submit(id, message, outcomeWithin)
	if err != nil {
		return err
	}
	if outcome == nil {
		outcome = &lockboxv1.IntentOutcome{IntentId: id, Tenant: tenant, DryRun: dryRun}
	}
	if dryRun {
		return answerOutcome(c, outcome, similar(c, tenant, id, message))
	}
	return answerOutcome(c, outcome, nil)
}

// similar returns the requests for the same as an intent that are open or running, for whoever tries what would become
// of it. Without an answer there are none: it is only a help.
func similar(c *bearer.Call, tenant, id string, in *lockboxv1.AccessIntent) []*lockboxv1.SimilarRequest {
	if whole, err := request.Unwrap(in); err == nil {
		in = whole
	}
	reply, err := c.Ask(&lockboxv1.Query{Tenant: tenant, Ask: &lockboxv1.Query_ListSimilar{
		ListSimilar: &lockboxv1.ListSimilar{RequestId: id, SubscriptionId: in.GetSubscriptionId(),
			ResourceType: in.GetResourceType(), Scenario: in.GetScenario(), ResourceIds: in.GetResourceIds()}}})
	if err != nil {
		return nil
	}
	return reply.GetSimilar().GetRequests()
}

// readIntent returns the message for an intent, as it is published, and the intent's id. The body of a tool that signs
// is passed on byte for byte.
func readIntent(c *bearer.Call, tenant string, body []byte) (message *lockboxv1.AccessIntent, id string, err error) {
	in := new(lockboxv1.AccessIntent)
	if err := written.Message(body, in); err != nil {
		return nil, "", err
	}
	if err := request.CheckBody(in); err != nil {
		return nil, "", err
	}
	if in.GetTenant() != "" && in.GetTenant() != tenant {
		return nil, "", refusal.OfKind(
			refusal.Invalid("tenant", "I9", "is not the customer that the path names"),
			"tenant-of-path")
	}
	tool, signature := c.R.Header.Values(toolHeader), c.R.Header.Values(signatureHeader)
	if len(tool) == 0 && len(signature) == 0 {
		if in.Tenant = tenant; in.GetId() == "" {
			made, err := uuid.NewV7()
			if err != nil {
				return nil, "", err
			}
			in.Id = made.String()
		}
		return in, in.GetId(), input.UUIDv7("id", in.GetId())
	}
	if len(tool) != 1 || len(signature) != 1 || tool[0] == "" {
		return nil, "", refusal.OfKind(
			refusal.Invalid(signatureHeader, "R62", "%s and %s belong together, each once", toolHeader,
				signatureHeader),
			"signature-headers", "tool", toolHeader, "signature", signatureHeader)
	}
	signed, err := base64.StdEncoding.DecodeString(signature[0])
	if err != nil {
		return nil, "", refusal.OfKind(refusal.Invalid(signatureHeader, "R62", "is no Base64"), "signature-base64")
	}
	message = &lockboxv1.AccessIntent{Tenant: tenant, SignedBy: tool[0], Signature: signed, Signed: body}
	if _, err := request.Unwrap(message); err != nil {
		return nil, "", err
	}
	return message, in.GetId(), input.UUIDv7("id", in.GetId()) // the tool's own: what is signed is not completed
}

// answerOutcome answers with what became of an intent: 202 if it goes on to a decision, or is still being evaluated.
// Of a dry run it names the similar requests, if there are any.
func answerOutcome(c *bearer.Call, outcome *lockboxv1.IntentOutcome, similar []*lockboxv1.SimilarRequest) error {
	if outcome.GetSequence() > 0 || !outcome.GetDryRun() && outcome.GetRefusal() == nil {
		c.W.Header().Set("Location", prefix+"/requests/"+outcome.GetIntentId())
	}
	if r := outcome.GetRefusal(); r != nil {
		// Field and rule are said in any case, also where something is not there: it is the engineer's own intent.
		c.Counters.Refused(r)
		status := site.Status(&refusal.Error{Refusal: r})
		if status == http.StatusUnauthorized {
			c.W.Header().Set("WWW-Authenticate", "Bearer")
		}
		problem(c, status, r)
		return nil
	}
	data, err := protojson.Marshal(outcome)
	if err != nil {
		return err
	}
	if len(similar) > 0 {
		list, err := protojson.Marshal(&lockboxv1.SimilarList{Requests: similar})
		if err != nil {
			return err
		}
		data = fmt.Appendf(nil, `%s,"similar":%s}`, bytes.TrimSuffix(data, []byte("}")), list)
	}
	status := http.StatusAccepted
	if outcome.GetDryRun() {
		status = http.StatusOK
	}
	return c.JSON(status, json.RawMessage(data))
}
