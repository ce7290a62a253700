package invariant

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Stray is a message that cannot be an event, whatever the version that reads it.
type Stray struct {
	Sequence uint64
	Subject  string
	Size     int
	SHA256   []byte
	What     string
	// SetAside is the decision that set it aside; its Event is nil if there is none.
	SetAside Recorded
}

// Strays returns the messages that Check has found not to be events, in stream order.
func (b *Book) Strays() []Stray {
	return slices.SortedFunc(maps.Values(b.strays), func(x, y Stray) int { return cmp.Compare(x.Sequence, y.Sequence) })
}

// decisions reads who set what aside. Only a security officer can, and only the message that they named exactly.
func (b *Book) decisions() {
	for l := range b.lines(aggregate.Guard) {
		e, what := b.readLine(aggregate.Guard, l)
		by, named := e.GetActor(), e.GetMessageSetAside()
		if what == "" && named.GetSequence() < l.sequence && by.GetSide() == lockboxv1.Side_SIDE_PROVIDER &&
			by.GetPerson().GetSubject() != "" && slices.Contains(by.GetGroups(), aggregate.SecurityOfficers) {
			b.aside[named.GetSequence()] = append(b.aside[named.GetSequence()],
				Recorded{Sequence: l.sequence, Stored: time.Unix(0, l.at), Event: e})
		}
	}
}

// findHomes finds the requests whose id is used in two tenants. What is stored there and is no event is no request.
func (b *Book) findHomes() {
	homes := map[string]aggregate.Key{}
	for _, a := range b.order {
		if a.Kind != aggregate.KindRequest {
			continue
		}
		home, known := homes[a.ID]
		if !known || !b.real(home) {
			homes[a.ID] = a
		} else if b.real(a) {
			b.elsewhere[a], homes[a.ID] = home.Tenant, a
		}
	}
}

// real reports whether there is an event of an aggregate.
func (b *Book) real(a aggregate.Key) bool {
	for l := range b.lines(a) {
		if _, what := b.readLine(a, l); what == "" {
			return true
		}
	}
	return false
}

// stray notes a message that cannot be an event, and reports whether it was set aside.
func (b *Book) stray(a aggregate.Key, l line, what string) bool {
	tail, data := b.stored(l)
	sum := sha256.Sum256(data)
	is := Stray{Sequence: l.sequence, Subject: tail, Size: len(data), SHA256: sum[:], What: what}
	if a != (aggregate.Key{}) {
		is.Subject = strings.Join([]string{"lockbox", "event", a.Tenant, a.Kind, a.ID, is.Subject}, ".")
	}
	for _, decision := range b.aside[l.sequence] {
		named := decision.Event.GetMessageSetAside()
		if named.GetSubject() == is.Subject && bytes.Equal(named.GetSha256(), is.SHA256) {
			is.SetAside = decision
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.strays == nil {
		b.strays = map[uint64]Stray{}
	}
	b.strays[l.sequence] = is
	return is.SetAside.Event != nil
}

// readLine decodes a message, or says why it cannot be an event. An event of a later version has no fact.
func (b *Book) readLine(a aggregate.Key, l line) (e *lockboxv1.Event, what string) {
	if what := b.refused[l.sequence]; what != "" {
		return nil, what
	}
	tail, data := b.stored(l)
	if e, what = readEvent(a, tail, data); what == "" {
		b.decrypt(e)
	}
	return e, what
}

// readEvent is readLine for a message on an aggregate's subject with that tail.
func readEvent(a aggregate.Key, tail string, data []byte) (e *lockboxv1.Event, what string) {
	if a == (aggregate.Key{}) {
		return nil, "its subject is not one of an event"
	}
	e = new(lockboxv1.Event)
	if proto.Unmarshal(data, e) != nil {
		return nil, "its bytes are no event"
	}
	typ := aggregate.TypeOf(e)
	place, says, _ := strings.Cut(tail, ".")
	at := e.GetReportKey()
	if at == "" {
		at = strconv.FormatUint(e.GetVersion(), 10)
	}
	switch later := typ == "" && len(e.ProtoReflect().GetUnknown()) > 0; {
	case typ == "" && !later:
		return nil, "its bytes are no event"
	case aggregate.KeyOf(e) != a, place != at, !later && says != typ:
		return nil, "its subject does not say what it says itself"
	}
	return e, ""
}
