package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) policyPublishCommand() *cobra.Command {
	var cases string
	c := &cobra.Command{
		Use: "publish FILE", Short: "Put a rule set in force", Args: exactly("FILE"), ValidArgsFunction: ruleFiles,
		Long: `Checks a rule set with its cases, as policy check does, and puts it in force for every intent that is evaluated from then on.
What is evaluated already stays as it is. Only a security officer of the provider may; the orchestrator compiles it once
more, and refuses what does not compile: what was in force stays.`,
		Example: `  lockbox policy simulate rules.yaml --since 30d
  lockbox policy publish --as olga rules.yaml`,
	}
	c.Flags().StringVar(&cases, "cases", "", "the `file` with the cases")
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		result, err := checkFiles(c, args[0], cases)
		if err != nil {
			return err
		}
		if len(result.Problems) > 0 {
			return a.reportChecked(args[0], result)
		}
		text, err := readFile(c, args[0])
		if err != nil {
			return err
		}
		sentence := fmt.Sprintf("%s, with %d rules, will decide on every intent from now on.", result.PolicyVersion,
			result.Rules)
		if err := a.confirmDangerous(ctx, c, *yes, sentence, "Publish it?"); err != nil {
			return err
		}
		return s.order(ctx, aggregate.Rules.Tenant, aggregate.Rules.ID, &lockboxv1.Command{
			Action: &lockboxv1.Command_PublishRules{PublishRules: &lockboxv1.PublishRules{Text: string(text)}},
		}, "Published: %s is in force.", result.PolicyVersion)
	})
	return c
}

// inForce is the current rule set, for JSON and YAML output.
type inForce struct {
	PolicyVersion string `json:"policy_version"`
	// Published is false for the rules that ship with Lockbox.
	Published   bool       `json:"published"`
	PublishedAt *time.Time `json:"published_at"`
	PublishedBy string     `json:"published_by"`
	Text        string     `json:"text"`
}

func (a *app) policyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the rule set that is in force", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Writes the rule set that was published last, as it was written; as long as none was, the one that ships with Lockbox. It reads
the stream and needs the compliance team's key.`,
		Example: "  lockbox policy show > rules.yaml",
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			j, err := s.Journal(ctx)
			if err != nil {
				return err
			}
			defer j.Close()
			states, err := repository.New(j).Basis(ctx, aggregate.Rules)
			if err != nil {
				return err
			}
			return a.showInForce(shippedOr(states.Published(aggregate.Rules), policy.Default().Version(), policy.DefaultText()))
		}),
	}
}

// shippedOr returns what was published last, or what ships with Lockbox if nothing was.
func shippedOr(last policy.Published, version string, text []byte) inForce {
	if !last.Exists() {
		return inForce{PolicyVersion: version, Text: string(text)}
	}
	at := last.At.UTC()
	return inForce{last.TextVersion, true, &at, render.ActorName(last.By), last.Text}
}

func (a *app) showInForce(shown inForce) error {
	return a.write(page{
		func() (string, error) { return render.ValueJSON(shown) },
		func(render.Look) string { return plainText(shown.Text) },
	})
}

// plainText returns a text for a file: unchanged, unless it contains characters that could control a terminal.
func plainText(s string) string {
	if prose.Check("", s, 0, len(s)) != nil {
		s = render.CleanText(s)
	}
	return strings.TrimSuffix(s, "\n") + "\n"
}
