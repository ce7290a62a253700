package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// forgedWithin is how long the orchestrator may take to make something of a forged approval.
const forgedWithin = 30 * time.Second

func forgeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forge REQUEST",
		Short: "Approve a request in the name of somebody who did not, as an insider of the provider with the orchestrator's keys could",
		Long: "Stores an approval of a request that waits for the customer, by the first person who was asked and who knows nothing of it: with\n" +
			"the orchestrator's key of the bus and its signing key, from the data directory (--data). Then it says what became of the request.\n" +
			"Where the customer demands no signatures, access begins; where they do, it never does (lockbox help signing).\n\n" +
			"It works on the demo of this machine alone, and what it stores stays in its log.",
		Example: "  lockbox demo forge 01a22ead-01f6-7d42-b366-d8d2b2ca0921",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := cli.DataDir(c)
			if err != nil {
				return err
			}
			f, err := openForger(c.Context(), dir)
			if err != nil {
				return err
			}
			defer f.close()
			done, err := f.forge(c.Context(), args[0])
			if err != nil {
				return err
			}
			return cli.Output(c, done, done.text)
		},
	}
}

// forger is an insider of the provider's who has the orchestrator's keys.
type forger struct {
	nc      *nats.Conn
	journal *journal.Journal
	issuer  *devissuer.Issuer
}

// forgery is what was forged, and what became of it.
type forgery struct {
	Request string `json:"request"`
	Tenant  string `json:"tenant"`
	// InTheNameOf is whose approval was forged.
	InTheNameOf string `json:"in_the_name_of"`
	// Sequence is where it stands in the stream.
	Sequence uint64 `json:"sequence"`
	// Access says whether access began; Why is why it did not.
	Access bool   `json:"access"`
	Why    string `json:"why,omitempty"`
}

// openForger takes the orchestrator's keys from the data directory of a demo that runs.
func openForger(ctx context.Context, dir string) (*forger, error) {
	info, err := runinfo.Read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refusal.Unavailable("data", "demo", "no Lockbox runs in %s: start the demo with `lockbox up --demo`", dir)
	case err != nil:
		return nil, err
	case info.Demo == nil:
		return nil, refusal.Forbidden("data", "demo",
			"the Lockbox in %s is not a demo, and approvals are forged in none but that", dir)
	}
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: filepath.Dir(info.Demo.SecretFile)})
	if err != nil {
		return nil, err
	}
	writer, err := writerkeys.In(info.KeysDir, bus.Orchestrator)
	if err != nil {
		return nil, err
	}
	secret, err := keystore.LoadOrCreate(info.KeysDir)
	if err != nil {
		return nil, err
	}
	nc, err := bus.Connect(bus.Connection{URL: info.NATSURL, Identity: bus.Orchestrator, CA: info.CAFile,
		SeedFile: filepath.Join(info.KeysDir, bus.SeedFile(bus.Orchestrator))})
	if err != nil {
		return nil, err
	}
	keys, err := keystore.New(ctx, nc, secret, zap.NewNop())
	if err != nil {
		nc.Close()
		return nil, err
	}
	j, err := journal.Open(ctx, nc, journal.WithSigner(writer.Signer), journal.WithDetails(keys))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &forger{nc, j, issuer}, nil
}

func (f *forger) close() {
	f.journal.Close()
	f.nc.Close()
}

// forge stores an approval that nobody gave, and waits until access began or the request ended.
func (f *forger) forge(ctx context.Context, id string) (*forgery, error) {
	s, about, err := f.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Status != request.CustomerNotified {
		return nil, refusal.Precondition("request", "R28", "does not wait for the customer")
	}
	now := time.Now()
	a := s.Notified.GetApprovers()[0]
	by, err := f.pretend(a.GetPerson(), now)
	if err != nil {
		return nil, err
	}
	e := &lockboxv1.Event{
		Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, Version: s.Version + 1, Time: timestamppb.New(now),
		Actor: by, CorrelationId: id, CausationId: id,
		Fact: &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{
			Duration: s.Evaluation.GetDuration(), ResourceIds: s.Intent.GetResourceIds(), Roles: a.GetRoles(),
			TenantSequence: s.Notified.GetTenantSequence(), SubscriptionSequence: s.Notified.GetSubscriptionSequence(),
		}},
	}
	if err := repository.Identify(e); err != nil {
		return nil, err
	}
	sequence, err := f.journal.Append(ctx, s.Sequence, e)
	if err != nil {
		return nil, err
	}
	done := &forgery{Request: id, Tenant: about.Tenant, InTheNameOf: by.GetPerson().GetDisplayName(), Sequence: sequence}
	return done, f.await(ctx, about, done)
}

// find looks for a request at each of the demo's customers.
func (f *forger) find(ctx context.Context, id string) (request.State, aggregate.Key, error) {
	for _, tenant := range devissuer.Tenants() {
		about := aggregate.Request(tenant, id)
		states, err := repository.New(f.journal).Basis(ctx, about)
		if err != nil {
			return request.State{}, about, err
		}
		if s := states.Request(about); s.Status != request.None {
			return s, about, nil
		}
	}
	return request.State{}, aggregate.Key{}, refusal.NotFound("request", "demo",
		"no customer of the demo has a request %s; name it with its whole id", id)
}

// pretend is somebody as the orchestrator would have them from a token of theirs.
func (f *forger) pretend(p *lockboxv1.Person, now time.Time) (*lockboxv1.Actor, error) {
	for _, persona := range devissuer.Personas() {
		person := f.issuer.Person(persona.Name)
		if person.GetIssuer() == p.GetIssuer() && person.GetSubject() == p.GetSubject() {
			person.Human = persona.EmployeeNumber()
			return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person, MultiFactor: true,
				TokenSha256: make([]byte, 32), AuthenticatedAt: timestamppb.New(now.Truncate(time.Second))}, nil
		}
	}
	return nil, refusal.NotFound("request", "demo", "%s, who was asked, is nobody of the demo", p.GetDisplayName())
}

// await waits until access began or the request ended.
func (f *forger) await(ctx context.Context, about aggregate.Key, done *forgery) error {
	ctx, cancel := context.WithTimeout(ctx, forgedWithin)
	defer cancel()
	for {
		states, err := repository.New(f.journal).Basis(ctx, about)
		if err != nil {
			return err
		}
		s := states.Request(about)
		switch {
		case s.Grant != nil:
			done.Access = true
			return nil
		case !s.EndedAt.IsZero():
			done.Why = reason.Show("en", s.CodedEndReason, s.EndReason).Text
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the forged approval is event %d, and nothing has come of it within %s",
				done.Sequence, forgedWithin)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *forgery) text(render.Look) string {
	t := fmt.Sprintf(`An approval in the name of %[1]s, who knows nothing of it, is now
event %[2]d of the stream. It was stored as an insider of the provider could:
  lockbox-orchestrator.nk      the orchestrator's key opened the bus
  lockbox-orchestrator.writer  its other key signed the event
A key of %[1]s is not among the provider's.

`, render.Clean(d.InTheNameOf), d.Sequence)
	if d.Access {
		return t + `Access began. This customer demands no signatures, so nothing tells a forged
approval from one that was given: lockbox audit verify --stream finds no fault.
Have the customer demand them (lockbox help signing), and forge another.
`
	}
	return t + fmt.Sprintf(`Access did not begin, and never will.
%s

Where that shows:
  lockbox request show %s
  lockbox audit verify --stream    names event %d
  lockbox mail list                the provider's security officers are warned
  the request's page in the portal
`, d.Why, d.Request, d.Sequence)
}
