package ops

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/service"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/forwarder"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
	"github.com/spf13/cobra"
)

// allInOne is what `config check` calls the file of `lockbox up`.
const allInOne = "lockbox"

// programs are the services that run as processes of their own.
func programs() []service.Program {
	return []service.Program{evaluator.Program(), orchestrator.Program(), notifier.Program(), projector.Program(),
		portal.Program(), forwarder.Program()}
}

// checks returns how each kind of file is checked, by the name of its program.
func checks() (names []string, check map[string]func(path string) error) {
	check = map[string]func(string) error{allInOne: func(path string) error {
		f := defaults()
		return config.Load(path, nil, &f)
	}}
	names = []string{allInOne}
	for _, p := range programs() {
		names = append(names, p.Name)
		check[p.Name] = func(path string) error { return p.Check(path, nil) }
	}
	return names, check
}

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check configuration files before they are used", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(configCheckCommand())
	return c
}

func configCheckCommand() *cobra.Command {
	names, check := checks()
	var of string
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with a service's file, or with that of lockbox up",
		Long: "Reads each file as its service does when it starts, and says what is wrong with it, with the line. A file belongs to the\n" +
			"service whose name it has (notifier.yaml), or to --service; that of lockbox up is lockbox.yaml. Files that it names need\n" +
			"not be here, and variables of the environment are not read.",
		Example: "  lockbox config check deploy/config/*.yaml\n  lockbox config check --service notifier mails.yaml",
		Args:    cobra.MinimumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, files []string) error {
			wrong := 0
			for _, file := range files {
				service := of
				if service == "" {
					service = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
				}
				if check[service] == nil {
					return fmt.Errorf("%s: there is no service %q%s; name one with --service: %s", file, service,
						input.DidYouMean(service, names), strings.Join(names, ", "))
				}
				if err := check[service](file); err != nil {
					wrong++
					fmt.Fprintf(c.OutOrStdout(), "wrong  %s\n       %v\n", file, err)
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "right  %s, for %s\n", file, service)
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d files would keep a service from starting", wrong, len(files))
			}
			return nil
		},
	}
	c.Flags().StringVar(&of, "service", "", "the `service` whose files these are")
	_ = c.RegisterFlagCompletionFunc("service", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return c
}
