package administration_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func newID(t *testing.T) string {
	t.Helper()
	id, err := form.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// filled is the form of a page that goes to that address, with what else is filled in by pairs; which one, if there are
// several, is said by a part of it.
func filled(t *testing.T, page, action, part string, pairs ...string) url.Values {
	t.Helper()
	forms := regexp.MustCompile(`(?s)<form method="post" action="`+regexp.QuoteMeta(
		base+action)+`".*?</form>`).FindAllString(page, -1)
	for _, f := range forms {
		if !strings.Contains(f, part) {
			continue
		}
		values := url.Values{}
		for _, m := range hiddenInput.FindAllStringSubmatch(f, -1) {
			values.Set(m[1], html.UnescapeString(m[2]))
		}
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(f, `name="`+pairs[i]+`"`) {
				t.Errorf("the form has no field %q", pairs[i])
			}
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	t.Fatalf("no form goes to %s: %s", action, page)
	return nil
}

// done answers every command with this sequence.
func (b *bank) does(sequence uint64) {
	for _, verb := range []string{
		"enable_lockbox", "disable_lockbox", "change_settings", "sign_up_preview", "sign_off_preview",
		"assign_role", "remove_role", "activate_role", "deactivate_role",
		"confirm_sign_in_change", "stop_sign_in_change", "end_former_sign_in", "confirm_invitation", "end_invitation",
		"add_webhook", "remove_webhook",
	} {
		b.Commands[verb] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return &lockboxv1.CommandReply{Sequence: sequence}, nil
		}
	}
}

func TestEveryFormIsExactlyOneCommand(t *testing.T) {
	settings := func(change func(*lockboxv1.TenantSettings)) *lockboxv1.Command {
		s := proto.CloneOf(meadowbank().GetSettings())
		change(s)
		return &lockboxv1.Command{SeenVersion: 7,
			Action: &lockboxv1.Command_ChangeSettings{ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}}
	}
	assigned := func(id, about string, as *lockboxv1.RoleAssignment) *lockboxv1.Command {
		as.Id = id
		seen := uint64(7)
		if about != "" {
			seen = 5
		}
		return &lockboxv1.Command{AggregateId: about, SeenVersion: seen,
			Action: &lockboxv1.Command_AssignRole{AssignRole: &lockboxv1.AssignRole{Assignment: as}}}
	}
	const id = "the command's own"
	for name, c := range map[string]struct {
		me                 *bank
		page, action, part string
		pairs              []string
		want               *lockboxv1.Command
		then               string
	}{
		"off": {administrator(), "/lockbox", "/lockbox", `value="off"`,
			[]string{"reason", " For the audit.\r\nUntil Monday. "},
			&lockboxv1.Command{SeenVersion: 7,
				Action: &lockboxv1.Command_DisableLockbox{
					DisableLockbox: &lockboxv1.DisableLockbox{Reason: "For the audit.\nUntil Monday."}}}, ""},
		"approvals": {administrator(), "/settings/approvals/review?value=3", "/settings/approvals", "", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.RequiredApprovals = 3 }), ""},
		"fallback": {administrator(), "/settings/fallback/review?value=FALLBACK_GLOBAL_ADMINISTRATORS", "/settings/fallback",
			"", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.Fallback = lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS }), ""},
		"freshness": {administrator(), "/settings/freshness/review?value=1h0m0s", "/settings/freshness", "", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.MaxAuthenticationAge = durationpb.New(time.Hour) }), ""},
		"deciders": {administrator(), "/settings/deciders/review?value=DECIDERS_SHOWN_ORGANISATION", "/settings/deciders",
			"", nil, settings(func(s *lockboxv1.TenantSettings) {
				s.DecidersShown = lockboxv1.DecidersShown_DECIDERS_SHOWN_ORGANISATION
			}), ""},
		"zone": {administrator(), "/settings/zone/review?value=Europe/Paris", "/settings/zone", "", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.TimeZone = "Europe/Paris" }), ""},
		"any sign-in": {administrator(), "/settings/freshness/review?value=any", "/settings/freshness", "", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.MaxAuthenticationAge = nil }), ""},
		"language": {administrator(), "/settings/language/review?value=ja", "/settings/language", "", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.DefaultLanguage = "ja" }), ""},
		"an address more": {administrator(), "/alternates", "/alternates", `value="add"`,
			[]string{"email", "desk@meadowbank.example", "language", "ja"},
			settings(func(s *lockboxv1.TenantSettings) {
				s.Alternates = append(s.Alternates, &lockboxv1.AlternateAddress{Email: "desk@meadowbank.example", Language: "ja"})
			}), "/alternates"},
		"an address less": {administrator(), "/alternates/remove/2", "/alternates", "night@", nil,
			settings(func(s *lockboxv1.TenantSettings) { s.Alternates = s.Alternates[:1] }), "/alternates"},
		"a preview": {administrator(), "/previews", "/previews", "batch/accounts", nil,
			&lockboxv1.Command{SeenVersion: 7,
				Action: &lockboxv1.Command_SignUpPreview{SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: "batch/accounts"}}},
			"/previews"},
		"no preview": {administrator(), "/previews/leave?type=machine-learning/workspaces", "/previews", "", nil,
			&lockboxv1.Command{SeenVersion: 7,
				Action: &lockboxv1.Command_SignOffPreview{
					SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: "machine-learning/workspaces"}}}, "/previews"},
		"a role on a subscription": {administrator(), "/subscriptions/meadow-production/assign",
			"/subscriptions/meadow-production/assign", "",
			[]string{"role", "ROLE_LOCKBOX_APPROVER", "subject", "fleur", "name", "Fleur Lefèvre", "email",
				"fleur@meadowbank.example", "language", "fr", "expires", "2026-12-31T18:00", "eligible", "yes"},
			assigned(id, "meadow-production", &lockboxv1.RoleAssignment{
				Person: fleur, Role: lockboxv1.Role_ROLE_LOCKBOX_APPROVER,
				Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_SUBSCRIPTION, EligibleOnly: true,
				ExpiresAt: ahead(time.Date(2026, 12, 31, 18, 0, 0, 0, time.UTC).Sub(sitetest.Now)),
			}), "/subscriptions/meadow-production"},
		"a role of the tenant": {administrator(), "/roles/assign", "/roles/assign", "",
			[]string{"role", "ROLE_AUDITOR", "subject", "eli", "name", "Eli Edwards", "email", "eli@meadowbank.example",
				"language", ""},
			assigned(id, "", &lockboxv1.RoleAssignment{Person: eli, Role: lockboxv1.Role_ROLE_AUDITOR,
				Scope: lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT}), "/roles"},
		"no role on a subscription": {administrator(), "/subscriptions/meadow-production/remove/otto-owner",
			"/subscriptions/meadow-production", "", nil,
			&lockboxv1.Command{AggregateId: "meadow-production", SeenVersion: 5,
				Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "otto-owner"}}},
			"/subscriptions/meadow-production"},
		"no role of the tenant": {administrator(), "/roles/remove/audrey-auditor", "/roles", "", nil,
			&lockboxv1.Command{SeenVersion: 7,
				Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "audrey-auditor"}}},
			"/roles"},
		"activated": {newBank(eli), "/subscriptions/meadow-production", "/subscriptions/meadow-production", "",
			[]string{"for", "4h0m0s"},
			&lockboxv1.Command{AggregateId: "meadow-production", SeenVersion: 5,
				Action: &lockboxv1.Command_ActivateRole{ActivateRole: &lockboxv1.ActivateRole{AssignmentId: "eli-owner",
					Until: ahead(4 * time.Hour)}}}, "/subscriptions/meadow-production"},
		"not activated any more": {newBank(fleur), "/subscriptions/meadow-production", "/subscriptions/meadow-production", "",
			nil,
			&lockboxv1.Command{AggregateId: "meadow-production", SeenVersion: 5,
				Action: &lockboxv1.Command_DeactivateRole{
					DeactivateRole: &lockboxv1.DeactivateRole{AssignmentId: "fleur-eligible"}}}, "/subscriptions/meadow-production"},
		"who accepted an invitation confirmed": {invitations(), "/subscriptions/meadow-production/invitations/i-lena",
			"/subscriptions/meadow-production/invitations/i-lena", `value="confirm"`, nil,
			&lockboxv1.Command{AggregateId: "meadow-production",
				Action: &lockboxv1.Command_ConfirmInvitation{ConfirmInvitation: &lockboxv1.ConfirmInvitation{
					InvitationId: "i-lena", Issuer: issuer, Subject: "lena"}}}, "/subscriptions/meadow-production"},
		"turned down": {invitations(), "/subscriptions/meadow-production/invitations/i-lena",
			"/subscriptions/meadow-production/invitations/i-lena", `value="end"`, []string{"reason", "It was not Lena"},
			&lockboxv1.Command{AggregateId: "meadow-production",
				Action: &lockboxv1.Command_EndInvitation{EndInvitation: &lockboxv1.EndInvitation{
					InvitationId: "i-lena", Reason: "It was not Lena"}}}, "/subscriptions/meadow-production"},
		"a change of sign-in confirmed": {moving(administrator(), byCustomer, otto), "/sign-in/confirm", "/sign-in",
			`value="confirm"`, nil, &lockboxv1.Command{SeenVersion: 7, Action: &lockboxv1.Command_ConfirmSignInChange{
				ConfirmSignInChange: &lockboxv1.ConfirmSignInChange{ChangeId: "c-1"}}}, "/sign-in"},
		"a change of sign-in stopped": {moving(administrator(), recovery, otto), "/sign-in/stop", "/sign-in", `value="stop"`,
			[]string{"reason", "Not ours"}, &lockboxv1.Command{SeenVersion: 7, Action: &lockboxv1.Command_StopSignInChange{
				StopSignInChange: &lockboxv1.StopSignInChange{ChangeId: "c-1", Reason: "Not ours"}}}, "/sign-in"},
		"a webhook more": {administrator(), "/webhooks", "/webhooks", `value="add"`,
			[]string{"kind", "WEBHOOK_KIND_STANDARD", "name", "Security operations", "address", "https://soc.example/x?y=z",
				"language", "fr", "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
			&lockboxv1.Command{SeenVersion: 7, Action: &lockboxv1.Command_AddWebhook{AddWebhook: &lockboxv1.AddWebhook{
				Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD, Name: "Security operations",
				SecretUrl: "https://soc.example/x?y=z", Language: "fr", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}},
			"/webhooks"},
		"a chat more": {administrator(), "/webhooks", "/webhooks", `value="add"`,
			[]string{"kind", "WEBHOOK_KIND_SLACK", "name", "#lockbox", "address", "https://hooks.slack.com/services/x",
				"language", "", "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
			&lockboxv1.Command{SeenVersion: 7, Action: &lockboxv1.Command_AddWebhook{AddWebhook: &lockboxv1.AddWebhook{
				Kind: lockboxv1.WebhookKind_WEBHOOK_KIND_SLACK, Name: "#lockbox",
				SecretUrl: "https://hooks.slack.com/services/x"}}}, "/webhooks"},
		"a webhook less": {withWebhooks(administrator(), 2), "/webhooks/remove/hook-1", "/webhooks", `value="hook-1"`,
			[]string{"reason", "Closed."},
			&lockboxv1.Command{SeenVersion: 7, Action: &lockboxv1.Command_RemoveWebhook{
				RemoveWebhook: &lockboxv1.RemoveWebhook{WebhookId: "hook-1", Reason: "Closed."}}}, "/webhooks"},
		"the former sign-in ended": {moving(administrator(), byCustomer, otto), "/sign-in/finish", "/sign-in",
			`value="finish"`, nil,
			&lockboxv1.Command{SeenVersion: 7, Action: &lockboxv1.Command_EndFormerSignIn{
				EndFormerSignIn: &lockboxv1.EndFormerSignIn{}}}, "/sign-in"},
	} {
		t.Run(name, func(t *testing.T) {
			c.me.does(99)
			h := served(t, c.me)
			values := filled(t, get(t, h, c.page, http.StatusOK), c.action, c.part, c.pairs...)
			w := sitetest.Post(h, base+c.action, values)
			if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != base+c.then+"?after=99" {
				t.Errorf("%d to %q: %s", w.Code, to, w.Body)
			}
			if len(c.me.Done) != 1 {
				t.Fatalf("did %v", c.me.Done)
			}
			got := c.me.Done[0]
			if as := c.want.GetAssignRole().GetAssignment(); as != nil {
				as.Id = got.GetId()
			}
			if !same(got, c.want) || input.UUIDv7("id", got.GetId()) != nil {
				t.Errorf("did %v, want %v", got, c.want)
			}
			// Sent twice, as by a double click, it is one command; one that was gone back to and changed is another.
			sitetest.Post(h, base+c.action, values)
			values.Set("reason", "another")
			sitetest.Post(h, base+c.action, values)
			if c.me.Done[1].GetId() != got.GetId() || c.me.Done[2].GetId() == got.GetId() {
				t.Errorf("ids %s, %s, %s", got.GetId(), c.me.Done[1].GetId(), c.me.Done[2].GetId())
			}
			holds(t, get(t, h, c.then+"?after=99", http.StatusOK), "Saved.")
			if last := c.me.Asked[len(c.me.Asked)-1]; last.GetMinSequence() != 99 {
				t.Error("people may not see what they did")
			}
		})
	}
}

func TestSwitchingOn(t *testing.T) {
	b := administrator()
	b.tenant.LockboxEnabled = false
	b.does(8)
	h := served(t, b)
	sitetest.Post(h, base+"/lockbox", filled(t, get(t, h, "/lockbox", http.StatusOK), "/lockbox", `value="on"`))
	if want := (&lockboxv1.Command{SeenVersion: 7,
		Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}}); len(b.Done) != 1 ||
		!same(b.Done[0], want) {
		t.Errorf("did %v", b.Done)
	}
}

func TestSwitchingOffSaysWhatItMeans(t *testing.T) {
	h := served(t, administrator())
	holds(t, get(t, h, "/lockbox", http.StatusOK), "Nimbus Cloud decides alone",
		"Requests that already wait for you stay as they are", "Access that is running goes on",
		`name="reason" maxlength="1000" required`)
}

func TestASettingChangedInTheMeantimeIsNotOverwritten(t *testing.T) {
	b := administrator()
	b.does(99)
	h := served(t, b)
	changes := 0
	b.Commands["change_settings"] = func(c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		if c.GetSeenVersion() == b.tenant.GetVersion() {
			changes++
			return &lockboxv1.CommandReply{Sequence: 99, EventId: "e"}, nil
		}
		return nil, refusal.Because(refusal.Conflict("seen_version", "R29", "it has changed since you saw it"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_CHANGED_SINCE_SEEN, "by", "Greta Hall", "at", "2026-05-12T12:30:00Z"))
	}
	values := filled(t, get(t, h, "/settings/approvals/review?value=3", http.StatusOK), "/settings/approvals", "")
	alternate := filled(t, get(t, h, "/alternates", http.StatusOK), "/alternates", `value="add"`, "email",
		"desk@meadowbank.example")
	// Somebody else demands a fresh sign-in, and five approvals.
	b.tenant = proto.CloneOf(b.tenant)
	b.tenant.Version, b.tenant.Settings.RequiredApprovals, b.tenant.Settings.MaxAuthenticationAge = 8, 5,
		durationpb.New(5*time.Minute)
	w := sitetest.Post(h, base+"/settings/approvals", values)
	if w.Code != http.StatusConflict || changes != 0 {
		t.Fatalf("%d, did %v", w.Code, b.Done)
	}
	holds(t, w.Body.String(), "Nothing was changed.",
		"Greta Hall has changed this since you looked at it, on Tuesday, 12 May 2026",
		"<dd>5 different people</dd>", "<strong>3 different people</strong>")
	if w = sitetest.Post(h, base+"/alternates", alternate); w.Code != http.StatusConflict || changes != 0 {
		t.Errorf("%d, did %v", w.Code, b.Done)
	}
	holds(t, w.Body.String(), `value="desk@meadowbank.example"`)
	for lang, want := range map[string]string{"fr": "Greta Hall a effectué une modification depuis que vous avez consulté",
		"ja": "Greta Hall 様が変更しました。"} {
		holds(t, sitetest.Post(h, base+"/settings/approvals?lang="+lang, values).Body.String(), want)
	}
	// Seen, they do it all the same: on what is there now.
	again := filled(t, sitetest.Post(h, base+"/settings/approvals", values).Body.String(), "/settings/approvals", "")
	sitetest.Post(h, base+"/settings/approvals", again)
	if last := b.Done[len(b.Done)-1]; changes != 1 || last.GetSeenVersion() != 8 ||
		last.GetChangeSettings().GetSettings().GetMaxAuthenticationAge().AsDuration() != 5*time.Minute {
		t.Errorf("did %v", b.Done)
	}
	if again.Get("command") == values.Get("command") {
		t.Error("it would be taken for the command that was refused")
	}
}

func TestWhatTheServiceFindsChangedIsShown(t *testing.T) {
	b := administrator()
	b.Commands["remove_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Conflict("seen_version", "R29", "it has changed since you saw it: version 5 then, 6 now")
	}
	h := served(t, b)
	values := filled(t, get(t, h, "/subscriptions/meadow-production/remove/otto-owner", http.StatusOK),
		"/subscriptions/meadow-production", "")
	w := sitetest.Post(h, base+"/subscriptions/meadow-production", values)
	if w.Code != http.StatusConflict {
		t.Errorf("%d", w.Code)
	}
	holds(t, w.Body.String(), "Somebody has changed something here", "Who would be asked if a request came now?")
	holds(t, sitetest.Get(b.metrics.Handler(nil), "/metrics").Body.String(), `code="conflict",rule="R29"`)
	b.Commands["remove_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Precondition("remove_role.assignment_id", "R2",
			"this is the last Global Administrator who always is one; assign another first")
	}
	values = filled(t, get(t, h, "/roles/remove/first-administrator", http.StatusOK), "/roles", "")
	w = sitetest.Post(h, base+"/roles?lang=ja", values)
	if w.Code != http.StatusConflict {
		t.Errorf("%d", w.Code)
	}
	holds(t, w.Body.String(), "最後の常任グローバル管理者です。", "何も変更されていません。", "組織全体")
}

func TestWhatIsWrongStandsBesideItsField(t *testing.T) {
	b := administrator()
	h := served(t, b)
	for field, name := range map[string]string{"person.subject": "subject", "person.display_name": "name",
		"person.email": "email", "person.language": "language", "expires_at": "expires", "role": "role"} {
		b.Commands["assign_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return nil, refusal.Invalid("assign_role.assignment."+field, "R1", "is not right")
		}
		values := filled(t, get(t, h, "/roles/assign", http.StatusOK), "/roles/assign", "", "role", "ROLE_AUDITOR", "subject",
			"x-1", "name", "X", "email", "x@meadowbank.example", "eligible", "yes")
		w := sitetest.Post(h, base+"/roles/assign", values)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", field, w.Code)
		}
		holds(t, w.Body.String(), `<a href="#`+name+`">`, `id="`+name+`-wrong"`, `<span lang="en">is not right</span>`,
			`id="`+name+`"`, `value="x-1"`, `value="x@meadowbank.example"`,
			`value="ROLE_AUDITOR" required checked`, `value="yes" checked`)
	}
	sent := len(b.Done)
	values := filled(t, get(t, h, "/roles/assign", http.StatusOK), "/roles/assign", "", "expires", "next year")
	if w := sitetest.Post(h, base+"/roles/assign?lang=fr", values); w.Code != http.StatusBadRequest ||
		len(b.Done) != sent {
		t.Errorf("%d", w.Code)
	} else {
		holds(t, w.Body.String(), `<a href="#expires">Prend fin le</a>`)
	}
}

func TestAFormThatIsNotThePagesOwnDoesNothing(t *testing.T) {
	b := administrator()
	b.does(1)
	h := served(t, b)
	good := func(do string) url.Values {
		return url.Values{"do": {do}, "command": {newID(t)}, "seen": {"7"}, "value": {"3"}, "for": {"1h"}}
	}
	for _, form := range everyForm {
		for field, wrong := range map[string]string{"command": "x", "seen": "0", "do": "x"} {
			values := good(form.do)
			if values.Get(field) == "" {
				continue
			}
			values.Set(field, wrong)
			if w := sitetest.Post(h, base+form.path, values); w.Code != http.StatusBadRequest {
				t.Errorf("%s with %s %q: %d", form.path, field, wrong, w.Code)
			}
		}
	}
	for path, values := range map[string]url.Values{"/settings/approvals": good(""), "/roles": good("activate")} {
		values.Set("value", "99")
		values.Set("for", "ever")
		if w := sitetest.Post(h, base+path, values); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if len(b.Done) != 0 {
		t.Errorf("did %v", b.Done)
	}
}

// everyForm is what can be done.
var everyForm = []struct{ path, do string }{
	{"/lockbox", "on"}, {"/lockbox", "off"}, {"/settings/approvals", ""}, {"/alternates", "add"},
	{"/alternates", "remove"}, {"/previews", "join"}, {"/previews", "leave"},
	{"/roles/assign", ""}, {"/subscriptions/meadow-production/assign", ""}, {"/roles", "remove"},
	{"/roles", "activate"}, {"/roles", "deactivate"},
}
