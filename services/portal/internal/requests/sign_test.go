package requests_test

import (
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// A request says of a signature whether its key may be on two devices.
func TestACounterThatFellBehindIsSaid(t *testing.T) {
	for _, behind := range []bool{false, true} {
		v := pending()
		v.CustomerDecisions[0].Signature = &lockboxv1.SignatureView{Signed: true, Holds: true, Kind: approval.KindWebAuthn,
			KeyId: []byte("key"), Label: "blue", CounterBehind: behind}
		w := newWorld(otto, v)
		page := get(t, w.portal(t, sitetest.Otto()), "/t/meadowbank/requests/"+memoryDump, http.StatusOK)
		if got := strings.Contains(page, "two devices may have the key"); got != behind {
			t.Errorf("said: %v, want %v", got, behind)
		}
	}
}

// Where one approval has to be signed at the command line, the page on which it is signed says so, with the command,
// until there is one.
func TestWhatTheCommandLineHasToSignIsSaid(t *testing.T) {
	ssh := func(change func(*lockboxv1.Decision)) *lockboxv1.RequestView {
		v := pending()
		d := v.GetCustomerDecisions()[0]
		d.Signature = &lockboxv1.SignatureView{Signed: true, Holds: true, Kind: approval.KindSSH}
		change(d)
		return v
	}
	for name, c := range map[string]struct {
		demand approval.Demand
		verb   string
		of     *lockboxv1.RequestView
		said   bool
	}{
		"demanded":          {approval.DemandCommandLine, "approve", pending(), true},
		"another demand":    {approval.DemandSignatures, "approve", pending(), false},
		"a denial":          {approval.DemandCommandLine, "deny", pending(), false},
		"one has signed so": {approval.DemandCommandLine, "approve", ssh(func(*lockboxv1.Decision) {}), false},
		"it does not count": {approval.DemandCommandLine, "approve",
			ssh(func(d *lockboxv1.Decision) { d.Signature.Holds = false }), true},
		"one has denied so": {approval.DemandCommandLine, "approve",
			ssh(func(d *lockboxv1.Decision) { d.Approved = false }), true},
		"one by a browser's": {approval.DemandCommandLine, "approve",
			ssh(func(d *lockboxv1.Decision) { d.Signature.Kind = approval.KindWebAuthn }), true},
	} {
		w := newWorld(otto, c.of)
		w.Queries["get_signing"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Signing{Signing: &lockboxv1.SigningView{
				Demand: string(c.demand), Keys: []*lockboxv1.KeyView{{Kind: approval.KindSSH}}}}}, nil
		}
		h := w.portal(t, sitetest.Otto())
		form := url.Values{"seen": {strconv.FormatUint(c.of.GetVersion(), 10)}, "command": {anID7}, "duration": {"2h0m0s"},
			"resource": {"1"}, "reason": {"So it is."}}
		page := html.UnescapeString(onward(t, h, bank+"/requests/"+memoryDump+"/"+c.verb+"/sign", form))
		_, note, found := strings.Cut(page, `id="command-line"`)
		note, _, _ = strings.Cut(note, "</div>")
		if found != c.said || found && !strings.Contains(note, "lockbox approve "+memoryDump) {
			t.Errorf("%s: said %v: %s", name, found, note)
		}
	}
}
