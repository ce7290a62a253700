package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/internal/strict"
	"github.com/openlockbox/lockbox/pkg/written"
	"go.yaml.in/yaml/v3"
)

// reader sets values from a file.
type reader struct{ *strict.File }

func (r reader) value(n *yaml.Node, v reflect.Value) error {
	switch {
	case isText(v) || v.Type() == reflect.TypeFor[time.Duration]():
		return r.scalar(n, v)
	case v.Kind() == reflect.Struct:
		return r.object(n, v)
	case v.Kind() == reflect.Slice:
		list, err := r.List(n)
		if err != nil {
			return err
		}
		all := reflect.MakeSlice(v.Type(), len(list), len(list))
		for i, n := range list {
			if err := r.value(n, all.Index(i)); err != nil {
				return err
			}
		}
		v.Set(all)
		return nil
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		entries, err := r.Entries(n)
		if err != nil {
			return err
		}
		all := reflect.MakeMap(v.Type())
		for _, e := range entries {
			elem := reflect.New(v.Type().Elem()).Elem()
			if err := r.value(e.Value, elem); err != nil {
				return err
			}
			all.SetMapIndex(reflect.ValueOf(e.Key.Value).Convert(v.Type().Key()), elem)
		}
		v.Set(all)
		return nil
	}
	return r.scalar(n, v)
}

func (r reader) object(n *yaml.Node, v reflect.Value) error {
	entries, err := r.Entries(n)
	if err != nil {
		return err
	}
	known := fields(v)
	keys := make([]string, len(known))
	for i, f := range known {
		keys[i] = f.key
	}
	for _, e := range entries {
		i := slices.Index(keys, e.Key.Value)
		if i < 0 && slices.Contains(keys, e.Key.Value+"_file") {
			return r.Errorf(e.Key, "a secret is never in the configuration; give the path of a file that holds it as %q",
				e.Key.Value+"_file")
		}
		if i < 0 {
			return r.Errorf(e.Key, "unknown key %q%s", e.Key.Value, input.DidYouMean(e.Key.Value, keys))
		}
		if err := r.value(e.Value, known[i].value); err != nil {
			return err
		}
	}
	return nil
}

// scalar sets a single value. A number or boolean must be one in YAML, too: a quoted string is not.
func (r reader) scalar(n *yaml.Node, v reflect.Value) error {
	switch {
	case isText(v) || v.Type() == reflect.TypeFor[time.Duration]():
		// it parses itself
	case v.Kind() == reflect.String:
		s, err := r.String(n)
		if err == nil {
			v.SetString(s)
		}
		return err
	case v.Kind() == reflect.Bool:
		b, err := r.Bool(n)
		if err == nil {
			v.SetBool(b)
		}
		return err
	case n.Kind == yaml.ScalarNode && n.Tag != "!!int" && n.Tag != "!!float":
		return r.Errorf(n, "want a number")
	}
	s, err := r.Scalar(n)
	if err != nil {
		return err
	}
	if err := fromText(v, s); err != nil {
		return r.Errorf(n, "%v", err)
	}
	return nil
}

// fromText sets a value from the text of an environment variable or a scalar. Its errors do not contain the text.
func fromText(v reflect.Value, s string) error {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := written.Duration(s)
		if err != nil {
			return errors.New("want a duration with its unit, such as 4d, 8h, 30m or 90s")
		}
		v.SetInt(int64(d))
		return nil
	}
	if isText(v) {
		u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
		if !ok || u.UnmarshalText([]byte(s)) != nil {
			return errors.New("is not of the form that is wanted here")
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return nil
	case reflect.Bool:
		if s != "true" && s != "false" {
			return errors.New("want true or false")
		}
		v.SetBool(s == "true")
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return errors.New("want a whole number that fits")
		}
		v.SetInt(i)
		return nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			return errors.New("want a whole number that fits, not below zero")
		}
		v.SetUint(u)
		return nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return errors.New("want a number")
		}
		v.SetFloat(f)
		return nil
	case reflect.Slice:
		return listFromText(v, s)
	default:
		return fmt.Errorf("a %v can only be set in the file", v.Type())
	}
}

func listFromText(v reflect.Value, s string) error {
	if k := v.Type().Elem().Kind(); k == reflect.Struct || k == reflect.Slice || k == reflect.Map {
		return fmt.Errorf("a %v can only be set in the file", v.Type())
	}
	var parts []string
	if s != "" {
		parts = strings.Split(s, ",")
	}
	all := reflect.MakeSlice(v.Type(), len(parts), len(parts))
	for i, part := range parts {
		if err := fromText(all.Index(i), strings.TrimSpace(part)); err != nil {
			return fmt.Errorf("element %d: %w", i+1, err)
		}
	}
	v.Set(all)
	return nil
}

// isText reports whether a value parses itself from text.
func isText(v reflect.Value) bool {
	return v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
