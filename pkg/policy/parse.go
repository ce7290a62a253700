package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/internal/strict"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Problem is an error in a file, with its position. Lines and columns count from 1; columns are in characters.
type Problem struct {
	Line, Column int
	Message      string
}

// Problems are all errors in a file, in order of position.
type Problems []Problem //nolint:errname // a list of problems; the word says it

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = fmt.Sprintf("%d:%d: %s", one.Line, one.Column, one.Message)
	}
	return strings.Join(lines, "\n")
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,31}$`)
	idForm   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	// lineOf finds the line number in an error of the YAML parser.
	lineOf = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

	effects = map[string]lockboxv1.RuleEffect{
		"refuse":                    lockboxv1.RuleEffect_RULE_EFFECT_REFUSE,
		"allow":                     lockboxv1.RuleEffect_RULE_EFFECT_ALLOW,
		"require_internal_approval": lockboxv1.RuleEffect_RULE_EFFECT_REQUIRE_INTERNAL_APPROVAL,
	}
)

const (
	maxID     = 64
	maxText   = 300
	maxStages = 10
	maxCount  = 10
	maxAnswer = 30 * 24 * time.Hour
)

// Parse reads a rule set in the format of rules.yaml and compiles it. The error is a Problems that lists all errors.
func Parse(text []byte) (*Rules, error) {
	f, root := newFile(text)
	if root == nil {
		return nil, f.problems
	}
	env, err := newEnvironment()
	if err != nil {
		return nil, Problems{{1, 1, "no condition can be compiled: " + err.Error()}}
	}
	r := &Rules{adapter: env.CELTypeAdapter()}
	top := f.object(root, []string{"name", "rules"}, nil)
	name := f.matching(top["name"], nameForm, `a name such as "standard-1"`)
	r.version = fmt.Sprintf("%s+%.8x", name, sha256.Sum256(text))
	list := f.list(top["rules"], maxRules)
	if top["rules"] != nil && len(list) == 0 && len(f.problems) == 0 {
		f.say(top["rules"], "there is no rule, so nothing would ever be let through")
	}
	first := map[string]int{}
	for _, n := range list {
		rule, id := f.rule(n, env)
		if line, twice := first[rule.ID]; twice && rule.ID != "" {
			f.say(id, "rule %s is given twice, first in line %d", rule.ID, line)
		} else if id != nil {
			first[rule.ID] = id.Line
		}
		r.list = append(r.list, rule)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return r, nil
}

func (f *file) rule(n *yaml.Node, env *cel.Env) (rule Rule, id *yaml.Node) {
	m := f.object(n, []string{"id", "when", "effect", "reason"}, []string{"field", "message", "stages"})
	rule.ID = f.matching(m["id"], idForm, "an id such as second-factor")
	rule.When, rule.program = f.condition(m["when"], env)
	rule.Effect = oneOf(f, m["effect"], effects)
	rule.Reason = f.line(m["reason"])
	rule.Message = f.line(m["message"])
	if m["field"] != nil {
		if rule.Field = f.text(m["field"]); rule.Field != "" &&
			input.Token("", strings.ReplaceAll(rule.Field, ".", "_")) != nil {
			f.say(m["field"], "want the path of a field, such as token or duration")
		}
	}
	rule.Stages = f.stages(m["stages"])
	for key, effect := range map[string]lockboxv1.RuleEffect{
		"message": lockboxv1.RuleEffect_RULE_EFFECT_REFUSE,
		"stages":  lockboxv1.RuleEffect_RULE_EFFECT_REQUIRE_INTERNAL_APPROVAL,
	} {
		switch {
		case rule.Effect == effect && m[key] == nil:
			f.say(m["effect"], "key %q is missing: this effect needs it", key)
		case rule.Effect != effect && rule.Effect != 0 && m[key] != nil:
			f.say(m[key], "%s says nothing where the effect is %s", key, m["effect"].Value)
		}
	}
	if m["field"] != nil && rule.Effect != 0 && rule.Effect != lockboxv1.RuleEffect_RULE_EFFECT_REFUSE {
		f.say(m["field"], "field says nothing where the effect is %s", m["effect"].Value)
	}
	return rule, m["id"]
}

// condition compiles a CEL expression and records errors with their position in the file.
func (f *file) condition(n *yaml.Node, env *cel.Env) (string, cel.Program) {
	if n == nil {
		return "", nil
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!bool" || strings.TrimSpace(n.Value) == "" {
		f.say(n, "want a condition in CEL, in quotes if YAML would read it as something else")
		return "", nil
	}
	ast, issues := env.Compile(n.Value)
	if issues.Err() != nil {
		places := f.places(n)
		for _, e := range issues.Errors() {
			at := places.at(n.Value, e.Location.Line(), e.Location.Column())
			f.problems = append(f.problems, Problem{at.line, at.column, clean(e.Message)})
		}
		return n.Value, nil
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		f.say(n, "a condition is true or false; this one comes to %s", ast.OutputType())
		return n.Value, nil
	}
	program, err := env.Program(ast, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		f.say(n, "%s", clean(err.Error()))
	}
	return n.Value, program
}

// clean puts a CEL error message on one line.
func clean(s string) string { return strings.Join(strings.Fields(s), " ") }

func (f *file) stages(n *yaml.Node) []*lockboxv1.InternalStage {
	var stages []*lockboxv1.InternalStage
	list := f.list(n, maxStages)
	if n != nil && n.Kind == yaml.SequenceNode && len(list) == 0 {
		f.say(n, "there must be at least one stage")
	}
	for _, one := range list {
		m := f.object(one, []string{"group"}, []string{"count", "answer_within"})
		s := &lockboxv1.InternalStage{Group: f.matching(m["group"], idForm, "a group such as devops-managers"), Count: 1}
		if c := m["count"]; c != nil {
			n, err := strconv.ParseUint(c.Value, 10, 32)
			if c.Kind != yaml.ScalarNode || err != nil || n < 1 || n > maxCount {
				f.say(c, "want how many different people, 1 to %d", maxCount)
			}
			s.Count = uint32(n) // #nosec G115 -- it was read as 32 bits
		}
		if a := m["answer_within"]; a != nil {
			d, err := written.Duration(a.Value)
			if a.Kind != yaml.ScalarNode || err != nil || d < time.Second || d > maxAnswer {
				f.say(a, "want a time such as 24h, at most %dh", int(maxAnswer.Hours()))
			}
			s.AnswerWithin = durationpb.New(d)
		}
		stages = append(stages, s)
	}
	return stages
}

// file is a YAML file being read. Errors are collected; values that cannot be read are left empty.
type file struct {
	lines    [][]rune
	problems Problems
}

// newFile parses a file with one document; the node is nil if there is none.
func newFile(text []byte) (*file, *yaml.Node) {
	f := &file{}
	complain := func(line int, message string) (*file, *yaml.Node) {
		f.problems = Problems{{line, 1, message}}
		return f, nil
	}
	if len(text) > strict.MaxFile {
		return complain(1, fmt.Sprintf("is %d bytes long; at most %d are read", len(text), strict.MaxFile))
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		f.lines = append(f.lines, []rune(line))
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return complain(1, "is empty")
	} else if err != nil {
		if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
			line, _ := strconv.Atoi(m[1])
			return complain(line, m[2])
		}
		return complain(1, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return complain(max(1, more.Line), "holds more than one document")
	}
	return f, doc.Content[0]
}

func (f *file) say(n *yaml.Node, format string, args ...any) {
	f.problems = append(f.problems, Problem{n.Line, n.Column, fmt.Sprintf(format, args...)})
}

// err returns the collected errors in order of position; nil if there are none.
func (f *file) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(f.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return f.problems
}

// object returns n's values by key. Unknown, duplicate and missing keys are problems.
func (f *file) object(n *yaml.Node, required, optional []string) map[string]*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		f.say(n, "want keys with values")
		return nil
	}
	known := slices.Concat(required, optional)
	m := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode || !slices.Contains(known, k.Value):
			f.say(k, "unknown key %q%s", k.Value, input.DidYouMean(k.Value, known))
		case m[k.Value] != nil:
			f.say(k, "key %q is given twice", k.Value)
		default:
			m[k.Value] = n.Content[i+1]
		}
	}
	for _, key := range required {
		if m[key] == nil {
			f.say(n, "key %q is missing", key)
		}
	}
	return m
}

func (f *file) list(n *yaml.Node, most int) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind != yaml.SequenceNode:
		f.say(n, "want a list")
		return nil
	case len(n.Content) > most:
		f.say(n, "there are %d here; at most %d are read", len(n.Content), most)
		return nil
	}
	return n.Content
}

func (f *file) text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		f.say(n, "want a text (in quotes if it looks like something else)")
		return ""
	}
	return n.Value
}

func (f *file) matching(n *yaml.Node, form *regexp.Regexp, what string) string {
	before := len(f.problems)
	s := f.text(n)
	if n == nil || len(f.problems) > before {
		return ""
	}
	if !form.MatchString(s) || len(s) > maxID {
		f.say(n, "want %s, got %q", what, s)
		return ""
	}
	return s
}

// line reads one line of text. It will be shown to people, so it is checked like their own input.
func (f *file) line(n *yaml.Node) string {
	before := len(f.problems)
	s := f.text(n)
	if n == nil || len(f.problems) > before {
		return ""
	}
	if err := prose.CheckLine("", s, 1, maxText); err != nil {
		f.say(n, "%v", err)
	}
	return s
}

func oneOf[V any](f *file, n *yaml.Node, values map[string]V) V {
	before := len(f.problems)
	s := f.text(n)
	v, known := values[s]
	if n != nil && !known && len(f.problems) == before {
		names := slices.Sorted(maps.Keys(values))
		f.say(n, "want one of %s, got %q%s", strings.Join(names, ", "), s, input.DidYouMean(s, names))
	}
	return v
}
