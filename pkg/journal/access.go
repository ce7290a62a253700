package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// accessLook is the time between two looks for new access records.
const accessLook = 200 * time.Millisecond

// PutAccess stores an access record under its own day and returns once it is on disk. It returns ErrFull if as many are
// kept of that customer, service, sender and day as may be, and ErrUnknown if the bus does not answer; putting the same
// record again is safe.
func (j *Journal) PutAccess(ctx context.Context, r *lockboxv1.AccessRecord) error {
	subject, err := accessSubject(r)
	if err != nil {
		return err
	}
	data, err := proto.Marshal(r)
	if err != nil {
		return refusal.Invalid("record", rule, "cannot be marshalled: %v", err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(nats.MsgIdHdr, r.GetId())
	_, err = j.publish(ctx, m)
	if full(err) {
		return fmt.Errorf("%w: %d a day on %s", ErrFull, bus.MaxAccessRecords, subject)
	}
	return err
}

// accessSubject is where a record is stored.
func accessSubject(r *lockboxv1.AccessRecord) (string, error) {
	return bus.AccessAddress{Tenant: r.GetTenant(), Service: bus.Identity(r.GetService()), Sender: r.GetSender(),
		Day: r.GetTime().AsTime().Format(time.DateOnly)}.Subject()
}

// AccessEntry is a stored access record.
type AccessEntry struct {
	Seq uint64
	// Record is nil if what is stored is none.
	Record *lockboxv1.AccessRecord
	// Pending is how many more there were when this one was read.
	Pending uint64
}

// ReplayAccess passes the access records from a sequence on to handle, in stream order, until the end or, with follow,
// until ctx ends. A record that does not say what its subject says is logged and counts as none: whoever wrote it held
// one service's key, and wrote in another's name or about another customer.
func (j *Journal) ReplayAccess(ctx context.Context, from uint64, follow bool, handle func(AccessEntry) error) error {
	for next := max(1, from); ; {
		found, err := j.followingIn(ctx, bus.StreamAccess, ">", next, time.Time{})
		switch {
		case ctx.Err() != nil && follow:
			return nil
		case err != nil:
			return fmt.Errorf("journal: access records: %w", err)
		}
		for i, m := range found {
			next = m.Seq + 1
			r := new(lockboxv1.AccessRecord)
			subject := ""
			if err = proto.Unmarshal(m.Data, r); err == nil {
				subject, err = accessSubject(r)
			}
			if err != nil || subject != m.Subject {
				j.log.Error("ALARM: an access record is not what its subject says; it counts as none",
					zap.Uint64("sequence", m.Seq), zap.String("subject", m.Subject), zap.Error(err))
				r = nil
			}
			if err := handle(AccessEntry{m.Seq, r, m.Pending + behind(found, i)}); err != nil {
				return err
			}
		}
		if len(found) > 0 {
			continue
		}
		if !follow {
			return nil
		}
		if sleep(ctx, accessLook) != nil {
			return nil //nolint:nilerr // ctx has ended
		}
	}
}

// AccessStream returns what tells this stream of access records from another that was created in its place, and the
// sequence of its last record.
func (j *Journal) AccessStream(ctx context.Context) (created string, last uint64, err error) {
	var info struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
		Created string `json:"created"`
		State   struct {
			Last uint64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := j.ask(ctx, bus.StreamInfoSubject(bus.StreamAccess), nil, &info); err != nil {
		return "", 0, err
	}
	if info.Error != nil {
		return "", 0, refusal.Unavailable("", "I11", "the bus answers about %s: %s", bus.StreamAccess,
			info.Error.Description)
	}
	return info.Created, info.State.Last, nil
}
