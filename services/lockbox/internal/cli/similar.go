package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

// onlyOnce says which requests for the same as an intent are open or running, before it is sent; of a dry run, beside
// its outcome. Whether there are any is only a help: the intent is sent if it cannot be asked.
func (s *session) onlyOnce(
	ctx context.Context, in *lockboxv1.AccessIntent, yes bool,
) (list []*lockboxv1.SimilarRequest, err error) {
	reply, err := s.ask(ctx, in.GetTenant(), 0, &lockboxv1.Query{Ask: &lockboxv1.Query_ListSimilar{
		ListSimilar: &lockboxv1.ListSimilar{RequestId: in.GetId(), SubscriptionId: in.GetSubscriptionId(),
			ResourceType: in.GetResourceType(), Scenario: in.GetScenario(), ResourceIds: in.GetResourceIds()}}})
	if list = reply.GetSimilar().GetRequests(); err != nil || len(list) == 0 {
		return nil, ctx.Err()
	}
	said := render.Similar(s.app.lookAt(s.app.ErrTerminal), list)
	switch {
	case in.GetDryRun() || yes || in.GetEmergency(): // an emergency is not held up
		return list, s.app.note("%s", said)
	case !s.app.interactive():
		return nil, refusal.Conflict("", "R27", "%s Nothing was sent; with --yes it is asked for all the same.", said)
	}
	return list, s.app.confirm(ctx, false, said, "Ask all the same?")
}

// tried is the outcome of a dry run in JSON, with the requests for the same.
func tried(outcome *lockboxv1.IntentOutcome, similar []*lockboxv1.SimilarRequest) (string, error) {
	text, err := render.JSON(outcome)
	if err != nil || len(similar) == 0 {
		return text, err
	}
	list, err := render.RecordJSON(&lockboxv1.SimilarList{Requests: similar})
	return fmt.Sprintf("%s,\n  \"similar\": %s\n}\n", strings.TrimSuffix(text, "\n}\n"), list), err
}
