// Package cosign asks witnesses (C2SP tlog-witness) to cosign each checkpoint of the log. They receive only checkpoints
// and consistency proofs. An unavailable witness is retried. A checkpoint is published once its policy is
// satisfied, and cosigned again from time to time while nothing follows it.
package cosign

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
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
	// renewEvery is after what time a witness is asked to cosign a checkpoint again. A cosignature says when its witness
	// knew of nothing newer: of a log that is quiet, nobody could tell otherwise whether an old one is held up to them.
	renewEvery = 5 * time.Minute
)

// Log is *ledger.Ledger.
type Log interface {
	Newest() (signed []byte, size int64, err error)
	Checkpoint() ([]byte, error)
	Growth(size int64) (ledger.Growth, error)
	Cosign(policy *merkle.Policy, line []byte) error
	Passed() time.Time
	Contradict(err error)
}

// Witnesses are those of a policy that have an address.
type Witnesses struct {
	// Log is set before anything is called.
	Log    Log
	policy *merkle.Policy
	all    []*witness
	logger *zap.Logger
	// renewEvery is the constant, but in tests.
	renewEvery time.Duration
}

// New returns the policy's witnesses.
func New(policy *merkle.Policy, logger *zap.Logger) *Witnesses {
	ws := &Witnesses{policy: policy, logger: logger, renewEvery: renewEvery}
	for name, url := range policy.Witnesses() {
		ws.all = append(ws.all, &witness{of: ws, name: name, url: strings.TrimSuffix(url, "/") + "/add-checkpoint"})
	}
	return ws
}

// Seen returns when each witness was last seen to have cosigned the newest checkpoint; zero if it never was.
func (ws *Witnesses) Seen() map[string]time.Time {
	at := map[string]time.Time{}
	for _, w := range ws.all {
		w.mu.Lock()
		at[w.name] = w.seen
		w.mu.Unlock()
	}
	return at
}

// Enough is that of ledger.Witnesses.
func (ws *Witnesses) Enough(signed []byte) bool {
	_, err := ws.policy.Open(signed)
	return err == nil
}

// Run asks each witness for each checkpoint until ctx ends.
func (ws *Witnesses) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, w := range ws.all {
		running.Go(func() { w.run(ctx) })
	}
	running.Wait()
}

// Sizes is that of ledger.Witnesses. As many witnesses must answer as have to cosign a checkpoint: whoever is cut off
// from them signs nothing that anybody would trust.
func (ws *Witnesses) Sizes(ctx context.Context) (map[string]int64, error) {
	signed, own, err := ws.Log.Newest()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	sizes, failed := map[string]int64{}, []error(nil)
	var asking sync.WaitGroup
	for _, w := range ws.all {
		asking.Go(func() {
			size, err := w.knows(ctx, signed, own)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", w.name, err))
				return
			}
			sizes[w.name] = size
		})
	}
	asking.Wait()
	if !ws.policy.Enough(slices.Collect(maps.Keys(sizes))) {
		return nil, fmt.Errorf("%d witnesses say how far they saw the log grow, and %d must: %w", len(sizes),
			ws.policy.Quorum(), errors.Join(failed...))
	}
	return sizes, nil
}

// Follow is that of ledger.Witnesses.
func (ws *Witnesses) Follow(ctx context.Context, sizes map[string]int64) error {
	var confirmed []string
	var failed []error
	for _, w := range ws.all {
		size, asked := sizes[w.name]
		if !asked {
			continue
		}
		err := w.follow(ctx, size)
		switch {
		case errors.Is(err, ledger.ErrDiffers):
			return err
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", w.name, err))
		default:
			confirmed = append(confirmed, w.name)
		}
	}
	if !ws.policy.Enough(confirmed) {
		return fmt.Errorf("%d witnesses have cosigned the last checkpoint, and %d must: %w", len(confirmed),
			ws.policy.Quorum(), errors.Join(failed...))
	}
	return nil
}

type witness struct {
	of        *Witnesses
	name, url string

	// turn is held while the witness is asked to cosign: Run and Follow would otherwise submit one checkpoint twice.
	turn sync.Mutex
	// size is the size of the last checkpoint that the witness cosigned, as far as is known.
	size int64
	// done is the text of that checkpoint.
	done string
	// cosigned is when it did so last.
	cosigned time.Time
	// ahead is since when the witness has been ahead of the log, and how often the log was read to its end since.
	ahead  time.Time
	passes int

	mu   sync.Mutex
	seen time.Time
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
		signed, err := w.of.Log.Checkpoint()
		if err != nil {
			continue
		}
		if err = w.ask(ctx, text(string(signed))); err == nil {
			w.mu.Lock()
			w.seen = time.Now()
			w.mu.Unlock()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		w.of.logger.Warn("a witness has not cosigned", zap.String("witness", w.name), zap.Error(err))
		if errors.Is(err, ledger.ErrDiffers) {
			w.of.Log.Contradict(err)
		}
		wait = againAfter
	}
}

// ask submits the last checkpoint unless it has cosigned the one with this text a short time ago, and once more if the
// witness knows another size than this remembers.
func (w *witness) ask(ctx context.Context, newest string) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	if newest == w.done && time.Since(w.cosigned) < w.of.renewEvery {
		return nil
	}
	size, cosigned, err := w.submit(ctx, w.size)
	if err == nil && !cosigned {
		w.size = size
		size, cosigned, err = w.submit(ctx, size)
	}
	switch {
	case err != nil:
		return err
	case !cosigned:
		return fmt.Errorf("it wants the growth from %d, and then from another size", w.size)
	}
	w.size, w.ahead, w.passes = size, time.Time{}, 0
	return nil
}

// follow submits the last checkpoint with its growth from the size that the witness said it cosigned last, unless it
// has cosigned that checkpoint meanwhile.
func (w *witness) follow(ctx context.Context, size int64) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	signed, err := w.of.Log.Checkpoint()
	if err != nil || text(string(signed)) == w.done {
		return err
	}
	now, cosigned, err := w.submit(ctx, size)
	if err == nil && !cosigned {
		err = fmt.Errorf("it has cosigned %d checkpoints since", now)
	}
	return err
}

// submit submits the last checkpoint with its growth from a size. If the witness cosigned another size last, it returns
// that; it is ErrDiffers if the witness refuses because the checkpoint does not follow from what it cosigned.
func (w *witness) submit(ctx context.Context, from int64) (size int64, cosigned bool, err error) {
	_, own, err := w.of.Log.Newest()
	if err != nil {
		return 0, false, err
	}
	if from > own {
		return 0, false, w.behind(from, own)
	}
	g, err := w.of.Log.Growth(from)
	if err != nil {
		return 0, false, err
	}
	status, answer, err := w.post(ctx, body(from, g))
	switch {
	case err != nil:
		return 0, false, err
	case status == http.StatusConflict:
		size, err := parseSize(answer)
		// Witnesses of before C2SP had 422 for it refuse another tree of that size without saying a size.
		if err == nil && size == from || err != nil && from == own {
			err = w.refuses(status, answer)
		}
		return size, false, err
	case status == http.StatusUnprocessableEntity:
		return 0, false, w.refuses(status, answer)
	case status != http.StatusOK:
		return 0, false, fmt.Errorf("unexpected HTTP status %d: %q", status, answer)
	}
	if err := w.of.Log.Cosign(w.of.policy, answer); err != nil {
		return 0, false, err
	}
	w.done, w.cosigned = text(g.Checkpoint), time.Now()
	size, err = strconv.ParseInt(strings.SplitN(w.done, "\n", 3)[1], 10, 64)
	return size, true, err
}

// refuses is what it means if a witness does not find that a checkpoint follows from what it cosigned.
func (w *witness) refuses(status int, answer []byte) error {
	return fmt.Errorf("%w: the last checkpoint does not follow from what the witness %s has cosigned (HTTP status %d: %q)",
		ledger.ErrDiffers, w.name, status, answer)
}

// behind is the error of a witness that has cosigned a larger tree. Another copy of the projector may have signed it,
// and its report is in the stream then: it is ErrDiffers once the log was read to its end twice since.
func (w *witness) behind(size, own int64) error {
	err := ledger.Ahead(w.name, size, own)
	if passed := w.of.Log.Passed(); w.ahead.IsZero() {
		w.ahead = time.Now()
	} else if passed.After(w.ahead) {
		w.ahead = passed
		w.passes++
	}
	if w.passes < 2 {
		return fmt.Errorf("not confirmed yet: %v", err) //nolint:errorlint // not ErrDiffers yet
	}
	return err
}

// knows asks for the size of the tree that the witness cosigned last, by submitting the last checkpoint as if the
// witness knew nothing.
func (w *witness) knows(ctx context.Context, signed []byte, own int64) (int64, error) {
	g := ledger.Growth{Checkpoint: string(signed)}
	if own > 0 {
		var err error
		if g, err = w.of.Log.Growth(0); err != nil {
			return 0, err
		}
	}
	status, answer, err := w.post(ctx, body(0, g))
	switch {
	case err != nil:
		return 0, err
	case status == http.StatusOK:
		return own, nil
	case status == http.StatusConflict:
		return parseSize(answer)
	}
	return 0, fmt.Errorf("unexpected HTTP status %d: %q", status, answer)
}

func parseSize(answer []byte) (int64, error) {
	size, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("conflict without a size in the response: %q", answer)
	}
	return size, nil
}

// text returns the part of a note that its signatures cover.
func text(signed string) string {
	t, _, _ := strings.Cut(signed, "\n\n")
	return t
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
