package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/disclosure"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/ticket"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError is what is wrong with the value of a flag.
type flagError struct {
	flag string
	error
}

func (f flagError) Unwrap() error { return f.error }

// flags names those whose names are not their field's in a command.
var flags = map[string][]string{
	"audience": {"audience", "also-audience"}, "audiences": {"also-audience"}, "default_language": {"language"},
	"deciders_shown": {"show-deciders"}, "display_name": {"name"}, "happened_at": {"when"}, "note": {"for"},
	"required_approvals": {"approvals"}, "resource_ids": {"resource"}, "secret_url": {"url", "url-file"},
	"subject": {"engineer", "person"}, "subscription_id": {"subscription"}, "types": {"event"}, "issuer.url": {"issuer"},
	"signed_approvals_only": {"signed-approvals-only"},
}

// flagOf returns the flag of a command line that a field of what it sends comes from; empty if it is none of one.
func flagOf(c *cobra.Command, field string) string {
	path := strings.Split(field, ".")
	last := path[len(path)-1]
	names := slices.Concat(flags[last], []string{strings.ReplaceAll(last, "_", "-")})
	switch {
	case last == "tenant" && !c.Flags().Changed(last): // an argument, or the only one that there is
		return ""
	case slices.Contains(path, "alternates"):
		names = []string{"also-tell"}
	case slices.Contains(path, "administrators"):
		names = []string{"admin"}
	case slices.Contains(path, "administrator"):
		names = []string{"admin-" + strings.TrimPrefix(last, "display_")}
	case strings.HasSuffix(field, "issuer.url"):
		names = flags["issuer.url"]
	}
	for _, name := range names {
		if c.Flags().Lookup(name) != nil {
			return name
		}
	}
	return ""
}

// check returns all that is wrong with a command line and with the command that it makes: the flags that it needs and
// that are empty (pairs of name and value), others of its own, and what the services would refuse of what it says. Of a
// flag, the first is said.
func (s *session) check(command *lockboxv1.Command, needed []string, others ...error) error {
	prose.Message(command)
	found, said := []error{missing(s.command, needed...)}, map[string]bool{}
	for i := 0; i+1 < len(needed); i += 2 {
		said[needed[i]] = strings.TrimSpace(needed[i+1]) == ""
	}
	for _, err := range others {
		of := flagError{}
		if r, refused := refusal.As(err); refused {
			err = flagged(flagOf(s.command, r.GetField()), err)
		}
		if errors.As(err, &of) {
			said[of.flag] = true
		}
		found = append(found, err)
	}
	for _, err := range slices.Concat(tenant.Faults(command), ticket.Faults(command),
		disclosure.Faults(command, s.app.Now()), erasure.Faults(command)) {
		r, refused := refusal.As(err)
		if !refused {
			continue
		}
		if flag := flagOf(s.command, r.GetField()); flag == "" || !said[flag] {
			said[flag] = true
			found = append(found, flagged(flag, err))
		}
	}
	return allOf(found)
}

// flagged says of which flag a fault is.
func flagged(flag string, err error) error {
	if flag == "" || err == nil {
		return err
	}
	return flagError{flag, err}
}

// Do sends a command with the caller's token, unless something is wrong with what it says: all of that is told at once.
func (s *session) Do(ctx context.Context, command *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	if err := s.check(command, nil); err != nil {
		return nil, err
	}
	return s.Client.Do(ctx, command)
}

// faultsError is everything that is wrong with one input. To programs it is the first fault.
type faultsError struct{ all []error }

func (e *faultsError) Error() string { return strings.Join(e.sentences(), " ") }

func (e *faultsError) sentences() []string {
	list := make([]string, len(e.all))
	for i, err := range e.all {
		r, refused := refusal.As(err)
		var of flagError
		if errors.As(err, &of) && refused {
			list[i] = "--" + of.flag + ": " + render.Clean(r.GetMessage())
		} else if refused {
			list[i] = render.RefusalSentence(r)
		} else {
			list[i] = err.Error()
		}
	}
	return list
}

func (e *faultsError) Unwrap() error { return e.all[0] }

// allOf returns an error of all faults; nil without any.
func allOf(faults []error) error {
	faults = slices.DeleteFunc(faults, func(err error) bool { return err == nil })
	switch len(faults) {
	case 0:
		return nil
	case 1:
		return faults[0]
	}
	return &faultsError{faults}
}

// only returns an error if it is so.
func only(so bool, err error) error {
	if so {
		return err
	}
	return nil
}

// missing refuses a command line in which flags are empty that it needs, given as pairs of name and value.
func missing(c *cobra.Command, pairs ...string) error {
	var names []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) == "" {
			names = append(names, "--"+pairs[i])
		}
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
		return usage(c, "%s is needed", names[0])
	}
	last := len(names) - 1
	return usage(c, "%s and %s are needed", strings.Join(names[:last], ", "), names[last])
}

// wrongFlags returns what is wrong with all flags and arguments of a command line, of which the parser has named the
// first.
func (a *app) wrongFlags(c *cobra.Command, first error) error {
	faults := []error{sentence(first)}
	_, rest, err := c.Root().Find(a.args)
	for err == nil {
		left, found := without(rest, first)
		if !found {
			break
		}
		rest = left
		if first = c.ParseFlags(rest); first == nil {
			err = c.ValidateArgs(c.Flags().Args())
			var wrong *usageError
			if errors.As(err, &wrong) {
				faults = append(faults, wrong.err)
			}
			break
		}
		faults = append(faults, sentence(first))
	}
	return &usageError{c, allOf(faults)}
}

// sentence says of a flag what is wrong with it.
func sentence(err error) error {
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, wrongValue(invalid))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return fmt.Errorf("there is no flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &bare):
		return fmt.Errorf("--%s needs a value", bare.GetFlag().Name)
	}
	return err
}

// wrongValue says why a value is none that a flag takes.
func wrongValue(err *pflag.InvalidValueError) error {
	if number := (*strconv.NumError)(nil); errors.As(err, &number) {
		return fmt.Errorf("%q is no whole number that it takes", err.GetValue())
	}
	why := refusal.Sentence(errors.Unwrap(err))
	if strings.Contains(why, strconv.Quote(err.GetValue())) {
		return errors.New(why)
	}
	return fmt.Errorf("%q: %s", err.GetValue(), why)
}

// without removes the flag from a command line that its parser refused.
func without(args []string, err error) (left []string, found bool) {
	var names []string
	value := ""
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &invalid):
		names, value = []string{"--" + invalid.GetFlag().Name, "-" + invalid.GetFlag().Shorthand}, invalid.GetValue()
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		names = []string{"--" + unknown.GetSpecifiedName()}
	default:
		return args, false
	}
	for i, arg := range args {
		name, given, joined := strings.Cut(arg, "=")
		switch {
		case !slices.Contains(names, name):
		case joined && (invalid == nil || given == value):
			return slices.Delete(slices.Clone(args), i, i+1), true
		case !joined && invalid == nil && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			return slices.Delete(slices.Clone(args), i, i+2), true // nobody knows whether it takes a value
		case !joined && invalid == nil:
			return slices.Delete(slices.Clone(args), i, i+1), true
		case !joined && i+1 < len(args) && args[i+1] == value:
			return slices.Delete(slices.Clone(args), i, i+2), true
		}
	}
	return args, false
}
