package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/doctor"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	o := doctor.Options{Now: time.Now}
	var files []string
	var nagios bool
	c := &cobra.Command{
		Use:   "doctor [FILE...]",
		Short: "Check that everything works, and say what to do",
		Long: "Checks what you need at this command line: that a Lockbox is found, that its services answer and take your token, that your\n" +
			"organisation's issuer has keys, that the portal answers and agrees about the time.\n\n" +
			"Where it finds an operator's keys (--keys, --data) or is given services' files, it checks the installation too: files, machine,\n" +
			"certificates, the servers of others, what each key may do and may not, streams, what waits, and who can approve. --pre checks\n" +
			"what can be known before anything runs. Each finding comes with what cures it. Nothing is changed, but --pre writes a file and\n" +
			"removes it; services count and record that two questions without a token were refused, and the bus logs what it refused.\n\n" +
			"The exit code is 0 if all is well, 11 after a failure, 12 after warnings only, and 13 if there is no failure and something could not\n" +
			"be checked; what was not asked for, or is not there, counts for nothing. With --nagios it is 0, 1 (warning), 2 or 3 (unknown).",
		Example: "  lockbox doctor\n  lockbox doctor --as erin -o json\n" +
			"  lockbox doctor --pre --keys keys --store /var/lib/lockbox deploy/config/*.yaml\n" +
			"  lockbox doctor --keys keys --ca keys/ca.crt --url tls://bus.example.org:4222 --health 10.0.0.7:9090",
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error {
			for _, file := range append(slices.Clone(files), args...) {
				o.Services = append(o.Services, serviceOf(file))
			}
			if err := locate(c, &o); err != nil {
				return err
			}
			return examine(c, o, nagios)
		},
	}
	c.Flags().StringArrayVar(&files, "config", nil,
		"`file` of a service, or of lockbox up (lockbox.yaml); as an argument too")
	c.Flags().StringArrayVar(&o.Stores, "store", nil,
		"`directory` of streams, for disk and file system (repeat for several)")
	c.Flags().StringArrayVar(&o.Health, "health", nil,
		"`address` at which a service says whether it is ready (repeat for several)")
	c.Flags().StringArrayVar(&o.Listen, "listen", nil, "with --pre: an `address` that has to be free (repeat for several)")
	c.Flags().IntVar(&o.Replicas, "replicas", 0, "how many copies each stream has to have; 0: as many as there are")
	c.Flags().BoolVar(&o.Before, "pre", false, "check what can be known before anything is installed or runs")
	c.Flags().BoolVar(&o.Thorough, "thorough", false,
		"try with each key all that anybody may do; the bus logs each refusal, some thousand lines")
	c.Flags().BoolVar(&nagios, "nagios", false, "say it in one line, and with exit codes, as Nagios wants it")
	return c
}

// locate fills in how the bus is reached: by the flags, by the services' files, or by what `lockbox up` has left.
func locate(c *cobra.Command, o *doctor.Options) error {
	given := func(flag, variable string) string {
		if v := c.Flag(flag).Value.String(); v != "" {
			return v
		}
		return os.Getenv(variable)
	}
	o.URL, o.Keys, o.CA = given("url", "LOCKBOX_URL"), given("keys", "LOCKBOX_KEYS"), cli.CA(c)
	named := given("data", "LOCKBOX_DATA") != ""
	if o.URL != "" || !named && (len(o.Services) > 0 || o.Before) {
		return nil
	}
	dir, err := cli.DataDir(c)
	if err != nil {
		return err
	}
	info, err := runinfo.Read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		info.KeysDir = filepath.Join(dir, "keys")
	case err != nil:
		return err
	default:
		o.Running, o.URL = &info, info.NATSURL
	}
	o.Data = dir
	if o.Keys == "" && (exists(info.KeysDir) || !o.Before) {
		o.Keys = info.KeysDir
	}
	if o.CA == "" {
		o.CA = info.CAFile
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func examine(c *cobra.Command, o doctor.Options, nagios bool) error {
	var found render.Checkup
	operator := o.Before || len(o.Services) > 0 || len(o.Stores)+len(o.Health) > 0 || doctor.Operates(o.Keys) ||
		o.Data != "" && o.Running == nil
	if !o.Before && (!operator || o.Running != nil || doctor.Asks(o.Keys)) {
		cli.FromHere(c, &found)
	}
	if operator {
		var end func()
		o.Step, end = steps(c)
		doctor.Run(c.Context(), o, &found)
		end()
	}
	if err := c.Context().Err(); err != nil {
		return err
	}
	if err := say(c, found, nagios); err != nil {
		return err
	}
	if found.State == render.OK || found.State == render.NotChecked {
		return nil
	}
	return &cli.CheckedError{State: found.State, Nagios: nagios}
}

func say(c *cobra.Command, found render.Checkup, nagios bool) error {
	if !nagios {
		return cli.Output(c, found, func(l render.Look) string { return render.Findings(l, found) })
	}
	status := map[render.State]string{render.Warning: "WARNING", render.Unknown: "UNKNOWN", render.Failed: "CRITICAL"}
	line := "LOCKBOX OK - " + render.Summary(found)
	if s := status[found.State]; s != "" {
		line = "LOCKBOX " + s + " - " + render.Summary(found) + " " + strings.Join(render.WorstFindings(found), "; ")
	}
	// Nagios takes what stands behind a bar for measurements.
	_, err := fmt.Fprintln(c.OutOrStdout(), strings.ReplaceAll(line, "|", "/"))
	return err
}

// steps says on a terminal which check is being made.
func steps(c *cobra.Command) (step func(check string), end func()) {
	env := cli.System()
	if !env.ErrTerminal || c.Flag("output").Value.String() != "table" {
		return nil, func() {}
	}
	wipe := func() { fmt.Fprint(env.Err, "\r\x1b[K") }
	return func(check string) {
		wipe()
		fmt.Fprintf(env.Err, "checking: %s …", check)
	}, wipe
}

// serviceOf reads a file as the service reads it whose name it has.
func serviceOf(file string) doctor.Service {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if name == allInOne {
		return upOf(file)
	}
	var names []string
	for _, p := range programs() {
		if p.Name == name {
			read, err := p.Read(file, nil)
			return doctor.Of(file, name, read, err)
		}
		names = append(names, p.Name)
	}
	return doctor.Of(file, name, nil, fmt.Errorf("there is no service %q%s; a file has its service's name: %s", name,
		input.DidYouMean(name, names), strings.Join(append(names, allInOne), ", ")))
}

// upOf reads a file of `lockbox up`.
func upOf(file string) doctor.Service {
	f := defaults()
	s := doctor.Service{File: file, Name: allInOne, Err: config.Load(file, nil, &f)}
	if s.Err != nil {
		return s
	}
	s.Issuers = f.Issuers
	if f.Notifier.SMTP.Host != "" {
		s.Mail = &f.Notifier
	}
	if f.Observe.Listen != "" {
		s.Listen = append(s.Listen, f.Observe.Listen)
	}
	if p := portalOf(f.Portal, "127.0.0.1:8080", false); p != nil {
		s.AddPortal(*p)
	}
	s.AddSecrets(&f)
	return s
}
