package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// WatchHelp explains what following a log proves.
const WatchHelp = `Asks the log for its newest checkpoint again and again, keeps it in a file of yours, and each time proves that the log grew from
the last one: that no event was changed, taken out or put in before the end. It reads every new entry of your tree: that each
is yours, that versions are 1, 2, 3 … once each, and that what the log signed about how far each request has come is what its
entries say. It reads the events' own bytes: that they are what the entries stand for, with --writers-key that each is signed by
the service that writes such events, and that they keep the rules that you can check: access only after the approvals that were
due, by people who held the role and were asked, no longer and no wider than approved, and nothing after the end. What is withheld
from you leaves unchecked what rests on it, which is said once.

Besides "all is well" there are four verdicts. The exit code is 10 only if the log signed two things that cannot both be
true, or an event that breaks the rules or is not signed by its writer; it is kept in a file beside yours, which convinces
anybody who knows the log's key, and the writers' where it is about signatures (lockbox audit verify, verifier evidence). It is
14 while fewer witnesses than your policy demands have cosigned, 15 if what is shown is older than what you saw, or than
--max-age, and nothing contradicts it, and 16 if what is shown proves nothing, perhaps because it was changed or held back on
its way. Those say nothing against the log: ask again. Without --once it is asked again, until there is a contradiction.`

const (
	// ShortestInterval is the minimum time between two queries of a log.
	ShortestInterval = time.Second
	// DefaultInterval is the time between two looks at a log, unless configured.
	DefaultInterval = time.Minute
)

// Watcher follows a tenant's log on the customer's behalf.
type Watcher struct {
	Trust Trust
	// Log is the log's base URL.
	Log    string
	Tenant string
	// State is the file that holds the last checkpoint seen; empty: lockbox-log-<tenant>.json.
	State string
	// MaxAge is how long ago as many witnesses as the policy demands may have cosigned what is shown; 0: no limit.
	MaxAge time.Duration
	// Acknowledge forgets what was found in entries before.
	Acknowledge bool
	// Token returns the caller's token; the log requires one for queries about a tenant.
	Token func(ctx context.Context) (string, error)
	// Out receives a line for each step, Err a line for each failed attempt.
	Out, Err io.Writer
	Now      func() time.Time
	// Zone is the time zone in which times are shown.
	Zone *time.Location

	// Pin is the fingerprint of the customer's keys; nil: whose keys they are is not compared.
	Pin *approval.Pin

	policy *merkle.Policy
	// pinned is the writers' key; nil: who signed events is not checked.
	pinned *signed.Pinned
	// fold is what is in memory of the events that were checked, folded how many of them, and remarks what is said of
	// this look.
	fold    *fold
	folded  int64
	remarks []string
}

// Watch checks the log once, or repeatedly until ctx ends or the log contradicts itself (ErrContradiction). With once,
// other verdicts are errors too; see Verdict.
func (w *Watcher) Watch(ctx context.Context, every time.Duration, once bool) (err error) {
	if every < ShortestInterval {
		return usage("--interval is at least %v", ShortestInterval)
	}
	if w.MaxAge < 0 {
		return usage("--max-age is a time")
	}
	trusted, _, err := w.Trust.receipts()
	if err != nil {
		return err
	}
	w.policy = trusted.Policy
	w.pinned, _ = trusted.Writers.(*signed.Pinned)
	if w.State == "" {
		w.State = "lockbox-log-" + w.Tenant + ".json"
	}
	if err := w.acknowledge(); err != nil {
		return err
	}
	for {
		err := w.look(ctx)
		var wrong *UsageError
		if once || errors.Is(err, ErrContradiction) || errors.As(err, &wrong) || ctx.Err() != nil {
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

// acknowledge forgets what was found, if the user has said so. The files of evidence stay.
func (w *Watcher) acknowledge() error {
	if !w.Acknowledge {
		return nil
	}
	known, err := readState(w.State, w.Tenant)
	if err != nil || len(known.Found) == 0 {
		return err
	}
	known.Found = nil
	return keep(w.State, known)
}

// look fetches the log's current state, checks that it follows from what was seen before, and reads what is new.
func (w *Watcher) look(ctx context.Context) error {
	known, err := readState(w.State, w.Tenant)
	if err != nil {
		return err
	}
	next, err := w.sighting(ctx, sizeOf(known.Checkpoint), known.Opening.Size)
	if refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) && known.Checkpoint != "" {
		// The copy of the server that answers has not come as far yet, or what was seen was cut off.
		next, err = w.sighting(ctx, 0, 0)
	}
	if err != nil {
		return err
	}
	shown := merkle.Seen{
		Tenant: w.Tenant, Checkpoint: next.Checkpoint, Opening: next.Opening, Directory: next.Directory,
	}
	if shown.Opening.Size < 1 {
		return fmt.Errorf("%w, ask again: no slot is shown", ErrInconclusive)
	}
	if _, err := shown.Verify(w.policy.LogAlone()); err != nil {
		return inconclusive(err)
	}
	if err := w.compare(known, shown); err != nil {
		return err
	}
	signed, err := w.policy.Open([]byte(shown.Checkpoint)) // by whom does not matter for the above
	if err != nil {
		return inconclusive(err)
	}
	if signed.Tree.N < sizeOf(known.Checkpoint) {
		return w.older(ctx, known, shown)
	}
	if _, err := merkle.Follow(known.Seen, next, w.policy); err != nil {
		return w.unproved(ctx, known, shown, err)
	}
	return w.read(ctx, known, shown, signed)
}

// compare compares what is shown with all that was seen, by nothing but what the log signed.
func (w *Watcher) compare(known *state, shown merkle.Seen) error {
	before := []merkle.Seen{known.Seen}
	for _, note := range known.Earlier {
		before = append(before, merkle.Seen{Tenant: w.Tenant, Checkpoint: note})
	}
	for _, seen := range before {
		var convicted *merkle.ConvictionError
		if seen.Checkpoint != "" && errors.As(merkle.Contradict(seen, shown, w.policy), &convicted) {
			return (&evidence{Seen: &seen, Shown: &shown}).save(w.evidenceFile(), w.policy)
		}
	}
	return nil
}

func (w *Watcher) evidenceFile() string {
	return fmt.Sprintf("%s.contradiction-%s.json", strings.TrimSuffix(w.State, ".json"),
		w.Now().UTC().Format("20060102T150405.000Z"))
}

// older says what it means that a checkpoint is shown which is older than the last one seen: nothing, if that one grew
// out of it.
func (w *Watcher) older(ctx context.Context, known *state, shown merkle.Seen) error {
	is := treeOf(shown.Checkpoint)
	stale := fmt.Errorf("%w: the log shows size %d again, and had size %d; that one grew out of this", ErrStale, is.Tree.N,
		sizeOf(known.Checkpoint))
	for _, note := range known.Earlier {
		if treeOf(note) == is {
			return stale
		}
	}
	g, err := w.growthFrom(ctx, is.Tree.N)
	if err != nil {
		return err
	}
	signed, err := g.verify(is.Tree.N, w.policy.LogAlone())
	switch {
	case err == nil && g.Root != is.Tree.Hash:
		return (&evidence{Seen: &shown, Growth: &g}).save(w.evidenceFile(), w.policy)
	case err == nil && signed.Checkpoint == treeOf(known.Checkpoint):
		return stale
	}
	return fmt.Errorf("%w, ask again: the log shows size %d, and had size %d", ErrInconclusive, is.Tree.N,
		sizeOf(known.Checkpoint))
}

// unproved looks for evidence that a checkpoint does not follow from the last one, for a proof that does not hold says
// nothing: the log is asked how its tree began, and the entries show how the tenant's did.
func (w *Watcher) unproved(ctx context.Context, known *state, shown merkle.Seen, why error) error {
	var proof *merkle.ProofError
	if known.Checkpoint == "" || !errors.As(why, &proof) || proof.Part != merkle.Growth {
		return inconclusive(why)
	}
	size := sizeOf(known.Checkpoint)
	if g, err := w.growthFrom(ctx, size); err == nil {
		if _, err := g.verify(size, w.policy.LogAlone()); err == nil && g.Root != treeOf(known.Checkpoint).Tree.Hash {
			return (&evidence{Seen: &known.Seen, Growth: &g}).save(w.evidenceFile(), w.policy)
		}
	}
	if all, err := w.entriesFrom(ctx, 0, shown.Opening.Size); err == nil {
		e := &evidence{Seen: &known.Seen, Shown: &shown, Entries: all}
		if _, err := e.check(w.policy); err == nil {
			return e.save(w.evidenceFile(), w.policy)
		}
	}
	return inconclusive(why)
}

// read reads the entries that are new in a checkpoint which follows from the last one, and keeps both.
func (w *Watcher) read(ctx context.Context, known *state, shown merkle.Seen, signed merkle.Signed) error {
	before, old := known.Read.copied(), known.Seen
	all, err := w.entriesFrom(ctx, before.Size, shown.Opening.Size)
	if err != nil {
		return err
	}
	found, err := known.Read.readOn(old, all, shown)
	var convicted *merkle.ConvictionError
	if err != nil && !errors.As(err, &convicted) {
		return err
	}
	said := error(nil)
	earlier := slices.Clone(known.Found)
	if convicted != nil || len(found) > 0 {
		name := w.evidenceFile()
		said = w.entriesConvict(ctx, old, before, all, shown, name)
		if convicted != nil || !errors.Is(said, ErrContradiction) {
			return said // nothing can be read on from there
		}
		var what []string
		for _, one := range found {
			what = append(what, one.what)
		}
		known.Found = append(known.Found, finding{strings.Join(what, "; "), name})
	}
	known.Read.close()
	line := w.line(known, shown, signed, known.Read.Size-before.Size)
	for _, odd := range known.oddTimes(signed, w.Now()) {
		line += "  odd: " + odd + "\n"
	}
	if n := known.Read.Strays - before.Strays; n > 0 {
		line += fmt.Sprintf("  odd: %d entries are no events by their subject\n", n)
	}
	known.saw(shown, signed)
	w.remarks = nil
	grown := known.Read.Size > before.Size
	said = errors.Join(said, w.readBytes(ctx, known, shown, grown), w.explain(ctx, known, shown, found))
	for _, remark := range w.remarks {
		line += "  " + remark + "\n"
	}
	if err := keep(w.State, known); err != nil {
		return errors.Join(said, err)
	}
	if _, err := io.WriteString(w.Out, line); err != nil || said != nil {
		return errors.Join(said, err)
	}
	for _, f := range earlier {
		if f.Evidence != "" {
			return fmt.Errorf("%w, as was found before: %s. The evidence is %s; with --acknowledge this is not said again",
				ErrContradiction, f.What, f.Evidence)
		}
	}
	if len(earlier) > 0 {
		return unprovable(earlier[0])
	}
	return w.fresh(shown.Checkpoint)
}

// explain asks what the provider recorded about entries that contradict those before them.
func (w *Watcher) explain(ctx context.Context, known *state, shown merkle.Seen, found []contradiction) error {
	if known.Bytes == nil {
		return nil
	}
	p := w.pass(ctx, known.Bytes, shown.Opening.Tree())
	for i, one := range found {
		if one.entry == 0 || i >= 8 {
			continue
		}
		first := int64(one.entry) - 1 //nolint:gosec // G115: a size
		statements, err := p.statements(first)
		if err != nil {
			return err
		}
		b, err := p.bundle(ctx, first, 1, true)
		if err != nil {
			return err
		}
		if said := explanation(statements[0], b.Events[0]); said != "" {
			w.remarks = append(w.remarks, said)
		}
	}
	return nil
}

// entriesConvict saves entries that contradict what was read before. What was read is evidence only as far as the log
// signed its heads; otherwise all entries are.
func (w *Watcher) entriesConvict(
	ctx context.Context, old merkle.Seen, before *entries, all [][]byte, shown merkle.Seen, name string,
) (err error) {
	e := &evidence{Shown: &shown, Entries: all}
	if old.Checkpoint != "" {
		e.Seen = &old
	}
	switch {
	case before.Size == 0:
	case old.Opening.Heads == nil:
		if e.Entries, err = w.entriesFrom(ctx, 0, shown.Opening.Size); err != nil {
			return err
		}
	default:
		e.Before = before
	}
	return e.save(name, w.policy)
}

// line says what was seen.
func (w *Watcher) line(known *state, shown merkle.Seen, signed merkle.Signed, read int64) string {
	what := "the log grew"
	switch known.Checkpoint {
	case "":
		what = "first seen; its slot, " + strconv.FormatInt(shown.Opening.Slot, 10) + ", is taken on trust"
	case shown.Checkpoint:
		what = "nothing new"
	default:
		if sizeOf(known.Checkpoint) == signed.Tree.N {
			what = "nothing new, cosigned again"
		}
	}
	if read > 0 {
		what += fmt.Sprintf("; %d entries read", read)
	}
	return fmt.Sprintf("%s  %s: %d events, log size %d: %s\n", w.Now().In(w.Zone).Format(time.DateTime), w.Tenant,
		shown.Opening.Size, signed.Tree.N, what)
}

// fresh returns ErrStale if too few witnesses have cosigned a note within the maximum age.
func (w *Watcher) fresh(signed string) error {
	if w.MaxAge == 0 {
		return nil
	}
	now := w.Now()
	if _, err := w.policy.Open(merkle.CosignedIn([]byte(signed), now, now.Add(-time.Second))); err == nil {
		return usage("--max-age needs a --policy that demands witnesses: a checkpoint has no time but theirs")
	}
	if _, err := w.policy.Open(merkle.CosignedIn([]byte(signed), now.Add(-w.MaxAge), now.Add(ahead))); err != nil {
		return fmt.Errorf("%w: fewer witnesses than the policy demands have cosigned it in the last %v", ErrStale, w.MaxAge)
	}
	return nil
}
