package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signing"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// recordCertificates records that signing begins, if the stream does not say so yet, and each writer's certificate that
// it does not know. What has ended is left alone. The deployment's signature is what lets a certificate count; the
// orchestrator only passes it on (R50).
func (o *orchestrator) recordCertificates(ctx context.Context, certificates string) error {
	if o.Writer == nil {
		return nil
	}
	texts, err := o.Writer.Certificates(certificates)
	if err != nil {
		return err
	}
	for {
		recorded, err := o.recordNext(ctx, texts)
		switch {
		case errors.Is(err, journal.ErrConflict): // another copy was faster
		case err != nil || !recorded:
			return err
		}
	}
}

// recordNext records what is first among what is missing. It returns false if nothing is.
func (o *orchestrator) recordNext(ctx context.Context, texts []string) (bool, error) {
	var s signing.State
	entries, err := o.Journal.Load(ctx, aggregate.SigningWriters)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		s = signing.Evolve(s, e.Seq, e.Event)
	}
	c := aggregate.Command{Command: &lockboxv1.Command{Id: uuid.Must(uuid.NewV7()).String()}, By: o.process.Actor}
	for _, text := range texts {
		is, err := signed.OpenCertificate([]byte(text), o.Writer.Deployment)
		if err != nil {
			return false, err
		}
		if _, known := s.Keys[signed.IDOf(is.Key)]; !known && o.Now().Before(is.Until) {
			c.Action = &lockboxv1.Command_CertifyWriter{CertifyWriter: &lockboxv1.CertifyWriter{Certificate: text}}
			break
		}
	}
	if !s.Exists() {
		c.Action = &lockboxv1.Command_BeginSigning{BeginSigning: &lockboxv1.BeginSigning{
			DeploymentKey: o.Writer.Deployment.Key, Certificates: texts}}
	}
	if c.GetAction() == nil {
		return false, nil
	}
	e, err := signing.Decide(s, c, o.Now())
	if err == nil && e.GetSigningBegan() != nil {
		err = o.signsFirst(c.GetBeginSigning())
	}
	if err == nil {
		err = repository.Identify(e)
	}
	if err != nil {
		return false, fmt.Errorf("writers' certificates: %w", err)
	}
	sequence, err := o.Journal.Append(ctx, s.Sequence, e)
	if err == nil {
		o.Log.Info("recorded", zap.String("fact", aggregate.TypeOf(e)), zap.Uint64("sequence", sequence))
	}
	return true, err
}

// signsFirst refuses to begin signing (PRECONDITION) unless this service signs the event about it as it has to be: with
// the first key that is certified for it. Otherwise that event would be refused by everybody, and its place be taken.
func (o *orchestrator) signsFirst(c *lockboxv1.BeginSigning) error {
	if o.Signer == nil {
		return refusal.Precondition("begin_signing", "R50", "%s has no key to sign with", Name)
	}
	if first := signed.IDOf(signing.CertifiedFirst(c, aggregate.Orchestrator)); first != o.Signer.KeyID() {
		return refusal.Precondition("begin_signing.certificates", "R50",
			"the first certificate of %s is for the key %s; it signs with %s", Name, first, o.Signer.KeyID())
	}
	if o.Keyring != nil && !o.Keyring.Pinned(c.GetDeploymentKey()) {
		return refusal.Precondition("begin_signing.deployment_key", "R50", "%s is configured with another deployment key",
			Name)
	}
	return nil
}
