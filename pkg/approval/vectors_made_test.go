package approval_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

func madeStatements(t *testing.T) (all []statementVector) {
	put := func(name, format, text string) {
		digest := approval.Digest(format, []byte(text))
		all = append(all, statementVector{name, format, text, hex.EncodeToString(digest[:]),
			approval.RuleOf(parsers[format]([]byte(text)))})
	}
	s, carl := at.Begin(), at.New("carl", at.ES256)
	for _, verb := range []string{approval.Approve, approval.Deny, approval.Revoke} {
		text, err := s.Decide(verb, "anna", s.Anna).Bytes()
		must(t, err)
		put("to "+verb, approval.FormatDecision, string(text))
	}
	d := s.Decide(approval.Approve, "anna", s.Anna)
	d.Comment = approval.CommentHash([32]byte{1}, "only tonight")
	d.Resources = []string{"/subscriptions/payments/<&>\"\\é漢😀"}
	text, err := d.Bytes()
	must(t, err)
	put("with characters of every kind", approval.FormatDecision, string(text))
	change := approval.Change{Head: s.Head(approval.FormatChange, "anna", s.Anna), Change: approval.StandingApproval,
		Kind: "subscription", ID: "payments", Follows: approval.EventOf(7, "RoleAssigned", []byte("before")),
		Content: []approval.Named{{Name: "days", Value: "30"}, {Name: "scenario", Value: "memory-dump"}}}
	changed, err := change.Bytes()
	must(t, err)
	put("a standing approval", approval.FormatChange, string(changed))
	put("a genesis", approval.FormatGenesis, s.Entries[0].Statement)
	keyChange := s.Entry(20, adding(carl.Enrol("carl", approval.Approver)), carl).Statement
	put("a change of keys", approval.FormatKeys, keyChange)

	for _, row := range []struct{ name, format, text, old, by string }{
		{"a space", "", "", `{"answerBy"`, `{ "answerBy"`},
		{"an exponent", "", "", `"seconds":3600`, `"seconds":3.6e3`},
		{"a zero in front", "", "", `"approvals":1`, `"approvals":01`},
		{"less than zero", "", "", `"approvals":1`, `"approvals":-1`},
		{"2^53", "", "", `"version":2`, `"version":9007199254740992`},
		{"nothing", "", "", `"comment":"`, `"comment":null,"x":"`},
		{"a name twice", "", "", `"decision":"approve"`, `"decision":"approve","decision":"approve"`},
		{"a name in capitals", "", "", `"seconds":`, `"Seconds":`},
		{"an unknown name", "", "", `"seconds":`, `"second":0,"seconds":`},
		{"names out of order", "", "", `"seconds":3600,"subscription":"payments"`,
			`"subscription":"payments","seconds":3600`},
		{"a letter that is escaped", "", "", `é`, `\u00e9`},
		{"a sign that is escaped", "", "", `<`, `\u003c`},
		{"text that turns around", "", "", `漢`, "\u202e漢"},
		{"a line feed", "", "", `漢`, `\n`},
		{"something invisible", "", "", `漢`, "\u200b"},
		{"a truth value", "", "", `"seconds":3600`, `"seconds":true`},
		{"another format", "", "", `lockbox-approval/v1`, `lockbox-approval/v2`},
		{"no such decision", "", "", `"decision":"approve"`, `"decision":"applaud"`},
		{"a denial that allows", "", "", `"decision":"approve"`, `"decision":"deny"`},
		{"a revocation with a deadline", "", "", `"decision":"approve"`, `"decision":"revoke"`},
		{"a provider's tenant", "", "", `"tenant":"meadowbank"`, `"tenant":"_"`},
		{"digits in capitals", "", "", `"nonce":"`, `"nonce":"A`},
		{"local time", "", "", `T12:00:00Z","approvals"`, `T12:00:00+00:00","approvals"`},
		{"zeros behind the second", "", "", `T12:00:00Z","approvals"`, `T12:00:00.0Z","approvals"`},
		{"a day that is none", "", "", `2026-11-06`, `2026-11-31`},
		{"issued at the deadline", "", "", `2026-11-06T12:00:00Z`, `2026-11-04T12:00:00Z`},
		{"nobody's approval", "", "", `"approvals":1`, `"approvals":0`},
		{"no version", "", "", `"version":1`, `"version":0`},
		{"events out of order", "", "", `"version":3`, `"version":2`},
		{"not shown what was asked", "", "", `"CustomerNotified"`, `"QuestionAsked"`},
		{"resources twice", "", "", `"resources":["`, `"resources":["/a","/a","`},
		{"for no time", "", "", `"seconds":3600`, `"seconds":0`},
		{"no such change", approval.FormatChange, string(changed), `standing-approval`, `sitting-approval`},
		{"of a request", approval.FormatChange, string(changed), `"kind":"subscription"`, `"kind":"request"`},
		{"of another tenant", approval.FormatChange, string(changed), `"kind":"subscription"`, `"kind":"tenant"`},
		{"parts out of order", approval.FormatChange, string(changed), `"name":"days"`, `"name":"z"`},
		{"a genesis of one", approval.FormatGenesis, s.Entries[0].Statement, `"threshold":2`, `"threshold":1`},
		{"a genesis of one human", approval.FormatGenesis, s.Entries[0].Statement, `otto-0`, `anna-0`},
		{"half of the witnesses", approval.FormatGenesis, s.Entries[0].Statement, `"quorum":2`, `"quorum":1`},
		{"an adding that removes", approval.FormatKeys, "", `"remove":""`, `"remove":"` + carl.ID() + `"`},
		{"the first of the changes", approval.FormatKeys, "", `"number":2`, `"number":1`},
		{"no such role", approval.FormatKeys, "", `"role":"approver"`, `"role":"owner"`},
	} {
		format, from := row.format, row.text
		if format == "" {
			format, from = approval.FormatDecision, string(text)
		} else if from == "" {
			from = keyChange
		}
		other := strings.Replace(from, row.old, row.by, 1)
		if other == from {
			t.Fatalf("%s: no %s in %s", row.name, row.old, from)
		}
		if err := parsers[format]([]byte(other)); err == nil {
			t.Errorf("%s is accepted", row.name)
		}
		put(row.name, format, other)
	}
	return all
}

func madeDecisions(t *testing.T) (all []decisionVector) {
	s := at.Begin()
	for _, verb := range []string{approval.Approve, approval.Deny, approval.Revoke} {
		d := s.Decide(verb, "otto", s.Otto)
		text, err := d.Bytes()
		must(t, err)
		put := func(name string, version uint64, edit func(*approval.Terms)) {
			x := at.Terms()
			if verb == approval.Revoke {
				x.Events = append(x.Events, approval.EventOf(5, "CustomerApproved", []byte("approved")), d.Events[2])
				version += 2
			}
			edit(&x)
			all = append(all, decisionVector{verb + ": " + name, string(text), terms(x), version,
				approval.RuleOf(d.Within(x, version))})
		}
		put("as asked", 5, func(*approval.Terms) {})
		put("of another tenant", 5, func(x *approval.Terms) { x.Tenant = "fabrikam" })
		put("of another request", 5, func(x *approval.Terms) { x.Request += "0" })
		put("another opening", 5, func(x *approval.Terms) { x.Events[0].SHA256 = at.Hash("other") })
		put("a question meanwhile", 5, func(x *approval.Terms) { x.Events[3].Type = "QuestionAsked" })
		put("a question afterwards", 5, func(x *approval.Terms) {
			x.Events = append(x.Events, approval.EventOf(8, "QuestionAsked", nil))
		})
		put("granted meanwhile", 9, func(x *approval.Terms) {
			x.Events = append(x.Events, approval.EventOf(8, "AccessReleased", nil))
		})
		put("before what it rests on", 3, func(*approval.Terms) {})
		put("another deadline", 5, func(x *approval.Terms) { x.AnswerBy = "2026-11-07T12:00:00Z" })
		put("asked for less", 5, func(x *approval.Terms) { x.Resources, x.Seconds = x.Resources[1:], 60 })
		put("nobody who was asked", 5, func(x *approval.Terms) { x.Approvers = x.Approvers[:1] })
		put("one of two", 5, func(x *approval.Terms) { x.Approvals = 2 })
	}
	return all
}

func madeChains() (all []chainVector) {
	carl, dora, phone, offline := at.New("carl", at.RS256), at.New("dora", at.ECDSA), at.New("phone", at.EdDSA),
		at.New("offline 2", at.SKECDSA)
	put := func(name string, s *at.Story) {
		v := chainVector{Name: name, Sightings: listed(s.Sightings)}
		for _, e := range s.Entries {
			v.Entries = append(v.Entries, entry{e.Sequence, e.Statement, e.Signatures})
		}
		v.judge()
		all = append(all, v)
	}
	type step struct {
		sequence uint64
		change   approval.KeyChange
		keys     func(s *at.Story) []*at.Key
	}
	both := func(more ...*at.Key) func(*at.Story) []*at.Key {
		return func(s *at.Story) []*at.Key { return append([]*at.Key{s.Anna, s.Otto}, more...) }
	}
	anna := func(more ...*at.Key) func(*at.Story) []*at.Key {
		return func(s *at.Story) []*at.Key { return append([]*at.Key{s.Anna}, more...) }
	}
	rescue := func(more ...*at.Key) func(*at.Story) []*at.Key {
		return func(s *at.Story) []*at.Key { return append([]*at.Key{s.Offline}, more...) }
	}
	alone := func(keys ...*at.Key) func(*at.Story) []*at.Key {
		return func(*at.Story) []*at.Key { return keys }
	}
	addCarl := step{20, adding(carl.Enrol("carl", approval.Approver)), both(carl)}
	recoverDora := approval.KeyChange{Change: approval.RecoverKeys,
		Keys: []approval.Enrolment{dora.Enrol("dora", approval.Administrator)}}
	replace := approval.KeyChange{Change: approval.ReplaceRecovery, Recovery: []approval.Key{offline.Key}}
	for _, row := range []struct {
		name  string
		steps []step
	}{
		{"a genesis", nil},
		{"a new key", []step{addCarl}},
		{"a new key and its removal", []step{addCarl, {50, removing(carl), anna()}}},
		{"a new key that removes itself", []step{addCarl, {50, removing(carl), alone(carl)}}},
		{"a new key that removes itself too soon", []step{addCarl, {30, removing(carl), alone(carl)}}},
		{"a next device", []step{{20, adding(phone.Enrol("anna", approval.Administrator)), anna(phone)}}},
		{"a next device in another's name", []step{{20, adding(phone.Enrol("dora", approval.Approver)), anna(phone)}}},
		{"more than the old one could do", []step{addCarl, {50, adding(phone.Enrol("carl", approval.Administrator)),
			alone(carl, phone)}}},
		{"a new key that did not sign", []step{{20, adding(carl.Enrol("carl", approval.Approver)), both()}}},
		{"a key that comes back", []step{addCarl, {50, removing(carl), anna()},
			{60, adding(carl.Enrol("dora", approval.Approver)), both()}}},
		{"a recovery", []step{{20, recoverDora, rescue(dora)}}},
		{"a recovery without the recovery key", []step{{20, recoverDora, both(dora)}}},
		{"a recovery that is stopped", []step{{20, recoverDora, rescue(dora)}, {21, removing(dora), anna()}}},
		{"a new recovery key", []step{{20, replace, both(offline)}, {50, recoverDora, alone(offline, dora)}}},
		{"a new recovery key too soon", []step{{20, replace, both(offline)}, {30, recoverDora, alone(offline, dora)}}},
		{"a recovery key that was replaced", []step{{20, replace, both(offline)}, {50, recoverDora, rescue(dora)}}},
		{"demanding more", []step{{20, demanding(approval.DemandCommandLine), anna()}}},
		{"demanding less", []step{{20, demanding(approval.DemandNone), both()}}},
		{"demanding less alone", []step{{20, demanding(approval.DemandNone), anna()}}},
		{"demanding less, stopped", []step{{20, demanding(approval.DemandNone), both()},
			{30, demanding(approval.DemandSignatures), anna()}}},
		{"demanding by an approver", []step{addCarl, {50, demanding(approval.DemandCommandLine), alone(carl)}}},
		{"removing by a stranger", []step{{20, removing(at.Begin().Anna), alone(carl)}}},
		{"removing nobody", []step{{20, removing(carl), anna()}}},
		{"not later than the one before", []step{{10, demanding(approval.DemandCommandLine), anna()}}},
	} {
		s := at.Begin()
		for _, step := range row.steps {
			s.Add(step.sequence, step.change, step.keys(s)...)
		}
		s.Seen(25, time.Hour)
		s.Seen(39, time.Hour+at.Delay)
		s.Seen(70, time.Hour+at.RecoveryDelay)
		put(row.name, s)
	}
	s := at.Begin()
	put("nothing", &at.Story{})
	s.Entries[0].Signatures = s.Entries[0].Signatures[1:]
	put("a genesis that somebody did not sign", s)
	s = at.Begin()
	s.Add(20, demanding(approval.DemandCommandLine), s.Anna)
	s.Entries = s.Entries[1:]
	put("no genesis", s)
	s = at.Begin()
	s.Add(20, demanding(approval.DemandCommandLine), s.Anna)
	s.Add(21, demanding(approval.DemandCommandLine), s.Anna)
	s.Entries = append(s.Entries[:1:1], s.Entries[2])
	put("one left out", s)
	s = at.Begin()
	s.Genesis.Replaces = at.Hash("the chain before")
	statement, err := s.Genesis.Bytes()
	if err != nil {
		panic(err)
	}
	s.Entries[0].Signed = at.Signed(approval.FormatGenesis, statement, s.Anna, s.Otto, s.Offline)
	put("another chain's place taken, not yet", s)
	s.Seen(70, 8*24*time.Hour)
	put("another chain's place taken", s)
	other := at.Begin()
	other.Add(20, demanding(approval.DemandCommandLine), other.Anna)
	s.Entries = append(s.Entries, other.Entries[1])
	put("a change of another chain", s)
	return all
}

func madeFiles(t *testing.T) (all []fileVector) {
	put := func(name string, edit func(*approval.File, *approval.Facts, *fileVector)) {
		s := at.Begin()
		pin := s.Fingerprint()
		f, facts := s.File()
		v := fileVector{Name: name, Pin: hex.EncodeToString(pin[:])}
		edit(&f, &facts, &v)
		text, err := f.Encode()
		must(t, err)
		v.File = string(text)
		v.Origin, v.Tenant, v.KeysSize = facts.Origin, facts.Tenant, facts.KeysSize
		v.Terms, v.Sightings = terms(facts.Terms), listed(facts.Sightings)
		for _, a := range facts.Approvals {
			v.Approvals = append(v.Approvals, place{a.Sequence, a.Version})
		}
		for _, k := range facts.Keys {
			v.Keys = append(v.Keys, k.Sequence)
		}
		v.judge(t)
		all = append(all, v)
	}
	put("an approval", func(*approval.File, *approval.Facts, *fileVector) {})
	put("another pin", func(_ *approval.File, _ *approval.Facts, v *fileVector) { v.Pin = at.Hash("another") })
	put("another log", func(_ *approval.File, facts *approval.Facts, _ *fileVector) { facts.Origin = "other.example/log" })
	put("keys that may not be all", func(_ *approval.File, facts *approval.Facts, _ *fileVector) { facts.KeysSize = 39 })
	put("not in time", func(_ *approval.File, facts *approval.Facts, _ *fileVector) {
		s := at.Begin()
		s.Seen(39, 96*time.Hour)
		s.Seen(41, 97*time.Hour)
		facts.Sightings = s.Sightings
	})
	put("perhaps in time", func(_ *approval.File, facts *approval.Facts, _ *fileVector) {
		s := at.Begin()
		s.Seen(39, 95*time.Hour)
		s.Seen(41, 97*time.Hour)
		facts.Sightings = s.Sightings
	})
	put("two are needed", func(_ *approval.File, facts *approval.Facts, _ *fileVector) { facts.Terms.Approvals = 2 })
	put("nobody approves", func(f *approval.File, facts *approval.Facts, _ *fileVector) {
		f.Approvals, facts.Approvals = nil, nil
	})
	put("another place", func(_ *approval.File, facts *approval.Facts, _ *fileVector) { facts.Approvals[0].Sequence = 9 })
	put("a page where a command line is demanded", func(f *approval.File, facts *approval.Facts, _ *fileVector) {
		s := at.Begin()
		s.Add(20, demanding(approval.DemandCommandLine), s.Anna)
		signed := s.Anna.Store(40, s.Decide(approval.Approve, "anna", s.Anna))
		f.Keys = append(f.Keys, s.Entries[1].Signed)
		f.Approvals[0], facts.Approvals[0].Stored, facts.Keys = signed.Signed, signed, s.Entries
	})
	return all
}
