package portalurl_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/portalurl"
)

func TestWhereThingsLie(t *testing.T) {
	for want, got := range map[string]string{
		"https://l.example/t/meadowbank/requests/1": portalurl.To("https://l.example", "meadowbank", "requests", "1"),
		"https://l.example/provider/requests/1":     portalurl.To("https://l.example/", "", "requests", "1"),
		"https://l.example/provider":                portalurl.To("https://l.example", ""),
		// Whatever an id holds, the link stays within its place.
		"https://l.example/t/a%2Fb/requests/..%2F..%2F%3Fx=%23": portalurl.To("https://l.example", "a/b", "requests",
			"../../?x=#"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
