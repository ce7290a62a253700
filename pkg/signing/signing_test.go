package signing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	"github.com/openlockbox/lockbox/pkg/signing"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	precondition = lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION
	invalid      = lockboxv1.RefusalCode_REFUSAL_CODE_INVALID
	notFound     = lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND
	forbidden    = lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN
)

func officer() *lockboxv1.Actor {
	return &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{Subject: "olga"},
		Groups: []string{aggregate.SecurityOfficers}}
}

// A life is the aggregate with the commands given so far.
type life struct {
	*testing.T
	*signedtest.Deployment
	signing.State
}

func (l *life) decide(c *lockboxv1.Command, by *lockboxv1.Actor) error {
	l.Helper()
	if c.Id == "" {
		c.Id = "command " + time.Now().String()
	}
	c.Tenant, c.AggregateId = aggregate.ProviderTenant, aggregate.SigningWriters.ID
	e, err := signing.Decide(l.State, aggregate.Command{Command: c, By: by}, time.Now())
	if e == nil {
		return err
	}
	if l.State = signing.Evolve(l.State, l.Sequence+1, e); l.Fault != nil {
		l.Fatalf("what was decided is not folded: %s", l.Fault.Rule)
	}
	if e, err := signing.Decide(l.State, aggregate.Command{Command: c, By: by}, time.Now()); e != nil || err != nil {
		l.Errorf("the same command again: %v, %v", e, err)
	}
	return nil
}

func begin(key string, certificates ...string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_BeginSigning{BeginSigning: &lockboxv1.BeginSigning{
		DeploymentKey: key, Certificates: certificates}}}
}

func certify(certificate string) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_CertifyWriter{CertifyWriter: &lockboxv1.CertifyWriter{
		Certificate: certificate}}}
}

func revoke(reason string, id ...byte) *lockboxv1.Command {
	return &lockboxv1.Command{Action: &lockboxv1.Command_RevokeWriter{RevokeWriter: &lockboxv1.RevokeWriter{
		KeyId: id, Reason: reason}}}
}

func newLife(t *testing.T) *life {
	return &life{T: t, Deployment: signedtest.New(t, "ours")}
}

func (l *life) id(w aggregate.Writer, key string) []byte {
	id := l.WriterWith(w, key).KeyID()
	return id[:]
}

func TestAKeyIsCertifiedUsedAndRevoked(t *testing.T) {
	l := newLife(t)
	next := l.Certificate(aggregate.Orchestrator, "the next one")
	first := l.id(aggregate.Orchestrator, string(aggregate.Orchestrator))
	second := l.id(aggregate.Orchestrator, "the next one")
	for _, c := range []struct {
		what    string
		command *lockboxv1.Command
		want    lockboxv1.RefusalCode
	}{
		{"a key before signing began", certify(next), precondition},
		{"signing begins", begin(l.Key, l.Certificates()...), 0},
		{"signing begins again", begin(l.Key, l.Certificates()...), precondition},
		{"the last key of who writes this", revoke("stolen", first...), precondition},
		{"the next key", certify(next), 0},
		{"the same key once more", certify(next), invalid},
		{"a key that nobody has", revoke("stolen", 1, 2, 3, 4, 5, 6, 7, 8), notFound},
		{"half an id", revoke("stolen", 1, 2, 3), invalid},
		{"no reason", revoke(" ", first...), invalid},
		{"the first key, now that there is another", revoke("stolen", first...), 0},
		{"the same, again", revoke("stolen", first...), 0},
		{"the last that is left", revoke("stolen", second...), precondition},
		{"the notifier's only key", revoke("stolen", l.id(aggregate.Notifier, string(aggregate.Notifier))...), 0},
	} {
		if err := l.decide(c.command, officer()); (err != nil) != (c.want != 0) || err != nil && !refusal.Is(err, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if key := l.Keys[signed.KeyID(first)]; !key.Revoked || l.Version != 4 {
		t.Errorf("version %d, %+v", l.Version, key)
	}
}

func TestOnlyASecurityOfficerDecidesAboutKeys(t *testing.T) {
	l := newLife(t)
	lead := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{Subject: "lea"},
		Groups: []string{aggregate.SupportLeads}}
	if err := l.decide(begin(l.Key, l.Certificates()...), lead); !refusal.Is(err, forbidden) {
		t.Errorf("a lead: %v", err)
	}
	e := l.Began("", time.Now())
	e.Actor = lead
	if s := signing.Evolve(signing.State{}, 1, e); s.Fault == nil || s.DeploymentKey != "" {
		t.Error("an event of a lead is folded")
	}
}

func TestSigningBeginsOnlyIfEveryServiceCanSign(t *testing.T) {
	l, other := newLife(t), signedtest.New(t, "another deployment")
	all := l.Certificates()
	now := time.Now().Truncate(time.Second)
	old := l.CertificateFor(aggregate.Notifier, string(aggregate.Notifier), now.Add(-time.Hour), now.Add(-time.Minute))
	without := func(i int, more ...string) []string {
		return append(append(append([]string{}, all[:i]...), all[i+1:]...), more...)
	}
	for name, row := range map[string]struct {
		command *lockboxv1.Command
		want    lockboxv1.RefusalCode
	}{
		"no deployment key":          {begin("", all...), invalid},
		"another deployment's key":   {begin(other.Key, all...), invalid},
		"no certificates":            {begin(l.Key), invalid},
		"a key twice":                {begin(l.Key, append(all, all[0])...), invalid},
		"too many":                   {begin(l.Key, strings.Split(strings.Repeat("x ", 33), " ")...), invalid},
		"a service without a key":    {begin(l.Key, without(0)...), precondition},
		"a service whose key is old": {begin(l.Key, without(2, old)...), precondition},
		"nothing of a service":       {certify(all[0]), precondition},
	} {
		if err := l.decide(row.command, officer()); !refusal.Is(err, row.want) || l.Exists() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.decide(begin(l.Key, without(4)...), officer()); err != nil {
		t.Errorf("without the repairer, which runs when it is needed: %v", err)
	}
	began := begin(l.Key, all...).GetBeginSigning()
	key := signing.CertifiedFirst(began, aggregate.Orchestrator)
	if !key.Equal(l.KeyOf(string(aggregate.Orchestrator)).Public()) {
		t.Errorf("the first key of who writes it is %x", key)
	}
}
