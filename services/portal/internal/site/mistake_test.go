package site_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// shows serves a page of that text to Otto.
func shows(t *testing.T, s *site.Site, main string, data any) string {
	t.Helper()
	pages, err := s.ParsePages(fstest.MapFS{"templates/x.tmpl": {Data: []byte(`{{define "main"}}` + main + `{{end}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	h := sitetest.Server(s, []site.Route{{Method: http.MethodGet, Path: "/x", Side: site.Both,
		Serve: func(v *site.Visit) error {
			return v.Render(pages, "x", http.StatusOK,
				site.Page{Title: "X", Of: "a <request>", Nav: []site.NavItem{}, Data: data})
		}}})
	return sitetest.Get(h, "/t/meadowbank/x").Body.String()
}

func TestAfterAMistakeTheFirstControlThatIsWrongHasTheFocus(t *testing.T) {
	s := sitetest.New(t, &sitetest.Backend{}, sitetest.Otto())
	page := shows(t, s, `<p>{{.Data}}</p><input id="a" aria-invalid="true"><input id="b" aria-invalid="true">`,
		`" aria-invalid="true"`)
	if strings.Count(page, "autofocus") != 1 || !strings.Contains(page, `<input id="a" autofocus aria-invalid="true">`) {
		t.Error(page)
	}
	if strings.Contains(shows(t, s, `<p>{{.Data}}</p><input id="a">`, ` aria-invalid="true"`), "autofocus") {
		t.Error("what somebody wrote moves the focus")
	}
}

func TestEveryPageSaysWhereOneIs(t *testing.T) {
	s := sitetest.New(t, &sitetest.Backend{}, sitetest.Otto())
	s.Environment = "Staging <2>"
	page := shows(t, s, "", nil)
	for _, part := range []string{`<bdi class="customer">Meadow Bank</bdi>`,
		`<span class="environment">Staging &lt;2&gt;</span>`, "<title>X: a &lt;request&gt; · Nimbus Cloud Lockbox</title>"} {
		if !strings.Contains(page, part) {
			t.Errorf("%s is not there: %s", part, page)
		}
	}
}

func TestTheTypefaceIsServedWithItsLicence(t *testing.T) {
	s := sitetest.New(t, &sitetest.Backend{}, nil)
	h := sitetest.Server(s, nil)
	style := strings.SplitAfter(sitetest.Get(h, "/nothing").Body.String(), `<link rel="stylesheet" href="`)[1]
	base := style[:strings.LastIndex(style[:strings.Index(style, `"`)], "/")+1]
	for name, kind := range map[string]string{"inter-400.woff2": "font/woff2", "inter-600.woff2": "font/woff2",
		"inter-OFL.txt": "text/plain; charset=utf-8"} {
		w := sitetest.Get(h, base+name)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Body.Len() > 32<<10 {
			t.Errorf("%s: %d, %s, %d bytes", name, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "font-src 'self'") {
			t.Error("the browser may not load it")
		}
	}
}
