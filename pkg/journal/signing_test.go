package journal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// signing is a bus whose writers sign what they store.
type signing struct {
	*testing.T
	*signedtest.Deployment
	bus  *journaltest.Bus
	raw  map[bus.Identity]*nats.Conn // whoever has stolen a key of the bus
	orch *journal.Journal
}

// beginSigning starts a bus on which signing began.
func beginSigning(t *testing.T) *signing {
	t.Helper()
	s := &signing{T: t, Deployment: signedtest.New(t, "ours"), bus: journaltest.Start(t, 1)}
	s.raw = map[bus.Identity]*nats.Conn{bus.Orchestrator: s.bus.Connect(t, bus.Orchestrator),
		bus.Notifier: s.bus.Connect(t, bus.Notifier)}
	s.orch = s.journal(bus.Orchestrator, aggregate.Orchestrator)
	s.append(s.orch, 0, s.Began(journaltest.NewID(), time.Now()))
	return s
}

// journal opens a writer's journal, which judges what it reads.
func (s *signing) journal(id bus.Identity, w aggregate.Writer) *journal.Journal {
	s.Helper()
	return s.bus.Journal(s, id, journal.WithSigner(s.Writer(w)), journal.WithKeyring(s.Keyring()))
}

func (s *signing) append(j *journal.Journal, after uint64, events ...*lockboxv1.Event) []uint64 {
	s.Helper()
	stored, err := j.AppendAll(context.Background(), after, events...)
	if err != nil {
		s.Fatal(err)
	}
	return stored
}

// put stores bytes on a subject, with the key of the bus of an identity.
func (s *signing) put(as bus.Identity, subject string, stored []byte) uint64 {
	s.Helper()
	answer, err := s.raw[as].Request(subject, stored, 5*time.Second)
	if err != nil {
		s.Fatal(err)
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		s.Fatal(err)
	}
	if ack.Error != nil {
		s.Fatal(ack.Error)
	}
	return ack.Seq
}

// event is an event of now.
func event(about aggregate.Key, version uint64) *lockboxv1.Event {
	e := journaltest.Event(about, version)
	e.Time = timestamppb.Now()
	return e
}

func ticket() aggregate.Key { return aggregate.Ticket(journaltest.NewTenant(), journaltest.NewID()) }

// signedBy returns an event's stored bytes as a signer makes them who believes that another event is before it.
func signedBy(t testing.TB, by *signed.Signer, e *lockboxv1.Event, before []byte) (subject string, stored []byte) {
	t.Helper()
	subject, err := bus.EventSubject(e)
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	u := signed.Unsigned{Subject: subject, Content: data}
	if before != nil {
		u.Previous = signed.Hash(before)
	}
	all, err := by.Sign([]signed.Unsigned{u})
	if err != nil {
		t.Fatal(err)
	}
	return subject, all[0]
}

func contentOf(t testing.TB, e *lockboxv1.Event) []byte {
	t.Helper()
	data, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// R50: whatever the way in which it is sent, an event is signed, follows the one before it, and is judged by one
// signature for all that were sent together.
func TestWhatAJournalStoresIsSigned(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	notifier := s.journal(bus.Notifier, aggregate.Notifier)
	var writing sync.WaitGroup
	for range 40 { // together, so that some are sent as one batch
		writing.Go(func() {
			about := ticket()
			first := s.append(s.orch, 0, event(about, 1), event(about, 2), event(about, 3))
			s.append(s.orch, first[2], event(about, 4))
		})
	}
	writing.Wait()
	// Somebody who has read the aggregate only now goes on.
	about := ticket()
	first := s.append(s.orch, 0, event(about, 1), event(about, 2))
	again := s.journal(bus.Orchestrator, aggregate.Orchestrator)
	s.append(again, first[1], event(about, 3))
	report := &lockboxv1.Event{Id: journaltest.NewID(), Tenant: about.Tenant, Kind: aggregate.KindDelivery,
		AggregateId: journaltest.NewID(), ReportKey: "k", Time: timestamppb.Now(),
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}}
	if _, stored, err := notifier.Report(t.Context(), report); err != nil || !stored {
		t.Fatalf("reported: %t, %v", stored, err)
	}

	ring, contents, events, commits := s.Keyring(), map[string][]byte{}, 0, map[string]bool{}
	judges := s.Keyring()
	judge := s.bus.Journal(t, bus.Projector, journal.WithKeyring(judges))
	reader := s.bus.Journal(t, bus.Compliance)
	err := reader.Replay(t.Context(), journal.Replay{}, func(e journal.Entry) error {
		events++
		key := aggregate.KeyOf(e.Event).String()
		if err := ring.Check(signed.Message{Sequence: e.Seq, Subject: e.Subject, Stored: e.Data, Event: e.Event},
			func() ([32]byte, error) { return signed.Hash(contents[key]), nil }); err != nil {
			t.Errorf("event %d: %v", e.Seq, err)
		}
		stored := journal.Stored{Sequence: e.Seq, Subject: e.Subject, Data: e.Data}
		if m, is, err := judge.Judge(t.Context(), stored); is || err != nil {
			t.Errorf("event %d is judged as %+v: %v", e.Seq, m, err)
		}
		content, block, err := signed.Content(e.Data)
		contents[key] = content
		commits[string(block[len(block)-ed25519.SignatureSize:])] = true
		return errors.Join(err, ring.Add(e.Event, e.Seq))
	})
	if err != nil || ring.Began() != 1 {
		t.Fatalf("began at %d: %v", ring.Began(), err)
	}
	if events != 1+40*4+3+1 || len(commits) > events/2 {
		t.Errorf("%d events in %d commits", events, len(commits))
	}
	for name, ring := range map[string]*signed.Keyring{"a keyring": ring, "a journal": judges} {
		if n := ring.Verifications(); n > uint64(len(commits))+1 { // the first is read by itself, to learn of the keys
			t.Errorf("%s verified %d signatures of %d commits", name, n, len(commits))
		}
	}
}

// A caller who was not answered tries again. The event is the same one, although its bytes end with a signature.
func TestASignedEventIsRecognisedWhenItIsSentAgain(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	about := ticket()
	first, second := event(about, 1), event(about, 2)
	stored := s.append(s.orch, 0, first, second)
	for name, j := range map[string]*journal.Journal{"the same": s.orch,
		"another copy": s.journal(bus.Orchestrator, aggregate.Orchestrator)} {
		if again := s.append(j, 0, first, second); again[0] != stored[0] || again[1] != stored[1] {
			t.Errorf("%s: stored at %v, then at %v", name, stored, again)
		}
	}
	other := event(about, 2)
	if _, err := s.orch.Append(t.Context(), stored[0], other); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("another event at its place: %v", err)
	}
}

// R50, I14: whoever runs the bus, or has the key of one identity, adds events. Nobody decides on any of them, a
// security officer sets it aside, and then it is as if it was not there.
func TestAnEventThatItsWriterHasNotSignedIsNone(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	ours := s.Writer(aggregate.Orchestrator)
	other := signedtest.New(t, "another deployment")
	elsewhere, err := signed.NewSigner("elsewhere.example/log", s.KeyOf(string(aggregate.Orchestrator)),
		aggregate.Orchestrator)
	if err != nil {
		t.Fatal(err)
	}
	expired, revoked := "an expired key", "a revoked key"
	now := time.Now().Truncate(time.Second)
	s.know(s.CertificateFor(aggregate.Orchestrator, expired, now.Add(-48*time.Hour), now.Add(-24*time.Hour)))
	s.know(s.Certificate(aggregate.Orchestrator, revoked))
	s.revoke(s.WriterWith(aggregate.Orchestrator, revoked).KeyID())

	for name, forge := range map[string]func(e, before *lockboxv1.Event) []byte{
		"unsigned": func(e, _ *lockboxv1.Event) []byte { return contentOf(t, e) },
		"signed by another identity": func(e, before *lockboxv1.Event) []byte {
			_, stored := signedBy(t, s.Writer(aggregate.Notifier), e, contentOf(t, before))
			return stored
		},
		"signed with a key of nobody": func(e, before *lockboxv1.Event) []byte {
			_, stored := signedBy(t, s.WriterWith(aggregate.Orchestrator, "made up"), e, contentOf(t, before))
			return stored
		},
		"signed for another subject": func(e, before *lockboxv1.Event) []byte {
			moved := proto.CloneOf(e)
			moved.AggregateId = journaltest.NewID()
			_, stored := signedBy(t, ours, moved, contentOf(t, before))
			return append(contentOf(t, e), stored[len(contentOf(t, moved)):]...)
		},
		"signed for a history that lost": func(e, before *lockboxv1.Event) []byte {
			lost := proto.CloneOf(before)
			lost.Id = journaltest.NewID()
			_, stored := signedBy(t, ours, e, contentOf(t, lost))
			return stored
		},
		"of another deployment": func(e, before *lockboxv1.Event) []byte {
			_, stored := signedBy(t, other.Writer(aggregate.Orchestrator), e, contentOf(t, before))
			return stored
		},
		"signed for another origin": func(e, before *lockboxv1.Event) []byte {
			_, stored := signedBy(t, elsewhere, e, contentOf(t, before))
			return stored
		},
		"with an expired certificate": func(e, before *lockboxv1.Event) []byte {
			_, stored := signedBy(t, s.WriterWith(aggregate.Orchestrator, expired), e, contentOf(t, before))
			return stored
		},
		"with a revoked key": func(e, before *lockboxv1.Event) []byte {
			_, stored := signedBy(t, s.WriterWith(aggregate.Orchestrator, revoked), e, contentOf(t, before))
			return stored
		},
	} {
		t.Run(name, func(t *testing.T) {
			about := ticket()
			first, forged := event(about, 1), event(about, 2)
			at := s.append(s.orch, 0, first)[0]
			subject, err := bus.EventSubject(forged)
			if err != nil {
				t.Fatal(err)
			}
			seq := s.put(bus.Orchestrator, subject, forge(forged, first))
			var misfit *journal.MisfitError
			for _, j := range []*journal.Journal{s.orch, s.journal(bus.Orchestrator, aggregate.Orchestrator)} {
				if news, err := j.Since(t.Context(), journal.Version{Key: about, Version: 1, Sequence: at}); err != nil ||
					!errors.As(news[0].Err, &misfit) || misfit.Seq != seq {
					t.Errorf("what is new: %v, %v", news, err)
				}
				if _, err := j.LoadAtLeader(t.Context(), about); !errors.As(err, &misfit) || misfit.Seq != seq {
					t.Errorf("loaded: %v", err)
				}
			}
			if _, err := s.orch.Append(t.Context(), at, event(about, 2)); !errors.Is(err, journal.ErrConflict) {
				t.Errorf("appended beside it: %v", err)
			}
			m, err := s.orch.Misfit(t.Context(), seq)
			if err != nil || !bytes.Equal(m.SHA256, misfit.SHA256) {
				t.Fatalf("it is %+v: %v", m, err)
			}
			s.setAside(m)
			entries, err := s.orch.LoadAtLeader(t.Context(), about)
			if err != nil || len(entries) != 1 {
				t.Errorf("loaded, once it was set aside: %d events, %v", len(entries), err)
			}
			comment := event(about, 2)
			comment.Fact = &lockboxv1.Event_TicketClosed{TicketClosed: &lockboxv1.TicketClosed{}}
			s.append(s.orch, at, comment)
		})
	}
	genuine := ticket()
	at := s.append(s.orch, 0, event(genuine, 1))[0]
	if _, err := s.orch.Misfit(t.Context(), at); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION) {
		t.Errorf("an event that its writer has signed: %v", err)
	}
}

// A stored report keeps others from being sent, so one that nobody signed is none.
func TestAForgedReportKeepsNobodyFromReporting(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	notifier := s.journal(bus.Notifier, aggregate.Notifier)
	report := &lockboxv1.Event{Id: journaltest.NewID(), Tenant: journaltest.NewTenant(), Kind: aggregate.KindDelivery,
		AggregateId: journaltest.NewID(), ReportKey: "k", Time: timestamppb.Now(),
		Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{}}}
	subject, err := bus.EventSubject(report)
	if err != nil {
		t.Fatal(err)
	}
	s.put(bus.Notifier, subject, contentOf(t, report))
	if there, err := notifier.Reported(t.Context(), subject); there || err != nil {
		t.Errorf("it counts as reported: %t, %v", there, err)
	}
	if _, stored, err := notifier.Report(t.Context(), report); !stored || err != nil {
		t.Errorf("reported: %t, %v", stored, err)
	}
}

// Followers go on past what its writer has not signed.
func TestAFollowerSkipsWhatItsWriterHasNotSigned(t *testing.T) {
	t.Parallel()
	s := beginSigning(t)
	skipped := make(chan journal.Misfit, 1)
	follower := s.bus.Journal(t, bus.Orchestrator, journal.WithKeyring(s.Keyring()),
		journal.WithSkipped(func(m journal.Misfit) { skipped <- m }))
	about := aggregate.Request(journaltest.NewTenant(), journaltest.NewID())
	forged := event(about, 1)
	subject, err := bus.EventSubject(forged)
	if err != nil {
		t.Fatal(err)
	}
	seq := s.put(bus.Orchestrator, subject, contentOf(t, forged))
	after := event(aggregate.Request(about.Tenant, journaltest.NewID()), 1)
	s.append(s.orch, 0, after)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err = follower.Follow(ctx, journal.Following{Stream: bus.StreamEvents, Durable: bus.DurableOrchestrator},
		func(_ context.Context, e journal.Entry) error {
			if e.Event.GetId() == forged.GetId() {
				t.Error("it was handled")
			}
			if e.Event.GetId() == after.GetId() {
				stop()
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if m := <-skipped; m.Seq != seq {
		t.Errorf("skipped %d, not %d", m.Seq, seq)
	}
}

// know certifies one more key.
func (s *signing) know(certificate string) {
	s.Helper()
	s.about(&lockboxv1.Event{Fact: &lockboxv1.Event_WriterCertified{
		WriterCertified: &lockboxv1.WriterCertified{Certificate: certificate}}})
}

func (s *signing) revoke(id signed.KeyID) {
	s.Helper()
	s.about(&lockboxv1.Event{Fact: &lockboxv1.Event_WriterRevoked{
		WriterRevoked: &lockboxv1.WriterRevoked{KeyId: id[:], Reason: "stolen"}}})
}

// about appends a fact about writers' keys.
func (s *signing) about(e *lockboxv1.Event) {
	s.Helper()
	key := aggregate.SigningWriters
	entries, err := s.orch.LoadAtLeader(context.Background(), key)
	if err != nil {
		s.Fatal(err)
	}
	e.Id, e.Tenant, e.Kind, e.AggregateId, e.Time = journaltest.NewID(), key.Tenant, key.Kind, key.ID, timestamppb.Now()
	e.Version = uint64(len(entries) + 1)
	s.append(s.orch, entries[len(entries)-1].Seq, e)
}

// setAside lets a security officer decide about a message.
func (s *signing) setAside(m journal.Misfit) {
	s.Helper()
	at := aggregate.Guard
	_, _, err := s.orch.Report(context.Background(), &lockboxv1.Event{
		Id: journaltest.NewID(), Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID,
		ReportKey: strconv.FormatUint(m.Seq, 10), Time: timestamppb.Now(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{Subject: "olga"},
			Groups: []string{aggregate.SecurityOfficers}},
		Fact: &lockboxv1.Event_MessageSetAside{MessageSetAside: &lockboxv1.MessageSetAside{
			Sequence: m.Seq, Sha256: m.SHA256, Subject: m.Subject, Reason: "nobody wrote it"}},
	})
	if err != nil {
		s.Fatal(err)
	}
}
