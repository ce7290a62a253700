package stack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
	"google.golang.org/protobuf/proto"
)

const (
	payGroup = "/subscriptions/" + demo.BankProduction + "/resourceGroups/payments/providers/"
	ledger   = payGroup + "Microsoft.Storage/storageAccounts/ledger"
)

// An engineer asks for the health of a machine, of which the customer is not asked, and means something else by it.
//
// control: nist:AC-6
func TestR49NothingElseIsReachedInTheNameOfAMachine(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	machines := payGroup + "Microsoft.Compute/virtualMachines/"
	health := func(ids ...string) *lockboxv1.AccessIntent {
		in := l.intent("erin")
		in.Scenario, in.ResourceIds = "platform-health", ids
		return in
	}
	// What is no id of anything is not even a request.
	for name, id := range map[string]string{
		"every machine":               machines + "*",
		"everything of the group":     "/subscriptions/" + demo.BankProduction + "/resourceGroups/payments/*",
		"Cyrillic letters":            machines + "раyments-1",
		"one Cyrillic letter":         machines + "payment\u0455-1",
		"full-width letters":          machines + "ｐayments-1",
		"a zero-width space":          machines + "pay\u200bments-1",
		"a right-to-left mark":        machines + "payments-1\u200f",
		"a right-to-left override":    machines + "\u202e1-stnemyap",
		"percent-encoding":            machines + "payments%2d1",
		"a way round, coded":          machines + "payments-1/%2e%2e/%2e%2e/x",
		"a way round":                 machines + "../../Microsoft.Storage/storageAccounts/ledger",
		"a way round by backslashes":  machines + `..\..\Microsoft.Storage\storageAccounts\ledger`,
		"a trailing dot":              machines + "payments-1.",
		"a trailing space":            machines + "payments-1 ",
		"two slashes":                 payGroup + "/Microsoft.Compute/virtualMachines/payments-1",
		"two slashes at the end":      machines + "payments-1//",
		"a query":                     machines + "payments-1?x=1",
		"a fragment":                  machines + "payments-1#x",
		"something that looks like /": machines + "a\u2215b",
		"another subscription":        demo.Machine(demo.BankTest, "payments-1"),
		"too long":                    machines + strings.Repeat("a", resource.MaxLength),
	} {
		before := l.decided()
		o := l.submit(health(demo.Machine(demo.BankProduction, "payments-1"), id))
		if r := o.GetRefusal(); r.GetCode() != invalid || r.GetField() != "resource_ids" || r.GetMessage() == "" {
			t.Errorf("%s: %v", name, o)
		}
		if after := l.decided(); after != before {
			t.Errorf("%s: something was decided after %d, at %d", name, before, after)
		}
	}
	// What is the id of something else is a request, which is refused.
	for name, id := range map[string]string{
		"a storage account":               ledger,
		"by way of a machine":             machines + "payments-1/providers/Microsoft.Storage/storageAccounts/ledger",
		"a machine called providers":      machines + "providers/Microsoft.Storage/storageAccounts/ledger",
		"another provider's machines":     payGroup + "Evil.Compute/virtualMachines/payments-1",
		"a disk":                          payGroup + "Microsoft.Compute/disks/payments-1",
		"the list of machines":            strings.TrimSuffix(machines, "/"),
		"the group":                       "/subscriptions/" + demo.BankProduction + "/resourceGroups/payments",
		"the subscription":                "/subscriptions/" + demo.BankProduction,
		"what Azure does not call so":     "/subscriptions/" + demo.BankProduction + "/virtualMachines/payments-1",
		"the storage account, in capital": strings.ToUpper(ledger),
	} {
		in := health(demo.Machine(demo.BankProduction, "payments-1"), id)
		l.requested(in, request.Refused)
		s := l.state(in.GetId())
		if r := s.Evaluation.GetRefusal(); r.GetRule() != "R49" || !strings.Contains(r.GetMessage(), id) ||
			!strings.Contains(r.GetMessage(), "Microsoft.Compute/virtualMachines/*") {
			t.Errorf("%s: %v", name, r)
		}
	}
	// The machine itself, in whatever letters, is let through, and shown as it was written.
	in := health(strings.ToUpper(demo.Machine(demo.BankProduction, "payments-1")) + "/")
	l.requested(in, request.Active)
	g := l.state(in.GetId()).Grant
	if !slices.Equal(g.GetResourceIds(), in.GetResourceIds()) || g.GetScenario() != "platform-health" ||
		g.GetResourceType() != "compute/virtual-machines" || g.GetMode() != lockboxv1.AccessMode_ACCESS_MODE_READ {
		t.Errorf("%v", g)
	}
}

// Whoever holds the evaluator's key waives the customer for something else in the name of a machine. Access does not
// begin: the orchestrator asks the catalogue about the resources, and it knows nothing of them.
//
// control: nist:AC-6
func TestR49AForgedWaiverReachesOnlyWhatItsScenarioNames(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	nc, err := l.stack.Connect(bus.Evaluator)
	must(t, err)
	defer nc.Close()
	i := &insider{lockbox: l, nc: nc}
	in := l.intent("erin")
	in.Scenario = "platform-health"
	honest := l.history(journal.Replay{Tenant: bank, Kind: aggregate.KindRequest, ID: l.requested(in, request.Active)})
	for name, row := range map[string]struct {
		ids  []string
		ends request.Status
	}{
		"the machine":                        {in.GetResourceIds(), request.Active},
		"a storage account":                  {[]string{ledger}, request.Lapsed},
		"a storage account beside a machine": {append(slices.Clone(in.GetResourceIds()), ledger), request.Lapsed},
		"every machine":                      {[]string{payGroup + "Microsoft.Compute/virtualMachines/*"}, request.Lapsed},
	} {
		id := newID(t)
		first, second := proto.CloneOf(honest[0].Event), proto.CloneOf(honest[1].Event)
		forged := first.GetAccessRequested().GetIntent()
		forged.Id, forged.ResourceIds = id, row.ids
		i.writes(id, first)
		second.CausationId = first.GetId()
		i.writes(id, second)
		if s := l.reaches(id, row.ends); row.ends == request.Lapsed &&
			s.CodedEndReason.GetCode() != lockboxv1.ReasonCode_REASON_CODE_CUSTOMER_DATA_NOT_EXCLUDED {
			t.Errorf("%s: %v", name, s.CodedEndReason)
		}
	}
}

func TestR49IdsOfTheGreatestLengthReachTheApprovers(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	in := l.intent("erin")
	for n := range in.GetResourceIds() {
		long := demo.Machine(demo.BankProduction, strings.Repeat("x", n+1))
		in.ResourceIds[n] = long + strings.Repeat("y", resource.MaxLength-len(long))
	}
	id := l.requested(in, request.CustomerNotified)
	l.mailed(id, "approval-requested", "otto@")
	mails, err := mailbox.Read(l.stack.MailboxDir())
	must(t, err)
	shown := slices.ContainsFunc(mails, func(m mailbox.Message) bool {
		text := strings.Join(strings.Fields(m.Text), "") // lines are wrapped
		return strings.Contains(m.Text, id) && !slices.ContainsFunc(in.GetResourceIds(),
			func(want string) bool { return !strings.Contains(text, want) })
	})
	if !shown {
		t.Error("no mail has the whole ids")
	}
	yes := approve(id)
	yes.GetApprove().ResourceIds = []string{strings.ToUpper(in.GetResourceIds()[1])}
	l.does("otto", yes)
	if g := l.reaches(id, request.Active).Grant; !slices.Equal(g.GetResourceIds(), in.GetResourceIds()[1:]) {
		t.Errorf("%v", g)
	}
}

// A customer signs up for previews that there are, and is never told that it decides where it is not asked (R8).
func TestR8ACustomerSignsUpForPreviewsOnly(t *testing.T) {
	t.Parallel()
	l := start(t, request.DefaultTerms())
	signUp := func(resourceType string) *lockboxv1.Command {
		return &lockboxv1.Command{Action: &lockboxv1.Command_SignUpPreview{
			SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: resourceType}}}
	}
	for resourceType, why := range map[string]string{
		"machine-learning/workspace":  `did you mean "machine-learning/workspaces"`, // a typing error
		"compute/virtual-machines":    "generally available",
		"Machine-Learning/Workspaces": "no such resource type",
	} {
		if r := l.mayNot("grace", signUp(resourceType), invalid, "R8"); !strings.Contains(r.GetMessage(), why) {
			t.Errorf("%s: %v", resourceType, r)
		}
	}
	l.does("grace", signUp("machine-learning/workspaces"))
}
