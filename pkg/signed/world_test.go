package signed_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const origin = "lockbox.example/log"

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// A world is a deployment whose keys follow from their names, so that vectors are the same for ever.
type world struct {
	t          testing.TB
	deployment note.Signer
	verifier   note.Verifier
	vkey       string
}

func newWorld(t testing.TB, name, seed string) *world {
	t.Helper()
	skey, vkey, err := note.GenerateKey(strings.NewReader(strings.Repeat(seed, 32)[:32]), name)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, vkey: vkey}
	if w.deployment, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if w.verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return w
}

func ours(t testing.TB) *world { return newWorld(t, signed.DeploymentName(origin), "deployment") }

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// certificate certifies the key of that name for a writer, for a day from noon on.
func (w *world) certificate(writer aggregate.Writer, key string, changes ...func(*signed.Certificate)) string {
	w.t.Helper()
	c := signed.Certificate{Origin: origin, Identity: string(writer), Key: signed.PublicOf(keyOf(key)),
		From: noon, Until: noon.Add(24 * time.Hour)}
	for _, change := range changes {
		change(&c)
	}
	issued, err := c.Issue(w.deployment)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(issued)
}

func signer(t testing.TB, writer aggregate.Writer, key string) *signed.Signer {
	t.Helper()
	s, err := signed.NewSigner(origin, keyOf(key), writer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) beginning() *lockboxv1.Event {
	return about(aggregate.SigningWriters, 1, noon, &lockboxv1.Event_SigningBegan{SigningBegan: &lockboxv1.SigningBegan{
		DeploymentKey: w.vkey,
		Certificates: []string{w.certificate(aggregate.Evaluator, "evaluator"),
			w.certificate(aggregate.Orchestrator, "orchestrator"), w.certificate(aggregate.Projector, "projector")},
	}})
}

// certifies is a fact about one more key.
func (w *world) certifies(writer aggregate.Writer, key string) *lockboxv1.Event {
	return about(aggregate.SigningWriters, 2, noon.Add(time.Hour), &lockboxv1.Event_WriterCertified{
		WriterCertified: &lockboxv1.WriterCertified{Certificate: w.certificate(writer, key)}})
}

func about(key aggregate.Key, version uint64, at time.Time, fact any) *lockboxv1.Event {
	e := &lockboxv1.Event{Id: "019ad000-0000-7000-8000-00000000000" + strconv.FormatUint(version, 10),
		Tenant: key.Tenant, Kind: key.Kind, AggregateId: key.ID, Version: version, Time: timestamppb.New(at)}
	switch fact := fact.(type) {
	case *lockboxv1.Event_SigningBegan:
		e.Fact = fact
	case *lockboxv1.Event_WriterCertified:
		e.Fact = fact
	case *lockboxv1.Event_WriterRevoked:
		e.Fact = fact
	case *lockboxv1.Event_TicketCommented:
		e.Fact = fact
	case *lockboxv1.Event_AccessRequested:
		e.Fact = fact
	case *lockboxv1.Event_CheckpointSigned:
		e.Fact, e.Version, e.ReportKey = fact, 0, strconv.FormatUint(version, 10)
	}
	return e
}

// comment is an event that the orchestrator writes, at one o'clock.
func comment(version uint64, text string) *lockboxv1.Event {
	return about(aggregate.Ticket("contoso", "t1"), version, noon.Add(time.Hour),
		&lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: text}})
}

func subject(e *lockboxv1.Event) string {
	version := e.GetReportKey()
	if version == "" {
		version = strconv.FormatUint(e.GetVersion(), 10)
	}
	about := strings.ReplaceAll(aggregate.KeyOf(e).String(), "/", ".")
	return "lockbox.event." + about + "." + version + "." + aggregate.TypeOf(e)
}

func content(t testing.TB, e *lockboxv1.Event) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unsigned is an event that follows another; nil: it follows none.
func unsigned(t testing.TB, e, before *lockboxv1.Event) signed.Unsigned {
	u := signed.Unsigned{Subject: subject(e), Content: content(t, e)}
	if before != nil {
		u.Previous = signed.Hash(content(t, before))
	}
	return u
}

func sign(t testing.TB, s *signed.Signer, commit ...signed.Unsigned) [][]byte {
	t.Helper()
	stored, err := s.Sign(commit)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// follows returns the hash of an event's content; nil: there is none to ask for.
func follows(t testing.TB, before *lockboxv1.Event) func() ([32]byte, error) {
	return func() ([32]byte, error) {
		if before == nil {
			t.Error("it was asked for the event before the first")
			return [32]byte{}, nil
		}
		return signed.Hash(content(t, before)), nil
	}
}

// began is a keyring in which signing began at sequence 10.
func (w *world) began() *signed.Keyring {
	w.t.Helper()
	ring := signed.NewKeyring(origin, w.verifier)
	first := w.beginning()
	stored := sign(w.t, signer(w.t, aggregate.Orchestrator, "orchestrator"), unsigned(w.t, first, nil))[0]
	m := signed.Message{Sequence: 10, Subject: subject(first), Stored: stored, Event: first}
	if err := ring.Check(m, follows(w.t, nil)); err != nil {
		w.t.Fatal(err)
	}
	if err := ring.Add(first, 10); err != nil {
		w.t.Fatal(err)
	}
	return ring
}
