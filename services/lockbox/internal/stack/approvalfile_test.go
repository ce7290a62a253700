package stack_test

import (
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	files "github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/verifier"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// witnessedSigning is a Lockbox whose log three witnesses cosign, whom the bank's genesis names as well, and what a
// customer trusts there.
func witnessedSigning(t *testing.T) (l *signing, trust verifier.Trust) {
	t.Helper()
	is := start(t, request.DefaultTerms())
	is.close()
	vkey, err := os.ReadFile(filepath.Join(is.config.Dir, "keys", logkeys.PublicKeyFile))
	must(t, err)
	policy, witnesses := "log "+string(vkey), []string{}
	for _, name := range []string{"alpha", "beta", "gamma"} {
		line := witnessed(t, name, string(vkey)).line
		policy, witnesses = policy+line, append(witnesses, strings.Fields(line)[2])
	}
	slices.Sort(witnesses)
	is.config.LogPolicy = filepath.Join(t.TempDir(), "policy")
	must(t, os.WriteFile(is.config.LogPolicy, []byte(policy+"group enough 2 alpha beta gamma\nquorum enough\n"), 0o600))
	is.open()
	return begun(is, approval.DemandSignatures, witnesses), verifier.Trust{Policy: is.config.LogPolicy,
		Writers: filepath.Join(is.config.Dir, "keys", writerkeys.PublicKeyFile)}
}

// approvalFile is the approval file of a request, saved.
func (l *lockbox) approvalFile(as, id string) string {
	l.Helper()
	var reply *lockboxv1.QueryReply
	within(l.T, patience, "an approval file", func() bool {
		reply = l.query(&lockboxv1.Query{Tenant: bank, Token: l.token(as), MinSequence: l.decided(),
			Ask: &lockboxv1.Query_GetApprovalFile{GetApprovalFile: &lockboxv1.GetApprovalFile{RequestId: id}}})
		return reply.GetRefusal().GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE
	})
	if reply.GetRefusal() != nil {
		l.Fatalf("the approval file: %v", reply.GetRefusal())
	}
	file, err := files.Unpack(reply.GetApprovalFile())
	must(l, err)
	name := filepath.Join(l.TempDir(), reply.GetApprovalFile().GetFileName())
	must(l, os.WriteFile(name, file, 0o600))
	return name
}

// What a customer's security team is handed of a real Lockbox it verifies with public keys and the fingerprint alone.
// What an insider stores with the orchestrator's own key does not verify.
func TestAnApprovalFileOfThisLockboxIsVerifiedOffline(t *testing.T) {
	t.Parallel()
	l, trust := witnessedSigning(t)
	pin := l.keys("grace").GetFingerprintWords()
	id := l.requested(l.intent("erin"), request.CustomerNotified)
	l.does("otto", l.signs(l.otto, approve(id)))
	l.reaches(id, request.Active)

	file := l.approvalFile("otto", id)
	is, err := verifier.CheckApproval(file, trust, pin)
	must(t, err)
	if !is.Pinned || !is.OnTime || !is.WritersChecked || len(is.Approvals) != 1 ||
		is.Approvals[0].Key != l.otto.key.ID() || is.Approvals[0].RemovedAt != 0 ||
		is.Demand != string(approval.DemandSignatures) ||
		!slices.Contains(is.Later, "AccessGranted") {
		t.Errorf("it proves %s", is.Text())
	}
	for _, other := range []string{approvaltest.Hash("another"), strings.Repeat("bababa ", 12)} {
		if _, err := verifier.CheckApproval(file, trust, other); !errors.Is(err, verifier.ErrNotProven) {
			t.Errorf("pinned to another: %v", err)
		}
	}
	l.opensshVerifies(is)

	// Who sees the request gets the file, and nobody else.
	for who, want := range map[string]lockboxv1.RefusalCode{
		"olga": lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED, "erin": lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN,
		"hana": lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND,
	} {
		for _, q := range []*lockboxv1.Query{
			{Ask: &lockboxv1.Query_GetApprovalFile{GetApprovalFile: &lockboxv1.GetApprovalFile{RequestId: id}}},
			{Ask: &lockboxv1.Query_GetReceipt{GetReceipt: &lockboxv1.GetReceipt{Keys: true}}},
		} {
			q.Tenant, q.Token = bank, l.token(who)
			if got := l.query(q).GetRefusal().GetCode(); got != want {
				t.Errorf("%s asks for %s: %v", who, bus.QueryName(q), got)
			}
		}
	}

	insider := l.journal(bus.Orchestrator)
	genuine := l.history(journal.Replay{Tenant: bank, ID: id, Type: "CustomerApproved"})[0].Event
	mallory := &keyholder{"otto", approvaltest.New("mallory", approvaltest.SKEd25519), l.otto.who}
	for name, forge := range map[string]func(id string, e *lockboxv1.Event){
		"there is none":  func(string, *lockboxv1.Event) {},
		"does not count": func(id string, e *lockboxv1.Event) { e.Signed = l.statement(mallory, approve(id)) },
		"signed for":     func(_ string, e *lockboxv1.Event) { e.Signed = genuine.GetSigned() },
	} {
		waiting := l.requested(l.intent("erin"), request.CustomerNotified)
		s := l.state(waiting)
		e := proto.CloneOf(genuine)
		e.Id, e.AggregateId, e.CorrelationId, e.CausationId = newID(t), waiting, waiting, newID(t)
		e.Version, e.Time, e.Signed = s.Version+1, timestamppb.New(time.Now()), nil
		forge(waiting, e)
		_, err := insider.Append(t.Context(), s.Sequence, e)
		must(t, err)
		_, err = verifier.CheckApproval(l.approvalFile("grace", waiting), trust, pin)
		if !errors.Is(err, verifier.ErrNotProven) || !strings.Contains(err.Error(), name) {
			t.Errorf("forged, %s: %v", name, err)
		}
	}

	// The key is removed afterwards: a newer file says so.
	l.removes(l.otto, l.grace)
	is, err = verifier.CheckApproval(l.approvalFile("grace", id), trust, pin)
	must(t, err)
	if is.Approvals[0].RemovedAt <= is.Approvals[0].Place || !strings.Contains(is.Text(), "removed afterwards") {
		t.Errorf("after its key was removed: %s", is.Text())
	}
}

// removes takes a key out of the chain.
func (s *signing) removes(of, by *keyholder) {
	s.Helper()
	events := s.keys("grace").GetEvents()
	last := new(lockboxv1.Event)
	must(s, proto.Unmarshal(events[len(events)-1].GetStored(), last))
	if last.GetKeyChainBegan() == nil {
		s.Fatalf("the last event about keys is %v", last)
	}
	genesis := approval.Digest(approval.FormatGenesis, last.GetKeyChainBegan().GetGenesis().GetStatement())
	change := approval.KeyChange{
		Format: approval.FormatKeys, Origin: s.logName(), Tenant: bank, Genesis: hex.EncodeToString(genesis[:]), Number: 2,
		Previous: hex.EncodeToString(genesis[:]), Change: approval.RemoveKey, Keys: []approval.Enrolment{},
		Remove: of.key.ID(), Recovery: []approval.Key{}, IssuedAt: approval.TimeText(time.Now().UTC()), Nonce: nonce(s),
	}
	statement, err := change.Bytes()
	must(s, err)
	s.does(by.name, signKeys(approval.FormatKeys, statement, by.key))
}

// opensshVerifies has ssh-keygen alone verify what is extracted.
func (l *lockbox) opensshVerifies(is *verifier.Approval) {
	l.Helper()
	dir := filepath.Join(l.TempDir(), "signatures")
	commands, err := is.Extract(dir)
	must(l, err)
	if len(commands) != 1 {
		l.Fatalf("to be run: %q", commands)
	}
	c := exec.CommandContext(l.Context(), "sh", "-c", commands[0])
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "Good ") {
		l.Errorf("%q: %v: %s", commands[0], err, out)
	}
}
