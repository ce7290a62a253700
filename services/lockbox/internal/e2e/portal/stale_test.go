package portal_test

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Where a tenant demands a fresh sign-in, somebody with an old token decides nothing and takes no part of the demand
// away, on whichever way they come (R25).
func TestAnOldSignInGetsNowhere(t *testing.T) {
	t.Parallel()
	w := start(t)
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: filepath.Dir(w.info.Demo.SecretFile),
		URL: w.info.Demo.IssuerURL})
	must(t, err)
	signed := func(persona string, before time.Duration) string {
		token, err := issuer.Token(persona, time.Now().Add(-before))
		must(t, err)
		return token
	}
	nc, err := bus.Connect(bus.Connection{URL: w.info.NATSURL, Identity: bus.Client, SeedFile: w.info.KeysDir + "/" +
		string(bus.Client) + ".nk"})
	must(t, err)
	defer nc.Close()
	id := w.requested("erin", intent(), request.CustomerNotified)
	used := newID(t)
	ask := &lockboxv1.Command{Id: used, Tenant: bank, AggregateId: id,
		Action: &lockboxv1.Command_Ask{Ask: &lockboxv1.Ask{Text: "How large?"}}}
	by := bus.Caller{Conn: nc}
	_, err = by.Do(t.Context(), signed("otto", 0), ask)
	must(t, err)
	w.does("grace", &lockboxv1.Command{Tenant: bank,
		Action: &lockboxv1.Command_SignUpPreview{
			SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: "machine-learning/workspaces"}}})
	w.does("grace", &lockboxv1.Command{Tenant: bank,
		Action: &lockboxv1.Command_ChangeSettings{
			ChangeSettings: &lockboxv1.ChangeSettings{Settings: &lockboxv1.TenantSettings{
				DefaultLanguage: "en", RequiredApprovals: 1, Fallback: lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
				MaxAuthenticationAge: durationpb.New(time.Minute),
			}}}})

	const old = 2 * time.Minute
	otto, grace := signed("otto", old), signed("grace", old)
	azure := "/subscriptions/" + demo.BankProduction + "/providers/Microsoft.CustomerLockbox/requests/" + id +
		"/updateApproval?api-version=2018-02-28-preview"
	for path, body := range map[string]string{
		"/lockbox/v1/requests/" + id + "/approve": "{}", "/lockbox/v1/requests/" + id + "/deny": `{"reason": "x"}`,
		azure: `{"status": "Approve"}`,
	} {
		for who, token := range map[string]string{"of long ago": otto, "of tomorrow": signed("otto", -time.Hour)} {
			if answer, text := w.asks(t, http.DefaultClient, http.MethodPost, path, token,
				body); answer.Status != http.StatusUnauthorized {
				t.Errorf("%s, a sign-in %s: %d %s", path, who, answer.Status, text)
			}
		}
	}
	if answer, text := w.asks(t, http.DefaultClient, http.MethodPost,
		"/providers/Microsoft.CustomerLockbox/disableLockbox?api-version=2018-02-28-preview",
		grace); answer.Status != http.StatusUnauthorized {
		t.Errorf("switched off: %d %s", answer.Status, text)
	}
	for _, c := range []*lockboxv1.Command{
		{Action: &lockboxv1.Command_ChangeSettings{
			ChangeSettings: &lockboxv1.ChangeSettings{Settings: &lockboxv1.TenantSettings{DefaultLanguage: "en"}}}},
		{Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}},
		{Action: &lockboxv1.Command_SignOffPreview{
			SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: "machine-learning/workspaces"}}},
		{AggregateId: demo.BankProduction,
			Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: &lockboxv1.RoleAssignment{
				Id: "grace-owner", Person: issuer.Person("grace"), Role: lockboxv1.Role_ROLE_OWNER,
				Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION,
			}}}},
		{AggregateId: demo.BankProduction,
			Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}},
	} {
		c.Tenant = bank
		_, err := by.Do(t.Context(), grace, c)
		if r, refused := refusal.As(err); !refused || r.GetField() != tenant.StaleField {
			t.Errorf("%s: %v", bus.Verb(c), err)
		}
	}
	// Under an id that was carried out before, nothing is carried out.
	reply, err := by.Do(t.Context(), otto,
		&lockboxv1.Command{Id: used, Tenant: bank, AggregateId: id,
			Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
	if err != nil || reply.GetEventId() != "" {
		t.Errorf("under an old id: %v, %v", reply, err)
	}
	if got := w.reaches(bank, id, request.CustomerNotified); len(got.GetCustomerDecisions()) > 0 {
		t.Errorf("decided: %v", got.GetCustomerDecisions())
	}
	if answer, text := w.asks(t, http.DefaultClient, http.MethodPost, azure, signed("otto", 0),
		`{"status": "Approve"}`); answer.Status != http.StatusOK {
		t.Errorf("a fresh one: %d %s", answer.Status, text)
	}
	w.reaches(bank, id, request.Active)
}
