package verifier

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
)

// CompareHelp explains what a comparison proves.
const CompareHelp = `Each of A and B is a file, or what stands at the end of a mail (size:root): a receipt, a log's checkpoint, or the state of
watch. Says that they are of the same tree, that one grew out of the other, that they contradict each other, or that this
takes a proof: --log asks the log for it. A receipt or a mail of somebody else's is compared as well as your own: that is how
a log is caught that shows different things to different people.

If they contradict each other the exit code is 10, and both are kept in one file, which convinces anybody who knows the log's
key; of a mail, the mail itself is kept by you, for the log has not signed it. If they cannot be compared it is 16.`

// leastPrefix is the minimum number of hexadecimal digits of a root hash that must be given.
const leastPrefix = 16

// askings is how often the log is asked for proofs to one and the same checkpoint, while it grows.
const askings = 5

// point is what can be compared: a tree of the log, as something shows it.
type point struct {
	name string
	size int64
	// root is the beginning of the tree's root in hexadecimal digits; of what is signed, all of it.
	root string
	// seen is the checkpoint; zero for a mail's, which nobody signed.
	seen merkle.Seen
	// earlier are the notes that the watcher who kept this saw before it.
	earlier []string
}

func (p point) signed() bool { return p.seen.Checkpoint != "" }

// is reports whether a tree is the one that is meant, as far as is known.
func (p point) is(root fmt.Stringer) bool { return strings.HasPrefix(root.String(), p.root) }

type hexRoot [32]byte

func (r hexRoot) String() string { return hex.EncodeToString(r[:]) }

var mailed = regexp.MustCompile(`^[0-9]+:[0-9a-fA-F]*$`)

// mailLine reads what stands at the end of a mail.
func mailLine(name string) (p point, is bool, err error) {
	if !mailed.MatchString(name) {
		return point{}, false, nil
	}
	size, prefix, _ := strings.Cut(name, ":")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 1 || len(prefix) < leastPrefix || len(prefix) > 64 {
		return point{}, true, usage("want size:root as it stands at the end of a mail, at least %d digits of the root",
			leastPrefix)
	}
	return point{name: "the mail’s line " + name, size: n, root: strings.ToLower(prefix)}, true, nil
}

// point reads what a name stands for.
func (w *Watcher) point(name string) (point, error) {
	if p, is, err := mailLine(name); is {
		return p, err
	}
	file, err := os.ReadFile(name) // #nosec G304 -- the user names it
	if errors.Is(err, fs.ErrNotExist) {
		return point{}, usage("%q is neither a file nor size:root, as it stands at the end of a mail", name)
	}
	if err != nil {
		return point{}, err
	}
	p := point{name: name}
	if p.seen, p.earlier, err = w.seenIn(name, asWritten(file)); err != nil {
		return point{}, err
	}
	c := treeOf(p.seen.Checkpoint)
	p.size, p.root = c.Tree.N, hexRoot(c.Tree.Hash).String()
	return p, nil
}

// seenIn returns the checkpoint in a file, signed by the log and perhaps by nobody else.
func (w *Watcher) seenIn(name string, file []byte) (seen merkle.Seen, earlier []string, err error) {
	var kind struct{ Format string }
	text := strings.TrimSpace(string(file))
	isJSON := json.Unmarshal(file, &kind) == nil
	switch {
	case !isJSON && strings.Contains(text, "\n\n— "):
		seen.Checkpoint = text + "\n"
	case isJSON && strings.HasPrefix(kind.Format, "lockbox-receipt/"):
		_, seen, err = receiptSeen(file, w.policy.LogAlone())
	case isJSON && (kind.Format == stateFormat || kind.Format == ""):
		var s *state
		if s, err = readState(name, ""); err == nil {
			seen, earlier = s.Seen, s.Earlier
		}
	default:
		return seen, nil, fmt.Errorf("%w: %s is no receipt, no checkpoint and no state of watch", ErrNotProven, name)
	}
	if err == nil {
		_, err = seen.Verify(w.policy.LogAlone())
	}
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrNotProven, name, err)
	}
	return seen, earlier, err
}

// Compare compares two things with each other, or one with the log if the other is empty.
func (w *Watcher) Compare(ctx context.Context, a, b string) (err error) {
	for _, name := range []string{a, b} {
		if _, _, err := mailLine(name); err != nil {
			return err
		}
	}
	if w.policy, _, err = w.Trust.Read(); err != nil {
		return err
	}
	first, err := w.point(a)
	if err != nil {
		return err
	}
	if b == "" {
		return w.compareWithLog(ctx, first)
	}
	second, err := w.point(b)
	if err != nil {
		return err
	}
	if first.size > second.size {
		first, second = second, first
	}
	if first.signed() && second.signed() {
		err := merkle.Contradict(first.seen, second.seen, w.policy)
		if convicted := (*merkle.ConvictionError)(nil); errors.As(err, &convicted) {
			return (&evidence{Seen: &first.seen, Shown: &second.seen}).save(comparedFile(w.Now()), w.policy)
		} else if err != nil {
			return inconclusive(err)
		}
	}
	if first.size == second.size {
		return w.same(first, second)
	}
	for _, note := range second.earlier {
		if is := treeOf(note).Tree; is.N == first.size {
			if first.is(hexRoot(is.Hash)) {
				return w.grew(first, second, "as the watcher proved when it saw both")
			}
			if first.signed() {
				seen := merkle.Seen{Checkpoint: note}
				return (&evidence{Seen: &first.seen, Shown: &seen}).save(comparedFile(w.Now()), w.policy)
			}
			return notTheMails(first, hexRoot(is.Hash).String())
		}
	}
	if w.Log == "" {
		return fmt.Errorf("%w: %s is of size %d and %s of size %d; whether one grew out of the other, the log has to prove: --log",
			ErrInconclusive, first.name, first.size, second.name, second.size)
	}
	return w.compareBoth(ctx, first, second)
}

func comparedFile(now time.Time) string {
	return "lockbox-contradiction-" + now.UTC().Format("20060102T150405.000Z") + ".json"
}

// same compares two trees of one size.
func (w *Watcher) same(a, b point) error {
	if !strings.HasPrefix(a.root, b.root) && !strings.HasPrefix(b.root, a.root) {
		if a.signed() {
			a, b = b, a // the mail's first
		}
		return notTheMails(a, b.root)
	}
	_, err := fmt.Fprintf(w.Out, "%s and %s are of the same log of size %d.\n", clean(a.name), clean(b.name), a.size)
	return err
}

func (w *Watcher) grew(a, b point, how string) error {
	_, err := fmt.Fprintf(w.Out, "%s, of size %d, grew out of %s, of size %d, %s: nothing before it was rewritten.\n",
		clean(b.name), b.size, clean(a.name), a.size, how)
	return err
}

// notTheMails is what a difference from a mail is, which only whoever has the mail can show.
func notTheMails(mail point, root string) error {
	return fmt.Errorf("%w: THE LOG IS NOT THE ONE OF THE MAIL: at size %d its root is %s, the mail says %s; keep the mail, "+
		"with all its headers", ErrNotProven, mail.size, root, mail.root)
}

// compareWithLog proves that the log, as it is now, grew out of a tree.
func (w *Watcher) compareWithLog(ctx context.Context, a point) error {
	if w.Log == "" {
		return usage("name the log with --log (or LOCKBOX_LOG), or what to compare with")
	}
	signed, err := w.beganAs(ctx, a)
	if err != nil {
		return err
	}
	name := a.name
	if !a.signed() {
		name = "the one that the mail names"
	}
	_, err = fmt.Fprintf(w.Out, "The log of size %d began with %s, of size %d: nothing before it was rewritten.\n",
		signed.Tree.N, clean(name), a.size)
	return err
}

// beganAs proves that the log's newest tree began as a tree says, and returns the newest one.
func (w *Watcher) beganAs(ctx context.Context, a point) (merkle.Signed, error) {
	g, err := w.growthFrom(ctx, a.size)
	if err != nil {
		return merkle.Signed{}, err
	}
	if _, err := g.verify(a.size, w.policy.LogAlone()); err != nil {
		return merkle.Signed{}, inconclusive(err)
	}
	switch {
	case a.is(hexRoot(g.Root)):
		signed, err := w.policy.Open([]byte(g.Checkpoint))
		return signed, inconclusive(err)
	case !a.signed():
		return merkle.Signed{}, notTheMails(a, hexRoot(g.Root).String())
	}
	return merkle.Signed{}, (&evidence{Seen: &a.seen, Growth: &g}).save(comparedFile(w.Now()), w.policy)
}

// compareBoth proves of two trees that both are beginnings of one tree of the log, and so one of the other.
func (w *Watcher) compareBoth(ctx context.Context, a, b point) error {
	for range askings {
		one, err := w.beganAs(ctx, b)
		if err != nil {
			return err
		}
		other, err := w.beganAs(ctx, a)
		if err != nil {
			return err
		}
		if one.Tree == other.Tree {
			return w.grew(a, b, fmt.Sprintf("as the log of size %d proves", one.Tree.N))
		}
	}
	return fmt.Errorf("%w, ask again: the log grows while it is asked", ErrInconclusive)
}

// CheckWatched checks a receipt as CheckFile does, and compares it with what a watcher has read and keeps in a file;
// empty: with nothing.
func CheckWatched(name string, trust Trust, stateFile string, now time.Time) (*Receipt, error) {
	r, err := CheckFile(name, trust)
	if err != nil || stateFile == "" {
		return r, err
	}
	policy, _, err := trust.Read()
	if err != nil {
		return nil, err
	}
	known, err := readState(stateFile, r.Tenant)
	if err != nil {
		return nil, err
	}
	if known.Checkpoint == "" {
		return nil, usage("%s is not there, or nothing was watched yet", stateFile)
	}
	file, err := os.ReadFile(name) // #nosec G304 -- the user names it
	if err != nil {
		return nil, err
	}
	file = asWritten(file)
	e := &evidence{Seen: &known.Seen, Receipt: file}
	if known.Read.Size == known.Opening.Size {
		e.Before = known.Read
	}
	if _, err := e.check(policy); err == nil {
		return nil, e.save(comparedFile(now), policy)
	}
	report, _, err := receiptSeen(file, policy)
	if err != nil {
		return nil, err
	}
	r.Watched = known.says(report)
	return r, nil
}

// says is what the watcher can say about a receipt that does not contradict what it has read.
func (s *state) says(r merkle.Report) string {
	head, found := s.Read.heads.Head(r.About)
	seen := fmt.Sprintf("%d entries of %s, as of size %d of the log", s.Read.Size, clean(s.Tenant), sizeOf(s.Checkpoint))
	if s.Bytes != nil {
		seen = fmt.Sprintf("%d entries of %s and the bytes of %d, as of size %d of the log", s.Read.Size, clean(s.Tenant),
			s.Bytes.Size-s.Bytes.Withheld, sizeOf(s.Checkpoint))
	}
	switch {
	case r.Head.Count == 0:
		return "The watcher has read " + seen + ". This receipt has no head, so that what it shows cannot be compared with " +
			"that."
	case found && head == r.Head:
		return "The watcher has read " + seen + ", and what the log says here about how many events there are is what the " +
			"entries say."
	case found && head.Count > r.Head.Count:
		return fmt.Sprintf("The watcher has read %s: there are %d events of this by now. Ask for a newer receipt.", seen,
			head.Count)
	}
	return "The watcher has read " + seen + ", and this receipt is newer. Watch again, and then compare."
}
