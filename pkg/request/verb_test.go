package request_test

import (
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// A command about a request that is not in the table is offered by nobody.
func TestEveryCommandAboutARequestIsAVerb(t *testing.T) {
	var want, got []string
	actions := (*lockboxv1.Command)(nil).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields()
	for i := range actions.Len() {
		c := &lockboxv1.Command{Tenant: "contoso", AggregateId: story.RequestID}
		c.ProtoReflect().Mutable(actions.Get(i))
		if about, err := aggregate.Of(c); err == nil && about == aggregate.Request("contoso", story.RequestID) {
			want = append(want, string(actions.Get(i).Name()))
		}
	}
	for _, v := range request.Verbs {
		got = append(got, v.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the verbs are %v, want %v", got, want)
	}
}
