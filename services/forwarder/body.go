package forwarder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// body is how events become the body of a request.
type body struct {
	kind  string // Content-Type
	write func([]message) []byte
	// check reads the answer of a target whose 200 does not yet mean that it took every event; nil: it does.
	check func(answer []byte, events int) error
}

// bodies are the shapes that a configuration can name.
var bodies = map[string]body{
	"":              {},
	"array":         {"application/json", array(asIs), nil},
	"lines":         {"application/x-ndjson", lines(asIs), nil},
	"splunk":        {}, // see bodyOf
	"elastic":       {"application/x-ndjson", lines(create), createdAll},
	"azure-monitor": {"application/json", array(withTime("TimeGenerated")), nil},
}

// bodyOf returns the shape of a webhook's requests.
func bodyOf(c Webhook, format string) body {
	b := bodies[c.Body]
	events := format == "cloudevents"
	switch {
	case c.Body == "" && c.Batch.Events <= 1:
		b = body{"application/json", lines(asIs), nil}
		b.write = func(m []message) []byte { return asIs(m[0]) }
		if events {
			b.kind = "application/cloudevents+json"
		}
	case c.Body == "" || c.Body == "array":
		b = bodies["array"]
		if events {
			b.kind = "application/cloudevents-batch+json"
		}
	case c.Body == "splunk":
		b = body{"application/json", lines(hec(format)), nil}
	}
	return b
}

func asIs(m message) []byte { return bytes.TrimSuffix(m.row, []byte{'\n'}) }

func array(one func(message) []byte) func([]message) []byte {
	return func(messages []message) []byte {
		rows := make([][]byte, len(messages))
		for i, m := range messages {
			rows[i] = one(m)
		}
		return fmt.Appendf(nil, "[%s]", bytes.Join(rows, []byte{','}))
	}
}

func lines(one func(message) []byte) func([]message) []byte {
	return func(messages []message) (all []byte) {
		for _, m := range messages {
			all = append(append(all, one(m)...), '\n')
		}
		return all
	}
}

// withTime returns rows that begin with the event's time under a name.
func withTime(name string) func(message) []byte {
	return func(m message) []byte {
		return fmt.Appendf(nil, `{%q:%q,%s`, name, m.time.UTC().Format(time.RFC3339Nano),
			bytes.TrimPrefix(asIs(m), []byte{'{'}))
	}
}

// hec returns events as Splunk's HTTP Event Collector reads them.
func hec(format string) func(message) []byte {
	return func(m message) []byte {
		at := strconv.FormatFloat(float64(m.time.UnixMilli())/1000, 'f', 3, 64)
		return fmt.Appendf(nil, `{"time":%s,"source":"lockbox","sourcetype":"lockbox:%s","event":%s,`+
			`"fields":{"lockbox_id":%q,"lockbox_type":%q,"lockbox_sequence":"%d"}}`,
			at, format, asIs(m), m.id, m.typ, m.sequence)
	}
}

// create returns an action of Elasticsearch's bulk API, with its document. The event's id is the document's, so an
// event that arrives again is refused there as a duplicate.
func create(m message) []byte {
	return fmt.Appendf(nil, "{\"create\":{\"_id\":%q}}\n%s", m.id, withTime("@timestamp")(m))
}

// createdAll checks the answer of the bulk API, which is 200 even if it took nothing.
func createdAll(answer []byte, events int) error {
	var said struct {
		Items []map[string]struct {
			Status int `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || len(said.Items) != events {
		return fmt.Errorf("the answer names %d of %d events: %w", len(said.Items), events, err)
	}
	worst := error(nil)
	for _, item := range said.Items {
		switch status := item["create"].Status; {
		case status/100 == 2, status == http.StatusConflict: // there already
		case status == http.StatusBadRequest:
			if worst == nil {
				worst = &refused{status, "the target refused an event (400)"}
			}
		default:
			worst = fmt.Errorf("the target answered %d for an event", status)
		}
	}
	return worst
}
