// Package repair repairs the data directory of `lockbox up` while it is not running: a damaged stream is rewritten
// from its second copy, and damaged trees are moved aside and rebuilt. It examines a copy, shows exactly what it will
// do before doing it, and deletes nothing.
package repair

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	secondcopy "github.com/openlockbox/lockbox/services/audit-projector/repair"
	"go.uber.org/zap"
)

// ErrDamaged reports that a repair is needed but was not requested, so that nothing was changed.
var ErrDamaged = errors.New("what is stored is not what was recorded")

// Job is one repair.
type Job struct {
	// Dir is the data directory.
	Dir string
	// Do carries out the repair; otherwise it is only shown.
	Do  bool
	Out io.Writer
	Now func() time.Time
	// Signer signs what the repair says of itself, StreamRestored; nil: it is not signed. Everything else keeps the bytes
	// that it had, signatures included.
	Signer *signed.Signer
	Log    *zap.Logger
}

// Plan describes what a repair does.
type Plan struct {
	// Kept, Restored, Tail and Conflicts are numbers of events: kept as they are, restored from the second copy, newer
	// than the second copy, and contradicting it (moved to a file).
	Kept, Restored, Tail, Conflicts uint64
	// Subjects are the first few restored events.
	Subjects []string
	// Trees is what is wrong with the second copy; nil if it is intact.
	Trees error
	// Strays are the messages that stay in the stream although they cannot be events.
	Strays    []journal.Misfit
	decisions journal.Decisions
	last      uint64
}

const subjectsShown = 10

func (j *Job) path(elem ...string) string { return filepath.Join(append([]string{j.Dir}, elem...)...) }

// Run shows what is damaged and how it will be repaired, and repairs it if Do is set.
func (j *Job) Run(ctx context.Context) (err error) {
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	aside := j.path("repair-" + j.Now().UTC().Format("20060102T150405Z"))
	defer func() {
		if !j.Do || err != nil {
			_ = os.RemoveAll(filepath.Join(aside, "work"))
			_ = os.RemoveAll(filepath.Join(aside, "new"))
			_ = os.Remove(aside) // succeeds only if it is empty
		}
	}()
	// A server that opens a damaged store repairs it in its own way, so it is given a copy.
	j.say("Looking at a copy of the stream …")
	if err := os.CopyFS(filepath.Join(aside, "work"), os.DirFS(j.path("nats"))); err != nil {
		return err
	}
	damaged, err := openStore(ctx, filepath.Join(aside, "work"), nil, j.Log)
	if err != nil {
		return fmt.Errorf("the damaged stream: %w", err)
	}
	defer damaged.close()
	p, err := j.plan(ctx, damaged)
	if err != nil {
		return err
	}
	j.showStrays(p)
	if done, err := j.show(p, aside); done || err != nil {
		return err
	}
	if p.Trees != nil {
		damaged.close() // its directory is removed
		return j.setTreesAside(aside)
	}
	return j.restore(ctx, damaged, p, aside)
}

// lock prevents a projector, and so a Lockbox, from starting during the repair.
func (j *Job) lock() (unlock func() error, err error) {
	f, err := os.OpenFile(j.path("projection", "lock"), os.O_RDWR, 0) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("%s is not the data directory of a Lockbox: %w", j.Dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor
		return nil, errors.Join(fmt.Errorf("a Lockbox runs in %s; stop it first: %w", j.Dir, err), f.Close())
	}
	return f.Close, nil
}

func (j *Job) keys() (logkeys.Keys, error) {
	return logkeys.Read(j.path("keys", logkeys.SigningKeyFile), j.path("keys", logkeys.SaltsFile))
}

// plan counts what the repair does with each event.
func (j *Job) plan(ctx context.Context, s *store) (p Plan, err error) {
	keys, err := j.keys()
	if err != nil {
		return p, err
	}
	second, err := secondcopy.Open(j.path("projection"), keys)
	if err != nil {
		p.Trees = err
		return p, j.contiguous(ctx, s, &p)
	}
	for step, err := range j.steps(ctx, s, second) {
		if err != nil {
			p = Plan{Trees: err}
			return p, j.contiguous(ctx, s, &p)
		}
		switch step.Source {
		case secondcopy.Kept:
			p.Kept++
		case secondcopy.Tail:
			p.Tail++
		case secondcopy.Restored:
			p.Restored++
			if len(p.Subjects) < subjectsShown {
				p.Subjects = append(p.Subjects, fmt.Sprintf("%d %s", step.Sequence, step.Subject))
			}
		case secondcopy.Conflict:
			p.Conflicts++
			continue
		}
		p.see(step.Stored)
		p.last = max(p.last, step.Sequence)
	}
	return p, nil
}

func (j *Job) steps(ctx context.Context, s *store, second *secondcopy.Copy) iter.Seq2[secondcopy.Step, error] {
	return secondcopy.Steps(second.Covered, s.messages(ctx), second.Events())
}

// contiguous checks that the stream is complete, so that the trees can be rebuilt from it alone.
func (j *Job) contiguous(ctx context.Context, s *store, p *Plan) error {
	for m, err := range s.messages(ctx) {
		if err != nil {
			return err
		}
		if m.Sequence != p.Kept+1 {
			return fmt.Errorf("both copies are damaged: the second one (%w), and the stream, which lacks event %d. Restore a backup of one of them", p.Trees, p.Kept+1)
		}
		p.Kept++
		p.see(m)
	}
	return nil
}

func (p *Plan) see(m message) {
	if misfit, is := journal.IsMisfit(m.Sequence, m.Subject, m.Data); is {
		p.Strays = append(p.Strays, misfit)
	}
	p.decisions.See(m.Sequence, m.Subject, m.Data)
}

func (j *Job) say(format string, args ...any) { _, _ = fmt.Fprintf(j.Out, format+"\n", args...) }

// showStrays prints the messages that cannot be events. They are no damage: they are stored as they were recorded, and
// stay.
func (j *Job) showStrays(p Plan) {
	for _, m := range p.Strays {
		what := fmt.Sprintf("Once Lockbox runs: lockbox audit set-aside %d", m.Seq)
		if decision, aside := p.decisions.About(m); aside {
			what = fmt.Sprintf("It was set aside (event %d).", decision.Seq)
		}
		j.say("Message %d on %q is not an event (%d bytes, SHA-256 %x), and stays as it is. %s", m.Seq, m.Subject, m.Size,
			m.SHA256, what)
	}
}

// show prints the plan. It returns done if there is nothing to repair, or if the repair was not requested.
func (j *Job) show(p Plan, aside string) (done bool, err error) {
	switch {
	case p.Trees != nil:
		j.say("The second copy is damaged: %v", p.Trees)
		j.say("The stream has all of its %d events. The trees will be set aside, and the projector makes them again from the stream when it starts;", p.Kept)
		j.say("each of them is then compared with every checkpoint that was signed.")
	case p.Restored == 0 && p.Conflicts == 0:
		j.say("Nothing to repair: %d events are as they were recorded, and %d follow that are too new to be.", p.Kept, p.Tail)
		return true, nil
	default:
		j.say("Of the stream, %d events are as they were recorded, and %d follow.", p.Kept, p.Tail)
		if p.Restored > 0 {
			j.say("%d will be restored from the second copy:", p.Restored)
		}
		for _, s := range p.Subjects {
			j.say("  %s", s)
		}
		if more := p.Restored - uint64(len(p.Subjects)); more > 0 {
			j.say("  … and %d more", more)
		}
		if p.Conflicts > 0 {
			j.say("%d events of the stream contradict what was recorded. They will be kept in %s for the security officer.",
				p.Conflicts, filepath.Join(aside, conflictsFile))
		}
	}
	j.say("Everything as it is now will be kept in %s.", aside)
	if !j.Do {
		j.say("\nNothing was changed. To do it: --yes")
		return true, ErrDamaged
	}
	return false, nil
}

func (j *Job) setTreesAside(aside string) error {
	if err := os.Rename(secondcopy.TreesDir(j.path("projection")), filepath.Join(aside, "trees")); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(aside, "work")); err != nil {
		return err
	}
	j.say("Done. Start Lockbox.")
	return nil
}

const (
	conflictsFile = "conflicts.jsonl"
	reportEvery   = 50_000
)

// restore writes the repaired stream beside the old one, and then replaces the old one.
func (j *Job) restore(ctx context.Context, damaged *store, p Plan, aside string) (err error) {
	keys, err := j.keys()
	if err != nil {
		return err
	}
	second, err := secondcopy.Open(j.path("projection"), keys)
	if err != nil {
		return err
	}
	next := filepath.Join(aside, "new")
	if err := copyWithoutEvents(next, j.path("nats")); err != nil {
		return err
	}
	fresh, err := openStore(ctx, next, j.Signer, j.Log)
	if err != nil {
		return err
	}
	defer fresh.close()
	if err := fresh.provision(ctx); err != nil {
		return err
	}
	conflicts, err := os.OpenFile(filepath.Join(aside, conflictsFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(conflicts)
	err = j.write(fresh, j.steps(ctx, damaged, second), out)
	if err = errors.Join(err, out.Flush(), conflicts.Sync(), conflicts.Close()); err != nil {
		return err
	}
	if p.Conflicts == 0 {
		if err := os.Remove(filepath.Join(aside, conflictsFile)); err != nil {
			return err
		}
	}
	if err := fresh.restored(ctx, p, filepath.Base(aside), j.Now()); err != nil {
		return err
	}
	fresh.close()
	damaged.close()
	defer func() {
		if err == nil {
			j.say("Done: %d events, of which %d were restored. Start Lockbox; everything as it was, but for the key store, is in %s.", p.last,
				p.Restored, aside)
		}
	}()
	return errors.Join(
		os.Rename(j.path("nats"), filepath.Join(aside, "nats")), os.Rename(next, j.path("nats")),
		os.RemoveAll(filepath.Join(aside, "work")),
		// The store that goes on has it. What is kept must not bring back what is erased from now on.
		removeStream(filepath.Join(aside, "nats"), bus.StreamKeys),
		durable.Sync(j.Dir),
	)
}

func (j *Job) write(fresh *store, steps iter.Seq2[secondcopy.Step, error], conflicts io.Writer) error {
	for step, err := range steps {
		if err != nil {
			return err
		}
		if step.Source == secondcopy.Conflict {
			if err := json.NewEncoder(conflicts).Encode(step.Stored); err != nil {
				return err
			}
			continue
		}
		if err := fresh.publish(step.Stored); err != nil {
			return err
		}
		if step.Sequence%reportEvery == 0 {
			j.say("  %d events written", step.Sequence)
		}
	}
	return fresh.settle()
}

// copyWithoutEvents copies a server's store, without the event stream.
func copyWithoutEvents(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return removeStream(to, streamDir)
}

// removeStream removes the files of a stream from a store that no server runs on.
func removeStream(store, name string) error {
	var found []string
	err := filepath.WalkDir(store, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == name {
			found = append(found, path)
			return filepath.SkipDir
		}
		return err
	})
	for _, dir := range found {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// message is a stored message.
type message = journal.Stored
