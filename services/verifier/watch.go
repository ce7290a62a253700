package verifier

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/tlog"
)

// WatchHelp explains what following a log proves.
const WatchHelp = `Asks the log for its newest checkpoint again and again, keeps it in a file of yours, and each time proves that the log grew from
the last one: that no event was changed, taken out or put in before the end. If it did not, what was seen and what is shown now
are kept beside the file, both signed by the log, for they convince anybody, and the exit code is 10. A log that cannot be
reached proves nothing: with --once that is an error, without it is asked again.`

const (
	// ShortestInterval is the minimum time between two queries of a log.
	ShortestInterval = time.Second
	// DefaultInterval is the time between two looks at a log, unless configured.
	DefaultInterval = time.Minute
	// logPatience is the timeout of one query to the log, and mostAnswer the maximum size of its answer in bytes.
	logPatience = 20 * time.Second
	mostAnswer  = 8 << 20
	// leastPrefix is the minimum number of hexadecimal digits of a root hash that must be given.
	leastPrefix = 16
)

// Watcher follows a tenant's log on the customer's behalf.
type Watcher struct {
	Trust Trust
	// Log is the log's base URL.
	Log    string
	Tenant string
	// State is the file that holds the last checkpoint seen; empty: lockbox-log-<tenant>.json.
	State string
	// Token returns the caller's token; the log requires one for queries about a tenant.
	Token func(ctx context.Context) (string, error)
	// Out receives a line for each step, Err a line for each failed attempt.
	Out, Err io.Writer
	Now      func() time.Time
	// Zone is the time zone in which times are shown.
	Zone *time.Location

	policy *merkle.Policy
}

// Watch checks the log once, or repeatedly until ctx ends or what the log shows does not verify (ErrNotProven).
func (w *Watcher) Watch(ctx context.Context, every time.Duration, once bool) (err error) {
	if every < ShortestInterval {
		return usage("--interval is at least %v", ShortestInterval)
	}
	if w.policy, _, err = w.Trust.Read(); err != nil {
		return err
	}
	if w.State == "" {
		w.State = "lockbox-log-" + w.Tenant + ".json"
	}
	for {
		err := w.look(ctx)
		if once || errors.Is(err, ErrNotProven) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			if _, said := fmt.Fprintf(w.Err, "not seen: %s; asking again in %v\n", Message(err), every); said != nil {
				return said
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// look fetches the log's current state and checks that it extends what was seen before.
func (w *Watcher) look(ctx context.Context) error {
	before, err := w.seen()
	if err != nil {
		return err
	}
	global := int64(0)
	if before.Checkpoint != "" {
		if global, err = sizeOf(before.Checkpoint); err != nil {
			return fmt.Errorf("%s: %w", w.State, err)
		}
	}
	next, err := w.sighting(ctx, global, before.Opening.Size)
	if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) && before.Checkpoint != "" {
		// The log may have become shorter than what was seen. What it shows now is then evidence of that.
		next, err = w.sighting(ctx, 0, 0)
	}
	if err != nil {
		return err
	}
	after, err := merkle.Follow(before, next, w.policy)
	if err != nil {
		return w.contradiction(before, next, err)
	}
	if err := keep(w.State, after); err != nil {
		return err
	}
	size, err := sizeOf(after.Checkpoint)
	if err != nil {
		return err
	}
	what := "the log grew"
	switch before.Checkpoint {
	case "":
		what = "first seen; its slot, " + strconv.FormatInt(after.Opening.Slot, 10) + ", is taken on trust"
	case after.Checkpoint:
		what = "nothing new"
	}
	now := w.Now().In(w.Zone).Format(time.DateTime)
	_, err = fmt.Fprintf(w.Out, "%s  %s: %d events, log size %d: %s\n", now, w.Tenant, after.Opening.Size, size, what)
	return err
}

func (w *Watcher) sighting(ctx context.Context, global, size int64) (next merkle.Sighting, err error) {
	query := url.Values{"global": {strconv.FormatInt(global, 10)}, "size": {strconv.FormatInt(size, 10)},
		"format": {strconv.Itoa(merkle.Format2)}}
	return next, w.get(ctx, "/tenants/"+url.PathEscape(w.Tenant)+"/sighting?"+query.Encode(), true, &next)
}

// contradiction stores both sides of a contradiction in a new file: only together are they evidence.
func (w *Watcher) contradiction(before merkle.Seen, next merkle.Sighting, broken error) error {
	var proof *merkle.ProofError
	if !errors.As(broken, &proof) || before.Checkpoint == "" {
		return fmt.Errorf("%w: %w", ErrNotProven, broken)
	}
	now := w.Now().UTC().Format("20060102T150405Z")
	name := fmt.Sprintf("%s.contradiction-%s.json", strings.TrimSuffix(w.State, ".json"), now)
	err := keep(name, struct {
		Part  merkle.Part     `json:"part"`
		What  string          `json:"what"`
		Seen  merkle.Seen     `json:"seen"`
		Shown merkle.Sighting `json:"shown"`
	}{proof.Part, proof.Error(), before, next})
	return errors.Join(fmt.Errorf("%w: THE LOG CONTRADICTS WHAT IT SHOWED BEFORE: %w; "+
		"what was seen and what is shown now are in %s, keep both", ErrNotProven, broken, name), err)
}

// Compare proves that the log grew from the tree quoted in a mail as size:root.
func (w *Watcher) Compare(ctx context.Context, named string) error {
	text, prefix, found := strings.Cut(named, ":")
	size, err := strconv.ParseInt(text, 10, 64)
	_, wrong := hex.DecodeString(prefix + strings.Repeat("0", len(prefix)%2))
	if !found || err != nil || size < 1 || wrong != nil || len(prefix) < leastPrefix {
		return usage("want size:root as it stands at the end of a mail, at least %d digits of the root", leastPrefix)
	}
	policy, _, err := w.Trust.Read()
	if err != nil {
		return err
	}
	var g struct {
		Checkpoint string      `json:"checkpoint"`
		Root       tlog.Hash   `json:"root"`
		Growth     []tlog.Hash `json:"growth"`
	}
	if err := w.get(ctx, "/growth?size="+text, false, &g); err != nil {
		return err
	}
	signed, err := policy.Open([]byte(g.Checkpoint))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	if root := hex.EncodeToString(g.Root[:]); !strings.HasPrefix(root, strings.ToLower(prefix)) {
		return fmt.Errorf("%w: THE LOG IS NOT THE ONE OF THE MAIL: at size %d its root is %s, the mail says %s",
			ErrNotProven, size, root, prefix)
	}
	if err := merkle.CheckGrowth(tlog.Tree{N: size, Hash: g.Root}, signed.Tree, g.Growth); err != nil {
		return fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	_, err = fmt.Fprintf(w.Out, "The log of size %d began with the one that the mail names, of size %d: "+
		"nothing before it was rewritten.\n", signed.Tree.N, size)
	return err
}

func (w *Watcher) seen() (merkle.Seen, error) {
	seen := merkle.Seen{Tenant: w.Tenant}
	data, err := os.ReadFile(w.State)
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &seen)
	}
	if err != nil {
		return seen, fmt.Errorf("%s: %w", w.State, err)
	}
	if seen.Tenant != w.Tenant {
		return seen, refusal.Invalid("state", "R41", "%s is about %s, not %s", w.State, seen.Tenant, w.Tenant)
	}
	return seen, nil
}

// get queries the log, with the caller's token if asCaller is set.
func (w *Watcher) get(ctx context.Context, path string, asCaller bool, into any) error {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(w.Log, "/")+path, nil)
	if err != nil {
		return err
	}
	if asCaller {
		token, err := w.Token(ctx)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		return refusal.Unavailable("log", "I11", "the log does not answer: %v", err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return refusal.Unavailable("log", "I11", "the log does not answer: %v", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return json.Unmarshal(body, into)
	case http.StatusUnauthorized:
		return refusal.Unauthenticated("token", "I9", "%s", strings.TrimSpace(string(body)))
	case http.StatusNotFound:
		return refusal.NotFound("tenant", "I9", "the log shows you nothing of that name and size")
	}
	return refusal.Unavailable("log", "I11", "the log answers %s: %s", answer.Status, strings.TrimSpace(string(body)))
}

// keep atomically replaces the file with v as JSON and returns once it is on disk.
func keep(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(name, append(data, '\n'), 0o600)
}

func sizeOf(note string) (int64, error) {
	text, _, _ := strings.Cut(note, "\n\n")
	c, err := merkle.ParseCheckpoint(text + "\n")
	return c.Tree.N, err
}
