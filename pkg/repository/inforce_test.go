package repository_test

import (
	"crypto/sha256"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const tiny = `version: "1"
services:
  - {type: a/b, name: B, stage: preview, scenarios: [{id: c, name: C, customer_data: true, elevated: false, scope: tenant}]}
`

// published is a version of the catalogue as an event, whatever its text is worth.
func published(t *testing.T, version uint64, text, textVersion string) *lockboxv1.Event {
	sum := sha256.Sum256([]byte(text))
	return &lockboxv1.Event{
		Id: newID(t), Tenant: aggregate.Catalogue.Tenant, Kind: aggregate.Catalogue.Kind, AggregateId: aggregate.Catalogue.ID,
		Version: version, CausationId: newID(t), Time: timestamppb.Now(),
		Actor: story.Provider("olga", aggregate.SecurityOfficers),
		Fact: &lockboxv1.Event_CataloguePublished{CataloguePublished: &lockboxv1.CataloguePublished{Text: text,
			Version: textVersion, Sha256: sum[:]}},
	}
}

func TestTheLastPublishedIsInForceCompiledOnce(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1) // there is one catalogue on a bus
	orchestrator, evaluator := b.Journal(t, bus.Orchestrator), b.Journal(t, bus.Evaluator)
	r, inForce := repository.New(evaluator), repository.CatalogueInForce()
	inForceNow := func() (*catalogue.Catalogue, error) {
		states, err := r.Basis(t.Context(), aggregate.Catalogue)
		if err != nil {
			return nil, err
		}
		return inForce.Of(states)
	}
	read := func() *catalogue.Catalogue {
		t.Helper()
		c, err := inForceNow()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	last := uint64(0)
	publish := func(version uint64, text, textVersion string) {
		t.Helper()
		var err error
		if last, err = orchestrator.Append(t.Context(), last, published(t, version, text, textVersion)); err != nil {
			t.Fatal(err)
		}
	}
	if v := read().Version(); v != catalogue.Default().Version() {
		t.Errorf("before anything is published: %s", v)
	}
	c, err := catalogue.Parse([]byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	publish(1, tiny, c.Version())
	first := read()
	if first.Version() != c.Version() || read() != first {
		t.Errorf("%s, compiled again: %t", first.Version(), read() != first)
	}
	// What a later program published and this one cannot use stops it, rather than be passed over (I11).
	for i, bad := range [][2]string{{"services: of another form", "2+0000000000000000"}, {tiny, "1+0000000000000000"}} {
		publish(uint64(i)+2, bad[0], bad[1])
		_, err := inForceNow()
		if refused, _ := refusal.As(err); refused.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE ||
			refused.GetRule() != "I11" {
			t.Errorf("%q: %v", bad[0], err)
		}
	}
	publish(4, tiny, c.Version())
	if v := read().Version(); v != c.Version() {
		t.Errorf("after going back: %s", v)
	}
	// A history that contradicts itself says nothing (I6).
	forged := published(t, 5, tiny, c.Version())
	forged.Actor.Groups = nil
	if _, err := orchestrator.Append(t.Context(), last, forged); err != nil {
		t.Fatal(err)
	}
	_, err = inForceNow()
	if refused, _ := refusal.As(err); refused.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE ||
		refused.GetRule() != "I6" {
		t.Errorf("%v", err)
	}
	if _, err := r.Basis(gone(t), aggregate.Rules); err == nil {
		t.Error("what cannot be read is not replaced by what ships")
	}
}
