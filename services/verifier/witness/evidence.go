package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"golang.org/x/mod/sumdb/tlog"
)

// Kind says how much evidence proves.
type Kind string

const (
	// Fork: the log signed two trees of one size. Both notes convict it, before anybody.
	Fork Kind = "fork"
	// Growth: the log signed a tree of another size, and whoever submitted it had no proof that it grew from the one
	// before. It convicts the log unless the log has such a proof: anybody can submit a checkpoint with a wrong one.
	Growth Kind = "growth"
)

// Evidence is a checkpoint that the log signed and that the witness refused, with the one that it had cosigned.
type Evidence struct {
	Format string    `json:"format"`
	Kind   Kind      `json:"kind"`
	Origin string    `json:"origin"`
	At     time.Time `json:"at"`
	// Tree is what the witness had cosigned, and Cosigned its note; empty if that was cosigned by an earlier version.
	Tree     tlog.Tree `json:"tree"`
	Cosigned string    `json:"cosigned"`
	// Refused is the note that it refused, and Proof the consistency proof that came with it.
	Refused string      `json:"refused"`
	Proof   []tlog.Hash `json:"proof"`
	// File is where it is.
	File string `json:"-"`
}

const (
	evidenceFormat = "lockbox-witness-evidence/v1"
	evidenceDir    = "evidence"
	// mostEvidence bounds what is kept of each kind of each log, so that nobody fills the disk: the first is what counts.
	mostEvidence = 100
)

// convict keeps what was refused. It answers for the witness even if that fails.
func (w *Witness) convict(last state, refused tlog.Tree, signed []byte, proof []tlog.Hash) {
	e := Evidence{
		Format: evidenceFormat, Kind: Growth, Origin: last.Origin, At: w.now().UTC(), Tree: last.Tree, Cosigned: last.Note,
		Refused: string(signed), Proof: proof,
	}
	if refused.N == last.Tree.N {
		e.Kind = Fork
	}
	w.metrics.convicted(e.Origin, e.Kind)
	kept, err := w.keepEvidence(e)
	switch {
	case err != nil:
		w.say(true, fmt.Sprintf("ALARM: refused a checkpoint of %s (%s), and the evidence could not be kept: %v", e.Origin,
			e.Kind, err))
	case kept != "":
		w.say(true, fmt.Sprintf("ALARM: refused a checkpoint of %s of %d entries after one of %d (%s); both notes are in %s",
			e.Origin, refused.N, last.Tree.N, e.Kind, kept))
	}
}

// keepEvidence returns the name of the new file; empty if there is one already, or enough others.
func (w *Witness) keepEvidence(e Evidence) (string, error) {
	dir := filepath.Join(w.dir, evidenceDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	log, text := sha256.Sum256([]byte(e.Origin)), strings.SplitAfter(e.Refused, "\n\n")[0]
	what := sha256.Sum256([]byte(text))
	prefix := fmt.Sprintf("%x-%s-", log[:8], e.Kind)
	others, err := evidenceFiles(dir, prefix)
	if err != nil || len(others) >= mostEvidence {
		return "", err
	}
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, prefix+hex.EncodeToString(what[:16])+".json")
	err = durable.Create(file, append(data, '\n'), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", nil
	}
	return file, err
}

// ReadEvidence returns what is kept in a witness's state directory, sorted by log and kind.
func ReadEvidence(dir string) ([]Evidence, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	files, err := evidenceFiles(filepath.Join(dir, evidenceDir), "")
	if err != nil {
		return nil, err
	}
	var all []Evidence
	for _, file := range files {
		data, err := os.ReadFile(file) // #nosec G304 -- the operator names the directory
		if err != nil {
			return nil, err
		}
		e := Evidence{File: file}
		if json.Unmarshal(data, &e) != nil || e.Format != evidenceFormat {
			return nil, fmt.Errorf("%s is not a witness's evidence", file)
		}
		all = append(all, e)
	}
	return all, nil
}

func evidenceFiles(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), ".json") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, err
}

// EvidenceHelp explains what ReadEvidence finds.
const EvidenceHelp = `Lists the checkpoints that a witness refused because they do not follow from what it had cosigned. A fork is two trees
of one size, both signed by the log, and convinces anybody; growth is one that came without a proof that it grew, and
convicts the log unless it has such a proof. Each file holds both notes: keep it, and show it to those who rely on you.`

// List writes a line for each.
func List(all []Evidence) string {
	if len(all) == 0 {
		return "Nothing was refused.\n"
	}
	var b strings.Builder
	for _, e := range all {
		size := "?"
		if lines := strings.SplitN(e.Refused, "\n", 3); len(lines) == 3 {
			size = lines[1]
		}
		fmt.Fprintf(&b, "%s  %-6s  %q  cosigned %d, refused %q  %s\n", e.At.Format(time.RFC3339), e.Kind, e.Origin, e.Tree.N,
			size, e.File)
	}
	return b.String()
}
