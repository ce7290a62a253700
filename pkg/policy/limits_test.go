package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// intentOf is an intent of somebody's, by its number.
func intentOf(n int, tenant, ticket string) *lockboxv1.AccessIntent {
	return &lockboxv1.AccessIntent{Id: fmt.Sprint("r-", n), Tenant: tenant, TicketId: ticket}
}

func limit(engineer, ticket, customer, day int) policy.Limits {
	return policy.Limits{PerEngineer: engineer, PerTicket: ticket, PerCustomer: customer, PerDay: day}
}

// engineerNamed is an engineer; rosa may also ask in emergencies.
func engineerNamed(name string) *lockboxv1.Actor {
	a := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: person(name)}
	if name == "rosa" {
		a.Groups = []string{aggregate.EmergencyResponders}
	}
	return a
}

// Each limit refuses what is beyond it, by name, and lets everybody else go on (R52).
func TestR52EachLimitRefusesWhatIsBeyondIt(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		limits policy.Limits
		beyond *lockboxv1.AccessIntent
		by     string
		field  string // "": it is admitted
	}{
		"of one engineer":              {limit(3, -1, -1, -1), intentOf(9, "fabrikam", ""), "erin", "token"},
		"of another engineer":          {limit(3, -1, -1, -1), intentOf(9, "contoso", "T-1"), "bob", ""},
		"about one ticket":             {limit(-1, 3, -1, -1), intentOf(9, "contoso", "T-1"), "bob", "ticket_id"},
		"about another ticket":         {limit(-1, 3, -1, -1), intentOf(9, "contoso", "T-2"), "erin", ""},
		"about no ticket":              {limit(-1, 3, -1, -1), intentOf(9, "contoso", ""), "erin", ""},
		"a ticket of the same name":    {limit(-1, 3, -1, -1), intentOf(9, "fabrikam", "T-1"), "erin", ""},
		"to one customer":              {limit(-1, -1, 3, -1), intentOf(9, "contoso", ""), "bob", "tenant"},
		"to another customer":          {limit(-1, -1, 3, -1), intentOf(9, "fabrikam", ""), "erin", ""},
		"of one day":                   {limit(-1, -1, -1, 3), intentOf(9, "fabrikam", ""), "erin", "token"},
		"without limits":               {policy.NoLimits(), intentOf(9, "contoso", "T-1"), "erin", ""},
		"one that was admitted before": {limit(3, 3, 3, -1), intentOf(1, "contoso", "T-1"), "erin", ""},
		"an emergency": {limit(3, 3, 3, 3),
			&lockboxv1.AccessIntent{Id: "r-9", Tenant: "contoso", Emergency: true}, "rosa", ""},
		"an emergency of somebody who may have none": {limit(-1, -1, 3, -1),
			&lockboxv1.AccessIntent{Id: "r-9", Tenant: "contoso", Emergency: true}, "bob", "tenant"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounting(t)
			for n := range 3 {
				in := intentOf(n, "contoso", "T-1")
				if err := c.Admit(in, engineerNamed("erin"), now, row.limits); err != nil {
					t.Fatal(err)
				}
				requested := asks("erin", false)
				requested.GetAccessRequested().Intent = in
				c.tell(now, in.GetId(), requested)
			}
			err := c.Admit(row.beyond, engineerNamed(row.by), now, row.limits)
			if r, refused := refusal.As(err); refused != (row.field != "") || r.GetField() != row.field ||
				refused && r.GetRule() != "R52" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestR51TheAccountsOfOneHumanAreOneEngineer(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	account := func(name, human string) *lockboxv1.Person {
		p := person(name)
		p.Human = human
		return p
	}
	c, two := newCounting(t), limit(2, -1, -1, -1)
	for n, by := range []*lockboxv1.Person{account("erin", "N-1"), account("erin-admin", "N-1")} {
		if err := c.Admit(intentOf(n, "contoso", ""), &lockboxv1.Actor{Person: by}, now, two); err != nil {
			t.Fatal(err)
		}
		requested := asks(by.GetSubject(), false)
		requested.Actor.Person = by
		c.tell(now, intentOf(n, "contoso", "").GetId(), requested)
	}
	for _, by := range []*lockboxv1.Person{account("erin", "N-1"), account("erin-oncall", "N-1")} {
		err := c.Admit(intentOf(9, "contoso", ""), &lockboxv1.Actor{Person: by}, now, two)
		if r, refused := refusal.As(err); !refused || r.GetRule() != "R52" {
			t.Errorf("%s: %v", by.GetSubject(), err)
		}
		if got := c.Of(by, now, "contoso", "other").GetRequests(); got != 2 {
			t.Errorf("%s made %d requests", by.GetSubject(), got)
		}
	}
	if err := c.Admit(intentOf(9, "contoso", ""), &lockboxv1.Actor{Person: account("bob", "N-2")}, now, two); err != nil {
		t.Errorf("another human: %v", err)
	}
}

// What is decided, or comes to nothing, makes room; what is admitted counts before its event is stored, once.
func TestR52WhatIsDecidedMakesRoom(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	one := limit(1, 1, 1, -1)
	full := func(c *counting) bool {
		return c.Admit(intentOf(9, "contoso", "T-1"), engineerNamed("erin"), now, one) != nil
	}
	for name, ended := range map[string]*lockboxv1.Event{
		"granted":   {Fact: &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}}},
		"denied":    {Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{}}},
		"expired":   {Fact: &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}},
		"withdrawn": {Fact: &lockboxv1.Event_RequestWithdrawn{RequestWithdrawn: &lockboxv1.RequestWithdrawn{}}},
	} {
		c := newCounting(t)
		in := intentOf(1, "contoso", "T-1")
		if err := c.Admit(in, engineerNamed("erin"), now, one); err != nil || !full(c) {
			t.Errorf("%s: admitted %v, full %v", name, err, full(c))
		}
		requested := asks("erin", false)
		requested.GetAccessRequested().Intent = in
		if c.tell(now, in.GetId(), requested); !full(c) {
			t.Errorf("%s: its event made room", name)
		}
		c.Withdraw(in)
		if !full(c) {
			t.Errorf("%s: what is stored was withdrawn", name)
		}
		if c.tell(now, in.GetId(), ended); full(c) {
			t.Errorf("%s: there is no room", name)
		}
	}
	c := newCounting(t)
	if err := c.Admit(intentOf(1, "contoso", "T-1"), engineerNamed("erin"), now, one); err != nil {
		t.Fatal(err)
	}
	if c.Withdraw(intentOf(1, "contoso", "T-1")); full(c) {
		t.Error("what came to nothing still counts")
	}
	// The next day is another day, and the default is a limit too.
	for n := range 300 {
		err := c.Admit(intentOf(n, fmt.Sprint("t-", n), ""), engineerNamed("bob"), now, policy.Limits{})
		if refused := err != nil; refused != (n >= 20) {
			t.Fatalf("request %d: %v", n, err)
		}
	}
}

// R13: of several at once, each counts those that were admitted before it, and none twice when its event comes.
func TestOfSeveralAtOnceEachCountsThoseBeforeIt(t *testing.T) {
	c := newCounting(t)
	for n := range 3 {
		in := intentOf(n, "contoso", "")
		in.Emergency = n == 0
		if err := c.Admit(in, engineerNamed("erin"), now, policy.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []string{
		"0 asked 0 granted 0 refused 0 denied 0 revoked 0 emergencies",
		"1 asked 0 granted 0 refused 0 denied 0 revoked 1 emergencies",
		"2 asked 0 granted 0 refused 0 denied 0 revoked 1 emergencies",
	} {
		c.is("erin", now, intentOf(n, "contoso", "").GetId(), want)
	}
	c.is("bob", now, "", nothing)
	c.tell(now, intentOf(0, "contoso", "").GetId(), asks("erin", true))
	c.is("erin", now, intentOf(2, "contoso", "").GetId(), "2 asked 0 granted 0 refused 0 denied 0 revoked 1 emergencies")
	c.Withdraw(intentOf(1, "contoso", ""))
	c.is("erin", now, intentOf(2, "contoso", "").GetId(), "1 asked 0 granted 0 refused 0 denied 0 revoked 1 emergencies")
}
