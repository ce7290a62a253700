package requests_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// urgent is an emergency that waits for its last internal approval.
func urgent() *lockboxv1.RequestView {
	v := internal()
	v.Intent.Emergency, v.Intent.ReasonType = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT
	v.Evaluation.Reasons, v.Timeline = nil, v.GetTimeline()[:1]
	v.Evaluation.Waiver, v.Evaluation.Facts.Emergency = lockboxv1.Waiver_WAIVER_EMERGENCY, true
	v.Evaluation.Duration = durationpb.New(time.Hour)
	v.Evaluation.InternalStages = []*lockboxv1.InternalStage{{Group: "security-officers", Count: 1}}
	return v
}

// R43
func TestTheLastStageOfAnEmergencySaysThatAccessBegins(t *testing.T) {
	form := "/provider/requests/" + internally + "/internal/approve"
	first := urgent()
	first.Evaluation.InternalStages[0].Count = 2
	ordinary := urgent()
	ordinary.Evaluation.Waiver = lockboxv1.Waiver_WAIVER_UNSPECIFIED
	for name, row := range map[string]struct {
		view       *lockboxv1.RequestView
		says, lack string
	}{
		"the last stage": {urgent(), "Your click starts access to the customer’s data now. Erin Ellis of Brightline " +
			"Contractors gets remote desktop access to payments-1 for 1 hour, and Meadow Bank is not asked first. " +
			"Access begins to payments-1", "Comment (optional)"},
		"before it": {first, "After the last approval, access begins and Meadow Bank is not asked.",
			"Your click starts"},
		"the customer's say": {ordinary, "Meadow Bank is asked next, and nobody has access before they approve.",
			"Your click"},
	} {
		page := get(t, newWorld(lena, row.view).portal(t, sitetest.Lena()), form, http.StatusOK)
		has(t, plain(page), row.says)
		hasNot(t, plain(page), row.lack)
		if starts := name == "the last stage"; strings.Contains(page, `class="note danger"`) != starts ||
			strings.Contains(page, `class="danger" data-decides`) != starts ||
			strings.Contains(page, `maxlength="500" required`) != starts {
			t.Errorf("%s: red, or a required comment: want %t", name, starts)
		}
	}
}

// R43
func TestEmergencyAccessBeginsWithACommentOnly(t *testing.T) {
	w := newWorld(lena, urgent()).answers("internal_approve", &lockboxv1.CommandReply{Sequence: 7}, nil)
	h, form := w.portal(t, sitetest.Lena()), url.Values{"seen": {"2"}, "command": {anID7}}
	if p := sitetest.Post(h, "/provider/requests/"+internally+"/internal/approve",
		form); p.Code != http.StatusBadRequest ||
		len(w.Done) > 0 {
		t.Errorf("without a comment: %d, %d commands", p.Code, len(w.Done))
	}
	form.Set("reason", "Checkout is down")
	if p := sitetest.Post(h, "/provider/requests/"+internally+"/internal/approve", form); p.Code != http.StatusSeeOther ||
		w.Done[0].GetInternalApprove().GetComment() != "Checkout is down" {
		t.Errorf("with one: %d %v", p.Code, w.Done)
	}
	w.answers("internal_approve", nil, refusal.Invalid("internal_approve.comment", "R43", "say why it cannot wait"))
	p := sitetest.Post(h, "/provider/requests/"+internally+"/internal/approve", form)
	if p.Code != http.StatusBadRequest {
		t.Errorf("refused: %d", p.Code)
	}
	has(t, plain(p.Body.String()), "Say why: your approval starts access", "Checkout is down")
}

// R43
func TestAnEmergencyLooksLikeNoOtherRequest(t *testing.T) {
	running := urgent()
	running.Status, running.Allowed = lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE, []string{"revoke"}
	running.Grant = &lockboxv1.AccessGranted{StartsAt: ago(time.Minute), EndsAt: timestamppb.New(now.Add(time.Hour)),
		Waiver: lockboxv1.Waiver_WAIVER_EMERGENCY}
	w := newWorld(otto, running)
	for _, path := range []string{"", "/requests", "/waived", "/requests/" + internally, "/requests/" + internally +
		"/revoke"} {
		page := get(t, w.portal(t, sitetest.Otto()), bank+path, http.StatusOK)
		if !strings.Contains(page, `<strong class="state urgent">Emergency</strong>`) {
			t.Errorf("%q shows it like any other", path)
		}
		hasNot(t, plain(page), "The customer", "the customer")
	}
	page := plain(get(t, w.portal(t, sitetest.Otto()), bank+"/requests/"+internally, http.StatusOK))
	has(t, page, "The engineer will be able to see your data.", "It was an emergency that could not wait.",
		"Your approval was not requested.", "Erin Ellis of Brightline Contractors has access:")
	page = plain(get(t, newWorld(lena, urgent()).portal(t, sitetest.Lena()), "/provider/requests/"+internally,
		http.StatusOK))
	has(t, page, "Emergency", "The engineer will be able to see the customer’s data.", "The customer is not asked:")
	page = get(t, newWorld(otto, alone()).portal(t, sitetest.Otto()), bank+"/requests/"+memoryDump, http.StatusOK)
	hasNot(t, page, "Emergency")
}
