package signed_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write testdata/vectors.json, to which vectors are only ever added")

const vectorsFile = "testdata/vectors.json"

// vectors is what another implementation can test itself with.
type vectors struct {
	Origin string `json:"origin"`
	// DeploymentKey is the verifier key that is given by other means.
	DeploymentKey string `json:"deployment_key"`
	// Stream are events as they are stored, in order; what is refused is not there for those that follow.
	Stream []vector `json:"stream"`
}

type vector struct {
	Name     string `json:"name"`
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject"`
	// Stored is in hexadecimal digits.
	Stored string `json:"stored"`
	// Refused is the rule that is broken; empty: none is.
	Refused signed.Rule `json:"refused"`
}

// made builds the vectors: the life of a stream, and beside each rule an event that breaks it alone.
func made(t *testing.T) vectors {
	w, other := ours(t), newWorld(t, signed.DeploymentName(origin), "other deployment")
	v := vectors{Origin: origin, DeploymentKey: w.vkey}
	orchestrator := signer(t, aggregate.Orchestrator, "orchestrator")
	evaluator := signer(t, aggregate.Evaluator, "evaluator")
	put := func(name string, e *lockboxv1.Event, stored []byte, refused signed.Rule) {
		sequence := uint64(len(v.Stream) + 1)
		v.Stream = append(v.Stream, vector{name, sequence, subject(e), hex.EncodeToString(stored), refused})
	}
	edited := func(stored []byte, edit func(block []byte) []byte) []byte {
		content, block, err := signed.Content(stored)
		if err != nil {
			t.Fatal(err)
		}
		tagged := protowire.AppendTag(slices.Clone(content), 19, protowire.BytesType)
		return protowire.AppendBytes(tagged, edit(slices.Clone(block)))
	}
	// byteAt changes one byte of the block of the first of two events.
	var good [][]byte
	byteAt := func(i int, to byte) []byte {
		return edited(good[0], func(b []byte) []byte { b[i] = to; return b })
	}

	first, second, third := comment(1, "before signing began"), comment(2, "signed"), comment(3, "and again")
	put("before signing began", first, content(t, first), "")
	begun, foreign, unannounced := w.beginning(), other.beginning(), w.beginning()
	put("signing begins under another deployment's key", foreign, sign(t, orchestrator, unsigned(t, foreign, nil))[0],
		signed.RuleUnknownKey)
	put("that signing began is signed by a writer's key that is certified for something else", unannounced,
		sign(t, evaluator, unsigned(t, unannounced, nil))[0], signed.RuleUnknownKey)
	put("that signing began is not signed", unannounced, content(t, unannounced), signed.RuleUnsigned)
	put("signing began", begun, sign(t, orchestrator, unsigned(t, begun, nil))[0], "")

	put("unsigned", second, content(t, second), signed.RuleUnsigned)
	good = sign(t, orchestrator, unsigned(t, second, first), unsigned(t, third, second))
	put("an unknown version of the block", second, byteAt(0, 2), signed.RuleBlock)
	put("a block that is cut off", second, edited(good[0], func(b []byte) []byte { return b[:len(b)-1] }),
		signed.RuleBlock)
	put("an empty block", second, edited(good[0], func([]byte) []byte { return nil }), signed.RuleBlock)
	put("an index beyond the commit", second, byteAt(42, 2), signed.RuleBlock)
	put("a commit of none", second, byteAt(44, 0), signed.RuleBlock)
	put("a commit that is too large", second, byteAt(43, 5), signed.RuleBlock)
	put("something after the block", second, append(slices.Clone(good[0]), 0x5a, 0), signed.RuleBlock)
	put("two blocks", second, append(slices.Clone(good[0]), good[0][len(content(t, second)):]...), signed.RuleBlock)
	stranger := signer(t, aggregate.Orchestrator, "a key without a certificate")
	put("a key without a certificate", second, sign(t, stranger, unsigned(t, second, first))[0], signed.RuleUnknownKey)
	put("another writer's key", second, sign(t, evaluator, unsigned(t, second, first))[0], signed.RuleWriter)
	early, late := comment(2, "too early"), comment(2, "too late")
	early.Time.Seconds = noon.Unix() - 1
	late.Time.Seconds = noon.Add(24 * time.Hour).Unix()
	put("before the key counts", early, sign(t, orchestrator, unsigned(t, early, first))[0], signed.RuleTime)
	put("the instant at which the key is over", late, sign(t, orchestrator, unsigned(t, late, first))[0], signed.RuleTime)
	lost := comment(1, "an event that lost a race")
	put("written to follow another event", second, sign(t, orchestrator, unsigned(t, second, lost))[0],
		signed.RulePrevious)
	put("a path that is too long", second, edited(good[0], func(b []byte) []byte {
		return slices.Concat(b[:45], b[45:77], b[45:])
	}), signed.RulePath)
	put("a path that is too short", second, edited(good[0], func(b []byte) []byte {
		return slices.Concat(b[:45], b[77:])
	}), signed.RulePath)
	put("another signature", second, byteAt(120, 0), signed.RuleSignature)
	changed := comment(2, "Signed")
	put("other content", changed, append(content(t, changed), good[0][len(content(t, second)):]...), signed.RuleSignature)
	moved := comment(2, "signed")
	moved.Tenant = "fabrikam"
	moved.Version = 1
	elsewhere := unsigned(t, moved, nil)
	elsewhere.Subject = subject(first)
	put("signed for another subject", moved, sign(t, orchestrator, elsewhere)[0], signed.RuleSignature)
	abroad, err := signed.NewSigner("elsewhere.example/log", keyOf("orchestrator"), aggregate.Orchestrator)
	if err != nil {
		t.Fatal(err)
	}
	put("signed for another deployment", second, sign(t, abroad, unsigned(t, second, first))[0], signed.RuleSignature)

	put("the first of a commit of two", second, good[0], "")
	put("the second of a commit of two", third, good[1], "")
	report := about(aggregate.MerkleLog, 512, noon.Add(time.Hour), &lockboxv1.Event_CheckpointSigned{
		CheckpointSigned: &lockboxv1.CheckpointSigned{Note: "…", CoveredSequence: 511}})
	projector := signer(t, aggregate.Projector, "projector")
	chained := unsigned(t, report, second)
	put("a report that names one before it", report, sign(t, projector, chained)[0], signed.RulePrevious)
	put("a report", report, sign(t, projector, unsigned(t, report, nil))[0], "")

	renewed := about(aggregate.SigningWriters, 2, noon.Add(time.Hour), &lockboxv1.Event_WriterCertified{
		WriterCertified: &lockboxv1.WriterCertified{Certificate: w.certificate(aggregate.Orchestrator, "the next one")}})
	next := signer(t, aggregate.Orchestrator, "the next one")
	fourth := comment(4, "with the second key")
	put("a key before it is certified", fourth, sign(t, next, unsigned(t, fourth, third))[0], signed.RuleUnknownKey)
	put("a certificate signed by a key that nobody certifies", renewed, sign(t, stranger, unsigned(t, renewed, begun))[0],
		signed.RuleUnknownKey)
	put("a certificate signed by the key that it certifies", renewed, sign(t, next, unsigned(t, renewed, begun))[0], "")
	put("a key that is certified", fourth, sign(t, next, unsigned(t, fourth, third))[0], "")
	id := signed.IDOf(signed.PublicOf(keyOf("orchestrator")))
	revoked := about(aggregate.SigningWriters, 3, noon.Add(time.Hour), &lockboxv1.Event_WriterRevoked{
		WriterRevoked: &lockboxv1.WriterRevoked{KeyId: id[:], Reason: "stolen"}})
	put("a revocation, signed by what it revokes", revoked, sign(t, orchestrator, unsigned(t, revoked, renewed))[0], "")
	fifth := comment(5, "with the first key")
	put("a revoked key", fifth, sign(t, orchestrator, unsigned(t, fifth, fourth))[0], signed.RuleTime)
	put("after a revocation", fifth, sign(t, next, unsigned(t, fifth, fourth))[0], "")
	return v
}

func TestTheVectorsAreJudgedAsTheySay(t *testing.T) {
	text, err := json.MarshalIndent(made(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(vectorsFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, text) {
		t.Errorf("%s is not what is made here: signatures have to stay the same for ever", vectorsFile)
	}
	var v vectors
	if err := json.Unmarshal(stored, &v); err != nil {
		t.Fatal(err)
	}
	ring, accepted, rules := signed.NewKeyring(v.Origin, ours(t).verifier), map[string][]byte{}, map[signed.Rule]bool{}
	for _, vector := range v.Stream {
		data, err := hex.DecodeString(vector.Stored)
		if err != nil {
			t.Fatal(err)
		}
		e := new(lockboxv1.Event)
		if err := proto.Unmarshal(data, e); err != nil {
			t.Fatal(err)
		}
		key := aggregate.KeyOf(e).String()
		err = ring.Check(signed.Message{Sequence: vector.Sequence, Subject: vector.Subject, Stored: data, Event: e},
			func() ([32]byte, error) { return signed.Hash(accepted[key]), nil })
		var refused *signed.Error
		if errors.As(err, &refused); (refused == nil) != (err == nil) || ruleOf(err) != vector.Refused {
			t.Errorf("%s: %v, want refused by %q", vector.Name, err, vector.Refused)
		}
		rules[vector.Refused] = true
		if err != nil {
			continue
		}
		if accepted[key], _, err = signed.Content(data); err != nil {
			t.Error(err)
		}
		if err := ring.Add(e, vector.Sequence); err != nil {
			t.Error(err)
		}
	}
	for _, rule := range []signed.Rule{"", signed.RuleUnsigned, signed.RuleBlock, signed.RuleUnknownKey, signed.RuleWriter,
		signed.RuleTime, signed.RulePrevious, signed.RulePath, signed.RuleSignature} {
		if !rules[rule] {
			t.Errorf("no vector breaks the rule %q", rule)
		}
	}
}
