package portal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
)

// edge is one of the ways in which people do something.
type edge struct {
	name string
	// does looks at the request, lets something happen, does the deed on what was seen before, and returns what the person
	// is told.
	does func(w *world, v request.Verb, d deed, id string, happens func()) told
}

// told is what a person is told of what they did.
type told struct {
	done   bool
	status int
	text   string
}

func (t told) String() string { return fmt.Sprintf("%d, done: %t\n%s", t.status, t.done, t.text) }

var edges = []edge{{"portal", onThePages}, {"command line", onTheCommandLine}, {"REST", byREST}}

var (
	decision = regexp.MustCompile(`(?s)<form[^>]* action="([^"]*)" id="decision">(.*?)</form>`)
	hidden   = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	markup   = regexp.MustCompile(`(?s)<head>.*?</head>|<script.*?</script>|<[^>]*>`)
	blanks   = regexp.MustCompile(`\s+`)
)

// base is where somebody's pages are.
func base(persona string) string {
	if persona == "otto" {
		return "/t/" + bank
	}
	return "/provider"
}

// visitors are signed in once for each site.
var visitors sync.Map

func (w *world) visitor(persona string) *http.Client {
	w.Helper()
	key := w.info.PortalURL + persona
	if c, known := visitors.Load(key); known {
		return c.(*http.Client) //nolint:errcheck,forcetypeassert // nothing else is in it
	}
	c, err := visitor.SignIn(w.Context(), w.info.PortalURL+base(persona)+"?lang=en", persona)
	must(w, err)
	visitors.Store(key, c)
	return c
}

// onThePages fetches the page with the verb's form, and posts the form later.
func onThePages(w *world, v request.Verb, d deed, id string, happens func()) told {
	w.Helper()
	client := w.visitor(d.who)
	path := base(d.who) + "/requests/" + id + "/" + strings.ReplaceAll(v.Name, "_", "/")
	page := path
	seen := w.version(d.who, id)
	if v.Name == request.Approve.Name {
		page += "/confirm?duration=8h0m0s&resource=1&resource=2&seen=" + strconv.FormatUint(seen, 10)
	}
	if v.Name == request.Answer.Name {
		page += "?question=" + w.question(id)
	}
	var form []string
	for end := time.Now().Add(patience); form == nil; time.Sleep(50 * time.Millisecond) { // the projection follows
		answer, err := visitor.Read(client, w.get2(page))
		must(w, err)
		if form = decision.FindStringSubmatch(answer.Body); form == nil && time.Now().After(end) {
			w.Fatalf("%s has no form: %d %s", page, answer.Status, shownText(answer.Body))
		}
	}
	values := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(form[2], -1) {
		values.Add(field[1], html.UnescapeString(field[2]))
	}
	if d.text != "" {
		values.Set("reason", d.text)
	}
	happens()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.info.PortalURL+html.UnescapeString(form[1]),
		strings.NewReader(values.Encode()))
	must(w, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", w.info.PortalURL)
	answer, err := visitor.Read(client, r)
	must(w, err)
	return told{answer.Status == http.StatusOK && answer.At.Query().Has("after"), answer.Status, shownText(answer.Body)}
}

func (w *world) get2(path string) *http.Request {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.info.PortalURL+path, nil)
	must(w, err)
	return r
}

// shownText is what a page says, without its markup.
func shownText(body string) string {
	return blanks.ReplaceAllString(html.UnescapeString(markup.ReplaceAllString(body, " ")), " ")
}

// version is that of the request as somebody sees it.
func (w *world) version(persona, id string) uint64 {
	w.Helper()
	reply, err := w.person(persona).Ask(w.Context(), &lockboxv1.Query{Tenant: bank,
		Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{RequestId: id}}})
	must(w, err)
	return reply.GetRequest().GetVersion()
}

// typing is somebody at a terminal, who waits with their first answer until something has happened.
type typing struct {
	screen  *bytes.Buffer
	happens func()
	reason  string
	once    sync.Once
	asked   bool
}

func (t *typing) Read(p []byte) (int, error) {
	t.once.Do(t.happens)
	t.asked = true
	if strings.HasSuffix(strings.TrimSpace(t.screen.String()), "[y/N]") {
		return copy(p, "y\n"), nil
	}
	return copy(p, t.reason+"\n"), nil
}

// onTheCommandLine is at a terminal. Where nothing is asked before it is sent, the version that was seen is given.
func onTheCommandLine(w *world, v request.Verb, d deed, id string, happens func()) told {
	w.Helper()
	screen := new(bytes.Buffer)
	args := append([]string{"--as", d.who, "--tenant", bank}, append(d.command, id)...)
	reason := d.text
	switch v.Name {
	case request.Ask.Name, request.Answer.Name:
		args = append(args, d.text)
	}
	if v.Name == request.Answer.Name {
		args = append(args, "--question", w.question(id))
	}
	if v.Name == request.InternalApprove.Name {
		args = append(args, "--seen-version", strconv.FormatUint(w.version(d.who, id), 10))
	}
	if reason == "" {
		reason = "Because."
	}
	in := &typing{screen: screen, happens: happens, reason: reason}
	if !d.prompts {
		in.once.Do(happens)
	}
	code := cli.Run(w.Context(), args, cli.Environment{
		In: in, Out: screen, Err: screen, InTerminal: true, OutTerminal: true, ErrTerminal: true,
		Width: func() int { return 120 },
		Getenv: func(key string) string {
			return map[string]string{"LOCKBOX_DATA": filepath.Dir(w.info.KeysDir), "LANG": "C.UTF-8"}[key]
		},
		Now: time.Now, Zone: time.UTC,
	})
	if d.prompts && !in.asked {
		w.Errorf("nothing was asked before it was sent:\n%s", screen)
	}
	return told{code == 0, code, blanks.ReplaceAllString(screen.String(), " ")}
}

// byREST is a program that reads the request, and later sends what it decided on that.
func byREST(w *world, v request.Verb, d deed, id string, happens func()) told {
	w.Helper()
	body := map[string]any{}
	if d.text != "" {
		body[d.json] = d.text
	}
	if v.Settles {
		body["seenVersion"] = strconv.FormatUint(w.version(d.who, id), 10)
	}
	if v.Name == request.Answer.Name {
		body["questionId"] = w.question(id)
	}
	happens()
	sent, err := json.Marshal(body)
	must(w, err)
	answer, text := w.asks(w.T, http.DefaultClient, http.MethodPost, "/lockbox/v1/requests/"+id+"/"+
		strings.ReplaceAll(v.Name, "_", "-")+"?tenant="+bank, w.token(d.who), string(sent))
	return told{answer.Status < http.StatusBadRequest, answer.Status, text}
}
