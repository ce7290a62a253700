package verifier

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
)

// Suspects counts what is suspected of a log that shows this as the bytes of these events.
func Suspects(statements []merkle.Statement, body []byte, pinned *signed.Pinned) (n int, err error) {
	var b merkle.Bundle
	if err := json.Unmarshal(body, &b); err != nil {
		return 0, err
	}
	p := &pass{w: &Watcher{pinned: pinned}, fold: &fold{stories: map[string]*story{}}}
	if err := p.certified(b.Writers); err != nil {
		return 0, err
	}
	for i := range min(len(b.Events), len(statements)) {
		found, failed := p.take(statements[i], b.Events[i])
		n += len(found)
		if err = errors.Join(err, failed); errors.Is(failed, ErrInconclusive) {
			return n, err
		}
	}
	var abouts []string
	for about := range p.stories {
		abouts = append(abouts, about)
	}
	found, _ := p.check(abouts, func(string) bool { return true })
	return n + len(found), err
}

// Counted reports whether a watcher checks that the versions of this kind are 1, 2, 3 ….
func Counted(kind string) bool { return slices.Contains(decidedKinds, kind) }
