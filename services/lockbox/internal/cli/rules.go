package cli

import (
	"slices"
	"strings"

	rules "github.com/openlockbox/lockbox/pkg"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

// addRules puts `rules` below the help command, because cobra passes no arguments to a help topic.
func (a *app) addRules(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.AddCommand(a.rulesCommand())
		}
	}
}

func (a *app) rulesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rules [RULE]...", Short: "Print rules and invariants by number, or list them", Args: cobra.ArbitraryArgs,
		Long: `Refusals in JSON, documents and tests cite rules (R1 …) and invariants (I1 …) by
number. Without a number, this lists them and says how far each has come: built,
partly, or not yet.`,
		Example: `  lockbox help rules
  lockbox help rules R27 I9`,
		ValidArgsFunction: completeRules,
		RunE: func(c *cobra.Command, args []string) error {
			all := rules.All()
			var chosen []rules.Rule
			for _, id := range args {
				i := slices.IndexFunc(all, func(r rules.Rule) bool { return r.ID == strings.ToUpper(id) })
				if i < 0 {
					return usage(c, "there is no rule %s; lockbox help rules lists them", id)
				}
				chosen = append(chosen, all[i])
			}
			human := func(l render.Look) string { return render.Rules(l, chosen) }
			if len(args) == 0 {
				chosen, human = all, func(l render.Look) string { return render.RuleList(l, all) }
			}
			return a.write(page{
				func() (string, error) {
					return render.ValueJSON(struct {
						Rules []rules.Rule `json:"rules"`
					}{chosen})
				},
				human,
			})
		},
	}
}

func completeRules(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	for _, r := range rules.All() {
		if !slices.Contains(args, r.ID) {
			ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Title+", "+r.Status))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
