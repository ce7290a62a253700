package stack_test

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What the attempts of the trust table do to the records of who looked (R69).

// invented is a record of something that nobody did, as the holder of a key can write it.
func (i *insider) invented() *lockboxv1.AccessRecord {
	i.Helper()
	return &lockboxv1.AccessRecord{Id: newID(i), Tenant: bank, Time: timestamppb.Now(), Kind: read, Sender: "EDGE",
		Service: string(bus.Identity(i.nc.Opts.Name).Of()), Action: "get_request", AboutKind: aggregate.KindRequest,
		AboutId: newID(i), Count: 1, Who: &lockboxv1.AccessPerson{Issuer: "https://nimbus.example", Subject: "erin",
			Name: "Erin Ellis", Side: lockboxv1.Side_SIDE_PROVIDER}}
}

func (i *insider) inventsARecord() {
	i.Helper()
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	r := i.invented()
	must(i, j.PutAccess(i.Context(), r))
	i.recorded("grace", "one that nobody did", func(other *lockboxv1.AccessRecord) bool { return proto.Equal(r, other) })
}

func (i *insider) writesAsAnother() {
	i.Helper()
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	lie, after := i.invented(), i.invented()
	subject, err := bus.AccessAddress{Tenant: bank, Service: bus.Identity(lie.GetService()), Sender: "EDGE",
		Day: time.Now().UTC().Format(time.DateOnly)}.Subject()
	must(i, err)
	lie.Service = string(bus.Portal)
	data, err := proto.Marshal(lie)
	must(i, err)
	_, err = i.nc.Request(subject, data, patience)
	must(i, err)
	must(i, j.PutAccess(i.Context(), after))
	i.logged("ALARM: an access record is not what its subject says")
	i.recorded("grace", "the next one", func(r *lockboxv1.AccessRecord) bool { return r.GetId() == after.GetId() })
	for _, r := range i.records("grace", bank) {
		if r.GetId() == lie.GetId() {
			i.Errorf("it is shown: say so in the table: %v", r)
		}
	}
}

// pushesRecordsOut has a bus of its own, on which nobody else writes.
func (i *insider) pushesRecordsOut() {
	i.Helper()
	b, alone := i.elsewhere()
	j, err := i.opens(alone.nc, journal.WithTimeout(patience)) // nothing here is denied
	must(i, err)
	defer j.Close()
	first := i.invented()
	must(i, j.PutAccess(i.Context(), first))
	var refused atomic.Int64
	var all errgroup.Group
	all.SetLimit(256)
	for range bus.MaxAccessRecords + 9 {
		r := proto.CloneOf(first)
		r.Id = newID(i)
		all.Go(func() error {
			err := j.PutAccess(i.Context(), r)
			if err != nil {
				refused.Add(1)
				return nil //nolint:nilerr // counted
			}
			return nil
		})
	}
	must(i, all.Wait())
	other := proto.CloneOf(first) // of another customer
	other.Id, other.Tenant = newID(i), health
	must(i, j.PutAccess(i.Context(), other))
	var found []*lockboxv1.AccessRecord
	reads := b.Journal(i.T, bus.Compliance, journal.WithTimeout(patience))
	must(i, reads.ReplayAccess(i.Context(), 0, false, func(e journal.AccessEntry) error {
		found = append(found, e.Record)
		return nil
	}))
	if refused.Load() != 10 || len(found) != bus.MaxAccessRecords+1 || !proto.Equal(found[0], first) {
		i.Errorf("%d refused, %d there, the first is %v", refused.Load(), len(found), found[0])
	}
}

func (i *insider) readsUnseen() {
	i.Helper()
	id := i.requested(i.intent("erin"), request.CustomerNotified)
	before := len(i.records("olga", ""))
	j, err := i.opens(i.nc)
	must(i, err)
	defer j.Close()
	seen := 0
	must(i, j.Replay(i.Context(), journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: id},
		func(journal.Entry) error {
			seen++
			return nil
		}))
	c := approve(id)
	c.Token = forged(i.T, i.lockbox)
	i.command("", c)
	i.recorded("grace", "what comes after it", of(refused, "", "approve", id))
	for _, r := range i.records("olga", "")[:1] {
		if r.GetAboutId() == id && r.GetKind() == read {
			i.Errorf("it is recorded: say so in the table: %v", r)
		}
	}
	if seen == 0 || before == 0 {
		i.Error(fmt.Sprint("nothing was read: ", seen, before))
	}
}
