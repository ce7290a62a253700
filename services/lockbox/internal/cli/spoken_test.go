package cli_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/ops"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// unspoken are what no text for people has: numbers of requirements, and names of enumerations and refusal codes.
var unspoken = regexp.MustCompile(`\b[RI][1-9][0-9]?\b|\b[A-Z]{2,}_[A-Z_]{2,}\b`)

// environment are names that people type.
var environment = regexp.MustCompile(`\b(LOCKBOX|NO|XDG)_[A-Z_]+\b`)

func TestHelpCitesNoNumbers(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			visit(below)
		}
		texts := []string{c.Short, c.Use}
		if !slices.Contains([]string{"rules", "exit-codes", "output"}, c.Name()) { // these are about what programs read
			texts = append(texts, c.Long)
			for line := range strings.Lines(c.Example) {
				if !strings.Contains(line, "-o json") { // its values are what programs read
					texts = append(texts, line)
				}
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { texts = append(texts, f.Usage) })
		for _, text := range texts {
			if found := unspoken.FindString(environment.ReplaceAllString(text, "")); found != "" {
				t.Errorf("the help of %s says %s: %s", c.CommandPath(), found, text)
			}
		}
	}
	visit(cli.New(cli.System(), ops.Commands()...))
}

// What a person at a terminal is shown of requests, tenants and refusals cites nothing; JSON keeps the rule.
func TestOutputCitesNoNumbers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startStub(t, dir)
	for _, line := range []string{
		"--as otto request list", "--as otto approval show " + uuid(1), "--as erin request show " + uuid(2),
		"--as grace tenant show", "--as grace tenant settings", "--as grace role list",
		"--as grace tenant approvers --subscription meadow-production", "--as otto approval deny " + uuid(1),
		"--as erin approval approve " + uuid(3) + " --yes", "--as otto approval approve " + uuid(1) + " --for 9h --yes",
		"--as grace audit list", "--as grace audit access", "--as grace ticket list", "audit verify", "audit replay",
		"--as grace overview", "--as olga overview --provider", "--as grace overview --provider",
	} {
		_, out, errs := scripted(t, dir, strings.Fields(line)...)
		if found := unspoken.FindString(environment.ReplaceAllString(out+errs, "")); found != "" {
			t.Errorf("%s says %s:\n%s%s", line, found, out, errs)
		}
	}
	code, _, errs := scripted(t, dir, "--as", "otto", "approval", "deny", uuid(1), "-o", "json")
	if code != 3 || !strings.Contains(errs, `"rule": "R28"`) {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
