package policy

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

//go:embed rules.yaml
var builtin []byte

//go:embed rules_test.yaml
var builtinCases []byte

// Rules is one version of the rule set, compiled. It is immutable.
type Rules struct {
	version string
	list    []Rule
	adapter types.Adapter
}

// Rule is one rule as written.
type Rule struct {
	ID string
	// When is its condition, in CEL.
	When   string
	Effect lockboxv1.RuleEffect
	// Reason is one sentence, shown to the requester and the customer.
	Reason string
	// Field and Message are those of the refusal that the requester gets.
	Field, Message string
	// Stages are the internal approvals that the rule requires, in order. A stage without answer_within has the provider's
	// default time.
	Stages []*lockboxv1.InternalStage

	program cel.Program
}

// Default is the rule set that ships with Lockbox.
func Default() *Rules {
	r, err := Parse(builtin)
	if err != nil {
		panic(fmt.Sprintf("the built-in rules are broken: %v", err)) // a test proves that they are not
	}
	return r
}

// DefaultText returns the source text of the default rule set.
func DefaultText() []byte { return slices.Clone(builtin) }

// DefaultCases returns the test cases of the default rule set.
func DefaultCases() []byte { return slices.Clone(builtinCases) }

// Version returns the set's name, a plus sign, and the first 16 hexadecimal digits of the SHA-256 of its text: two
// texts never share a version.
func (r *Rules) Version() string { return r.version }

// List returns all rules in order.
func (r *Rules) List() []Rule { return slices.Clone(r.list) }

const (
	// costLimit is the maximum cost of one condition, in CEL's cost units: a comparison costs one or two. It is far more
	// than a rule needs, and too little to be noticeable.
	costLimit = 10_000
	// maxRules is the maximum number of rules; times costLimit, it bounds the cost of a whole evaluation.
	maxRules = 200
	// maxCondition is the maximum length of a condition, in characters.
	maxCondition = 4000
)

// newEnvironment declares the variables and functions of conditions. It contains no clock and no randomness.
func newEnvironment() (*cel.Env, error) {
	object := func(name string, m proto.Message) cel.EnvOption {
		return cel.Variable(name, cel.ObjectType(string(m.ProtoReflect().Descriptor().FullName())))
	}
	return cel.NewEnv(
		cel.Container("lockbox.v1"),
		cel.Types(&lockboxv1.AccessIntent{}, &lockboxv1.Actor{}, &lockboxv1.ResourceFacts{}, &lockboxv1.TenantFacts{},
			&lockboxv1.EngineerHistory{}),
		object("intent", &lockboxv1.AccessIntent{}),
		object("identity", &lockboxv1.Actor{}),
		object("resource", &lockboxv1.ResourceFacts{}),
		object("tenant", &lockboxv1.TenantFacts{}),
		object("history", &lockboxv1.EngineerHistory{}),
		cel.Variable("now", cel.TimestampType),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ParserRecursionLimit(50),
		cel.ExtendedValidations(),
	)
}

// weighed holds the variables of one evaluation: each fact is converted to a CEL value once, for all rules.
type weighed struct {
	intent, identity, resource, tenant, now ref.Val
	// history is nil if it is not known.
	history ref.Val
}

// ResolveName and Parent implement cel.Activation.
func (w *weighed) ResolveName(name string) (any, bool) {
	switch name {
	case "intent":
		return w.intent, true
	case "identity":
		return w.identity, true
	case "resource":
		return w.resource, true
	case "tenant":
		return w.tenant, true
	case "history":
		return w.history, w.history != nil // a condition that refers to an unknown history fails
	case "now":
		return w.now, true
	}
	return nil, false
}

// Parent returns nil: there are no other variables.
func (*weighed) Parent() cel.Activation { return nil }

func (r *Rules) weigh(s subject, resource *lockboxv1.ResourceFacts, now time.Time) *weighed {
	value := func(m proto.Message) ref.Val { return r.adapter.NativeToValue(m) }
	w := &weighed{
		intent: value(s.intent), identity: value(s.by), resource: value(resource), tenant: value(s.tenant),
		now: types.Timestamp{Time: now.UTC()},
	}
	if s.history != nil {
		w.history = value(s.history)
	}
	return w
}

// holds evaluates a rule's condition. An error must not be taken for false (I11).
func (r *Rule) holds(w *weighed) (bool, error) {
	out, _, err := r.program.Eval(w)
	if err != nil {
		return false, err
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("comes to %v", out.Type())
	}
	return yes, nil
}
