package shown

import (
	"cmp"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// named is the number of items that a sentence names before it counts the rest.
const named = 3

// scenarios maps the catalogue's scenarios that have translated names and a description of their effect on data to
// their message IDs. All others are quoted by name.
var scenarios = map[string]string{
	"memory-dump": "dump", "process-dump": "dump", "remote-desktop": "session", "secure-shell": "session",
	"node-access": "session", "cluster-access": "session",
	"managed-disk": "storage", "snapshot": "storage", "volume-content": "storage", "query": "query",
	"record-content": "content", "object-content": "content",
	"server-log": "log", "transfer": "transfer", "tenant-configuration": "configuration", "restart": "",
	"platform-health": "",
}

// Resource is a resource that a request reaches.
type Resource struct {
	// Name is the last segment of the ID, which is what people call it.
	Name, ID string
}

// Resources returns the resources with these IDs.
func Resources(ids []string) []Resource {
	list := make([]Resource, len(ids))
	for i, id := range ids {
		list[i] = Resource{id, id}
		whole := strings.TrimSuffix(id, "/")
		if name := whole[strings.LastIndex(whole, "/")+1:]; name != "" {
			list[i].Name = name
		}
	}
	return list
}

// Resources returns the requested resources.
func (r Request) Resources() []Resource { return Resources(r.GetIntent().GetResourceIds()) }

// Granted returns the resources that access was granted to.
func (r Request) Granted() []Resource { return Resources(r.GetGrant().GetResourceIds()) }

// Rights returns what the granted access permits; empty if an earlier version granted it, which did not record that.
func (r Request) Rights() (string, error) {
	id := map[lockboxv1.AccessMode]string{
		lockboxv1.AccessMode_ACCESS_MODE_READ: "read", lockboxv1.AccessMode_ACCESS_MODE_CHANGE: "change",
		lockboxv1.AccessMode_ACCESS_MODE_ELEVATED: "elevated",
	}[r.GetGrant().GetMode()]
	if id == "" {
		return "", nil
	}
	return r.Say.Say("status.mode." + id)
}

// Narrowed reports whether less was granted than requested.
func (r Request) Narrowed() bool {
	return len(r.GetGrant().GetResourceIds()) < len(r.GetIntent().GetResourceIds())
}

// Person returns an actor's display name.
func (r Request) Person(a *lockboxv1.Actor) (string, error) {
	if a.GetPerson() == nil {
		return "Lockbox", nil
	}
	return Name(a.GetPerson()), nil
}

// NameOf returns a person's display name.
func (Request) NameOf(p *lockboxv1.Person) string { return Name(p) }

// Name returns a person's display name, or failing that their address or subject.
func Name(p *lockboxv1.Person) string {
	for _, s := range []string{p.GetDisplayName(), p.GetEmail(), p.GetSubject()} {
		if s != "" {
			return s
		}
	}
	return "?"
}

// Employer returns the requester's employer (R5).
func (r Request) Employer() string {
	if e := r.GetRequester().GetEmployer(); e != "" {
		return e
	}
	return r.Provider
}

// Subcontractor reports whether the requester's employer is not the provider (R5).
func (r Request) Subcontractor() bool { return r.Employer() != r.Provider }

// Requester returns the requester's name with their employer.
func (r Request) Requester() (string, error) {
	return r.Say.Say("requests.person-of", "Person", Name(r.GetRequester().GetPerson()), "Employer", r.Employer())
}

// Scenario returns the name of the requested operation.
func (r Request) Scenario() string {
	return names.In(r.Say.Language, cmp.Or(r.GetScenarioName(), r.GetIntent().GetScenario()))
}

// Service returns the catalogue's name of the service.
func (r Request) Service() string {
	return names.In(r.Say.Language, cmp.Or(r.GetServiceName(), r.GetIntent().GetResourceType()))
}

// Subscription returns the subscription's name; empty if the request reaches the tenant itself.
func (r Request) Subscription() string {
	if r.GetSubscriptionName() != "" {
		return r.GetSubscriptionName()
	}
	return r.GetIntent().GetSubscriptionId()
}

// What returns the operation and its resources, such as "a memory dump of payments-1".
func (r Request) What() (string, error) { return r.on(r.Resources()) }

// WhatOf is What for some of the resources.
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

// Means describes the effect on data; empty if there is no description beyond the catalogue's name.
func (r Request) Means() (string, error) {
	if id := scenarios[r.GetIntent().GetScenario()]; id != "" {
		return r.Say.Say("status.means." + id)
	}
	return "", nil
}

// kinds maps the catalogue's resource types that people count to the IDs of their words. All others are resources.
var kinds = map[string]string{
	"compute/virtual-machines": "virtual-machines", "classic-compute/virtual-machines": "virtual-machines",
	"compute/managed-disks": "disks", "sql/databases": "databases", "storage/accounts": "storage-accounts",
	"classic-storage/accounts": "storage-accounts", "web/apps": "apps", "spring/apps": "apps",
	"containers/kubernetes-clusters": "clusters", "containers/openshift-clusters": "clusters",
	"data-explorer/clusters": "clusters", "hdinsight/clusters": "clusters", "database/mysql-servers": "servers",
	"database/mysql-flexible-servers": "servers", "database/postgresql-servers": "servers",
}

// counted says how many resources of which kind there are, and where, for a phrase that cannot name them all.
func (r Request) counted(n int) (string, error) {
	kind := kinds[r.GetIntent().GetResourceType()]
	if kind == "" {
		kind = "resources"
	}
	if r.Subscription() == "" {
		return r.Say.Say("status.kind."+kind, "Count", n)
	}
	return r.Say.Say("status.kind."+kind+".in", "Count", n, "Subscription", r.Subscription())
}

// listed is the number of resources that a list shows at once; the others are there on demand.
const listed = 5

// Listing is a list of resources: the first, and what is there on demand.
type Listing struct {
	First, More []Resource
	// Says counts them all in words; empty if they all are shown.
	Says string
}

// List returns resources as a list.
func (r Request) List(resources []Resource) (l Listing, err error) {
	if l.First = resources; len(resources) > listed {
		l.First, l.More = resources[:listed], resources[listed:]
		l.Says, err = r.counted(len(resources))
	}
	return l, err
}

// list names resources in one phrase, or counts them.
func (r Request) list(resources []Resource) (string, error) {
	if len(resources) > listed {
		return r.counted(len(resources))
	}
	names := make([]string, len(resources))
	for i, each := range resources {
		names[i] = each.Name
	}
	return r.names(names)
}

func (r Request) names(names []string) (string, error) {
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

// Title returns one sentence that says who asks for, has, had or did not get what.
func (r Request) Title() (string, error) {
	what, err := r.What()
	if err != nil {
		return "", err
	}
	id := "requests.title"
	switch {
	case r.Running():
		id = "requests.title-has"
	case r.Over() && r.GetGrant() != nil:
		id = "requests.title-had"
	case r.Over():
		id = "requests.title-asked"
	}
	return r.Say.Say(id, "Person", Name(r.GetRequester().GetPerson()), "Employer", r.Employer(), "What",
		what)
}

// Standing describes the current state in a sentence or two.
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

// Decided says what the reader decided, and when; empty if they have not.
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

// endings maps the states in which a person ended the request to the event types by which they did.
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

// Wrote reports whether the reason for the end is a person's own words; otherwise a service decided, see Ended.
func (r Request) Wrote() bool { return endings[r.GetStatus()] != "" && r.GetCodedEndReason() == nil }

// Overdue reports whether the request ended by a deadline, so that there is no reason worth reading.
func (r Request) Overdue() bool {
	s := r.GetStatus()
	return s == lockboxv1.RequestStatus_REQUEST_STATUS_EXPIRED ||
		s == lockboxv1.RequestStatus_REQUEST_STATUS_INTERNAL_EXPIRED ||
		s == lockboxv1.RequestStatus_REQUEST_STATUS_COMPLETED
}

// groups of the provider's people that have a translated name.
var groups = []string{"customer-support-leads", "devops-managers", "security-officers"}

// Group returns the name of a group of the provider's people.
func (r Request) Group(name string) (string, error) {
	if slices.Contains(groups, name) {
		return r.Say.Say("status.group." + name)
	}
	return name, nil
}

// waitingGroup returns the group of the first incomplete internal stage.
func (r Request) waitingGroup() string {
	for _, s := range r.Stages() {
		if s.Given < s.Count {
			return s.Name
		}
	}
	return ""
}

// Stage is one stage of internal approval.
type Stage struct {
	Name         string
	Given, Count int
}

// Stages returns the stages of internal approval in order.
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
