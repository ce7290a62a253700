package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// faultsError is everything that is wrong with one input. To programs it is the first fault.
type faultsError struct{ all []error }

func (e *faultsError) Error() string { return strings.Join(e.sentences(), " ") }

func (e *faultsError) sentences() []string {
	list := make([]string, len(e.all))
	for i, err := range e.all {
		if r, refused := refusal.As(err); refused {
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
