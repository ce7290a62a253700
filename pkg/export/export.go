// Package export writes the activity log in formats for other systems (R39): JSON Lines, CSV, CloudEvents 1.0, OCSF and
// Azure's activity log. It is pure: an entry in, the bytes of one row out. Callers have already decided who may see
// which entry, and nothing is looked up here. README.md documents the mappings.
package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Format is an export format of the log.
type Format struct {
	// Name identifies it for programs, Title for people; neither is translated.
	Name, Title string
	MediaType   string
	// Extension of a file in this format, without the dot.
	Extension string

	head func() ([]byte, error)
	row  func(*lockboxv1.Activity) ([]byte, error)
	last func(sentence string) ([]byte, error)
	// access writes an access record; nil if the format has none.
	access func(uint64, *lockboxv1.AccessRecord) ([]byte, error)
}

const linesOfJSON = "application/x-ndjson"

// formats are all formats, in display order.
var formats = []Format{
	{"jsonl", "JSON Lines", linesOfJSON, "jsonl", nothing, complete, incomplete,
		accessLine(accessComplete)},
	{"csv", "CSV", "text/csv; charset=utf-8; header=present", "csv", columnNames, sheetRow, incompleteSheet,
		nil},
	{"cloudevents", "CloudEvents 1.0", linesOfJSON, "cloudevents.jsonl", nothing, line(cloudEvent), incomplete,
		accessLine(accessEvent)},
	{"ocsf", "OCSF " + ocsfVersion, linesOfJSON, "ocsf.jsonl", nothing, line(ocsf), incomplete,
		accessLine(ocsfAccess)},
	{"azure", "Azure Activity Log", linesOfJSON, "azure.jsonl", nothing, line(azure), incomplete,
		accessLine(azureAccess)},
}

// Formats returns all formats, in display order.
func Formats() []Format { return append([]Format(nil), formats...) }

// marked is CSV as spreadsheets read it. It is not listed: whoever exports CSV can ask for the mark.
var marked = Format{"csv-bom", "CSV with a byte order mark", "text/csv; charset=utf-8; header=present", "csv",
	markedColumnNames, sheetRow, incompleteSheet, nil}

// Named returns the format with a name: one of Formats, or csv-bom, which is csv behind a byte order mark.
func Named(name string) (Format, bool) {
	for _, f := range append(Formats(), marked) {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// Names returns the names of all formats.
func Names() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.Name
	}
	return names
}

// Head returns the beginning of a file, before the first row.
func (f Format) Head() ([]byte, error) { return f.head() }

// Row returns one entry with its line break: a single line, except in CSV, whose quoted cells may contain line breaks.
func (f Format) Row(a *lockboxv1.Activity) ([]byte, error) { return f.row(a) }

// Access returns an access record (R69), stored at this sequence of its own stream, with its line break. Files of the
// log hold none; CSV, which is for those, refuses.
func (f Format) Access(sequence uint64, r *lockboxv1.AccessRecord) ([]byte, error) {
	if f.access == nil {
		return nil, fmt.Errorf("%s has no access records", f.Title)
	}
	return f.access(sequence, r)
}

// Incomplete returns the last row of a file that is not complete. Readers of the format do not mistake it for an entry.
func (f Format) Incomplete(sentence string) ([]byte, error) { return f.last(sentence) }

func nothing() ([]byte, error) { return nil, nil }

// complete returns an Activity as protobuf JSON with the field names of the .proto files, as the command line prints
// it. It omits nothing of the event.
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
	err = json.Compact(&b, raw) // protojson deliberately varies its whitespace between builds
	return b.Bytes(), err
}

// line returns a function that converts an entry and writes it as one line of JSON.
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

// harmless escapes characters that JSON allows in strings but that a terminal or an editor would interpret, or that
// some programs take for line breaks. The JSON value stays the same.
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

// steers reports whether a character affects how text is displayed: control characters, bidirectional controls, and
// characters that only some programs take for line breaks.
func steers(r rune) bool {
	return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029'
}

// side returns the actor's side: tenant, provider or system.
func side(a *lockboxv1.Actor) string {
	return strings.ToLower(strings.TrimPrefix(a.GetSide().String(), "SIDE_"))
}

// name returns the actor's display name; empty for Lockbox itself. Of somebody whose name was erased (R63) it says so
// behind their subject, which stays.
func name(a *lockboxv1.Actor) string {
	if a.GetPerson().GetErased() {
		return strings.TrimSpace(a.GetPerson().GetSubject() + " " + erasable.Erased)
	}
	for _, s := range []string{a.GetPerson().GetDisplayName(), a.GetPerson().GetEmail(), a.GetPerson().GetSubject()} {
		if s != "" {
			return s
		}
	}
	return ""
}
