package goldentest_test

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const dir = "../../proto/testdata/golden"

var add = flag.Bool("add", false, "write the bytes of what has only a .txtpb; existing bytes are never written again")

// neverSet are fields that no stored event holds: a token is nobody's business, what is sent beside an intent is not
// part of it, the first Global Administrator is one always and of no group, what is activated by a group is active, the
// reasons for which an assignment does not count or an approval lapses name nothing, only a person's own token says
// which human they are, no service closes a ticket, an address that is to be erased is not named, a signature is read
// from the bytes, whether details are erased is up to the key store, and nobody gives a reason in a statement about
// keys.
var neverSet = []string{
	"signature",
	"tenant_created.administrator.person.human", "role_assigned.assignment.person.human",
	"invitation_redeemed.person.human", "invitation_confirmed.assignment.person.human",
	"role_activated.assignment.person.human", "role_activated.assignment.eligible_only",
	"tenant_created.administrator.group", "invitation_confirmed.assignment.group",
	"tenant_created.invitation.eligible_only", "tenant_created.invitation.expires_at",
	"ticket_assigned.engineer.human", "ticket_reassigned.engineer.human",
	"sign_in_change_proposed.change.administrators.human",
	"customer_notified.excluded.person.human",
	"access_requested.intent.token", "access_requested.intent.dry_run", "access_requested.intent.signed_by",
	"access_requested.intent.signature", "access_requested.intent.signed", "tenant_created.administrator.eligible_only",
	"tenant_created.administrator.expires_at",
	"customer_notified.excluded.coded_reason.parameters", "customer_notified.excluded.coded_reason.parameters.name",
	"customer_notified.excluded.coded_reason.parameters.value", "access_lapsed.coded_reason.parameters",
	"access_lapsed.coded_reason.parameters.name", "access_lapsed.coded_reason.parameters.value",
	"access_revoked.coded_reason.parameters", "access_revoked.coded_reason.parameters.name",
	"access_revoked.coded_reason.parameters.value",
	"access_lapsed.ticket_closed_by.service", "access_revoked.ticket_closed_by.service",
	"erasure_proposed.targets.address.address", "erasure_decided.targets.address.address",
	"approvers_unavailable.coded_reason.parameters", "approvers_unavailable.coded_reason.parameters.name",
	"approvers_unavailable.coded_reason.parameters.value",
	"key_change_offered.change.comment_salt", "key_chain_began.genesis.comment_salt",
	"key_chain_changed.change.comment_salt",
}

func TestEveryFileIsReadAsItSays(t *testing.T) {
	for name, says := range texts(t) {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, name+".bin"))
			if errors.Is(err, fs.ErrNotExist) && *add {
				data = addBytes(t, name, says)
			} else if err != nil {
				t.Fatalf("%v (a new event type? go test ./pkg/goldentest -add)", err)
			}
			e, err := input.DecodeEvent(data)
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(e, says) {
				t.Errorf("the bytes say\n%s", prototext.Format(e))
			}
			if typ, _, _ := strings.Cut(name, "-"); aggregate.TypeOf(e) != typ {
				t.Errorf("it is a %s", aggregate.TypeOf(e))
			}
			if _, err := bus.EventSubject(e); err != nil {
				t.Errorf("it has no subject: %v", err)
			}
		})
	}
	for _, file := range glob(t, "*.bin") {
		if _, ok := texts(t)[file]; !ok {
			t.Errorf("nothing says what %s.bin is", file)
		}
	}
}

// control: nist:AU-2, nist:AU-3
func TestEveryEventTypeIsThereWithEveryField(t *testing.T) {
	set := map[string]bool{} // paths from the event
	for _, e := range texts(t) {
		mark(e.ProtoReflect(), "", set)
	}
	for path := range paths((*lockboxv1.Event)(nil).ProtoReflect().Descriptor(), "") {
		if set[path] == (slices.Contains(neverSet, path) || strings.HasSuffix(path, ".erased")) {
			t.Errorf("%s: set %t", path, set[path])
		}
	}
}

// addBytes writes the bytes of an event that has none yet.
func addBytes(t *testing.T, name string, e *lockboxv1.Event) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, name+".bin"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = file.Write(data); errors.Join(err, file.Close()) != nil {
		t.Fatal(err)
	}
	return data
}

// texts reads what each file says.
func texts(t *testing.T) map[string]*lockboxv1.Event {
	t.Helper()
	found := map[string]*lockboxv1.Event{}
	for _, name := range glob(t, "*.txtpb") {
		data, err := os.ReadFile(filepath.Join(dir, name+".txtpb"))
		if err != nil {
			t.Fatal(err)
		}
		e := new(lockboxv1.Event)
		if err := prototext.Unmarshal(data, e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found[name] = e
	}
	return found
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), filepath.Ext(f))
	}
	return files
}

// mark notes the path of every field that is set.
func mark(m protoreflect.Message, at string, set map[string]bool) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := at + string(fd.Name())
		set[path] = true
		switch {
		case fd.Message() == nil || external(fd):
		case fd.IsList():
			for i := range v.List().Len() {
				mark(v.List().Get(i).Message(), path+".", set)
			}
		default:
			mark(v.Message(), path+".", set)
		}
		return true
	})
}

// paths are all fields below a message.
func paths(m protoreflect.MessageDescriptor, at string) map[string]bool {
	found := map[string]bool{}
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		path := at + string(fd.Name())
		found[path] = true
		if fd.Message() != nil && !external(fd) {
			maps.Copy(found, paths(fd.Message(), path+"."))
		}
	}
	return found
}

// external reports whether a field holds somebody else's message: a time or a duration.
func external(fd protoreflect.FieldDescriptor) bool {
	return fd.Message().ParentFile().Package() != "lockbox.v1"
}

// customer is what every history below rests on: Contoso, its subscription, otto's role there, and the ticket.
var customer = []string{
	"TenantCreated", "SupportPlanChanged", "LockboxEnabled", "PreviewSignedUp", "PreviewSignedOff", "SettingsChanged",
	"SubscriptionRegistered", "RoleAssigned", "RoleActivated",
	"TicketOpened", "TicketAssigned", "TicketReassigned", "TicketCommented",
}

// asked is a request until the customer decides; answered, until they know more and were reminded.
var (
	asked = slices.Concat(customer, []string{"AccessRequested", "AccessEvaluated", "InternalApprovalGiven",
		"InternalApprovalGiven-second", "CustomerNotified"})
	answered = slices.Concat(asked, []string{"QuestionAsked", "QuestionAnswered", "ApprovalReminderDue"})
	granted  = slices.Concat(answered, []string{"CustomerApproved", "AccessGranted"})
)

// histories are every way that a request may go, told in files, with where each ends.
var histories = map[request.Status][]string{
	request.Completed: slices.Concat(granted,
		[]string{"AccessCompleted", "RoleDeactivated", "RoleRemoved", "LockboxDisabled"}),
	request.Revoked:   slices.Concat(granted, []string{"AccessRevoked"}),
	request.Released:  slices.Concat(granted, []string{"AccessReleased", "SettingsChanged-signed"}),
	request.Lapsed:    slices.Concat(answered, []string{"CustomerApproved", "AccessLapsed"}),
	request.Denied:    slices.Concat(answered, []string{"CustomerDenied"}),
	request.Expired:   slices.Concat(answered, []string{"ApproversUnavailable", "RequestExpired"}),
	request.Withdrawn: slices.Concat(answered, []string{"RequestWithdrawn"}),
	request.Refused:   slices.Concat(customer, []string{"AccessRequested", "AccessEvaluated-refused"}),
	request.Active: slices.Concat(customer,
		[]string{"AccessRequested", "AccessEvaluated-waived", "AccessGranted-waived"}),
	request.InternallyDenied: slices.Concat(customer,
		[]string{"AccessRequested", "AccessEvaluated", "InternalApprovalGiven", "InternalApprovalRefused"}),
	request.InternalExpired: slices.Concat(customer,
		[]string{"AccessRequested", "AccessEvaluated", "InternalApprovalGiven", "InternalApprovalExpired"}),
	request.CustomerNotified: slices.Concat([]string{"TenantCreated-jwks-url"}, asked[1:]),
	request.None: slices.Concat(customer,
		[]string{"ExposureDisclosed", "DisclosureTold", "LegalDemandDisclosed", "DisclosureTold-embargo"}),
	request.Approved: slices.Concat(customer,
		[]string{"AccessRequested-emergency", "AccessEvaluated-emergency", "InternalApprovalGiven-emergency"}),
	request.AwaitingInternalApproval: slices.Concat(customer, []string{
		"AccessRequested", "AccessEvaluated-timed", "InternalReminderDue", "InternalApprovalGiven-reminded",
		"InternalReminderDue-second",
	}),
}

// hooked is a customer who added a webhook, and removed it.
var hooked = map[request.Status][]string{
	request.None: slices.Concat(customer, []string{"WebhookAdded", "WebhookRemoved"}),
	// A customer who chose a time zone.
	request.Submitted: slices.Concat(customer,
		[]string{"AccessRequested", "SettingsChanged-deciders", "SettingsChanged-zone"}),
}

// variants are further ways to the same ends.
var variants = map[request.Status][]string{
	request.Refused: slices.Concat(customer,
		[]string{"RulesPublished", "CataloguePublished", "AccessRequested", "AccessEvaluated-missing"}),
	request.AwaitingInternalApproval: slices.Concat(customer, []string{"AccessRequested", "AccessEvaluated-ruled"}),
	request.Submitted: slices.Concat(customer,
		[]string{"AccessRequested", "AccessEvaluated-history", "SettingsChanged-fresh", "SettingsChanged-organisation"}),
	request.Active: slices.Concat(customer,
		[]string{"AccessRequested", "AccessEvaluated-changes", "AccessGranted-named", "SettingsChanged-deciders"}),
}

// coded are ways on which machines recorded their reasons as codes too.
var coded = map[request.Status][]string{
	request.Refused: slices.Concat(customer, []string{"AccessRequested", "AccessEvaluated-refused-coded"}),
	request.Lapsed: slices.Concat(customer, []string{
		"AccessRequested", "AccessEvaluated-coded", "InternalApprovalGiven", "InternalApprovalGiven-second",
		"CustomerNotified-coded",
		"QuestionAsked-portal", "QuestionAnswered", "ApprovalReminderDue", "CustomerApproved", "AccessLapsed-coded",
	}),
}

// owned are ways since it is recorded whose a subscription is.
var owned = map[request.Status][]string{
	request.None: slices.Concat(customer, []string{"OwnershipRecorded"}),
	request.Revoked: slices.Concat(customer, []string{"OwnershipRecorded-adopted"}, answered[len(customer):],
		[]string{"CustomerApproved", "AccessGranted-owned", "OwnershipTransferred", "SubscriptionGivenUp",
			"AccessRevoked-transferred"}),
	request.Lapsed: slices.Concat(answered, []string{"OwnershipContested", "CustomerApproved", "AccessLapsed-contested"}),
}

// inTerms is a way since an evaluation records how long the customer has to answer.
var inTerms = map[request.Status][]string{
	request.Denied: slices.Concat(customer, []string{
		"AccessRequested", "AccessEvaluated-answer", "InternalApprovalGiven", "InternalApprovalGiven-second",
		"CustomerNotified-coded", "QuestionAsked", "QuestionAnswered", "ApprovalReminderDue", "CustomerDenied",
	}),
}

// toldOf is a way since a grant names when the customer is told of what they were not asked about (R3).
var toldOf = map[request.Status][]string{
	request.Active: slices.Concat(customer,
		[]string{"AccessRequested", "AccessEvaluated-waived", "AccessGranted-reported"}),
}

// humans are ways since it is recorded which human acts (R51).
var humans = map[request.Status][]string{
	request.AwaitingInternalApproval: slices.Concat([]string{"TenantCreated-human"}, customer[1:],
		[]string{"AccessRequested", "AccessEvaluated", "InternalApprovalGiven-human"}),
	request.Expired: slices.Concat([]string{"TenantCreated-human"}, customer[1:], []string{"AccountIdentified",
		"AccessRequested", "AccessEvaluated", "InternalApprovalGiven", "InternalApprovalGiven-second",
		"CustomerNotified-human", "QuestionAsked", "QuestionAnswered", "ApprovalReminderDue",
		"ApproversUnavailable-human", "RequestExpired"}),
}

// claimed is a way since a tenant's issuer may name its claims otherwise (R13).
var claimed = map[request.Status][]string{
	request.None: slices.Concat([]string{"TenantCreated-claims"}, customer[1:]),
}

// limited is a way since a tenant's issuer may have limits and authorities of its own (R13).
var limited = map[request.Status][]string{
	request.None: {"TenantCreated-limits", "SignInChangeProposed-limits"},
}

// signIns is how a tenant's sign-in is corrected, and then changed by its own people or not at all (R65).
var signIns = map[request.Status][]string{
	request.None: {
		"TenantCreated-portal", "SignInChangeProposed", "SignInChangeConfirmed", "SignedIn",
		"SignInChangeProposed-customer", "SignInChangeStopped", "SignInChangeProposed-recovery",
		"SignInChangeConfirmed-recovery", "SignInChangeReminded", "SignedIn-stops", "SignInChangeProposed-alone",
		"SignInChanged", "FormerSignInEnded", "SignInChangeProposed-lapsing", "RoleRemoved-administrator",
		"SignInChangeStopped-lapsed",
	},
}

// invited is how a tenant comes to its first administrator and to an approver by invitation (R66).
var invited = map[request.Status][]string{
	request.None: {
		"TenantCreated-invited", "SignedIn-invited", "InvitationRedeemed-first", "RoleInvited", "RoleInvited-second",
		"InvitationRedeemed", "InvitationConfirmed", "SignedIn-holder", "InvitationEnded",
	},
}

// grouped is a way since roles are assigned to groups (R67).
var grouped = map[request.Status][]string{
	request.None: {
		"TenantCreated-groups", "SubscriptionRegistered", "RoleAssigned-group", "RoleActivated-group",
		"SignInChangeProposed-groups",
	},
}

// outlived is a way since the end of a role is told of (R33).
var outlived = map[request.Status][]string{
	request.None: {"TenantCreated-groups", "SubscriptionRegistered", "RoleAssigned", "RoleEnded"},
}

// referenced is a way since tickets have references (R11).
var referenced = map[request.Status][]string{
	request.Submitted: slices.Concat(customer[:9], []string{"TicketOpened-reference", "TicketAssigned-reference",
		"TicketReassigned-reference", "TicketCommented-reference", "TicketClosed", "TicketReopened",
		"AccessRequested-reference"}),
}

// ticketed are ways since access can end with its ticket, and the provider's ticket system opens tickets (R61).
var ticketed = map[request.Status][]string{
	request.Revoked: slices.Concat(customer, []string{"SettingsChanged-ticket", "AccessRequested",
		"AccessEvaluated-changes", "AccessGranted-ticket", "TicketClosed-bound", "AccessRevoked-ticket"}),
	request.Lapsed: slices.Concat(customer, []string{"SettingsChanged-ticket", "AccessRequested",
		"AccessEvaluated-changes", "TicketClosed-bound", "AccessLapsed-ticket"}),
	request.Refused: slices.Concat(customer, []string{"AccessRequested", "AccessEvaluated-ticket"}),
	request.None:    slices.Concat(customer[:9], []string{"TicketOpened-provider"}),
}

// demanded is a way since a third party's demand says that the customer may be told (R4).
var demanded = map[request.Status][]string{
	request.Submitted: slices.Concat(customer, []string{"AccessRequested-demand"}),
}

// certified is how writers come to sign what they store (R50); these files are signed themselves.
var certified = map[request.Status][]string{
	request.None: {"SigningBegan", "WriterCertified", "WriterRevoked"},
}

// erased are ways since details and texts can be erased (R63): by two security officers, by none because one declines,
// and by the customer's administrator.
var erased = map[request.Status][]string{
	request.None:      slices.Concat(customer, []string{"ErasureProposed", "ErasureDecided", "KeysDestroyed"}),
	request.Submitted: slices.Concat(customer, []string{"AccessRequested", "ErasureProposed", "ErasureDeclined"}),
	request.Denied: slices.Concat(answered,
		[]string{"CustomerDenied", "ErasureDecided-customer", "KeysDestroyed-customer"}),
}

// begun is how a customer comes to keys of its people, holding what they do with them (R42).
var (
	begun = slices.Concat(customer, []string{"KeyOffered", "KeyOffered-second", "KeyChangeOffered", "KeyChainBegan",
		"KeyOffered-approver", "KeyChainChanged", "KeysSighted"})
	holding = map[request.Status][]string{
		request.None:     begun,
		request.Approved: slices.Concat(begun, answered[len(customer):], []string{"CustomerApproved-signed"}),
	}
)

var everyHistory = []map[request.Status][]string{
	histories, variants, coded, owned, humans, claimed, limited, inTerms, toldOf, signIns, invited, referenced, demanded,
	hooked, grouped, outlived, certified, ticketed, erased, holding,
}

func TestEveryHistoryFolds(t *testing.T) {
	events, told := map[string]*lockboxv1.Event{}, map[string]bool{
		"NotificationSent": true, "NotificationFailed": true, "NotificationFailed-coded": true,
		"CheckpointSigned": true, "CheckpointSigned-format": true, "LogKeyChanged": true, "DifferenceFound": true,
		"StreamRestored":        true, // reports are not folded
		"DifferenceFound-stray": true, "MessageSetAside": true, "WaivedAccessReported": true, "SignatureRefused": true,
	}
	for _, name := range glob(t, "*.bin") {
		data, err := os.ReadFile(filepath.Join(dir, name+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		if events[name], err = input.DecodeEvent(data); err != nil {
			t.Fatal(err)
		}
	}
	check := func(end request.Status, files []string) {
		var history []invariant.Recorded
		for i, name := range files {
			if told[name] = true; events[name] == nil {
				t.Fatalf("there is no %s", name)
			}
			history = append(history, invariant.Recorded{Sequence: uint64(i) + 1, Event: events[name]})
		}
		if got := folded(t, history); got != end {
			t.Errorf("%v ends at %s, want %s", files, got, end)
		}
		if broken := invariant.Check(history); len(broken) > 0 {
			t.Errorf("%v: %v", files, broken)
		}
	}
	for _, all := range everyHistory {
		for end, files := range all {
			check(end, files)
		}
	}
	for name := range events {
		if !told[name] {
			t.Errorf("%s is in no history", name)
		}
	}
}

// An intent that a tool sends again is recognised by what an earlier version made of its content.
func TestTheSameIntentIsStillTheSame(t *testing.T) {
	e := texts(t)["AccessRequested"]
	s := request.Evolve(request.State{}, 1, e)
	was := e.GetAccessRequested()
	again, err := request.Receive(proto.CloneOf(was.GetIntent()), was.GetTool(), 0, e.GetTime().AsTime())
	if err != nil {
		t.Fatal(err)
	}
	again.By = e.GetActor()
	if e, _, err := request.Submit(s, again, request.DefaultTerms(), e.GetTime().AsTime()); e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
}

// folded says where the request of a history stands, and fails if anything in it finds a fault.
func folded(t *testing.T, history []invariant.Recorded) request.Status {
	t.Helper()
	states := repository.States{}
	var asked aggregate.Key
	for _, e := range history {
		if after := states.Add(e.Sequence, e.Event); after != nil && after.Folded().Fault != nil {
			t.Errorf("%+v", *after.Folded().Fault)
		}
		if key := aggregate.KeyOf(e.Event); key.Kind == aggregate.KindRequest {
			asked = key
		}
	}
	return states.Request(asked).Status
}
