package journal_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// replayed are the sequences of what a replay passed on as events, and of what it refused.
type replayed struct{ events, refused []uint64 }

func (s *signing) replays(j *journal.Journal, r journal.Replay) (all replayed) {
	s.Helper()
	r.Misfit = func(e journal.Entry, m journal.Misfit) error {
		if e.Event != nil || m.Seq != e.Seq {
			s.Errorf("message %d: %+v", e.Seq, m)
		}
		all.refused = append(all.refused, m.Seq)
		return nil
	}
	err := j.Replay(s.Context(), r, func(e journal.Entry) error {
		all.events = append(all.events, e.Seq)
		return nil
	})
	if err != nil {
		s.Error(err)
	}
	return all
}

// What people are shown is folded from replays, so these judge as those do who decide: each in the same way, whether
// all of the stream is read or a part of it, at once or as it grows, for the first time or again (R50, I14).
func TestAReplayPassesOnOnlyWhatItsWriterHasSigned(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	tenant := journaltest.NewTenant()
	var events, refused []uint64
	report := func() *lockboxv1.Event {
		return &lockboxv1.Event{Id: journaltest.NewID(), Tenant: tenant, Kind: aggregate.KindDelivery,
			AggregateId: journaltest.NewID(), ReportKey: "k", Time: timestamppb.Now(),
			Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}}
	}
	notifier := s.journal(bus.Notifier, aggregate.Notifier)
	for range 40 {
		about := aggregate.Ticket(tenant, journaltest.NewID())
		events = append(events, s.append(s.orch, 0, event(about, 1), event(about, 2))...)
		forged := event(about, 3)
		subject, err := bus.EventSubject(forged)
		if err != nil {
			t.Fatal(err)
		}
		refused = append(refused, s.put(bus.Orchestrator, subject, contentOf(t, forged)))
		at, stored, err := notifier.Report(t.Context(), report())
		if err != nil || !stored {
			t.Fatalf("reported: %t, %v", stored, err)
		}
		events = append(events, at)
		unsent := report()
		if subject, err = bus.EventSubject(unsent); err != nil {
			t.Fatal(err)
		}
		refused = append(refused, s.put(bus.Notifier, subject, contentOf(t, unsent)))
	}
	whole := replayed{append([]uint64{1}, events...), refused}
	same := func(what string, got, want replayed) {
		t.Helper()
		if !slices.Equal(got.events, want.events) || !slices.Equal(got.refused, want.refused) {
			t.Errorf("%s: %d events and %d refused, want %d and %d", what, len(got.events), len(got.refused),
				len(want.events), len(want.refused))
		}
	}
	open := func(options ...journal.Option) *journal.Journal {
		return s.bus.Journal(t, bus.Projector, append(options, journal.WithKeyring(s.Keyring()))...)
	}
	alone, together := open(), open(journal.Together())
	for _, again := range []string{"", ", again"} {
		same("everything"+again, s.replays(alone, journal.Replay{}), whole)
		same("everything, read together"+again, s.replays(together, journal.Replay{}), whole)
		same("a customer's"+again, s.replays(alone, journal.Replay{Tenant: tenant}), replayed{events, refused})
	}
	last := aggregate.KindTicket
	tail := replayed{events[len(events)-1:], refused[len(refused)-2:]}
	same("from the middle of an aggregate, by who has read nothing before",
		s.replays(open(), journal.Replay{From: tail.refused[0]}), tail)
	same("a type", s.replays(open(), journal.Replay{Tenant: tenant, Kind: last, Type: "TicketCommented"}).only(refused),
		replayed{refused: s.replays(alone, journal.Replay{Kind: last}).refused})

	// What is stored while it is followed.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var got replayed
	done := make(chan error)
	after := refused[len(refused)-1]
	go func() {
		done <- open().Replay(ctx, journal.Replay{From: after + 1, Follow: true,
			Misfit: func(e journal.Entry, _ journal.Misfit) error {
				got.refused = append(got.refused, e.Seq)
				return nil
			}}, func(e journal.Entry) error {
			if got.events = append(got.events, e.Seq); len(got.events) == 2 {
				stop()
			}
			return nil
		})
	}()
	about := aggregate.Ticket(tenant, journaltest.NewID())
	first := s.append(s.orch, 0, event(about, 1))[0]
	forged := event(about, 2)
	_, stored := signedBy(t, s.Writer(aggregate.Notifier), forged, contentOf(t, event(about, 1)))
	subject, err := bus.EventSubject(forged)
	if err != nil {
		t.Fatal(err)
	}
	at := s.put(bus.Orchestrator, subject, stored)
	next := s.append(s.orch, 0, event(ticket(), 1))[0]
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	same("followed", got, replayed{[]uint64{first, next}, []uint64{at}})
	if n := len(s.replays(s.bus.Journal(t, bus.Compliance), journal.Replay{}).refused); n > 0 {
		t.Errorf("without a keyring %d are refused", n)
	}
}

// only leaves out the events, and what is not among those refused.
func (r replayed) only(refused []uint64) (left replayed) {
	for _, seq := range r.refused {
		if slices.Contains(refused, seq) {
			left.refused = append(left.refused, seq)
		}
	}
	return left
}

// What cannot be judged now is neither passed on nor refused (I11).
func TestWhatCannotBeJudgedEndsAReplay(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	about := ticket()
	first := s.append(s.orch, 0, event(about, 1))[0]
	from := s.append(s.orch, 0, event(ticket(), 1))[0]
	s.append(s.orch, first, event(about, 2))
	nc := s.bus.Connect(t, bus.Projector)
	j, err := journal.Open(t.Context(), nc, journal.WithKeyring(s.Keyring()))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var got replayed
	err = j.Replay(t.Context(), journal.Replay{From: from, Misfit: func(e journal.Entry, _ journal.Misfit) error {
		got.refused = append(got.refused, e.Seq)
		return nil
	}}, func(e journal.Entry) error {
		got.events = append(got.events, e.Seq)
		nc.Close() // the next one is read already, but not what it follows
		return nil
	})
	if err == nil || !slices.Equal(got.events, []uint64{from}) || len(got.refused) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A certificate that is not the deployment's is refused where it stands, however late it is judged: by the guard, by
// whoever folds the keys, and in replays. What is certified after it counts (R50).
func TestACertificateThatIsNotTheDeploymentsIsRefused(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	other := signedtest.New(t, "another deployment")
	key := aggregate.SigningWriters
	certified := func(text string) *lockboxv1.Event {
		return &lockboxv1.Event{Id: journaltest.NewID(), Tenant: key.Tenant, Kind: key.Kind, AggregateId: key.ID, Version: 2,
			Time: timestamppb.Now(), Fact: &lockboxv1.Event_WriterCertified{
				WriterCertified: &lockboxv1.WriterCertified{Certificate: text}}}
	}
	before, err := s.orch.LoadAtLeader(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	e := certified(other.Certificate(aggregate.Notifier, "theirs"))
	subject, stored := signedBy(t, s.Writer(aggregate.Orchestrator), e, contentOf(t, before[0].Event))
	seq := s.put(bus.Orchestrator, subject, stored)
	guard := s.bus.Journal(t, bus.Projector, journal.WithKeyring(s.Keyring()))
	at := journal.Stored{Sequence: seq, Subject: subject, Data: stored}
	refused := func(when string) {
		t.Helper()
		if m, is, err := guard.Judge(t.Context(), at); err != nil || !is || m.Seq != seq {
			t.Errorf("%s: %+v, %t, %v", when, m, is, err)
		}
		late := s.bus.Journal(t, bus.Projector, journal.WithKeyring(s.Keyring()))
		if m, is, err := late.Judge(t.Context(), at); err != nil || !is || m.Seq != seq {
			t.Errorf("%s, by who starts: %+v, %t, %v", when, m, is, err)
		}
		if got := s.replays(late, journal.Replay{Kind: key.Kind}); !slices.Equal(got.refused, []uint64{seq}) {
			t.Errorf("%s: a replay refuses %v", when, got.refused)
		}
	}
	refused("at once")
	var misfit *journal.MisfitError
	if _, err := s.orch.LoadAtLeader(t.Context(), key); !errors.As(err, &misfit) || misfit.Seq != seq {
		t.Errorf("whoever decides about keys: %v", err)
	}
	s.setAside(misfit.Misfit)
	// The next one has the same version, so its type has to be another: its subject is taken.
	revoked := s.Writer(aggregate.Repairer).KeyID()
	s.about(&lockboxv1.Event{Fact: &lockboxv1.Event_WriterRevoked{
		WriterRevoked: &lockboxv1.WriterRevoked{KeyId: revoked[:], Reason: "lost"}}})
	s.know(s.Certificate(aggregate.Notifier, "the next"))
	refused("after what came later")
	notifier := s.bus.Journal(t, bus.Notifier, journal.WithSigner(s.WriterWith(aggregate.Notifier, "the next")),
		journal.WithKeyring(s.Keyring()))
	report := &lockboxv1.Event{Id: journaltest.NewID(), Tenant: journaltest.NewTenant(), Kind: aggregate.KindDelivery,
		AggregateId: journaltest.NewID(), ReportKey: "k", Time: timestamppb.Now(),
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}}
	written, _, err := notifier.Report(t.Context(), report)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.replays(guard, journal.Replay{From: written}); len(got.events) != 1 {
		t.Errorf("what the next key has signed: %+v", got)
	}
}
