package bench

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"google.golang.org/protobuf/proto"
)

const (
	// alike is how many requests differ in nothing but their ids. The events of so many are committed together, the first
	// events of all before the second ones, so that hardly two of one request lie side by side.
	alike = 150
	// alikeAtOnce is how many times alike are written at the same time.
	alikeAtOnce = 4
)

// bulk stores n requests whose grants are over, many times faster than through the journal, and returns their ids.
func (b *bench) bulk(ctx context.Context, s *site, n int) ([]string, error) {
	ids := make([]string, n)
	var starts []int
	for i := 0; i < n; i += alike {
		starts = append(starts, i)
	}
	return ids, s.with(ctx, none, func(running *stack.Stack) error {
		p, err := connectAll(ctx, running, bus.Evaluator, bus.Orchestrator)
		if err != nil {
			return err
		}
		defer p.Close()
		w, err := newWriter(ctx, s, p[bus.Orchestrator].Journal)
		if err != nil {
			return err
		}
		var done atomic.Int64
		return eachAtOnce(ctx, alikeAtOnce, starts, func(ctx context.Context, i int) error {
			some := ids[i:min(i+alike, n)]
			if err := p.store(ctx, w.generate(time.Now().Add(-24*time.Hour), over), some); err != nil {
				return err
			}
			now, tenth := int(done.Add(int64(len(some)))), max(1, n/10)
			if now/tenth > (now-len(some))/tenth {
				b.say("writing requests in bulk: %d of %d", now, n)
			}
			return nil
		})
	})
}

// store commits a life once for each of ids, under ids that it makes. Those have one length, so they can be replaced in
// what is marshalled.
func (p peers) store(ctx context.Context, l life, ids []string) error {
	alike := make([]*strings.Replacer, len(ids))
	for i := range ids {
		var pairs []string
		for _, old := range append([]string{l.intent.GetId()}, l.eventIDs()...) {
			id, err := newID()
			if err != nil {
				return err
			}
			pairs = append(pairs, old, id)
		}
		ids[i], alike[i] = pairs[1], strings.NewReplacer(pairs...)
	}
	var batch []*nats.Msg
	var unsigned []signed.Unsigned
	before := make([][sha256.Size]byte, len(ids)) // the content of each request's last event
	for i, e := range l.events {
		subject, err := bus.EventSubject(e)
		if err != nil {
			return err
		}
		data, err := proto.Marshal(e)
		if err != nil {
			return err
		}
		for n, as := range alike {
			u := signed.Unsigned{Subject: as.Replace(subject), Previous: before[n], Content: []byte(as.Replace(string(data)))}
			before[n], unsigned = signed.Hash(u.Content), append(unsigned, u)
			batch = append(batch, &nats.Msg{Subject: u.Subject,
				Header: nats.Header{jetstream.MsgIDHeader: {as.Replace(e.GetId())}}})
		}
		writer := aggregate.WriterOf(e)
		if i+1 < len(l.events) && aggregate.WriterOf(l.events[i+1]) == writer {
			continue
		}
		by := p[bus.Identity(writer)]
		stored, err := by.signer.Sign(unsigned)
		if err != nil {
			return err
		}
		for n := range batch {
			batch[n].Data = stored[n]
		}
		if err := commit(ctx, by.Conn, batch); err != nil {
			return err
		}
		batch, unsigned = nil, nil
	}
	return nil
}

func (l life) eventIDs() (ids []string) {
	for _, e := range l.events {
		ids = append(ids, e.GetId())
	}
	return ids
}

// commit stores messages as one atomic batch.
func commit(ctx context.Context, nc *nats.Conn, batch []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id, err := newID()
	if err != nil {
		return err
	}
	for i, m := range batch {
		m.Header["Nats-Batch-Id"] = []string{id}
		m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		if i+1 < len(batch) {
			if err := nc.PublishMsg(m); err != nil {
				return err
			}
		}
	}
	last := batch[len(batch)-1]
	last.Header["Nats-Batch-Commit"] = []string{"1"}
	m, err := nc.RequestMsgWithContext(ctx, last)
	if err != nil {
		return err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	if answer.Count != len(batch) {
		return fmt.Errorf("%d of %d events were stored", answer.Count, len(batch))
	}
	return nil
}
