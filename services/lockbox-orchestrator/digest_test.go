package orchestrator

import (
	"maps"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// granted grants access for which the customer is not asked, to be reported at that time.
func (s *scene) granted(of repository.States, tenantID string, due time.Time) aggregate.Key {
	s.Helper()
	now, states := time.Now(), maps.Clone(of)
	intent := story.Dump(tenantID, production(tenantID), "vm")
	intent.Id = journaltest.NewID()
	key := aggregate.Request(tenantID, intent.GetId())
	e, _, err := request.Submit(request.State{}, request.Submission{Intent: intent, Tool: journaltest.Tool, Sequence: 1,
		Stored: now, By: erin}, request.DefaultTerms(), now)
	if err != nil {
		s.Fatal(err)
	}
	s.write(s.evaluator, states, e)
	verdict := &lockboxv1.AccessEvaluated{
		Outcome: lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_CUSTOMER_WAIVED, Duration: durationpb.New(time.Hour),
		Waiver: lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA,
		Facts:  &lockboxv1.EvaluationFacts{LockboxEnabled: true, ScenarioName: "Memory dump"},
	}
	if e, _, err = request.RecordEvaluation(states.Request(key), verdict, story.System("jit-evaluator"), now); err != nil {
		s.Fatal(err)
	}
	s.write(s.evaluator, states, e)
	r := states.Request(key)
	e = r.Follow(s.process.Actor, "", now)
	e.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{
		StartsAt: timestamppb.New(now), EndsAt: timestamppb.New(now.Add(time.Hour)), ResourceIds: intent.GetResourceIds(),
		Waiver: verdict.GetWaiver(), ReportAt: timestamppb.New(due),
	}}
	s.write(s.writer, states, e)
	return key
}

// reports lists what customers were told.
func (s *scene) reports() (told []*lockboxv1.Event) {
	s.Helper()
	err := s.bus.Journal(s.T, bus.Compliance).Replay(s.Context(), journal.Replay{Kind: aggregate.KindDigest},
		func(e journal.Entry) error {
			told = append(told, e.Event)
			return nil
		})
	if err != nil {
		s.Fatal(err)
	}
	return told
}

// soon is a time to report at that is not over while a test prepares what is reported.
func (s *scene) soon() time.Time {
	s.process.Terms.WaivedReport = time.Second // so it is reported a tenth of a second later
	return time.Now().UTC().Truncate(time.Second).Add(2 * time.Second)
}

func (s *scene) waitFor(due time.Time) {
	time.Sleep(time.Until(s.process.Terms.ReportMadeAt(due)))
}

// Whichever copies of the service look after a day, and however often, its customer is told once, and of nothing else.
func TestR3SeveralCopiesTellACustomerOnce(t *testing.T) {
	s := newScene(t)
	bank, clinic, due := s.customer("contoso"), s.customer("fabrikam"), s.soon()
	mine := map[string]bool{}
	for range 3 {
		mine[s.granted(bank, "contoso", due).ID] = true
	}
	s.granted(clinic, "fabrikam", due)
	s.granted(bank, "contoso", due.Add(time.Second)) // it is the next report's
	s.waitFor(due)
	other, rt := *s.orchestrator, *s.Runtime
	rt.Journal = s.bus.Journal(t, bus.Orchestrator)
	other.Runtime, other.repository = &rt, repository.New(rt.Journal)
	var all errgroup.Group
	for i := range 8 {
		o := []*orchestrator{s.orchestrator, &other}[i%2]
		all.Go(func() error { return o.report(t.Context(), aggregate.Digest("contoso", due)) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	told := s.reports()
	if len(told) != 1 || told[0].GetTenant() != "contoso" {
		t.Fatalf("told: %v", told)
	}
	f := told[0].GetWaivedAccessReported()
	if len(f.GetAccesses()) != 3 || f.GetCounts()[0].GetCount() != 3 || !f.GetUntil().AsTime().Equal(due) {
		t.Errorf("the report: %v", f)
	}
	for _, a := range f.GetAccesses() {
		if !mine[a.GetRequestId()] || a.GetRequester().GetSubject() != "erin" || a.GetScenarioName() != "Memory dump" {
			t.Errorf("it lists %v", a)
		}
	}
}

// A timer proves nothing: too early it is set again, and where there is nothing to tell, nothing is told.
func TestR3ATimerAloneReportsNothing(t *testing.T) {
	s := newScene(t)
	bank, due := s.customer("contoso"), s.soon()
	s.granted(bank, "contoso", due)
	about := aggregate.Digest("contoso", due)
	if err := s.report(t.Context(), about); err != nil {
		t.Fatal(err)
	}
	if set, err := s.Journal.Timers(t.Context(), "contoso", aggregate.KindDigest); err != nil || len(set) != 1 ||
		set[0] != about {
		t.Errorf("timers: %v, %v", set, err)
	}
	for _, forged := range []aggregate.Key{aggregate.Digest("contoso", due.Add(-time.Hour)),
		aggregate.Digest("nobody", due.Add(-time.Hour)), {Tenant: "contoso", Kind: aggregate.KindDigest, ID: "never"}} {
		if err := s.report(t.Context(), forged); err != nil {
			t.Error(err)
		}
	}
	if told := s.reports(); len(told) > 0 {
		t.Errorf("told: %v", told)
	}
}

// Nobody suppresses a report by storing what is no event beside one of its requests, or under its own key.
func TestR3ASpoiltRequestIsReportedAllTheSame(t *testing.T) {
	s := newScene(t)
	bank, due := s.customer("contoso"), s.soon()
	spoilt := s.granted(bank, "contoso", due)
	s.granted(bank, "contoso", due)
	about := aggregate.Digest("contoso", due)
	for _, subject := range []string{
		"lockbox.event.contoso.request." + spoilt.ID + ".9.AccessCompleted",
		"lockbox.event.contoso.digest." + about.ID + ".waived.WaivedAccessReported",
	} {
		js := s.bus.Connect(t, bus.Orchestrator)
		if err := js.Publish(subject, []byte("no event")); err != nil {
			t.Fatal(err)
		}
		if err := js.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.waitFor(due)
	if err := s.report(t.Context(), about); err != nil {
		t.Fatal(err)
	}
	told := s.reports()
	if len(told) != 1 || told[0].GetWaivedAccessReported().GetCounts()[0].GetCount() != 2 {
		t.Fatalf("told: %v", told)
	}
	for _, a := range told[0].GetWaivedAccessReported().GetAccesses() {
		if known := a.GetRequester() != nil; known == (a.GetRequestId() == spoilt.ID) {
			t.Errorf("it lists %v", a)
		}
	}
}
