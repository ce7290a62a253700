package signed

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/fact"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
)

// Pinned judges who wrote single events, for whoever has no stream to follow: by the deployment's verifier key, given
// by other means, and certificates of that key. It cannot know which keys were revoked, nor since when events have to
// be signed.
type Pinned struct {
	origin     string
	deployment note.Verifier
}

// Pin returns who judges by a deployment's verifier key, as it is written. It fails for any other key.
func Pin(verifierKey string) (*Pinned, error) {
	deployment, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return nil, fmt.Errorf("not the verifier key of a deployment: %w", err)
	}
	origin, is := OriginOf(deployment)
	if !is {
		return nil, fmt.Errorf("the key is called %s, which is no deployment’s", deployment.Name())
	}
	return &Pinned{origin, deployment}, nil
}

// Keyring returns an empty keyring under the same key, for whoever follows the stream.
func (p *Pinned) Keyring() *Keyring { return NewKeyring(p.origin, p.deployment) }

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
