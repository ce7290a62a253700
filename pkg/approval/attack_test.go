package approval_test

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/longtest"
)

// Whoever holds every key of the provider can write what they like. 100,000 times they change what was signed, what
// signed it or whose keys there are, and the log vouches for the result: it is refused each time.
func TestNoMutationIsAccepted(t *testing.T) {
	const parts = 10
	for part := range parts {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			random := longtest.Random(t)
			world := newWorld(t, part)
			for range longtest.Count(100_000 / parts) {
				world.mutate(t, random)
			}
		})
	}
}

// world is an approval that holds, and what it rests on.
type world struct {
	file    approval.File
	facts   approval.Facts
	pin     [32]byte
	chain   *approval.Chain
	request approval.Terms
}

// newWorld has a chain of a genesis, an addition and a demand; which key approves depends on the part.
func newWorld(t *testing.T, part int) *world {
	t.Helper()
	s, carl := at.Begin(), at.New("carl", at.Algorithms[part%len(at.Algorithms)])
	s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
	s.Seen(25, 0)
	s.Seen(30, at.Delay+2e9)
	s.Add(35, demanding(approval.DemandSignatures), s.Otto)
	w := &world{pin: s.Fingerprint(), request: at.Terms()}
	w.file, w.facts = s.File()
	w.facts.Approvals[0].Stored = carl.Store(40, s.Decide(approval.Approve, "carl", carl))
	w.file.Approvals[0] = w.facts.Approvals[0].Signed
	w.chain = fold(t, s)
	text, err := w.file.Encode()
	must(t, err)
	if _, err := approval.Verify(text, &w.pin, w.facts); err != nil {
		t.Fatal(err)
	}
	return w
}

// mutate changes one thing, and fails if the result is accepted.
func (w *world) mutate(t *testing.T, random *rand.Rand) {
	t.Helper()
	if random.IntN(20) == 0 { // dearer, since the chain has to be folded anew
		entries := slices.Clone(w.facts.Keys)
		i := random.IntN(len(entries))
		entries[i].Signed = altered(random, entries[i].Signed, entries[random.IntN(len(entries))].Signed)
		if slices.EqualFunc(entries, w.facts.Keys, equal) {
			return
		}
		if c, err := approval.Fold(entries, w.facts.Sightings); err == nil && c.Fingerprint() == w.pin {
			t.Fatalf("a changed chain is accepted: %+v", entries)
		}
		return
	}
	stored := w.facts.Approvals[0].Stored
	stored.Signed = altered(random, stored.Signed, w.facts.Keys[random.IntN(len(w.facts.Keys))].Signed)
	if equal(stored, w.facts.Approvals[0].Stored) {
		return
	}
	if a, err := w.chain.Approves(stored); err == nil {
		t.Fatalf("a changed approval is accepted: %+v", a)
	}
}

func equal(a, b approval.Stored) bool {
	return a.Sequence == b.Sequence && alike(a.Signed, b.Signed)
}

// altered changes one part of what is signed: its text, its signatures, or something of another's.
func altered(random *rand.Rand, s, other approval.Signed) approval.Signed {
	s.Signatures = slices.Clone(s.Signatures)
	i := random.IntN(len(s.Signatures))
	signature := &s.Signatures[i]
	switch random.IntN(12) {
	case 0:
		s.Statement = other.Statement
	case 1:
		s.Signatures = slices.Clone(other.Signatures)
	case 2:
		s.Signatures = slices.Delete(s.Signatures, i, i+1)
	case 3:
		s.Signatures = append(s.Signatures, *signature)
	case 4:
		signature.Key = other.Signatures[random.IntN(len(other.Signatures))].Key
	case 5:
		signature.AuthenticatorData = flipped(random, signature.AuthenticatorData)
	case 6:
		signature.ClientData = flipped(random, signature.ClientData)
	case 7, 8:
		signature.Bytes = flipped(random, signature.Bytes)
	case 9: // a digit or letter for another, so that the text often stays well-formed
		s.Statement = replaced(random, s.Statement, "0123456789abcdef")
	case 10:
		s.Statement = replaced(random, s.Statement, ` "\:,{}[]-Zé`)
	default:
		from, to := random.IntN(len(s.Statement)), random.IntN(len(s.Statement))
		s.Statement = s.Statement[:min(from, to)] + s.Statement[max(from, to):]
	}
	return s
}

// flipped changes a bit of what base64url stands for, adds a byte or takes one away.
func flipped(random *rand.Rand, s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return "AAAA"
	}
	switch i := random.IntN(len(b)); random.IntN(8) {
	case 0:
		b = append(b, byte(random.Uint32()))
	case 1:
		b = slices.Delete(b, i, i+1)
	default:
		b[i] ^= 1 << random.IntN(8)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func replaced(random *rand.Rand, s, by string) string {
	letters := strings.Split(by, "")
	i := random.IntN(len(s))
	return s[:i] + letters[random.IntN(len(letters))] + s[i+1:]
}
