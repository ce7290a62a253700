package projector

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// indexed is a stream that finds an aggregate as quickly as the bus does, and takes reports.
type indexed struct {
	story.Stream
	of      map[aggregate.Key]*story.Stream
	reports map[string]*lockboxv1.DifferenceFound
}

func streamOf(entries []journal.Entry) *indexed {
	s := &indexed{Stream: story.Stream{Entries: entries}, of: map[aggregate.Key]*story.Stream{},
		reports: map[string]*lockboxv1.DifferenceFound{}}
	for _, e := range entries {
		key := aggregate.KeyOf(e.Event)
		if s.of[key] == nil {
			s.of[key] = new(story.Stream)
		}
		s.of[key].Entries = append(s.of[key].Entries, e)
	}
	return s
}

func (s *indexed) Replay(ctx context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	if r.ID == "" {
		return s.Stream.Replay(ctx, r, handle)
	}
	if own := s.of[aggregate.Key{Tenant: r.Tenant, Kind: r.Kind, ID: r.ID}]; own != nil {
		return own.Replay(ctx, journal.Replay{}, handle)
	}
	return nil
}

func (s *indexed) Report(_ context.Context, e *lockboxv1.Event) (seq uint64, stored bool, err error) {
	if s.reports[e.GetReportKey()] != nil {
		return 0, false, nil
	}
	s.reports[e.GetReportKey()] = e.GetDifferenceFound()
	return 0, true, nil
}

// watching is a watch and what it does.
type watching struct {
	*mailWatch
	log    *observer.ObservedLogs
	alarms int
}

func watch(t testing.TB, file string, s mailStream, now time.Time) *watching {
	t.Helper()
	core, log := observer.New(zap.WarnLevel)
	w := &watching{log: log}
	w.mailWatch = &mailWatch{file: file, stream: s, within: invariant.MailWithin, alarm: func() { w.alarms++ },
		now: func() time.Time { return now }, log: zap.New(core)}
	w.resume()
	return w
}

// looks looks until there is no more, as run does.
func (w *watching) looks(t testing.TB) *watching {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// said are the mails that alarms in the log name, and forgets them.
func (w *watching) said() (mails []string) {
	for _, entry := range w.log.TakeAll() {
		for _, m := range entry.ContextMap()["mails"].([]any) { //nolint:errcheck,forcetypeassert // it is what is logged
			mails = append(mails, m.(string)) //nolint:errcheck,forcetypeassert // as above
		}
	}
	return mails
}

// tale is a customer who is asked, two minutes after it was created, with reports of its administrator's mails.
func tale() *story.Story {
	s := story.New(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	s.Create("contoso", "Contoso", nil, story.Customer("contoso", "gina"))
	s.Subscription("contoso", "sub-1", "Production")
	s.Assign(story.Customer("contoso", "gina"), "contoso", "sub-1", "otto", story.Customer("contoso", "otto"),
		lockboxv1.Role_ROLE_OWNER, false)
	for _, m := range invariant.Mails(s.History(), 0) {
		mailed(s, m)
	}
	s.Now = s.Now.Add(2 * time.Minute)
	s.Submit(story.Provider("erin", aggregate.SupportEngineers), story.Dump("contoso", "sub-1", "vm-1"))
	return s
}

func mailed(s *story.Story, m invariant.Mail) {
	s.Record(&lockboxv1.Event{Tenant: m.Tenant, Kind: aggregate.KindDelivery, AggregateId: m.EventID, ReportKey: s.ID(),
		Actor: story.System("notifier"), Fact: &lockboxv1.Event_NotificationSent{
			NotificationSent: &lockboxv1.NotificationSent{Notification: &lockboxv1.Notification{EventId: m.EventID,
				Template: m.Template, Recipient: m.Recipient}}}})
}

func TestI16AMailThatNobodyReportsIsAnAlarmOnce(t *testing.T) {
	s, file := tale(), filepath.Join(t.TempDir(), "mails")
	asked := s.Now
	stream := streamOf(s.Entries)
	missing := []string{"approval-requested to otto@contoso.example", "customer-asked to erin@nimbus.example"}

	if w := watch(t, file, stream, asked.Add(invariant.MailWithin)).looks(t); len(w.said()) > 0 || w.alarms > 0 {
		t.Error("an alarm before the time is over")
	}
	now := asked.Add(invariant.MailWithin + time.Second)
	w := watch(t, file, stream, now).looks(t)
	if diff := cmp.Diff(missing, w.said()); diff != "" || w.alarms != 2 {
		t.Errorf("%d alarms (-want +got):\n%s", w.alarms, diff)
	}
	f := stream.reports["mails-2026-03-02T09"]
	if len(stream.reports) != 1 || f.GetKind() != lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE ||
		f.GetCount() != 1 || len(f.GetSubjects()) != 1 || !strings.HasSuffix(f.GetSubjects()[0], ".CustomerNotified") {
		t.Errorf("the stream has %v", stream.reports)
	}
	if w.looks(t); len(w.said()) > 0 {
		t.Error("a second look raises it again")
	}
	if w := watch(t, file, stream, now.Add(time.Hour)).looks(t); len(w.said()) > 0 || w.alarms > 0 {
		t.Error("a restart raises it again")
	}
	must(t, os.Remove(file))
	if w := watch(t, file, stream, now).looks(t); len(w.said()) != 2 || len(stream.reports) != 1 {
		t.Error("a new directory does not look back, or tells the security officers again")
	}
}

func TestI16AMailIsNoAlarmOnceItIsReported(t *testing.T) {
	s := tale()
	for _, m := range invariant.Mails(s.History(), 0) {
		if m.Reported.IsZero() {
			mailed(s, m)
		}
	}
	w := watch(t, filepath.Join(t.TempDir(), "mails"), streamOf(s.Entries), s.Now.Add(time.Hour)).looks(t)
	if said := w.said(); len(said) > 0 || w.alarms > 0 {
		t.Errorf("an alarm about %v", said)
	}
}

func TestI16AWatchBeginsAnewWithAnotherStream(t *testing.T) {
	s, file := tale(), filepath.Join(t.TempDir(), "mails")
	must(t, os.WriteFile(file, []byte("4711"), 0o600))
	w := watch(t, file, streamOf(s.Entries), s.Now.Add(time.Hour))
	must(t, func() error {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		w.run(ctx)
		return nil
	}())
	if w.alarms != 2 {
		t.Errorf("%d alarms", w.alarms)
	}
}

// Events of which no mail was reported, looked at from the beginning: the watch keeps nothing of them, and raises one
// alarm an hour in the stream.
func TestI16TheWatchKeepsNothing(t *testing.T) {
	s := story.Crowd(2000)
	stream := streamOf(s.Entries)
	w := watch(t, filepath.Join(t.TempDir(), "mails"), stream, s.Now.Add(time.Hour))
	w.mailWatch.log = zap.NewNop()
	most, before := uint64(0), heap()
	begun := time.Now()
	for more := true; more; {
		var err error
		if more, err = w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		most = max(most, heap())
	}
	t.Logf("%d events, %d mails are missing, %v an event, at most %d KiB", len(s.Entries), w.alarms,
		time.Since(begun)/time.Duration(len(s.Entries)), (most-min(before, most))>>10)
	if w.alarms < 2000 || most > before+8<<20 {
		t.Errorf("%d alarms, %d bytes more", w.alarms, most-before)
	}
	if hours := int(s.Now.Sub(s.Entries[0].Stored).Hours()) + 2; len(stream.reports) > hours {
		t.Errorf("%d alarms in the stream about %d hours", len(stream.reports), hours)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
