// Package command is the verifier's command line. It uses only the standard library's flag package, because everything
// the verifier links must be reviewed before it can be trusted.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/openlockbox/lockbox/pkg/build"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/verifier"
)

// Environment holds the streams and environment variables that a command uses.
type Environment struct {
	Out, Err io.Writer
	Getenv   func(string) string
}

// Exit codes, the same as those of the lockbox command. Scripts rely on them.
const (
	exitOK              = 0
	exitOther           = 1
	exitUsage           = 2
	exitInvalid         = 3
	exitUnauthenticated = 4
	exitNotFound        = 6
	exitUnavailable     = 9
	exitNotProven       = 10
	exitNotTrusted      = 14
	exitStale           = 15
	exitInconclusive    = 16
	exitInterrupted     = 130
)

const help = `Checks what a Lockbox provider says, with nothing but public keys. Run it on a machine of yours: it asks
the provider's log and nobody else, and trusts neither the provider nor its software.

Usage: verifier COMMAND

  approval FILE        check the file that proves an approval which only the customer can give, offline
  receipt FILE         check the file that proves what the log holds of a request, offline
  watch                follow your log, and prove each time that nothing before was rewritten
  compare A [B]        whether two receipts, checkpoints, mails' lines or states of watch are of one log, or A of the log
                       as it is now
  evidence FILE        check what was kept as evidence against a log, offline
  witness              cosign a log's checkpoints, and never two histories
  witness evidence     list what a witness refused, with both notes
  witness key          make a witness's key, and print its public half
  version              say which release this is

verifier COMMAND --help tells more.

Exit codes: 0 it holds; 10 it does not; 1 another error; 2 the command line is wrong; 3 a file of yours is about
something else; 4 your token is missing or not accepted; 6 not found, or you don't have access to it; 9 the log does not
answer; 130 interrupted. Of watch and compare also, and then ask again: 14 too few witnesses have cosigned yet; 15 it is older than
it may be, and contradicts nothing; 16 what was shown proves nothing.
`

// errHelp reports that help was requested and has been printed.
var errHelp = errors.New("help")

// Run executes one command line and returns its exit code.
func Run(ctx context.Context, args []string, env Environment) int {
	err := dispatch(ctx, args, env)
	code := exitCode(ctx, err)
	if err == nil || code == exitOK || code == exitInterrupted {
		return code
	}
	hint := ""
	if code == exitUsage {
		hint = "\nverifier --help shows the commands, verifier COMMAND --help how each is used."
	}
	_, _ = fmt.Fprintf(env.Err, "Error: %s%s\n", verifier.Message(err), hint) // nothing can be done if stderr is gone
	return code
}

func dispatch(ctx context.Context, args []string, env Environment) error {
	name, rest := "", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	if name == "witness" && len(rest) > 0 && (rest[0] == "key" || rest[0] == "evidence") {
		name, rest = name+" "+rest[0], rest[1:]
	}
	for _, v := range verbs {
		if v.name == name {
			return v.run(ctx, rest, env)
		}
	}
	switch name {
	case "", "help", "-h", "-help", "--help":
		_, err := io.WriteString(env.Out, help)
		return err
	case "version", "-version", "--version":
		_, err := fmt.Fprintln(env.Out, "verifier", build.Version())
		return err
	}
	return &verifier.UsageError{Message: fmt.Sprintf("there is no command %q", name)}
}

func exitCode(ctx context.Context, err error) int {
	var wrong *verifier.UsageError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &wrong):
		return exitUsage
	}
	if code := map[error]int{
		verifier.ErrContradiction: exitNotProven, verifier.ErrNotTrusted: exitNotTrusted, verifier.ErrStale: exitStale,
		verifier.ErrInconclusive: exitInconclusive,
	}[verifier.Verdict(err)]; code != 0 {
		return code
	}
	if errors.Is(err, verifier.ErrNotProven) {
		return exitNotProven
	}
	r, _ := refusal.As(err)
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:
		return exitInvalid
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED:
		return exitUnauthenticated
	case lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:
		return exitNotFound
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		return exitUnavailable
	default:
		return exitOther
	}
}

// flags parses a command's flags, which may come before and after its arguments.
type flags struct {
	*flag.FlagSet
	usage, long, example string
}

func newFlags(usage, long, example string) *flags {
	f := &flags{flag.NewFlagSet(usage, flag.ContinueOnError), usage, long, example}
	f.SetOutput(io.Discard) // parse errors are returned, not printed
	return f
}

// parse returns the positional arguments; there must be exactly one per name.
func (f *flags) parse(args []string, out io.Writer, names ...string) (found []string, err error) {
	return f.parseSome(args, out, len(names), names...)
}

// parseSome returns the positional arguments: so many at least, and at most one per name.
func (f *flags) parseSome(args []string, out io.Writer, least int, names ...string) (found []string, err error) {
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, errors.Join(errHelp, f.help(out))
		}
		if err != nil {
			return nil, &verifier.UsageError{Message: err.Error()}
		}
		if f.NArg() == 0 {
			break
		}
		found, args = append(found, f.Arg(0)), f.Args()[1:]
	}
	switch {
	case len(found) < least:
		return nil, &verifier.UsageError{Message: "missing argument: " + strings.Join(names[len(found):least], " ")}
	case len(found) > len(names):
		return nil, &verifier.UsageError{Message: "unexpected: " + strings.Join(found[len(names):], " ")}
	}
	return found, nil
}

func (f *flags) help(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: verifier %s [flags]\n\n", f.long, f.usage)
	f.VisitAll(func(one *flag.Flag) {
		name, text := flag.UnquoteUsage(one)
		if one.DefValue != "" && one.DefValue != "false" {
			text += " (default " + one.DefValue + ")"
		}
		fmt.Fprintf(&b, "  %-20s %s\n", strings.TrimSpace("--"+one.Name+" "+name), text)
	})
	fmt.Fprintf(&b, "\nExamples:\n%s\n", f.example)
	_, err := io.WriteString(out, b.String())
	return err
}
