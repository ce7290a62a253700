package approval_test

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

func fold(t testing.TB, s *at.Story) *approval.Chain {
	t.Helper()
	c, err := s.Fold()
	must(t, err)
	return c
}

// may says by which rule an approval by a key is refused as the tenant's event of that sequence.
func may(t *testing.T, s *at.Story, name string, k *at.Key, sequence uint64, want approval.Rule) {
	t.Helper()
	_, err := fold(t, s).Approves(k.Store(sequence, s.Decide(approval.Approve, name, k)))
	if got := approval.RuleOf(err); got != want || (err == nil) != (want == "") {
		t.Errorf("%s at event %d: %v, want %q", name, sequence, err, want)
	}
}

func adding(e approval.Enrolment) approval.KeyChange {
	return approval.KeyChange{Change: approval.AddKey, Keys: []approval.Enrolment{e}}
}

func removing(k *at.Key) approval.KeyChange {
	return approval.KeyChange{Change: approval.RemoveKey, Remove: k.ID()}
}

func demanding(d approval.Demand) approval.KeyChange {
	return approval.KeyChange{Change: approval.SetDemand, Demand: d}
}

func TestTheKeysOfAGenesisCountFromIt(t *testing.T) {
	s := at.Begin()
	may(t, s, "anna", s.Anna, 9, approval.RuleStranger)
	may(t, s, "anna", s.Anna, 10, "")
	may(t, s, "otto", s.Otto, 11, "")
	may(t, s, "otto", s.Anna, 11, approval.RuleStranger) // in another's name
	may(t, s, "anna", s.Offline, 11, approval.RuleStranger)
	may(t, s, "carl", at.New("carl", at.ES256), 11, approval.RuleStranger)
}

func TestANewKeyCountsAfterItsDelayByTheWitnessesClocks(t *testing.T) {
	s, carl := at.Begin(), at.New("carl", at.RS256)
	s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
	may(t, s, "carl", carl, 1000, approval.RuleStranger) // nobody has seen it
	// Two witnesses of three had cosigned it one second after the first.
	s.Seen(25, time.Hour)
	s.Seen(30, time.Hour+at.Delay-1)
	may(t, s, "carl", carl, 1000, approval.RuleStranger)
	s.Seen(33, time.Hour+at.Delay)
	may(t, s, "carl", carl, 33, approval.RuleStranger)
	may(t, s, "carl", carl, 34, "")
	may(t, s, "anna", s.Anna, 34, "")
	if keys := fold(t, s).Keys(); len(keys) != 3 || keys[2].From != 34 || keys[2].Added != 20 {
		t.Errorf("%+v", keys)
	}
}

// The writer's own word about the time is not asked, nor is that of one witness alone, or of strangers.
func TestNoDelayIsShortenedByFewerThanAQuorum(t *testing.T) {
	early, late := at.Noon.Add(-1000*time.Hour), at.Noon.Add(1000*time.Hour)
	for name, lie := range map[string][]approval.Cosigned{
		"one witness is late":        {{Witness: at.Witnesses[0], At: late}, {Witness: at.Witnesses[1], At: at.Noon}},
		"one witness, twice":         {{Witness: at.Witnesses[0], At: late}, {Witness: at.Witnesses[0], At: late}},
		"a stranger beside one":      {{Witness: at.Witnesses[0], At: late}, {Witness: "stranger+44444444+BAQ=", At: late}},
		"one witness is early":       {{Witness: at.Witnesses[0], At: early}, {Witness: at.Witnesses[1], At: at.Noon}},
		"nobody":                     {},
		"one witness that is early":  {{Witness: at.Witnesses[2], At: early}},
		"two, who say less than due": {{Witness: at.Witnesses[0], At: at.Noon}, {Witness: at.Witnesses[1], At: late}},
	} {
		s, carl := at.Begin(), at.New("carl", at.ECDSA)
		s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
		s.Seen(25, 0)
		s.Sightings = append(s.Sightings, approval.Sighting{Size: 30, Cosigned: lie})
		s.Seen(35, at.Delay-10*time.Second)
		if _, err := fold(t, s).Approves(carl.Store(99, s.Decide(approval.Approve, "carl", carl))); err == nil {
			t.Errorf("%s, and the key counts", name)
		}
	}
}

func TestOneSignatureRemovesAtOnce(t *testing.T) {
	for name, by := range map[string]func(*at.Story) *at.Key{
		"another administrator": func(s *at.Story) *at.Key { return s.Otto },
		"the key itself":        func(s *at.Story) *at.Key { return s.Anna },
		"the recovery key":      func(s *at.Story) *at.Key { return s.Offline },
	} {
		s := at.Begin()
		s.Add(20, removing(s.Anna), by(s))
		may(t, s, "anna", s.Anna, 19, "")
		may(t, s, "anna", s.Anna, 20, approval.RuleStranger)
		if t.Failed() {
			t.Fatal(name)
		}
		// It never comes back, whoever has it.
		_, err := fold(t, s).Extend(s.Entry(30, adding(s.Anna.Enrol("anna", approval.Approver)), s.Otto, s.Anna))
		refused(t, err, approval.RuleReused)
	}
}

func TestARemovalStopsAKeyThatWaits(t *testing.T) {
	s, mallory := at.Begin(), at.New("mallory", at.ES256)
	s.Add(20, adding(mallory.Enrol("mallory", approval.Administrator)), s.Anna, s.Otto, mallory)
	s.Seen(25, time.Hour)
	s.Add(26, removing(mallory), s.Otto)
	s.Seen(40, 100*time.Hour)
	may(t, s, "mallory", mallory, 50, approval.RuleStranger)
}

func TestSomebodySignsForTheirOwnNextDevice(t *testing.T) {
	s, phone, carl := at.Begin(), at.New("phone", at.EdDSA), at.New("carl", at.ES256)
	s.Add(20, adding(phone.Enrol("anna", approval.Administrator)), s.Anna, phone)
	s.Add(21, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
	s.Seen(25, time.Hour)
	s.Seen(30, 30*time.Hour)
	may(t, s, "anna", phone, 31, "")
	may(t, s, "carl", carl, 31, "")
	chain := fold(t, s)
	// Not with more than the old key could do, not for somebody else.
	next := at.New("next", at.ES256)
	_, err := chain.Extend(s.Entry(40, adding(next.Enrol("carl", approval.Administrator)), carl, next))
	refused(t, err, approval.RuleAuthority)
	_, err = chain.Extend(s.Entry(40, adding(next.Enrol("dora", approval.Approver)), carl, next))
	refused(t, err, approval.RuleAuthority)
	_, err = chain.Extend(s.Entry(40, adding(next.Enrol("dora", approval.Approver)), s.Anna, next))
	refused(t, err, approval.RulePeople)
	_, err = chain.Extend(s.Entry(40, adding(next.Enrol("dora", approval.Approver)), s.Anna, phone, next))
	refused(t, err, approval.RulePeople) // two keys of one person
	_, err = chain.Extend(s.Entry(40, adding(next.Enrol("dora", approval.Approver)), s.Anna, s.Otto))
	refused(t, err, approval.RulePossession)
	_, err = chain.Extend(s.Entry(40, adding(next.Enrol("dora", approval.Approver)), s.Anna, s.Otto, next, s.Offline))
	refused(t, err, approval.RuleAuthority)
	_, err = chain.Extend(s.Entry(40, removing(s.Otto), carl))
	refused(t, err, approval.RuleAuthority)
	_, err = chain.Extend(s.Entry(40, adding(next.Enrol("carl", approval.Approver)), carl, next))
	refused(t, err, "")
}

func TestTheRecoveryKeyBringsNewAdministrators(t *testing.T) {
	s, dora := at.Begin(), at.New("dora", at.ES256)
	recovery := approval.KeyChange{Change: approval.RecoverKeys,
		Keys: []approval.Enrolment{dora.Enrol("dora", approval.Administrator)}}
	s.Add(20, recovery, s.Offline, dora)
	s.Seen(25, time.Hour)
	s.Seen(30, time.Hour+at.RecoveryDelay-1)
	may(t, s, "dora", dora, 99, approval.RuleStranger)
	s.Seen(31, time.Hour+at.RecoveryDelay)
	may(t, s, "dora", dora, 32, "")
	// Who stole the recovery key is stopped by one administrator in time.
	s = at.Begin()
	s.Add(20, recovery, s.Offline, dora)
	s.Add(21, removing(dora), s.Otto)
	s.Seen(25, time.Hour)
	s.Seen(31, time.Hour+at.RecoveryDelay)
	may(t, s, "dora", dora, 32, approval.RuleStranger)
	// Nobody else recovers.
	chain, next := fold(t, s), at.New("next", at.ES256)
	recovery.Keys[0] = next.Enrol("next", approval.Administrator)
	_, err := chain.Extend(s.Entry(40, recovery, s.Anna, s.Otto, next))
	refused(t, err, approval.RuleAuthority)
	_, err = chain.Extend(s.Entry(40, recovery, s.Offline))
	refused(t, err, approval.RulePossession)
}

func TestARecoveryKeyIsReplaced(t *testing.T) {
	s, offline, dora := at.Begin(), at.New("offline 2", at.Ed25519), at.New("dora", at.ES256)
	s.Add(20, approval.KeyChange{Change: approval.ReplaceRecovery, Recovery: []approval.Key{offline.Key}}, s.Anna, s.Otto,
		offline)
	s.Seen(25, time.Hour)
	s.Seen(30, 30*time.Hour)
	recovery := approval.KeyChange{Change: approval.RecoverKeys,
		Keys: []approval.Enrolment{dora.Enrol("dora", approval.Administrator)}}
	for sequence, counts := range map[uint64]*at.Key{30: s.Offline, 31: offline} {
		for _, k := range []*at.Key{s.Offline, offline} {
			_, err := fold(t, s).Extend(s.Entry(sequence, recovery, k, dora))
			if (err == nil) != (k == counts) {
				t.Errorf("at event %d: %v", sequence, err)
			}
		}
	}
}

func TestDemandingMoreIsAtOnceAndLessWaits(t *testing.T) {
	s := at.Begin()
	demand := func(sequence uint64, want approval.Demand) {
		t.Helper()
		if got := fold(t, s).Demand(sequence); got != want {
			t.Errorf("event %d: %q, want %q", sequence, got, want)
		}
	}
	demand(9, approval.DemandNone)
	demand(10, approval.DemandSignatures)
	s.Add(20, demanding(approval.DemandCommandLine), s.Anna)
	demand(19, approval.DemandSignatures)
	demand(20, approval.DemandCommandLine)
	_, err := fold(t, s).Extend(s.Entry(21, demanding(approval.DemandNone), s.Anna))
	refused(t, err, approval.RulePeople)
	_, err = fold(t, s).Extend(s.Entry(21, demanding(approval.DemandNone), s.Offline))
	refused(t, err, approval.RuleAuthority)
	s.Add(21, demanding(approval.DemandNone), s.Anna, s.Otto)
	demand(99, approval.DemandCommandLine)
	s.Seen(25, time.Hour)
	s.Seen(30, time.Hour+at.Delay)
	demand(30, approval.DemandCommandLine)
	demand(31, approval.DemandNone)
	// One administrator stops it while it waits.
	s.Add(28, demanding(approval.DemandCommandLine), s.Otto)
	demand(31, approval.DemandCommandLine)
}

func TestADemandSaysWhatHasToBeSigned(t *testing.T) {
	for _, row := range []struct {
		demand approval.Demand
		act    string
		key    bool
		want   bool
	}{
		{approval.DemandNone, approval.Approve, true, false}, {approval.DemandSignatures, approval.Approve, false, true},
		{approval.DemandCommandLine, approval.Approve, true, true}, {approval.DemandNone, approval.Deny, true, true},
		{approval.DemandSignatures, approval.Deny, false, false}, {approval.DemandCommandLine, approval.Revoke, true, false},
		{approval.DemandNone, approval.StandingApproval, false, true}, {approval.DemandNone, approval.SwitchOff, true, false},
		{approval.DemandSignatures, approval.SwitchOff, false, true}, {approval.DemandSignatures, approval.Roles, true, true},
	} {
		if got := row.demand.Needs(row.act, row.key); got != row.want {
			t.Errorf("%s to %s (key: %t): %t", row.demand, row.act, row.key, got)
		}
	}
}

func TestApprovalsAreCountedByPeople(t *testing.T) {
	passkey, terminal := at.New("a", at.ES256).Key, at.New("b", at.SKEd25519).Key
	by := func(name string, k approval.Key) approval.Approval {
		return approval.Approval{Key: k, Person: at.Person(name)}
	}
	given := func(a ...approval.Approval) []approval.Approval { return a }
	anna := given(by("anna", passkey), by("anna", terminal))
	both := given(by("anna", passkey), by("otto", passkey))
	twin := by("anna.admin", terminal)
	twin.Person.Human = "anna-0"
	for name, row := range map[string]struct {
		demand    approval.Demand
		approvals []approval.Approval
		required  uint64
		want      approval.Rule
	}{
		"one of one":                {approval.DemandSignatures, given(by("anna", passkey)), 1, ""},
		"none":                      {approval.DemandNone, nil, 0, approval.RulePeople},
		"two keys of one account":   {approval.DemandSignatures, anna, 2, approval.RulePeople},
		"two accounts of one human": {approval.DemandSignatures, given(by("anna", passkey), twin), 2, approval.RulePeople},
		"two people":                {approval.DemandSignatures, both, 2, ""},
		"nobody at the command line": {approval.DemandCommandLine, both, 2,
			approval.RuleDemand},
		"one of two at the command line": {approval.DemandCommandLine,
			given(by("anna", passkey), by("otto", terminal)), 2, ""},
	} {
		err := row.demand.Enough(row.approvals, row.required)
		if approval.RuleOf(err) != row.want || (err == nil) != (row.want == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAGenesisIsOnlyTakenWhole(t *testing.T) {
	for name, row := range map[string]struct {
		edit func(*approval.Genesis)
		want approval.Rule
	}{
		"one administrator": {func(g *approval.Genesis) { g.Administrators = g.Administrators[:1] }, approval.RulePeople},
		"two keys of one human": {func(g *approval.Genesis) { g.Administrators[1].Person.Human = "anna-0" },
			approval.RulePeople},
		"an approver": {func(g *approval.Genesis) { g.Administrators[0].Role = approval.Approver },
			approval.RuleValue},
		"one who enrols alone": {func(g *approval.Genesis) { g.Threshold = 1 }, approval.RuleValue},
		"more than there are":  {func(g *approval.Genesis) { g.Threshold = 3 }, approval.RuleValue},
		"no delay":             {func(g *approval.Genesis) { g.DelaySeconds = 0 }, approval.RuleValue},
		"a recovery that is faster": {func(g *approval.Genesis) { g.RecoverySeconds = g.DelaySeconds - 1 },
			approval.RuleValue},
		"no witness":              {func(g *approval.Genesis) { g.Witnesses, g.Quorum = nil, 0 }, approval.RuleValue},
		"half of the witnesses":   {func(g *approval.Genesis) { g.Quorum = 1 }, approval.RuleValue},
		"more than the witnesses": {func(g *approval.Genesis) { g.Quorum = 4 }, approval.RuleValue},
		"a witness twice": {func(g *approval.Genesis) { g.Witnesses = []string{at.Witnesses[0], at.Witnesses[0]} },
			approval.RuleValue},
		"a witness without a key": {func(g *approval.Genesis) { g.Witnesses = []string{"alpha.example"} },
			approval.RuleValue},
		"a recovery key on a web page": {func(g *approval.Genesis) { g.Recovery = at.New("x", at.ES256).Key },
			approval.RuleValue},
		"no such demand": {func(g *approval.Genesis) { g.Demand = "all" }, approval.RuleValue},
		"no tenant":      {func(g *approval.Genesis) { g.Tenant = "_" }, approval.RuleValue},
		"a decision":     {func(g *approval.Genesis) { g.Format = approval.FormatDecision }, approval.RuleForm},
	} {
		g := at.Begin().Genesis
		g.Administrators, g.Witnesses = slices.Clone(g.Administrators), slices.Clone(g.Witnesses)
		row.edit(&g)
		if _, err := g.Bytes(); approval.RuleOf(err) != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := at.Begin()
	unsigned := s.Entries[0]
	for i := range unsigned.Signatures {
		e := unsigned
		e.Signatures = slices.Delete(slices.Clone(unsigned.Signatures), i, i+1)
		_, err := approval.Fold([]approval.Stored{e}, nil)
		refused(t, err, approval.RulePossession)
	}
	_, err := approval.Fold(nil, nil)
	refused(t, err, approval.RuleGenesis)
}

func TestAGenesisThatReplacesAnotherWaits(t *testing.T) {
	s := at.Begin()
	old := s.Fingerprint()
	s.Genesis.Replaces = hex.EncodeToString(old[:])
	statement, err := s.Genesis.Bytes()
	must(t, err)
	signed := at.Signed(approval.FormatGenesis, statement, s.Anna, s.Otto, s.Offline)
	s.Entries = []approval.Stored{{Sequence: 50, Signed: signed}}
	s.Seen(60, time.Hour)
	may(t, s, "anna", s.Anna, 61, approval.RuleStranger)
	s.Seen(70, time.Hour+at.RecoveryDelay)
	may(t, s, "anna", s.Anna, 71, "")
}

func TestAChangeStandsAtOnePlaceOnly(t *testing.T) {
	s, carl := at.Begin(), at.New("carl", at.ES256)
	change := adding(carl.Enrol("carl", approval.Approver))
	entry := s.Entry(20, change, s.Anna, s.Otto, carl)
	chain := fold(t, s)
	longer, err := chain.Extend(entry)
	must(t, err)
	if digest, number, sequence := longer.Last(); number != 2 || sequence != 20 ||
		digest != approval.Digest(approval.FormatKeys, []byte(entry.Statement)) || len(chain.Keys()) != 2 {
		t.Errorf("%x, %d, %d", digest, number, sequence)
	}
	entry.Sequence = 21
	_, err = longer.Extend(entry)
	refused(t, err, approval.RuleFollows)
	entry.Sequence = 10
	_, err = chain.Extend(entry)
	refused(t, err, approval.RuleFollows)
	other := at.Begin()
	other.Genesis.Nonce = at.Hash("another")
	statement, err := other.Genesis.Bytes()
	must(t, err)
	other.Entries[0].Signed = at.Signed(approval.FormatGenesis, statement, s.Anna, s.Otto, s.Offline)
	_, err = fold(t, other).Extend(s.Entry(20, change, s.Anna, s.Otto, carl))
	refused(t, err, approval.RuleGenesis)
	// A signature that is not needed must hold all the same.
	entry = s.Entry(20, demanding(approval.DemandCommandLine), s.Anna, s.Otto)
	entry.Signatures[0].Bytes, entry.Signatures[1].Bytes = entry.Signatures[1].Bytes, entry.Signatures[0].Bytes
	if _, err = chain.Extend(entry); err == nil {
		t.Error("signatures of others are accepted")
	}
	entry = s.Entry(20, demanding(approval.DemandCommandLine), s.Anna, s.Otto)
	slices.Reverse(entry.Signatures)
	_, err = chain.Extend(entry)
	refused(t, err, approval.RuleForm)
}

func TestASignedChangeOfSettingsIsOfWhoseKeyItIs(t *testing.T) {
	s := at.Begin()
	change := approval.Change{Head: s.Head(approval.FormatChange, "anna", s.Anna), Change: approval.SwitchOff,
		Kind: "tenant", ID: at.Tenant, Follows: approval.EventOf(7, "SettingsChanged", []byte("before")),
		Content: []approval.Named{{Name: "lockbox", Value: "off"}}}
	text, err := change.Bytes()
	must(t, err)
	stored := approval.Stored{Sequence: 20, Signed: at.Signed(approval.FormatChange, text, s.Anna)}
	got, key, err := fold(t, s).Changes(stored)
	if err != nil || got.Change != approval.SwitchOff || key.Person.Subject != "anna" {
		t.Errorf("%+v by %+v: %v", got, key, err)
	}
	_, err = fold(t, s).Approves(stored)
	refused(t, err, approval.RuleForm)
	for _, edit := range []func(*approval.Change){
		func(c *approval.Change) { c.Change = "tea" }, func(c *approval.Change) { c.Kind = "request" },
		func(c *approval.Change) { c.ID = "fabrikam" }, func(c *approval.Change) { c.Content = nil },
		func(c *approval.Change) { c.Content = append(c.Content[:1:1], c.Content[0]) },
		func(c *approval.Change) { c.Follows.Version = 0 }, func(c *approval.Change) { c.Follows.SHA256 = "x" },
	} {
		other := change
		edit(&other)
		_, err := other.Bytes()
		refused(t, err, approval.RuleValue)
	}
}
