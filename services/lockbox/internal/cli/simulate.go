package cli

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/internal/render"
	"github.com/spf13/cobra"
)

func (a *app) policySimulateCommand() *cobra.Command {
	since, until := &timeFlag{app: a}, &timeFlag{app: a}
	c := &cobra.Command{
		Use: "simulate FILE", Short: "Replay past intents by another rule set and show what would change (R16)", Args: exactly("FILE"), ValidArgsFunction: ruleFiles,
		Long: `Reads the intents of a period from the stream, with what was weighed then, evaluates each by the rules in FILE, and prints the
decisions that would have come out otherwise. Nothing is changed. It needs the compliance team's key. Times are when the bus
stored the request.`,
		Example: `  lockbox policy simulate rules.yaml --since 30d
  lockbox policy simulate rules.yaml --tenant meadowbank --since 2026-04-01 --until 2026-05-01 -o json | jq '.transitions'`,
	}
	f := c.Flags()
	f.Var(since, "since", "stored from this time on (lockbox help times)")
	f.Var(until, "until", "stored before this time")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		rules, err := a.parseRules(s.command, args[0])
		if err != nil {
			return err
		}
		// Compliance reads across customers unless it names one; a persona's own tenant has no say here.
		simulation, err := s.simulate(ctx, rules, first(a.tenant, a.Getenv("LOCKBOX_TENANT")), since.Time, until.Time)
		if err != nil {
			return err
		}
		return a.write(page{
			func() (string, error) { return render.ValueJSON(simulation) },
			func(l render.Look) string { return render.Simulated(l, simulation) },
		})
	})
	return c
}

// simulate evaluates the intents of a period by the rules. It reads two types of event and no others: the requests, and
// then their evaluations.
func (s *session) simulate(ctx context.Context, rules *policy.Rules, tenant string, since, until time.Time) (render.Simulation, error) {
	j, err := s.Journal(ctx)
	if err != nil {
		return render.Simulation{}, err
	}
	defer j.Close()
	states := map[bus.Aggregate]request.State{}
	err = s.each(ctx, j, journal.Replay{Tenant: tenant, Kind: bus.KindRequest, Type: "AccessRequested", Since: since, Until: until}, func(e journal.Entry) {
		states[bus.AggregateOf(e.Event)] = request.Evolve(request.State{}, e.Seq, e.Event)
	})
	if err != nil {
		return render.Simulation{}, err
	}
	found := simulation{rules: rules, catalogue: catalogue.Default(), terms: request.DefaultTerms(), counts: map[[2]string]int{}}
	err = s.each(ctx, j, journal.Replay{Tenant: tenant, Kind: bus.KindRequest, Type: "AccessEvaluated", Since: since}, func(e journal.Entry) {
		of := bus.AggregateOf(e.Event)
		state, known := states[of]
		if !known {
			return
		}
		delete(states, of)
		state = request.Evolve(state, e.Seq, e.Event)
		if state.Evaluation != nil {
			found.add(state)
		}
	})
	return found.summary(len(states)), err
}

// each replays a part of the stream with the bar that tells how far it is.
func (s *session) each(ctx context.Context, j *journal.Journal, r journal.Replay, handle func(journal.Entry)) error {
	bar := s.app.progress(false)
	bar.wanted = s.app.ErrTerminal // what comes out comes at the end
	defer bar.end()
	return j.Replay(ctx, r, func(e journal.Entry) error {
		bar.step(e)
		handle(e)
		return nil
	})
}

// simulation is what another rule set makes of recorded evaluations.
type simulation struct {
	rules     *policy.Rules
	catalogue *catalogue.Catalogue
	// terms are the usual ones: how long something lasts is not what rules are compared by.
	terms  request.Terms
	counts map[[2]string]int
	result render.Simulation
}

func (s *simulation) add(state request.State) {
	s.result.Intents++
	if state.Evaluation.GetCatalogueVersion() != s.catalogue.Version() {
		s.result.OtherCatalogue++
	}
	again := policy.Again(state, s.rules, s.catalogue, s.terms)
	was, becomes := policy.Verdict(state.Evaluation), policy.Verdict(again)
	if was == becomes {
		return
	}
	ids := []string{}
	for _, m := range again.GetRules() {
		ids = append(ids, m.GetId())
	}
	s.counts[[2]string{was, becomes}]++
	s.result.Changes = append(s.result.Changes, render.Change{Request: state.ID, Tenant: state.Tenant, Was: was, Becomes: becomes, Rules: ids})
}

func (s *simulation) summary(waiting int) render.Simulation {
	r := s.result
	r.PolicyVersion, r.Changed, r.Waiting = s.rules.Version(), len(r.Changes), waiting
	if r.Changes == nil {
		r.Changes = []render.Change{}
	}
	r.Transitions = []render.Transition{}
	for pair, n := range s.counts {
		r.Transitions = append(r.Transitions, render.Transition{Was: pair[0], Becomes: pair[1], Count: n})
	}
	slices.SortFunc(r.Transitions, func(a, b render.Transition) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Becomes, b.Becomes))
	})
	return r
}
