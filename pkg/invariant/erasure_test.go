package invariant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	sofia = story.Provider("sofia", aggregate.SecurityOfficers)
	sam   = story.Provider("sam", aggregate.SecurityOfficers)
)

// erasures is a request that was denied, what two officers erased of it, and what gina did.
func erasures() []invariant.Recorded {
	const t = story.Tenant
	s := story.New(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	eve, otto := story.Provider("eve", aggregate.SupportEngineers), story.Customer(t, "otto")
	s.Create(t, "Contoso", nil, gina)
	s.Subscription(t, story.Subscription, "Production")
	s.Assign(gina, t, story.Subscription, "otto", otto, lockboxv1.Role_ROLE_OWNER, false)
	id := s.Submit(eve, story.Dump(t, story.Subscription, "vm-1"))
	about := aggregate.Request(t, id)
	s.Command(otto, story.Deny(t, id))
	denial := s.States.Request(about).Version
	s.At(s.Now.Add(time.Hour))
	by := s.Erase(sofia, t, "eve asked for it", story.ErasePerson(eve.GetPerson()),
		story.EraseAddress(eve.GetPerson().GetEmail()), story.EraseTexts(about, 1))
	s.At(s.Now.Add(time.Hour)).Confirm(sam, t, by)
	s.Erase(gina, t, "a name slipped in", story.EraseTexts(about, denial))
	return s.History()
}

// Whoever can write events decides on erasures otherwise, and the oracle says so (I22).
func TestI22ForgedErasuresAreFound(t *testing.T) {
	honest := erasures()
	if broken := invariant.Check(honest); len(broken) > 0 {
		t.Fatalf("the honest story: %v", broken)
	}
	at := func(history []invariant.Recorded, typ string, nth int) *lockboxv1.Event {
		for _, r := range history {
			if aggregate.TypeOf(r.Event) == typ {
				if nth--; nth < 0 {
					return r.Event
				}
			}
		}
		t.Fatalf("no %s", typ)
		return nil
	}
	decided := func(h []invariant.Recorded) *lockboxv1.Event { return at(h, "ErasureDecided", 0) }
	own := func(h []invariant.Recorded) *lockboxv1.Event { return at(h, "ErasureDecided", 1) }
	lose := func(h []invariant.Recorded, typ string) []invariant.Recorded {
		e := at(h, typ, 0)
		var left []invariant.Recorded
		for _, r := range h {
			if r.Event != e {
				left = append(left, r)
			}
		}
		return left
	}
	officer := func(name string) *lockboxv1.Actor { return story.Provider(name, aggregate.SecurityOfficers) }
	for name, forge := range map[string]func([]invariant.Recorded) []invariant.Recorded{
		"one officer confirms their own": func(h []invariant.Recorded) []invariant.Recorded {
			decided(h).Actor = officer("sofia")
			return h
		},
		"one human with two accounts": func(h []invariant.Recorded) []invariant.Recorded {
			at(h, "ErasureProposed", 0).Actor, decided(h).Actor = story.Human("h", officer("sofia")),
				story.Human("h", officer("sofia-admin"))
			return h
		},
		"an engineer confirms": func(h []invariant.Recorded) []invariant.Recorded {
			decided(h).Actor = story.Provider("eve", aggregate.SupportEngineers)
			return h
		},
		"an engineer proposes": func(h []invariant.Recorded) []invariant.Recorded {
			at(h, "ErasureProposed", 0).Actor = story.Provider("eve", aggregate.SupportEngineers)
			return h
		},
		"Lockbox confirms": func(h []invariant.Recorded) []invariant.Recorded {
			decided(h).Actor = story.System("lockbox-orchestrator")
			return h
		},
		"other things are decided": func(h []invariant.Recorded) []invariant.Recorded {
			decided(h).GetErasureDecided().Targets = slices.Clone(decided(h).GetErasureDecided().GetTargets()[:1])
			return h
		},
		"with other keys": func(h []invariant.Recorded) []invariant.Recorded {
			id := erasable.KeyID{Place: 7}
			decided(h).GetErasureDecided().Targets[0].KeyIds = [][]byte{id.Bytes()}
			return h
		},
		"an officer decides without a proposal": func(h []invariant.Recorded) []invariant.Recorded {
			return lose(h, "ErasureProposed")
		},
		"keys go without a decision": func(h []invariant.Recorded) []invariant.Recorded {
			return lose(h, "ErasureDecided")
		},
		"keys are destroyed by somebody": func(h []invariant.Recorded) []invariant.Recorded {
			at(h, "KeysDestroyed", 0).Actor = officer("sofia")
			return h
		},
		"no keys are named": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).GetErasureDecided().Targets[0].KeyIds = nil
			return h
		},
		"keys that are none": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).GetErasureDecided().Targets[0].KeyIds = [][]byte{{1, 2}}
			return h
		},
		"everything at once": func(h []invariant.Recorded) []invariant.Recorded {
			f := own(h).GetErasureDecided()
			for range 50 {
				f.Targets = append(f.Targets, f.GetTargets()[0])
			}
			return h
		},
		"somebody else of the tenant decides": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).Actor = story.Customer(story.Tenant, "otto")
			return h
		},
		"the tenant erases what an engineer wrote": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).GetErasureDecided().GetTargets()[0].GetTexts().Version = "1"
			return h
		},
		"the tenant erases an event that is not there": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).GetErasureDecided().GetTargets()[0].GetTexts().Version = "99"
			return h
		},
		"the tenant erases an engineer": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).GetErasureDecided().Targets[0].What = story.ErasePerson(
				&lockboxv1.Person{Issuer: story.ProviderIssuer, Subject: "eve"}).GetWhat()
			return h
		},
		"the tenant erases an address": func(h []invariant.Recorded) []invariant.Recorded {
			own(h).GetErasureDecided().Targets[0].What = story.EraseAddress("").GetWhat()
			return h
		},
		"declined after it was decided": func(h []invariant.Recorded) []invariant.Recorded {
			e := proto.CloneOf(at(h, "KeysDestroyed", 0))
			e.Actor = officer("sofia")
			e.Fact = &lockboxv1.Event_ErasureDeclined{ErasureDeclined: &lockboxv1.ErasureDeclined{}}
			at(h, "KeysDestroyed", 0).Fact, at(h, "KeysDestroyed", 0).Actor = e.GetFact(), e.GetActor()
			return h
		},
		"it is never carried out": func(h []invariant.Recorded) []invariant.Recorded {
			h = lose(h, "KeysDestroyed")
			h[len(h)-1].Event.Time = timestamppb.New(h[len(h)-1].Event.GetTime().AsTime().Add(2 * time.Hour))
			return h
		},
	} {
		var forged []invariant.Recorded
		for _, r := range honest {
			forged = append(forged, invariant.Recorded{Sequence: r.Sequence, Event: proto.CloneOf(r.Event)})
		}
		if broken := invariant.Check(forge(forged)); !slices.ContainsFunc(broken, func(v invariant.Violation) bool {
			return v.Invariant == "I22"
		}) {
			t.Errorf("%s: %v", name, broken)
		}
	}
}

// I16 cries no wolf when an address was erased: of the person, of the report, or of both. Nor does it fall asleep: one
// report is of one mail.
func TestI16WhatWasErasedIsNotMissed(t *testing.T) {
	const asked = "CustomerNotified"
	type side = func(*lockboxv1.Event) *lockboxv1.Event
	same := func(e *lockboxv1.Event) *lockboxv1.Event { return e }
	reports := func(l *timeline, who ...string) *timeline {
		for _, w := range who {
			switch w {
			case "eve":
				l.reported(asked, "customer-asked", "eve@nimbus.example", time.Minute)
			case "soc", "ciso":
				l.reported(asked, "approval-requested-alternate", w+"@contoso.example", time.Minute)
			default:
				l.reported(asked, "approval-requested", w+"@contoso.example", time.Minute)
			}
		}
		return l
	}
	for _, c := range []struct {
		name            string
		events, reports side
		who             []string
		missing         int
	}{
		{"nothing was", same, same, []string{"otto", "olga", "soc", "ciso", "eve"}, 0},
		{"everything was", story.Erased, story.Erased, []string{"otto", "olga", "soc", "ciso", "eve"}, 0},
		{"people were", story.Erased, same, []string{"otto", "olga", "soc", "ciso", "eve"}, 0},
		{"reports were", same, story.Erased, []string{"otto", "olga", "soc", "ciso", "eve"}, 0},
		{"reports were, and one is missing", same, story.Erased, []string{"otto", "soc", "ciso", "eve"}, 1},
		{"reports were, and all are missing", same, story.Erased, nil, 5},
		{"people were, who were not told", story.Erased, same, nil, 0},
	} {
		l := reports(asksThem(), c.who...)
		for i, r := range l.history {
			change := c.events
			if r.Event.GetKind() == aggregate.KindDelivery {
				change = c.reports
			}
			l.history[i].Event = change(r.Event)
		}
		b := l.book(t)
		b.MailsAsOf(l.last().Event.GetTime().AsTime().Add(2 * time.Hour))
		found, err := b.Check()
		if err != nil {
			t.Fatal(err)
		}
		missing := 0
		for _, v := range found {
			if v.Invariant == "I16" && strings.Contains(v.What, "approval-requested") ||
				v.Invariant == "I16" && strings.Contains(v.What, "customer-asked") {
				missing++
			} else if v.Invariant != "I16" {
				t.Errorf("%s: %v", c.name, v)
			}
		}
		if missing != c.missing {
			t.Errorf("%s: %d are missed, want %d: %v", c.name, missing, c.missing, found)
		}
	}
}

// A book decrypts what it is given the means for. Without them it says that it could not, and what is encrypted under
// different keys contradicts nothing.
func TestABookReadsWhatIsEncrypted(t *testing.T) {
	var keys byte
	sealed := func(r invariant.Recorded) invariant.Recorded {
		e := proto.CloneOf(r.Event)
		err := erasable.Seal(e, func(erasable.Owner) (id erasable.KeyID, key erasable.Key, err error) {
			keys++
			return erasable.KeyID{Place: keys}, erasable.Key{keys}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return invariant.Recorded{Sequence: r.Sequence, Event: e}
	}
	l := &timeline{}
	for _, r := range erasures() {
		l.history = append(l.history, sealed(r))
	}
	for _, open := range []bool{false, true} {
		b := l.book(t)
		if open {
			b.OpensWith(func(e *lockboxv1.Event) error {
				return erasable.Open(e, func(id erasable.KeyID) (erasable.Key, erasable.Standing, error) {
					return erasable.Key{id.Place}, erasable.Readable, nil
				})
			})
		}
		found, err := b.Check()
		if err != nil || len(found) > 0 || b.Unread() == open {
			t.Errorf("decrypts: %t; not read: %t; %v, %v", open, b.Unread(), found, err)
		}
	}
	b := l.book(t)
	b.OpensWith(func(*lockboxv1.Event) error { return erasable.ErrDamaged })
	if _, err := b.Check(); err == nil {
		t.Error("a key store that fails is not noticed")
	}
}
