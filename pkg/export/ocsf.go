package export

import (
	"encoding/json"

	"github.com/openlockbox/lockbox/pkg/activity"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that is exported.
const ocsfVersion = "1.4.0"

// The two classes, both of the category Identity & Access Management.
const (
	ocsfCategory     = 3
	authorizeSession = 3003
	entityManagement = 3004
)

// deed is an activity of a class. Activities with id 99 ("other") have a custom name.
type deed struct {
	class, id int
	name      string
}

var (
	creates     = deed{entityManagement, 1, "Create"}
	updates     = deed{entityManagement, 3, "Update"}
	deletes     = deed{entityManagement, 4, "Delete"}
	enrolls     = deed{entityManagement, 6, "Enroll"}
	unenrolls   = deed{entityManagement, 7, "Unenroll"}
	enables     = deed{entityManagement, 8, "Enable"}
	disables    = deed{entityManagement, 9, "Disable"}
	activates   = deed{entityManagement, 10, "Activate"}
	deactivates = deed{entityManagement, 11, "Deactivate"}
	assigns     = deed{authorizeSession, 1, "Assign Privileges"}
	revokes     = deed{authorizeSession, 99, "Revoke Privileges"}
	expires     = deed{authorizeSession, 99, "Privileges Expired"}
	withholds   = deed{authorizeSession, 99, "Withhold Privileges"}
)

// severity is an OCSF severity id.
type severity int

const (
	informational severity = 1
	low           severity = 2
	medium        severity = 3
	high          severity = 4
)

var severities = map[severity]string{informational: "Informational", low: "Low", medium: "Medium", high: "High"}

// ocsfTable maps each fact to its class and activity in OCSF. A fact that is missing here cannot be exported; a test
// checks that none is.
var ocsfTable = map[string]struct {
	deed
	severity
}{
	"AccessRequested":         {creates, informational},
	"AccessEvaluated":         {updates, informational},
	"InternalApprovalGiven":   {updates, informational},
	"InternalApprovalRefused": {updates, informational},
	"InternalApprovalExpired": {updates, informational},
	"InternalReminderDue":     {updates, informational},
	"CustomerNotified":        {updates, informational},
	"ApprovalReminderDue":     {updates, informational},
	"ApproversUnavailable":    {updates, medium},
	"QuestionAsked":           {updates, informational},
	"QuestionAnswered":        {updates, informational},
	"CustomerApproved":        {updates, low},
	"CustomerDenied":          {updates, low},
	"RequestExpired":          {updates, low},
	"RequestWithdrawn":        {updates, informational},

	"AccessGranted":   {assigns, low},
	"AccessLapsed":    {withholds, low},
	"AccessRevoked":   {revokes, low},
	"AccessReleased":  {revokes, informational},
	"AccessCompleted": {expires, informational},

	"TenantCreated":          {creates, informational},
	"SupportPlanChanged":     {updates, informational},
	"LockboxEnabled":         {enables, informational},
	"LockboxDisabled":        {disables, medium},
	"PreviewSignedUp":        {enrolls, informational},
	"PreviewSignedOff":       {unenrolls, informational},
	"SettingsChanged":        {updates, low},
	"SubscriptionRegistered": {creates, informational},
	"RoleAssigned":           {creates, low},
	"RoleRemoved":            {deletes, low},
	"RoleActivated":          {activates, low},
	"RoleDeactivated":        {deactivates, informational},

	"TicketOpened":     {creates, informational},
	"TicketAssigned":   {updates, informational},
	"TicketReassigned": {updates, informational},
	"TicketCommented":  {updates, informational},

	"RulesPublished":     {updates, medium},
	"CataloguePublished": {updates, medium},

	"ExposureDisclosed":    {creates, high},
	"LegalDemandDisclosed": {creates, medium},
	"DisclosureTold":       {updates, informational},

	"NotificationSent":   {creates, informational},
	"NotificationFailed": {creates, medium},

	"CheckpointSigned": {creates, informational},
	"DifferenceFound":  {creates, high},
	"StreamRestored":   {updates, high},
}

type (
	ocsfEvent struct {
		ActivityID   int          `json:"activity_id"`
		ActivityName string       `json:"activity_name"`
		Actor        ocsfActor    `json:"actor"`
		CategoryName string       `json:"category_name"`
		CategoryUID  int          `json:"category_uid"`
		ClassName    string       `json:"class_name"`
		ClassUID     int          `json:"class_uid"`
		Entity       *ocsfEntity  `json:"entity,omitempty"`
		Message      string       `json:"message"`
		Metadata     ocsfMetadata `json:"metadata"`
		Privileges   []string     `json:"privileges,omitempty"`
		Session      *ocsfSession `json:"session,omitempty"`
		Severity     string       `json:"severity"`
		SeverityID   severity     `json:"severity_id"`
		Status       string       `json:"status"`
		StatusID     int          `json:"status_id"`
		StatusDetail string       `json:"status_detail,omitempty"`
		Time         int64        `json:"time"` // milliseconds since 1970
		TypeName     string       `json:"type_name"`
		TypeUID      int          `json:"type_uid"`
		Unmapped     unmapped     `json:"unmapped"`
		User         *ocsfUser    `json:"user,omitempty"`
	}
	ocsfActor struct {
		AppName string    `json:"app_name,omitempty"`
		User    *ocsfUser `json:"user,omitempty"`
	}
	ocsfUser struct {
		Name   string   `json:"name,omitempty"`
		UID    string   `json:"uid"`
		Email  string   `json:"email_addr,omitempty"`
		Domain string   `json:"domain,omitempty"`
		Org    *ocsfOrg `json:"org,omitempty"`
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
	ocsfSession struct {
		UID     string `json:"uid"`
		Expires int64  `json:"expiration_time,omitempty"`
	}
	ocsfMetadata struct {
		CorrelationUID string      `json:"correlation_uid,omitempty"`
		EventCode      string      `json:"event_code"`
		LogName        string      `json:"log_name"`
		Product        ocsfProduct `json:"product"`
		Sequence       uint64      `json:"sequence"`
		TenantUID      string      `json:"tenant_uid"`
		UID            string      `json:"uid"`
		Version        string      `json:"version"`
	}
	ocsfProduct struct {
		Name   string `json:"name"`
		Vendor string `json:"vendor_name"`
	}
	// unmapped holds what has no attribute in the two classes.
	unmapped struct {
		ActorSide      string          `json:"actor_side"`
		SubscriptionID string          `json:"subscription_id,omitempty"`
		ResourceIDs    []string        `json:"resource_ids,omitempty"`
		Event          json.RawMessage `json:"event"`
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
	e := &ocsfEvent{
		ActivityID: row.id, ActivityName: row.name, CategoryName: "Identity & Access Management", CategoryUID: ocsfCategory,
		ClassUID: row.class, Message: entry.GetSummary(), Status: "Success", StatusID: 1, SeverityID: row.severity,
		Time: entry.GetTime().AsTime().UnixMilli(), TypeUID: row.class*100 + row.id,
		Metadata: ocsfMetadata{
			CorrelationUID: a.GetRequestId(), EventCode: entry.GetType(), LogName: "activity",
			Product:  ocsfProduct{"Lockbox", "OpenLockbox"},
			Sequence: entry.GetSequence(), TenantUID: a.GetTenant(), UID: fact.GetId(), Version: ocsfVersion,
		},
		Unmapped: unmapped{ActorSide: side(entry.GetActor()), SubscriptionID: a.GetSubscriptionId(),
			ResourceIDs: a.GetResourceIds(), Event: event},
	}
	e.Actor = ocsfActor{AppName: "lockbox", User: ocsfPerson(entry.GetActor().GetPerson(), entry.GetActor().GetEmployer())}
	if s := entry.GetActor().GetService(); s != "" {
		e.Actor.AppName = s
	}
	if f := fact.GetNotificationFailed(); f != nil {
		e.Status, e.StatusID, e.StatusDetail = "Failure", 2, f.GetError()
	}
	if fact.GetAccessGranted().GetWaiver() == lockboxv1.Waiver_WAIVER_EMERGENCY {
		e.SeverityID = medium
	}
	switch row.class {
	case authorizeSession:
		e.ClassName = "Authorize Session"
		e.session(a)
	case entityManagement:
		e.ClassName, e.Entity = "Entity Management", ocsfManaged(a)
	}
	e.Severity, e.TypeName = severities[e.SeverityID], e.ClassName+": "+e.ActivityName
	return e, nil
}

// session fills in the session, which is the access of a request. The request's id stands for the engineer, whom events
// about access do not name; AccessRequested, with the same correlation_uid, does.
func (e *ocsfEvent) session(a *lockboxv1.Activity) {
	e.User, e.Session = &ocsfUser{UID: a.GetRequestId()}, &ocsfSession{UID: a.GetRequestId()}
	if end := a.GetEvent().GetAccessGranted().GetEndsAt(); end != nil {
		e.Session.Expires = end.AsTime().UnixMilli()
	}
	if e.Privileges = a.GetResourceIds(); len(e.Privileges) == 0 {
		e.Privileges = []string{"lockbox:request/" + a.GetRequestId()}
	}
}

// ocsfManaged returns the managed entity: the assignment if a role was changed, otherwise the aggregate.
func ocsfManaged(a *lockboxv1.Activity) *ocsfEntity {
	e := &ocsfEntity{Type: a.GetKind(), UID: a.GetAggregateId()}
	switch f := a.GetEvent().GetFact().(type) {
	case *lockboxv1.Event_RoleAssigned:
		e.Type, e.UID = roleAssignment, f.RoleAssigned.GetAssignment().GetId()
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

func ocsfPerson(p *lockboxv1.Person, employer string) *ocsfUser {
	if p == nil {
		return nil
	}
	u := &ocsfUser{Name: p.GetDisplayName(), UID: p.GetSubject(), Email: p.GetEmail(), Domain: p.GetIssuer()}
	if employer != "" {
		u.Org = &ocsfOrg{employer}
	}
	return u
}

// UnknownFactError means that this version does not know a fact. An export must not omit it, so it fails.
type UnknownFactError struct{ Type string }

func (e *UnknownFactError) Error() string {
	return "the fact " + e.Type + " is not known to this version, which must be upgraded"
}

// Entry returns an event read from the stream as an entry for export: in English, and with only what the event itself
// says.
func Entry(sequence uint64, e *lockboxv1.Event) *lockboxv1.Activity {
	return activity.In("en").Activity(sequence, e)
}
