package up

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

func TestTheGreetingSaysWhereEverythingIs(t *testing.T) {
	var out strings.Builder
	o := Options{Dir: t.TempDir(), Out: &out, Program: "bin/lockbox"}
	info := runinfo.Info{
		NATSURL: "nats://127.0.0.1:4222", MailboxURL: "http://127.0.0.1:8025", PortalURL: "http://127.0.0.1:8080",
		Demo: &runinfo.Demo{IssuerURL: "http://127.0.0.1:7070"},
	}
	if err := o.greet(info, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  bus      nats://127.0.0.1:4222\n", "  mail     http://127.0.0.1:8025\n", "  portal   http://127.0.0.1:8080\n",
		"  sign-in  http://127.0.0.1:7070\n", "open the link in the mail to Otto", "bin/lockbox intent submit --as erin",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	info.PortalURL, info.Demo = "", nil
	if err := o.greet(info, time.Second); err != nil || strings.Contains(out.String(), "portal") ||
		strings.Contains(out.String(), "--as") {
		t.Errorf("without portal and demo: %v\n%s", err, out.String())
	}
}
