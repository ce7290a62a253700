package request

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	maxResources = 50
	// maxIntentAge is how long an intent may wait for its evaluation: its token is verified as of the time at which the
	// bus stored it.
	maxIntentAge = 24 * time.Hour
	// maxAnswer is the longest time that the customer may have to answer.
	maxAnswer = 30 * 24 * time.Hour
)

// Terms are the provider's time limits. They are configuration. Every deadline derived from them is recorded in an
// event, so changing the terms never affects running requests.
type Terms struct {
	// InternalApproval is the time for all internal approvals together (R15).
	InternalApproval time.Duration `yaml:"internal_approval"`
	// CustomerApproval is the time for the customer's decision (R26).
	CustomerApproval time.Duration `yaml:"customer_approval"`
	// Grant is the maximum duration of access, and the default (R27).
	Grant time.Duration `yaml:"grant"`
	// EmergencyGrant is the same for emergency access; 0 disables emergency access (R43).
	EmergencyGrant time.Duration `yaml:"emergency_grant"`
	// RemindBefore lists how long before their deadline approvers are reminded (R33).
	RemindBefore []time.Duration `yaml:"remind_before"`
	// WaivedReport is how often a customer is told which access began without asking them (R3). It divides a day, and
	// a day begins at midnight in UTC.
	WaivedReport time.Duration `yaml:"waived_report"`
}

// DefaultTerms returns the terms of the requirements: four days for the customer's decision, eight hours of access.
func DefaultTerms() Terms {
	return Terms{
		InternalApproval: 24 * time.Hour, CustomerApproval: 96 * time.Hour, Grant: 8 * time.Hour, EmergencyGrant: time.Hour,
		RemindBefore: []time.Duration{24 * time.Hour, 4 * time.Hour}, WaivedReport: day,
	}
}

// Check refuses terms that give the customer no time to answer, or more than 30 days, or that do not tell them within a
// day what they were not asked about.
func (t Terms) Check() error {
	if t.CustomerApproval <= 0 || t.CustomerApproval > maxAnswer {
		return refusal.Invalid("terms.customer_approval", "configuration", "must be positive and at most %s", maxAnswer)
	}
	if t.WaivedReport < time.Second || day%t.WaivedReport != 0 {
		return refusal.Invalid("terms.waived_report", "configuration", "must divide a day, and be a second at least")
	}
	return nil
}

// Longest returns the maximum duration of access for an intent (R27, R43).
func (t Terms) Longest(in *lockboxv1.AccessIntent) time.Duration {
	if in.GetEmergency() {
		return min(t.Grant, t.EmergencyGrant)
	}
	return t.Grant
}

// Reminders returns RemindBefore as an evaluation records it: without duplicates, the longest first.
func (t Terms) Reminders() []*durationpb.Duration {
	before := slices.Clone(t.RemindBefore)
	slices.Sort(before)
	var list []*durationpb.Duration
	for _, d := range slices.Backward(slices.Compact(before)) {
		if d > 0 {
			list = append(list, durationpb.New(d))
		}
	}
	return list
}

// Submission is an intent with what the bus and the token attest.
type Submission struct {
	// Intent has normal prose; received is the hash of what came.
	Intent   *lockboxv1.AccessIntent
	received []byte
	// Tool published the intent; Sequence is its sequence in INTENTS, and Stored the time at which the bus stored it.
	Tool     string
	Sequence uint64
	Stored   time.Time
	// TicketID is the id of the ticket that the intent names, whether there is one or not; empty if it names none.
	TicketID string
	// DryRun means that nothing is recorded.
	DryRun bool
	// By is the engineer, from the intent's verified token.
	By *lockboxv1.Actor
}

// Receive returns the submission of an intent, whose prose it normalizes in place.
func Receive(in *lockboxv1.AccessIntent, tool string, sequence uint64, stored time.Time) (Submission, error) {
	dryRun := in.GetDryRun()
	in.DryRun = false
	hash, err := contentHash(in)
	prose.Message(in)
	return Submission{Intent: in, received: hash, Tool: tool, Sequence: sequence, Stored: stored, DryRun: dryRun}, err
}

// Submit creates a request. It returns neither event nor error if this intent is already recorded, whether its prose
// came as it did the first time or reads the same; it refuses (CONFLICT) another intent with the same id. It returns
// the state after it, too (aggregate.EndWith).
func Submit(s State, in Submission, terms Terms, now time.Time) (e *lockboxv1.Event, after State, err error) {
	if err := CheckIntent(in.Intent, terms); err != nil {
		return nil, s, err
	}
	if !aggregate.Provider(in.By) {
		return nil, s, refusal.Forbidden("token", "R5", "access is requested by one of the provider's people")
	}
	content := proto.CloneOf(in.Intent)
	content.Token = ""
	if s.Version > 0 {
		again := bytes.Equal(in.received, s.IntentSHA256) || proto.Equal(content, s.Intent)
		if again && same(in.By, s.Requester) && in.Tool == s.Tool { // what becomes of it is that tool's to know (R68)
			return nil, s, nil
		}
		return nil, s, refusal.Conflict("id", "bad input", "this id was used for another intent")
	}
	if age := now.Sub(in.Stored); age > maxIntentAge {
		return nil, s, refusal.Precondition("id", "R13",
			"was published %s ago, and whoever it is from was verified as of then; publish it anew", age.Round(time.Minute))
	}
	h := aggregate.History{Tenant: content.GetTenant(), Kind: aggregate.KindRequest, ID: content.GetId()}
	e = h.Follow(in.By, content.GetId(), now)
	e.CorrelationId, e.TraceParent = content.GetId(), content.GetTraceParent()
	e.Fact = &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{
		Intent: content, IntentSha256: in.received, Tool: in.Tool, IntentSequence: in.Sequence, TicketId: in.TicketID,
	}}
	return aggregate.EndWith(s, e, Evolve)
}

// RecordEvaluation records the result of just-in-time evaluation. It returns neither event nor error if one is already
// recorded; and the state after it (aggregate.EndWith).
func RecordEvaluation(
	s State, v *lockboxv1.AccessEvaluated, by *lockboxv1.Actor, now time.Time,
) (e *lockboxv1.Event, after State, err error) {
	if s.Evaluation != nil || Ended(s.Status) {
		return nil, s, nil
	}
	e = follow(s, by, s.ID, now)
	e.Fact = &lockboxv1.Event_AccessEvaluated{AccessEvaluated: v}
	return aggregate.EndWith(s, e, Evolve)
}

// IntentFaults returns everything that is wrong with an intent's fields whatever the provider's terms are, so that
// whoever writes one can correct it at once.
func IntentFaults(in *lockboxv1.AccessIntent) []error {
	return slices.DeleteFunc([]error{
		input.UUIDv7("id", in.GetId()),
		input.Tenant("tenant", in.GetTenant()),
		prose.CheckLine("resource_type", in.GetResourceType(), 1, 120),
		prose.CheckLine("scenario", in.GetScenario(), 1, 120),
		prose.Check("justification", in.GetJustification(), 10, 4000),
		prose.CheckLine("trace_parent", in.GetTraceParent(), 0, 128),
		checkReason(in),
		checkResources(in),
	}, func(err error) bool { return err == nil })
}

// CheckIntent refuses an intent whose fields are invalid, before any evaluation.
func CheckIntent(in *lockboxv1.AccessIntent, terms Terms) error {
	if faults := IntentFaults(in); len(faults) > 0 {
		return faults[0]
	}
	if err := checkEmergency(in, terms); err != nil {
		return err
	}
	if in.GetDuration() == nil {
		return nil
	}
	rule := "R27"
	if in.GetEmergency() {
		rule = "R43"
	}
	if d := in.GetDuration().AsDuration(); !in.GetDuration().IsValid() || d < time.Second || d > terms.Longest(in) {
		return refusal.Invalid("duration", rule, "must be between one second and %s", terms.Longest(in))
	}
	return nil
}

// checkEmergency refuses an emergency whose reason type cannot be one, such as customer-initiated support, and any
// emergency if the terms allow none.
func checkEmergency(in *lockboxv1.AccessIntent, terms Terms) error {
	switch {
	case !in.GetEmergency():
		return nil
	case !mayBeUrgent(in.GetReasonType()):
		return refusal.Invalid("reason_type", "R43",
			"an emergency is a response to a production alert, or service that the provider initiates")
	case terms.Longest(in) < time.Second:
		return refusal.Precondition("emergency", "R43", "this provider grants no emergency access")
	}
	return nil
}

func checkReason(in *lockboxv1.AccessIntent) error {
	r := in.GetReasonType()
	if _, known := lockboxv1.ReasonType_name[int32(r)]; !known || r == lockboxv1.ReasonType_REASON_TYPE_UNSPECIFIED {
		return refusal.Invalid("reason_type", "R4", "must be one of the five reason types")
	}
	if r == lockboxv1.ReasonType_REASON_TYPE_THIRD_PARTY_DATA_REQUEST && !in.GetCustomerMayBeTold() {
		return refusal.Invalid("customer_may_be_told", "R4",
			"this intent tells the customer of the demand at once; say that they may be told, or have a security officer disclose "+
				"it after its embargo (lockbox disclose legal-demand)")
	}
	if in.GetTicketId() == "" {
		if r == lockboxv1.ReasonType_REASON_TYPE_CUSTOMER_INITIATED_SUPPORT {
			return refusal.Invalid("ticket_id", "R4", "customer-initiated support names the customer's ticket")
		}
		return nil
	}
	return aggregate.CheckReference("ticket_id", in.GetTicketId())
}

func checkResources(in *lockboxv1.AccessIntent) error {
	if id := in.GetSubscriptionId(); id != "" {
		if err := input.Token("subscription_id", id); err != nil {
			return err
		}
	}
	root := resource.Root(in.GetTenant(), in.GetSubscriptionId())
	ids := in.GetResourceIds()
	if len(ids) < 1 || len(ids) > maxResources {
		return refusal.Invalid("resource_ids", "R18", "1 to %d resources are named", maxResources)
	}
	named := make(map[string]bool, len(ids))
	for _, id := range ids {
		if err := resource.Check("resource_ids", id); err != nil {
			return err
		}
		if !resource.Within(root, id) {
			return refusal.Invalid("resource_ids", "R18", "must be %s or a path below it", root)
		}
		if named[resource.Canonical(id)] {
			return refusal.Invalid("resource_ids", "R18", "each resource is named once")
		}
		named[resource.Canonical(id)] = true
	}
	return nil
}

// contentHash returns the SHA-256 of an intent without its token.
func contentHash(in *lockboxv1.AccessIntent) ([]byte, error) {
	in = proto.CloneOf(in)
	in.Token = ""
	canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		return nil, refusal.Invalid("message", "bad input", "cannot be written")
	}
	sum := sha256.Sum256(canonical)
	return sum[:], nil
}

func follow(s State, by *lockboxv1.Actor, causationID string, now time.Time) *lockboxv1.Event {
	e := s.Follow(by, causationID, now)
	e.CorrelationId, e.TraceParent = s.ID, s.Intent.GetTraceParent()
	return e
}
