package signed

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
)

// Rule is one of the rules that every event keeps once signing has begun.
type Rule string

// The rules, in the order in which they are looked at; the first that is broken is named.
const (
	RuleUnsigned   Rule = "unsigned"
	RuleBlock      Rule = "block"
	RuleUnknownKey Rule = "unknown key"
	RuleWriter     Rule = "writer"
	RuleTime       Rule = "time"
	RulePrevious   Rule = "previous"
	RulePath       Rule = "path"
	RuleSignature  Rule = "signature"
)

// Error is the refusal of an event, or of another message, that is not signed as it has to be.
type Error struct {
	// Rule is the first rule that is broken.
	Rule Rule
	// Detail says how, for whoever looks into it.
	Detail string
}

func (e *Error) Error() string { return "not signed by its writer: " + e.Detail }

func broken(rule Rule, format string, args ...any) error {
	return &Error{rule, fmt.Sprintf(format, args...)}
}

// Message is an event as it is stored.
type Message struct {
	// Sequence is its place in the stream.
	Sequence uint64
	Subject  string
	Stored   []byte
	// Event is what Stored says. The caller has checked that its envelope agrees with the subject. It may have no fact, if
	// that is of a later version; then every certified writer may have written it.
	Event *lockboxv1.Event
}

// Keyring knows which keys count where in the stream. It is the fold of the aggregate `signing` under the deployment's
// key, which it is given and which no event can change. It is safe for concurrent use.
type Keyring struct {
	origin     string
	deployment note.Verifier

	mu    sync.Mutex
	began uint64
	// expected is the sequence from which on events are signed, whatever the stream says; 0: what the stream says.
	expected uint64
	first    KeyID  // of the key that signs that signing began
	seen     uint64 // the last sequence that was added
	// facts are where those about keys stand that were added.
	facts map[uint64]bool
	keys  map[KeyID]*writerKey
	// verified are the last commits whose signatures were found to be right: their events follow each other in the stream.
	verified [64]commit
	next     int
	count    uint64
}

// writerKey is a key with its certificate.
type writerKey struct {
	Certificate
	at      uint64 // where it was certified
	revoked uint64 // where it was revoked; 0: it was not
}

// commit is a signature that is right, by everything that it is made of.
type commit struct {
	key       KeyID
	statement string
	signature string
}

// NewKeyring returns the keyring of a deployment, by its name and verifier key. Signing has not begun in it.
func NewKeyring(origin string, deployment note.Verifier) *Keyring {
	return &Keyring{origin: origin, deployment: deployment, keys: map[KeyID]*writerKey{}, facts: map[uint64]bool{}}
}

// Began returns the sequence from which on every event has to be signed; 0 if it has not begun.
func (k *Keyring) Began() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.began
}

// Expect pins where signing began, or begins; 0: that is not known. Whoever runs the bus can withhold that it began, or
// put another stream in the place of this one; from then on, nothing from there on counts without a signature, and
// signing begins nowhere else.
func (k *Keyring) Expect(sequence uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expected = sequence
}

// Expected returns the sequence at which signing began or begins; 0 if that is not pinned.
func (k *Keyring) Expected() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expected
}

// Required reports whether what is stored now has to be signed.
func (k *Keyring) Required() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.began != 0 || k.expected != 0
}

// Verifications returns how many signatures were verified, which costs about 50 µs each: one for each commit.
func (k *Keyring) Verifications() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// Add adds a stored event to the keyring, if it is a fact about writers' keys; others are ignored, and so is what was
// added before. Facts are added in the order of the stream, and only those that Check has passed. It fails, and changes
// nothing, if the event contradicts what was added before it, or a certificate is not the deployment's.
func (k *Keyring) Add(event *lockboxv1.Event, sequence uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if sequence <= k.seen {
		return nil
	}
	learn, err := k.news(event, sequence)
	if err != nil {
		return fmt.Errorf("the event %d about writers' keys: %w", sequence, err)
	}
	if learn != nil {
		learn()
		k.seen, k.facts[sequence] = sequence, true
	}
	return nil
}

// news returns what a fact about keys changes; nil for other events. It fails if the fact contradicts what is known.
func (k *Keyring) news(event *lockboxv1.Event, sequence uint64) (learn func(), err error) {
	switch fact := event.GetFact().(type) {
	case *lockboxv1.Event_SigningBegan:
		certificates, err := k.beginning(fact.SigningBegan)
		if err != nil {
			return nil, err
		}
		if k.expected != 0 && k.expected != sequence {
			return nil, broken(RuleUnknownKey, "signing begins at event %d, and nowhere else", k.expected)
		}
		return func() {
			k.began, k.first = sequence, firstOf(certificates)
			k.certified(sequence, certificates...)
		}, nil
	case *lockboxv1.Event_WriterCertified:
		if k.began == 0 {
			return nil, broken(RuleUnknownKey, "signing has not begun")
		}
		c, err := k.open(fact.WriterCertified.GetCertificate())
		if err != nil {
			return nil, err
		}
		if k.keys[IDOf(c.Key)] != nil {
			return nil, broken(RuleUnknownKey, "the key %s was certified before", IDOf(c.Key))
		}
		return func() { k.certified(sequence, c) }, nil
	case *lockboxv1.Event_WriterRevoked:
		id := fact.WriterRevoked.GetKeyId()
		if len(id) != len(KeyID{}) || k.keys[KeyID(id)] == nil {
			return nil, broken(RuleUnknownKey, "no key %x was certified", id)
		}
		return func() {
			if key := k.keys[KeyID(id)]; key.revoked == 0 {
				key.revoked = sequence
			}
		}, nil
	}
	return nil, nil //nolint:nilnil // nothing is learnt
}

func (k *Keyring) certified(sequence uint64, certificates ...Certificate) {
	for _, c := range certificates {
		k.keys[IDOf(c.Key)] = &writerKey{Certificate: c, at: sequence}
	}
}

// Pinned reports whether a verifier key, as it is written, is that of the keyring's deployment by its name and hash.
func (k *Keyring) Pinned(verifierKey string) bool {
	named, err := note.NewVerifier(verifierKey)
	return err == nil && named.Name() == k.deployment.Name() && named.KeyHash() == k.deployment.KeyHash()
}

// beginning returns the certificates with which signing begins.
func (k *Keyring) beginning(fact *lockboxv1.SigningBegan) ([]Certificate, error) {
	if k.began != 0 {
		return nil, broken(RuleUnknownKey, "signing has begun before")
	}
	if !k.Pinned(fact.GetDeploymentKey()) {
		return nil, broken(RuleUnknownKey, "signing begins under %q, which is not the deployment's key %s+%08x",
			fact.GetDeploymentKey(), k.deployment.Name(), k.deployment.KeyHash())
	}
	ids := map[KeyID]bool{}
	var all []Certificate
	for _, text := range fact.GetCertificates() {
		c, err := k.open(text)
		if err != nil {
			return nil, err
		}
		if ids[IDOf(c.Key)] {
			return nil, broken(RuleUnknownKey, "the key %s is certified twice", IDOf(c.Key))
		}
		ids[IDOf(c.Key)] = true
		all = append(all, c)
	}
	return all, nil
}

func (k *Keyring) open(text string) (Certificate, error) {
	c, err := OpenCertificate([]byte(text), k.deployment)
	if err != nil {
		return c, broken(RuleUnknownKey, "%v", err)
	}
	if c.Origin != k.origin {
		return c, broken(RuleUnknownKey, "the certificate is of %q, not of %q", c.Origin, k.origin)
	}
	return c, nil
}

// Check refuses an event, with an *Error that names the rule, unless it is signed as it has to be where it stands.
// Before signing began, nothing has to be, but there are no facts about keys. Previous returns the [Hash] of the
// content of the aggregate's version before; it is called only for an event of a decided kind with a version above 1,
// and its own error is returned as it is.
//
// Facts about writers' keys up to this event, without it, have to be added before; later ones do no harm.
func (k *Keyring) Check(m Message, previous func() ([sha256.Size]byte, error)) error {
	return k.check(m, func(b block) error {
		var want [sha256.Size]byte
		if !fact.Reported(m.Event.GetKind()) && m.Event.GetVersion() > 1 {
			var err error
			if want, err = previous(); err != nil {
				return err
			}
		}
		return follows(b, want)
	})
}

// CheckAlone is Check without the rule about the event before it, for whoever sees this one alone. An event that passes
// was written by its writer, but perhaps for another history of its fact.
func (k *Keyring) CheckAlone(m Message) error {
	return k.check(m, func(block) error { return nil })
}

func (k *Keyring) check(m Message, previous func(block) error) error {
	keys, required, err := k.at(m)
	if err != nil {
		return err
	}
	if !required {
		return k.contradicts(m)
	}
	return k.judge(judged{
		subject: m.Subject, stored: m.Stored, at: m.Event.GetTime().AsTime(), previous: previous,
		writes: func(w fact.Writer) bool {
			return fact.TypeOf(m.Event) == "" || w == fact.WriterOf(m.Event)
		},
		find: keys,
		position: func(key *writerKey) error {
			if key.revoked != 0 && m.Sequence > key.revoked {
				return broken(RuleTime, "the key %s of %s was revoked by event %d", IDOf(key.Key), key.Identity, key.revoked)
			}
			return k.contradicts(m)
		},
	})
}

// contradicts refuses a fact about keys that Add refuses after the facts before it, or has refused: with the key of the
// one who writes them, somebody could store a certificate that is not the deployment's.
func (k *Keyring) contradicts(m Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.facts[m.Sequence] {
		return nil
	}
	learn, err := k.news(m.Event, m.Sequence)
	if err == nil && learn != nil && m.Sequence <= k.seen {
		return broken(RuleUnknownKey, "it was not true of writers' keys where it stands")
	}
	return err
}

// at returns the keys that are certified at a message's place, and whether the message has to be signed.
func (k *Keyring) at(m Message) (find func(KeyID) *writerKey, required bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if fact := m.Event.GetSigningBegan(); fact != nil && m.Sequence != k.began {
		// It brings the keys by which it is judged; there is only one.
		own := &Keyring{origin: k.origin, deployment: k.deployment, began: k.began}
		certificates, err := own.beginning(fact)
		if err != nil {
			return nil, false, err
		}
		return func(id KeyID) *writerKey {
			i := slices.IndexFunc(certificates, func(c Certificate) bool { return IDOf(c.Key) == id })
			if i < 0 || id != firstOf(certificates) {
				return nil
			}
			return &writerKey{Certificate: certificates[i]}
		}, true, nil
	}
	find = func(id KeyID) *writerKey {
		k.mu.Lock()
		defer k.mu.Unlock()
		key := k.keys[id]
		if key == nil || m.Sequence <= key.at && (m.Sequence != k.began || id != k.first) {
			return k.introduced(m.Event.GetWriterCertified(), id)
		}
		found := *key
		return &found
	}
	required = k.began != 0 && m.Sequence >= k.began || k.expected != 0 && m.Sequence >= k.expected
	return find, required, nil
}

// introduced returns the key of a certificate that is recorded with a signature by that very key: what lets it count is
// the deployment's signature, and a writer whose other keys have ended can go on.
func (k *Keyring) introduced(fact *lockboxv1.WriterCertified, id KeyID) *writerKey {
	if fact == nil {
		return nil
	}
	c, err := k.open(fact.GetCertificate())
	if err != nil || IDOf(c.Key) != id {
		return nil
	}
	return &writerKey{Certificate: c}
}

// firstOf is the id of the first key that is certified for the writer of SigningBegan; zero if none is.
func firstOf(certificates []Certificate) KeyID {
	for _, c := range certificates {
		if fact.Writer(c.Identity) == fact.Orchestrator {
			return IDOf(c.Key)
		}
	}
	return KeyID{}
}

// CheckStatement refuses a message that is no event, such as the guard's lease, unless this writer signed it for a time
// at which its key counts. What is stored in the stream is judged by Check.
func (k *Keyring) CheckStatement(subject string, stored []byte, by fact.Writer, at time.Time) error {
	return k.judge(judged{
		subject: subject, stored: stored, at: at,
		writes: func(w fact.Writer) bool { return w == by },
		find: func(id KeyID) *writerKey {
			k.mu.Lock()
			defer k.mu.Unlock()
			if key := k.keys[id]; key != nil {
				found := *key
				return &found
			}
			return nil
		},
		previous: func(b block) error {
			if b.previous != [sha256.Size]byte{} || b.count != 1 {
				return broken(RulePrevious, "it was not signed as a statement of its own")
			}
			return nil
		},
		position: func(key *writerKey) error {
			if key.revoked != 0 {
				return broken(RuleTime, "the key %s of %s was revoked by event %d", IDOf(key.Key), key.Identity, key.revoked)
			}
			return nil
		},
	})
}

// judged is a message with what its signature has to be like.
type judged struct {
	subject  string
	stored   []byte
	at       time.Time
	find     func(KeyID) *writerKey
	writes   func(fact.Writer) bool
	position func(*writerKey) error
	previous func(block) error
}

func (k *Keyring) judge(m judged) error {
	content, data, err := Content(m.stored)
	switch {
	case err != nil:
		return broken(RuleBlock, "%v", err)
	case data == nil:
		return broken(RuleUnsigned, "it has no signature")
	}
	b, ok := parseBlock(data)
	if !ok {
		return broken(RuleBlock, "its signature has not the form of one")
	}
	key := m.find(b.key)
	switch {
	case key == nil:
		return broken(RuleUnknownKey, "no key %s is certified there", b.key)
	case !m.writes(fact.Writer(key.Identity)):
		return broken(RuleWriter, "it is signed by %s, which does not write this", key.Identity)
	case m.at.Before(key.From) || !m.at.Before(key.Until):
		return broken(RuleTime, "it is of %s; the key %s of %s counts from %s until %s", m.at.UTC().Format(time.RFC3339),
			b.key, key.Identity, key.From.UTC().Format(time.RFC3339), key.Until.UTC().Format(time.RFC3339))
	}
	if err := m.position(key); err != nil {
		return err
	}
	if err := m.previous(b); err != nil {
		return err
	}
	root, ok := climb(leaf(k.origin, m.subject, b.previous, Hash(content)), b.index, b.count, b.path)
	if !ok {
		return broken(RulePath, "its path is not that of message %d of %d", b.index, b.count)
	}
	if !k.verify(commit{b.key, string(statement(b.count, root)), string(b.signature)}, key.Key) {
		return broken(RuleSignature, "the signature is not that of the key %s over these bytes on %q", b.key,
			strings.ToValidUTF8(m.subject, "?"))
	}
	return nil
}

// verify verifies a signature, unless it did so a moment ago.
func (k *Keyring) verify(c commit, key ed25519.PublicKey) bool {
	k.mu.Lock()
	for _, seen := range k.verified {
		if seen == c {
			k.mu.Unlock()
			return true
		}
	}
	k.count++
	k.mu.Unlock()
	if !ed25519.Verify(key, []byte(c.statement), []byte(c.signature)) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.verified[k.next] = c
	k.next = (k.next + 1) % len(k.verified)
	return true
}
