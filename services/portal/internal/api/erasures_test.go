package api

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/bearer/bearertest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestR63ErasuresAreReadDecidedAndDeclined(t *testing.T) {
	b := bank()
	b.Queries["list_erasures"] = func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Sequence: 42, Answer: &lockboxv1.QueryReply_Erasures{Erasures: &lockboxv1.ErasureList{
			Erasures: []*lockboxv1.ErasureView{{ErasureId: q.GetListErasures().GetErasureId(), Tenant: q.GetTenant(),
				Status: lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED, Allowed: []string{"confirm_erasure"},
				Targets: []*lockboxv1.ErasureTargetView{{Person: &lockboxv1.Person{Subject: "otto", Erased: true}}}}}}}}, nil
	}
	w, got := call(t, b, http.MethodGet, "/erasures?erasureId="+other, bearertest.Otto, ""), new(lockboxv1.ErasureList)
	if err := protojson.Unmarshal(w.Body.Bytes(), got); err != nil || len(got.GetErasures()) != 1 ||
		got.GetErasures()[0].GetErasureId() != other || got.GetErasures()[0].GetTenant() != "meadowbank" ||
		!got.GetErasures()[0].GetTargets()[0].GetPerson().GetErased() {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	for _, c := range []struct {
		path, body string
		want       *lockboxv1.Command
	}{
		{"", `{"targets":[{"person":{"issuer":"https://id.example","subject":"otto"}},{"address":{"address":"a@b.example"}},
			{"texts":{"kind":"request","aggregateId":"r","version":"4"}}],"reason":"He left."}`,
			&lockboxv1.Command{Action: &lockboxv1.Command_EraseDetails{EraseDetails: &lockboxv1.EraseDetails{
				Reason: "He left.", Targets: []*lockboxv1.ErasureTarget{
					{What: &lockboxv1.ErasureTarget_Person{Person: &lockboxv1.ErasedPerson{Issuer: "https://id.example",
						Subject: "otto"}}},
					{What: &lockboxv1.ErasureTarget_Address{Address: &lockboxv1.ErasedAddress{Address: "a@b.example"}}},
					{What: &lockboxv1.ErasureTarget_Texts{Texts: &lockboxv1.ErasedTexts{Kind: "request", AggregateId: "r",
						Version: "4"}}}}}}}},
		{"/confirm", `{}`, &lockboxv1.Command{Action: &lockboxv1.Command_ConfirmErasure{
			ConfirmErasure: &lockboxv1.ConfirmErasure{}}}},
		{"/decline", `{"reason":"She works here."}`, &lockboxv1.Command{Action: &lockboxv1.Command_DeclineErasure{
			DeclineErasure: &lockboxv1.DeclineErasure{Reason: "She works here."}}}},
	} {
		b := bank()
		for _, verb := range erasureActions {
			b.Commands[string(verb)] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
				return &lockboxv1.CommandReply{Sequence: 43, Version: 1, EventId: other}, nil
			}
		}
		w := call(t, b, http.MethodPost, "/erasures/"+other+c.path, bearertest.Otto, c.body, "Idempotency-Key", other)
		if w.Code != http.StatusOK || len(b.Done) != 1 {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
			continue
		}
		c.want.Id, c.want.Tenant, c.want.AggregateId = b.Done[0].GetId(), "meadowbank", other
		if diff := cmp.Diff(c.want, b.Done[0], protocmp.Transform()); diff != "" || c.want.GetId() == "" {
			t.Errorf("%s: %s", c.path, diff)
		}
	}
}
