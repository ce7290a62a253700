package export

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that is exported.
const ocsfVersion = "1.5.0"

type (
	ocsfEvent struct {
		ActivityID   int              `json:"activity_id"`
		ActivityName string           `json:"activity_name"`
		Actor        ocsfActor        `json:"actor"`
		API          *ocsfAPI         `json:"api,omitempty"`
		CategoryName string           `json:"category_name"`
		CategoryUID  int              `json:"category_uid"`
		ClassName    string           `json:"class_name"`
		ClassUID     int              `json:"class_uid"`
		Comment      string           `json:"comment,omitempty"`
		Count        uint64           `json:"count,omitempty"`
		Entity       *ocsfEntity      `json:"entity,omitempty"`
		Message      string           `json:"message"`
		Metadata     ocsfMetadata     `json:"metadata"`
		Observables  []ocsfObservable `json:"observables,omitempty"`
		Privileges   []string         `json:"privileges,omitempty"`
		Resources    []ocsfResource   `json:"resources,omitempty"`
		Service      *ocsfService     `json:"service,omitempty"`
		Severity     string           `json:"severity"`
		SeverityID   severity         `json:"severity_id"`
		Source       *ocsfEndpoint    `json:"src_endpoint,omitempty"`
		StartTime    int64            `json:"start_time,omitempty"` // milliseconds since 1970
		Status       string           `json:"status"`
		StatusCode   string           `json:"status_code,omitempty"`
		StatusID     int              `json:"status_id"`
		StatusDetail string           `json:"status_detail,omitempty"`
		Time         int64            `json:"time"` // milliseconds since 1970
		TypeName     string           `json:"type_name"`
		TypeUID      int              `json:"type_uid"`
		Unmapped     unmapped         `json:"unmapped"`
		User         *ocsfUser        `json:"user,omitempty"`
	}
	ocsfActor struct {
		AppName string    `json:"app_name,omitempty"`
		User    *ocsfUser `json:"user,omitempty"`
	}
	ocsfUser struct {
		Name   string   `json:"name,omitempty"`
		UID    string   `json:"uid,omitempty"`
		Type   string   `json:"type"`
		TypeID int      `json:"type_id"`
		Email  string   `json:"email_addr,omitempty"`
		Domain string   `json:"domain,omitempty"`
		Org    *ocsfOrg `json:"org,omitempty"`
	}
	ocsfAPI struct {
		Operation string        `json:"operation"`
		Response  *ocsfResponse `json:"response,omitempty"`
		Service   *ocsfService  `json:"service,omitempty"`
	}
	ocsfResponse struct {
		Error string `json:"error"`
	}
	ocsfService struct {
		Name string `json:"name"`
	}
	ocsfEndpoint struct {
		Name string `json:"name"`
	}
	ocsfOrg struct {
		Name string `json:"name"`
	}
	ocsfEntity struct {
		Name    string `json:"name"`
		Type    string `json:"type"`
		UID     string `json:"uid"`
		Version string `json:"version,omitempty"`
	}
	ocsfResource struct {
		UID  string `json:"uid"`
		Type string `json:"type,omitempty"`
	}
	ocsfObservable struct {
		Name   string `json:"name"`
		Type   string `json:"type"`
		TypeID int    `json:"type_id"`
		Value  string `json:"value"`
	}
	ocsfMetadata struct {
		CorrelationUID string      `json:"correlation_uid,omitempty"`
		EventCode      string      `json:"event_code"`
		LogName        string      `json:"log_name"`
		LogProvider    string      `json:"log_provider"`
		OriginalTime   string      `json:"original_time"`
		Product        ocsfProduct `json:"product"`
		Sequence       uint64      `json:"sequence"`
		TenantUID      string      `json:"tenant_uid"`
		UID            string      `json:"uid"`
		Version        string      `json:"version"`
	}
	ocsfProduct struct {
		Name   string `json:"name"`
		UID    string `json:"uid"`
		Vendor string `json:"vendor_name"`
	}
	// unmapped holds what has no attribute in the two classes.
	unmapped struct {
		ActorSide      string          `json:"actor_side"`
		SubscriptionID string          `json:"subscription_id,omitempty"`
		ResourceIDs    []string        `json:"resource_ids,omitempty"`
		TicketID       string          `json:"ticket_id,omitempty"`
		Requester      string          `json:"requester,omitempty"`
		ResourceType   string          `json:"resource_type,omitempty"`
		Scenario       string          `json:"scenario,omitempty"`
		AccessMode     string          `json:"access_mode,omitempty"`
		AccessEndsAt   int64           `json:"access_ends_at,omitempty"` // milliseconds since 1970
		Waiver         string          `json:"waiver,omitempty"`
		Event          json.RawMessage `json:"event,omitempty"`
		Record         json.RawMessage `json:"record,omitempty"`
	}
)

func ocsf(a *lockboxv1.Activity) (*ocsfEvent, error) {
	entry, fact := a.GetEntry(), a.GetEvent()
	row, known := ocsfTable[entry.GetType()]
	if !known {
		return nil, &UnknownFactError{entry.GetType()}
	}
	event, err := protoJSON(fact)
	if err != nil {
		return nil, err
	}
	at := entry.GetTime().AsTime()
	e := &ocsfEvent{
		CategoryName: "Identity & Access Management", CategoryUID: ocsfCategory,
		Message: entry.GetSummary(), Status: "Success", StatusID: 1, SeverityID: row.severity, Time: at.UnixMilli(),
		Metadata: ocsfMetadata{
			CorrelationUID: a.GetRequestId(), EventCode: entry.GetType(), LogName: "activity", LogProvider: "lockbox",
			OriginalTime: at.Format(time.RFC3339Nano), Product: ocsfProduct{"Lockbox", "lockbox", "OpenLockbox"},
			Sequence: entry.GetSequence(), TenantUID: a.GetTenant(), UID: fact.GetId(), Version: ocsfVersion,
		},
		Unmapped: unmapped{ActorSide: side(entry.GetActor()), SubscriptionID: a.GetSubscriptionId(),
			TicketID: a.GetTicketId(),
			Event:    event},
	}
	e.Actor = ocsfActor{AppName: "lockbox", User: ocsfPerson(entry.GetActor())}
	if s := entry.GetActor().GetService(); s != "" {
		e.Actor.AppName = s
	}
	e.weigh(fact, &row.deed)
	e.ClassUID, e.ActivityID, e.ActivityName, e.TypeUID = row.class, row.id, row.name, row.class*100+row.id
	why := written(fact)
	if row.failed {
		e.Status, e.StatusID, e.StatusCode = "Failure", 2, entry.GetType()
		e.StatusDetail = cmp.Or(why, e.StatusDetail, entry.GetSummary())
	}
	switch row.class {
	case userAccess:
		e.ClassName, e.StatusDetail = "User Access Management", cmp.Or(e.StatusDetail, why)
		e.access(a)
	case entityManagement:
		e.ClassName, e.Entity, e.Comment, e.Unmapped.ResourceIDs = "Entity Management", ocsfManaged(a), why, reached(a)
		e.Unmapped.Requester = name(a.GetRequester()) // in the other class they are the user
	}
	e.Severity, e.TypeName = severities[e.SeverityID], e.ClassName+": "+e.ActivityName
	e.observe()
	return e, nil
}

// weigh corrects the table's row by what the fact says: how access came about, or what went wrong.
func (e *ocsfEvent) weigh(fact *lockboxv1.Event, is *deed) {
	switch f := fact.GetFact().(type) {
	case *lockboxv1.Event_NotificationFailed:
		is.failed, e.StatusDetail = true, f.NotificationFailed.GetError()
	case *lockboxv1.Event_AccessEvaluated:
		if f.AccessEvaluated.GetOutcome() == lockboxv1.EvaluationOutcome_EVALUATION_OUTCOME_REFUSED {
			*is, e.SeverityID, e.StatusDetail = withholds, low, f.AccessEvaluated.GetRefusal().GetMessage()
		}
	case *lockboxv1.Event_AccessGranted:
		switch f.AccessGranted.GetWaiver() {
		case lockboxv1.Waiver_WAIVER_EMERGENCY:
			e.SeverityID = high
		case lockboxv1.Waiver_WAIVER_UNSPECIFIED, lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA:
		default: // to customer data, and the customer was not asked
			e.SeverityID = medium
		}
	case *lockboxv1.Event_ErasureDecided:
		if aggregate.Customer(fact.GetActor()) { // nobody proposed it before
			*is = creates
		}
	case *lockboxv1.Event_DifferenceFound:
		if f.DifferenceFound.GetKind() == lockboxv1.DifferenceKind_DIFFERENCE_KIND_MAIL_OVERDUE {
			e.SeverityID = high
		}
	}
}

// access fills in whom the access is of and what it reaches. The engineer is the requester; whoever decided is the
// actor.
func (e *ocsfEvent) access(a *lockboxv1.Activity) {
	e.User = ocsfPerson(a.GetRequester())
	if e.User == nil { // a reader of the stream that does not know how it began
		e.User = &ocsfUser{Name: "Unknown", Type: "Unknown"}
	}
	g := a.GetEvent().GetAccessGranted()
	e.Privileges = []string{"access"}
	if g.GetMode() != lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED {
		mode := strings.ToLower(strings.TrimPrefix(g.GetMode().String(), "ACCESS_MODE_"))
		e.Privileges = []string{mode}
		e.Unmapped.ResourceType, e.Unmapped.Scenario, e.Unmapped.AccessMode = g.GetResourceType(), g.GetScenario(), mode
	}
	if end := g.GetEndsAt(); end != nil {
		e.Unmapped.AccessEndsAt = end.AsTime().UnixMilli()
	}
	if w := g.GetWaiver(); w != lockboxv1.Waiver_WAIVER_UNSPECIFIED {
		e.Unmapped.Waiver = strings.ToLower(strings.TrimPrefix(w.String(), "WAIVER_"))
	}
	for _, id := range reached(a) {
		e.Resources = append(e.Resources, ocsfResource{id, g.GetResourceType()})
	}
}

// observe lists what a search would look for, wherever in the event it stands.
func (e *ocsfEvent) observe() {
	see := func(name, typ string, id int, value string) {
		if value != "" {
			e.Observables = append(e.Observables, ocsfObservable{name, typ, id, value})
		}
	}
	if u := e.Actor.User; u != nil {
		see("actor.user.email_addr", "Email Address", 5, u.Email)
	}
	if e.User != nil {
		see("user.email_addr", "Email Address", 5, e.User.Email)
	}
	for _, r := range e.Resources {
		see("resources[].uid", "Resource UID", 10, r.UID)
	}
}

// written returns what the actor wrote about the fact, or why Lockbox itself decided so; empty if there is neither.
func written(e *lockboxv1.Event) string {
	m := e.ProtoReflect()
	f := m.WhichOneof(m.Descriptor().Oneofs().ByName("fact"))
	if f == nil {
		return ""
	}
	m = m.Get(f).Message()
	for _, name := range []protoreflect.Name{"reason", "comment"} {
		if f := m.Descriptor().Fields().ByName(name); f != nil && f.Kind() == protoreflect.StringKind && !f.IsList() {
			return m.Get(f).String()
		}
	}
	return ""
}

// ocsfManaged returns the managed entity: the assignment if a role was changed, otherwise the aggregate.
func ocsfManaged(a *lockboxv1.Activity) *ocsfEntity {
	e := &ocsfEntity{Type: a.GetKind(), UID: a.GetAggregateId()}
	switch f := a.GetEvent().GetFact().(type) {
	case *lockboxv1.Event_RoleAssigned:
		e.Type, e.UID = roleAssignment, f.RoleAssigned.GetAssignment().GetId()
	case *lockboxv1.Event_RoleInvited:
		e.Type, e.UID = roleAssignment, f.RoleInvited.GetInvitation().GetId()
	case *lockboxv1.Event_InvitationRedeemed:
		e.Type, e.UID = roleAssignment, f.InvitationRedeemed.GetInvitationId()
	case *lockboxv1.Event_InvitationConfirmed:
		e.Type, e.UID = roleAssignment, f.InvitationConfirmed.GetAssignment().GetId()
	case *lockboxv1.Event_InvitationEnded:
		e.Type, e.UID = roleAssignment, f.InvitationEnded.GetInvitationId()
	case *lockboxv1.Event_RoleEnded:
		e.Type, e.UID = roleAssignment, f.RoleEnded.GetAssignmentId()
	case *lockboxv1.Event_RoleRemoved:
		e.Type, e.UID = roleAssignment, f.RoleRemoved.GetAssignmentId()
	case *lockboxv1.Event_RoleActivated:
		e.Type, e.UID = roleAssignment, f.RoleActivated.GetAssignmentId()
	case *lockboxv1.Event_RoleDeactivated:
		e.Type, e.UID = roleAssignment, f.RoleDeactivated.GetAssignmentId()
	case *lockboxv1.Event_RulesPublished:
		e.Version = f.RulesPublished.GetVersion()
	case *lockboxv1.Event_CataloguePublished:
		e.Version = f.CataloguePublished.GetVersion()
	}
	e.Name = e.Type + " " + e.UID
	return e
}

const roleAssignment = "role assignment"

func ocsfPerson(a *lockboxv1.Actor) *ocsfUser {
	p := a.GetPerson()
	if p == nil {
		return nil
	}
	u := &ocsfUser{Name: name(a), UID: p.GetSubject(), Email: p.GetEmail(), Domain: p.GetIssuer(), Type: "User", TypeID: 1}
	if a.GetEmployer() != "" {
		u.Org = &ocsfOrg{a.GetEmployer()}
	}
	return u
}

// UnknownFactError means that this version does not know a fact. An export must not omit it, so it fails.
type UnknownFactError struct{ Type string }

func (e *UnknownFactError) Error() string {
	return "the fact " + e.Type + " is not known to this version, which must be upgraded"
}
