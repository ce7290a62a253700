package requests_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var payloads = []string{
	`<script>alert(1)</script>`, `"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `<svg onload=alert(1)>`,
	`</title><script>alert(1)</script>`,
	`</desc></svg><script>alert(1)</script>`, `</textarea><script>alert(1)</script>`,
	`<a href="javascript:alert(1)">x</a>`, `javascript:alert(1)`, `{{.Visit}}`, `{{t "site.skip"}}`,
	`" autofocus onfocus=alert(1) x="`, `' onmouseover='alert(1)`, `<iframe srcdoc="<script>alert(1)</script>">`,
	`<math><mi xlink:href="javascript:alert(1)">`, `<!--><script>alert(1)</script>`,
	`<meta http-equiv=refresh content=0;url=//evil.example>`, `<base href=//evil.example>`, `<form action=//evil.example>`,
	`<style>*{display:none}</style>`,
	"https://elsewhere.example/x", "//elsewhere.example", "www.elsewhere.example", "mallory@elsewhere.example",
	"mailto:mallory@elsewhere.example",
}

// poisoned is a request in which everything that somebody wrote is a payload.
func poisoned(payload string) *lockboxv1.RequestView {
	v := proto.CloneOf(pending())
	poison(v.ProtoReflect(), payload)
	v.RequestId, v.Tenant, v.Allowed = memoryDump, "meadowbank", []string{"approve", "deny", "ask"}
	for i, q := range v.GetQuestions() {
		q.QuestionId = string(rune('a' + i))
	}
	return v
}

func poison(m protoreflect.Message, payload string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() && fd.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(payload))
			}
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				poison(v.List().Get(i).Message(), payload)
			}
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(payload))
		case fd.Message() != nil && fd.Message().ParentFile().Package() == "lockbox.v1":
			poison(v.Message(), payload)
		}
		return true
	})
}

func TestWhatPeopleWriteIsNeverPartOfThePage(t *testing.T) {
	// How many tags each page has, by whether a resource's name is a part of its id only.
	tags := map[bool]map[int]int{true: {}, false: {}}
	for i, payload := range append([]string{"harmless", "harm/less"}, payloads...) {
		w := newWorld(otto, poisoned(payload))
		shown := proto.CloneOf(ticket())
		poison(shown.ProtoReflect(), payload)
		w.Queries["get_ticket"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Ticket{Ticket: shown}}, nil
		}
		h := w.portal(t, sitetest.Otto())
		for n, path := range []string{
			"", "/requests", "/requests/" + memoryDump, "/requests/" + memoryDump + "/approve",
			"/requests/" + memoryDump + "/deny?seen=1&reason=" + url.QueryEscape(payload),
			"/requests/" + memoryDump + "/approve/confirm?seen=1&duration=1h&resource=1&resource=2&reason=" +
				url.QueryEscape(payload),
			"/tickets/SR-2026-0001",
		} {
			page := sitetest.Get(h, bank+path)
			if page.Code != http.StatusOK {
				t.Fatalf("%s: %d", path, page.Code)
			}
			found := len(aTag.FindAllString(page.Body.String(), -1))
			if i < 2 {
				tags[strings.Contains(payload, "/")][n] = found
			} else if want := tags[strings.Contains(payload, "/")][n]; found != want {
				t.Errorf("%s: %d tags instead of %d for %s", path, found, want, payload)
			}
			for _, bad := range []string{
				"<script>alert", "<img src=x", "<svg onload", `href="javascript`, "<iframe", "<math", "<meta http-equiv=refresh",
				"<base", "<form action=//", "<style>*", `onfocus=alert(1) x="`, "onmouseover='alert",
				`href="https:`, `href="//`, `href="www`, `href="mail`, `href="mallory`, `>mailto:mallory@elsewhere.example</a>`,
			} {
				if strings.Contains(page.Body.String(), bad) {
					t.Errorf("%s holds %s", path, bad)
				}
			}
		}
	}
}
