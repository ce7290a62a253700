package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

var errNotConfirmed = errors.New("nothing was done")

// interactive reports whether the user can be prompted.
func (a *app) interactive() bool { return a.InTerminal && a.ErrTerminal && a.output == formatTable }

// confirm shows what is about to happen and waits for confirmation. Without a terminal, running the command is the
// confirmation.
func (a *app) confirm(ctx context.Context, yes bool, sentence, question string) error {
	if yes || !a.interactive() {
		return nil
	}
	if sentence != "" {
		sentence = render.Paragraphs(a.lookAt(a.ErrTerminal), sentence)
	}
	answer, err := a.prompt(ctx, sentence+question+" [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}

// askFirst adds --yes to a command that asks a person at a terminal.
func askFirst(c *cobra.Command) *bool {
	return c.Flags().BoolP("yes", "y", false, "do not ask")
}

// askAlways adds --yes to a dangerous command: one that starts access, takes protection away, or cannot be undone.
func askAlways(c *cobra.Command) *bool {
	return c.Flags().BoolP("yes", "y", false, "do not ask; needed off a terminal")
}

// goOn is the question under a warning that says everything.
const goOn = "Go on?"

// confirmDangerous is confirm for dangerous commands. Off a terminal they have to be meant: --yes is needed.
func (a *app) confirmDangerous(ctx context.Context, c *cobra.Command, yes bool, warning, question string) error {
	if !yes && !a.interactive() {
		return usage(c, "--yes is needed where nobody can be asked. %s", warning)
	}
	return a.confirm(ctx, yes, warning, question)
}

// required refuses a dangerous command without the reason that everybody concerned reads.
func required(c *cobra.Command, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return usage(c, "--reason is needed: everybody concerned is told why")
	}
	return nil
}

// reason returns the reason given with a flag, or prompts for it.
func (a *app) reason(ctx context.Context, given, question string) (string, error) {
	if given != "" || !a.interactive() {
		return given, nil
	}
	return a.prompt(ctx, question+" ")
}

// prompt shows a question and reads a line. It returns early when ctx ends, although the read itself cannot be
// cancelled.
func (a *app) prompt(ctx context.Context, text string) (string, error) {
	if _, err := io.WriteString(a.Err, text); err != nil {
		return "", err
	}
	type typed struct {
		line string
		err  error
	}
	answer := make(chan typed, 1)
	if a.keyboard == nil {
		a.keyboard = bufio.NewReader(a.In)
	}
	go func() {
		line, err := a.keyboard.ReadString('\n')
		answer <- typed{line, err}
	}()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(a.Err)
		return "", ctx.Err()
	case t := <-answer:
		if t.err != nil && (!errors.Is(t.err, io.EOF) || t.line == "") {
			return "", errNotConfirmed
		}
		return strings.TrimSpace(t.line), nil
	}
}

// typedSecret reads a line from the terminal without showing it. If ctx ends, the terminal is as it was before.
func typedSecret(ctx context.Context, question string) ([]byte, error) {
	before, err := term.GetState(fd(os.Stdin))
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(os.Stderr, question); err != nil {
		return nil, err
	}
	type typed struct {
		secret []byte
		err    error
	}
	answer := make(chan typed, 1)
	go func() {
		secret, err := term.ReadPassword(fd(os.Stdin))
		answer <- typed{secret, err}
	}()
	select {
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), term.Restore(fd(os.Stdin), before))
		_, _ = fmt.Fprintln(os.Stderr)
		return nil, err
	case t := <-answer:
		_, _ = fmt.Fprintln(os.Stderr)
		return t.secret, t.err
	}
}
