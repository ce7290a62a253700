package accesslog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// stored is a bus that keeps records, or refuses them.
type stored struct {
	mu      sync.Mutex
	records []*lockboxv1.AccessRecord
	refuses error
}

func (s *stored) put(_ context.Context, r *lockboxv1.AccessRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses != nil {
		return s.refuses
	}
	s.records = append(s.records, proto.CloneOf(r))
	return nil
}

func (s *stored) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = err
}

func (s *stored) all() []*lockboxv1.AccessRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// sum is what the records stand for: how many happened, one by one or only counted, of somebody.
func sum(records []*lockboxv1.AccessRecord, subject string) (n uint64) {
	for _, r := range records {
		if r.GetWho().GetSubject() == subject {
			n += r.GetCount() + r.GetLeftOut()
		}
	}
	return n
}

func begin(t *testing.T) (*stored, *Recorder) {
	t.Helper()
	s := &stored{}
	return s, Start(bus.Projector.Copy("two"), s.put, time.Now, zap.NewNop(), observe.NewMetrics().For("x"))
}

func read(who, request string) *lockboxv1.AccessRecord {
	r := &lockboxv1.AccessRecord{Tenant: "meadowbank", Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Sender: "PORTAL",
		Action: "get_request", AboutKind: "request", AboutId: request, Results: 1}
	if who != "" {
		r.Who = Who(&lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{
			Issuer: "https://nimbus.example", Subject: who, DisplayName: strings.ToUpper(who)}})
	}
	return r
}

func TestTheFirstTimeIsARecordAtOnceAndTheOthersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		begun := time.Now()
		r.Add(read("erin", "a"))
		synctest.Wait()
		first := s.all()
		if len(first) != 1 || first[0].GetCount() != 1 || first[0].GetSince() != nil ||
			!first[0].GetTime().AsTime().Equal(begun) ||
			first[0].GetService() != "audit-projector" || first[0].GetId() == "" || first[0].GetWho().GetName() != "ERIN" {
			t.Fatalf("%v", first)
		}
		for range 150 { // a page that looks every two seconds, for five minutes
			time.Sleep(2 * time.Second)
			r.Add(read("erin", "a"))
		}
		time.Sleep(Window)
		r.Add(read("erin", "b")) // something else
		r.Add(read("rosa", "a")) // somebody else
		synctest.Wait()
		got := s.all()
		if n := sum(got, "erin"); n != 152 || len(got) > 5 {
			t.Errorf("%d of %d in %d records: %v", n, 152, len(got), got)
		}
		if second := got[1]; second.GetCount() < 100 || second.GetSince() == nil || second.GetId() == first[0].GetId() ||
			!second.GetSince().AsTime().Before(second.GetTime().AsTime()) {
			t.Errorf("%v", second)
		}
		before := len(got)
		time.Sleep(3 * Window)
		synctest.Wait()
		if got := s.all(); len(got) != before {
			t.Errorf("nothing has happened, and yet: %v", got[before:])
		}
		r.Close()
	})
}

// One person who floods leaves room for all others, and the number of what was left out.
func TestAFloodLeavesTheOthersRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		const flood = 5000
		for i := range flood {
			r.Add(read("erin", fmt.Sprint("e", i)))
			r.Add(read("", fmt.Sprint("s", i)))
			if i%100 == 0 {
				r.Add(read("rosa", fmt.Sprint("r", i)))
			}
		}
		time.Sleep(Window + 2*look)
		synctest.Wait()
		got := s.all()
		ones := map[string]int{}
		for _, x := range got {
			if x.GetCount() == 1 {
				ones[x.GetWho().GetSubject()]++
			}
		}
		if ones["erin"] != PersonBurst || ones[""] != StrangersBurst || ones["rosa"] != flood/100 {
			t.Errorf("one by one: %v", ones)
		}
		for who, want := range map[string]uint64{"erin": flood, "": flood, "rosa": flood / 100} {
			if n := sum(got, who); n != want {
				t.Errorf("of %q's %d there are %d", who, want, n)
			}
		}
		for _, x := range got {
			if x.GetLeftOut() > 0 && (x.GetAction() != "" || x.GetAboutId() != "" || x.GetTenant() != "meadowbank" ||
				x.GetSender() != "PORTAL" || x.GetCount() != 0) {
				t.Errorf("%v", x)
			}
		}
		r.Close()
	})
}

// Whoever does many things over and over, to have a record of each in every window, gets no more of them.
func TestRepetitionsCostAsMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		total := uint64(0)
		for range 12 * 6 { // six hours
			for i := range PersonBurst {
				r.Add(read("erin", fmt.Sprint(i)))
				total++
			}
			time.Sleep(Window)
		}
		r.Close()
		most := PersonBurst + int(6*time.Hour/PersonEvery) + 2*12*6
		if got := s.all(); len(got) > most || sum(got, "erin") != total {
			t.Errorf("%d records of at most %d, for %d of %d", len(got), most, sum(got, "erin"), total)
		}
	})
}

// A day's worth of a flood fits into what the bus keeps of a day, beside others.
func TestAFloodOfADayFits(t *testing.T) {
	day := func(burst int, every time.Duration) int { return burst + int(24*time.Hour/every) }
	strangers, person := day(StrangersBurst, StrangersEvery), day(PersonBurst, PersonEvery)
	// What they repeat costs them the same. Beside it there is the number of what was left out, of each kind.
	leftOut := 2 * len(lockboxv1.AccessKind_name) * int(24*time.Hour/Window)
	if strangers+person+leftOut > bus.MaxAccessRecords*3/4 {
		t.Errorf("strangers %d, a person %d, counts %d of %d", strangers, person, leftOut, bus.MaxAccessRecords)
	}
}

func TestWhatTheBusDoesNotTakeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		s.refuse(errors.New("away"))
		for i := range 3 {
			r.Add(read("erin", fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		s.refuse(nil)
		time.Sleep(2 * again)
		synctest.Wait()
		if got := s.all(); len(got) != 3 || sum(got, "erin") != 3 {
			t.Errorf("%v", got)
		}
		// Nobody waits for a bus that is away, and what is too much is counted.
		s.refuse(errors.New("away"))
		const many = 2 * mostWaiting
		for i := range many {
			r.Add(read(fmt.Sprint("person ", i%50), fmt.Sprint("x", i)))
		}
		s.refuse(nil)
		time.Sleep(2 * Window)
		synctest.Wait()
		total := uint64(0)
		for i := range 50 {
			total += sum(s.all(), fmt.Sprint("person ", i))
		}
		if total != many {
			t.Errorf("of %d there are %d", many, total)
		}
		r.Close()
	})
}

func TestWhatTheBusHasNoRoomForIsCountedUntilItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		s.refuse(fmt.Errorf("today: %w", journal.ErrFull))
		for i := range 7 {
			r.Add(read("erin", fmt.Sprint(i)))
		}
		time.Sleep(time.Hour)
		s.refuse(nil) // the next day
		time.Sleep(2 * Window)
		synctest.Wait()
		got := s.all()
		if len(got) != 1 || got[0].GetLeftOut() != 7 || got[0].GetWho().GetSubject() != "erin" || got[0].GetSince() == nil {
			t.Errorf("%v", got)
		}
		r.Close()
	})
}

func TestCloseWritesWhatWasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		for range 9 {
			r.Add(read("erin", "a"))
		}
		for i := range PersonBurst + 40 {
			r.Add(read("rosa", fmt.Sprint(i)))
		}
		r.Close()
		if got := s.all(); sum(got, "erin") != 9 || sum(got, "rosa") != PersonBurst+40 {
			t.Errorf("erin %d, rosa %d", sum(got, "erin"), sum(got, "rosa"))
		}
	})
}

func TestCloseGivesUpOnABusThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		s.refuse(errors.New("away"))
		r.Add(read("erin", "a"))
		begun := time.Now()
		r.Close()
		if took := time.Since(begun); took > farewell {
			t.Error(took)
		}
	})
}

func TestARecordIsSmallAndCleanWhateverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := begin(t)
		long := strings.Repeat("é\x1b[31m\u202e\x00", 20_000) + "\xff"
		r.Add(&lockboxv1.AccessRecord{Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED, Sender: "a b", Action: long,
			AboutKind: long, AboutId: long, Filter: long, Format: long, RefusalField: long, RefusalRule: long, Reason: long,
			Who: &lockboxv1.AccessPerson{Issuer: long, Subject: long, Name: long, Employer: long}})
		r.Close()
		got := s.all()
		if len(got) != 1 || proto.Size(got[0]) > bus.MaxAccessRecord/2 || got[0].GetTenant() != "_" ||
			got[0].GetSender() != "unknown" || strings.ContainsAny(got[0].GetWho().GetName(), "\x1b\x00\u202e") {
			t.Fatalf("%d bytes: %v", proto.Size(got[0]), got)
		}
	})
}

func TestNobodyRecordsWithoutARecorder(*testing.T) {
	var r *Recorder
	r.Add(read("erin", "a"))
	r.Close()
}
