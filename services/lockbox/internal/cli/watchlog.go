package cli

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

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/bookmark"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// logPatience is how long one answer of the log may take, and mostAnswer how long it may be, in bytes.
	logPatience = 20 * time.Second
	mostAnswer  = 8 << 20
	// leastPrefix is how much of a root somebody has to name, in hexadecimal digits.
	leastPrefix = 16
)

// watcher follows a tenant's log from the customer's side.
type watcher struct {
	*session
	trust   *merkle.Policy
	address string
	tenant  string
	file    string
}

func (a *app) auditWatchCommand() *cobra.Command {
	var (
		address, file, compare string
		every                  time.Duration
		once                   bool
	)
	t := &trust{}
	c := &cobra.Command{
		Use: "watch", Short: "Follow your log, and prove each time that nothing before was rewritten (R41)", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Asks the log for its newest checkpoint again and again, keeps it in a file of yours, and each time proves that the log grew from
the last one: that no event was changed, taken out or put in before the end. If it did not, what was seen and what is shown now
are kept beside the file, both signed by the log, for they convince anybody, and the exit code is 10. A log that cannot be
reached proves nothing: with --once that is an error, without it is asked again.

--compare takes what stands at the end of each mail, and proves that the log began so when the mail was sent.`,
		Example: `  lockbox audit watch --once
  lockbox audit watch --log https://log.nimbus.example --policy policy.txt --state meadowbank.json --interval 5m
  lockbox audit watch --compare 4711:9f86d081884c7d659a2feaa0c55ad015`,
	}
	f := c.Flags()
	f.StringVar(&address, "log", "", "`address` of the log (LOCKBOX_LOG; on the machine that runs Lockbox it is known)")
	f.StringVar(&file, "state", "", "`file` of the last checkpoint seen (default lockbox-log-<tenant>.json)")
	f.StringVar(&compare, "compare", "", "`size:root` from a mail, to be proved once")
	f.DurationVar(&every, "interval", time.Minute, "how often to look")
	f.BoolVar(&once, "once", false, "look once")
	t.flags(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) (err error) {
		w := &watcher{session: s, address: first(address, a.Getenv("LOCKBOX_LOG"))}
		if info, err := a.running(); w.address == "" && err == nil {
			w.address = info.LogURL
		}
		if w.address == "" {
			return usage(c, "name the log with --log (or LOCKBOX_LOG)")
		}
		if every < time.Second {
			return usage(c, "--interval is at least 1s")
		}
		if w.trust, _, err = t.read(a, c); err != nil {
			return err
		}
		if compare != "" {
			return w.compare(ctx, c, compare)
		}
		if w.tenant, err = s.oneTenant(ctx); err != nil {
			return err
		}
		w.file = first(file, "lockbox-log-"+w.tenant+".json")
		return w.watch(ctx, every, once)
	})
	return c
}

func (w *watcher) watch(ctx context.Context, every time.Duration, once bool) error {
	for {
		err := w.look(ctx)
		if once || errors.Is(err, errNotProven) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			if _, said := fmt.Fprintf(w.app.Err, "not seen: %v; asking again in %v\n", err, every); said != nil {
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

// look takes one step from what was seen to what is there.
func (w *watcher) look(ctx context.Context) error {
	before, err := w.seen()
	if err != nil {
		return err
	}
	global := int64(0)
	if before.Checkpoint != "" {
		if global, err = sizeOf(before.Checkpoint); err != nil {
			return fmt.Errorf("%s: %w", w.file, err)
		}
	}
	next, err := w.sighting(ctx, global, before.Opening.Size)
	if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) && before.Checkpoint != "" {
		// It may have become shorter than what was seen. What it has is proof of that.
		next, err = w.sighting(ctx, 0, 0)
	}
	if err != nil {
		return err
	}
	after, err := merkle.Follow(before, next, w.trust)
	if err != nil {
		return w.contradiction(before, next, err)
	}
	if err := bookmark.Keep(w.file, after); err != nil {
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
	_, err = fmt.Fprintf(w.app.Out, "%s  %s: %d events, log size %d: %s\n", w.app.Now().In(w.app.Zone).Format(time.DateTime), w.tenant, after.Opening.Size, size, what)
	return err
}

func (w *watcher) sighting(ctx context.Context, global, size int64) (next merkle.Sighting, err error) {
	sizes := url.Values{"global": {strconv.FormatInt(global, 10)}, "size": {strconv.FormatInt(size, 10)}}
	return next, w.get(ctx, "/tenants/"+url.PathEscape(w.tenant)+"/sighting?"+sizes.Encode(), true, &next)
}

// contradiction keeps both sides of what does not fit together, and never what was seen before alone.
func (w *watcher) contradiction(before merkle.Seen, next merkle.Sighting, broken error) error {
	var proof *merkle.ProofError
	if !errors.As(broken, &proof) || before.Checkpoint == "" {
		return fmt.Errorf("%w: %w", errNotProven, broken)
	}
	name := fmt.Sprintf("%s.contradiction-%s.json", strings.TrimSuffix(w.file, ".json"), w.app.Now().UTC().Format("20060102T150405Z"))
	err := bookmark.Keep(name, struct {
		Part  merkle.Part     `json:"part"`
		What  string          `json:"what"`
		Seen  merkle.Seen     `json:"seen"`
		Shown merkle.Sighting `json:"shown"`
	}{proof.Part, proof.Error(), before, next})
	return errors.Join(fmt.Errorf("%w: THE LOG CONTRADICTS WHAT IT SHOWED BEFORE: %w; what was seen and what is shown now are in %s, keep both", errNotProven, broken, name), err)
}

// compare proves that the log grew from the tree that a mail names.
func (w *watcher) compare(ctx context.Context, c *cobra.Command, named string) error {
	text, prefix, found := strings.Cut(named, ":")
	size, err := strconv.ParseInt(text, 10, 64)
	if _, wrong := hex.DecodeString(prefix + strings.Repeat("0", len(prefix)%2)); !found || err != nil || size < 1 || wrong != nil || len(prefix) < leastPrefix {
		return usage(c, "--compare takes size:root as it stands at the end of a mail, at least %d digits of the root", leastPrefix)
	}
	var g struct {
		Checkpoint string      `json:"checkpoint"`
		Root       tlog.Hash   `json:"root"`
		Growth     []tlog.Hash `json:"growth"`
	}
	if err := w.get(ctx, "/growth?size="+text, false, &g); err != nil {
		return err
	}
	signed, err := w.trust.Open([]byte(g.Checkpoint))
	if err != nil {
		return fmt.Errorf("%w: %w", errNotProven, err)
	}
	if root := hex.EncodeToString(g.Root[:]); !strings.HasPrefix(root, strings.ToLower(prefix)) {
		return fmt.Errorf("%w: THE LOG IS NOT THE ONE OF THE MAIL: at size %d its root is %s, the mail says %s", errNotProven, size, root, prefix)
	}
	if err := merkle.CheckGrowth(tlog.Tree{N: size, Hash: g.Root}, signed.Tree, g.Growth); err != nil {
		return fmt.Errorf("%w: %w", errNotProven, err)
	}
	_, err = fmt.Fprintf(w.app.Out, "The log of size %d began with the one that the mail names, of size %d: nothing before it was rewritten.\n", signed.Tree.N, size)
	return err
}

func (w *watcher) seen() (merkle.Seen, error) {
	seen := merkle.Seen{Tenant: w.tenant}
	data, err := os.ReadFile(w.file)
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &seen)
	}
	if err != nil {
		return seen, fmt.Errorf("%s: %w", w.file, err)
	}
	if seen.Tenant != w.tenant {
		return seen, refusal.Invalid("state", "R41", "%s is about %s, not %s", w.file, seen.Tenant, w.tenant)
	}
	return seen, nil
}

// get asks the log, in the caller's name if it is about a tenant.
func (w *watcher) get(ctx context.Context, path string, asCaller bool, into any) error {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(w.address, "/")+path, nil)
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

func sizeOf(note string) (int64, error) {
	text, _, _ := strings.Cut(note, "\n\n")
	c, err := merkle.ParseCheckpoint(text + "\n")
	return c.Tree.N, err
}
