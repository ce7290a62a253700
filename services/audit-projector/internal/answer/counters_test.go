package answer_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/story"
	"google.golang.org/protobuf/proto"
)

// R42: a key whose counter does not go on may be on two devices. That is said of the decision and of the key, and
// refuses nothing; a decision that does not verify says nothing of the key.
func TestR42ACounterThatFallsBehindIsTold(t *testing.T) {
	c := newCast(t)
	c.assign("otto", tenantRole, globalAdmin, false)
	g, o := c.holder("grace", approvaltest.ES256), c.holder("otto", approvaltest.SKEd25519)
	c.story.Genesis(bank, approval.DemandSignatures, g, o)
	var fell time.Time
	var last string
	for i, step := range []struct {
		counter uint32
		behind  bool
	}{{7, false}, {9, false}, {8, true}, {10, false}, {10, true}, {11, false}} {
		id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
		by := c.fresh("grace")
		g.Key.Counter = step.counter
		c.story.Command(by, c.story.Sign(story.Keyholder{By: by, Key: g.Key}, story.Deny(bank, id)))
		r := c.query("grace", getRequest(bank, id)).GetRequest()
		if is := r.GetCustomerDecisions()[0].GetSignature(); !is.GetHolds() || is.GetCounterBehind() != step.behind {
			t.Errorf("decision %d: %v", i, is)
		}
		if step.behind {
			fell = r.GetCustomerDecisions()[0].GetTime().AsTime()
		}
		last = id
	}

	// Whoever holds the orchestrator's key stores what nobody signed there.
	e := proto.CloneOf(c.story.Entries[len(c.story.Entries)-1].Event)
	id := c.story.Submit(c.actor("erin"), story.Dump(bank, "prod", "a"))
	e.Id, e.CausationId, e.AggregateId, e.CorrelationId = c.story.ID(), c.story.ID(), id, id
	e.Version = c.story.States.Request(aggregate.Request(bank, id)).Version + 1
	e.Signed.Signatures[0].Signature[8] ^= 1
	c.story.Record(e)
	if is := c.query("grace", getRequest(bank, id)).GetRequest().GetCustomerDecisions()[0].GetSignature(); is.GetHolds() ||
		is.GetCounterBehind() {
		t.Errorf("what does not verify, after %s: %v", last, is)
	}
	for _, k := range c.query("olga", getKeys(bank)).GetKeys().GetKeys() {
		want := k.GetLabel() == "Key of grace"
		if got := k.GetCounterBehind(); (got != nil) != want || want && !got.AsTime().Equal(fell) {
			t.Errorf("%s fell behind at %v, not at %v", k.GetLabel(), got.AsTime(), fell)
		}
	}
}
