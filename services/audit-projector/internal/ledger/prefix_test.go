package ledger

import (
	"errors"
	"testing"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/note"
)

// Everybody may read the global tree. Its first entries said how many tenants there were, and are not shown.
func TestGlobalEntriesThatSayHowManyTenantsThereAreStayHidden(t *testing.T) {
	s, k, random := &stream{t: t}, keys(t), chance()
	l := begin(t, s, t.TempDir(), k)
	s.comments(random, 5)
	signsAsBefore(t, l, s, stored)
	for _, path := range []string{"tile/entries/000.p/1"} {
		if data, err := l.Public().GlobalTile(path); !errors.Is(err, ErrNoTree) {
			t.Errorf("%s: %q (%v)", path, data, err)
		}
	}
	if data, err := l.Public().GlobalTile("tile/0/000.p/1"); err != nil || len(data) != 32 {
		t.Errorf("the hash of its entry: %q (%v)", data, err)
	}
	s.comments(random, 5)
	passes(t, l)
	if _, err := l.Public().GlobalTile("tile/entries/000.p/2"); !errors.Is(err, ErrNoTree) {
		t.Errorf("a bundle of both formats: %v", err)
	}
	later, random := &stream{t: t}, chance()
	l = begin(t, later, t.TempDir(), k)
	later.comments(random, 5)
	passes(t, l)
	if data, err := l.Public().GlobalTile("tile/entries/000.p/1"); err != nil || len(data) != 2+1+8+32 {
		t.Errorf("an entry of format 2: %q (%v)", data, err)
	}
	for _, path := range []string{"tile/entries/000.p/2", "tile/0/001", "events/000.p/1", "tile/0/../0/000.p/1"} {
		if _, err := l.Public().GlobalTile(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// A tenant's checkpoint is the tree that stands in its slot, under a name that no reader takes for the log's.
func TestATenantsCheckpointIsNoneOfTheLog(t *testing.T) {
	s, k := &stream{t: t}, keys(t)
	l := begin(t, s, t.TempDir(), k)
	s.comments(chance(), 40)
	passes(t, l)
	seen, err := l.Public().Sighting("tenant-1", 0, 0)
	must(t, err)
	signed, err := l.Public().TenantCheckpoint("tenant-1")
	must(t, err)
	key, err := note.NewVerifier(k.Verifiers[0])
	must(t, err)
	opened, err := note.Open(signed, note.VerifierList(key))
	must(t, err)
	want := merkle.Checkpoint{Origin: origin + "/tenants/tenant-1", Tree: seen.Opening.Tree()}
	if opened.Text != want.Text() {
		t.Errorf("got %q, want %q", opened.Text, want.Text())
	}
	policy, err := k.Policy()
	must(t, err)
	if _, err := policy.Open(signed); err == nil {
		t.Error("it is taken for a checkpoint of the log")
	}
	if _, err := l.Public().TenantCheckpoint("nobody"); !errors.Is(err, ErrNoTree) {
		t.Error(err)
	}
	l.Contradict(ErrDiffers)
	if _, err := l.Public().TenantCheckpoint("tenant-1"); !errors.Is(err, ErrDiffers) {
		t.Errorf("it signs after it was contradicted: %v", err)
	}
}
