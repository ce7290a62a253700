package story

import (
	"fmt"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Telling says how a crowd is told of.
type Telling struct {
	// Requests come a minute apart, and most are decided.
	Requests int
	// Undecided come after them, a second apart, and wait for the customer.
	Undecided int
	// Issuer is where a tenant's people sign in; nil: an issuer without keys.
	Issuer func(tenantID string) *lockboxv1.TenantIssuer
	// Take gets the entries as they are told, and the story forgets them and the requests that are over; nil: it keeps
	// all.
	Take func([]journal.Entry)
}

// chief may decide requests for every subscription of their tenant.
const chief = "chief"

// Crowd tells of many requests, and keeps all.
func Crowd(requests int) *Story { return Telling{Requests: requests}.Tell() }

// Tell tells of many requests: two tenants with ten subscriptions each, forty engineers, twenty owners and a chief
// approver a tenant, and requests of which every one is mailed. Eight in ten are the first tenant's; in each ten, one
// is denied and one expires.
func (t Telling) Tell() *Story {
	c := crowd{Telling: t, Story: New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)),
		owners: map[string][]*lockboxv1.Actor{}}
	c.customers()
	for i := range 40 {
		c.engineers = append(c.engineers, Provider(fmt.Sprintf("engineer-%02d", i), aggregate.SupportEngineers))
	}
	for i := range t.Requests {
		c.Now = c.Now.Add(time.Minute)
		c.catchUp()
		about, owner := c.ask(i)
		switch i % 10 {
		case 0:
			c.Command(owner, Deny(about.Tenant, about.ID))
			c.over(about)
		case 1: // nobody answers
			c.later = append(c.later, duty{c.Now.Add(c.Terms.CustomerApproval), about})
		default:
			c.Command(owner, Approve(about.Tenant, about.ID))
			c.soon = append(c.soon, duty{c.Now.Add(c.Terms.Grant), about})
		}
		c.give(i%500 == 499)
	}
	for i := range t.Undecided {
		c.Now = c.Now.Add(time.Second)
		c.catchUp()
		c.ask(i)
		c.give(i%500 == 499)
	}
	c.give(true)
	return c.Story
}

type crowd struct {
	Telling
	*Story
	owners    map[string][]*lockboxv1.Actor // of a tenant's subscription
	engineers []*lockboxv1.Actor
	// What is owed to requests when a grant is over, and when nobody has answered.
	soon, later []duty
}

type duty struct {
	at    time.Time
	about aggregate.Key
}

var crowdsTenants = []string{"meadowbank", "sakura"}

// subscriptionOf returns the id of a tenant's subscription, which is no other's.
func subscriptionOf(tenant string, i int) string {
	if tenant == crowdsTenants[0] {
		return fmt.Sprintf("sub-%02d", i)
	}
	return fmt.Sprintf("%s-%02d", tenant, i)
}

func (c *crowd) customers() {
	for _, t := range crowdsTenants {
		admin, all := Customer(t, "admin"), Customer(t, chief)
		var issuer *lockboxv1.TenantIssuer
		if c.Issuer != nil {
			issuer = c.Issuer(t)
		}
		c.Create(t, "The "+t, issuer, admin)
		for i := range 10 {
			sub := subscriptionOf(t, i)
			c.Subscription(t, sub, "Subscription "+sub)
			for j := range 2 {
				owner := Customer(t, fmt.Sprintf("owner-%02d-%d", i, j))
				c.Assign(admin, t, sub, fmt.Sprintf("a-%d", j), owner, lockboxv1.Role_ROLE_OWNER, false)
				c.owners[t+sub] = append(c.owners[t+sub], owner)
			}
			c.Assign(admin, t, sub, "all", all, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, false)
		}
	}
}

// ask submits the next request and brings it before the customer.
func (c *crowd) ask(i int) (about aggregate.Key, owner *lockboxv1.Actor) {
	t := crowdsTenants[0]
	if i%5 == 4 {
		t = crowdsTenants[1]
	}
	sub := subscriptionOf(t, i*7%10)
	machines := []string{fmt.Sprintf("vm-%05d", i%3000), fmt.Sprintf("vm-%05d", i%3000+1)}
	intent := Dump(t, sub, machines...)
	if i%4 == 0 {
		intent = Disk(t, sub, machines...)
	}
	id := c.Submit(c.engineers[i%len(c.engineers)], intent)
	if i%4 == 0 {
		c.Command(Provider("derek", aggregate.DevOpsManagers), InternalApprove(t, id))
	}
	owners := c.owners[t+sub]
	for _, o := range owners {
		c.Mail(t, id, o.GetPerson().GetEmail())
	}
	return aggregate.Request(t, id), owners[i%2]
}

// catchUp does what has become owed by the passing of time.
func (c *crowd) catchUp() {
	for _, list := range []*[]duty{&c.soon, &c.later} {
		for len(*list) > 0 && !c.Now.Before((*list)[0].at) {
			about := (*list)[0].about
			c.Owed(about)
			c.over(about)
			*list = (*list)[1:]
		}
	}
}

// over forgets a request to which nothing happens any more.
func (c *crowd) over(about aggregate.Key) {
	if c.Take != nil {
		delete(c.States, about)
	}
}

// give hands the entries over that were told since.
func (c *crowd) give(now bool) {
	if now && c.Take != nil {
		c.Take(c.Entries)
		c.Entries = nil
	}
}
