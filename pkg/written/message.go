package written

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/internal/strict"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const rule = "bad input"

// Message reads a message from JSON or YAML, in UTF-8 with or without a byte order mark. Members have the names of
// protobuf's JSON encoding or of the contract (resourceIds, resource_ids); a text stays as it is written (0012345);
// null is absent. It refuses (INVALID) anything else, by the member and the line; m may be partly filled then.
func Message(data []byte, m proto.Message) error {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF"))
	if !utf8.Valid(data) {
		return refusal.Invalid("message", rule, "must be UTF-8")
	}
	parse, json := strict.Parse, bytes.HasPrefix(bytes.TrimSpace(data), []byte("{"))
	if json {
		parse = strict.ParseJSON
	}
	f, err := parse("line", data)
	if err != nil {
		return refusal.Invalid("message", rule, "is neither JSON nor YAML: %s", err)
	}
	if f.Root() == nil {
		return nil
	}
	return reader{f, json}.message(m.ProtoReflect(), f.Root(), "")
}

// Field reads one field of a message from its JSON value. It refuses (INVALID) a value of the wrong kind, by the
// field's name in JSON.
func Field(data []byte, m protoreflect.Message, fd protoreflect.FieldDescriptor) error {
	f, err := strict.ParseJSON("line", data)
	if err != nil || f.Root() == nil {
		return refusal.Invalid(fd.JSONName(), rule, "is no JSON")
	}
	return reader{f, true}.field(m, fd, f.Root(), fd.JSONName())
}

// reader reads a parsed file. In JSON, a text is no number; in YAML, what looks like one may be a text.
type reader struct {
	*strict.File
	json bool
}

func (r reader) message(m protoreflect.Message, n *yaml.Node, at string) error {
	entries, err := r.Entries(n)
	if err != nil {
		return refusal.Invalid(or(at, "message"), rule, "%s", err)
	}
	given := map[protoreflect.Name]bool{}
	for _, e := range entries {
		fields, name := m.Descriptor().Fields(), e.Key.Value
		fd := fields.ByJSONName(name)
		if fd == nil {
			fd = fields.ByTextName(name)
		}
		path := strings.TrimPrefix(at+"."+name, ".")
		if fd == nil {
			return refusal.Invalid(path, rule, "is not known (line %d)%s", e.Key.Line, input.DidYouMean(name, names(fields)))
		}
		one := fd.Name()
		if oneof := fd.ContainingOneof(); oneof != nil {
			one = oneof.Name()
		}
		if given[one] {
			return refusal.Invalid(path, rule, "is given twice, or beside what it excludes (line %d)", e.Key.Line)
		}
		given[one] = true
		if err := r.field(m, fd, e.Value, path); err != nil {
			return err
		}
	}
	return nil
}

func (r reader) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, n *yaml.Node, at string) error {
	values := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil
	case n.Kind == yaml.SequenceNode && fd.IsList():
		values = n.Content
	case fd.IsMap():
		return refusal.Invalid(at, rule, "cannot be written by hand")
	}
	for _, each := range values {
		v, err := r.value(m, fd, each, at)
		switch {
		case err != nil:
			return err
		case fd.IsList():
			m.Mutable(fd).List().Append(v)
		default:
			m.Set(fd, v)
		}
	}
	return nil
}

// value reads one value; of a repeated field, one of its values.
func (r reader) value(
	m protoreflect.Message, fd protoreflect.FieldDescriptor, n *yaml.Node, at string,
) (v protoreflect.Value, err error) {
	if fd.Message() != nil {
		inner := m.NewField(fd)
		if fd.IsList() {
			inner = inner.List().NewElement()
		}
		switch to := inner.Message().Interface().(type) {
		case *durationpb.Duration:
			var d time.Duration
			d, err = scalar(r, n, Duration)
			proto.Merge(to, durationpb.New(d))
		case *timestamppb.Timestamp:
			var t time.Time
			t, err = scalar(r, n, instant)
			proto.Merge(to, timestamppb.New(t))
		default:
			return inner, r.message(inner.Message(), n, at)
		}
		return inner, r.refuse(err, n, at)
	}
	if r.json && n.Kind == yaml.ScalarNode && n.Tag != "!!str" && fd.Kind() == protoreflect.StringKind {
		return v, r.refuse(errors.New("is no text"), n, at)
	}
	v, err = scalar(r, n, func(s string) (protoreflect.Value, error) { return of(fd, s) })
	return v, r.refuse(err, n, at)
}

func (r reader) refuse(err error, n *yaml.Node, at string) error {
	if err == nil {
		return nil
	}
	return refusal.Invalid(at, rule, "%s (line %d)", err, n.Line)
}

// scalar parses a single value.
func scalar[T any](r reader, n *yaml.Node, parse func(string) (T, error)) (v T, err error) {
	s, err := r.Scalar(n)
	if err != nil {
		return v, errors.New("is not a single value")
	}
	return parse(s)
}

func instant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(s))
	if err != nil {
		return t, fmt.Errorf("%.40q is no time; write it as 2026-03-14T18:52:01Z", s)
	}
	return t, nil
}

// of parses a value that is no message.
func of(fd protoreflect.FieldDescriptor, s string) (v protoreflect.Value, err error) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(s), nil
	case protoreflect.BoolKind:
		if s != "true" && s != "false" {
			return v, fmt.Errorf("%.40q is neither true nor false", s)
		}
		return protoreflect.ValueOfBool(s == "true"), nil
	case protoreflect.EnumKind:
		n, err := Enum(fd.Enum(), s)
		return protoreflect.ValueOfEnum(n), err
	case protoreflect.Int32Kind:
		n, err := strconv.ParseInt(s, 10, 32)
		return protoreflect.ValueOfInt32(int32(n)), whole(s, err) // #nosec G115 -- it was read as 32 bits
	case protoreflect.Int64Kind:
		n, err := strconv.ParseInt(s, 10, 64)
		return protoreflect.ValueOfInt64(n), whole(s, err)
	case protoreflect.Uint32Kind:
		n, err := strconv.ParseUint(s, 10, 32)
		return protoreflect.ValueOfUint32(uint32(n)), whole(s, err) // #nosec G115 -- it was read as 32 bits
	case protoreflect.Uint64Kind:
		n, err := strconv.ParseUint(s, 10, 64)
		return protoreflect.ValueOfUint64(n), whole(s, err)
	case protoreflect.BytesKind:
		// Standard or URL alphabet, padded or not.
		plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
		b, err := base64.RawStdEncoding.DecodeString(plain)
		if err != nil {
			return v, errors.New("is no Base64")
		}
		return protoreflect.ValueOfBytes(b), nil
	default:
		return v, errors.New("cannot be written by hand")
	}
}

func whole(s string, err error) error {
	if err != nil {
		return fmt.Errorf("%.40q is no whole number that fits", s)
	}
	return nil
}

func names(fields protoreflect.FieldDescriptors) []string {
	var list []string
	for i := range fields.Len() {
		list = append(list, fields.Get(i).JSONName())
	}
	return list
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
