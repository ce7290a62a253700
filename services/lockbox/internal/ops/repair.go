package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/repair"
	"github.com/spf13/cobra"
)

func repairCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "repair",
		Short: "Restore a damaged stream from its second copy, or damaged trees from the stream",
		Long: "Mends the data directory of lockbox up while nothing runs. It looks at a copy, and shows exactly what it will do; with --yes\n" +
			"it does it. Nothing is discarded: everything as it was is set aside, and where the stream holds other events than were recorded\n" +
			"they are kept in a file for the security officer. If there is something to repair and nothing was done, the exit code is 10.\n\n" +
			"In a cluster, stop the server whose copy is damaged, move its EVENTS directory aside and start it: it gets the stream from\n" +
			"the others, and the guard compares it.",
		Example: "  lockbox audit repair --data /var/lib/lockbox\n  lockbox audit repair --data /var/lib/lockbox --yes",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions, Annotations: map[string]string{cli.Under: "audit"},
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := cli.DataDir(c)
			if err != nil {
				return err
			}
			log, err := observe.NewLogger(observe.LogOptions{Level: "error"})
			if err != nil {
				return err
			}
			job := &repair.Job{Dir: dir, Do: yes, Out: c.OutOrStdout(), Now: time.Now, Log: log}
			keys, err := writerkeys.In(filepath.Join(dir, "keys"), bus.Repairer)
			switch {
			case err == nil:
				job.Signer = keys.Signer
			case !errors.Is(err, fs.ErrNotExist): // where nothing is signed, there is no key
				return err
			}
			err = job.Run(c.Context())
			if errors.Is(err, repair.ErrDamaged) {
				return fmt.Errorf("%w: %w", cli.ErrNotTrue, err)
			}
			return err
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	return c
}
