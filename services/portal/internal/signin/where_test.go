package signin

import (
	"net/url"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
)

var list = organisation.List{{Tenant: "meadowbank"}, {Tenant: "meadow"}, {}}

func TestOnlyAPageOfAnOrganisationIsAPlaceToGo(t *testing.T) {
	t.Parallel()
	for to, base := range map[string]string{
		"/t/meadowbank": "/t/meadowbank", "/t/meadowbank/requests/7": "/t/meadowbank",
		"/t/meadowbank?lang=fr":                  "/t/meadowbank",
		"/t/meadow/x?a=%2F%2Fevil.example&b=%0A": "/t/meadow", "/provider/requests/a%20b?x": "/provider",
	} {
		if o := owner(list, to); o == nil || o.Base() != base {
			t.Errorf("%s: %v", to, o)
		}
	}
	for _, to := range []string{
		"", "/", "//evil.example", `/\evil.example`, `\\evil.example`, `\/evil.example`, "///evil.example",
		"/%2fevil.example", "/%5cevil.example", "/%2F%2Fevil.example",
		"https://evil.example/t/meadowbank", "https:/t/meadowbank", "https:t/meadowbank", "javascript:alert(1)//t/meadowbank",
		"data:text/html,/t/meadowbank",
		"//evil.example/t/meadowbank", "/\t/evil.example", "/\n/evil.example", "\t/t/meadowbank", " /t/meadowbank",
		"/t/meadowbank\r\nSet-Cookie: a=b", "/t/meadowbank/\x00",
		"/t/meadowbank/%0d%0aSet-Cookie:a=b", "/t/meadowbank/%00", "/t/meadowbank//evil.example",
		"/t/meadowbank/../../signout", "/t/meadowbank/..//evil.example",
		"/t/meadowbank/%2e%2e/%2e%2e/signout", "/t/meadowbank/.%2e/x", "/t/meadowbank/./x", "/t/meadowbank/",
		`/t/meadowbank\..\..\x`, "/t/meadowbank/%5c%5cevil.example",
		"/t/meadowbank/%2f/evil.example", "/t/meadowbank@evil.example", "/t/meadowbank.evil.example", "/t/meadowbank-2",
		"/t/nobody", "/t/", "/t", "/signin", "/signout",
		"/callback?x=/t/meadowbank", "/t/meadowbank#x", "/T/meadowbank", "/t/meadowban%6b", "/t/meadowbank;/x",
		"/t/meadowbank/%zz", "/providers", "t/meadowbank",
		"/t/meadowbank/\u2028", "/t/meadowbank/é", "/t/meadowbank/\u202e", "/t/meadowbank?a=\"", "/t/meadowbank?" +
			strings.Repeat("a", maxTo),
	} {
		if o := owner(list, to); o != nil {
			t.Errorf("%q is taken for a page of %s", to, o.Base())
		}
	}
}

func FuzzOnlyAPageOfAnOrganisationIsAPlaceToGo(f *testing.F) {
	for _, seed := range []string{"/t/meadowbank", "//evil.example", `/\evil.example`, "/t/meadowbank/%2e%2e/x",
		"/provider?x=//y", "/t/meadow/..;/x"} {
		f.Add(seed)
	}
	at, err := url.Parse("https://portal.example/callback?state=x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to string) {
		o := owner(list, to)
		if o == nil {
			return
		}
		went, err := at.Parse(to)
		if err != nil || went.Scheme != at.Scheme || went.Host != at.Host || went.User != nil || went.Fragment != "" ||
			went.Path != o.Base() && !strings.HasPrefix(went.Path, o.Base()+"/") || went.RequestURI() != to ||
			strings.ContainsAny(to, "\\\r\n\t ") {
			t.Errorf("%q leads to %v", to, went)
		}
	})
}
