package journaltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// stray is what a server might answer where an event was expected.
var stray = []byte(`{"stream":"EVENTS","seq":7}`)

// setAside is the decision of a security officer about a stored message.
func setAside(m journal.Misfit) *lockboxv1.Event {
	at := aggregate.Guard
	return &lockboxv1.Event{
		Id: NewID(), Tenant: at.Tenant, Kind: at.Kind, AggregateId: at.ID, ReportKey: NewID(),
		Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{Subject: "olga"},
			Groups: []string{aggregate.SecurityOfficers}},
		Fact: &lockboxv1.Event_MessageSetAside{MessageSetAside: &lockboxv1.MessageSetAside{
			Sequence: m.Seq, Sha256: m.SHA256, Subject: m.Subject, Reason: "it says nothing",
		}},
	}
}

func (c *contract) decide(t *testing.T, decision *lockboxv1.Event) {
	t.Helper()
	if _, stored, err := c.writer.Report(t.Context(), decision); err != nil || !stored {
		t.Fatalf("decided: %v, %v", stored, err)
	}
}

// onSubject builds a subject of an aggregate; version need not be one.
func onSubject(agg aggregate.Key, version, typ string) string {
	return strings.TrimSuffix(bus.Filter(agg), ">") + version + "." + typ
}

// found waits until the aggregate is at fault because of a message that cannot be an event, and returns it.
func (c *contract) found(t *testing.T, agg aggregate.Key) journal.Misfit {
	t.Helper()
	var misfit *journal.MisfitError
	for _, load := range []func(context.Context, aggregate.Key) ([]journal.Entry, error){c.writer.Load,
		c.writer.LoadAtLeader} {
		waitFor(t, "the message to be found", func() bool { // by a replica that may lag
			_, err := load(t.Context(), agg)
			return errors.As(err, &misfit)
		})
	}
	m, err := c.writer.Misfit(t.Context(), misfit.Seq)
	if err != nil || m.Subject != misfit.Subject || m.Size != misfit.Size || !bytes.Equal(m.SHA256, misfit.SHA256) {
		t.Errorf("%+v, %v", m, err)
	}
	return misfit.Misfit
}

// versions says which versions are loaded, everywhere.
func (c *contract) versions(t *testing.T, agg aggregate.Key, known journal.Version) []uint64 {
	t.Helper()
	waitFor(t, "no replica to be at fault", func() bool {
		_, err := c.writer.Load(t.Context(), agg)
		return err == nil
	})
	news, err := c.writer.Since(t.Context(), known)
	if err != nil || news[0].Err != nil {
		t.Fatalf("since %d: %v, %v", known.Version, news, err)
	}
	var since, all []uint64
	for _, e := range mustLoad(t, c.writer, agg) {
		all = append(all, e.Event.GetVersion())
	}
	for _, e := range news[0].Entries {
		since = append(since, e.Event.GetVersion())
	}
	if want := all[known.Version:]; !news[0].Whole && !slices.Equal(since, want) {
		t.Errorf("since version %d: %v, and all are %v", known.Version, since, all)
	}
	return all
}

func (c *contract) misfits() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"what cannot be an event is skipped by followers":               c.misfitsSkipped,
		"an aggregate is at fault until a message is set aside":         c.misfitsSetAside,
		"only a security officer sets aside, and exactly one message":   c.misfitsSetAsideByWhom,
		"the place of a message that was set aside stays taken":         c.misfitsTakePlaces,
		"a report whose key is taken by such a message is stored still": c.misfitsTakeKeys,
		"a scan passes over messages without bytes":                     c.scannedEmpty,
		"what is no dead letter is listed among them":                   c.noDeadLetter,
	}
}

func (c *contract) misfitsSkipped(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindRequest)
	subject := onSubject(newAggregate(agg.Tenant, aggregate.KindRequest), "1", "CustomerDenied")
	empty := onSubject(newAggregate(agg.Tenant, aggregate.KindRequest), "1", "CustomerApproved")
	publishRaw(t, c.bus, subject, stray)
	publishRaw(t, c.bus, empty, nil)
	_, seqs := mustAppend(t, c.writer, agg, 2)

	var mu sync.Mutex
	skipped, followed := map[string]bool{}, map[uint64]bool{}
	j := c.bus.Journal(t, bus.Orchestrator, journal.WithSkipped(func(m journal.Misfit) {
		mu.Lock()
		defer mu.Unlock()
		if m.Subject == subject || m.Subject == empty {
			skipped[m.Subject] = true
		}
	}))
	own := contract{c.bus, j, c.reader}
	stop := own.follow(t, following, func(_ context.Context, e journal.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		if aggregate.KeyOf(e.Event) == agg {
			followed[e.Seq] = true
		}
		return nil
	})
	defer stop()
	// What was sent behind the message without bytes may be redelivered, and then in any order.
	waitFor(t, "the events behind it", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(followed) == len(seqs) && len(skipped) == 2
	})
	stop()

	if got := c.replay(t, journal.Replay{Tenant: agg.Tenant}); len(got) != 2 || got[0].Seq != seqs[0] {
		t.Errorf("replayed: %v", got)
	}
	var told []journal.Misfit
	err := c.reader.Replay(t.Context(), journal.Replay{Tenant: agg.Tenant,
		Misfit: func(e journal.Entry, m journal.Misfit) error {
			if e.Event != nil || e.Seq != m.Seq || e.Subject != m.Subject {
				t.Errorf("%+v is told as %+v", e, m)
			}
			told = append(told, m)
			return nil
		}}, func(journal.Entry) error { return nil })
	sum := sha256.Sum256(stray)
	if err != nil || len(told) != 2 || told[0].Subject != subject || !bytes.Equal(told[0].SHA256, sum[:]) ||
		told[0].Size != len(stray) || told[0].Rule == "" || told[1].Subject != empty || told[1].Size != 0 {
		t.Errorf("told: %+v, %v", told, err)
	}
}

func (c *contract) misfitsSetAside(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	_, seqs := mustAppend(t, c.writer, agg, 2)
	known := journal.Version{Key: agg, Version: 2, Sequence: seqs[1]}
	after, version := seqs[1], uint64(3)
	for name, subject := range map[string]string{
		"on the next version":        onSubject(agg, "3", "TicketOpened"),
		"on the last version":        onSubject(agg, "2", "TicketOpened"),
		"on a version to come":       onSubject(agg, "9", "TicketAssigned"),
		"on one that is no version":  onSubject(agg, "x", "TicketCommented"),
		"on the version after those": onSubject(agg, "4", "TicketReassigned"),
	} {
		publishRaw(t, c.bus, subject, stray)
		m := c.found(t, agg)
		var misfit *journal.MisfitError
		e := Event(agg, version)
		if _, err := c.writer.Append(t.Context(), after, e); !errors.Is(err, journal.ErrConflict) ||
			!errors.As(err, &misfit) || misfit.Subject != subject {
			t.Errorf("%s: an append beside it: %v", name, err)
		}
		c.decide(t, setAside(m))
		all := c.versions(t, agg, known)
		if uint64(len(all)) != version-1 {
			t.Fatalf("%s: the events are %v", name, all)
		}
		seq, err := c.writer.Append(t.Context(), after, e)
		if err != nil {
			t.Fatalf("%s: an append after it was set aside: %v", name, err)
		}
		after, version = seq, version+1
		if all = c.versions(t, agg, known); !slices.Equal(all, upTo(version-1)) {
			t.Errorf("%s: afterwards the events are %v", name, all)
		}
		c.versions(t, agg, journal.Version{Key: agg, Version: version - 1, Sequence: seq})
	}
	again := c.bus.Journal(t, bus.Orchestrator)
	if entries := mustLoad(t, again, agg); len(entries) != 7 {
		t.Errorf("who starts later loads %d events", len(entries))
	}
}

// upTo is 1, 2, 3 … n.
func upTo(n uint64) (all []uint64) {
	for v := uint64(1); v <= n; v++ {
		all = append(all, v)
	}
	return all
}

func (c *contract) misfitsSetAsideByWhom(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	_, seqs := mustAppend(t, c.writer, agg, 1)
	publishRaw(t, c.bus, onSubject(agg, "2", "TicketOpened"), stray)
	m := c.found(t, agg)
	for name, spoil := range map[string]func(*lockboxv1.Event){
		"an engineer":       func(e *lockboxv1.Event) { e.Actor.Groups = []string{aggregate.SupportEngineers} },
		"a customer":        func(e *lockboxv1.Event) { e.Actor.Side = lockboxv1.Side_SIDE_TENANT },
		"nobody":            func(e *lockboxv1.Event) { e.Actor = nil },
		"other bytes":       func(e *lockboxv1.Event) { e.GetMessageSetAside().Sha256 = make([]byte, sha256.Size) },
		"another subject":   func(e *lockboxv1.Event) { e.GetMessageSetAside().Subject += "X" },
		"another message":   func(e *lockboxv1.Event) { e.GetMessageSetAside().Sequence = seqs[0] },
		"what is not there": func(e *lockboxv1.Event) { e.GetMessageSetAside().Sequence += 1 << 20 },
	} {
		decision := setAside(m)
		spoil(decision)
		c.decide(t, decision)
		if _, found, err := c.writer.SetAside(t.Context(), m); found || err != nil {
			t.Errorf("%s: set aside %v, %v", name, found, err)
		}
		c.found(t, agg)
	}
	if _, err := c.writer.Misfit(t.Context(), seqs[0]); !refusal.Is(err,
		lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION) {
		t.Errorf("an event: %v", err)
	}
	if _, err := c.writer.Misfit(t.Context(), 1<<40); !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) {
		t.Errorf("nothing: %v", err)
	}
	decision := setAside(m)
	c.decide(t, decision)
	by, found, err := c.reader.SetAside(t.Context(), m)
	if err != nil || !found || by.Event.GetId() != decision.GetId() {
		t.Errorf("by %v, %v, %v", by.Event, found, err)
	}
}

func (c *contract) misfitsTakePlaces(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	_, seqs := mustAppend(t, c.writer, agg, 1)
	comment := Event(agg, 2)
	subject, err := bus.EventSubject(comment)
	if err != nil {
		t.Fatal(err)
	}
	publishRaw(t, c.bus, subject, stray)
	c.decide(t, setAside(c.found(t, agg)))
	c.versions(t, agg, journal.Version{Key: agg})
	if _, err := c.writer.Append(t.Context(), seqs[0], comment); !refusal.Is(err,
		lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION) {
		t.Errorf("the event whose place is taken: %v", err)
	}
	other := Event(agg, 2)
	other.Fact = &lockboxv1.Event_TicketAssigned{TicketAssigned: &lockboxv1.TicketAssigned{Team: "storage"}}
	seq, err := c.writer.Append(t.Context(), seqs[0], other)
	if err != nil {
		t.Fatalf("another event: %v", err)
	}
	if _, err := c.writer.Append(t.Context(), seq, Event(agg, 3)); err != nil {
		t.Errorf("and after that the first one's like: %v", err)
	}
	c.versions(t, agg, journal.Version{Key: agg})
}

func (c *contract) misfitsTakeKeys(t *testing.T) {
	decision := setAside(journal.Misfit{Seq: 1, SHA256: make([]byte, sha256.Size), Subject: "none"})
	subject, err := bus.EventSubject(decision)
	if err != nil {
		t.Fatal(err)
	}
	publishRaw(t, c.bus, subject, stray)
	if is, err := c.writer.Reported(t.Context(), subject); is || err != nil {
		t.Errorf("reported before it was: %v, %v", is, err)
	}
	seq, stored, err := c.writer.Report(t.Context(), decision)
	if err != nil || !stored {
		t.Fatalf("%v, %v", stored, err)
	}
	again, stored, err := c.writer.Report(t.Context(), decision)
	if err != nil || stored || again != seq {
		t.Errorf("again: %d after %d, %v, %v", again, seq, stored, err)
	}
	for _, e := range c.replay(t, journal.Replay{From: seq, Kind: aggregate.KindAlarm}) {
		want := decision.GetReportKey() + "-" + strconv.FormatUint(seq-1, 10)
		if e.Seq == seq && e.Event.GetReportKey() != want {
			t.Errorf("it has the key %s", e.Event.GetReportKey())
		}
	}
}

func (c *contract) scannedEmpty(t *testing.T) {
	agg := newAggregate(NewTenant(), aggregate.KindTicket)
	var want []string
	for i := range 12 {
		data := stray
		if i%3 > 0 {
			data = nil
		}
		subject := onSubject(agg, strconv.Itoa(i+1), "TicketOpened")
		publishRaw(t, c.bus, subject, data)
		want = append(want, subject)
	}
	projector := c.bus.Journal(t, bus.Projector)
	copies, err := projector.Copies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var next uint64
	waitFor(t, "a scan to reach the end", func() bool { // a busy cluster may not answer in time
		got, next = nil, 1
		err := projector.Scan(t.Context(), copies.Servers[0], copies.Last, func(m journal.Stored) error {
			if m.Sequence != next {
				t.Errorf("message %d comes where %d should", m.Sequence, next)
			}
			if next = m.Sequence + 1; strings.HasPrefix(m.Subject, strings.TrimSuffix(bus.Filter(agg), ">")) {
				got = append(got, m.Subject)
			}
			return nil
		})
		if err != nil {
			t.Log(err)
		}
		return err == nil
	})
	if !slices.Equal(got, want) || next != copies.Last+1 {
		t.Errorf("scanned %v up to %d", got, next-1)
	}
}

func (c *contract) noDeadLetter(t *testing.T) {
	publishRaw(t, c.bus, bus.DeadLetterSubject(string(bus.Orchestrator), "x"), []byte("\xff"))
	letter := &lockboxv1.DeadLetter{Service: string(bus.Orchestrator), Subject: NewTenant(), Data: []byte("x")}
	if err := c.writer.PublishDeadLetter(t.Context(), Tool, letter); err != nil {
		t.Fatal(err)
	}
	unreadable, found := 0, false
	err := c.reader.DeadLetters(t.Context(), 1, func(d journal.DeadLetter) error {
		if d.Letter == nil && string(d.Data) == "\xff" && d.Subject == bus.DeadLetterSubject(string(bus.Orchestrator), "x") {
			unreadable++
		}
		found = found || d.Letter.GetSubject() == letter.GetSubject()
		return nil
	})
	if err != nil || unreadable != 1 || !found {
		t.Errorf("%d, %v, %v", unreadable, found, err)
	}
}
