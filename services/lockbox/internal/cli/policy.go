package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Check, simulate and publish JIT rules, explain decisions by them", `JIT rules are YAML with conditions in CEL. They refuse, allow or demand internal approvals; none can decide that a customer
is not asked. policy check and policy simulate try out a rule set before it is used.`, "",
		a.policyCheckCommand(), a.policyExplainCommand(), a.policySimulateCommand(), a.policyPublishCommand(),
		a.policyShowCommand())
}

// fileProblem is an error in a file, for JSON and YAML output.
type fileProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// checked is the result of `policy check`, for JSON and YAML output.
type checked struct {
	PolicyVersion string        `json:"policy_version"`
	Rules         int           `json:"rules"`
	Cases         int           `json:"cases"`
	Problems      []fileProblem `json:"problems"`
}

const (
	builtinRules = "built-in rules.yaml"
	builtinCases = "built-in rules_test.yaml"
	// largestFile exceeds the parser's limit, so that the parser reports a file that is too large.
	largestFile = 2 << 20
)

func (a *app) policyCheckCommand() *cobra.Command {
	var cases string
	c := &cobra.Command{
		Use: "check [FILE]", Short: "Compile a rule set and run the cases written beside it", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: ruleFiles,
		Long: `Says everything that is wrong with a rule set, each with file, line and column, and runs its cases: rules_test.yaml for
rules.yaml, unless --cases names another file. Without FILE it checks the rules that ship with Lockbox. It asks nobody. The
exit code is 3 if there is any problem.`,
		Example: `  lockbox policy check
  lockbox policy check deploy/config/rules.yaml
  lockbox policy check rules.yaml -o json | jq '.problems[]'`,
	}
	c.Flags().StringVar(&cases, "cases", "", "the `file` with the cases")
	c.RunE = func(c *cobra.Command, args []string) error {
		file := builtinRules
		if len(args) > 0 {
			file = args[0]
		}
		result, err := checkFiles(c, file, cases)
		if err != nil {
			return err
		}
		return a.reportChecked(file, result)
	}
	return c
}

// checkFiles checks a rule set and its test cases. The error is non-nil only if a file cannot be read.
func checkFiles(c *cobra.Command, file, cases string) (checked, error) {
	result := checked{Problems: []fileProblem{}}
	text, err := rulesText(c, file)
	if err != nil {
		return result, err
	}
	rules, err := policy.Parse(text)
	if err != nil {
		result.add(file, err)
		return result, nil
	}
	result.PolicyVersion, result.Rules = rules.Version(), len(rules.List())
	var written []byte
	switch {
	case cases != "":
		written, err = readFile(c, cases)
	case file == builtinRules:
		cases, written = builtinCases, policy.DefaultCases()
	default:
		cases = strings.TrimSuffix(strings.TrimSuffix(file, ".yaml"), ".yml") + "_test.yaml"
		if written, err = readFile(c, cases); errors.Is(err, fs.ErrNotExist) {
			return result, nil
		}
	}
	if err != nil {
		return result, err
	}
	result.Cases, err = rules.Check(written, catalogue.Default())
	result.add(cases, err)
	return result, nil
}

func (r *checked) add(file string, err error) {
	var problems policy.Problems
	errors.As(err, &problems)
	for _, p := range problems {
		r.Problems = append(r.Problems, fileProblem{file, p.Line, p.Column, p.Message})
	}
}

func rulesText(c *cobra.Command, file string) ([]byte, error) {
	if file == builtinRules {
		return policy.DefaultText(), nil
	}
	return readFile(c, file)
}

// readFile reads a file named by the user, up to largestFile.
func readFile(c *cobra.Command, name string) ([]byte, error) {
	f, err := os.Open(name) // #nosec G304 -- the file that was named
	if err != nil {
		return nil, usage(c, "%w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestFile))
	if err != nil {
		return nil, usage(c, "%w", err)
	}
	return data, nil
}

// reportChecked prints the result of a check, and returns an error if the check failed.
func (a *app) reportChecked(file string, r checked) error {
	p := page{
		func() (string, error) { return render.ValueJSON(r) },
		func(l render.Look) string {
			if len(r.Problems) == 0 && r.Cases == 0 {
				return render.Sentence(l, fmt.Sprintf("%s: %d rules compile; no cases are written beside them.", r.PolicyVersion,
					r.Rules))
			}
			if len(r.Problems) == 0 {
				return render.Sentence(l, fmt.Sprintf("%s: %d rules compile, and %d cases come out as they should.",
					r.PolicyVersion, r.Rules, r.Cases))
			}
			var b strings.Builder
			for _, p := range r.Problems {
				fmt.Fprintf(&b, "%s:%d:%d: %s\n", render.Clean(p.File), p.Line, p.Column, render.Clean(p.Message))
			}
			return b.String()
		},
	}
	if err := a.write(p); err != nil {
		return err
	}
	if n := len(r.Problems); n > 0 {
		return refusal.Invalid("rules", "R14", "%s: %d to be put right", file, n)
	}
	return nil
}

// explanation explains the evaluation of a request, for JSON and YAML output.
type explanation struct {
	Request          string          `json:"request_id"`
	Verdict          string          `json:"verdict"`
	PolicyVersion    string          `json:"policy_version"`
	CatalogueVersion string          `json:"catalogue_version"`
	Rules            []explainedRule `json:"rules"`
	// Evaluation is the complete evaluation as recorded.
	Evaluation json.RawMessage `json:"evaluation"`
}

type explainedRule struct {
	ID      string `json:"id"`
	Matched bool   `json:"matched"`
	Effect  string `json:"effect"`
	Reason  string `json:"reason"`
	// When is the rule's condition; empty if the rule set of that version is not available.
	When string `json:"when"`
}

func (a *app) policyExplainCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "explain REQUEST", Short: "Say why a request was evaluated as it was, rule by rule",
		Args: exactly("REQUEST"), ValidArgsFunction: a.requests(),
		Long: `Shows the rules that matched, with their reasons, and the facts that were weighed, as they were recorded. The rules that did
not match are shown too if the rule set of that very version is at hand: the one that ships with this program, or the one
that --rules names. Whoever may see the request may ask.`,
		Example: `  lockbox policy explain --as erin 0c1d2e3f4a5b
  lockbox policy explain 0c1d2e3f4a5b --rules rules.yaml -o json`,
	}
	c.Flags().StringVar(&file, "rules", "", "the `file` with the rule set of that time")
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		set := policy.Default()
		if file != "" {
			var err error
			if set, err = a.parseRules(s.command, file); err != nil {
				return err
			}
		}
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		if v.GetEvaluation() == nil {
			return refusal.Precondition("request", "R13", "it has not been evaluated yet")
		}
		var rules []policy.Rule
		if set.Version() == v.GetEvaluation().GetPolicyVersion() {
			rules = set.List()
		} else if file != "" {
			return refusal.Invalid("rules", "R14", "%s is %s, and the request was evaluated by %s", file, set.Version(),
				v.GetEvaluation().GetPolicyVersion())
		}
		return a.write(page{
			func() (string, error) {
				e, err := explain(v, rules)
				if err != nil {
					return "", err
				}
				return render.ValueJSON(e)
			},
			func(l render.Look) string { return render.Explanation(l, v, rules) },
		})
	})
	return c
}

func explain(v *lockboxv1.RequestView, rules []policy.Rule) (explanation, error) {
	e := v.GetEvaluation()
	x := explanation{
		Request: v.GetRequestId(), Verdict: policy.Verdict(e), PolicyVersion: e.GetPolicyVersion(),
		CatalogueVersion: e.GetCatalogueVersion(),
		Rules:            []explainedRule{},
	}
	of := func(m *lockboxv1.MatchedRule) explainedRule {
		return explainedRule{ID: m.GetId(), Matched: true, Effect: m.GetEffect().String(), Reason: m.GetReason()}
	}
	if rules == nil {
		for _, m := range e.GetRules() {
			x.Rules = append(x.Rules, of(m))
		}
	}
	for _, rule := range rules {
		one := explainedRule{ID: rule.ID, Effect: rule.Effect.String(), Reason: rule.Reason}
		if i := slices.IndexFunc(e.GetRules(), func(m *lockboxv1.MatchedRule) bool { return m.GetId() == rule.ID }); i >= 0 {
			one = of(e.GetRules()[i])
		}
		one.When = rule.When
		x.Rules = append(x.Rules, one)
	}
	var err error
	x.Evaluation, err = render.RecordJSON(e)
	return x, err
}

// parseRules parses a rule set that another command needs; errors are reported as by `policy check`.
func (a *app) parseRules(c *cobra.Command, file string) (*policy.Rules, error) {
	text, err := readFile(c, file)
	if err != nil {
		return nil, err
	}
	rules, err := policy.Parse(text)
	if err != nil {
		result := checked{}
		result.add(file, err)
		return nil, a.reportChecked(file, result)
	}
	return rules, nil
}
