package forwarder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
)

// recipe reads the targets of the README's example with this heading, and sends them to a receiver of the test.
func (w *world) recipe(heading, address string, token string) Target {
	w.Helper()
	text, err := os.ReadFile("README.md")
	must(w, err)
	_, after, found := strings.Cut(string(text), "### "+heading+"\n")
	_, after, begun := strings.Cut(after, "```yaml\n")
	example, _, ended := strings.Cut(after, "```")
	if !found || !begun || !ended {
		w.Fatalf("the README has no recipe for %s", heading)
	}
	name := w.secret("") // a file for the example
	must(w, os.WriteFile(string(name), []byte(example), 0o600))
	var c Config
	c.Cursors = "d"
	must(w, config.Load(string(name), nil, &c))
	t := c.Targets[0]
	_, path, _ := strings.Cut(strings.TrimPrefix(t.Webhook.URL, "https://"), "/")
	t.Webhook.URL, t.Webhook.CAFile = address+"/"+path, ""
	t.Webhook.Authorization.TokenFile = w.secret(token)
	return t
}

// objects reads JSON objects that follow each other.
func objects(body []byte) (all []map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		o := map[string]any{}
		if err := d.Decode(&o); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
}

// splunk answers as Splunk's HTTP Event Collector does: 401 and 403 for the token, 400 for events that are none.
func splunk(_ int, p post) (int, string) {
	switch {
	case p.path != "/services/collector/event":
		return http.StatusNotFound, ""
	case !strings.HasPrefix(p.header.Get("Authorization"), "Splunk "):
		return http.StatusUnauthorized, `{"text":"Token is required","code":2}`
	case p.header.Get("Authorization") != "Splunk 8c1f":
		return http.StatusForbidden, `{"text":"Invalid token","code":4}`
	}
	all, err := objects(p.body)
	if err != nil || len(all) == 0 {
		return http.StatusBadRequest, `{"text":"Invalid data format","code":6}`
	}
	known := map[string]bool{"time": true, "host": true, "source": true, "sourcetype": true, "index": true, "event": true,
		"fields": true}
	for _, o := range all {
		if event, is := o["event"].(map[string]any); !is || len(event) == 0 {
			return http.StatusBadRequest, `{"text":"Event field is required","code":12}`
		}
		if at, is := o["time"].(float64); !is || at > 1e11 { // seconds, not milliseconds
			return http.StatusBadRequest, `{"text":"Invalid data format","code":6}`
		}
		fields, _ := o["fields"].(map[string]any)
		for name, value := range fields {
			if _, flat := value.(string); !flat {
				return http.StatusBadRequest, `{"text":"Error in handling indexed fields","code":15}` + name
			}
		}
		for name := range o {
			if !known[name] {
				return http.StatusBadRequest, `{"text":"Invalid data format","code":6}`
			}
		}
	}
	return http.StatusOK, `{"text":"Success","code":0}`
}

func TestTheRecipeForSplunk(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(25)
	r := receive(t, splunk)
	stop := w.run(w.recipe("Splunk", r.URL, "8c1f"))
	count := func(posts []post) (n int) {
		for _, p := range posts {
			all, err := objects(p.body)
			must(t, err)
			n += len(all)
		}
		return n
	}
	posts := r.took(t, func(p []post) bool { return count(p) >= 25 })
	must(t, stop())
	if len(posts) != 1 || count(posts) != 25 {
		t.Errorf("%d events in %d requests", count(posts), len(posts))
	}
}

// elastic answers as Elasticsearch's bulk API does for a data stream: only create, and a document needs a @timestamp.
type elastic map[string]bool // the ids of the documents

func (e elastic) answer(n int, p post) (int, string) {
	switch {
	case !strings.HasSuffix(p.path, "/_bulk"):
		return http.StatusNotFound, ""
	case p.header.Get("Authorization") != "ApiKey Zm9v":
		return http.StatusUnauthorized, ""
	case p.header.Get("Content-Type") != "application/x-ndjson":
		return http.StatusNotAcceptable, ""
	case !bytes.HasSuffix(p.body, []byte("\n")):
		return http.StatusBadRequest, "The bulk request must be terminated by a newline"
	}
	rows := bytes.Split(bytes.TrimSuffix(p.body, []byte("\n")), []byte("\n"))
	var items []string
	for i := 0; i+1 < len(rows); i += 2 {
		var action struct {
			Create *struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		var document map[string]any
		if json.Unmarshal(rows[i], &action) != nil || action.Create == nil || action.Create.ID == "" {
			return http.StatusBadRequest, "Malformed action/metadata line"
		}
		status, id := http.StatusCreated, action.Create.ID
		text, _ := func() (string, error) {
			err := json.Unmarshal(rows[i+1], &document)
			return fmt.Sprint(document["@timestamp"]), err
		}()
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			status = http.StatusBadRequest
		}
		switch {
		case e[id]:
			status = http.StatusConflict
		case n == 1 && i%4 == 0: // it is busy, and takes only the half
			status = http.StatusTooManyRequests
		case status == http.StatusCreated:
			e[id] = true
		}
		items = append(items, fmt.Sprintf(`{"create":{"_id":%q,"status":%d}}`, id, status))
	}
	return http.StatusOK, `{"errors":true,"items":[` + strings.Join(items, ",") + `]}`
}

func TestTheRecipeForElastic(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(25)
	e := elastic{}
	r := receive(t, e.answer)
	stop := w.run(w.recipe("Elastic", r.URL, "Zm9v"))
	posts := r.took(t, func(p []post) bool { return len(p) >= 2 }) // what was taken first is there already, and no error
	must(t, stop())
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(posts) != 2 || len(e) != 25 {
		t.Errorf("%d documents by %d requests", len(e), len(posts))
	}
}

// azureMonitor answers as the Logs Ingestion API does: an array in UTF-8 of at most 1 MB, and 204.
func azureMonitor(_ int, p post) (int, string) {
	var all []map[string]any
	switch {
	case !strings.HasPrefix(p.path, "/dataCollectionRules/dcr-") || !strings.Contains(p.path, "/streams/Custom-") ||
		!strings.HasSuffix(p.path, "?api-version=2023-01-01"):
		return http.StatusNotFound, ""
	case p.header.Get("Authorization") != "Bearer ey.e.y":
		return http.StatusUnauthorized, ""
	case p.header.Get("Content-Type") != "application/json":
		return http.StatusUnsupportedMediaType, ""
	case len(p.body) > 1<<20:
		return http.StatusRequestEntityTooLarge, ""
	case json.Unmarshal(p.body, &all) != nil || len(all) == 0:
		return http.StatusBadRequest, ""
	}
	for _, o := range all {
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(o["TimeGenerated"])); err != nil {
			return http.StatusBadRequest, "TimeGenerated"
		}
	}
	return http.StatusNoContent, ""
}

func TestTheRecipeForAzureMonitor(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(25)
	r := receive(t, azureMonitor)
	stop := w.run(w.recipe("Azure Monitor", r.URL, "ey.e.y"))
	posts := r.took(t, func(p []post) bool { return len(p) > 0 })
	must(t, stop())
	var all []map[string]any
	must(t, json.Unmarshal(posts[0].body, &all))
	if len(posts) != 1 || len(all) != 25 {
		t.Errorf("%d events in %d requests", len(all), len(posts))
	}
}

// What the target takes no more of at a time is sent in halves, whatever the configuration says of refusals.
func TestABatchThatIsTooLargeIsHalved(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.happen(20)
	r := receive(t, func(_ int, p post) (int, string) {
		var all []json.RawMessage
		if json.Unmarshal(p.body, &all) != nil || len(all) > 5 {
			return http.StatusRequestEntityTooLarge, ""
		}
		return http.StatusOK, ""
	})
	key, _ := w.key()
	stop := w.run(Target{Name: "a", Webhook: Webhook{URL: r.URL, KeyFile: key, Batch: Batch{Events: 20}}})
	posts := r.took(t, func(p []post) bool { return different(eventsOf(t, p)) == 20 })
	must(t, stop())
	if len(posts) != 4 {
		t.Errorf("%d requests", len(posts))
	}
}
