package projection_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const bank = "meadowbank"

// keys are a key store in memory, of which the projection remembers what it read until it is told to forget.
type keys struct {
	all                   map[string]erasable.KeyID
	destroyed, remembered map[erasable.KeyID]bool
}

func newKeys() *keys {
	return &keys{all: map[string]erasable.KeyID{}, destroyed: map[erasable.KeyID]bool{},
		remembered: map[erasable.KeyID]bool{}}
}

// of returns the key of an owner at a tenant, or with an event's id that of its texts.
func (k *keys) of(tenant, event string, o erasable.Owner) erasable.KeyID {
	name := strings.Join([]string{tenant, o.Issuer, o.Subject, o.Address}, "\n")
	if o.Text() {
		name = event
	}
	id, known := k.all[name]
	if !known {
		binary.BigEndian.PutUint32(id.Page[:], uint32(len(k.all)+1))
		k.all[name] = id
	}
	return id
}

func keyOf(id erasable.KeyID) (key erasable.Key) {
	copy(key[:], id.Page[:])
	return key
}

func (k *keys) Open(_ context.Context, e *lockboxv1.Event) error {
	return erasable.Open(e, func(id erasable.KeyID) (erasable.Key, erasable.Standing, error) {
		if k.destroyed[id] && !k.remembered[id] {
			return erasable.Key{}, erasable.Destroyed, nil
		}
		k.remembered[id] = true
		return keyOf(id), erasable.Readable, nil
	})
}

func (k *keys) Forget() { k.remembered = map[erasable.KeyID]bool{} }

// sealed returns the events of a story as they are stored.
func (k *keys) sealed(t *testing.T, entries []journal.Entry) []projection.Event {
	t.Helper()
	list := make([]projection.Event, len(entries))
	for i, entry := range entries {
		e := proto.CloneOf(entry.Event)
		must(t, erasable.Seal(e, func(o erasable.Owner) (erasable.KeyID, erasable.Key, error) {
			id := k.of(e.GetTenant(), e.GetId(), o)
			return id, keyOf(id), nil
		}))
		data, err := proto.Marshal(e)
		must(t, err)
		list[i] = projection.Event{Sequence: entry.Seq, Bytes: data}
	}
	return list
}

// apply gives a projection events as they can be read now.
func (k *keys) apply(t *testing.T, s *projection.Store, events []projection.Event) {
	t.Helper()
	for batch := range slices.Chunk(slices.Clone(events), 500) {
		for i := range batch {
			var err error
			batch[i].Event, err = input.DecodeEvent(batch[i].Bytes)
			must(t, errors.Join(err, k.Open(t.Context(), batch[i].Event)))
		}
		must(t, s.Apply(t.Context(), batch))
	}
}

func (k *keys) open(t *testing.T, dir string) *projection.Store {
	t.Helper()
	s, err := projection.Open(t.Context(), dir, projection.Options{Log: zaptest.NewLogger(t), Details: k})
	must(t, err)
	return s
}

// erase has two officers erase something of the first tenant's, whose key is destroyed. The story takes the events.
func (k *keys) erase(t *testing.T, c *story.Story, target *lockboxv1.ErasureTarget, id erasable.KeyID) {
	t.Helper()
	target.KeyIds = [][]byte{id.Bytes()}
	targets := []*lockboxv1.ErasureTarget{target}
	about := aggregate.Erasure(bank, c.ID())
	officer := func(name string) *lockboxv1.Actor { return story.Provider(name, aggregate.SecurityOfficers) }
	for i, e := range []*lockboxv1.Event{
		{Actor: officer("olga"), Fact: &lockboxv1.Event_ErasureProposed{
			ErasureProposed: &lockboxv1.ErasureProposed{Targets: targets, Reason: "They asked for it."}}},
		{Actor: officer("oscar"), Fact: &lockboxv1.Event_ErasureDecided{
			ErasureDecided: &lockboxv1.ErasureDecided{Targets: targets}}},
		{Actor: story.System("lockbox-orchestrator"), Fact: &lockboxv1.Event_KeysDestroyed{
			KeysDestroyed: &lockboxv1.KeysDestroyed{Count: 1}}},
	} {
		e.Id, e.Tenant, e.Kind, e.AggregateId, e.Version = c.ID(), about.Tenant, about.Kind, about.ID, uint64(i+1)
		e.Time = timestamppb.New(c.Now)
		c.Record(e)
	}
	if s := c.States.Erasure(about); s.Fault != nil || s.Status != erasure.Destroyed {
		t.Fatalf("it is %v: %v", s.Status, s.Fault)
	}
	k.destroyed[id] = true
}

func person(p *lockboxv1.Person) *lockboxv1.ErasureTarget {
	return &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{
		Person: &lockboxv1.ErasedPerson{Issuer: p.GetIssuer(), Subject: p.GetSubject()}}}
}

// rows is everything in the file, with people as they are called instead of by number.
func rows(t *testing.T, dir string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "projection.db"))
	must(t, err)
	defer func() { must(t, db.Close()) }()
	all := map[string][]string{}
	for _, table := range column(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		names := column(t, db, "SELECT name FROM pragma_table_info('"+table+"')")
		switch table {
		case "people":
			names = names[1:]
		case "events":
			names[slices.Index(names, "person")] =
				"(SELECT issuer || subject || name || email FROM people p WHERE p.id = person)"
		}
		all[table] = column(t, db, "SELECT quote("+strings.Join(names, ") || ' ' || quote(")+") FROM "+table+" ORDER BY 1")
	}
	return all
}

// R63: what was erased is in no row, not in the file, and in no answer. A projection that is built afterwards, with
// all keys gone, is the same, and so are one that was being built meanwhile, and one that was
// built while a backup had brought the keys back. At another customer the person keeps their
// name, for there they have another key.
func TestAProjectionForgetsWhatWasErased(t *testing.T) {
	c, k := story.Crowd(400), newKeys()
	c.Submit(story.Provider("engineer-07", aggregate.SupportEngineers), story.Dump("sakura", "sakura-00", "vm-1"))
	engineer := story.Provider("engineer-07").GetPerson()
	engineerKey := k.of(bank, "", erasable.Owner{Issuer: engineer.GetIssuer(), Subject: engineer.GetSubject()})
	name, address := strings.ToLower(engineer.GetDisplayName()), engineer.GetEmail()
	before := k.sealed(t, c.Entries)
	isDenial := func(e journal.Entry) bool { return e.Event.GetCustomerDenied() != nil }
	denied := c.Entries[slices.IndexFunc(c.Entries, isDenial)]
	reason := denied.Event.GetCustomerDenied().GetReason()
	if denied.Event.GetTenant() != bank || reason == "" {
		t.Fatalf("nothing to erase: %v", denied.Event)
	}
	told := len(c.Entries)
	dirs := map[string]string{"forgot": t.TempDir(), "reopened": t.TempDir(), "building": t.TempDir(),
		"restored": t.TempDir(), "rebuilt": t.TempDir()}
	stores := map[string]*projection.Store{}
	t.Cleanup(func() {
		for _, s := range stores {
			must(t, s.Close())
		}
	})
	for _, how := range []string{"forgot", "reopened", "building"} {
		stores[how] = k.open(t, dirs[how])
		k.apply(t, stores[how], before)
	}
	must(t, stores["forgot"].Complete(t.Context()))
	must(t, stores["reopened"].Complete(t.Context()))
	must(t, stores["reopened"].Close())
	stores["reopened"] = k.open(t, dirs["reopened"])
	gone := false
	found := func(s *projection.Store, tenant, person string) int {
		v, err := s.Snapshot(t.Context())
		must(t, err)
		defer func() { must(t, v.Close()) }()
		list, err := v.Activities(t.Context(), projection.Scope{Tenant: tenant, All: true},
			projection.ActivityFilter{Person: person}, 10_000)
		must(t, err)
		figures, err := v.Figures(t.Context(), projection.Scope{Tenant: tenant, All: true},
			projection.Named{Engineer: person}, 60, c.Now)
		must(t, err)
		rows, err := v.Requests(t.Context(), projection.Scope{Tenant: tenant, All: true},
			projection.RequestFilter{Named: projection.Named{Engineer: person}}, c.Now, 1000)
		must(t, err)
		requests := uint64(0)
		for _, w := range figures.Weeks {
			requests += w.Requests
		}
		if requests != uint64(len(rows)) {
			t.Errorf("%q at %s: %d requests, %d in figures", person, tenant, len(rows), requests)
		}
		states, err := v.States(t.Context(), rows)
		must(t, err)
		for _, s := range states {
			p, is := s.Requester.GetPerson(), name
			if gone && tenant == bank {
				is = ""
			}
			if p.GetErased() != (is == "") || strings.ToLower(p.GetDisplayName()) != is {
				t.Errorf("%q: requested by %v", person, p)
			}
		}
		return len(list) + len(rows)
	}
	other := found(stores["forgot"], "sakura", name)
	all := found(stores["forgot"], bank, engineer.GetSubject())
	if other == 0 || found(stores["forgot"], bank, name) != all {
		t.Fatalf("%d at the other customer, %d at the first", other, all)
	}
	bytesIn := func(dir string) []byte {
		var data []byte
		for _, file := range []string{"projection.db", "projection.db-wal"} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if !errors.Is(err, os.ErrNotExist) {
				must(t, err)
			}
			data = append(data, b...)
		}
		return bytes.ToLower(data)
	}
	inFile := bytes.Count(bytesIn(dirs["forgot"]), []byte(name))
	folded := func(s *projection.Store) string {
		customers, err := s.Customers()
		must(t, err)
		var all []string
		for _, sub := range customers[bank].Subscriptions {
			for _, a := range sub.Roles.All() {
				all = append(all, a.GetPerson().String())
			}
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}

	// Both of the engineer's and of one owner of a subscription: what is folded of a tenant has their name, too.
	decider := denied.Event.GetActor().GetPerson()
	if !strings.Contains(folded(stores["forgot"]), decider.GetDisplayName()) {
		t.Fatalf("%s holds no role: %s", decider.GetDisplayName(), folded(stores["forgot"]))
	}
	k.erase(t, c, person(engineer), engineerKey)
	k.erase(t, c, person(decider), k.of(bank, "", erasable.Owner{Issuer: decider.GetIssuer(),
		Subject: decider.GetSubject()}))
	k.erase(t, c, &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Texts{Texts: &lockboxv1.ErasedTexts{
		Kind: aggregate.KindRequest, AggregateId: denied.Event.GetAggregateId(), Version: "4"}}},
		k.of("", denied.Event.GetId(), erasable.Owner{}))
	after := k.sealed(t, c.Entries[told:])
	k.remembered = map[erasable.KeyID]bool{engineerKey: true} // it learns of it a moment later
	for _, how := range []string{"forgot", "reopened", "building"} {
		k.apply(t, stores[how], after)
	}
	must(t, stores["building"].Complete(t.Context()))
	k.Forget()
	destroyed := k.destroyed
	k.destroyed = nil // a backup brought them back, and they are destroyed again
	stores["restored"] = k.open(t, dirs["restored"])
	k.apply(t, stores["restored"], slices.Concat(before, after))
	must(t, stores["restored"].Complete(t.Context()))
	if found(stores["restored"], bank, name) != all {
		t.Error("with the keys, the name is not found")
	}
	k.destroyed = destroyed
	k.Forget()
	must(t, stores["restored"].Forget(t.Context()))
	stores["rebuilt"] = k.open(t, dirs["rebuilt"])
	k.apply(t, stores["rebuilt"], slices.Concat(before, after))
	must(t, stores["rebuilt"].Complete(t.Context()))

	gone = true
	for how, s := range stores {
		if n := found(s, bank, name) + found(s, bank, address); n != 0 {
			t.Errorf("%s: %d are found by the erased name or address", how, n)
		}
		if a, b := found(s, bank, engineer.GetSubject()), found(s, "sakura", name); a != all || b != other {
			t.Errorf("%s: %d by their id and %d at the other customer, want %d and %d", how, a, b, all, other)
		}
		if got := folded(s); strings.Contains(got, decider.GetDisplayName()) || !strings.Contains(got, "erased:true") {
			t.Errorf("%s: roles are held by %s", how, got)
		}
		v := snapshot(t, s)
		rows, err := v.Requests(t.Context(), projection.Scope{All: true},
			projection.RequestFilter{ID: denied.Event.GetAggregateId()}, c.Now, 1)
		must(t, err)
		states, err := v.States(t.Context(), rows)
		must(t, err)
		if d := states[0].CustomerDecisions[0]; d.GetReason() != erasable.Erased || states[0].Fault != nil {
			t.Errorf("%s: denied with %v, fault %v", how, d, states[0].Fault)
		}
	}
	left := bytes.Count(bytesIn(dirs["rebuilt"]), []byte(name))
	if n := bytes.Count(bytesIn(dirs["forgot"]), []byte(name)); left == 0 || left >= inFile || n != left {
		t.Errorf("the name was %d times in the file and is %d times; what another customer knows are %d", inFile, n, left)
	}
	want := rows(t, dirs["rebuilt"])
	for _, how := range []string{"forgot", "reopened", "building", "restored"} {
		got := rows(t, dirs[how])
		for table, list := range want {
			if !slices.Equal(list, got[table]) {
				t.Errorf("%s: %s differs from what is built anew", how, table)
				for i := range min(len(list), len(got[table])) {
					if list[i] != got[table][i] {
						t.Errorf("%s\n%s", list[i], got[table][i])
						break
					}
				}
			}
		}
	}
	for _, s := range stores {
		must(t, s.Examine(t.Context()))
	}
}
