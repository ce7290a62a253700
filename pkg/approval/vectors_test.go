package approval_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

var update = flag.Bool("update", false, "write testdata/vectors.json, to which vectors are only ever added")

const vectorsFile = "testdata/vectors.json"

// vectors are what another implementation can test itself with. Refused is the rule that is broken; empty: none is.
type vectors struct {
	Words []struct {
		Digest string   `json:"digest"`
		Words  []string `json:"words"`
	} `json:"words"`
	Keys       []keyVector       `json:"keys"`
	Signatures []signatureVector `json:"signatures"`
	// Statements are read, and nothing more.
	Statements []statementVector `json:"statements"`
	// Decisions are compared with the terms of a request.
	Decisions []decisionVector `json:"decisions"`
	// Chains are folded.
	Chains []chainVector `json:"chains"`
	// Files are verified, with what their log shows.
	Files []fileVector `json:"files"`
}

type keyVector struct {
	Name    string        `json:"name"`
	Key     approval.Key  `json:"key"`
	ID      string        `json:"id"`
	Refused approval.Rule `json:"refused"`
}

type signatureVector struct {
	Name      string             `json:"name"`
	Key       approval.Key       `json:"key"`
	Format    string             `json:"format"`
	Statement string             `json:"statement"`
	Signature approval.Signature `json:"signature"`
	Counter   uint32             `json:"counter"`
	Refused   approval.Rule      `json:"refused"`
}

type statementVector struct {
	Name      string        `json:"name"`
	Format    string        `json:"format"`
	Statement string        `json:"statement"`
	Digest    string        `json:"digest"`
	Refused   approval.Rule `json:"refused"`
}

type decisionVector struct {
	Name      string        `json:"name"`
	Statement string        `json:"statement"`
	Terms     terms         `json:"terms"`
	Version   uint64        `json:"version"`
	Refused   approval.Rule `json:"refused"`
}

type terms struct {
	Tenant       string             `json:"tenant"`
	Request      string             `json:"request"`
	Subscription string             `json:"subscription"`
	ResourceType string             `json:"resourceType"`
	Scenario     string             `json:"scenario"`
	Engineer     approval.Account   `json:"engineer"`
	Events       []approval.Event   `json:"events"`
	Resources    []string           `json:"resources"`
	Seconds      uint64             `json:"seconds"`
	AnswerBy     string             `json:"answerBy"`
	Approvals    uint64             `json:"approvals"`
	Approvers    []approval.Account `json:"approvers"`
}

type sighting struct {
	Size     uint64 `json:"size"`
	Cosigned []struct {
		Witness string    `json:"witness"`
		At      time.Time `json:"at"`
	} `json:"cosigned"`
}

type entry struct {
	Sequence   uint64               `json:"sequence"`
	Statement  string               `json:"statement"`
	Signatures []approval.Signature `json:"signatures"`
}

type chainVector struct {
	Name      string     `json:"name"`
	Entries   []entry    `json:"entries"`
	Sightings []sighting `json:"sightings"`
	// Keys are what they came to, in their order; Demands what was demanded as of the last change and of the event 1000.
	Keys    []keyState    `json:"keys"`
	Demands []demandAt    `json:"demands"`
	Refused approval.Rule `json:"refused"`
}

type keyState struct {
	ID      string `json:"id"`
	Added   uint64 `json:"added"`
	From    uint64 `json:"from"`
	Removed uint64 `json:"removed"`
}

type demandAt struct {
	Sequence uint64          `json:"sequence"`
	Demand   approval.Demand `json:"demand"`
}

type fileVector struct {
	Name string `json:"name"`
	File string `json:"file"`
	// Pin is in hexadecimal digits.
	Pin       string     `json:"pin"`
	Origin    string     `json:"origin"`
	Tenant    string     `json:"tenant"`
	Approvals []place    `json:"approvals"`
	Keys      []uint64   `json:"keys"`
	KeysSize  uint64     `json:"keysSize"`
	Terms     terms      `json:"terms"`
	Sightings []sighting `json:"sightings"`
	// AsOf is what the verdict names, OnTime whether it came before the deadline.
	AsOf    time.Time     `json:"asOf"`
	OnTime  bool          `json:"onTime"`
	Refused approval.Rule `json:"refused"`
}

type place struct {
	Sequence uint64 `json:"sequence"`
	Version  uint64 `json:"version"`
}

// parsers read a statement of each format.
var parsers = map[string]func([]byte) error{
	approval.FormatDecision: func(b []byte) error { _, err := approval.ParseDecision(b); return err },
	approval.FormatChange:   func(b []byte) error { _, err := approval.ParseChange(b); return err },
	approval.FormatGenesis:  func(b []byte) error { _, err := approval.ParseGenesis(b); return err },
	approval.FormatKeys:     func(b []byte) error { _, err := approval.ParseKeyChange(b); return err },
}

func listed(of []approval.Sighting) []sighting {
	list := make([]sighting, len(of))
	for i, s := range of {
		list[i].Size = s.Size
		for _, c := range s.Cosigned {
			list[i].Cosigned = append(list[i].Cosigned, struct {
				Witness string    `json:"witness"`
				At      time.Time `json:"at"`
			}(c))
		}
	}
	return list
}

func seen(list []sighting) []approval.Sighting {
	of := make([]approval.Sighting, len(list))
	for i, s := range list {
		of[i].Size = s.Size
		for _, c := range s.Cosigned {
			of[i].Cosigned = append(of[i].Cosigned, approval.Cosigned(c))
		}
	}
	return of
}

func (v chainVector) fold() (*approval.Chain, error) {
	var entries []approval.Stored
	for _, e := range v.Entries {
		entries = append(entries, approval.Stored{Sequence: e.Sequence,
			Signed: approval.Signed{Statement: e.Statement, Signatures: e.Signatures}})
	}
	return approval.Fold(entries, seen(v.Sightings))
}

// judge fills in what the vector comes to.
func (v *chainVector) judge() {
	chain, err := v.fold()
	if v.Refused = approval.RuleOf(err); err != nil {
		return
	}
	for _, k := range chain.Keys() {
		v.Keys = append(v.Keys, keyState{k.ID, k.Added, k.From, k.Removed})
	}
	for _, sequence := range []uint64{v.Entries[len(v.Entries)-1].Sequence, 1000} {
		v.Demands = append(v.Demands, demandAt{sequence, chain.Demand(sequence)})
	}
}

func (v fileVector) facts() approval.Facts {
	facts := approval.Facts{Origin: v.Origin, Tenant: v.Tenant, KeysSize: v.KeysSize, Terms: approval.Terms(v.Terms),
		Sightings: seen(v.Sightings)}
	f, err := approval.ParseFile([]byte(v.File))
	if err != nil {
		return facts
	}
	for i, s := range f.Approvals {
		facts.Approvals = append(facts.Approvals, approval.Given{
			Stored: approval.Stored{Sequence: v.Approvals[i].Sequence, Signed: s}, Version: v.Approvals[i].Version})
	}
	for i, s := range f.Keys {
		facts.Keys = append(facts.Keys, approval.Stored{Sequence: v.Keys[i], Signed: s})
	}
	return facts
}

func (v *fileVector) judge(t *testing.T) {
	pin, err := hex.DecodeString(v.Pin)
	must(t, err)
	verdict, err := approval.Verify([]byte(v.File), (*[32]byte)(pin), v.facts())
	if v.Refused = approval.RuleOf(err); err == nil {
		v.AsOf, v.OnTime = verdict.AsOf.Time, verdict.OnTime
	}
}

// TestTheVectorsAreJudgedAsTheySay makes them anew and compares: a rule that judges otherwise than before shows here.
// The judgements stand in the file, which people review, and pkg/approval/oracletest judges it with another program.
func TestTheVectorsAreJudgedAsTheySay(t *testing.T) {
	v := made(t)
	text, err := json.MarshalIndent(v, "", " ")
	must(t, err)
	text = append(text, '\n')
	if *update {
		must(t, os.WriteFile(vectorsFile, text, 0o644))
	}
	stored, err := os.ReadFile(vectorsFile)
	must(t, err)
	if !bytes.Equal(stored, text) {
		t.Errorf("%s is not what is made here: judgements have to stay the same for ever", vectorsFile)
	}
	rules := map[approval.Rule]bool{}
	for line := range strings.Lines(string(stored)) {
		if rule, is := strings.CutPrefix(strings.TrimSpace(line), `"refused": "`); is {
			rules[approval.Rule(strings.Trim(rule, "\",\n"))] = true
		}
	}
	for _, rule := range []approval.Rule{"", approval.RuleForm, approval.RuleValue, approval.RuleOther, approval.RuleKey,
		approval.RuleStranger, approval.RuleAlgorithm, approval.RuleSignature, approval.RuleType, approval.RuleChallenge,
		approval.RuleOrigin, approval.RuleCrossOrigin, approval.RuleRelyingParty, approval.RulePresence,
		approval.RuleVerification, approval.RuleBackup, approval.RuleFlags, approval.RuleNamespace, approval.RuleReserved,
		approval.RuleHash, approval.RuleGenesis, approval.RuleFollows, approval.RulePossession, approval.RuleAuthority,
		approval.RulePeople, approval.RuleReused, approval.RulePin, approval.RuleProof, approval.RuleAsOf, approval.RuleLate,
		approval.RuleDemand} {
		if !rules[rule] {
			t.Errorf("no vector breaks the rule %q", rule)
		}
	}
	again := v
	must(t, json.Unmarshal(stored, &again))
	for _, c := range again.Chains {
		if _, err := c.fold(); approval.RuleOf(err) != c.Refused {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

// made builds the vectors; vectors_made_test.go has the rest of them.
func made(t *testing.T) (v vectors) {
	for i := range 3 {
		digest := approval.Digest("lockbox-approval/v1", []byte{byte(i)})
		if i == 0 {
			digest = [32]byte{}
		}
		v.Words = append(v.Words, struct {
			Digest string   `json:"digest"`
			Words  []string `json:"words"`
		}{hex.EncodeToString(digest[:]), approval.Words(digest, 12)})
	}
	v.Keys = madeKeys()
	v.Signatures = madeSignatures(t)
	v.Statements = madeStatements(t)
	v.Decisions = madeDecisions(t)
	v.Chains = madeChains()
	v.Files = madeFiles(t)
	return v
}

func madeKeys() (all []keyVector) {
	put := func(name string, k approval.Key) {
		id, err := k.ID()
		all = append(all, keyVector{name, k, id, approval.RuleOf(err)})
	}
	for _, algorithm := range at.Algorithms {
		k := at.New("anna", algorithm)
		put(algorithm, k.Key)
		k.Backup = 1
		put(algorithm+", which can be copied", k.Key)
		k = at.New("anna", algorithm)
		public(append(k.PublicBytes(), 0))(&k.Key)
		put(algorithm+" with a byte more", k.Key)
	}
	for _, row := range [][]string{{"127.0.0.1", "https://127.0.0.1"}, {"bank.example", "https://portal.bank.example"},
		{"bank.example", "http://bank.example"}, {"localhost", "http://localhost:8080"},
		{"bank.example", "https://bank.example", "https://bank.example:8443"}, {"bank.example", "https://bank.example:443"}} {
		k := at.New("anna", at.ES256).Key
		party(row[0], row[1:]...)(&k)
		put(strings.Join(row, " at "), k)
	}
	for _, y := range smallOrder {
		point, err := hex.DecodeString(y)
		if err != nil {
			panic(err)
		}
		k := at.New("anna", at.EdDSA)
		public(append(k.PublicBytes()[:10], point...))(&k.Key)
		put("a point of small order", k.Key)
	}
	return all
}

func madeSignatures(t *testing.T) (all []signatureVector) {
	s := at.Begin()
	put := func(name string, k approval.Key, format string, statement []byte, signature approval.Signature) {
		counter, err := k.Verify(signature, format, statement)
		all = append(all, signatureVector{name, k, format, string(statement), signature, counter, approval.RuleOf(err)})
	}
	for _, algorithm := range at.Algorithms {
		k := at.New("anna", algorithm)
		statement, err := s.Decide(approval.Approve, "anna", k).Bytes()
		must(t, err)
		signature := k.Sign(approval.FormatDecision, statement)
		put(algorithm, k.Key, approval.FormatDecision, statement, signature)
		put(algorithm+" for another format", k.Key, approval.FormatChange, statement, signature)
		put(algorithm+" for another statement", k.Key, approval.FormatDecision, append(statement, ' '), signature)
		put(algorithm+" of another key", at.New("otto", algorithm).Key, approval.FormatDecision, statement, signature)
		signature.Bytes = signature.Bytes[:len(signature.Bytes)-4]
		put(algorithm+" that is cut off", k.Key, approval.FormatDecision, statement, signature)
	}
	for _, lie := range lies {
		k := at.New("anna", lie.algorithm)
		lie.edit(k)
		statement, err := s.Decide(approval.Approve, "anna", k).Bytes()
		must(t, err)
		put(lie.name, k.Key, approval.FormatDecision, statement, k.Sign(approval.FormatDecision, statement))
	}
	return all
}
