// Package signing decides with which keys writers sign what they store, and since when they have to (R50): the
// aggregate of the deployment's keys. How events are signed and judged is in package signed.
package signing

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
)

// State is what was decided about writers' keys. Under which deployment key they are certified is taken from its own
// first event; whoever judges signatures compares that with the key that they were given.
type State struct {
	aggregate.History
	// DeploymentKey is the deployment's verifier key; empty until signing began.
	DeploymentKey string
	// Keys are the writers' keys by their ids. It is never modified in place.
	Keys map[signed.KeyID]Key
	// By is who decided last, and At when.
	By *lockboxv1.Actor
	At time.Time
}

// Key is a writer's key.
type Key struct {
	signed.Certificate
	// Revoked means that it counts no longer.
	Revoked bool
}

const (
	requirement = "R50"
	// maxCertificates is how many certificates signing begins with at most.
	maxCertificates = 32
)

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault.
func Evolve(s State, sequence uint64, e *lockboxv1.Event) State {
	return aggregate.Fold(s, sequence, e, (*State).apply)
}

func (s *State) apply(e *lockboxv1.Event) (broken string) {
	if aggregate.KeyOf(e) != aggregate.SigningWriters {
		return "all keys of writers are in one aggregate"
	}
	if !may(e.GetActor(), e.GetWriterRevoked() != nil) {
		return "keys of writers are for the provider's security officer (R50)"
	}
	began := s.DeploymentKey != ""
	switch fact := e.GetFact().(type) {
	case *lockboxv1.Event_SigningBegan:
		if began {
			return "signing begins once (R50)"
		}
		if err := s.begin(fact.SigningBegan.GetDeploymentKey(), fact.SigningBegan.GetCertificates()); err != nil {
			return "signing begins with certificates of the deployment's key (R50)"
		}
	case *lockboxv1.Event_WriterCertified:
		if !began {
			return "keys are certified after signing began (R50)"
		}
		if err := s.certify(fact.WriterCertified.GetCertificate()); err != nil {
			return "a key has one certificate, of the deployment's key (R50)"
		}
	case *lockboxv1.Event_WriterRevoked:
		id, key, err := s.key(fact.WriterRevoked.GetKeyId())
		if err != nil || key.Revoked {
			return "what is revoked is a key that counts (R50)"
		}
		key.Revoked = true
		s.put(id, key)
	default:
		return "the fact belongs to another kind of aggregate"
	}
	s.By, s.At = e.GetActor(), e.GetTime().AsTime()
	return ""
}

// may reports whether somebody may decide on writers' keys. What adds a key carries the deployment's own signature, so
// the process may record it as well, from the files that it was given; what takes one away is for people.
func may(by *lockboxv1.Actor, revokes bool) bool {
	return aggregate.Provider(by, aggregate.SecurityOfficers) || !revokes && aggregate.System(by)
}

// begin takes the deployment's key and the first certificates.
func (s *State) begin(deployment string, certificates []string) error {
	if _, err := note.NewVerifier(deployment); err != nil {
		return refusal.Invalid("begin_signing.deployment_key", requirement, "is not the verifier key of a deployment: %v",
			err)
	}
	s.DeploymentKey = deployment
	if len(certificates) == 0 || len(certificates) > maxCertificates {
		return refusal.Invalid("begin_signing.certificates", requirement, "are %d; there are 1 to %d", len(certificates),
			maxCertificates)
	}
	for i, text := range certificates {
		if err := s.certify(text); err != nil {
			return refusal.Invalid("begin_signing.certificates", requirement, "number %d: %s", i+1, refusal.Sentence(err))
		}
	}
	return nil
}

// certify takes one more certificate.
func (s *State) certify(text string) error {
	deployment, err := note.NewVerifier(s.DeploymentKey)
	if err != nil {
		return err
	}
	c, err := signed.OpenCertificate([]byte(text), deployment)
	if err != nil {
		return err
	}
	id := signed.IDOf(c.Key)
	if _, twice := s.Keys[id]; twice {
		return fmt.Errorf("the key %s has a certificate already", id)
	}
	s.put(id, Key{Certificate: c})
	return nil
}

func (s *State) put(id signed.KeyID, key Key) {
	s.Keys = maps.Clone(s.Keys)
	if s.Keys == nil {
		s.Keys = map[signed.KeyID]Key{}
	}
	s.Keys[id] = key
}

func (s *State) key(id []byte) (signed.KeyID, Key, error) {
	if len(id) != len(signed.KeyID{}) {
		return signed.KeyID{}, Key{}, refusal.Invalid("revoke_writer.key_id", requirement, "is %d bytes long; an id has %d",
			len(id), len(signed.KeyID{}))
	}
	key, known := s.Keys[signed.KeyID(id)]
	if !known {
		return signed.KeyID{}, Key{}, refusal.NotFound("revoke_writer.key_id", requirement, "no key %x has a certificate", id)
	}
	return signed.KeyID(id), key, nil
}

// CertifiedFirst returns the key with which a writer signs that signing begins: the first that is certified for it.
func CertifiedFirst(c *lockboxv1.BeginSigning, w aggregate.Writer) ed25519.PublicKey {
	deployment, err := note.NewVerifier(c.GetDeploymentKey())
	if err != nil {
		return nil
	}
	for _, text := range c.GetCertificates() {
		if c, err := signed.OpenCertificate([]byte(text), deployment); err == nil && c.Identity == string(w) {
			return c.Key
		}
	}
	return nil
}

// Decide returns the event that results from a command about writers' keys, or neither event nor error if a key is
// revoked already.
func Decide(s State, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	e, err := s.Begin(c, s.Version, func() error {
		if !may(c.By, c.GetRevokeWriter() != nil) {
			return refusal.Forbidden("token", requirement, "keys of writers are for the provider's security officer")
		}
		return nil
	}, now)
	if err != nil {
		err = aggregate.Changed{By: s.By, At: s.At, Version: s.Version}.Since(c, err)
	}
	if e == nil || err != nil {
		return nil, err
	}
	if begins := c.GetBeginSigning() != nil; begins == (s.DeploymentKey != "") {
		if begins {
			return nil, refusal.Precondition("begin_signing", requirement, "signing has begun already")
		}
		return nil, refusal.Precondition("action", requirement, "signing has not begun yet")
	}
	switch action := c.GetAction().(type) {
	case *lockboxv1.Command_BeginSigning:
		if err := s.mayBegin(action.BeginSigning, now); err != nil {
			return nil, err
		}
		e.Fact = &lockboxv1.Event_SigningBegan{SigningBegan: &lockboxv1.SigningBegan{
			DeploymentKey: action.BeginSigning.GetDeploymentKey(), Certificates: action.BeginSigning.GetCertificates()}}
	case *lockboxv1.Command_CertifyWriter:
		text := action.CertifyWriter.GetCertificate()
		next := s
		if err := next.certify(text); err != nil {
			return nil, refusal.Invalid("certify_writer.certificate", requirement, "%s", refusal.Sentence(err))
		}
		e.Fact = &lockboxv1.Event_WriterCertified{WriterCertified: &lockboxv1.WriterCertified{Certificate: text}}
	case *lockboxv1.Command_RevokeWriter:
		if err := prose.Check("revoke_writer.reason", action.RevokeWriter.GetReason(), 1, 4000); err != nil {
			return nil, err
		}
		id, key, err := s.key(action.RevokeWriter.GetKeyId())
		if err != nil || key.Revoked {
			return nil, err
		}
		if err := s.stillWrites(id, key, now); err != nil {
			return nil, err
		}
		e.Fact = &lockboxv1.Event_WriterRevoked{WriterRevoked: &lockboxv1.WriterRevoked{
			KeyId: action.RevokeWriter.GetKeyId(), Reason: action.RevokeWriter.GetReason()}}
	default:
		return nil, refusal.Invalid("action", "bad input", "this command is not about keys of writers")
	}
	return aggregate.End(s, e, Evolve)
}

// services are the writers that run all the time: without a key of theirs, everything that they store is refused.
func services() (all []aggregate.Writer) {
	for _, f := range aggregate.Facts() {
		if f.Writer != aggregate.Repairer && !slices.Contains(all, f.Writer) {
			all = append(all, f.Writer)
		}
	}
	return all
}

// mayBegin refuses to begin with anything but valid certificates, of which each service has one that counts now.
func (s State) mayBegin(c *lockboxv1.BeginSigning, now time.Time) error {
	if err := s.begin(c.GetDeploymentKey(), c.GetCertificates()); err != nil {
		return err
	}
	for _, w := range services() {
		if !s.counts(w, signed.KeyID{}, now) {
			return refusal.Precondition("begin_signing.certificates", requirement, "no key of %s is valid now", w)
		}
	}
	return nil
}

// stillWrites refuses to revoke the last key with which what decides this can be stored: nothing could follow, not even
// another certificate.
func (s State) stillWrites(id signed.KeyID, key Key, now time.Time) error {
	if w := aggregate.Orchestrator; key.Identity == string(w) && !s.counts(w, id, now) {
		return refusal.Precondition("revoke_writer.key_id", requirement,
			"it is the last valid key of %s, without which no other can be certified; certify the next one first", w)
	}
	return nil
}

// counts reports whether a writer has a key that counts now, other than the one named.
func (s State) counts(w aggregate.Writer, but signed.KeyID, now time.Time) bool {
	for id, key := range s.Keys {
		if id != but && key.Identity == string(w) && !key.Revoked && !now.Before(key.From) && now.Before(key.Until) {
			return true
		}
	}
	return false
}
