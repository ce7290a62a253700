// Package cosign asks witnesses (C2SP tlog-witness) to cosign each checkpoint of the log. They receive only checkpoints
// and consistency proofs. An unavailable witness is retried; the checkpoint is published without its cosignature, and
// clients whose policy requires that cosignature reject it until then.
package cosign

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
)

const (
	lookEvery  = 500 * time.Millisecond
	againAfter = 5 * time.Second
	slowest    = 10 * time.Second
	mostAnswer = 16 << 10 // bytes
)

// Log is *ledger.Ledger.
type Log interface {
	Checkpoint() ([]byte, error)
	Growth(size int64) (ledger.Growth, error)
	Cosign(policy *merkle.Policy, line []byte) error
}

// Seen is when each witness was last seen to have cosigned the newest checkpoint.
type Seen struct {
	mu sync.Mutex
	at map[string]time.Time
}

// NewSeen returns a Seen of no witness.
func NewSeen() *Seen { return &Seen{at: map[string]time.Time{}} }

// At returns when that was; zero if it never was.
func (s *Seen) At(witness string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[witness]
}

func (s *Seen) now(witness string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[witness] = time.Now()
}

// Run asks the policy's witnesses until ctx ends.
func Run(ctx context.Context, log Log, policy *merkle.Policy, seen *Seen, logger *zap.Logger) {
	var running sync.WaitGroup
	for name, url := range policy.Witnesses() {
		w := &witness{name: name, url: strings.TrimSuffix(url, "/") + "/add-checkpoint", log: log, policy: policy,
			logger: logger, seen: seen}
		running.Go(func() { w.run(ctx) })
	}
	running.Wait()
}

type witness struct {
	name, url string
	log       Log
	policy    *merkle.Policy
	logger    *zap.Logger
	seen      *Seen
	// size is the size of the last checkpoint that the witness cosigned, as far as is known.
	size int64
	// done is the text of that checkpoint.
	done string
}

func (w *witness) run(ctx context.Context) {
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = lookEvery
		signed, err := w.log.Checkpoint()
		if err != nil {
			continue
		}
		if text(string(signed)) == w.done {
			w.seen.now(w.name)
			continue
		}
		if err := w.ask(ctx); err == nil {
			w.seen.now(w.name)
		} else if ctx.Err() == nil {
			w.logger.Warn("a witness has not cosigned", zap.String("witness", w.name), zap.Error(err))
			wait = againAfter
		}
	}
}

// text returns the part of a note that its signatures cover.
func text(signed string) string {
	t, _, _ := strings.Cut(signed, "\n\n")
	return t
}

// ask submits the last checkpoint, and once more if the witness reports another old size than ours.
func (w *witness) ask(ctx context.Context) error {
	for again := false; ; again = true {
		g, err := w.log.Growth(w.size)
		if err != nil {
			return err
		}
		status, answer, err := w.post(ctx, body(w.size, g))
		switch {
		case err != nil:
			return err
		case status == http.StatusConflict && !again:
			size, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
			if err != nil {
				return fmt.Errorf("conflict without a size in the response: %q", answer)
			}
			w.size = size
			continue
		case status != http.StatusOK:
			return fmt.Errorf("unexpected HTTP status %d: %q", status, answer)
		}
		if err := w.log.Cosign(w.policy, answer); err != nil {
			return err
		}
		w.done = text(g.Checkpoint)
		lines := strings.SplitN(w.done, "\n", 3)
		w.size, err = strconv.ParseInt(lines[1], 10, 64)
		return err
	}
}

func body(old int64, g ledger.Growth) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, hash := range g.Growth {
		b.WriteString(base64.StdEncoding.EncodeToString(hash[:]) + "\n")
	}
	b.WriteString("\n" + g.Checkpoint)
	return b.Bytes()
}

func (w *witness) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, slowest)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = got.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(got.Body, mostAnswer))
	return got.StatusCode, answer, err
}
