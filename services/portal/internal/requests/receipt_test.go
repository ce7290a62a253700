package requests_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// R41. What was decided a moment ago is in no signed checkpoint yet: the download waits for it.
func TestAReceiptIsDownloadedAsItIs(t *testing.T) {
	const key = "log.nimbus.example/lockbox+1a2b3c4d+AYx"
	v := pending()
	v.LogKey = key
	w := newWorld(otto, v)
	asked := 0
	w.Queries["get_receipt"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		if asked++; asked == 1 {
			return nil, refusal.Unavailable("", "R41", "in no signed checkpoint yet")
		}
		if q.GetGetReceipt().GetRequestId() != memoryDump {
			t.Errorf("it asks for %v", q)
		}
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Receipt{
			Receipt: &lockboxv1.Receipt{FileName: "lockbox-receipt-x.json", File: []byte("{\n  \"format\": 1\n}\n")}}}, nil
	}
	h := w.portal(t, sitetest.Otto())
	page := get(t, h, bank+"/requests/"+memoryDump, http.StatusOK)
	if link := `href="` + bank + "/requests/" + memoryDump + `/receipt" download`; !strings.Contains(page, link) {
		t.Errorf("%s is not there", link)
	}
	has(t, page, "lockbox audit verify lockbox-receipt-"+memoryDump+".json --log-key "+key, "compare it with the one")
	got := sitetest.Get(h, bank+"/requests/"+memoryDump+"/receipt")
	if got.Code != http.StatusOK || got.Body.String() != "{\n  \"format\": 1\n}\n" ||
		got.Header().Get("Content-Type") != "application/json" ||
		got.Header().Get("Content-Disposition") != "attachment; filename=lockbox-receipt-x.json" {
		t.Errorf("%d %v %q", got.Code, got.Header(), got.Body)
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}
