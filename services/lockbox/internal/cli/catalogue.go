package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) catalogueCommand() *cobra.Command {
	return group("catalogue", "List, check and publish the service catalogue", `The catalogue says which resource types an intent may be for, in which scenarios, and whether the customer is asked.
It is YAML, and each version that is published is an event.`, "",
		a.catalogueListCommand(), a.catalogueShowCommand(), a.catalogueCheckCommand(), a.cataloguePublishCommand())
}

// catalogueInForce is the current catalogue, for JSON and YAML output.
type catalogueInForce struct {
	CatalogueVersion string `json:"catalogue_version"`
	// Published is false for the catalogue that ships with Lockbox.
	Published   bool       `json:"published"`
	PublishedAt *time.Time `json:"published_at"`
	PublishedBy string     `json:"published_by"`
	// Either Services, the catalogue's content, or its source text is set.
	Services []render.CatalogueService `json:"services,omitempty"`
	Text     string                    `json:"text,omitempty"`
}

// catalogue reads the current catalogue, its source text and its services.
func (s *session) catalogue(ctx context.Context) (catalogueInForce, []catalogue.Service, error) {
	j, err := s.Journal(ctx)
	if err != nil {
		return catalogueInForce{}, nil, err
	}
	defer j.Close()
	states, err := repository.New(j).Basis(ctx, aggregate.Catalogue)
	if err != nil {
		return catalogueInForce{}, nil, err
	}
	last := states.Published(aggregate.Catalogue)
	shown := catalogueInForce{CatalogueVersion: catalogue.Default().Version(), Text: string(catalogue.DefaultText())}
	if last.Exists() {
		at := last.At.UTC()
		shown = catalogueInForce{CatalogueVersion: last.TextVersion, Published: true, PublishedAt: &at,
			PublishedBy: render.ActorName(last.By), Text: last.Text}
	}
	c, err := catalogue.Parse([]byte(shown.Text))
	if err != nil {
		return shown, nil, refusal.Unavailable("", "I11", "the published catalogue %s cannot be read by this program: %v",
			shown.CatalogueVersion, err)
	}
	return shown, c.Services(), nil
}

const readsTheStream = "It reads the stream and needs the compliance team's key."

func (a *app) catalogueListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the resource types of the catalogue that is in force", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Lists what an intent may be for, with the scenarios of each. As long as no catalogue was published, it is the one that ships
with Lockbox. ` + readsTheStream,
		Example: `  lockbox catalogue list
  lockbox catalogue list -o json | jq '.services[] | select(.stage == "SERVICE_STAGE_PREVIEW").type'`,
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			shown, services, err := s.catalogue(ctx)
			if err != nil {
				return err
			}
			shown.Text = ""
			for _, service := range services {
				shown.Services = append(shown.Services, render.ServiceOf(service))
			}
			return a.write(page{
				func() (string, error) { return render.ValueJSON(shown) },
				func(l render.Look) string { return render.Services(l, shown.CatalogueVersion, services) },
			})
		}),
	}
}

func (a *app) catalogueShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [TYPE]", Short: "Show a resource type, or the whole catalogue as it was written",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: firstArgument(resourceTypes),
		Long: `Shows a resource type of the catalogue that is in force, with what its scenarios mean for the customer. Without TYPE it writes
the catalogue as it was written, to be changed and published. ` + readsTheStream,
		Example: `  lockbox catalogue show compute/virtual-machines
  lockbox catalogue show > services.yaml`,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			shown, services, err := s.catalogue(ctx)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.write(page{
					func() (string, error) { return render.ValueJSON(shown) },
					func(render.Look) string { return plainText(shown.Text) },
				})
			}
			i := slices.IndexFunc(services, func(service catalogue.Service) bool { return service.Type == args[0] })
			if i < 0 {
				return refusal.NotFound("type", "R10", "the catalogue %s has no such resource type", shown.CatalogueVersion)
			}
			return a.write(page{
				func() (string, error) { return render.ValueJSON(render.ServiceOf(services[i])) },
				func(l render.Look) string { return render.Service(l, services[i]) },
			})
		}),
	}
}

// checkedCatalogue is the result of `catalogue check`, for JSON and YAML output.
type checkedCatalogue struct {
	CatalogueVersion string `json:"catalogue_version"`
	Types            int    `json:"types"`
	Scenarios        int    `json:"scenarios"`
	// Problem is the first error, with file and line; empty if there is none.
	Problem string `json:"problem"`
}

// checkCatalogue checks a catalogue. The error is non-nil only if the file cannot be read.
func checkCatalogue(c *cobra.Command, file string) (text []byte, result checkedCatalogue, err error) {
	if text, err = readFile(c, file); err != nil {
		return nil, result, err
	}
	parsed, err := catalogue.ParseNew(file, text)
	if err != nil {
		result.Problem = fmt.Sprint(err)
		return text, result, nil
	}
	result.CatalogueVersion = parsed.Version()
	for _, s := range parsed.Services() {
		result.Types++
		result.Scenarios += len(s.Scenarios)
	}
	return text, result, nil
}

// report prints that the catalogue is valid, or what is wrong with it, and then returns an error.
func (r checkedCatalogue) report(a *app, file string) error {
	err := a.write(page{
		func() (string, error) { return render.ValueJSON(r) },
		func(l render.Look) string {
			if r.Problem != "" {
				return render.CleanText(r.Problem) + "\n"
			}
			return render.Sentence(l, fmt.Sprintf("%s: %d resource types with %d scenarios.", r.CatalogueVersion, r.Types,
				r.Scenarios))
		},
	})
	if err == nil && r.Problem != "" {
		err = refusal.Invalid("catalogue", "R6", "%s cannot be used", file)
	}
	return err
}

func (a *app) catalogueCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a catalogue before it is published", Args: exactly("FILE"),
		ValidArgsFunction: ruleFiles,
		Long: `Reads a catalogue as publishing it would, and says the first thing that is wrong with it, with file and line. It asks nobody. The
exit code is 3 if there is a problem.`,
		Example: "  lockbox catalogue check services.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			_, result, err := checkCatalogue(c, args[0])
			if err != nil {
				return err
			}
			return result.report(a, args[0])
		},
	}
}

func (a *app) cataloguePublishCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "publish FILE", Short: "Put a catalogue in force", Args: exactly("FILE"), ValidArgsFunction: ruleFiles,
		Long: `Checks a catalogue and puts it in force for every intent that is evaluated from then on. What is evaluated already stays as it
is, but access without the customer is given only if the catalogue still says that they need not be asked. Only a security
officer of the provider may; the orchestrator reads it once more, and refuses what cannot be used: what was in force stays.`,
		Example: `  lockbox catalogue show > services.yaml
  lockbox catalogue publish --as olga services.yaml`,
	}
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		text, result, err := checkCatalogue(c, args[0])
		if err != nil {
			return err
		}
		if result.Problem != "" {
			return result.report(a, args[0])
		}
		sentence := fmt.Sprintf("%s, with %d resource types, will say what every intent from now on may be for.",
			result.CatalogueVersion, result.Types)
		if err := a.confirmDangerous(ctx, c, *yes, sentence, "Publish it?"); err != nil {
			return err
		}
		return s.order(ctx, aggregate.Catalogue.Tenant, aggregate.Catalogue.ID, &lockboxv1.Command{
			Action: &lockboxv1.Command_PublishCatalogue{PublishCatalogue: &lockboxv1.PublishCatalogue{Text: string(text)}},
		}, "Published: %s is in force.", result.CatalogueVersion)
	})
	return c
}
