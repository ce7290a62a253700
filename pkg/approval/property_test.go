package approval_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/longtest"
)

// history is a chain that grew by chance, with what was tried and refused.
type history struct {
	*at.Story
	chain *approval.Chain
	// keys are all there are, by name, whether they were enrolled or not.
	keys []*at.Key
}

// grown lets people try some changes of keys at random, with signatures of whomever; what is refused is not stored.
func grown(t *testing.T, random *rand.Rand) *history {
	t.Helper()
	h := &history{Story: at.Begin()}
	h.keys = []*at.Key{h.Anna, h.Otto, h.Offline}
	sequence, elapsed := uint64(10), time.Duration(0)
	for range 40 {
		sequence += 1 + random.Uint64N(3)
		elapsed += time.Duration(random.Int64N(int64(40 * time.Hour)))
		if random.IntN(2) == 0 {
			h.Seen(sequence, elapsed)
			continue
		}
		h.chain = fold(t, h.Story)
		if change, keys := h.attempt(random); change.Change != "" {
			entry := h.Entry(sequence, change, keys...)
			if _, err := h.chain.Extend(entry); err == nil {
				h.Entries = append(h.Entries, entry)
			}
		}
	}
	h.chain = fold(t, h.Story)
	return h
}

func (h *history) attempt(random *rand.Rand) (c approval.KeyChange, signers []*at.Key) {
	pick := func() *at.Key { return h.keys[random.IntN(len(h.keys))] }
	names, roles := []string{"anna", "otto", "carl", "dora"}, []string{approval.Administrator, approval.Approver}
	role := roles[random.IntN(2)]
	fresh := func() *at.Key {
		k := at.New("key "+string(rune('a'+len(h.keys))), at.Ed25519)
		h.keys = append(h.keys, k)
		signers = append(signers, k)
		return k
	}
	switch random.IntN(5) {
	case 0:
		c = adding(fresh().Enrol(names[random.IntN(len(names))], role))
	case 1:
		c = removing(pick())
	case 2:
		c = approval.KeyChange{Change: approval.RecoverKeys,
			Keys: []approval.Enrolment{fresh().Enrol("dora", approval.Administrator)}}
	case 3:
		c = approval.KeyChange{Change: approval.ReplaceRecovery, Recovery: []approval.Key{fresh().Key}}
	default:
		demands := []approval.Demand{approval.DemandNone, approval.DemandSignatures, approval.DemandCommandLine}
		c = demanding(demands[random.IntN(3)])
	}
	switch random.IntN(3) { // often those who may, so that something happens
	case 0:
		signers = append(signers, h.Anna, h.Otto)
	case 1:
		signers = append(signers, h.Offline)
	default:
		for _, e := range h.chain.Keys() { // who came later
			i := slices.IndexFunc(h.keys, func(k *at.Key) bool { return k.ID() == e.ID })
			if e.Added > 10 && !slices.Contains(signers, h.keys[i]) && random.IntN(2) == 0 {
				signers = append(signers, h.keys[i])
			}
		}
	}
	return c, signers
}

// What is not shown never lets more count: of a key, of what is demanded, of the recovery key.
func TestWithFewerCheckpointsNothingMoreCounts(t *testing.T) {
	random, grew, narrowed := longtest.Random(t), 0, 0
	for range longtest.Count(60) {
		h := grown(t, random)
		if len(h.Entries) > 2 {
			grew++
		}
		var some []approval.Sighting
		for _, s := range h.Sightings {
			if random.IntN(3) > 0 {
				some = append(some, s)
			}
		}
		less, err := approval.Fold(h.Entries, some)
		if err != nil {
			narrowed++ // closed
			continue
		}
		all, fewer := h.chain.Keys(), false
		for sequence := range uint64(120) {
			for i, k := range less.Keys() {
				if k.Counts(sequence) && !all[i].Counts(sequence) {
					t.Fatalf("with %d of %d checkpoints %s counts at event %d", len(some), len(h.Sightings), k.ID, sequence)
				}
				fewer = fewer || all[i].Counts(sequence) && !k.Counts(sequence)
			}
			if rank(less.Demand(sequence)) < rank(h.chain.Demand(sequence)) {
				t.Fatalf("at event %d %q is demanded instead of %q", sequence, less.Demand(sequence), h.chain.Demand(sequence))
			}
		}
		if fewer {
			narrowed++
		}
	}
	if grew < 5 || narrowed < 5 {
		t.Errorf("of all histories, %d grew, and %d let less count with fewer checkpoints", grew, narrowed)
	}
}

func rank(d approval.Demand) int {
	return slices.Index([]approval.Demand{approval.DemandNone, approval.DemandSignatures, approval.DemandCommandLine}, d)
}

// However a chain grew: who was not there from the beginning was signed for, waited, and is gone once removed; and
// whoever folds it as a whole sees what they see who folded it step by step.
func TestEveryKeyThatCountsWasSignedForAndWaited(t *testing.T) {
	random, later, removed := longtest.Random(t), 0, 0
	for range longtest.Count(60) {
		h := grown(t, random)
		step, err := approval.Fold(h.Entries[:1], h.Sightings)
		must(t, err)
		for _, e := range h.Entries[1:] {
			step, err = step.Extend(e)
			must(t, err)
		}
		for i, k := range h.chain.Keys() {
			if s := step.Keys()[i]; s.ID != k.ID || s.From != k.From || s.Removed != k.Removed {
				t.Fatalf("%+v step by step, %+v as a whole", s, k)
			}
			if k.Removed != 0 {
				removed++
				if k.Counts(k.Removed) || k.Counts(1<<40) {
					t.Fatalf("%+v counts although it was removed", k)
				}
			}
			if k.Added == 10 || k.From == 0 {
				continue
			}
			later++
			at, is := slices.BinarySearchFunc(h.Entries, k.Added, func(e approval.Stored, n uint64) int {
				return int(e.Sequence) - int(n)
			})
			if !is || !slices.ContainsFunc(h.Entries[at].Signatures, func(s approval.Signature) bool { return s.Key == k.ID }) ||
				len(h.Entries[at].Signatures) < 2 {
				t.Fatalf("nobody signed for %+v", k)
			}
			if !waited(h, k) {
				t.Fatalf("%+v did not wait", k)
			}
		}
	}
	if later < 5 || removed < 5 {
		t.Errorf("of all histories, %d keys came later and %d were removed", later, removed)
	}
}

// waited looks at the story's checkpoints, whose witnesses are honest, in its own way.
func waited(h *history, k approval.Enrolled) bool {
	first := slices.IndexFunc(h.Sightings, func(s approval.Sighting) bool { return s.Size >= k.Added })
	last := slices.IndexFunc(h.Sightings, func(s approval.Sighting) bool { return s.Size+1 == k.From })
	return first >= 0 && last >= 0 &&
		!h.Sightings[last].Cosigned[0].At.Before(h.Sightings[first].Cosigned[0].At.Add(at.Delay))
}
