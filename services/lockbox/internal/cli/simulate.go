package cli

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func (a *app) policySimulateCommand() *cobra.Command {
	since, until := &timeFlag{app: a}, &timeFlag{app: a}
	c := &cobra.Command{
		Use: "simulate FILE", Short: "Replay past intents by another rule set and show what would change",
		Args: exactly("FILE"), ValidArgsFunction: ruleFiles,
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
		// Compliance reads across customers unless one is named; a persona's own tenant is ignored here.
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

// simulate re-evaluates the intents of a period under the given rules. It reads only two types of event, the requests
// and their evaluations, concurrently: most of the time goes into finding them in the stream, which the server does.
func (s *session) simulate(
	ctx context.Context, rules *policy.Rules, tenant string, since, until time.Time,
) (render.Simulation, error) {
	j, err := s.Journal(ctx)
	if err != nil {
		return render.Simulation{}, err
	}
	defer j.Close()
	states, err := repository.New(j).Basis(ctx, aggregate.Catalogue)
	if err != nil {
		return render.Simulation{}, err
	}
	services, err := repository.CatalogueInForce().Of(states)
	if err != nil {
		return render.Simulation{}, err
	}
	found := &simulation{
		rules: rules, catalogue: services, terms: request.DefaultTerms(), counts: map[[2]string]int{},
		requested: map[aggregate.Key]journal.Entry{}, evaluated: map[aggregate.Key]journal.Entry{},
	}
	reading, ctx := errgroup.WithContext(ctx)
	reading.Go(func() error {
		all := journal.Replay{Tenant: tenant, Kind: aggregate.KindRequest, Type: "AccessRequested", Since: since,
			Until: until}
		return j.Replay(ctx, all, found.request)
	})
	reading.Go(func() error {
		bar := s.app.progress(false)
		bar.wanted = s.app.ErrTerminal // there is no output before the end
		defer bar.end()
		all := journal.Replay{Tenant: tenant, Kind: aggregate.KindRequest, Type: "AccessEvaluated", Since: since}
		return j.Replay(ctx, all, func(e journal.Entry) error {
			bar.step(e)
			return found.evaluation(e)
		})
	})
	err = reading.Wait()
	return found.summary(), err
}

// simulation re-evaluates recorded intents under another rule set.
type simulation struct {
	rules     *policy.Rules
	catalogue *catalogue.Catalogue
	// terms are the default terms: a simulation does not compare durations.
	terms request.Terms

	mu sync.Mutex
	// requested and evaluated hold events whose counterpart has not been read yet.
	requested, evaluated map[aggregate.Key]journal.Entry
	counts               map[[2]string]int
	result               render.Simulation
	changes              []change
}

// change is a changed decision with the sequence of its original evaluation.
type change struct {
	sequence uint64
	render.Change
}

func (s *simulation) request(e journal.Entry) error {
	return s.pair(e, s.requested, s.evaluated, func(other journal.Entry) error { return s.reevaluate(e, other) })
}

func (s *simulation) evaluation(e journal.Entry) error {
	return s.pair(e, s.evaluated, s.requested, func(other journal.Entry) error { return s.reevaluate(other, e) })
}

// pair re-evaluates if e's counterpart has been read, and else stores e.
func (s *simulation) pair(
	e journal.Entry, mine, others map[aggregate.Key]journal.Entry, both func(journal.Entry) error,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := aggregate.KeyOf(e.Event)
	if other, there := others[of]; there {
		delete(others, of)
		return both(other)
	}
	mine[of] = e
	return nil
}

// reevaluate re-evaluates an intent and records a changed decision. An evaluation that cannot follow its request is an
// error, as in every other fold.
func (s *simulation) reevaluate(requested, evaluated journal.Entry) error {
	state := request.Evolve(request.State{}, requested.Seq, requested.Event)
	if state = request.Evolve(state, evaluated.Seq, evaluated.Event); state.Fault != nil {
		return &journal.CorruptError{Seq: state.Fault.Sequence, Rule: state.Fault.Rule}
	}
	s.result.Intents++
	if state.Evaluation.GetCatalogueVersion() != s.catalogue.Version() {
		s.result.OtherCatalogue++
	}
	again := policy.Again(state, s.rules, s.catalogue, s.terms)
	was, becomes := policy.Verdict(state.Evaluation), policy.Verdict(again)
	if was == becomes {
		return nil
	}
	ids := []string{}
	for _, m := range again.GetRules() {
		ids = append(ids, m.GetId())
	}
	s.counts[[2]string{was, becomes}]++
	s.changes = append(s.changes, change{evaluated.Seq,
		render.Change{Request: state.ID, Tenant: state.Tenant, Was: was, Becomes: becomes, Rules: ids}})
	return nil
}

func (s *simulation) summary() render.Simulation {
	r := s.result
	r.PolicyVersion, r.Changed, r.Waiting = s.rules.Version(), len(s.changes), len(s.requested)
	slices.SortFunc(s.changes, func(a, b change) int { return cmp.Compare(a.sequence, b.sequence) })
	r.Changes = make([]render.Change, len(s.changes))
	for i, c := range s.changes {
		r.Changes[i] = c.Change
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
