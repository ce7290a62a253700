package fair_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/openlockbox/lockbox/pkg/fair"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// office counts what happens at the slots, without any clock or goroutine.
type office struct {
	*testing.T
	*fair.Slots
	waiting map[string][]<-chan bool
	held    map[string]int
	refused map[string]int
}

func newOffice(t *testing.T, slots, most int) *office {
	return &office{t, fair.New(slots, most), map[string][]<-chan bool{}, map[string]int{}, map[string]int{}}
}

func (o *office) ask(lane string, times int) {
	o.Helper()
	for range times {
		o.waiting[lane] = append(o.waiting[lane], o.Ask(lane))
	}
	o.look()
}

// look sees who got a slot or was refused, and that it was the first and the last of their lane.
func (o *office) look() {
	o.Helper()
	for lane, queue := range o.waiting {
		var left []<-chan bool
		for _, turn := range queue {
			select {
			case granted := <-turn:
				switch {
				case granted && len(left) > 0:
					o.Errorf("%s: somebody was served before one who came earlier", lane)
				case granted:
					o.held[lane]++
				default:
					o.refused[lane]++
				}
			default:
				left = append(left, turn)
			}
		}
		o.waiting[lane] = left
	}
}

func (o *office) done(lane string) {
	o.Helper()
	o.held[lane]--
	o.Done(lane)
	o.look()
}

func TestAFloodHoldsNobodyElseUp(t *testing.T) {
	o := newOffice(t, 8, 0)
	o.ask("loud", 10_000)
	if o.held["loud"] != 4 {
		t.Fatalf("one lane holds %d of 8", o.held["loud"])
	}
	o.ask("quiet", 1)
	if o.held["quiet"] != 1 {
		t.Error("somebody waits although the others were there first")
	}
	o.done("quiet")
	// Whoever comes again and again does not hold up the flood either.
	served := 0
	for range 100 {
		o.ask("quiet", 1)
		o.done("quiet")
		before := len(o.waiting["loud"])
		o.done("loud")
		served += before - len(o.waiting["loud"])
	}
	if served != 100 {
		t.Errorf("of the flood %d were served beside 100 others", served)
	}
}

// However many tenants flood, another waits for at most one of each, and none who hangs stops the others.
func TestLanesTakeTurns(t *testing.T) {
	o := newOffice(t, 8, 0)
	for i := range 20 {
		o.ask(fmt.Sprint("loud ", i), 500)
	}
	o.ask("quiet", 1)
	turns := 0
	for ; o.held["quiet"] == 0; turns++ {
		for lane, n := range o.held {
			if n > 0 {
				o.done(lane)
				break
			}
		}
		if turns > 20 {
			t.Fatal("the quiet lane was passed over")
		}
	}
	h := newOffice(t, 64, 0)
	for i := range 6 {
		h.ask(fmt.Sprint("hangs ", i), 100)
		h.ask("quiet", 1)
		if h.held["quiet"] != 1 {
			t.Fatalf("with %d lanes that hang, nobody else is served", i+1)
		}
		h.done("quiet")
	}
}

// While others come, a lane has no more than its share, however many slots are free; by itself it has half again after
// a while. Others get slots at once, and none is lost.
func TestALaneHasOnlyItsShareBesideOthers(t *testing.T) {
	o := newOffice(t, 64, 0)
	o.Sharing(4)
	o.ask("loud", 10_000)
	if o.held["loud"] != 32 {
		t.Fatalf("by itself it holds %d of 64", o.held["loud"])
	}
	o.ask("quiet", 1)
	if o.held["quiet"] != 1 {
		t.Fatal("another waits")
	}
	o.done("quiet")
	for range 28 {
		o.done("loud")
	}
	if o.held["loud"] != 4 {
		t.Errorf("beside another it holds %d", o.held["loud"])
	}
	for i := range 3000 {
		if i%500 == 0 {
			o.ask("quiet", 1)
			o.done("quiet")
		}
		if o.done("loud"); o.held["loud"] != 4 {
			t.Fatalf("while another comes now and then, it holds %d", o.held["loud"])
		}
	}
	for range 1100 {
		o.done("loud")
	}
	if o.held["loud"] != 32 {
		t.Errorf("by itself again it holds %d of 64", o.held["loud"])
	}
	for o.held["loud"] > 0 {
		o.done("loud")
	}
	if len(o.waiting["loud"]) != 0 {
		t.Errorf("%d wait for ever", len(o.waiting["loud"]))
	}
}

func TestTheLongestLaneIsTurnedAway(t *testing.T) {
	o := newOffice(t, 2, 100)
	o.ask("loud", 1000)
	if o.held["loud"] != 1 || len(o.waiting["loud"]) != 100 || o.refused["loud"] != 899 {
		t.Fatalf("held %d, waiting %d, refused %d", o.held["loud"], len(o.waiting["loud"]), o.refused["loud"])
	}
	o.ask("a", 1)
	o.ask("b", 20)
	if o.refused["a"]+o.refused["b"] != 0 || o.held["a"] != 1 || len(o.waiting["b"]) != 20 ||
		len(o.waiting["loud"]) != 80 {
		t.Errorf("the flood refuses others: refused %v, held %v", o.refused, o.held)
	}
	// What was turned away is forgotten.
	for o.held["loud"] > 0 || o.held["a"] > 0 || o.held["b"] > 0 {
		for lane := range o.held {
			for o.held[lane] > 0 {
				o.done(lane)
			}
		}
	}
	if n := len(o.waiting["loud"]) + len(o.waiting["b"]); n != 0 {
		t.Errorf("%d wait for ever", n)
	}
}

// Whatever comes in whatever order: no more slots are held than there are, none stays free for which somebody may wait,
// and everybody is served or refused in the end.
func TestSlotsAreNeitherLostNorInvented(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- repeatable
		slots, most := 1+r.IntN(9), r.IntN(30)
		o := newOffice(t, slots, most)
		held := func() (n int) {
			for _, h := range o.held {
				n += h
			}
			return n
		}
		for range 400 {
			lane := string(rune('a' + r.IntN(6)))
			if r.IntN(2) == 0 {
				o.ask(lane, 1+r.IntN(4))
			} else if o.held[lane] > 0 {
				o.done(lane)
			}
			free, waiting := slots-held(), 0
			for lane, queue := range o.waiting {
				waiting += len(queue)
				if len(queue) > 0 && o.held[lane] < free {
					t.Fatalf("seed %d: %s waits with %d, and %d are free", seed, lane, o.held[lane], free)
				}
			}
			if free < 0 || most > 0 && waiting > most {
				t.Fatalf("seed %d: %d free, %d waiting of at most %d", seed, free, waiting, most)
			}
		}
		for held() > 0 {
			for lane, n := range o.held {
				if n > 0 {
					o.done(lane)
				}
			}
		}
		for lane, queue := range o.waiting {
			if len(queue) > 0 {
				t.Fatalf("seed %d: %d of %s wait for ever", seed, len(queue), lane)
			}
		}
	}
}

// A sender gets a lane for what was verified, never for what it says of itself.
func TestNobodyQueuesUnderAnothersName(t *testing.T) {
	c := fair.NewCallers()
	tenant := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
		Person: &lockboxv1.Person{Issuer: "https://meadow.example", Subject: "otto"}}
	engineer := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER,
		Person: &lockboxv1.Person{Issuer: "https://nimbus.example", Subject: "erin"}}
	c.Verified("meadowbank", "otto's", tenant)
	c.Verified("meadowbank", "olga's", tenant)
	lane := func(tenant, token string, want bool) string {
		lane, known := c.Lane(tenant, token)
		if known != want {
			t.Errorf("%s about %s is known: %v", token, tenant, known)
		}
		return lane
	}
	own := lane("meadowbank", "otto's", true)
	if lane("meadowbank", "olga's", true) != own {
		t.Error("one tenant has two lanes")
	}
	lane("meadowbank", "forged", false)
	lane("other", "otto's", false)
	c.Verified("meadowbank", "erin's", engineer)
	c.Verified("other", "erin's", engineer)
	if of := lane("meadowbank", "erin's", true); of == own || of != lane("other", "erin's", true) {
		t.Error("an engineer of the provider has the lanes of all tenants")
	}
	lanes := map[string]bool{}
	for i := range 10_000 {
		lanes[lane(fmt.Sprint("invented-", i), fmt.Sprint("forged ", i), false)] = true
	}
	if len(lanes) > 16 {
		t.Errorf("invented names make %d lanes", len(lanes))
	}
}
