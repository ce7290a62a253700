package administration_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/proto"
)

const base = "/t/meadowbank/administration"

func get(t *testing.T, h http.Handler, address string, status int) string {
	t.Helper()
	w := sitetest.Get(h, base+address)
	if w.Code != status {
		t.Errorf("%s: %d, want %d\n%s", address, w.Code, status, w.Body)
	}
	return w.Body.String()
}

func holds(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(html.UnescapeString(page), w) {
			t.Errorf("there is no %q", w)
		}
	}
}

func lacks(t *testing.T, page string, unwanted ...string) {
	t.Helper()
	for _, u := range unwanted {
		if strings.Contains(page, u) {
			t.Errorf("there is %q", u)
		}
	}
}

// everyPage is what can be looked at.
var everyPage = []string{
	"", "/lockbox", "/roles", "/subscriptions/meadow-production", "/subscriptions/meadow-archive", "/roles/assign",
	"/subscriptions/meadow-production/assign",
	"/subscriptions/meadow-production/remove/otto-owner", "/roles/remove/first-administrator", "/alternates",
	"/previews", "/previews/leave?type=machine-learning/workspaces",
	"/settings/approvals", "/settings/fallback", "/settings/freshness", "/settings/deciders",
	"/settings/language", "/settings/approvals/review?value=3", "/settings/deciders/review?value=DECIDERS_SHOWN_NAME",
	"/settings/fallback/review?value=FALLBACK_GLOBAL_ADMINISTRATORS", "/settings/freshness/review?value=any",
	"/settings/language/review?value=ja",
}

func TestEveryPageInEveryLanguage(t *testing.T) {
	b := administrator()
	h := served(t, b)
	for _, page := range everyPage {
		for lang, title := range map[string]string{"en": ">Administration</a>", "fr": ">Administration</a>",
			"ja": ">管理</a>"} {
			with := "?lang="
			if strings.Contains(page, "?") {
				with = "&lang="
			}
			text := get(t, h, page+with+lang, http.StatusOK)
			holds(t, text, `<html lang="`+lang+`">`, title)
			lacks(t, text, "(R2", "ROLE_OWNER<", "PANIC", "%!")
		}
	}
	if len(b.Done) != 0 {
		t.Errorf("looking did %v", b.Done)
	}
}

func TestTheOverviewSaysHowItIs(t *testing.T) {
	h := served(t, administrator())
	page := get(t, h, "?lang=fr", http.StatusOK)
	holds(t, page, "Activé", "Professional Direct", "Suffisant", "2 sur 5 actives",
		"2 personnes différentes", "Approbateurs Lockbox de l’organisation",
		"Depuis 15 minutes au plus", "security-desk@meadowbank.example", "machine-learning/workspaces", issuer,
		`href="/t/meadowbank/disclosures"`)
	b := administrator()
	b.tenant.LockboxEnabled, b.tenant.Plan = false, lockboxv1.SupportPlan_SUPPORT_PLAN_BASIC
	page = get(t, served(t, b), "", http.StatusOK)
	holds(t, page, "Off", "Basic", "Not sufficient", "a plan of at least level Developer is needed")
	lacks(t, page, "Switch Lockbox on")
	lacks(t, get(t, served(t, b), "/lockbox", http.StatusOK), "<button class=\"main\"")
}

// A quorum that cannot be reached is said before it is set, with where (R30).
func TestR30AQuorumOutOfReachIsSaidBeforeItIsSet(t *testing.T) {
	h := served(t, administrator()) // two people decide everywhere
	lacks(t, get(t, h, "/settings/approvals/review?value=2", http.StatusOK), "no request could be approved")
	holds(t, get(t, h, "/settings/approvals/review?value=3", http.StatusOK), "no request could be approved",
		"Meadow Bank", "Archive", "Production")
}

func TestR22R23WhoWouldBeAskedAndWhoDoesNotCount(t *testing.T) {
	b := administrator()
	h := served(t, b)
	page := get(t, h, "/subscriptions/meadow-production?lang=ja", http.StatusOK)
	holds(t, page, "Otto Owens", "田中 健二", "2 名の承認が必要です。", "管理グループでの割り当ては対象外です", "ロールの対象ですが、アクティブ化されていません",
		"ロールの割り当ての期限が切れています",
		"2026年8月3日（月）14:30\u00a0UTC", "すでに保留中の要求には適用されません")
	lacks(t, page, "必要な人数に足りません")
	for _, q := range b.Asked {
		if p := q.GetPreviewApprovers(); p != nil && p.GetSubscriptionId() != "meadow-production" {
			t.Errorf("asked about %q", p.GetSubscriptionId())
		}
	}
	b.preview = &lockboxv1.ApproversPreview{Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK, RequiredApprovals: 2,
		Approvers: preview().GetApprovers()[:1]}
	holds(t, get(t, h, "/subscriptions/meadow-archive", http.StatusOK), "name as the fallback",
		"Only 1 person could approve", "Nobody holds a role here.")
	b.preview = &lockboxv1.ApproversPreview{Basis: lockboxv1.ApproverBasis_APPROVER_BASIS_NOBODY, RequiredApprovals: 1}
	holds(t, get(t, h, "/roles", http.StatusOK), "Nobody. A request would wait until it expires")
	b.preview.Excluded = []*lockboxv1.ExcludedAssignment{{Person: eli, Role: lockboxv1.Role_ROLE_OWNER,
		Reason: "a reason of a later version"}}
	holds(t, get(t, h, "/roles?lang=fr", http.StatusOK), `<span lang="en">a reason of a later version</span>`)
	get(t, h, "/subscriptions/sakura-clinic", http.StatusNotFound)
	get(t, h, "/subscriptions/meadow-production/remove/none", http.StatusNotFound)
	get(t, h, "/settings/signatures", http.StatusNotFound)
	get(t, h, "/settings/approvals/review?value=900", http.StatusBadRequest)
	get(t, h, "/previews/leave?type=batch/accounts", http.StatusNotFound)
}

func TestWhoDoesNotSeeTheWholeTenantSeesTheirOwnPart(t *testing.T) {
	b := newBank(eli)
	whole := b.tenant
	b.tenant = &lockboxv1.TenantView{
		Tenant: "meadowbank", DisplayName: "Meadow Bank", LockboxEnabled: true, Plan: whole.GetPlan(), Issuer: issuer,
		Version: 7, Partial: true, Settings: &lockboxv1.TenantSettings{RequiredApprovals: 2,
			DefaultLanguage: "en"},
		Subscriptions: []*lockboxv1.SubscriptionView{{SubscriptionId: "meadow-production", DisplayName: "Production",
			Version: 5, Assignments: whole.GetSubscriptions()[1].GetAssignments()[2:3]}},
	}
	b.Queries["preview_approvers"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.NotFound("", "I9", "nothing")
	}
	h := served(t, b)
	page := get(t, h, "", http.StatusOK)
	holds(t, page, "Production", "Only a Global Administrator can change this.", "not shown to you",
		"2 different people")
	lacks(t, page, "1 of 1 active", "0 of 1 active", "Alternate addresses", ">None<", base+"/settings",
		`href="/t/meadowbank/disclosures"`)
	page = get(t, h, "/subscriptions/meadow-production", http.StatusOK)
	holds(t, page, "Eligible for the role, but the role is not activated.", `name="do" value="activate"`)
	holds(t, page, "only your own are shown to you")
	lacks(t, page, "Who would be asked")
	page = get(t, h, "/roles", http.StatusOK)
	holds(t, page, "only your own are shown to you")
	lacks(t, page, "Nobody holds a role here")
	for _, hidden := range []string{"/alternates", "/previews", "/settings/approvals",
		"/settings/approvals/review?value=2", "/subscriptions/meadow-archive"} {
		get(t, h, hidden, http.StatusNotFound)
	}
	b.Queries["get_tenant"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return nil, refusal.NotFound("", "I9", "nothing")
	}
	for _, page := range everyPage {
		get(t, h, page, http.StatusNotFound)
	}
}

func TestTheProviderHasNoAdministration(t *testing.T) {
	h := served(t, administrator())
	for _, page := range everyPage {
		if w := sitetest.Get(h, "/provider/administration"+page); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", page, w.Code)
		}
	}
}

// posts finds the forms of a page that do something.
var posts = regexp.MustCompile(`(?s)<form method="post" action="` + base + `[^"]*"`)

func TestOnlyAGlobalAdministratorGetsForms(t *testing.T) {
	h := served(t, auditor())
	for _, page := range everyPage {
		text := get(t, h, page, http.StatusOK)
		if found := posts.FindAllString(text, -1); found != nil {
			t.Errorf("%s: %v", page, found)
		}
		if page != "/lockbox" {
			holds(t, text, "Only a Global Administrator can change this.")
		}
	}
	h = served(t, administrator())
	for _, page := range []string{"/lockbox", "/roles/assign", "/alternates", "/previews",
		"/settings/approvals/review?value=3"} {
		if text := get(t, h, page, http.StatusOK); !posts.MatchString(text) ||
			strings.Contains(text, "Only a Global Administrator") {
			t.Errorf("%s has no form for an administrator", page)
		}
	}
}

func TestAForgedFormIsRefusedByTheService(t *testing.T) {
	b := auditor()
	refuse := func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.Because(
			refusal.Forbidden("token", "R2", "only a Global Administrator of the tenant may do this"),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_ADMINISTRATORS_ONLY))
	}
	for _, verb := range []string{"enable_lockbox", "disable_lockbox", "change_settings", "sign_up_preview",
		"sign_off_preview", "assign_role", "remove_role"} {
		b.Commands[verb] = refuse
	}
	b.Commands["activate_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.NotFound("activate_role.assignment_id", "R21", "you have no such assignment")
	}
	b.Commands["deactivate_role"] = b.Commands["activate_role"]
	h := served(t, b)
	for _, forged := range everyForm {
		status := http.StatusForbidden
		if strings.HasSuffix(forged.do, "activate") {
			status = http.StatusNotFound
		}
		sent := len(b.Done)
		w := sitetest.Post(h, base+forged.path, url.Values{
			"do": {forged.do}, "command": {newID(t)}, "seen": {"7"}, "value": {"3"}, "email": {"mole@meadowbank.example"},
			"type": {"batch/accounts"}, "id": {"meadow-test"}, "name": {"Test"},
			"role": {"ROLE_GLOBAL_ADMINISTRATOR"}, "subject": {"audrey"}, "assignment": {"first-administrator"}, "for": {"1h"},
		})
		if w.Code != status || !strings.Contains(w.Body.String(), "<h1>") || status == http.StatusForbidden &&
			!strings.Contains(w.Body.String(), "Only a Global Administrator of the organisation can do this.") {
			t.Errorf("%v: %d, want %d", forged, w.Code, status)
		}
		if len(b.Done) != sent+1 {
			t.Errorf("%v was not sent on to be refused", forged)
		}
	}
}

// payloads try to become part of the page.
var payloads = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
	`</textarea><script>alert(1)</script>`, `</select><script>alert(1)</script>`,
	`" autofocus onfocus="alert(1)`, `</title><svg/onload=alert(1)>`, `<!--`, "\u202e<b>",
}

func TestWhatPeopleWroteStaysText(t *testing.T) {
	for _, p := range payloads {
		b := administrator()
		name := &lockboxv1.Person{Issuer: p, Subject: p, DisplayName: p, Email: p, Language: ""}
		as := held("otto-owner", name, lockboxv1.Role_ROLE_OWNER, 0)
		as.Active, as.Reason = false, p
		first := held("first-administrator", name, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, 0)
		first.Active, first.Reason = false, p
		first.Assignment.EligibleOnly = true
		b.me.Actor.Person = name
		b.tenant = &lockboxv1.TenantView{
			DisplayName: p, Issuer: p, Version: 1, LockboxEnabled: true, Previews: []string{p, "machine-learning/workspaces"},
			Assignments: []*lockboxv1.AssignmentView{first},
			Settings:    &lockboxv1.TenantSettings{DefaultLanguage: "en", Alternates: []*lockboxv1.AlternateAddress{{Email: p}}},
			Subscriptions: []*lockboxv1.SubscriptionView{
				{SubscriptionId: "meadow-production", DisplayName: p, Version: 1, Assignments: []*lockboxv1.AssignmentView{as}},
				{SubscriptionId: p, DisplayName: p}, {SubscriptionId: "meadow-archive"},
			},
		}
		b.preview = &lockboxv1.ApproversPreview{
			Basis:     lockboxv1.ApproverBasis_APPROVER_BASIS_TENANT,
			Approvers: []*lockboxv1.Approver{{Person: name, Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}}},
			Excluded:  []*lockboxv1.ExcludedAssignment{{Person: name, Role: lockboxv1.Role_ROLE_OWNER, Reason: p}},
		}
		services := &lockboxv1.ServiceList{Services: []*lockboxv1.ServiceView{
			{ResourceType: p, DisplayName: p, Stage: lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW},
			{ResourceType: "machine-learning/workspaces", DisplayName: p, Stage: lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW},
		}}
		b.Queries["list_services"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Services{Services: services}}, nil
		}
		h := served(t, b)
		pages := make([]string, 0, len(everyPage)+2)
		for _, page := range everyPage {
			pages = append(pages, get(t, h, page, http.StatusOK))
		}
		// Refused forms show what was filled in, and what the service says.
		b.Commands["assign_role"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return nil, refusal.Invalid("assign_role.assignment.person.email", "bad input", "%s", p)
		}
		b.Commands["disable_lockbox"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
			return nil, refusal.Conflict("x", "R2", "%s", p)
		}
		form := url.Values{"command": {newID(t)}, "seen": {"1"}, "role": {p}, "subject": {p}, "name": {p}, "email": {p},
			"language": {p}, "expires": {""}, "reason": {p}, "do": {"off"}}
		pages = append(pages, sitetest.Post(h, base+"/subscriptions/meadow-production/assign", form).Body.String(),
			sitetest.Post(h, base+"/lockbox", form).Body.String())
		for _, page := range pages {
			lacks(t, page, "<script>alert", "<img src=x", "onmouseover='", "<svg", "<b>", `" autofocus onfocus`, "<!--", p)
		}
	}
}

// same reports whether a command is the one that is wanted, whatever its id.
func same(got, want *lockboxv1.Command) bool {
	got = proto.CloneOf(got)
	got.Id, want.Tenant = want.GetId(), "meadowbank"
	return proto.Equal(got, want)
}
