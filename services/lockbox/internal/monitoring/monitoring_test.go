// Package monitoring_test holds deploy/monitoring and deploy/runbooks to the code: every metric that a rule or the
// dashboard names is one that a process of Lockbox tells, every alert is tested and has a runbook, and every command of
// a runbook exists.
package monitoring_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/request"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/ops"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"
)

const (
	deploy   = "../../../../deploy/"
	dir      = deploy + "monitoring/"
	runbooks = deploy + "runbooks/"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path) // #nosec G304 -- a file of the repository
	must(t, err)
	return string(data)
}

type rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

// rules are all alerts.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	must(t, yaml.Unmarshal([]byte(text(t, dir+"alerts.yaml")), &file))
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 30 {
		t.Fatalf("there are only %d alerts", len(all))
	}
	return all
}

// Prometheus takes rules and configuration, and each alert fires when it should.
func TestPromtoolTakesTheRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"check", "rules", "alerts.yaml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "alerts_test.yaml"},
	} {
		c := exec.CommandContext(t.Context(), "promtool", args...) // #nosec G204 -- what stands above
		c.Dir = dir
		out, err := c.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Fatal("promtool is missing: scripts/install-test-deps.sh installs it")
		}
		if err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Every alert fires in one of the tests and does not fire in one, says what it is about and what to do, and has a
// runbook and a row in the README; and every runbook has an alert.
func TestEveryAlertIsTestedAndExplained(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			Tests []struct {
				Expr    string
				Samples []any `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	must(t, yaml.Unmarshal([]byte(text(t, dir+"alerts_test.yaml")), &file))
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, group := range file.Tests {
		for _, one := range group.Tests {
			if found := regexp.MustCompile(`alertname="(\w+)"`).FindStringSubmatch(one.Expr); found == nil {
				continue
			} else if len(one.Samples) > 0 {
				fires[found[1]] = true
			} else {
				rests[found[1]] = true
			}
		}
	}
	readme := text(t, dir+"README.md")
	var alerts []string
	for _, r := range rules(t) {
		alerts = append(alerts, r.Alert)
		if !regexp.MustCompile(`^([A-Z][a-z]+)+$`).MatchString(r.Alert) {
			t.Errorf("%s is no name of an alert", r.Alert)
		}
		if !fires[r.Alert] || !rests[r.Alert] {
			t.Errorf("%s is not tested: fires %t, does not fire %t", r.Alert, fires[r.Alert], rests[r.Alert])
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" ||
			r.Annotations["runbook_url"] != "{{ $externalLabels.runbooks }}/"+r.Alert+".md" {
			t.Errorf("%s says %v", r.Alert, r.Annotations)
		}
		row := "| [" + r.Alert + "](../runbooks/" + r.Alert + ".md) | " + r.Labels["severity"] + " | "
		_, after, found := strings.Cut(readme, row)
		line, _, _ := strings.Cut(after, "\n")
		if !found {
			t.Errorf("README.md has no row %q", row)
		}
		for _, m := range selectors(r.Expr) {
			if !strings.Contains(line, "`"+family(m.name)+"`") {
				t.Errorf("README.md does not say that %s looks at %s", r.Alert, m.name)
			}
		}
	}
	files, err := filepath.Glob(runbooks + "*.md")
	must(t, err)
	var written []string
	for _, path := range files {
		written = append(written, strings.TrimSuffix(filepath.Base(path), ".md"))
		for _, heading := range []string{"# " + written[len(written)-1] + "\n", "## What it means\n",
			"## What customers notice\n", "## How to look\n", "## What to do\n", "## When to escalate\n"} {
			if !strings.Contains(text(t, path), heading) {
				t.Errorf("%s does not have %q", path, strings.TrimSpace(heading))
			}
		}
	}
	slices.Sort(alerts)
	if !slices.Equal(alerts, written) {
		t.Errorf("alerts and runbooks differ:\n%v\n%v", alerts, written)
	}
}

// selector is a metric as an expression selects it.
type selector struct {
	name   string
	labels []string
}

var (
	selecting = regexp.MustCompile(`\b((?:lockbox|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matching  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	grouping  = regexp.MustCompile(`\b(?:by|without|on) ?\([^)]*\)`)
)

// selectors are the metrics that an expression names.
func selectors(expr string) (all []selector) {
	for _, m := range selecting.FindAllStringSubmatch(grouping.ReplaceAllString(expr, ""), -1) {
		s := selector{name: m[1]}
		for _, label := range matching.FindAllStringSubmatch(m[2], -1) {
			s.labels = append(s.labels, label[1])
		}
		all = append(all, s)
	}
	return all
}

// family is the metric of which a series is a part.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// Every metric that a rule or the dashboard names is one that Lockbox tells, with these labels.
func TestEveryMetricExists(t *testing.T) {
	t.Parallel()
	all := told(t)
	if len(all) < 60 || !slices.Contains(all["lockbox_build_info"], "version") {
		t.Fatalf("a Lockbox tells only %v", all)
	}
	named := 0
	check := func(where, expr string) {
		for _, s := range selectors(expr) {
			named++
			labels, exists := all[family(s.name)]
			if !exists {
				t.Errorf("%s: no process of Lockbox tells %s", where, s.name)
			}
			for _, label := range s.labels {
				if !slices.Contains(append(labels, "job", "instance", "le"), label) {
					t.Errorf("%s: %s has no label %s but %v", where, s.name, label, labels)
				}
			}
		}
	}
	for _, r := range rules(t) {
		check(r.Alert, r.Expr)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	must(t, yaml.Unmarshal([]byte(text(t, dir+"dashboard.json")), &board)) // JSON is YAML
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			check("panel "+panel.Title, target.Expr)
		}
	}
	for _, file := range []string{dir + "README.md", deploy + "README.md"} {
		for _, span := range regexp.MustCompile("`(lockbox_[a-z_]+)`").FindAllStringSubmatch(text(t, file), -1) {
			check(file, span[1])
		}
	}
	books, err := filepath.Glob(runbooks + "*.md")
	must(t, err)
	for _, path := range books {
		for _, span := range regexp.MustCompile("`([^`\n]*lockbox_[^`\n]*)`").FindAllStringSubmatch(text(t, path), -1) {
			check(path, span[1])
		}
	}
	if named < 100 {
		t.Errorf("only %d metrics are named", named)
	}
}

var description = regexp.MustCompile(
	`^Desc\{fqName: "([^"]+)", help: "(.*)", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// told are the metrics of a process in which all of Lockbox runs, with their labels.
func told(t *testing.T) map[string][]string {
	t.Helper()
	issuer, err := devissuer.New(devissuer.Config{Demo: true, Dir: t.TempDir()})
	must(t, err)
	metrics := observe.NewMetrics()
	traces, err := trace.New(trace.Config{URL: "http://127.0.0.1:1/v1/traces"}, "", zap.NewNop(), metrics.Registerer())
	must(t, err)
	t.Cleanup(traces.Close)
	s, err := stack.Start(context.Background(), stack.Config{
		Dir: t.TempDir(), Tools: []evaluator.Tool{evaluator.Unlimited("console")},
		Issuers: []identity.Issuer{issuer.ProviderIssuer()}, Terms: request.DefaultTerms(),
		Notifier: notifier.Config{Provider: devissuer.Provider, SMTP: notifier.SMTP{From: "lockbox@nimbus.example"}},
		Log:      zap.NewNop(), Metrics: metrics,
	})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	// The forwarder has metrics of its own, once it runs.
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		all := described(t, metrics)
		if _, runs := all["lockbox_forward_webhooks"]; runs || time.Now().After(end) {
			return all
		}
	}
}

func described(t *testing.T, c prometheus.Collector) map[string][]string {
	t.Helper()
	descriptions := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descriptions)
		close(descriptions)
	}()
	all := map[string][]string{}
	for d := range descriptions {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s is not understood", d)
		}
		if len(m[2]) < 10 {
			t.Errorf("%s says only %q", m[1], m[2])
		}
		labels := strings.FieldsFunc(m[4], func(r rune) bool { return r == ',' || r == ' ' })
		for _, constant := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, constant[1])
		}
		all[m[1]] = labels
	}
	return all
}

// Every command of a runbook is one of the command line, with these flags and as many arguments.
func TestTheCommandsOfRunbooksExist(t *testing.T) {
	t.Parallel()
	books, err := filepath.Glob(runbooks + "*.md")
	must(t, err)
	typed := 0
	for _, path := range append(books, dir+"README.md") {
		// A span of code may be broken over two lines.
		said := regexp.MustCompile("`(lockbox\\s[^`]+)`").FindAllStringSubmatch(text(t, path), -1)
		said = append(said, regexp.MustCompile(`(?m)^(lockbox .+)$`).FindAllStringSubmatch(text(t, path), -1)...)
		for _, command := range said {
			typed++
			if err := parse(strings.Fields(strings.ReplaceAll(command[1], "SEQUENCE", "4003"))[1:]); err != nil {
				t.Errorf("%s: %s: %v", path, strings.Join(strings.Fields(command[1]), " "), err)
			}
		}
	}
	if typed < 40 {
		t.Errorf("only %d commands were found", typed)
	}
	for _, wrong := range []string{"audit verfy", "audit verify --streams", "audit set-aside", "nats now"} {
		if parse(strings.Fields(wrong)) == nil {
			t.Errorf("lockbox %s is taken for a command", wrong)
		}
	}
}

func parse(args []string) error {
	root := cli.New(cli.System(), ops.Commands()...)
	if slices.Equal(args, []string{"--version"}) {
		return nil
	}
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if c.HasSubCommands() {
		return cobra.NoArgs(c, c.Flags().Args())
	}
	return c.ValidateArgs(c.Flags().Args())
}
