package signed_test

import (
	"errors"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func breaks(t *testing.T, err error, rule signed.Rule) {
	t.Helper()
	var is *signed.Error
	if !errors.As(err, &is) || is.Rule != rule {
		t.Errorf("it is %v, want the rule %q", err, rule)
	}
}

// TestWithoutTheStreamAnEventIsJudgedByCertificates: whoever holds a receipt has nothing else.
func TestWithoutTheStreamAnEventIsJudgedByCertificates(t *testing.T) {
	w := ours(t)
	pinned, err := signed.Pin(w.vkey + "\n")
	if err != nil {
		t.Fatal(err)
	}
	orchestrator := signer(t, aggregate.Orchestrator, "orchestrator")
	first, second := comment(1, "Why?"), comment(2, "Because.")
	before := sign(t, orchestrator, unsigned(t, first, nil))[0]
	stored := sign(t, orchestrator, unsigned(t, second, first))[0]
	judge, err := pinned.Certified([]string{w.certificate(aggregate.Orchestrator, "orchestrator"),
		w.certificate(aggregate.Notifier, "notifier")})
	if err != nil {
		t.Fatal(err)
	}
	for name, before := range map[string][]byte{"signed": before, "withheld": nil, "not signed": content(t, first)} {
		if who, err := judge(subject(second), second, stored, before); err != nil || who != string(aggregate.Orchestrator) {
			t.Errorf("after a version that is %s: %s, %v", name, who, err)
		}
	}
	if who, err := judge(subject(first), first, before, nil); err != nil || who != string(aggregate.Orchestrator) {
		t.Errorf("%s, %v", who, err)
	}
	broken := func(name string, rule signed.Rule, e *lockboxv1.Event, stored, before []byte) {
		t.Run(name, func(t *testing.T) {
			_, err := judge(subject(e), e, stored, before)
			breaks(t, err, rule)
		})
	}
	late := proto.CloneOf(second)
	late.Time = timestamppb.New(noon.Add(48 * time.Hour))
	alien := proto.CloneOf(second)
	alien.Kind = "request"
	loaded := sign(t, orchestrator, unsigned(t, second, comment(1, "Another question.")))[0]
	unchained := sign(t, orchestrator, unsigned(t, first, second))[0]
	broken("unsigned", signed.RuleUnsigned, second, content(t, second), before)
	broken("half a block", signed.RuleBlock, second, append(content(t, second), 0x9a, 1, 1, 1), before)
	broken("a key of nobody", signed.RuleUnknownKey, second,
		sign(t, signer(t, aggregate.Orchestrator, "thief"), unsigned(t, second, first))[0], before)
	broken("another writer", signed.RuleWriter, second,
		sign(t, signer(t, aggregate.Notifier, "notifier"), unsigned(t, second, first))[0], before)
	broken("a fact of another kind", signed.RuleWriter, alien, sign(t, orchestrator, unsigned(t, alien, nil))[0], nil)
	broken("a time at which the key is over", signed.RuleTime, late,
		sign(t, orchestrator, unsigned(t, late, first))[0], before)
	broken("another one before it", signed.RulePrevious, second, loaded, before)
	broken("one before the first", signed.RulePrevious, first, unchained, nil)
	broken("other bytes", signed.RuleSignature, second, append([]byte{0x52, 1, 'x'}, stored...), before)
	broken("another subject", signed.RuleSignature, comment(3, "Because."), stored, before)

	for name, certificates := range map[string][]string{
		"another deployment's": {newWorld(t, signed.DeploymentName(origin), "another").certificate(aggregate.Notifier, "n")},
		"nonsense":             {"lockbox-writer/v1\n"},
		"two of one key": {w.certificate(aggregate.Orchestrator, "orchestrator"),
			w.certificate(aggregate.Notifier, "orchestrator")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pinned.Certified(certificates)
			breaks(t, err, signed.RuleUnknownKey)
		})
	}
	for _, key := range []string{"", "log.example+00000000+AA==", newWorld(t, "log.example", "log").vkey} {
		if _, err := signed.Pin(key); err == nil {
			t.Errorf("%q was pinned", key)
		}
	}
}
