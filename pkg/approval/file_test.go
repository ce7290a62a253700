package approval_test

import (
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

// verify verifies a file whose log shows what the file says: the worst that a log can do.
func verify(t testing.TB, f approval.File, facts approval.Facts, pin *[32]byte) (approval.Verdict, error) {
	t.Helper()
	text, err := f.Encode()
	must(t, err)
	return approval.Verify(text, pin, facts)
}

func TestAFileProvesAnApproval(t *testing.T) {
	s := at.Begin()
	pin := s.Fingerprint()
	f, facts := s.File()
	v, err := verify(t, f, facts, &pin)
	must(t, err)
	if !v.Pinned || v.Fingerprint != pin || len(v.Approvals) != 1 || v.Approvals[0].Person.Subject != "otto" ||
		v.Approvals[0].Counter != 7 || v.Demand != approval.DemandSignatures || v.AsOf.Size != 41 || !v.OnTime ||
		!v.AsOf.Time.Equal(at.Noon.Add(49*time.Hour+time.Second)) || !v.PublishedBy.Equal(v.AsOf.Time) {
		t.Errorf("%+v", v)
	}
	if v, err = verify(t, f, facts, nil); err != nil || v.Pinned || v.Fingerprint != pin {
		t.Errorf("without a pin: %+v, %v", v, err)
	}
	pin[0] ^= 1
	_, err = verify(t, f, facts, &pin)
	refused(t, err, approval.RulePin)
}

func TestAFileWithoutItsProofsProvesNothing(t *testing.T) {
	s := at.Begin()
	pin := s.Fingerprint()
	for name, row := range map[string]struct {
		edit func(f *approval.File, facts *approval.Facts)
		want approval.Rule
	}{
		"no facts": {func(_ *approval.File, facts *approval.Facts) { *facts = approval.Facts{} },
			approval.RuleProof},
		"another log": {func(_ *approval.File, facts *approval.Facts) { facts.Origin = "other.example/log" },
			approval.RuleProof},
		"another tenant's log": {func(_ *approval.File, facts *approval.Facts) { facts.Tenant = "fabrikam" },
			approval.RuleProof},
		"keys that may not be all": {func(_ *approval.File, facts *approval.Facts) { facts.KeysSize = 0 },
			approval.RuleAsOf},
		"keys as of before": {func(_ *approval.File, facts *approval.Facts) { facts.KeysSize = 39 },
			approval.RuleAsOf},
		"keys as of nothing seen": {func(_ *approval.File, facts *approval.Facts) { facts.KeysSize = 42 },
			approval.RuleAsOf},
		"no witnesses": {func(_ *approval.File, facts *approval.Facts) { facts.Sightings = nil },
			approval.RuleAsOf},
		"an approval that is hidden": {func(f *approval.File, _ *approval.Facts) { f.Approvals = nil }, approval.RuleProof},
		"no approval": {func(f *approval.File, facts *approval.Facts) { f.Approvals, facts.Approvals = nil, nil },
			approval.RulePeople},
		"no keys": {func(f *approval.File, facts *approval.Facts) { f.Keys, facts.Keys = nil, nil },
			approval.RuleGenesis},
		"another number": {func(_ *approval.File, facts *approval.Facts) { facts.Terms.Approvals = 2 },
			approval.RuleOther},
		"a later place": {func(_ *approval.File, facts *approval.Facts) { facts.Approvals[0].Version = 3 },
			approval.RuleOther},
		"another request": {func(_ *approval.File, facts *approval.Facts) { facts.Terms.Request = "other" },
			approval.RuleOther},
	} {
		f, facts := at.Begin().File()
		row.edit(&f, &facts)
		if _, err := verify(t, f, facts, &pin); approval.RuleOf(err) != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileSaysWhetherTheApprovalCameInTime(t *testing.T) {
	for _, row := range []struct {
		before, after time.Duration // the checkpoints before the approval and after it
		want          approval.Rule
		onTime        bool
	}{
		{95 * time.Hour, 95*time.Hour + 59*time.Minute, "", true},
		{95 * time.Hour, 97 * time.Hour, "", false},
		{96*time.Hour - time.Second - 1, 97 * time.Hour, "", false},
		{96*time.Hour - time.Second, 97 * time.Hour, approval.RuleLate, false},
	} {
		s := at.Begin()
		_, facts := s.File()
		pin := s.Fingerprint()
		facts.Sightings = facts.Sightings[:1]
		s.Sightings = facts.Sightings
		s.Seen(39, row.before)
		s.Seen(41, row.after)
		facts.Sightings = s.Sightings
		f, _ := at.Begin().File()
		v, err := verify(t, f, facts, &pin)
		refused(t, err, row.want)
		if err == nil && v.OnTime != row.onTime {
			t.Errorf("%+v: on time: %t", row, v.OnTime)
		}
	}
}

func TestARemovalThatIsShownCounts(t *testing.T) {
	for sequence, want := range map[uint64]approval.Rule{39: approval.RuleStranger, 41: ""} {
		s := at.Begin()
		s.Add(sequence, removing(s.Otto), s.Anna)
		pin := s.Fingerprint()
		f, facts := s.File()
		v, err := verify(t, f, facts, &pin)
		refused(t, err, want)
		if err == nil && v.Approvals[0].RemovedAt != 41 {
			t.Errorf("%+v", v)
		}
	}
}

func TestSeveralPeopleApproveTogether(t *testing.T) {
	s := at.Begin()
	f, facts := s.File()
	pin := s.Fingerprint()
	facts.Terms.Approvals, facts.Approvals, f.Approvals = 2, nil, nil
	give := func(name string, k *at.Key, sequence, version uint64) {
		d := s.Decide(approval.Approve, name, k)
		d.Approvals = 2
		g := approval.Given{Stored: k.Store(sequence, d), Version: version}
		facts.Approvals, f.Approvals = append(facts.Approvals, g), append(f.Approvals, g.Signed)
	}
	give("anna", s.Anna, 38, 5)
	_, err := verify(t, f, facts, &pin)
	refused(t, err, approval.RulePeople)
	facts.Terms.Events = append(facts.Terms.Events, approval.EventOf(5, "CustomerApproved", []byte("anna's")),
		approval.EventOf(6, "QuestionAsked", []byte("after hers")))
	give("otto", s.Otto, 40, 6)
	v, err := verify(t, f, facts, &pin)
	if err != nil || len(v.Approvals) != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	// Otto would have had to see the question.
	facts.Approvals[1].Version = 7
	_, err = verify(t, f, facts, &pin)
	refused(t, err, approval.RuleOther)
}

// Whoever writes the log moves a signature to wherever they like; it is worth nothing there.
func TestASignatureIsGoodForOneThing(t *testing.T) {
	s := at.Begin()
	s.Seen(50, 49*time.Hour)
	chain := fold(t, s)
	signed := s.Otto.Store(40, s.Decide(approval.Approve, "otto", s.Otto))
	a, err := chain.Approves(signed)
	must(t, err)
	refused(t, a.Decision.Within(at.Terms(), 5), "")
	for name, edit := range map[string]func(*approval.Terms){
		"tenant":         func(x *approval.Terms) { x.Tenant = "fabrikam" },
		"request":        func(x *approval.Terms) { x.Request = "0192f0c1-7c1e-7c53-9b1e-5d2c7e0a4b12" },
		"subscription":   func(x *approval.Terms) { x.Subscription = "" },
		"type":           func(x *approval.Terms) { x.ResourceType = "storage/accounts" },
		"scenario":       func(x *approval.Terms) { x.Scenario = "administrator" },
		"engineer":       func(x *approval.Terms) { x.Engineer.Subject = "mallory" },
		"issuer":         func(x *approval.Terms) { x.Engineer.Issuer = "https://elsewhere.example" },
		"opening":        func(x *approval.Terms) { x.Events[0] = approval.EventOf(1, "AccessRequested", []byte("other")) },
		"evaluation":     func(x *approval.Terms) { x.Events[1].SHA256 = at.Hash("other") },
		"what was shown": func(x *approval.Terms) { x.Events[2].SHA256 = at.Hash("other") },
		"asked since":    func(x *approval.Terms) { x.Events[3].Type = "QuestionAnswered" },
		"deadline":       func(x *approval.Terms) { x.AnswerBy = approval.TimeText(at.Noon.Add(200 * time.Hour)) },
		"people":         func(x *approval.Terms) { x.Approvals = 2 },
		"frozen list":    func(x *approval.Terms) { x.Approvers = x.Approvers[:1] },
		"resources":      func(x *approval.Terms) { x.Resources = x.Resources[1:] },
		"duration":       func(x *approval.Terms) { x.Seconds = 3599 },
	} {
		terms := at.Terms()
		edit(&terms)
		if err := a.Decision.Within(terms, 5); approval.RuleOf(err) != approval.RuleOther {
			t.Errorf("another %s: %v", name, err)
		}
	}
	text := signed.Statement
	for _, pair := range [][2]string{
		{`"decision":"approve"`, `"decision":"revoke"`}, {`"language":"fr"`, `"language":"en"`}, {"vm-1", "vm-2"},
		{`"seconds":3600`, `"seconds":3601`}, {`"subject":"ingrid"`, `"subject":"mallory"`},
		{`"tenant":"meadowbank"`, `"tenant":"fabrikam"`}, {`4b11"`, `4b12"`}, {at.Origin, "other.example/log"},
		{s.Otto.ID(), s.Anna.ID()}, {`"subject":"otto"`, `"subject":"anna"`},
	} {
		old, by := pair[0], pair[1]
		moved := signed
		moved.Statement = strings.Replace(text, old, by, 1)
		if moved.Statement == text {
			t.Fatalf("no %s in %s", old, text)
		}
		if _, err := chain.Approves(moved); err == nil {
			t.Errorf("it holds for %s as well", by)
		}
	}
	// A denial is no approval, and whoever answers after the deadline has not.
	f, facts := at.Begin().File()
	facts.Approvals[0].Stored = s.Otto.Store(40, s.Decide(approval.Deny, "otto", s.Otto))
	f.Approvals[0] = facts.Approvals[0].Signed
	pin := s.Fingerprint()
	_, err = verify(t, f, facts, &pin)
	refused(t, err, approval.RuleOther)
}

// Each part of an assertion that an authenticator or a page could get wrong, and each of an SSHSIG.
func TestALyingAuthenticatorIsRefused(t *testing.T) {
	statement := []byte("{}")
	for _, row := range lies {
		k := at.New("anna", row.algorithm)
		row.edit(k)
		_, err := k.Verify(k.Sign(approval.FormatDecision, statement), approval.FormatDecision, statement)
		if approval.RuleOf(err) != row.rule || (err == nil) != (row.rule == "") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	k := at.New("anna", at.ES256)
	s := k.Sign(approval.FormatDecision, statement)
	for _, bytes := range []string{"", "AA", s.Bytes[:8], s.Bytes + "AA", strings.ToUpper(s.Bytes),
		base64.RawURLEncoding.EncodeToString(make([]byte, 513))} {
		other := s
		other.Bytes = bytes
		if _, err := k.Verify(other, approval.FormatDecision, statement); err == nil {
			t.Errorf("%q is accepted", bytes)
		}
	}
}

// lies are what breaks one rule each, or is accepted.
var lies = []struct {
	name, algorithm string
	rule            approval.Rule
	edit            func(k *at.Key)
}{
	{"a registration", at.ES256, approval.RuleType, func(k *at.Key) { k.Type = "webauthn.create" }},
	{"another origin", at.ES256, approval.RuleOrigin, func(k *at.Key) { k.Origin = "https://evil.example" }},
	{"another port", at.ES256, approval.RuleOrigin, func(k *at.Key) { k.Origin += ":8443" }},
	{"inside another page", at.ES256, approval.RuleCrossOrigin, func(k *at.Key) { k.CrossOrigin = "true" }},
	{"with an origin on top", at.ES256, approval.RuleCrossOrigin,
		func(k *at.Key) { k.Extra = `,"topOrigin":"https://evil.example"` }},
	{"a type twice", at.ES256, approval.RuleForm, func(k *at.Key) { k.Extra = `,"Type":"webauthn.create"` }},
	{"no JSON", at.ES256, approval.RuleForm, func(k *at.Key) { k.Extra = `,"x"` }},
	{"with something new", at.ES256, "", func(k *at.Key) { k.Extra = `,"other_keys_can_be_added_here":"…"` }},
	{"another relying party", at.EdDSA, approval.RuleRelyingParty, func(k *at.Key) { k.Party = "bank.example" }},
	{"nobody there", at.ES256, approval.RulePresence, func(k *at.Key) { k.Flags = at.UV }},
	{"user not verified", at.RS256, approval.RuleVerification, func(k *at.Key) { k.Flags = at.UP }},
	{"copied since", at.ES256, approval.RuleBackup, func(k *at.Key) { k.Flags |= at.BE }},
	{"not copied, and yet backed up", at.ES256, approval.RuleFlags, func(k *at.Key) { k.Flags |= at.BS }},
	{"with an attested key", at.ES256, approval.RuleFlags, func(k *at.Key) { k.Flags |= 0x40 }},
	{"with bytes behind it", at.ES256, approval.RuleForm, func(k *at.Key) { k.Tail = []byte{0xa0} }},
	{"numbers without their sign", at.ECDSA, approval.RuleForm, func(k *at.Key) {
		k.Number = func(n *big.Int) string { return string(n.Bytes()) }
	}},
	{"numbers with zeros in front", at.SKECDSA, approval.RuleForm, func(k *at.Key) {
		k.Number = func(n *big.Int) string { return "\x00\x00" + string(n.Bytes()[:31]) }
	}},
	{"with extensions", at.ES256, approval.RuleFlags, func(k *at.Key) { k.Flags |= 0x80 }},
	{"a synced passkey", at.ES256, "", func(k *at.Key) { k.Backup, k.Flags = 1, at.UP|at.UV|at.BE|at.BS }},
	{"a synced passkey, not synced yet", at.ES256, "", func(k *at.Key) { k.Backup, k.Flags = 1, at.UP|at.UV|at.BE }},
	{"another namespace", at.Ed25519, approval.RuleNamespace, func(k *at.Key) { k.Namespace = "git" }},
	{"something reserved", at.ECDSA, approval.RuleReserved, func(k *at.Key) { k.Reserved = "x" }},
	{"SHA-256", at.Ed25519, approval.RuleHash, func(k *at.Key) { k.Hash = "sha256" }},
	{"another algorithm", at.Ed25519, approval.RuleAlgorithm, func(k *at.Key) { k.SignatureType = "rsa-sha2-512" }},
	{"nobody at the security key", at.SKEd25519, approval.RulePresence, func(k *at.Key) { k.Flags = at.UV }},
	{"security key without its PIN", at.SKECDSA, approval.RuleVerification, func(k *at.Key) { k.Flags = at.UP }},
	{"security key enrolled without a PIN", at.SKECDSA, "", func(k *at.Key) { k.Verification, k.Flags = 0, at.UP }},
	{"security key with extensions", at.SKEd25519, approval.RuleFlags, func(k *at.Key) { k.Flags |= 0x80 }},
}

func TestAFileHasOneSpelling(t *testing.T) {
	f, _ := at.Begin().File()
	text, err := f.Encode()
	must(t, err)
	again, err := approval.ParseFile(text)
	must(t, err)
	if twice, err := again.Encode(); err != nil || string(twice) != string(text) {
		t.Errorf("%v", err)
	}
	for _, other := range []string{" " + string(text), string(text) + "\n",
		strings.Replace(string(text), "file/v1", "file/v2", 1), "null", "{}", "[]"} {
		_, err := approval.ParseFile([]byte(other))
		refused(t, err, approval.RuleForm)
	}
}
