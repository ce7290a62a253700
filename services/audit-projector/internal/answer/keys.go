package answer

import (
	"context"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keychain"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Log is what a customer's keys are told of the log: its name, its keys, a line each, and the witnesses that it is
// shown to, as C2SP verifier keys, with how many of them a checkpoint has to have.
type Log struct {
	Origin, Keys string
	Witnesses    []string
	Quorum       int
}

// getKeys returns a tenant's keys to its people, and to security officers (R42).
func (v *viewer) getKeys(ctx context.Context) (*lockboxv1.KeysView, error) {
	officer := v.by.GetSide() == lockboxv1.Side_SIDE_PROVIDER && v.scope.All && v.customer != nil
	if !officer && !v.customersPerson() {
		return nil, notFound()
	}
	s, entries, err := v.keychain(ctx)
	if err != nil {
		return nil, err
	}
	shown := &lockboxv1.KeysView{Origin: v.log.Origin, LogKeys: v.log.Keys, Witnesses: v.log.Witnesses,
		Quorum:  uint32(v.log.Quorum), // #nosec G115 -- of a policy's witnesses
		Version: s.Version, Events: keyEvents(entries)}
	if s.Fault != nil {
		shown.Fault = aggregate.Spoken(s.Fault.Rule)
	}
	for _, o := range s.Open {
		shown.Offered = append(shown.Offered, &lockboxv1.OfferedChange{Change: keychain.ToProto(o.Signed), By: o.By,
			At: timestamppb.New(o.At), Version: o.Version})
	}
	if s.Chain != nil {
		fingerprint := s.Chain.Fingerprint()
		shown.Fingerprint, shown.FingerprintWords = fingerprint[:], approval.Text(fingerprint, approval.FingerprintWords)
		shown.Demand = string(s.Demand(keychain.Now))
		if d, waits := s.Chain.Awaited(); waits {
			shown.DemandWaiting = string(d)
		}
	}
	if shown.Keys, err = v.keys(ctx, s); err != nil {
		return nil, err
	}
	return shown, v.countedKeys(ctx, s, shown.GetKeys())
}

// keyEvents are the events that say whose keys count. Keys that are offered, and statements that wait, say nothing.
func keyEvents(entries []journal.Entry) (list []*lockboxv1.KeyEvent) {
	for _, e := range entries {
		switch e.Event.GetFact().(type) {
		case *lockboxv1.Event_KeyChainBegan, *lockboxv1.Event_KeyChainChanged, *lockboxv1.Event_KeysSighted:
			list = append(list, &lockboxv1.KeyEvent{Version: e.Event.GetVersion(), Type: aggregate.TypeOf(e.Event),
				Sequence: e.Seq, Stored: e.Data})
		}
	}
	return list
}

// keys are all keys: of people, of recovery, and those that are offered.
func (v *viewer) keys(ctx context.Context, s keychain.State) (list []*lockboxv1.KeyView, err error) {
	if s.Chain != nil {
		for _, k := range s.Chain.Keys() {
			is, err := v.key(ctx, s, k)
			if err != nil {
				return nil, err
			}
			list = append(list, is)
		}
		for _, k := range s.Chain.Recovery() {
			is, err := recoveryKey(s, k)
			if err != nil {
				return nil, err
			}
			list = append(list, is)
		}
	}
	for _, o := range s.Offers {
		is := &lockboxv1.KeyView{KeyId: bytesOf(o.ID), Label: o.Label, Kind: o.Key.Kind, Role: o.Role,
			Standing: lockboxv1.KeyStanding_KEY_STANDING_OFFERED, Since: timestamppb.New(o.At)}
		if is.Person, err = v.person(ctx, o.Person); err != nil {
			return nil, err
		}
		if is.Enrolment, err = o.Bytes(); err != nil {
			return nil, err
		}
		list = append(list, is)
	}
	return list, nil
}

// key is an enrolled key of somebody.
func (v *viewer) key(ctx context.Context, s keychain.State, k approval.Enrolled) (*lockboxv1.KeyView, error) {
	is := enrolled(s, k)
	is.Role, is.Label = k.Role, s.Labels[k.ID]
	person, err := v.person(ctx, k.Person)
	if err == nil {
		is.Person = person
		is.Enrolment, err = k.Bytes()
	}
	return is, err
}

// recoveryKey is a recovery key. One that another has taken the place of counts as removed.
func recoveryKey(s keychain.State, k approval.Enrolled) (is *lockboxv1.KeyView, err error) {
	is = enrolled(s, k)
	is.Role = "recovery"
	if k.Counts(keychain.Now) && s.Chain.Offline(keychain.Now) != k.ID {
		is.Standing = lockboxv1.KeyStanding_KEY_STANDING_REMOVED
	}
	is.Enrolment, err = k.Key.Bytes()
	return is, err
}

func enrolled(s keychain.State, k approval.Enrolled) *lockboxv1.KeyView {
	is := &lockboxv1.KeyView{KeyId: bytesOf(k.ID), Kind: k.Key.Kind, Since: timestamppb.New(s.Enrolled[k.ID]),
		Standing: lockboxv1.KeyStanding_KEY_STANDING_WAITING}
	switch {
	case k.Removed != 0:
		is.Standing = lockboxv1.KeyStanding_KEY_STANDING_REMOVED
		is.RemovedAt = timestamppb.New(s.Removed[k.ID])
	case k.Counts(keychain.Now):
		is.Standing = lockboxv1.KeyStanding_KEY_STANDING_COUNTS
	}
	if at, seen := s.CountsFrom(k); seen {
		is.CountsFrom = timestamppb.New(at)
	}
	return is
}
