package requests_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// unasked is access that began without asking the customer.
func unasked(id string, w lockboxv1.Waiver, begun time.Duration) *lockboxv1.RequestView {
	v := base(id, lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, begun)
	v.Evaluation.Outcome, v.Evaluation.Waiver = lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED, w
	v.Grant = &lockboxv1.AccessGranted{StartsAt: ago(begun), EndsAt: timestamppb.New(now.Add(8*time.Hour - begun)),
		ResourceIds: v.GetIntent().GetResourceIds(), Waiver: w}
	return v
}

func TestR3AccessWithoutAskingHasAPageOfItsOwn(t *testing.T) {
	over := unasked("over", lockboxv1.Waiver_WAIVER_EMERGENCY, 30*time.Hour)
	over.Status, over.EndedAt = lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED, ago(29*time.Hour)
	w := newWorld(otto)
	w.Queries["list_requests"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		ask, list := q.GetListRequests(), &lockboxv1.RequestList{}
		if ask.GetWaived() {
			list.Total = 12
			if since := ask.GetWaivedSince(); since != nil {
				list.Total = uint64(now.Sub(since.AsTime()) / (10 * 24 * time.Hour)) // 3 in a month, none in a week
			} else {
				list.Requests = []*lockboxv1.RequestView{
					unasked("running", lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA, time.Hour), over}
			}
		}
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Requests{Requests: list}}, nil
	}
	h := w.portal(t, sitetest.Otto())
	for _, path := range []string{bank, bank + "/requests"} {
		page := get(t, h, path, http.StatusOK)
		has(t, page, "Access without asking you in the last 30 days: 3")
		if !strings.Contains(page, `href="/t/meadowbank/waived"`) {
			t.Errorf("%s does not lead there", path)
		}
	}
	for language, want := range map[string][]string{
		"en": {"Access without asking you",
			"Access without asking you in the last 30 days: 3 · in the last 7 days: 0 · in all: 12",
			"Why you were not asked", "This operation gives no access to your data.", "Access is active",
			"It was an emergency that could not wait.", "Access given back", "1 hour", "8 hours", "Erin Ellis of Nimbus Cloud"},
		"fr": {"Accès sans votre approbation", "12 au total", "Cette opération ne donne pas accès à vos données."},
		"ja": {"承認依頼なしのアクセス", "合計：12 件", "お客様のデータにアクセスしない操作です。"},
	} {
		has(t, get(t, h, bank+"/waived?lang="+language, http.StatusOK), want...)
	}
}

func TestR3WithoutAnySuchAccessThePageSaysSo(t *testing.T) {
	w := newWorld(otto)
	h := w.portal(t, sitetest.Otto())
	hasNot(t, get(t, h, bank, http.StatusOK), "without asking you")
	w.Queries["list_requests"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) { return nil, errNotThere }
	has(t, get(t, h, bank+"/waived", http.StatusOK), "No access began without asking you.")
	if page := get(t, newWorld(erin).portal(t, sitetest.Lena()), "/provider/waived", http.StatusNotFound); page == "" {
		t.Error("nothing is said")
	}
}

func TestR3ARequestSaysFirstThatItWasNotAsked(t *testing.T) {
	v := unasked(memoryDump, lockboxv1.Waiver_WAIVER_LOCKBOX_NOT_ENABLED, time.Hour)
	for language, want := range map[string]string{
		"en": "Your approval was not requested. Lockbox was switched off in your organisation.",
		"fr": "Votre approbation n’a pas été demandée. Lockbox était désactivé dans votre organisation.",
		"ja": "承認の依頼は行われていません。 お客様の組織では Lockbox が無効でした。",
	} {
		page := get(t, newWorld(otto, v).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump+"?lang="+language,
			http.StatusOK)
		has(t, page, want)
		if text := plain(page); strings.Index(text, want) > strings.Index(text, v.GetIntent().GetJustification()[:40]) {
			t.Errorf("it is not at the top of %s", text)
		}
	}
	hasNot(t, get(t, newWorld(otto, active()).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump, http.StatusOK),
		"Your approval was not requested.")
	page := get(t, newWorld(erin, v).portal(t, sitetest.Lena()), "/provider/requests/"+memoryDump, http.StatusOK)
	hasNot(t, page, "Your approval")
	has(t, page, "The customer is not asked: the customer has not switched Lockbox on.")
}
