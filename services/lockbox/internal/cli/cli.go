// Package cli is the command line: arguments, output and exit codes. It queries the services over the bus, shows their
// answers, and enforces nothing: no check here replaces one of theirs. All input and output goes through its
// Environment, and it never exits the process.
package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/build"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Environment is what a command uses of its process: streams, terminal, clock.
type Environment struct {
	In       io.Reader
	Out, Err io.Writer
	// InTerminal, OutTerminal and ErrTerminal report which of the streams are terminals.
	InTerminal, OutTerminal, ErrTerminal bool
	// Width returns the terminal's width in columns; 0 if there is none.
	Width  func() int
	Getenv func(string) string
	Now    func() time.Time
	// Zone is the time zone in which times are shown.
	Zone *time.Location
	// Program is the name by which users call the program, for commands to copy; empty: lockbox.
	Program string
	// Secret asks for a secret at the terminal, which does not show what is typed; nil: nobody can be asked.
	Secret func(ctx context.Context, question string) ([]byte, error)
	// Browse opens a page in the user's browser without waiting for it; nil: no browser.
	Browse func(ctx context.Context, address string) error
}

// System returns the environment of this process.
func System() Environment {
	return Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTerminal: isTerminal(os.Stdin), OutTerminal: isTerminal(os.Stdout), ErrTerminal: isTerminal(os.Stderr),
		Width: func() int {
			columns, _, err := term.GetSize(fd(os.Stdout))
			if err != nil {
				return 0
			}
			return columns
		},
		Getenv: os.Getenv, Now: time.Now, Zone: time.Local, Program: os.Args[0], Browse: browse(os.Getenv),
		Secret: typedSecret,
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(fd(f)) }

func fd(f *os.File) int { return int(f.Fd()) } // #nosec G115 -- a file descriptor is a small number

// app is one invocation of the command line: its environment and the global flags.
type app struct {
	Environment
	data, url, keys, ca, erasableKey, tokenFile, as, profile, tenant string

	sign signFlags

	// keyboard is the input of all prompts; nil before the first.
	keyboard *bufio.Reader

	// args is the command line.
	args    []string
	output  format
	color   when
	timeout time.Duration
}

// Run executes one command line and returns its exit code. The extra commands are added to the tree.
func Run(ctx context.Context, args []string, env Environment, extra ...*cobra.Command) int {
	a := &app{Environment: env, args: args}
	root := a.root(extra)
	a.output = wantedFormat(args) // for errors in arguments before the flag
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	err := root.ExecuteContext(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errInterrupted
	}
	if err != nil {
		a.complain(err)
	}
	return ExitCode(err)
}

// wantedFormat finds the output format in a command line that may be invalid.
func wantedFormat(args []string) format {
	var f format
	for i, arg := range args {
		for _, flag := range []string{"--output", "-o"} {
			value, joined := strings.CutPrefix(arg, flag)
			if joined && value == "" && i+1 < len(args) {
				value = args[i+1]
			}
			if joined {
				_ = f.Set(strings.TrimPrefix(value, "=")) // cobra reports an unknown format
			}
		}
	}
	return f
}

// New builds the command tree, including the extra commands.
func New(env Environment, extra ...*cobra.Command) *cobra.Command {
	return (&app{Environment: env}).root(extra)
}

// DataDir returns the data directory: from --data, LOCKBOX_DATA or the default.
func DataDir(c *cobra.Command) (string, error) {
	return dataDir(c.Flag("data").Value.String(), os.Getenv)
}

// CA returns the file of the authority that signed the bus's certificate: from --ca or LOCKBOX_CA; empty: neither.
func CA(c *cobra.Command) string { return first(c.Flag("ca").Value.String(), os.Getenv("LOCKBOX_CA")) }

// Output writes what a command of the extra commands has to say: a value as JSON or YAML, or a text.
func Output(c *cobra.Command, value any, text func(render.Look) string) error {
	a := &app{Environment: System()}
	a.Out = c.OutOrStdout()
	err := errors.Join(a.output.Set(c.Flag("output").Value.String()), a.color.Set(c.Flag("color").Value.String()))
	if err != nil {
		return err
	}
	return a.write(page{func() (string, error) { return render.ValueJSON(value) }, text})
}

func dataDir(flag string, getenv func(string) string) (string, error) {
	for _, dir := range []string{flag, getenv("LOCKBOX_DATA")} {
		if dir != "" {
			return dir, nil
		}
	}
	return runinfo.DefaultDir(getenv)
}

// Command groups of the help.
const (
	groupSignIn   = "signin"
	groupRequests = "requests"
	groupCustomer = "customer"
	groupAudit    = "audit"
	groupRun      = "run"
)

// Under is the annotation by which an extra command names the command that it belongs below.
const Under = "under"

func (a *app) root(extra []*cobra.Command) *cobra.Command {
	root := group("lockbox", "Ask for, decide and audit access to customers' data", `Lockbox stands between a provider's engineers and a customer's data: the customer sees each request, understands why, and
approves or denies it before any access exists. Everything that happens is an event that is never rewritten.`,
		`  lockbox up --demo                         run everything here, with two customers to try it on
  lockbox intent submit --as erin -f dump.yaml
  lockbox approval list --as otto
  lockbox approve --as otto REQUEST --for 2h
  lockbox request show --as erin REQUEST
  lockbox audit list --as audrey`)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(a.wrongFlags)
	root.AddGroup(
		&cobra.Group{ID: groupSignIn, Title: "Signing in:"},
		&cobra.Group{ID: groupRequests, Title: "Requests:"},
		&cobra.Group{ID: groupCustomer, Title: "Customers:"},
		&cobra.Group{ID: groupAudit, Title: "Audit:"},
		&cobra.Group{ID: groupRun, Title: "Running Lockbox:"},
	)
	f := root.PersistentFlags()
	f.StringVar(&a.data, "data", "", "data `directory` of a Lockbox on this machine (LOCKBOX_DATA)")
	f.StringVar(&a.url, "url", "", "`address` of the bus, instead of the one that runs here (LOCKBOX_URL)")
	f.StringVar(&a.keys, "keys", "", "`directory` of the bus keys (LOCKBOX_KEYS)")
	f.StringVar(&a.ca, "ca", "", "`file` of the authority that signed the bus's certificate (LOCKBOX_CA)")
	f.StringVar(&a.erasableKey, "erasable-key", "",
		"`file` with the secret of the key store, to read names and texts in the stream (LOCKBOX_ERASABLE_KEY)")
	f.StringVar(&a.tokenFile, "token-file", "", "`file` that holds your token (LOCKBOX_TOKEN_FILE)")
	f.StringVar(&a.as, "as", "", "be this `persona` of the demo (LOCKBOX_AS)")
	f.StringVar(&a.profile, "profile", "", "the `sign-in` of lockbox login to use (LOCKBOX_PROFILE; else default)")
	f.StringVar(&a.tenant, "tenant", "", "the `customer` (LOCKBOX_TENANT; the customers' own people need none)")
	f.VarP(&a.output, "output", "o", "table, json or yaml")
	f.Var(&a.color, "color", "auto, always or never")
	f.DurationVar(&a.timeout, "timeout", client.DefaultTimeout, "how `long` to wait for an answer")
	complete(root, "output", fixed(formats...))
	complete(root, "color", fixed(whens...))
	complete(root, "as", a.personas)
	complete(root, "profile", a.profiles)
	complete(root, "tenant", a.tenants)
	audit, extra := a.auditCommand(), slices.Clone(extra)
	extra = slices.DeleteFunc(extra, func(c *cobra.Command) bool {
		below := c.Annotations[Under] == audit.Name()
		if below {
			audit.AddCommand(c)
		}
		return below
	})
	for g, commands := range map[string][]*cobra.Command{
		groupSignIn: {a.loginCommand(), a.logoutCommand(), a.whoamiCommand()},
		groupRequests: append(a.shortForms(), a.intentCommand(), a.requestCommand(), a.internalCommand(),
			a.approvalCommand(), a.overviewCommand()),
		groupCustomer: {a.tenantCommand(), a.roleCommand(), a.keyCommand(), a.ticketCommand()},
		groupAudit: {audit, a.policyCommand(), a.catalogueCommand(), a.discloseCommand(), a.eraseCommand(),
			a.mailCommand()},
		groupRun: append([]*cobra.Command{a.versionCommand()}, extra...),
	} {
		for _, c := range commands {
			c.GroupID = g
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID(groupRun)
	root.SetCompletionCommandGroupID(groupRun)
	root.AddCommand(topics()...)
	a.addRules(root)
	a.signsChanges(root)
	root.Version = build.Version().String()
	root.SetVersionTemplate("lockbox {{.Version}}\n")
	wrongArguments(root)
	fitHelp(root, a.look)
	return root
}

// fitHelp has the help of all commands fit the terminal.
func fitHelp(root *cobra.Command, look func() render.Look) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		out := c.OutOrStdout()
		var text strings.Builder
		c.SetOut(&text)
		help(c, args)
		c.SetOut(out)
		_, _ = io.WriteString(out, render.Help(look(), text.String())) // nothing can be done if stdout is gone
	})
}

// wrongArguments turns every error about arguments into a usage error, also for extra commands.
func wrongArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			var wrong *usageError
			if err == nil || errors.As(err, &wrong) {
				return err
			}
			return &usageError{c, err}
		}
	}
	for _, below := range c.Commands() {
		wrongArguments(below)
	}
}

// group creates a command that only has subcommands.
func group(use, short, long, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, DisableFlagsInUseLine: true,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			message := "there is no command " + strconv.Quote(strings.TrimSpace(c.CommandPath()+" "+args[0]))
			if like := c.SuggestionsFor(args[0]); len(like) > 0 {
				message += "; did you mean " + strings.Join(like, " or ") + "?"
			}
			return &usageError{c, errors.New(message)}
		},
	}
	c.AddCommand(below...)
	return c
}

// oneOrMore requires an argument, and allows several.
func oneOrMore(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(c, "missing argument: %s", name)
		}
		return nil
	}
}

// exactly requires one argument per name, as in the usage line.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names)-1:
			return usage(c, "missing argument: %s", names[len(args)])
		case len(args) < len(names):
			return usage(c, "missing arguments: %s", strings.Join(names[len(args):], ", "))
		case len(args) > len(names):
			return usage(c, "unexpected: %s", strings.Join(args[len(names):], " "))
		}
		return nil
	}
}
