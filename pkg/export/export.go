// Package export writes the activity log in the formats that other systems read (R39): JSON Lines, CSV, CloudEvents
// 1.0, OCSF and Azure's activity log. It is pure: an entry in, the bytes of one row out. Who may see which entry was
// decided before; nothing of an entry is looked up here. README.md says what becomes what.
package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A Format is one way to write the log.
type Format struct {
	// Name is what programs call it, Title what people do; neither is ever translated.
	Name, Title string
	MediaType   string
	// Extension of a file in it, without the dot.
	Extension string

	head func() ([]byte, error)
	row  func(*lockboxv1.Activity) ([]byte, error)
	last func(sentence string) ([]byte, error)
}

const linesOfJSON = "application/x-ndjson"

// formats are all that there are, as they are offered.
var formats = []Format{
	{"jsonl", "JSON Lines", linesOfJSON, "jsonl", nothing, complete, incomplete},
	{"csv", "CSV", "text/csv; charset=utf-8; header=present", "csv", columnNames, sheetRow, incompleteSheet},
	{"cloudevents", "CloudEvents 1.0", linesOfJSON, "cloudevents.jsonl", nothing, line(cloudEvent), incomplete},
	{"ocsf", "OCSF " + ocsfVersion, linesOfJSON, "ocsf.jsonl", nothing, line(ocsf), incomplete},
	{"azure", "Azure Activity Log", linesOfJSON, "azure.jsonl", nothing, line(azure), incomplete},
}

// Formats lists them, as they are offered.
func Formats() []Format { return append([]Format(nil), formats...) }

// Named finds a format.
func Named(name string) (Format, bool) {
	for _, f := range formats {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// Names are what programs call the formats.
func Names() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.Name
	}
	return names
}

// Head is what a file begins with.
func (f Format) Head() ([]byte, error) { return f.head() }

// Row is one entry, with its line break: one line, except in CSV, whose cells may hold line breaks inside of quotes.
func (f Format) Row(a *lockboxv1.Activity) ([]byte, error) { return f.row(a) }

// Incomplete is the last row of a file that does not hold everything. Readers of the format do not take it for an
// entry.
func (f Format) Incomplete(sentence string) ([]byte, error) { return f.last(sentence) }

func nothing() ([]byte, error) { return nil, nil }

// complete is an Activity as protobuf's JSON, with the field names of the .proto files, as the command line writes it.
// Nothing of the event is left out.
func complete(a *lockboxv1.Activity) ([]byte, error) {
	raw, err := protoJSON(a)
	if err != nil {
		return nil, err
	}
	return append(harmless(raw), '\n'), nil
}

func protoJSON(m proto.Message) (json.RawMessage, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Compact(&b, raw) // protojson's own blanks differ from build to build on purpose
	return b.Bytes(), err
}

// line writes what an entry becomes as JSON on one line.
func line[T any](become func(*lockboxv1.Activity) (T, error)) func(*lockboxv1.Activity) ([]byte, error) {
	return func(a *lockboxv1.Activity) ([]byte, error) {
		v, err := become(a)
		if err != nil {
			return nil, err
		}
		return jsonLine(v)
	}
}

func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return append(harmless(bytes.TrimSuffix(b.Bytes(), []byte{'\n'})), '\n'), nil
}

func incomplete(sentence string) ([]byte, error) {
	return jsonLine(map[string]string{"incomplete": sentence})
}

// harmless escapes what JSON allows in a text and what yet would steer the terminal or the editor of whoever looks at
// the file, or end a line for some programs. It is the same JSON.
func harmless(line []byte) []byte {
	if bytes.IndexFunc(line, steers) < 0 {
		return line
	}
	var b bytes.Buffer
	for _, r := range string(line) {
		switch high, low := utf16.EncodeRune(r); {
		case !steers(r):
			b.WriteRune(r)
		case high != unicode.ReplacementChar:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

// steers reports whether a character is a command rather than a letter: control characters, the invisible ones that
// reorder text, and what is a line break only for some.
func steers(r rune) bool {
	return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029'
}

// side is whose side somebody acted on: tenant, provider or system.
func side(a *lockboxv1.Actor) string {
	return strings.ToLower(strings.TrimPrefix(a.GetSide().String(), "SIDE_"))
}

// name is what somebody is called; empty: it was Lockbox itself.
func name(a *lockboxv1.Actor) string {
	for _, s := range []string{a.GetPerson().GetDisplayName(), a.GetPerson().GetEmail(), a.GetPerson().GetSubject()} {
		if s != "" {
			return s
		}
	}
	return ""
}
