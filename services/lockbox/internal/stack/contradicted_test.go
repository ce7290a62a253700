package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/verifier"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// watcher is a customer's own watcher of the log.
func (l *lockbox) watcher(as string) *verifier.Watcher {
	l.Helper()
	return &verifier.Watcher{
		Trust: verifier.Trust{Key: filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile)}, Log: l.stack.LogURL(),
		Tenant: bank, State: filepath.Join(l.TempDir(), "seen.json"),
		Token: func(context.Context) (string, error) { return l.token(as), nil },
		Out:   new(bytes.Buffer), Err: new(bytes.Buffer), Now: time.Now, Zone: time.UTC,
	}
}

// Whoever has the orchestrator's key of the bus stores an approval beside a customer's denial. The log that is signed
// over both says so itself, to whomever it is shown; the customer's watcher finds it alone and keeps what convicts the
// log; and nobody else is stopped by it, where events are not signed.
//
// control: nist:AU-9
func TestAnApprovalBesideADenialConvictsTheLog(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		unsigned bool
		kind     lockboxv1.DifferenceKind
	}{
		"events are not signed": {true, lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED},
		"events are signed":     {false, lockboxv1.DifferenceKind_DIFFERENCE_KIND_NOT_AN_EVENT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := closed(t, request.DefaultTerms(), devissuer.Config{})
			l.config.Unsigned = row.unsigned
			l.config.LogAddr, l.config.RescanEvery = "127.0.0.1:0", 30*time.Second
			l.open()
			t.Cleanup(func() { l.close() })
			must(t, demo.Seed(t.Context(), l.client, l.issuer, time.Now))
			approved, denied, other := l.requested(l.intent("erin"), request.CustomerNotified),
				l.requested(l.intent("erin"), request.CustomerNotified), l.requested(l.intent("erin"), request.CustomerNotified)
			l.does("otto", approve(approved))
			l.reaches(approved, request.Active)
			l.does("otto", deny(denied, "Not today."))
			(&written{lockbox: l}).signed()
			w := l.watcher("audrey")
			if !row.unsigned {
				w.Trust.Writers = filepath.Join(l.config.Dir, "keys", writerkeys.PublicKeyFile)
			}
			within(t, patience, "the log to be shown", func() bool { // what is stored is shown a moment later
				return w.Watch(t.Context(), time.Minute, true) == nil
			})
			if out, is := w.Out.(*bytes.Buffer); !is || strings.Contains(out.String(), "and who signed them") == row.unsigned {
				t.Errorf("of an honest log it says %s", out)
			}

			approval := l.history(journal.Replay{Type: "CustomerApproved"})[0].Event
			denial := l.history(journal.Replay{Type: "CustomerDenied"})[0].Event
			approval.Id, approval.AggregateId, approval.Time = newID(l), denied, timestamppb.Now()
			approval.Version, approval.CorrelationId = denial.GetVersion(), denied
			data, err := proto.Marshal(approval)
			must(t, err)
			m := &strayMessage{by: bus.Orchestrator, data: data,
				subject: fmt.Sprintf("lockbox.event.%s.request.%s.%d.CustomerApproved", bank, denied, denial.GetVersion())}
			l.store(m)
			alarm, covered := uint64(0), uint64(0)
			within(t, patience, "a checkpoint that covers it", func() bool {
				for _, e := range l.history(journal.Replay{From: m.seq}) {
					f := e.Event.GetDifferenceFound()
					if f.GetFirstSequence() == m.seq && f.GetKind() == row.kind && alarm == 0 {
						alarm = e.Seq
					}
					if through := e.Event.GetCheckpointSigned().GetCoveredSequence(); through >= m.seq && covered == 0 {
						covered = through
					}
				}
				return covered > 0
			})
			if alarm == 0 || alarm > covered {
				t.Errorf("what is signed through %d covers %d, and the alarm is %d", covered, m.seq, alarm)
			}
			says := fmt.Sprintf("a second version %d of lockbox.event.%s.request.%s: CustomerApproved", denial.GetVersion(),
				bank, denied)
			within(t, patience, "the watcher to see it", func() bool { // it is shown after it is reported
				err = w.Watch(t.Context(), time.Minute, true)
				return err != nil
			})
			if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), says) {
				t.Fatalf("the watcher says %v", err)
			}
			kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
			must(t, err)
			proves := ""
			for _, name := range kept {
				e, err := verifier.CheckEvidence(name, w.Trust)
				must(t, err)
				proves += e.Text()
			}
			// Where events are signed, their bytes convict the log as well as their order.
			const unsigned = "CustomerApproved: not signed by its writer: it has no signature"
			if !strings.Contains(proves, says) || strings.Contains(proves, unsigned) == row.unsigned ||
				row.unsigned != (len(kept) == 1) {
				t.Errorf("%v proves %s", kept, proves)
			}
			if out, is := w.Out.(*bytes.Buffer); !row.unsigned && (!is ||
				!strings.Contains(out.String(), "or not rightly there: an alarm says so since")) {
				t.Errorf("of what the provider says of it, it says %s", out)
			}
			if row.kind == lockboxv1.DifferenceKind_DIFFERENCE_KIND_CHANGED {
				l.does("otto", approve(other))
				l.reaches(other, request.Active)
			}
			if n := len(l.history(journal.Replay{Kind: aggregate.KindAlarm})); n != 1 {
				t.Errorf("%d alarms", n)
			}
		})
	}
}

// A customer whose policy demands a witness is shown what it has cosigned, and nothing else: while it is away the log
// goes on, nobody is accused, and it shows how old that is.
func TestACustomersWatcherIsShownWhatItsWitnessHasSeen(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	l.close()
	vkey, err := os.ReadFile(filepath.Join(l.config.Dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	alpha := witnessed(t, "alpha", string(vkey))
	l.config.LogPolicy, l.config.LogAddr = filepath.Join(t.TempDir(), "policy"), "127.0.0.1:0"
	must(t, os.WriteFile(l.config.LogPolicy, []byte("log "+string(vkey)+alpha.line+"quorum alpha\n"), 0o600))
	l.open()
	w := l.watcher("audrey")
	w.Trust, w.MaxAge = verifier.Trust{Policy: l.config.LogPolicy}, time.Hour
	look := func() (said string, err error) {
		out := new(bytes.Buffer)
		w.Out = out
		err = w.Watch(t.Context(), time.Minute, true)
		return out.String(), err
	}
	within(t, patience, "a checkpoint that the witness has cosigned", func() bool {
		_, err := look()
		return err == nil
	})
	l.requested(l.intent("erin"), request.CustomerNotified)
	(&written{lockbox: l}).signed()
	within(t, patience, "the next one", func() bool {
		said, err := look()
		must(t, err)
		return strings.Contains(said, "entries read")
	})

	alpha.away.Store(true)
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	(&written{lockbox: l}).signed()
	within(t, patience, "nothing new", func() bool { // what the witness cosigned before it was away may come first
		said, err := look()
		must(t, err)
		return strings.Contains(said, "nothing new")
	})
	w.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := look(); !errors.Is(err, verifier.ErrStale) {
		t.Errorf("two hours later the watcher says %v", err)
	}
	w.Now = time.Now
	alpha.away.Store(false)
	within(t, patience, "the log to be shown as it is", func() bool {
		said, err := look()
		must(t, err)
		return strings.Contains(said, "the log grew") && strings.Contains(said, "entries read")
	})
	l.whole(l.history(journal.Replay{ID: id})[0].Seq)
	if kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*"); err != nil || len(kept) > 0 {
		t.Errorf("evidence was kept: %v, %v", kept, err)
	}
}
