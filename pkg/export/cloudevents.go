package export

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// envelope is a CloudEvents 1.0 event in its structured JSON form.
type envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Sequence    string          `json:"sequence"`
	RequestID   string          `json:"requestid,omitempty"`
	CausationID string          `json:"causationid,omitempty"`
	TraceParent string          `json:"traceparent,omitempty"`
	Data        json.RawMessage `json:"data"`
}

func cloudEvent(a *lockboxv1.Activity) (envelope, error) {
	entry, event := a.GetEntry(), a.GetEvent()
	data, err := protoJSON(a)
	return envelope{
		SpecVersion: "1.0", ID: event.GetId(), Source: "/tenants/" + url.PathEscape(a.GetTenant()),
		Type: "io.openlockbox." + a.GetKind() + "." + entry.GetType(), Subject: a.GetKind() + "/" + a.GetAggregateId(),
		Time: entry.GetTime().AsTime().Format(time.RFC3339Nano), ContentType: "application/json",
		Sequence: fmt.Sprintf("%020d", entry.GetSequence()), RequestID: a.GetRequestId(),
		CausationID: event.GetCausationId(), TraceParent: event.GetTraceParent(), Data: data,
	}, err
}
