package cli_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const erasureID = "019b0000-0000-7000-8000-0000000000ee"

// erasures are one that waits for a second officer, and one that the bank's administrator decided.
func (w *world) erasures(id string) *lockboxv1.ErasureList {
	erin, olga := w.issuer.Person("erin"), w.issuer.Person("olga")
	all := []*lockboxv1.ErasureView{
		{ErasureId: erasureID, Tenant: bank, Status: lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED,
			Reason: "She asked for it", Version: 1, ProposedBy: &lockboxv1.Actor{Person: olga, Employer: "Nimbus Cloud"},
			Targets: []*lockboxv1.ErasureTargetView{{Person: erin, Target: &lockboxv1.ErasureTarget{
				What: &lockboxv1.ErasureTarget_Person{Person: &lockboxv1.ErasedPerson{Subject: "erin"}}}}}},
		{ErasureId: uuid(0xef), Tenant: bank, Status: lockboxv1.ErasureStatus_ERASURE_STATUS_ERASED,
			DecidedBy: &lockboxv1.Actor{Person: w.issuer.Person("grace")}, EndedAt: timestamppb.Now(),
			Targets: []*lockboxv1.ErasureTargetView{{Title: "Deny Lockbox Request", Target: &lockboxv1.ErasureTarget{
				What: &lockboxv1.ErasureTarget_Texts{
					Texts: &lockboxv1.ErasedTexts{Kind: "request", AggregateId: uuid(1), Version: "9"}}}}}},
	}
	list := &lockboxv1.ErasureList{}
	for _, e := range all {
		if id == "" || id == e.GetErasureId() {
			list.Erasures = append(list.Erasures, e)
		}
	}
	return list
}

// R63: what is encrypted in the stream is read with the secret of the key store: the one beside the bus keys, or the
// one that is named. Without it, one line says that it was not.
func TestR63TheStreamIsReadWithTheSecret(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	s := startStub(t, dir)
	secret, err := keystore.LoadOrCreate(elsewhere)
	must(t, err)
	orchestrator := s.connect(t, bus.Orchestrator)
	keys, err := keystore.New(t.Context(), orchestrator, secret, zap.NewNop())
	must(t, err)
	j, err := journal.Open(t.Context(), orchestrator, journal.WithDetails(keys))
	must(t, err)
	t.Cleanup(j.Close)
	_, err = j.Append(t.Context(), 0, &lockboxv1.Event{Id: uuid(0xe1), Tenant: "fabrikam", Kind: "ticket",
		AggregateId: "T-1", Version: 1, Time: timestamppb.Now(), Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT,
			Person: &lockboxv1.Person{Issuer: "https://id.example", Subject: "ada", DisplayName: "Ada Abel"}},
		Fact: &lockboxv1.Event_TicketOpened{
			TicketOpened: &lockboxv1.TicketOpened{Title: "Nothing boots", Reference: "T-1"}}})
	must(t, err)
	replay := []string{"audit", "replay", "--tenant", "fabrikam"}
	file := elsewhere + "/" + keystore.SecretFile

	code, out, errs := scripted(t, dir, replay...)
	if code != 0 || strings.Contains(out, "boots") || !strings.Contains(out, erasable.Unreadable) ||
		strings.Count(errs, "--erasable-key names its file") != 1 {
		t.Errorf("without the secret: %d, %s, %s", code, out, errs)
	}
	if code, out, errs = scripted(t, dir, append(replay, "--erasable-key", file)...); code != 0 || errs != "" ||
		!strings.Contains(out, "Ada Abel") || !strings.Contains(out, "Nothing boots") {
		t.Errorf("with it: %d, %s, %s", code, out, errs)
	}
	if code, _, errs = scripted(t, dir, append(replay, "--erasable-key", file+"x")...); code != 5 ||
		!strings.Contains(errs, "secret of the key store cannot be read") {
		t.Errorf("with one that is not there: %d, %s", code, errs)
	}
	for want, args := range map[string][]string{
		"Names and addresses were not read": {"audit", "verify"},
		"every invariant":                   {"audit", "verify", "--erasable-key", file},
	} {
		if _, out, errs = scripted(t, dir, args...); strings.Contains(out, "not read") != (len(args) == 2) ||
			strings.Contains(errs, "--erasable-key names its file") != (len(args) == 2) {
			t.Errorf("want %q: %s, %s", want, out, errs)
		}
	}
}
