package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/client"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/spf13/cobra"
)

func TestEveryRefusalHasItsExitCode(t *testing.T) {
	want := map[lockboxv1.RefusalCode]int{
		lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED:     1,
		lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:         3,
		lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED: 4,
		lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN:       5,
		lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:       6,
		lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT:        7,
		lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:    8,
		lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:     9,
	}
	for number, name := range lockboxv1.RefusalCode_name {
		code := lockboxv1.RefusalCode(number)
		expected, known := want[code]
		if !known {
			t.Errorf("%s has no exit code of its own", name)
		}
		err := fmt.Errorf("wrapped: %w", refusal.New(code, "field", "R1", "no"))
		if got := ExitCode(err); got != expected {
			t.Errorf("%s: %d, want %d", name, got, expected)
		}
	}
}

func TestOtherErrorsHaveExitCodesToo(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want int
	}{
		"none":                 {nil, 0},
		"any":                  {errors.New("any"), 1},
		"not confirmed":        {errNotConfirmed, 1},
		"corrupt stream":       {&journal.CorruptError{Seq: 1, Rule: "r"}, 1},
		"usage":                {usage(&cobra.Command{}, "wrong"), 2},
		"usage of a refusal":   {usage(&cobra.Command{}, "%w", refusal.Forbidden("", "", "x")), 2},
		"nothing runs":         {fmt.Errorf("here: %w", errNothingRuns), 9},
		"not running any more": {fmt.Errorf("%w: x", client.ErrNotRunning), 9},
		"write unknown":        {fmt.Errorf("x: %w", journal.ErrUnknown), 9},
		"interrupted":          {errInterrupted, 130},
		"a receipt":            {fmt.Errorf("%w: x", verifier.ErrNotProven), 10},
		"a contradiction":      {fmt.Errorf("%w: x", verifier.ErrContradiction), 10},
		"a missing quorum":     {fmt.Errorf("%w: x", verifier.ErrNotTrusted), 14},
		"a stale checkpoint":   {fmt.Errorf("%w: x", verifier.ErrStale), 15},
		"nothing proved":       {fmt.Errorf("%w: x", verifier.ErrInconclusive), 16},
	} {
		if got := ExitCode(row.err); got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

func TestEveryExitCodeIsExplained(t *testing.T) {
	var help string
	for _, topic := range topics() {
		if topic.Name() == "exit-codes" {
			help = topic.Long
		}
	}
	for code := exitOK; code <= exitUnavailable; code++ {
		if !strings.Contains(help, fmt.Sprintf("\n    %d  ", code)) {
			t.Errorf("exit code %d is not in lockbox help exit-codes", code)
		}
	}
}

// nobody is an environment in which nothing runs.
func nobody(t testing.TB) (Environment, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	var out, errs bytes.Buffer
	dir := t.TempDir()
	return Environment{
		In: strings.NewReader(""), Out: &out, Err: &errs, Width: func() int { return 80 }, Zone: time.UTC,
		Now:    func() time.Time { return time.Date(2026, 5, 12, 12, 30, 0, 0, time.UTC) },
		Getenv: func(key string) string { return map[string]string{"HOME": dir}[key] },
	}, &out, &errs
}

// each visits every command of the tree.
func each(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, below := range c.Commands() {
		each(below, visit)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	env, _, _ := nobody(t)
	each(New(env), func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its short help is %q", c.CommandPath(), c.Short)
		}
		own := c.HasParent() && c.Name() != "help" && c.Name() != "completion" && c.Parent().Name() != "completion"
		if own && c.Runnable() && !c.HasSubCommands() && c.Example == "" && c.Name() != "version" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if own && c.Runnable() && c.Args == nil {
			t.Errorf("%s takes any arguments", c.CommandPath())
		}
		if own && c.Runnable() && !c.HasSubCommands() && c.ValidArgsFunction == nil {
			t.Errorf("%s suggests files for its arguments", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len([]rune(strings.TrimRight(line, "\n"))) > 130 {
				t.Errorf("%s: a line of its help is too long: %s", c.CommandPath(), line)
			}
		}
	})
}

func TestExamplesAreCommandLines(t *testing.T) {
	env, _, _ := nobody(t)
	each(New(env), func(c *cobra.Command) {
		example := strings.ReplaceAll(c.Example, "\\\n", " ")
		for line := range strings.Lines(example) {
			words := strings.Fields(line)
			if len(words) == 0 || words[0] != "lockbox" || words[1] == "up" || strings.Contains(line, "$(") {
				continue
			}
			found, rest, err := New(env).Find(words[1:])
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			for _, word := range rest {
				if name, is := strings.CutPrefix(word, "--"); is && found.Flag(name) == nil &&
					found.InheritedFlags().Lookup(name) == nil {
					t.Errorf("the example %q uses --%s, which %s does not have", strings.TrimSpace(line), name, found.CommandPath())
				}
			}
		}
	})
}

func TestErrorsOfTheCommandLineNameTheCommand(t *testing.T) {
	for line, want := range map[string]string{
		"request":                   "",
		"nonsense":                  `there is no command "lockbox nonsense"`,
		"approval aprove X":         "did you mean approve?",
		"approval approve":          "missing argument: REQUEST",
		"approval ask X":            "missing argument: QUESTION",
		"request show A B":          "unexpected: B",
		"tenant show a b":           "unexpected: b",
		"request list --limit many": `--limit: "many" is no`,
		"request list --limit many --status x --colour --waived x": "4 things are wrong",
		"request list --color pink":                                "want one of auto, always, never",
		"audit replay --type Everything":                           `there is no fact or action "Everything"`,
	} {
		env, _, errs := nobody(t)
		code := Run(context.Background(), strings.Fields(line+" --url nats://127.0.0.1:1 --keys /nowhere"), env)
		if want == "" && code != 0 || want != "" && (code != 2 || !strings.Contains(errs.String(), want)) {
			t.Errorf("%s: exit code %d, %s; want %q", line, code, errs, want)
		}
	}
}

func TestCommandsFromElsewhereBelong(t *testing.T) {
	env, out, errs := nobody(t)
	other := func() *cobra.Command {
		return &cobra.Command{Use: "other", Short: "Something else", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				dir, err := DataDir(c)
				_, _ = fmt.Fprintln(c.OutOrStdout(), dir)
				return err
			}}
	}
	if code := Run(context.Background(), []string{"other", "surplus"}, env, other()); code != 2 ||
		!strings.Contains(errs.String(), "lockbox other --help") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if code := Run(context.Background(), []string{"other", "--data", "/somewhere"}, env, other()); code != 0 ||
		out.String() != "/somewhere\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestWhoIsInterruptedAtAPromptLeaves(t *testing.T) {
	env, _, errs := nobody(t)
	reader, writer := io.Pipe()
	t.Cleanup(func() { _ = writer.Close() })
	env.In, env.InTerminal, env.ErrTerminal = reader, true, true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&app{Environment: env}).confirm(ctx, false, "This.", "Allow it?"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v (%s)", err, errs)
	}
}

func TestErrorsAreInTheFormThatWasAskedFor(t *testing.T) {
	for line, want := range map[string]string{
		"request list":                 "Error: no Lockbox is running here",
		"request list -o json":         "\"code\": \"ERROR\"",
		"--output=yaml request list":   "error:\n  exit_code: 9\n",
		"request list --bogus -ojson":  "\"exit_code\": 2",
		"request list --bogus -o yaml": "exit_code: 2",
		"request list --color always":  "\x1b[31mError:\x1b[m",
	} {
		env, _, errs := nobody(t)
		Run(context.Background(), strings.Fields(line), env)
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %q, want %q in it", line, errs, want)
		}
	}
}

func TestALookFollowsTheTerminal(t *testing.T) {
	for name, row := range map[string]struct {
		terminal             bool
		env                  map[string]string
		color                when
		wantColor, wantGlyph bool
		width                int
	}{
		"a terminal":         {terminal: true, wantColor: true, wantGlyph: true, width: 80},
		"a pipe":             {},
		"no colour wanted":   {terminal: true, env: map[string]string{"NO_COLOR": "1"}, width: 80},
		"a dumb terminal":    {terminal: true, env: map[string]string{"TERM": "dumb"}, width: 80},
		"never":              {terminal: true, color: colorNever, width: 80},
		"always into a pipe": {color: colorAlways, wantColor: true, wantGlyph: true},
		"always beats NO_COLOR": {color: colorAlways, env: map[string]string{"NO_COLOR": "1"}, wantColor: true,
			wantGlyph: true},
		"a locale without Unicode": {terminal: true, env: map[string]string{"LC_ALL": "C"}, wantColor: true, width: 80},
		"a UTF-8 locale": {terminal: true, env: map[string]string{"LANG": "de_DE.UTF-8"}, wantColor: true,
			wantGlyph: true, width: 80},
	} {
		env, _, _ := nobody(t)
		env.Getenv = func(key string) string { return row.env[key] }
		l := (&app{Environment: env, color: row.color}).lookAt(row.terminal)
		if l.Color != row.wantColor || l.Unicode != row.wantGlyph || l.Width != row.width {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestAPersonIsAskedAndNobodyElse(t *testing.T) {
	for name, row := range map[string]struct {
		answer               string
		yes, person, program bool
		asked, done          bool
	}{
		"yes":             {answer: "y\n", person: true, asked: true, done: true},
		"yes in full":     {answer: "Yes\n", person: true, asked: true, done: true},
		"no":              {answer: "n\n", person: true, asked: true},
		"just return":     {answer: "\n", person: true, asked: true},
		"end of input":    {person: true, asked: true},
		"yes, no newline": {answer: "y", person: true, asked: true, done: true},
		"said beforehand": {yes: true, person: true, done: true},
		"a script":        {done: true},
		"a program":       {person: true, program: true, done: true},
	} {
		env, _, errs := nobody(t)
		env.In, env.InTerminal, env.ErrTerminal = strings.NewReader(row.answer), row.person, row.person
		a := &app{Environment: env}
		if row.program {
			a.output = formatJSON
		}
		err := a.confirm(context.Background(), row.yes, "This allows it.", "Allow it?")
		if (err == nil) != row.done || (errs.Len() > 0) != row.asked {
			t.Errorf("%s: %v, %q", name, err, errs)
		}
		if row.asked && !strings.Contains(errs.String(), "This allows it.\nAllow it? [y/N] ") {
			t.Errorf("%s: asked %q", name, errs)
		}
	}
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	env, _, _ := nobody(t)
	reader, writer := io.Pipe()
	_ = reader.Close()
	env.Out = writer
	if code := Run(context.Background(), []string{"version"}, env); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
