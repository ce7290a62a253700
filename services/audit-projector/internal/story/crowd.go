package story

import (
	"fmt"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Crowd tells of many requests: two tenants with ten subscriptions each, forty engineers, twenty owners, and requests a
// minute apart, of which every one is mailed and most are decided. Eight in ten are the first tenant's.
func Crowd(requests int) *Story {
	s := New(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC))
	tenants := []string{"meadowbank", "sakura"}
	owners := map[string][]*lockboxv1.Actor{}
	for _, t := range tenants {
		admin := Customer(t, "admin", "Ada Admin")
		s.Create(t, "The "+t, nil, admin)
		for i := range 10 {
			sub := fmt.Sprintf("sub-%02d", i)
			s.Subscription(admin, t, sub, "Subscription "+sub)
			for j := range 2 {
				owner := Customer(t, fmt.Sprintf("owner-%02d-%d", i, j), fmt.Sprintf("Owner %d of %s", j, sub))
				s.Assign(admin, t, sub, fmt.Sprintf("a-%d", j), owner, lockboxv1.Role_ROLE_OWNER, false)
				owners[t+sub] = append(owners[t+sub], owner)
			}
		}
	}
	engineers := make([]*lockboxv1.Actor, 40)
	for i := range engineers {
		engineers[i] = Provider(fmt.Sprintf("engineer-%02d", i), fmt.Sprintf("Engineer %d", i), "support-engineers")
	}
	manager := Provider("derek", "Derek Dunn", "devops-managers")
	var waiting []func()
	for i := range requests {
		s.Now = s.Now.Add(time.Minute)
		t := tenants[0]
		if i%5 == 4 {
			t = tenants[1]
		}
		sub := fmt.Sprintf("sub-%02d", i*7%10)
		machines := []string{fmt.Sprintf("vm-%05d", i%3000), fmt.Sprintf("vm-%05d", i%3000+1)}
		intent := Dump(t, sub, machines...)
		if i%4 == 0 {
			intent = Disk(t, sub, machines...)
		}
		id := s.Submit(engineers[i%len(engineers)], intent)
		if i%4 == 0 {
			s.Command(manager, InternalApprove(t, id))
		}
		for _, o := range owners[t+sub] {
			s.Mail(t, id, o.GetPerson().GetEmail())
		}
		owner := owners[t+sub][i%2]
		switch i % 10 {
		case 0:
			s.Command(owner, Deny(t, id))
		case 1: // nobody answers
		default:
			s.Command(owner, Approve(t, id))
			waiting = append(waiting, func() { s.Owed(t, id) })
		}
		if len(waiting) > 500 { // the grants of eight hours ago are over
			waiting[0]()
			waiting = waiting[1:]
		}
	}
	return s
}
