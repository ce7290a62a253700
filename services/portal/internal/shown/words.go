package shown

import (
	"slices"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// named is how many things a sentence names before it counts the rest.
const named = 3

// scenarios of the catalogue that have words of their own in every language, with what each means for data. All others
// are quoted by their name.
var scenarios = map[string]string{
	"memory-dump": "dump", "process-dump": "dump", "remote-desktop": "session", "secure-shell": "session",
	"node-access": "session", "cluster-access": "session",
	"managed-disk": "storage", "snapshot": "storage", "volume-content": "storage", "query": "query",
	"record-content": "content", "object-content": "content",
	"server-log": "log", "transfer": "transfer", "tenant-configuration": "configuration", "restart": "",
	"platform-health": "",
}

// Resource is what a request reaches.
type Resource struct {
	// Name is the last part of the id, which is how people call it.
	Name, ID string
}

// Resources are those of a list of ids.
func Resources(ids []string) []Resource {
	list := make([]Resource, len(ids))
	for i, id := range ids {
		list[i] = Resource{id, id}
		if name := id[strings.LastIndex(id, "/")+1:]; name != "" {
			list[i].Name = name
		}
	}
	return list
}

// Resources are those asked for.
func (r Request) Resources() []Resource { return Resources(r.GetIntent().GetResourceIds()) }

// Granted are those that access was given to.
func (r Request) Granted() []Resource { return Resources(r.GetGrant().GetResourceIds()) }

// Narrowed reports whether access was given to less than was asked for.
func (r Request) Narrowed() bool {
	return len(r.GetGrant().GetResourceIds()) < len(r.GetIntent().GetResourceIds())
}

// Person is what somebody is called.
func (r Request) Person(a *lockboxv1.Actor) (string, error) {
	if a.GetPerson() == nil {
		return "Lockbox", nil
	}
	return Name(a.GetPerson()), nil
}

// NameOf is what a person is called.
func (Request) NameOf(p *lockboxv1.Person) string { return Name(p) }

// Name is what a person is called; an address or subject where nothing better is known.
func Name(p *lockboxv1.Person) string {
	for _, s := range []string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()} {
		if s != "" {
			return s
		}
	}
	return "?"
}

// Employer of the requester (R5).
func (r Request) Employer() string {
	if e := r.GetRequester().GetEmployer(); e != "" {
		return e
	}
	return r.Provider
}

// Subcontractor reports whether the requester is employed by somebody else than the provider (R5).
func (r Request) Subcontractor() bool { return r.Employer() != r.Provider }

// Requester is who asks, with their employer.
func (r Request) Requester() (string, error) {
	return r.Say.Say("requests.person-of", "Person", Name(r.GetRequester().GetPerson()), "Employer", r.Employer())
}

// Scenario is the catalogue's name of what is to be done.
func (r Request) Scenario() string {
	if r.GetScenarioName() != "" {
		return r.GetScenarioName()
	}
	return r.GetIntent().GetScenario()
}

// Service is the catalogue's name of the service.
func (r Request) Service() string {
	if r.GetServiceName() != "" {
		return r.GetServiceName()
	}
	return r.GetIntent().GetResourceType()
}

// Subscription is what the subscription is called; empty: the request reaches the tenant itself.
func (r Request) Subscription() string {
	if r.GetSubscriptionName() != "" {
		return r.GetSubscriptionName()
	}
	return r.GetIntent().GetSubscriptionId()
}

// What is to be done to what, such as "a memory dump of payments-1".
func (r Request) What() (string, error) { return r.on(r.Resources()) }

// WhatOf is the same for some of the resources.
func (r Request) WhatOf(ids []string) (string, error) { return r.on(Resources(ids)) }

func (r Request) on(resources []Resource) (string, error) {
	names, err := r.list(resources)
	if err != nil {
		return "", err
	}
	id := "other"
	if _, known := scenarios[r.GetIntent().GetScenario()]; known {
		id = r.GetIntent().GetScenario()
	}
	return r.Say.Say("status.scenario."+id, "Resources", names, "Scenario", r.Scenario())
}

// Means is what that means for data; empty: only the catalogue's name says it.
func (r Request) Means() (string, error) {
	if id := scenarios[r.GetIntent().GetScenario()]; id != "" {
		return r.Say.Say("status.means." + id)
	}
	return "", nil
}

// list names things in one phrase.
func (r Request) list(resources []Resource) (string, error) {
	names := make([]string, len(resources))
	for i, each := range resources {
		names[i] = each.Name
	}
	if len(names) == 1 {
		return names[0], nil
	}
	comma, err := r.Say.Say("requests.list.comma")
	switch {
	case err != nil || len(names) == 0:
		return "", err
	case len(names) > named+1:
		return r.Say.Say("requests.list.more", "Names", strings.Join(names[:named], comma), "Count", len(names)-named)
	}
	last := len(names) - 1
	return r.Say.Say("requests.list.and", "Names", strings.Join(names[:last], comma), "Last", names[last])
}

// Title says in one sentence who wants what.
func (r Request) Title() (string, error) {
	what, err := r.What()
	if err != nil {
		return "", err
	}
	return r.Say.Say("requests.title", "Person", Name(r.GetRequester().GetPerson()), "Employer", r.Employer(), "What",
		what)
}

// Standing says in a sentence or two what is now true.
func (r Request) Standing() (string, error) {
	group, err := r.Group(r.waitingGroup())
	if err != nil {
		return "", err
	}
	return r.Say.Say("status.standing."+strings.TrimPrefix(r.StatusID(), "status."), "Group", group, "By", r.endedBy(),
		"Ended", r.instant(r.GetEndedAt()), "Deadline", r.instant(r.Deadline()), "Provider", r.Provider)
}

func (r Request) instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return r.Say.Instant(t.AsTime())
}

// Decided says what the reader themselves decided, and when; empty: nothing.
func (r Request) Decided() (string, error) {
	d := r.Own()
	switch {
	case d == nil:
		return "", nil
	case d.GetApproved() && d.GetDuration() != nil:
		return r.Say.Say("status.standing.you-approved-for", "Time", r.instant(d.GetTime()), "Duration",
			r.Say.Duration(d.GetDuration().AsDuration()))
	case d.GetApproved():
		return r.Say.Say("status.standing.you-approved", "Time", r.instant(d.GetTime()))
	}
	return r.Say.Say("status.standing.you-denied", "Time", r.instant(d.GetTime()))
}

// endings are the facts by which somebody ends a request.
var endings = map[lockboxv1.RequestStatus]string{
	lockboxv1.RequestStatus_REQUEST_STATUS_REVOKED:           "AccessRevoked",
	lockboxv1.RequestStatus_REQUEST_STATUS_RELEASED:          "AccessReleased",
	lockboxv1.RequestStatus_REQUEST_STATUS_DENIED:            "CustomerDenied",
	lockboxv1.RequestStatus_REQUEST_STATUS_WITHDRAWN:         "RequestWithdrawn",
	lockboxv1.RequestStatus_REQUEST_STATUS_INTERNALLY_DENIED: "InternalApprovalRefused",
}

func (r Request) endedBy() string {
	if e := r.last(endings[r.GetStatus()]); e.GetActor().GetPerson() != nil {
		return Name(e.GetActor().GetPerson())
	}
	return "Lockbox"
}

// Wrote reports whether the reason it ended for is somebody's own words; otherwise a service decided, see Ended.
func (r Request) Wrote() bool { return endings[r.GetStatus()] != "" }

// Overdue reports whether the end was not recorded yet: then there is no reason worth reading.
func (r Request) Overdue() bool {
	s := r.GetStatus()
	return s == lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED ||
		s == lockboxv1.RequestStatus_REQUEST_STATUS_INTERNAL_EXPIRED ||
		s == lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
}

// groups of the provider's people that have a name in every language.
var groups = []string{"customer-support-leads", "devops-managers", "security-officers"}

// Group is what a group of the provider's people is called.
func (r Request) Group(name string) (string, error) {
	if slices.Contains(groups, name) {
		return r.Say.Say("status.group." + name)
	}
	return name, nil
}

// waitingGroup is that of the internal stage that is not complete.
func (r Request) waitingGroup() string {
	for _, s := range r.Stages() {
		if s.Given < s.Count {
			return s.Name
		}
	}
	return ""
}

// Stage is one step of internal approval.
type Stage struct {
	Name         string
	Given, Count int
}

// Stages are those of internal approval, in order.
func (r Request) Stages() []Stage {
	given := len(slices.DeleteFunc(slices.Clone(r.GetInternalDecisions()),
		func(d *lockboxv1.Decision) bool { return !d.GetApproved() }))
	var list []Stage
	for _, s := range r.GetEvaluation().GetInternalStages() {
		here := min(given, int(s.GetCount()))
		given -= here
		list = append(list, Stage{s.GetGroup(), here, int(s.GetCount())})
	}
	return list
}
