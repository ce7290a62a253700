package activitylog_test

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/activitylog"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// paged answers with pages of these entries; after the last that it has comes the error.
func paged(b *sitetest.Backend, last error, pages ...[]*lockboxv1.Activity) {
	b.Queries["list_activity"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		n := 0
		if token := q.GetListActivity().GetPageToken(); token != "" {
			_, _ = fmt.Sscanf(token, "page-%d", &n)
		}
		if n >= len(pages) {
			return nil, last
		}
		list := &lockboxv1.ActivityList{Activities: pages[n]}
		if n+1 < len(pages) || last != nil {
			list.NextPageToken = fmt.Sprintf("page-%d", n+1)
		}
		return listed(list), nil
	}
}

func three() [][]*lockboxv1.Activity {
	all := activities("en")
	return [][]*lockboxv1.Activity{all[:2], all[2:3], all[3:]}
}

func TestAnExportIsEveryPageOfWhatTheFilterFinds(t *testing.T) {
	b := backend(grace())
	paged(b, nil, three()...)
	answer := b.Queries["list_activity"]
	var wanted []*lockboxv1.ListActivity
	b.Queries["list_activity"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		wanted = append(wanted, proto.CloneOf(q.GetListActivity()))
		return answer(q)
	}
	w := sitetest.Get(served(t, b, grace()), "/t/meadowbank/activity/export?format=jsonl&person=otto&page=page-2&lang=en")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" ||
		w.Header().Get("Content-Disposition") != "attachment; filename=lockbox-activity-meadowbank-20260803T093000Z.jsonl" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	lines, want := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n"), activities("en")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, line := range lines {
		got := new(lockboxv1.Activity)
		if err := protojson.Unmarshal([]byte(line), got); err != nil || !proto.Equal(got, want[i]) {
			t.Errorf("line %d: %v, %v", i, got, err)
		}
	}
	if !strings.Contains(lines[1], `"request_id":"`+requestID+`"`) {
		t.Errorf("fields are not named as in the .proto files: %s", lines[1])
	}
	for i, want := range []string{"", "page-1", "page-2"} {
		if q := wanted[i]; !proto.Equal(q, &lockboxv1.ListActivity{Person: "otto", Limit: 1000, PageToken: want,
			Export: "jsonl"}) {
			t.Errorf("asked %v", q)
		}
	}
}

func TestASheetHasAHeaderAndNoFormulas(t *testing.T) {
	b := backend(sam())
	var rows []*lockboxv1.Activity
	cells := map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\tx": "'\tx", "＝1＋1": "'＝1＋1",
		"a=1": "a=1", "": "", "plain, with a comma": "plain, with a comma", `say "no"`: `say "no"`,
		"two\nlines": "two\nlines", "日本": "日本",
	}
	var order []string
	for text := range cells {
		order = append(order, text)
		rows = append(rows, entry(7, time.Hour, "CustomerDenied", text,
			&lockboxv1.Actor{Person: &lockboxv1.Person{DisplayName: text}, Employer: text}, text, text))
	}
	paged(b, nil, rows)
	w := sitetest.Get(served(t, b, sam()), "/provider/activity/export?format=csv")
	if w.Header().Get("Content-Type") != "text/csv; charset=utf-8; header=present" ||
		!strings.Contains(w.Header().Get("Content-Disposition"), "lockbox-activity-provider-") {
		t.Errorf("%v", w.Header())
	}
	if strings.Count(strings.ReplaceAll(w.Body.String(), "\r\n", ""), "\n") > 0 {
		t.Error("lines do not end as RFC 4180 says")
	}
	got, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(got) != len(rows)+1 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	column := map[string]int{}
	for i, name := range got[0] {
		column[name] = i
	}
	for i, row := range got[1:] {
		for _, name := range []string{"action", "title", "summary", "actor_employer"} {
			if cell := strings.ReplaceAll(row[column[name]], "\r\n", "\n"); cell != cells[order[i]] {
				t.Errorf("%s of %q is %q", name, order[i], cell)
			}
		}
		if row[column["sequence"]] != "7" || row[column["time"]] != "2026-08-03T08:30:00Z" ||
			row[column["tenant"]] != "meadowbank" || row[column["resource_ids"]] != disk {
			t.Errorf("%v", row)
		}
	}
}

// a server, as net/http runs it, and what it logs.
func server(t *testing.T, b *sitetest.Backend) (string, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := sitetest.New(t, b, sitetest.Otto())
	s.Log = zap.New(core)
	routes, err := activitylog.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sitetest.Server(s, routes))
	t.Cleanup(srv.Close)
	return srv.URL, logs
}

func TestAnExportThatCannotGoOnSaysSoAndBreaks(t *testing.T) {
	for format, last := range map[string]string{
		"jsonl": `{"incomplete":"L’export s’est interrompu` + "\u00a0" +
			`: ce fichier est incomplet. Veuillez recommencer l’export."}` + "\n",
		"csv": "incomplete,,,,,,,,,,,,,,,,,,,,,L’export s’est interrompu\u00a0: ce fichier est incomplet. Veuillez recommencer l’export.\r\n",
	} {
		b := backend(grace())
		paged(b, refusal.Unavailable("", "I11", "the projector does not answer"), three()...)
		url, logs := server(t, b)
		r, err := http.Get(url + "/t/meadowbank/activity/export?lang=fr&format=" + format)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasSuffix(string(body), last) ||
			!strings.Contains(string(body), "Open Support Ticket") {
			t.Errorf("%s: %v %q", format, err, body)
		}
		if logged := logs.FilterMessageSnippet("ended early"); logged.Len() != 1 ||
			!strings.Contains(fmt.Sprint(logged.All()[0].ContextMap()), "does not answer") {
			t.Errorf("logged %v", logs.All())
		}
	}
}

func TestAnExportThatCannotBeginIsAPage(t *testing.T) {
	b := backend(grace())
	h := served(t, b, grace())
	for address, status := range map[string]int{"?format=xml": 400, "": 400, "?format=csv&from=yesterday": 400} {
		if w := sitetest.Get(h, "/t/meadowbank/activity/export"+address); w.Code != status ||
			w.Header().Get("Content-Disposition") != "" {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
	if len(asked(b)) != 0 {
		t.Error("it was asked all the same")
	}
	paged(b, refusal.NotFound("", "I9", "nothing"))
	get(t, h, "/t/meadowbank/activity/export?format=csv", http.StatusNotFound)
	paged(b, nil, nil)
	if body := get(t, h, "/t/meadowbank/activity/export?format=jsonl", http.StatusOK); body != "" {
		t.Errorf("of nothing: %q", body)
	}
}

func TestAnExportIsNotHeldBack(t *testing.T) {
	b := backend(grace())
	all, read := three(), make(chan struct{})
	paged(b, nil, all...)
	answer := b.Queries["list_activity"]
	b.Queries["list_activity"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		if q.GetListActivity().GetPageToken() == "page-1" {
			<-read // until the first page has arrived
		}
		return answer(q)
	}
	url, logs := server(t, b)
	r, err := (&http.Client{Timeout: 30 * time.Second}).Get(url + "/t/meadowbank/activity/export?format=jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for range all[0] {
		if !lines.Scan() {
			close(read)
			t.Fatal("the first page was not sent before the second was asked for")
		}
	}
	close(read)
	rest := 0
	for lines.Scan() {
		rest++
	}
	if lines.Err() != nil || rest != 3 || logs.Len() != 0 {
		t.Errorf("%d more, %v, logged %v", rest, lines.Err(), logs.All())
	}
}

func TestOnlyTheHeadOfAnExport(t *testing.T) {
	b := backend(grace())
	paged(b, nil, three()...)
	url, _ := server(t, b)
	r, err := http.Head(url + "/t/meadowbank/activity/export?format=csv")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK || len(asked(b)) != 1 {
		t.Errorf("%d, asked %d times", r.StatusCode, len(asked(b)))
	}
}
