package witness

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mostRecent is how many cosigned checkpoints of each log are remembered. When a log was restored from a backup, the
// first that it signs is most often smaller than the last that was cosigned: the one of its size convicts it.
const mostRecent = 1000

func (w *Witness) recentDir(origin string) string { return strings.TrimSuffix(w.file(origin), ".json") }

func recentFile(dir string, size int64) string {
	return filepath.Join(dir, strconv.FormatInt(size, 10)+".json")
}

// remember keeps a cosigned checkpoint, and forgets the smallest if there are too many.
func (w *Witness) remember(s state) error {
	dir := w.recentDir(s.Origin)
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// One that is torn by a crash is not recalled.
	if err := os.WriteFile(recentFile(dir, s.Tree.N), data, 0o600); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= mostRecent {
		return err
	}
	least := s.Tree.N
	for _, e := range entries {
		if n, err := strconv.ParseInt(strings.TrimSuffix(e.Name(), ".json"), 10, 64); err == nil {
			least = min(least, n)
		}
	}
	return os.Remove(recentFile(dir, least))
}

// recall returns the checkpoint of that size that was cosigned, if it is remembered; otherwise the last one.
func (w *Witness) recall(last state, size int64) state {
	if size >= last.Tree.N {
		return last
	}
	data, err := os.ReadFile(recentFile(w.recentDir(last.Origin), size)) // #nosec G304 -- in the operator's directory
	var had state
	if err == nil {
		err = json.Unmarshal(data, &had)
	}
	if err == nil && had.Origin != last.Origin {
		err = errors.New("it belongs to another log")
	}
	if err != nil {
		return last
	}
	return had
}
