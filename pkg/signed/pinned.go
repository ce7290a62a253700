package signed

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/fact"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
)

// Pinned is what is known of a deployment by other means than its stream: its verifier key and, perhaps, since when
// events are signed. With certificates of that key it judges who wrote single events, for whoever has no stream to
// follow. It cannot know which keys were revoked.
type Pinned struct {
	note.Verifier
	// Key is the same as text, and Origin the deployment's name, which is that of its log.
	Key, Origin string
	// BeganAt is the sequence from which on every event is signed; 0: it is not known.
	BeganAt uint64
}

// beganAt precedes, on a second line, the sequence from which on every event is signed.
const beganAt = "began_at "

// Pin reads a deployment's verifier key, and since when events are signed if a second line says so: what Text returns.
// It fails for any other key.
func Pin(text string) (*Pinned, error) {
	key, began, said := strings.Cut(strings.TrimSpace(text), "\n")
	p := &Pinned{Key: strings.TrimSpace(key)}
	deployment, err := note.NewVerifier(p.Key)
	if err != nil {
		return nil, fmt.Errorf("not the verifier key of a deployment: %w", err)
	}
	if said {
		number, is := strings.CutPrefix(began, beganAt)
		if p.BeganAt, err = strconv.ParseUint(number, 10, 53); !is || err != nil || p.BeganAt == 0 {
			return nil, fmt.Errorf("%q is not %q and the sequence of an event", began, beganAt)
		}
	}
	origin, is := OriginOf(deployment)
	if !is {
		return nil, fmt.Errorf("the key is called %s, which is no deployment’s", deployment.Name())
	}
	p.Origin, p.Verifier = origin, deployment
	return p, nil
}

// Text is what Pin reads.
func (p *Pinned) Text() string {
	if p.BeganAt == 0 {
		return p.Key + "\n"
	}
	return p.Key + "\n" + beganAt + strconv.FormatUint(p.BeganAt, 10) + "\n"
}

// Keyring returns an empty keyring under the same key, for whoever follows the stream.
func (p *Pinned) Keyring() *Keyring {
	k := NewKeyring(p.Origin, p.Verifier)
	k.Expect(p.BeganAt)
	return k
}

// Certified returns who judges events by these certificates. It fails, with an *Error, for one that the deployment's
// key did not sign, and for two of one key.
func (p *Pinned) Certified(certificates []string) (
	judge func(subject string, is *lockboxv1.Event, stored, before []byte) (writer string, err error), err error,
) {
	ring := p.Keyring()
	for _, text := range certificates {
		c, err := ring.open(text)
		if err != nil {
			return nil, err
		}
		if ring.keys[IDOf(c.Key)] != nil {
			return nil, broken(RuleUnknownKey, "the key %s is certified twice", IDOf(c.Key))
		}
		ring.certified(0, c)
	}
	return ring.judgeAlone, nil
}

// judgeAlone judges an event without its place in the stream. Before are the stored bytes of the version before it; nil
// if they are not known: then it is not judged that it was written to follow them.
func (k *Keyring) judgeAlone(subject string, is *lockboxv1.Event, stored, before []byte) (writer string, err error) {
	return writer, k.judge(judged{
		subject: subject, stored: stored, at: is.GetTime().AsTime(),
		writes: func(w fact.Writer) bool {
			writer = string(w)
			return w == fact.WriterOf(is)
		},
		find: func(id KeyID) *writerKey { return k.keys[id] },
		previous: func(b block) error {
			var want [sha256.Size]byte
			switch {
			case is.GetVersion() > 1 && before == nil:
				return nil
			case is.GetVersion() > 1:
				content, _, err := Content(before)
				if err != nil {
					return broken(RulePrevious, "%v", err)
				}
				want = Hash(content)
			}
			return follows(b, want)
		},
		position: func(*writerKey) error { return nil },
	})
}

// follows refuses a block whose event was written to follow another one than it does.
func follows(b block, want [sha256.Size]byte) error {
	if b.previous != want {
		return broken(RulePrevious, "it was written to follow another event than the one that is before it")
	}
	return nil
}
