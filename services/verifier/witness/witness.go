// Package witness is a small C2SP tlog-witness: it cosigns a log's checkpoint if the log signed it and it extends the
// last one that the witness cosigned, and so never cosigns two histories. A customer or a third party runs it; it
// learns only tree sizes and root hashes.
package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	mostBody  = 128 << 10 // bytes; the longest proof and 16 signatures of 5 kB fit
	mostProof = 63        // hashes, the protocol's limit
)

// Witness cosigns checkpoints with one key and remembers the last one of each log.
type Witness struct {
	key  *merkle.Cosigner
	logs map[string]*merkle.Policy // by origin
	dir  string
	lock *os.File
	now  func() time.Time
	// Say is told what its operator must know; alarm: a log was caught. Nil: nobody is told.
	Say func(alarm bool, what string)

	mu      sync.Mutex // serializes checkpoints
	metrics metrics
}

// Open opens and locks the state in dir. The witness cosigns for the logs with the given public keys: those of one log
// are in one text, a line each.
func Open(dir string, key *merkle.Cosigner, logKeys []string, now func() time.Time) (*Witness, error) {
	w := &Witness{key: key, logs: map[string]*merkle.Policy{}, dir: dir, now: now}
	for _, k := range logKeys {
		p, err := merkle.KeysAlone(k)
		if err != nil {
			return nil, fmt.Errorf("witness: the log's key %q: %w", k, err)
		}
		if w.logs[p.Origin()] != nil {
			return nil, fmt.Errorf("witness: two keys for the log %s", p.Origin())
		}
		w.logs[p.Origin()] = p
	}
	if len(w.logs) == 0 {
		return nil, errors.New("witness: at least one log key is required")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor
		return nil, errors.Join(fmt.Errorf("witness: %s is in use by another process: %w", dir, err), lock.Close())
	}
	w.lock = lock
	return w, nil
}

// Close releases the state directory for other processes.
func (w *Witness) Close() error { return w.lock.Close() }

// Handler serves POST /add-checkpoint, and to monitors GET /<SHA-256 of the origin, in hex>/checkpoint: the last
// checkpoint that it cosigned, with the cosignature.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{origin}/checkpoint", func(out http.ResponseWriter, r *http.Request) {
		signed, err := w.cosigned(r.PathValue("origin"))
		switch {
		case err != nil:
			w.say(false, err.Error())
			http.Error(out, "not available now", http.StatusServiceUnavailable)
		case signed == "":
			http.Error(out, "no checkpoint of such a log was cosigned here", http.StatusNotFound)
		default:
			out.Header().Set("Content-Type", "text/plain; charset=utf-8")
			out.Header().Set("Cache-Control", "no-store")
			_, _ = io.WriteString(out, signed) // the client may be gone
		}
	})
	mux.HandleFunc("POST /add-checkpoint", func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, mostBody))
		if err != nil {
			w.metrics.answered(http.StatusBadRequest)
			http.Error(out, "the request is too long or ended early", http.StatusBadRequest)
			return
		}
		line, err := w.add(body)
		w.metrics.answered(statusOf(err))
		var no *refused
		switch {
		case errors.As(err, &no) && no.status == http.StatusConflict:
			out.Header().Set("Content-Type", "text/x.tlog.size")
			out.WriteHeader(http.StatusConflict)
			_, _ = fmt.Fprintf(out, "%d\n", no.size)
		case errors.As(err, &no):
			http.Error(out, no.why, no.status)
		case err != nil:
			w.say(false, err.Error())
			http.Error(out, "not available now", http.StatusServiceUnavailable)
		default:
			out.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = out.Write(line) // #nosec G705 -- a signature; the client may be gone
		}
	})
	return mux
}

// refused is an error response of the protocol.
type refused struct {
	status int
	why    string
	size   int64 // of the last cosigned checkpoint, with StatusConflict
}

func (r *refused) Error() string { return r.why }

func no(status int, format string, args ...any) error {
	return &refused{status: status, why: fmt.Sprintf(format, args...)}
}

// add cosigns a checkpoint, or returns why it is refused.
func (w *Witness) add(body []byte) (line []byte, err error) {
	old, proof, signed, err := parse(body)
	if err != nil {
		return nil, err
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	policy := w.logs[origin]
	if policy == nil {
		return nil, no(http.StatusNotFound, "there is no log of that name here")
	}
	c, err := policy.Open(signed)
	var wrong *merkle.ProofError
	switch {
	case errors.As(err, &wrong) && wrong.Part == merkle.Format:
		return nil, no(http.StatusBadRequest, "not a checkpoint: %s", wrong.Reason)
	case err != nil:
		return nil, no(http.StatusForbidden, "the log did not sign it")
	}
	if old > c.Tree.N {
		return nil, no(http.StatusBadRequest, "the checkpoint is older than the old size")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last, err := w.last(origin)
	if err != nil {
		return nil, err
	}
	trusted, err := policy.Trusted(signed)
	if err != nil {
		return nil, err
	}
	grown := merkle.CheckGrowth(last.Tree, c.Tree, proof)
	if had := w.recall(last, c.Tree.N); c.Tree.N == had.Tree.N && c.Tree.Hash != had.Tree.Hash {
		w.convict(had, c.Tree, trusted, proof)
	} else if old == last.Tree.N && grown != nil {
		w.convict(last, c.Tree, trusted, proof)
	}
	switch {
	case old != last.Tree.N:
		return nil, &refused{status: http.StatusConflict, why: "not the last size", size: last.Tree.N}
	case grown != nil:
		return nil, no(http.StatusUnprocessableEntity, "it does not follow: %v", grown)
	}
	at := w.now()
	line, err = w.key.Line(signed, at)
	if err != nil {
		return nil, err
	}
	// The state is stored before the cosignature is released: otherwise a crash could lead to two histories being
	// cosigned.
	is := state{origin, c.Tree, string(trusted) + string(line)}
	if err := w.keep(is); err != nil {
		return nil, err
	}
	if err := w.remember(is); err != nil { // which only makes evidence better
		w.say(false, fmt.Sprintf("what was cosigned is not remembered: %v", err))
	}
	w.metrics.cosigned(origin, c.Tree.N, at)
	return line, nil
}

func statusOf(err error) int {
	var no *refused
	switch {
	case errors.As(err, &no):
		return no.status
	case err != nil:
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func (w *Witness) say(alarm bool, what string) {
	if w.Say != nil {
		w.Say(alarm, what)
	}
}

// cosigned returns the last cosigned checkpoint of the log whose origin has this hash; empty if there is none.
func (w *Witness) cosigned(hash string) (string, error) {
	for origin := range w.logs {
		if sum := sha256.Sum256([]byte(origin)); hex.EncodeToString(sum[:]) == hash {
			w.mu.Lock()
			defer w.mu.Unlock()
			last, err := w.last(origin)
			return last.Note, err
		}
	}
	return "", nil
}

// parse reads a request body: `old <size>`, a consistency proof, an empty line and a checkpoint.
func parse(body []byte) (old int64, proof []tlog.Hash, signed []byte, err error) {
	bad := no(http.StatusBadRequest, "want old <size>, a proof, an empty line and a checkpoint")
	head, signed, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, is := strings.CutPrefix(lines[0], "old ")
	old, wrong := strconv.ParseInt(size, 10, 64)
	if !found || !is || wrong != nil || old < 0 || strconv.FormatInt(old, 10) != size || len(lines)-1 > mostProof {
		return 0, nil, nil, bad
	}
	proof = []tlog.Hash{}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return 0, nil, nil, bad
		}
		proof = append(proof, tlog.Hash(hash))
	}
	return old, proof, signed, nil
}

// state is the last cosigned tree of a log, as stored.
type state struct {
	Origin string    `json:"origin"`
	Tree   tlog.Tree `json:"tree"`
	// Note is the cosigned checkpoint, with the signatures of the log and of the witness. States of earlier versions
	// lack it.
	Note string `json:"note,omitempty"`
}

func (w *Witness) file(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(w.dir, hex.EncodeToString(sum[:16])+".json")
}

func (w *Witness) last(origin string) (s state, err error) {
	data, err := os.ReadFile(w.file(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return state{Origin: origin, Tree: merkle.EmptyTree()}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && s.Origin != origin {
		err = fmt.Errorf("it belongs to %s", s.Origin)
	}
	if err != nil {
		// Without the state nothing may be cosigned.
		return state{}, fmt.Errorf("witness: the state of %s: %w", origin, err)
	}
	return s, nil
}

func (w *Witness) keep(s state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.Replace(w.file(s.Origin), data, 0o600)
}
