package merkle

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestASubjectSaysWhatItIsAbout(t *testing.T) {
	type is struct {
		about   string
		version uint64
	}
	for subject, want := range map[string]is{
		"lockbox.event.bank.request.r1.1.AccessRequested":          {"lockbox.event.bank.request.r1", 1},
		"lockbox.event.bank.request.r1.0.AccessRequested":          {"lockbox.event.bank.request.r1", 0},
		"lockbox.event.bank.request.r1.01.AccessRequested":         {"lockbox.event.bank.request.r1", 0},
		"lockbox.event.bank.request.r1.+1.AccessRequested":         {"lockbox.event.bank.request.r1", 0},
		"lockbox.event.bank.request.r1.9007199254740991.X":         {"lockbox.event.bank.request.r1", 1<<53 - 1},
		"lockbox.event.bank.request.r1.9007199254740992.X":         {"lockbox.event.bank.request.r1", 0},
		"lockbox.event.bank.request.r1.99999999999999999999999.X":  {"lockbox.event.bank.request.r1", 0},
		"lockbox.event.bank.delivery.2f.019cadc7-9c00.MailHandled": {"lockbox.event.bank.delivery.2f", 0},
		"lockbox.event._.checkpoint.log.17.CheckpointSigned":       {"lockbox.event._.checkpoint.log", 17},
		"lockbox.event.bank.request.r1.3":                          {"lockbox.event.bank.request.r1", 3},
		"lockbox.event.bank.request.r1":                            {"lockbox.event.bank.request.r1", 0},
		"lockbox.event.bank.request":                               {},
		"stray":                                                    {},
	} {
		if about, version := About(subject); about != want.about || version != want.version {
			t.Errorf("%s is version %d of %q", subject, version, about)
		}
	}
}

// TestHeadsAreReadFromEntries: what a log that grew has in memory is what its tiles say.
func TestHeadsAreReadFromEntries(t *testing.T) { inEachFormat(t, testHeadsAreReadFromEntries) }

func testHeadsAreReadFromEntries(t *testing.T, format uint8) {
	s := busy(t, format)
	store, tree := s.stores["bank"], s.trees["bank"]
	read, err := ReadHeads(store, tree)
	must(t, err)
	if read.View().Root() != s.logs["bank"].Heads().View().Root() || read.View().Root() == (tlog.Hash{}) {
		t.Error("the heads are others")
	}
	for _, path := range []string{"tile/0/000", "tile/entries/000", "tile/entries/001.p/94"} {
		clean := store[path]
		store[path] = append([]byte{clean[0] ^ 1}, clean[1:]...)
		if _, err := ReadHeads(store, tree); err == nil {
			t.Errorf("read from a damaged %s", path)
		}
		store[path] = clean
	}
}
