// Package signedtest gives tests a deployment whose writers sign what they store.
package signedtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Origin is the name of every deployment of tests.
const Origin = "log.example/lockbox"

// Deployment has the deployment's key and those of its writers, which all follow from its name.
type Deployment struct {
	// Key is the deployment's verifier key, as it is written.
	Key      string
	Signer   note.Signer
	Verifier note.Verifier

	t    testing.TB
	name string
}

// New returns the deployment of that name.
func New(t testing.TB, name string) *Deployment {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private, public, err := note.GenerateKey(strings.NewReader(string(seed[:])), signed.DeploymentName(Origin))
	d := &Deployment{Key: public, t: t, name: name}
	if err == nil {
		d.Signer, err = note.NewSigner(private)
	}
	if err == nil {
		d.Verifier, err = note.NewVerifier(public)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// KeyOf returns the key of that name, such as a writer's.
func (d *Deployment) KeyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(d.name + "/" + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Writer returns the signer of a writer.
func (d *Deployment) Writer(w aggregate.Writer) *signed.Signer { return d.WriterWith(w, string(w)) }

// WriterWith returns the signer of a writer that has the key of that name.
func (d *Deployment) WriterWith(w aggregate.Writer, key string) *signed.Signer {
	d.t.Helper()
	s, err := signed.NewSigner(Origin, d.KeyOf(key), w)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// Keyring returns a new keyring that trusts the deployment.
func (d *Deployment) Keyring() *signed.Keyring { return signed.NewKeyring(Origin, d.Verifier) }

// Certificate certifies the key of that name for a writer, from yesterday until tomorrow.
func (d *Deployment) Certificate(w aggregate.Writer, key string) string {
	d.t.Helper()
	today := time.Now().Truncate(time.Second)
	return d.CertificateFor(w, key, today.Add(-24*time.Hour), today.Add(24*time.Hour))
}

// CertificateFor certifies the key of that name for a writer and a time.
func (d *Deployment) CertificateFor(w aggregate.Writer, key string, from, until time.Time) string {
	d.t.Helper()
	certificate, err := signed.Certificate{Origin: Origin, Identity: string(w), From: from, Until: until,
		Key: signed.PublicOf(d.KeyOf(key))}.Issue(d.Signer)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(certificate)
}

// Certificates are those of all writers, each for the key that is called like it.
func (d *Deployment) Certificates() (all []string) {
	for _, w := range []aggregate.Writer{aggregate.Evaluator, aggregate.Orchestrator, aggregate.Notifier,
		aggregate.Projector, aggregate.Repairer} {
		all = append(all, d.Certificate(w, string(w)))
	}
	return all
}

// Began is the event with which signing begins, written at a time and with an id.
func (d *Deployment) Began(id string, at time.Time) *lockboxv1.Event {
	about := aggregate.SigningWriters
	return &lockboxv1.Event{
		Id: id, Tenant: about.Tenant, Kind: about.Kind, AggregateId: about.ID, Version: 1, Time: timestamppb.New(at),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Groups: []string{aggregate.SecurityOfficers},
			Person: &lockboxv1.Person{Issuer: "https://login.provider.example", Subject: "olga"}},
		Fact: &lockboxv1.Event_SigningBegan{SigningBegan: &lockboxv1.SigningBegan{DeploymentKey: d.Key,
			Certificates: d.Certificates()}},
	}
}
