package approval_test

import (
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

// A witness that cosigns an old checkpoint late says nothing about what came after it.
func TestAnOldCheckpointThatIsCosignedLateEndsNoDelay(t *testing.T) {
	s, carl := at.Begin(), at.New("carl", at.ECDSA)
	s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
	s.Seen(25, time.Hour)
	s.Seen(15, 1000*time.Hour)
	may(t, s, "carl", carl, 99, approval.RuleStranger)
}

// Nor does one that nobody but a single witness cosigned, however early.
func TestACheckpointWithoutAQuorumBeginsNoDelay(t *testing.T) {
	s, carl := at.Begin(), at.New("carl", at.ECDSA)
	s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
	s.Sightings = append(s.Sightings, approval.Sighting{Size: 21,
		Cosigned: []approval.Cosigned{{Witness: at.Witnesses[0], At: at.Noon}}})
	s.Seen(30, at.Delay+time.Hour)
	may(t, s, "carl", carl, 99, approval.RuleStranger)
}

func TestAKeyIsEnrolledOnceWhateverIsAroundIt(t *testing.T) {
	s := at.Begin()
	chain, twin := fold(t, s), at.New("anna", at.ES256)
	other := at.New("other", at.ES256)
	twin.Credential = other.Credential
	_, err := chain.Extend(s.Entry(20, adding(twin.Enrol("carl", approval.Approver)), s.Anna, s.Otto, twin))
	refused(t, err, approval.RuleReused)
	other.Credential = s.Anna.Credential
	_, err = chain.Extend(s.Entry(20, adding(other.Enrol("carl", approval.Approver)), s.Anna, s.Otto, other))
	refused(t, err, approval.RuleReused)
	_, err = chain.Extend(s.Entry(20, adding(s.Offline.Enrol("carl", approval.Approver)), s.Anna, s.Otto, s.Offline))
	refused(t, err, approval.RuleReused)
}

func TestAChangeNamesTheOneBeforeIt(t *testing.T) {
	s := at.Begin()
	chain := fold(t, s)
	for _, edit := range []func(*approval.KeyChange){
		func(c *approval.KeyChange) { c.Number = 3 },
		func(c *approval.KeyChange) { c.Previous = at.Hash("another") },
		func(c *approval.KeyChange) { c.Genesis = at.Hash("another") },
		func(c *approval.KeyChange) { c.Origin = "other.example/log" },
		func(c *approval.KeyChange) { c.Tenant = "fabrikam" },
	} {
		c := s.Change(demanding(approval.DemandCommandLine))
		edit(&c)
		text, err := c.Bytes()
		must(t, err)
		_, err = chain.Extend(approval.Stored{Sequence: 20, Signed: at.Signed(approval.FormatKeys, text, s.Anna)})
		if rule := approval.RuleOf(err); rule != approval.RuleFollows && rule != approval.RuleGenesis {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestDemandingLessTwiceWaitsAnew(t *testing.T) {
	s := at.Begin()
	s.Add(20, demanding(approval.DemandNone), s.Anna, s.Otto)
	s.Seen(22, time.Hour)
	s.Add(25, demanding(approval.DemandNone), s.Anna, s.Otto)
	s.Seen(30, time.Hour+at.Delay)
	s.Seen(40, 2*time.Hour+2*at.Delay)
	for sequence, want := range map[uint64]approval.Demand{31: approval.DemandSignatures, 41: approval.DemandNone} {
		if got := fold(t, s).Demand(sequence); got != want {
			t.Errorf("event %d: %q, want %q", sequence, got, want)
		}
	}
}

func TestNobodySignsWithoutAnythingToSay(t *testing.T) {
	s, carl, dora := at.Begin(), at.New("carl", at.ECDSA), at.New("dora", at.ES256)
	s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
	s.Seen(25, time.Hour)
	s.Seen(30, 30*time.Hour)
	chain := fold(t, s)
	more := demanding(approval.DemandCommandLine)
	recovery := approval.KeyChange{Change: approval.RecoverKeys,
		Keys: []approval.Enrolment{dora.Enrol("dora", approval.Administrator)}}
	add := adding(dora.Enrol("dora", approval.Approver))
	for name, row := range map[string]struct {
		change approval.KeyChange
		keys   []*at.Key
		want   approval.Rule
	}{
		"more, with an approver":             {more, []*at.Key{s.Anna, carl}, approval.RuleAuthority},
		"more, with the recovery key":        {more, []*at.Key{s.Anna, s.Offline}, approval.RuleAuthority},
		"more":                               {more, []*at.Key{s.Anna}, ""},
		"a recovery by the new key alone":    {recovery, []*at.Key{dora}, approval.RuleAuthority},
		"a recovery, with an administrator":  {recovery, []*at.Key{s.Offline, s.Anna, dora}, approval.RuleAuthority},
		"a key, with an approver":            {add, []*at.Key{s.Anna, s.Otto, carl, dora}, approval.RuleAuthority},
		"a key by itself":                    {add, []*at.Key{dora}, approval.RulePeople},
		"removing the recovery key":          {removing(s.Offline), []*at.Key{s.Anna}, approval.RuleStranger},
		"removing by a key that is a friend": {removing(s.Anna), []*at.Key{carl}, approval.RuleAuthority},
	} {
		_, err := chain.Extend(s.Entry(40, row.change, row.keys...))
		if approval.RuleOf(err) != row.want || (err == nil) != (row.want == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Add(40, removing(carl), s.Anna)
	_, err := fold(t, s).Extend(s.Entry(41, removing(carl), s.Anna))
	refused(t, err, approval.RuleStranger)
}

// All that a statement says of where it belongs is signed well, and is of elsewhere.
func TestADecisionIsOfItsChain(t *testing.T) {
	s := at.Begin()
	chain := fold(t, s)
	for want, edit := range map[approval.Rule]func(*approval.Decision){
		approval.RuleOther:    func(d *approval.Decision) { d.Origin = "other.example/log" },
		approval.RuleGenesis:  func(d *approval.Decision) { d.Genesis = at.Hash("another") },
		approval.RuleStranger: func(d *approval.Decision) { d.By.Subject = "anna" },
	} {
		d := s.Decide(approval.Approve, "otto", s.Otto)
		edit(&d)
		_, err := chain.Approves(s.Otto.Store(20, d))
		refused(t, err, want)
	}
	d := s.Decide(approval.Approve, "otto", s.Otto)
	d.Tenant = "fabrikam"
	_, err := chain.Approves(s.Otto.Store(20, d))
	refused(t, err, approval.RuleOther)
	stored := s.Otto.Store(20, s.Decide(approval.Approve, "otto", s.Otto))
	stored.Signatures = append(stored.Signatures, s.Anna.Sign(approval.FormatDecision, []byte(stored.Statement)))
	_, err = chain.Approves(stored)
	refused(t, err, approval.RuleStranger)
}

func TestPeopleOfWhomNobodyKnowsMoreAreTwo(t *testing.T) {
	a, b := at.Person("anna"), at.Person("otto")
	a.Human, b.Human = "", ""
	if a.Same(b) || !a.Same(a) {
		t.Error("two accounts without more are taken for one")
	}
}
