package approvaltest

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
)

// What every test is about.
const (
	Origin = "lockbox.example/log"
	Tenant = "meadowbank"
	Issuer = "https://login.bank.example"
)

// Noon is when the story begins.
var Noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// Delay and RecoveryDelay are those of the genesis.
const (
	Delay         = 24 * time.Hour
	RecoveryDelay = 7 * 24 * time.Hour
)

// Witnesses are the three of the genesis, of which two have to cosign.
var Witnesses = []string{"alpha.example+11111111+BAE=", "beta.example+22222222+BAI=", "gamma.example+33333333+BAM="}

// Hash is some hash, in hexadecimal digits.
func Hash(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:])
}

// Person is somebody of the customer's.
func Person(name string) approval.Person {
	return approval.Person{Account: approval.Account{Issuer: Issuer, Subject: name}, Human: name + "-0"}
}

// Enrol is a key of somebody, in a role.
func (k *Key) Enrol(name, role string) approval.Enrolment {
	return approval.Enrolment{Key: k.Key, Person: Person(name), Role: role}
}

// Story is a tenant's chain of keys in the making.
type Story struct {
	// Anna and Otto are the administrators' keys, Offline is the recovery key.
	Anna, Otto, Offline *Key
	Genesis             approval.Genesis
	Entries             []approval.Stored
	Sightings           []approval.Sighting
}

// Begin makes the genesis, as the tenant's event 10: Anna has a passkey, Otto a security key at the command line.
func Begin() *Story {
	s := &Story{Anna: New("anna", ES256), Otto: New("otto", SKEd25519), Offline: New("offline", Ed25519)}
	s.Genesis = approval.Genesis{
		Format: approval.FormatGenesis, Origin: Origin, Tenant: Tenant,
		Administrators: []approval.Enrolment{s.Anna.Enrol("anna", approval.Administrator),
			s.Otto.Enrol("otto", approval.Administrator)},
		Recovery: s.Offline.Key, Threshold: 2, Demand: approval.DemandSignatures,
		DelaySeconds: uint64(Delay / time.Second), RecoverySeconds: uint64(RecoveryDelay / time.Second),
		Witnesses: Witnesses, Quorum: 2, IssuedAt: approval.TimeText(Noon), Nonce: Hash("genesis"),
	}
	statement, err := s.Genesis.Bytes()
	must(err)
	s.Entries = []approval.Stored{{Sequence: 10,
		Signed: Signed(approval.FormatGenesis, statement, s.Anna, s.Otto, s.Offline)}}
	s.Seen(10, 0)
	return s
}

// Seen adds a checkpoint of a size, which all three witnesses cosigned a while after noon.
func (s *Story) Seen(size uint64, after time.Duration) {
	sighting := approval.Sighting{Size: size}
	for i, w := range Witnesses {
		sighting.Cosigned = append(sighting.Cosigned,
			approval.Cosigned{Witness: w, At: Noon.Add(after + time.Duration(i)*time.Second)})
	}
	s.Sightings = append(s.Sightings, sighting)
}

// Fingerprint is that of the chain.
func (s *Story) Fingerprint() [32]byte {
	return approval.Digest(approval.FormatGenesis, []byte(s.Entries[0].Statement))
}

// Change completes a change so that it follows the last entry.
func (s *Story) Change(c approval.KeyChange) approval.KeyChange {
	last, format := s.Entries[len(s.Entries)-1], approval.FormatKeys
	if len(s.Entries) == 1 {
		format = approval.FormatGenesis
	}
	fingerprint, previous := s.Fingerprint(), approval.Digest(format, []byte(last.Statement))
	c.Format, c.Origin, c.Tenant = approval.FormatKeys, Origin, Tenant
	c.Genesis, c.Previous = hex.EncodeToString(fingerprint[:]), hex.EncodeToString(previous[:])
	c.Number = uint64(len(s.Entries) + 1)
	c.IssuedAt = approval.TimeText(Noon.Add(time.Duration(len(s.Entries)+1) * time.Minute))
	c.Nonce = Hash("nonce " + c.Previous)
	return c
}

// Entry signs a change as the tenant's event of that sequence.
func (s *Story) Entry(sequence uint64, c approval.KeyChange, keys ...*Key) approval.Stored {
	statement, err := s.Change(c).Bytes()
	must(err)
	return approval.Stored{Sequence: sequence, Signed: Signed(approval.FormatKeys, statement, keys...)}
}

// Add stores a signed change.
func (s *Story) Add(sequence uint64, c approval.KeyChange, keys ...*Key) {
	s.Entries = append(s.Entries, s.Entry(sequence, c, keys...))
}

// Fold folds the chain.
func (s *Story) Fold() (*approval.Chain, error) { return approval.Fold(s.Entries, s.Sightings) }

// Head is what a statement of somebody begins with.
func (s *Story) Head(format, name string, k *Key) approval.Head {
	fingerprint := s.Fingerprint()
	return approval.Head{
		Format: format, Origin: Origin, Genesis: hex.EncodeToString(fingerprint[:]), Tenant: Tenant,
		By: Person(name).Account, Key: k.ID(), Language: "fr", Text: approval.TextHash("Ingrid demande l’accès …"),
		IssuedAt: approval.TimeText(Noon.Add(48 * time.Hour)), Nonce: Hash("nonce " + name),
	}
}

// Terms are those of the request that the decisions are about.
func Terms() approval.Terms {
	return approval.Terms{
		Tenant: Tenant, Request: "0192f0c1-7c1e-7c53-9b1e-5d2c7e0a4b11", Subscription: "payments",
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump",
		Engineer: approval.Account{Issuer: "https://login.provider.example", Subject: "ingrid"},
		Events: []approval.Event{
			approval.EventOf(1, "AccessRequested", []byte("requested")),
			approval.EventOf(2, "AccessEvaluated", []byte("evaluated")),
			approval.EventOf(3, "CustomerNotified", []byte("notified")),
			approval.EventOf(4, "ApprovalReminderDue", []byte("soon")),
		},
		Resources: []string{"/subscriptions/payments/vm-1", "/subscriptions/payments/vm-2"}, Seconds: 8 * 60 * 60,
		AnswerBy: approval.TimeText(Noon.Add(96 * time.Hour)), Approvals: 1,
		Approvers: []approval.Account{Person("anna").Account, Person("otto").Account, Person("carl").Account},
	}
}

// Decide is somebody's decision about these terms.
func (s *Story) Decide(verb, name string, k *Key) approval.Decision {
	t := Terms()
	d := approval.Decision{
		Head: s.Head(approval.FormatDecision, name, k), Decision: verb, Request: t.Request, Subscription: t.Subscription,
		ResourceType: t.ResourceType, Scenario: t.Scenario, Engineer: t.Engineer, Events: t.Events[:3],
		Resources: []string{}, AnswerBy: t.AnswerBy, Approvals: t.Approvals,
	}
	switch verb {
	case approval.Approve:
		d.Resources, d.Seconds = t.Resources[:1], 3600
	case approval.Revoke:
		d.Events = append(t.Events[:2:2], approval.EventOf(6, "AccessGranted", []byte("granted")))
		d.AnswerBy, d.Approvals = "", 0
	}
	return d
}

// Store signs a decision as the tenant's event of that sequence.
func (k *Key) Store(sequence uint64, d approval.Decision) approval.Stored {
	statement, err := d.Bytes()
	must(err)
	return approval.Stored{Sequence: sequence, Signed: Signed(approval.FormatDecision, statement, k)}
}

// File is an approval by Otto as the tenant's event 40, two days after noon, with what verifies it.
func (s *Story) File() (approval.File, approval.Facts) {
	stored := s.Otto.Store(40, s.Decide(approval.Approve, "otto", s.Otto))
	s.Seen(39, 48*time.Hour)
	s.Seen(41, 49*time.Hour)
	f := approval.File{Approvals: []approval.Signed{stored.Signed}, RequestReceipt: "cmVxdWVzdA", KeysReceipt: "a2V5cw"}
	for _, e := range s.Entries {
		f.Keys = append(f.Keys, e.Signed)
	}
	return f, approval.Facts{Origin: Origin, Tenant: Tenant, Approvals: []approval.Given{{Stored: stored, Version: 5}},
		Keys: s.Entries, KeysSize: 41, Terms: Terms(), Sightings: s.Sightings}
}
