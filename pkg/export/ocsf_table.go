package export

// The two classes, both of the category Identity & Access Management.
const (
	ocsfCategory     = 3
	entityManagement = 3004
	userAccess       = 3005
)

// deed is an activity of a class, and whether it came about.
type deed struct {
	class, id int
	name      string
	failed    bool
}

var (
	creates     = deed{entityManagement, 1, "Create", false}
	updates     = deed{entityManagement, 3, "Update", false}
	deletes     = deed{entityManagement, 4, "Delete", false}
	enrolls     = deed{entityManagement, 6, "Enroll", false}
	unenrolls   = deed{entityManagement, 7, "Unenroll", false}
	enables     = deed{entityManagement, 8, "Enable", false}
	disables    = deed{entityManagement, 9, "Disable", false}
	activates   = deed{entityManagement, 10, "Activate", false}
	deactivates = deed{entityManagement, 11, "Deactivate", false}
	assigns     = deed{userAccess, 1, "Assign Privileges", false}
	revokes     = deed{userAccess, 2, "Revoke Privileges", false}
	// withholds is what a denial is to the engineer: privileges were asked for and not assigned.
	withholds = deed{userAccess, 1, "Assign Privileges", true}
)

// severity is an OCSF severity id.
type severity int

const (
	informational severity = 1
	low           severity = 2
	medium        severity = 3
	high          severity = 4
	critical      severity = 5
)

var severities = map[severity]string{
	informational: "Informational", low: "Low", medium: "Medium", high: "High", critical: "Critical",
}

// ocsfTable maps each fact to its class and activity in OCSF. A fact that is missing here cannot be exported; a test
// checks that none is.
var ocsfTable = map[string]struct {
	deed
	severity
}{
	"AccessRequested":         {creates, informational},
	"AccessEvaluated":         {updates, informational},
	"InternalApprovalGiven":   {updates, informational},
	"InternalApprovalRefused": {withholds, low},
	"InternalApprovalExpired": {withholds, low},
	"InternalReminderDue":     {updates, informational},
	"CustomerNotified":        {updates, informational},
	"ApprovalReminderDue":     {updates, informational},
	"ApproversUnavailable":    {updates, medium},
	"QuestionAsked":           {updates, informational},
	"QuestionAnswered":        {updates, informational},
	"CustomerApproved":        {updates, low},
	"CustomerDenied":          {withholds, medium},
	"RequestExpired":          {withholds, low},
	"RequestWithdrawn":        {updates, informational},

	"AccessGranted":   {assigns, low},
	"AccessLapsed":    {withholds, medium},
	"AccessRevoked":   {revokes, medium},
	"AccessReleased":  {revokes, informational},
	"AccessCompleted": {revokes, informational},

	"TenantCreated":          {creates, informational},
	"SupportPlanChanged":     {updates, informational},
	"LockboxEnabled":         {enables, informational},
	"LockboxDisabled":        {disables, high},
	"PreviewSignedUp":        {enrolls, informational},
	"PreviewSignedOff":       {unenrolls, informational},
	"AccountIdentified":      {updates, informational},
	"SignInChangeProposed":   {creates, high},
	"SignInChangeConfirmed":  {updates, high},
	"SignInChangeStopped":    {deletes, medium},
	"SignInChangeReminded":   {updates, medium},
	"SignInChanged":          {updates, high},
	"FormerSignInEnded":      {deletes, medium},
	"SignedIn":               {creates, informational},
	"WebhookAdded":           {creates, medium},
	"WebhookRemoved":         {deletes, medium},
	"SettingsChanged":        {updates, low},
	"SubscriptionRegistered": {creates, informational},
	"SubscriptionGivenUp":    {deletes, low},
	"OwnershipRecorded":      {creates, informational},
	"OwnershipContested":     {creates, high},
	"OwnershipTransferred":   {updates, medium},
	"RoleAssigned":           {creates, low},
	"RoleRemoved":            {deletes, low},
	"RoleEnded":              {deletes, low},
	"RoleActivated":          {activates, low},
	"RoleDeactivated":        {deactivates, informational},
	"RoleInvited":            {creates, low},
	"InvitationRedeemed":     {updates, low},
	"InvitationConfirmed":    {creates, low},
	"InvitationEnded":        {deletes, low},

	"TicketOpened":     {creates, informational},
	"TicketAssigned":   {updates, informational},
	"TicketReassigned": {updates, informational},
	"TicketCommented":  {updates, informational},
	"TicketClosed":     {updates, informational},
	"TicketReopened":   {updates, informational},

	"RulesPublished":     {updates, medium},
	"CataloguePublished": {updates, medium},
	"SigningBegan":       {activates, high},
	"WriterCertified":    {creates, high},
	"WriterRevoked":      {deletes, high},

	"ErasureProposed": {creates, high},
	"ErasureDecided":  {updates, high},
	"ErasureDeclined": {updates, medium},
	"KeysDestroyed":   {updates, high},

	"KeyOffered":       {creates, medium},
	"KeyChangeOffered": {updates, medium},
	"KeyChainBegan":    {creates, high},
	"KeyChainChanged":  {updates, high},
	"KeysSighted":      {updates, informational},
	"SignatureRefused": {updates, high},

	"ExposureDisclosed":    {creates, high},
	"LegalDemandDisclosed": {creates, medium},
	"DisclosureTold":       {updates, informational},
	"WaivedAccessReported": {creates, low},

	"NotificationSent":   {creates, informational},
	"NotificationFailed": {creates, medium},

	"CheckpointSigned": {creates, informational},
	"LogKeyChanged":    {updates, informational},
	"DifferenceFound":  {creates, critical},
	"StreamRestored":   {updates, critical},
	"MessageSetAside":  {updates, high},
}
