package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

// format is an output format.
type format string

const (
	formatTable format = ""
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

var formats = []string{"table", "json", "yaml"}

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	if !slices.Contains(formats, s) {
		return fmt.Errorf("want one of %s", strings.Join(formats, ", "))
	}
	*f = format(s)
	if s == "table" {
		*f = formatTable
	}
	return nil
}

func (f *format) String() string { return first(string(*f), "table") }

// Type is the placeholder for the flag's value in the help.
func (*format) Type() string { return "format" }

// when says when to use colours.
type when string

const (
	colorAuto   when = ""
	colorAlways when = "always"
	colorNever  when = "never"
)

var whens = []string{"auto", "always", "never"}

// Set implements pflag.Value.
func (w *when) Set(s string) error {
	if !slices.Contains(whens, s) {
		return fmt.Errorf("want one of %s", strings.Join(whens, ", "))
	}
	*w = when(s)
	if s == "auto" {
		*w = colorAuto
	}
	return nil
}

func (w *when) String() string { return first(string(*w), "auto") }

// Type is the placeholder for the flag's value in the help.
func (*when) Type() string { return "when" }

// look returns what stdout can display.
func (a *app) look() render.Look { return a.lookAt(a.OutTerminal) }

// lookAt returns what a stream can display: colours and Unicode ornaments on a terminal, unless disabled
// (no-color.org).
func (a *app) lookAt(terminal bool) render.Look {
	color := terminal && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb"
	switch a.color {
	case colorAlways:
		color = true
	case colorNever:
		color = false
	case colorAuto:
	}
	l := render.Look{Color: color, Unicode: color && a.speaksUTF8(), Zone: a.Zone, Now: a.Now()}
	if terminal {
		l.Width = a.Width()
	}
	return l
}

// speaksUTF8 follows the locale; without one, UTF-8 is assumed.
func (a *app) speaksUTF8() bool {
	locale := strings.ToLower(first(a.Getenv("LC_ALL"), a.Getenv("LC_CTYPE"), a.Getenv("LANG")))
	return locale == "" || strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// page is one answer: JSON for programs, text for people.
type page struct {
	json  func() (string, error)
	human func(render.Look) string
}

// answer returns a page that shows a protobuf message.
func answer(m proto.Message, human func(render.Look) string) page {
	return page{func() (string, error) { return render.JSON(m) }, human}
}

// show writes a protobuf message as an answer.
func (a *app) show(m proto.Message, human func(render.Look) string) error {
	return a.write(answer(m, human))
}

// write writes a page in the selected output format.
func (a *app) write(p page) error {
	text, err := a.text(p)
	if err == nil {
		_, err = io.WriteString(a.Out, text)
	}
	return err
}

func (a *app) text(p page) (string, error) {
	if a.output == formatTable {
		return p.human(a.look()), nil
	}
	text, err := p.json()
	if err == nil && a.output == formatYAML {
		text, err = render.YAML(text)
	}
	return text, err
}

// say writes a message to the user; it writes nothing with JSON or YAML output.
func (a *app) say(text string) error {
	if a.output != formatTable {
		return nil
	}
	_, err := fmt.Fprintln(a.Out, text)
	return err
}

// done reports the result of a command: that nothing had to change, or else the sentence, whose arguments must be
// clean.
func (a *app) done(reply *lockboxv1.CommandReply, sentence string, args ...any) error {
	return a.show(reply, func(l render.Look) string {
		if reply.GetEventId() == "" {
			why := strings.TrimPrefix(first(reply.GetMessage(), "it is so already"), "nothing to do: ")
			return render.Paragraphs(l, "Nothing to do: "+why+".")
		}
		if reply.GetMessage() != "" {
			return render.Sentence(l, fmt.Sprintf(sentence, args...)) +
				render.Paragraphs(l, "Note: "+render.Clean(reply.GetMessage())+".")
		}
		return render.Sentence(l, fmt.Sprintf(sentence, args...))
	})
}

const watchPause = 2 * time.Second

// watchable adds --watch to a command that lists.
func watchable(c *cobra.Command) *bool {
	return c.Flags().BoolP("watch", "w", false, "show it again whenever it changes")
}

// list shows a page. With watch it shows it again and again until ctx ends: on a terminal in place, with countdowns,
// elsewhere whenever something has changed.
func (a *app) list(ctx context.Context, watch bool, get func() (page, error)) error {
	if !watch {
		p, err := get()
		if err != nil {
			return err
		}
		return a.write(p)
	}
	inPlace := a.OutTerminal && a.output == formatTable
	if inPlace {
		if _, err := io.WriteString(a.Out, "\x1b[?1049h"); err != nil { // the alternate screen
			return err
		}
	}
	var last glimpsed
	if inPlace {
		// Leaves the last page on the normal screen.
		defer func() { _, _ = io.WriteString(a.Out, "\x1b[?1049l"+last.shown) }()
	}
	for {
		seen, err := a.glimpse(get)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && ExitCode(err) == exitUnavailable && last.json != "":
			a.complain(err)
			seen, err = last, nil
		case err != nil:
			return err
		case inPlace:
			err = a.redraw(seen.shown)
		case seen.json != last.json:
			_, err = io.WriteString(a.Out, seen.shown)
		}
		if err != nil {
			return err
		}
		last = seen
		if sleep(ctx, watchPause) != nil {
			return nil
		}
	}
}

// glimpsed is a page as shown and as JSON. Changes are detected in the JSON, because the countdowns of the text change
// every second.
type glimpsed struct{ shown, json string }

func (a *app) glimpse(get func() (page, error)) (g glimpsed, err error) {
	p, err := get()
	if err != nil {
		return g, err
	}
	if g.json, err = p.json(); err != nil {
		return g, err
	}
	g.shown, err = a.text(p)
	return g, err
}

// redraw overwrites the screen line by line, which avoids flicker.
func (a *app) redraw(text string) error {
	head := a.Now().In(a.Zone).Format("15:04:05") + ", every " + watchPause.String() + "; Ctrl-C ends\n\n"
	text = "\x1b[H" + strings.ReplaceAll(head+text, "\n", "\x1b[K\n") + "\x1b[J"
	_, err := io.WriteString(a.Out, text)
	return err
}

// record writes one of a sequence of records: as text for people, as one line of JSON, or as a YAML document; both of
// the latter are made from the message's JSON.
func (a *app) record(out io.Writer, text func() string, m proto.Message, value func(json.RawMessage) any) error {
	if a.output == formatTable {
		return a.recordValue(out, text, nil)
	}
	raw, err := render.RecordJSON(m)
	if err != nil {
		return err
	}
	return a.recordValue(out, text, value(raw))
}

// recordValue is record for what no message holds.
func (a *app) recordValue(out io.Writer, text func() string, value any) error {
	var written string
	if a.output == formatTable {
		written = text()
	} else {
		var err error
		if written, err = render.Line(value); err != nil {
			return err
		}
		if a.output == formatYAML {
			if written, err = render.YAML(written); err != nil {
				return err
			}
			written = "---\n" + written
		}
	}
	_, err := io.WriteString(out, written)
	return err
}
