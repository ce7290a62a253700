package erasing_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/erasable"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/erasing"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	command   = "0198a000-0000-7000-8000-000000000001"
	erasureID = "0198a000-0000-7000-8000-000000000002"
	requestID = "0198a000-0000-7000-8000-000000000003"
)

var when = timestamppb.New(sitetest.Now.Add(-time.Hour))

func person(subject, name string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: "https://login.meadowbank.example", Subject: subject, DisplayName: name}
}

func denial(reason string) *lockboxv1.Activity {
	by := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person("otto", "Otto Owens")}
	return &lockboxv1.Activity{Tenant: "meadowbank", Kind: aggregate.KindRequest, AggregateId: requestID,
		Entry: &lockboxv1.TimelineEntry{Type: "CustomerDenied", Title: "Deny Lockbox Request", Summary: "Otto denied it.",
			Time: when, Version: 4, Actor: by},
		Event: &lockboxv1.Event{Actor: by, Fact: &lockboxv1.Event_CustomerDenied{
			CustomerDenied: &lockboxv1.CustomerDenied{Reason: reason}}}}
}

func proposed(allowed ...string) *lockboxv1.ErasureView {
	return &lockboxv1.ErasureView{ErasureId: erasureID, Tenant: "meadowbank", Version: 1, Allowed: allowed,
		Status: lockboxv1.ErasureStatus_ERASURE_STATUS_PROPOSED, Reason: "She left.", ProposedAt: when,
		ProposedBy: &lockboxv1.Actor{Person: person("olga", "Olga Orlova")},
		Targets: []*lockboxv1.ErasureTargetView{{Person: person("erin-7", "Erin Ellis"),
			Target: &lockboxv1.ErasureTarget{What: &lockboxv1.ErasureTarget_Person{
				Person: &lockboxv1.ErasedPerson{Issuer: "https://login.nimbus.example", Subject: "erin-7"}}}}}}
}

// backend answers the pages of an administrator of the bank, or with groups of one of the provider's people.
func backend(reason string, list []*lockboxv1.ErasureView, groups ...string) *sitetest.Backend {
	self := &lockboxv1.SelfView{Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, MultiFactor: true,
		Groups: groups, Person: person("olga", "Olga Orlova")}}
	if len(groups) == 0 {
		self = &lockboxv1.SelfView{Roles: []*lockboxv1.HeldRole{{Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}}}
	}
	done := func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return &lockboxv1.CommandReply{Sequence: 9}, nil
	}
	return &sitetest.Backend{
		Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: self}}, nil
			},
			"list_activity": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				list := &lockboxv1.ActivityList{}
				if ask := q.GetListActivity(); q.GetTenant() == "meadowbank" && !ask.GetSince().AsTime().After(when.AsTime()) &&
					ask.GetUntil().AsTime().After(when.AsTime()) {
					list.Activities = []*lockboxv1.Activity{denial(reason)}
				}
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Activity{Activity: list}}, nil
			},
			"list_erasures": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Erasures{
					Erasures: &lockboxv1.ErasureList{Erasures: list}}}, nil
			},
			"get_tenant": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tenant{
					Tenant: &lockboxv1.TenantView{Issuer: "https://login.meadowbank.example"}}}, nil
			},
			"get_dashboard": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Dashboard{Dashboard: &lockboxv1.Dashboard{
					Customers: []*lockboxv1.CustomerFigures{{Tenant: "meadowbank", TenantName: "Meadow Bank"}}}}}, nil
			},
		},
		Commands: map[string]func(*lockboxv1.Command) (*lockboxv1.CommandReply, error){"erase_details": done,
			"confirm_erasure": done, "decline_erasure": done},
	}
}

func serve(t *testing.T, b *sitetest.Backend, who *session.Session) http.Handler {
	t.Helper()
	s := sitetest.New(t, b, who)
	routes, err := erasing.Routes(s)
	if err != nil {
		t.Fatal(err)
	}
	return sitetest.Server(s, routes)
}

func fromLog(version string) url.Values {
	return url.Values{"kind": {"request"}, "id": {requestID}, "version": {version},
		"at": {when.AsTime().Format(time.RFC3339Nano)}}
}

// An administrator who comes from an entry of the log reads what goes and what stays, and what is sent is about the
// texts of that very event, whatever else the form says.
func TestR63AnAdministratorErasesWhatAnEntrySays(t *testing.T) {
	b := backend("The password is hunter2.", nil)
	h := serve(t, b, sitetest.Otto())
	page := sitetest.Get(h, "/t/meadowbank/erasures/new?"+fromLog("4").Encode())
	for _, says := range []string{"Otto denied it.", "can then never be read again", "stays on record under their ID",
		"signatures and proofs stay valid", "cannot be undone", "What was written in this entry",
		"mail address of Otto Owens"} {
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), says) {
			t.Errorf("%d, without %q", page.Code, says)
		}
	}
	form := fromLog("4")
	form.Set("command", command)
	form.Set("what", "texts")
	form.Set("reason", "A secret got in.")
	if w := sitetest.Post(h, "/t/meadowbank/erasures/new", form); w.Code != http.StatusBadRequest || len(b.Done) != 0 {
		t.Fatalf("without the word that it was read: %d, %v", w.Code, b.Done)
	}
	form.Set("checked", "yes")
	if w := sitetest.Post(h, "/t/meadowbank/erasures/new", form); w.Code != http.StatusSeeOther || len(b.Done) != 1 {
		t.Fatalf("%d, %v: %s", w.Code, b.Done, w.Body)
	}
	c := b.Done[0]
	texts, reason := c.GetEraseDetails().GetTargets()[0].GetTexts(), c.GetEraseDetails().GetReason()
	if c.GetTenant() != "meadowbank" || c.GetAggregateId() != c.GetId() || reason != "A secret got in." ||
		texts.GetKind() != "request" || texts.GetAggregateId() != requestID || texts.GetVersion() != "4" {
		t.Errorf("sent %v", c)
	}
	form.Set("what", "person")
	form.Set("subject", "somebody-else")
	sitetest.Post(h, "/t/meadowbank/erasures/new", form)
	if p := b.Done[1].GetEraseDetails().GetTargets()[0].GetPerson(); p.GetSubject() != "otto" {
		t.Errorf("the entry is of otto, and sent is %v", p)
	}
	if w := sitetest.Get(h, "/t/meadowbank/erasures/new?"+fromLog("5").Encode()); w.Code != http.StatusNotFound {
		t.Errorf("an entry that is not there: %d", w.Code)
	}
	b.Commands["erase_details"] = func(*lockboxv1.Command) (*lockboxv1.CommandReply, error) {
		return nil, refusal.OfKind(refusal.Precondition("erase_details.targets", "R63", "nothing"), "erasure-nothing")
	}
	if w := sitetest.Post(h, "/t/meadowbank/erasures/new?lang=fr", form); w.Code != http.StatusConflict ||
		!strings.Contains(w.Body.String(), "Il n’y a rien à effacer") {
		t.Errorf("refused: %d %s", w.Code, w.Body)
	}
}

// What is gone is not offered, in any language.
func TestR63WhatIsErasedIsNotOfferedAgain(t *testing.T) {
	for _, lang := range []string{"en", "fr", "ja"} {
		h := serve(t, backend(erasable.Erased, nil), sitetest.Otto())
		w := sitetest.Get(h, "/t/meadowbank/erasures/new?lang="+lang+"&"+fromLog("4").Encode())
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `value="texts"`) ||
			!strings.Contains(w.Body.String(), `value="person"`) {
			t.Errorf("%s: %d %s", lang, w.Code, w.Body)
		}
	}
}

// An officer proposes about whom they name, and a second one is shown a button that the first does not have.
func TestR63AnOfficerProposesAndAnotherConfirms(t *testing.T) {
	b := backend("", []*lockboxv1.ErasureView{proposed("decline_erasure")}, aggregate.SecurityOfficers)
	h := serve(t, b, sitetest.Lena())
	if w := sitetest.Get(h, "/provider/erasures/new"); w.Code != http.StatusOK ||
		!strings.Contains(w.Body.String(), "Nothing is erased before another security officer confirms it.") {
		t.Errorf("%d", w.Code)
	}
	form := url.Values{"command": {command}, "what": {"person"}, "reason": {"She left."}, "checked": {"yes"}}
	if w := sitetest.Post(h, "/provider/erasures/new", form); w.Code != http.StatusBadRequest ||
		strings.Count(w.Body.String(), `aria-invalid="true"`) != 3 {
		t.Errorf("without customer, issuer and subject: %d %s", w.Code, w.Body)
	}
	form.Set("customer", "meadowbank")
	form.Set("issuer", "https://login.nimbus.example")
	form.Set("subject", "erin-7")
	if w := sitetest.Post(h, "/provider/erasures/new", form); w.Code != http.StatusSeeOther {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if p := b.Done[0].GetEraseDetails().GetTargets()[0].GetPerson(); b.Done[0].GetTenant() != "meadowbank" ||
		p.GetSubject() != "erin-7" || p.GetIssuer() != "https://login.nimbus.example" {
		t.Errorf("sent %v", b.Done[0])
	}
	page := sitetest.Get(h, "/provider/erasures/"+erasureID).Body.String()
	if strings.Contains(page, `value="confirm"`) ||
		!strings.Contains(page, "Another security officer has to confirm it.") || !strings.Contains(page, "Erin Ellis") {
		t.Errorf("who proposed it sees %s", page)
	}

	b = backend("", []*lockboxv1.ErasureView{proposed("confirm_erasure", "decline_erasure")}, aggregate.SecurityOfficers)
	h = serve(t, b, sitetest.Lena())
	page = sitetest.Get(h, "/provider/erasures/"+erasureID).Body.String()
	if !strings.Contains(page, `value="confirm"`) || !strings.Contains(page, "cannot be undone") {
		t.Errorf("the second officer sees %s", page)
	}
	confirm := url.Values{"command": {command}, "do": {"confirm"}, "seen": {"1"}}
	w := sitetest.Post(h, "/provider/erasures/"+erasureID, confirm)
	if w.Code != http.StatusBadRequest || len(b.Done) != 0 {
		t.Errorf("without the word that it was read: %d", w.Code)
	}
	confirm.Set("checked", "yes")
	sitetest.Post(h, "/provider/erasures/"+erasureID, confirm)
	sitetest.Post(h, "/provider/erasures/"+erasureID, url.Values{"command": {command}, "do": {"decline"}, "seen": {"1"},
		"reason": {"She works here."}})
	if len(b.Done) != 2 || b.Done[0].GetConfirmErasure() == nil || b.Done[0].GetAggregateId() != erasureID ||
		b.Done[0].GetTenant() != "meadowbank" || b.Done[0].GetSeenVersion() != 1 ||
		b.Done[1].GetDeclineErasure().GetReason() != "She works here." {
		t.Errorf("sent %v", b.Done)
	}
}

// Whoever may have nothing erased finds no form, and the list offers none.
func TestR63WhoMayNotEraseIsOfferedNothing(t *testing.T) {
	b := backend("", nil)
	b.Queries["get_self"] = func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
		return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: &lockboxv1.SelfView{
			Roles: []*lockboxv1.HeldRole{{Role: lockboxv1.Role_ROLE_AUDITOR}}}}}, nil
	}
	h := serve(t, b, sitetest.Otto())
	w := sitetest.Get(h, "/t/meadowbank/erasures")
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "erasures/new") {
		t.Errorf("an auditor: %d %s", w.Code, w.Body)
	}
	engineer := serve(t, backend("", nil, aggregate.SupportEngineers), sitetest.Lena())
	for name, w := range map[string]int{
		"an auditor's form":   sitetest.Get(h, "/t/meadowbank/erasures/new").Code,
		"an engineer's form":  sitetest.Get(engineer, "/provider/erasures/new").Code,
		"an engineer's word":  sitetest.Post(engineer, "/provider/erasures/"+erasureID, url.Values{"do": {"confirm"}}).Code,
		"a customer's word":   sitetest.Post(h, "/t/meadowbank/erasures/"+erasureID, url.Values{"do": {"confirm"}}).Code,
		"an auditor's demand": sitetest.Post(h, "/t/meadowbank/erasures/new", url.Values{"what": {"person"}}).Code,
	} {
		if w != http.StatusNotFound {
			t.Errorf("%s: %d", name, w)
		}
	}
}
