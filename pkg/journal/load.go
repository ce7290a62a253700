package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// chunk is how many versions are requested at once when an aggregate does not fit in one answer, which holds 1024.
const chunk = 1000

// errTooLong means that the result does not fit in one answer.
var errTooLong = errors.New("journal: too many events for one answer")

// Load returns all events of an aggregate in version order; none if it does not exist. It reads from any replica, so on
// a cluster the result may be older or newer than the leader's; a following append detects that. It returns a
// *HistoryError if the events contradict each other, and a *MisfitError if there is a message among them that cannot be
// an event and was not set aside. If nothing is found in a stream that has lost events, that is UNAVAILABLE.
func (j *Journal) Load(ctx context.Context, agg aggregate.Key) ([]Entry, error) {
	if err := checkDecided(agg); err != nil {
		return nil, err
	}
	entries, err := j.lastOf(ctx, []string{bus.Filter(agg)})
	if errors.Is(err, errTooLong) {
		entries, err = j.loadLong(ctx, agg)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", agg, err)
	}
	if n := len(entries); n > 0 {
		raise(&j.frontier.seen, entries[n-1].Seq)
	}
	return entries, checkHistory(entries)
}

// loadLong requests a thousand versions at a time, which needs no permission to create consumers.
func (j *Journal) loadLong(ctx context.Context, agg aggregate.Key) ([]Entry, error) {
	var all []Entry
	for {
		filters := make([]string, chunk)
		for i := range filters {
			filters[i] = bus.VersionFilter(agg, uint64(len(all)+i+1))
		}
		entries, err := j.lastOf(ctx, filters)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
		if len(entries) < chunk {
			return all, nil
		}
	}
}

// LoadAtLeader is Load as of the stream's leader, and so is never stale.
func (j *Journal) LoadAtLeader(ctx context.Context, agg aggregate.Key) ([]Entry, error) {
	news, err := j.Since(ctx, Version{Key: agg})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", agg, err)
	}
	return news[0].Entries, news[0].Err
}

func checkDecided(agg aggregate.Key) error {
	if aggregate.Reported(agg.Kind) {
		return refusal.Invalid("kind", rule, "a %s is reported, never loaded to decide", agg.Kind)
	}
	return agg.Check()
}

// checkHistory returns a *HistoryError unless the versions are 1, 2, 3 … in the order of storage.
func checkHistory(entries []Entry) error {
	last := uint64(0)
	for i, e := range entries {
		if e.Event.GetVersion() != uint64(i+1) {
			return &HistoryError{e.Seq, "versions count 1, 2, 3 …"}
		}
		if e.Seq <= last {
			return &HistoryError{e.Seq, "sequences rise with versions"}
		}
		last = e.Seq
	}
	return nil
}

// lastOf returns the last event on each subject under the filters, in stream order, as one consistent answer.
func (j *Journal) lastOf(ctx context.Context, filters []string) ([]Entry, error) {
	found, err := j.find(ctx, filters)
	if err != nil {
		return nil, err
	}
	return j.entries(ctx, found)
}

// find is lastOf without decoding the events.
func (j *Journal) find(ctx context.Context, filters []string) ([]storedMsg, error) {
	request, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
	}{filters})
	if err != nil {
		return nil, err
	}
	replies, err := j.requestMany(ctx, bus.DirectGetSubject(bus.StreamEvents), request)
	if err != nil {
		return nil, err
	}
	end := replies[len(replies)-1]
	switch status := end.Header.Get("Status"); {
	case status == "413", status == "204" && end.Header.Get("Nats-Num-Pending") != "0":
		return nil, errTooLong
	case status == "404" && len(replies) == 1 && end.Header.Get("Description") == "No Results":
		return nil, j.confirmNothing(ctx)
	case status != "204":
		// This includes a 404 for a message that is in the index but not in the store: that must not be mistaken for "none".
		return nil, refusal.Unavailable("", "I11", "the bus answers %s %s", status, end.Header.Get("Description"))
	}
	found := make([]storedMsg, len(replies)-1)
	for i, m := range replies[:len(replies)-1] {
		if found[i], err = direct(m); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// direct returns the message that a replica answered.
func direct(m *nats.Msg) (storedMsg, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil || seq == 0 {
		return storedMsg{}, &CorruptError{0, "an event has a sequence"}
	}
	stored, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return storedMsg{}, &CorruptError{seq, "an event has a time"}
	}
	return storedMsg{Subject: m.Header.Get(jetstream.SubjectHeader), Seq: seq, Data: m.Data, Time: stored}, nil
}

// following returns the events under a filter from a sequence or a time on, as many as fit in one answer of some
// replica; none if that replica has no more. An empty filter matches everything.
func (j *Journal) following(ctx context.Context, filter string, from uint64, since time.Time) ([]storedMsg, error) {
	return j.followingIn(ctx, bus.StreamEvents, filter, from, since)
}

// followingIn is following for any stream.
func (j *Journal) followingIn(
	ctx context.Context, stream, filter string, from uint64, since time.Time,
) ([]storedMsg, error) {
	question := struct {
		From   uint64     `json:"seq,omitempty"`
		Since  *time.Time `json:"start_time,omitempty"`
		Filter string     `json:"next_by_subj,omitempty"`
		Batch  int        `json:"batch"`
		Bytes  int        `json:"max_bytes"`
	}{From: from, Filter: filter, Batch: pullMessages, Bytes: pullBytes}
	if !since.IsZero() {
		question.From, question.Since = 0, &since
	}
	request, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	replies, err := j.requestMany(ctx, bus.DirectGetSubject(stream), request)
	if err != nil {
		return nil, err
	}
	end := replies[len(replies)-1]
	replies = replies[:len(replies)-1]
	switch status := end.Header.Get("Status"); {
	case status == "404" && len(replies) == 0:
		return nil, nil
	case status != "204":
		return nil, refusal.Unavailable("", "I11", "the bus answers %s %s", status, end.Header.Get("Description"))
	}
	// Each message names the one before it, so that none can be lost on the way.
	before := "0"
	found := make([]storedMsg, len(replies))
	for i, m := range replies {
		if found[i], err = direct(m); err != nil {
			return nil, err
		}
		if m.Header.Get(lastSequenceHeader) != before {
			return nil, refusal.Unavailable("", "I11", "an answer of the bus arrived in part")
		}
		before = m.Header.Get(jetstream.SequenceHeader)
	}
	if end.Header.Get(lastSequenceHeader) != before {
		return nil, refusal.Unavailable("", "I11", "an answer of the bus arrived in part")
	}
	if len(found) > 0 {
		left, err := strconv.ParseUint(end.Header.Get("Nats-Num-Pending"), 10, 64)
		if err != nil {
			return nil, refusal.Unavailable("", "I11", "the bus does not say how much is left")
		}
		for i := range found {
			found[i].Pending = left
		}
	}
	return found, nil
}

// lastSequenceHeader names the message before, in an answer of several.
const lastSequenceHeader = "Nats-Last-Sequence"

// requestMany collects answers up to and including the first that has a status header.
func (j *Journal) requestMany(ctx context.Context, subject string, data []byte) ([]*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // otherwise the answer might arrive before ctx is checked
	}
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	var replies []*nats.Msg
	done := make(chan struct{})
	over := false
	reply := j.inbox.expect(func(m *nats.Msg) {
		if over {
			return
		}
		replies = append(replies, m)
		if m.Header.Get("Status") != "" {
			over = true
			close(done)
		}
	})
	defer j.inbox.forget(reply)
	if err := j.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: data}); err != nil {
		return nil, fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the bus cannot be asked"), err)
	}
	select {
	case <-done:
		return replies, nil
	case <-ctx.Done():
		return nil, j.complaint(fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the bus does not answer"), ctx.Err()))
	}
}

// At returns the event at a version of an aggregate, or under a report's key, from the stream's leader; a zero Entry if
// there is none.
func (j *Journal) At(ctx context.Context, agg aggregate.Key, version string) (Entry, error) {
	if err := errors.Join(agg.Check(), input.Token("version", version)); err != nil {
		return Entry{}, err
	}
	return j.lastAtLeader(ctx, bus.PlaceFilter(agg, version))
}

// lastAtLeader returns the last event under a filter from the stream's leader; sequence 0 if there is none.
func (j *Journal) lastAtLeader(ctx context.Context, filter string) (Entry, error) {
	m, err := j.stored(ctx, bus.StreamEvents, wanted{Last: filter})
	if err != nil || m.Seq == 0 {
		return Entry{}, err
	}
	return j.read(ctx, m)
}

type storedMsg struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
	// Pending is how many messages were left after the answer that held this one.
	Pending uint64 `json:"-"`
}

// wanted selects one message: the last under a filter, or the first under a filter from a sequence on.
type wanted struct {
	Last string `json:"last_by_subj,omitempty"`
	Next string `json:"next_by_subj,omitempty"`
	Seq  uint64 `json:"seq,omitempty"`
}

// stored reads one message from the stream's leader; sequence 0 if there is none.
func (j *Journal) stored(ctx context.Context, stream string, w wanted) (storedMsg, error) {
	request, err := json.Marshal(w)
	if err != nil {
		return storedMsg{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message storedMsg           `json:"message"`
	}
	if err := j.ask(ctx, bus.MessageGetSubject(stream), request, &answer); err != nil {
		return storedMsg{}, err
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return storedMsg{}, nil
	case answer.Error != nil:
		return storedMsg{}, answer.Error
	case answer.Message.Seq == 0:
		return storedMsg{}, refusal.Unavailable("", "I11", "the bus answers without a message")
	}
	return answer.Message, nil
}

// replicasStale is how long a replica count of one is trusted: replicas may be added while a service runs.
const replicasStale = 10 * time.Second

// standsAlone reports whether EVENTS has a single replica, so that every read is from the leader.
func (j *Journal) standsAlone(ctx context.Context) (bool, error) {
	if n, asked := j.replicas.Load(), j.replicasAsked.Load(); n > 1 || n == 1 &&
		time.Since(time.Unix(0, asked)) < replicasStale {
		return n == 1, nil
	}
	var info struct {
		Error  *jetstream.APIError `json:"error"`
		Config struct {
			Replicas int64 `json:"num_replicas"`
		} `json:"config"`
	}
	if err := j.ask(ctx, bus.StreamInfoSubject(bus.StreamEvents), nil, &info); err != nil {
		return false, err
	}
	if info.Error != nil {
		return false, info.Error
	}
	j.replicas.Store(info.Config.Replicas)
	j.replicasAsked.Store(time.Now().UnixNano())
	return info.Config.Replicas == 1, nil
}

// ask sends a request and decodes its JSON answer.
func (j *Journal) ask(ctx context.Context, subject string, request []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	m, err := j.nc.RequestWithContext(ctx, subject, request)
	if err != nil {
		return j.complaint(fmt.Errorf("%w: %w", refusal.Unavailable("", "I11", "the bus does not answer"), err))
	}
	return json.Unmarshal(m.Data, answer)
}
