package portaltest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

func quote(s string) string { return strconv.Quote(s) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSmoke(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!doctype html><html lang=en><title>x</title><meta name=viewport content="width=device-width"><main><h1>Héllo 日本語</h1><p style="color:#aaa">weak</p><a href="/2" id=a>go</a><form method=get><input name=q></form></main>`))
	}))
	defer s.Close()
	b := open(t, phoneDark)
	b.visit(s.URL)
	t.Log(b.text("h1"))
	b.press("#a")
	b.picture("smoke")
	b.accessible()
	b.quiet()
}
