package invariant_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The fold and the oracle were written apart. An insider who can write events changes every field of every event of an
// honest story, one at a time, to every value at hand; or puts an event of one story into another. Whatever the fold
// then takes for true must be in order for the oracle as well. (What only the tenant's own events, or those of the
// subscription's ownership, can show is left to BasisHeld and EachHasOneOwner.)
//
// control: iso:8.16
func TestTheFoldIsNoEasierToDeceiveThanTheOracle(t *testing.T) {
	stories := map[string][]invariant.Recorded{"told": told(), "waived": waived(), "denied": denied(),
		"expired": expired(), "released": released(), "reminded": reminded(), "hurried": hurried()}
	tried, accepted := 0, 0
	attempt := func(name string, history []invariant.Recorded) {
		tried++
		believed := fold(history)
		if len(believed) == len(history) {
			accepted++
		}
		for _, holds := range []func([]invariant.Recorded) []invariant.Violation{
			invariant.GrantHasOneBasis, invariant.OneDecision, invariant.NothingPastDeadline, invariant.GrantWithinPolicy,
			invariant.OneTenant,
			invariant.NobodyForThemselves,
		} {
			if broken := holds(believed); len(broken) > 0 {
				t.Errorf("%s: the fold believes it: %v", name, broken)
			}
		}
	}
	for name, history := range stories {
		for i, r := range history {
			if r.Event.GetKind() != aggregate.KindRequest {
				continue
			}
			for what, e := range variants(r.Event) {
				attempt(fmt.Sprint(name, " ", i+1, " ", what), spliced(history, i, e, i+1))
			}
			for other, from := range stories {
				for j, o := range from {
					if o.Event.GetKind() == "request" {
						version := r.Event.GetVersion()
						attempt(fmt.Sprint(name, " ", i+1, " for ", other, " ", j+1),
							spliced(history, i, numbered(o.Event, version), i+1))
						attempt(fmt.Sprint(name, " ", i+1, " then ", other, " ", j+1),
							spliced(history, i+1, numbered(o.Event, version+1), i+1))
					}
				}
			}
		}
	}
	t.Logf("%d forgeries, %d of them believed to the end", tried, accepted)
	if accepted < 100 || tried < 10*len(stories) {
		t.Errorf("%d forgeries, %d of them believed: too few to mean anything", tried, accepted)
	}
}

// spliced is a history up to i, then e, then what stood from rest on, renumbered if it has moved.
func spliced(history []invariant.Recorded, i int, e *lockboxv1.Event, rest int) []invariant.Recorded {
	out := append(slices.Clone(history[:i]), invariant.Recorded{Sequence: uint64(i) + 1, Event: e})
	for _, r := range history[rest:] {
		moved := uint64(len(out)) + 1 - r.Sequence
		out = append(out, invariant.Recorded{Sequence: r.Sequence + moved,
			Event: numbered(r.Event, r.Event.GetVersion()+moved)})
	}
	return out
}

func numbered(e *lockboxv1.Event, version uint64) *lockboxv1.Event {
	e = proto.CloneOf(e)
	e.Version = version
	return e
}

// fold is the history up to where the request's fold finds a fault. In an honest story everything from the intent on is
// about the request; a forger's event stands under the request's subjects whatever it says of itself.
func fold(history []invariant.Recorded) []invariant.Recorded {
	var s request.State
	for i, r := range history {
		if i >= slices.IndexFunc(history, isRequested) {
			if s = request.Evolve(s, r.Sequence, r.Event); s.Fault != nil {
				return history[:i]
			}
		}
	}
	return history
}

func isRequested(r invariant.Recorded) bool { return r.Event.GetAccessRequested() != nil }

// variants are an event with one thing changed.
func variants(e *lockboxv1.Event) map[string]*lockboxv1.Event {
	found := map[string]*lockboxv1.Event{}
	try := func(path string, change func(m protoreflect.Message)) {
		v := proto.CloneOf(e)
		change(v.ProtoReflect())
		found[path] = v
	}
	explore(e.ProtoReflect(), "", func(m protoreflect.Message) protoreflect.Message { return m }, try)
	return found
}

// explore calls try for each thing that can be changed below a message, which `to` finds again in a copy.
func explore(
	m protoreflect.Message, path string, to func(protoreflect.Message) protoreflect.Message,
	try func(string, func(protoreflect.Message)),
) {
	fields := m.Descriptor().Fields()
	for n := range fields.Len() {
		fd := fields.Get(n)
		at := path + "." + string(fd.Name())
		set := func(what string, v protoreflect.Value) {
			try(at+what, func(root protoreflect.Message) { to(root).Set(fd, v) })
		}
		switch {
		case fd.IsList():
			exploreList(m, fd, at, to, try)
		case fd.Message() != nil && !m.Has(fd):
		case fd.Message() != nil:
			for i, v := range instants(fd) {
				set(fmt.Sprint("=", i), v)
			}
			if instants(fd) == nil {
				explore(m.Get(fd).Message(), at,
					func(root protoreflect.Message) protoreflect.Message { return to(root).Mutable(fd).Message() }, try)
			}
			if fd.ContainingOneof() == nil {
				try(at+" missing", func(root protoreflect.Message) { to(root).Clear(fd) })
			}
		default:
			for i, v := range scalars(fd) {
				set(fmt.Sprint("=", i), v)
			}
		}
	}
}

func exploreList(
	m protoreflect.Message, fd protoreflect.FieldDescriptor, at string, to func(protoreflect.Message) protoreflect.Message,
	try func(string, func(protoreflect.Message)),
) {
	list := func(root protoreflect.Message) protoreflect.List { return to(root).Mutable(fd).List() }
	n := m.Get(fd).List().Len()
	if n > 0 {
		try(at+" shorter", func(root protoreflect.Message) { list(root).Truncate(n - 1) })
		try(at+" twice", func(root protoreflect.Message) { list(root).Append(list(root).Get(0)) })
	}
	for i := range n {
		if fd.Message() != nil && instants(fd) == nil {
			explore(m.Get(fd).List().Get(i).Message(), fmt.Sprint(at, i),
				func(root protoreflect.Message) protoreflect.Message { return list(root).Get(i).Message() }, try)
			continue
		}
		for k, v := range append(instants(fd), scalars(fd)...) {
			try(fmt.Sprint(at, i, "=", k), func(root protoreflect.Message) { list(root).Set(i, v) })
		}
	}
}

// scalars are the values at hand for a field: who and what the stories know, and what nobody knows.
func scalars(fd protoreflect.FieldDescriptor) []protoreflect.Value {
	var values []protoreflect.Value
	add := func(v any) { values = append(values, protoreflect.ValueOf(v)) }
	switch fd.Kind() {
	case protoreflect.StringKind:
		for _, s := range []string{
			"", "eve", "leo", "otto", "olga", "lena", "sven", story.ProviderIssuer,
			"https://login.contoso.example", story.Tenant, "fabrikam", story.Subscription,
			"customer-support-leads", "security-officers", "/subscriptions/sub-1/disks/a", "/subscriptions/sub-1/disks/b",
			"/subscriptions/sub-2/disks/a", story.RequestID, "request", "ticket",
		} {
			add(s)
		}
	case protoreflect.BoolKind:
		add(true)
		add(false)
	case protoreflect.Uint32Kind:
		for _, n := range []uint32{0, 1, 2, 3, 99} {
			add(n)
		}
	case protoreflect.Uint64Kind:
		for _, n := range []uint64{0, 1, 5, 99} {
			add(n)
		}
	case protoreflect.EnumKind:
		for _, n := range []protoreflect.EnumNumber{0, 1, 2, 3, 4, 99} {
			add(n)
		}
	case protoreflect.BytesKind:
		add([]byte("x"))
	}
	return values
}

// instants are the times and durations at hand, for a field that holds one; nil: it does not.
func instants(fd protoreflect.FieldDescriptor) []protoreflect.Value {
	var values []protoreflect.Value
	if fd.Message() == nil {
		return nil
	}
	switch fd.Message().FullName() {
	case "google.protobuf.Timestamp":
		for _, h := range []int{0, 1, 2, 4, 12, 24, 96, 97, 1000} {
			for _, off := range []time.Duration{-1, 0, 1} {
				at := start.Add(time.Duration(h)*time.Hour + off)
				values = append(values, protoreflect.ValueOf(timestamppb.New(at).ProtoReflect()))
			}
		}
		values = append(values, protoreflect.ValueOf(new(timestamppb.Timestamp).ProtoReflect()),
			protoreflect.ValueOf((&timestamppb.Timestamp{Nanos: -1}).ProtoReflect()))
	case "google.protobuf.Duration":
		for _, d := range []time.Duration{0, 1, -1, time.Hour, 8*time.Hour + 1, 10000 * time.Hour} {
			values = append(values, protoreflect.ValueOf(durationpb.New(d).ProtoReflect()))
		}
	}
	return values
}
