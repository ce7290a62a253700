package cli

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
)

// On a terminal, help is as wide as it, but for what is copied; elsewhere it is as it was written.
func TestHelpFitsTheTerminal(t *testing.T) {
	env, _, _ := nobody(t)
	each(New(env), func(c *cobra.Command) {
		if c.Name() == "completion" || c.HasParent() && c.Parent().Name() == "completion" {
			return // cobra's own, with lines to copy
		}
		for _, columns := range []int{60, 80} {
			env, out, errs := nobody(t)
			env.OutTerminal, env.Width = true, func() int { return columns }
			line := append(strings.Fields(c.CommandPath())[1:], "--help")
			if code := Run(context.Background(), line, env); code != 0 {
				t.Errorf("%s: %s", c.CommandPath(), errs)
			}
			example := false
			for text := range strings.Lines(out.String()) {
				text = strings.TrimRight(text, "\n")
				example = example && text != "" || text == "Examples:"
				if n := ansi.StringWidth(text); n > columns && !example && !strings.Contains(text, "lockbox ") {
					t.Errorf("%s at %d columns: a line takes %d: %s", c.CommandPath(), columns, n, text)
				}
			}
		}
	})
}

// The short forms are the long ones under another name.
func TestShortFormsAreTheLongOnes(t *testing.T) {
	env, _, _ := nobody(t)
	root := New(env)
	for _, name := range []string{"approve", "deny", "revoke", "ask"} {
		short, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		long, _, err := root.Find([]string{"approval", name})
		if err != nil {
			t.Fatal(err)
		}
		if short.CommandPath() != "lockbox "+name || short.Use != long.Use || short.Long != long.Long ||
			short.LocalFlags().FlagUsages() != long.LocalFlags().FlagUsages() || short.ValidArgsFunction == nil {
			t.Errorf("%s is not %s", short.CommandPath(), long.CommandPath())
		}
		if strings.Contains(short.Example, "approval "+name) || !strings.Contains(short.Example, "lockbox "+name) {
			t.Errorf("the example of %s is %s", short.CommandPath(), short.Example)
		}
	}
}

// What changes something that a demand for signatures is about can be told with which key.
func TestCommandsOfChangesCanBeSigned(t *testing.T) {
	env, _, _ := nobody(t)
	signed := 0
	each(New(env), func(c *cobra.Command) {
		if _, path, _ := strings.Cut(c.CommandPath(), " "); slices.Contains(signedCommands, path) {
			signed++
			if c.Flags().Lookup("sign-with") == nil || c.Flags().Lookup("no-sign") == nil {
				t.Errorf("%s has no --sign-with", path)
			}
		}
	})
	if signed != len(signedCommands) {
		t.Errorf("%d of %d commands are there", signed, len(signedCommands))
	}
}
