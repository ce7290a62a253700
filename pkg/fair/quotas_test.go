package fair_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/fair"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func TestR52AQuotaIsForOneMinuteAndOneCaller(t *testing.T) {
	q := fair.NewQuotas(3)
	spend := func(caller string, at time.Duration, want bool) {
		t.Helper()
		now := noon.Add(at)
		peeked, wouldRefuse := q.Over(caller, now)
		until, over := q.Spend(caller, now)
		if over == want || over != wouldRefuse || over && (until != peeked || !until.After(now)) {
			t.Errorf("%s after %v: over %t until %v; looked at before, %t until %v", caller, at, over, until,
				wouldRefuse, peeked)
		}
	}
	for range 3 {
		spend("loud", 0, true)
	}
	spend("loud", 1, false)
	spend("quiet", 1, true)
	for range 10_000 {
		spend("loud", time.Minute-1, false) // refused ones do not count
	}
	spend("loud", time.Minute, true)
	spend("loud", time.Minute, true)
	spend("loud", 2*time.Minute-1, true)
	spend("loud", 2*time.Minute-1, false)
	spend("loud", 0, true) // the clock was set back
}

func TestR52WithoutAQuotaNothingIsRefused(t *testing.T) {
	for _, most := range []int{0, -1} {
		q := fair.NewQuotas(most)
		for range 2000 {
			if _, over := q.Spend("loud", noon); over {
				t.Fatalf("%d a minute: refused", most)
			}
		}
	}
}

// However many callers there are, only so many are remembered; among them is everybody who called just now.
func TestR52AQuotaHoldsBesideManyCallers(t *testing.T) {
	q := fair.NewQuotas(1)
	for i := range 50_000 {
		q.Spend(fmt.Sprint("caller ", i), noon)
		if _, over := q.Spend(fmt.Sprint("caller ", max(0, i-5000)), noon); !over {
			t.Fatalf("caller %d is forgotten after 5,000 others", i-5000)
		}
	}
}

func TestR52AccountsOfOneHumanAreOneCaller(t *testing.T) {
	rosa := &lockboxv1.Person{Issuer: "nimbus", Subject: "rosa", Human: "7"}
	for name, c := range map[string]struct {
		other *lockboxv1.Person
		same  bool
	}{
		"another account": {&lockboxv1.Person{Issuer: "nimbus", Subject: "rosa-admin", Human: "7"}, true},
		"elsewhere":       {&lockboxv1.Person{Issuer: "meadow", Subject: "rosa", Human: "7"}, false},
		"unknown":         {&lockboxv1.Person{Issuer: "nimbus", Subject: "7"}, false},
	} {
		if same := fair.Person(rosa) == fair.Person(c.other); same != c.same {
			t.Errorf("%s: %t", name, same)
		}
	}
	callers := fair.NewCallers()
	if who, known := callers.Person("bank", "t"); known {
		t.Errorf("a stranger is %q", who)
	}
	callers.Verified("bank", "t", &lockboxv1.Actor{Person: rosa})
	if who, known := callers.Person("bank", "t"); !known || who != fair.Person(rosa) {
		t.Errorf("known %t, %q", known, who)
	}
	if _, known := callers.Person("clinic", "t"); known {
		t.Error("known at another tenant")
	}
}
