// Package config reads a program's configuration: a YAML file, overridden by environment variables. It fails instead of
// guessing: an unknown key or LOCKBOX_CONFIG_ variable is fatal, reported with its line and a suggestion; a duration
// must have a unit; and a secret is never part of it, only the path of a file that holds one.
//
// A configuration is a struct whose fields have yaml tags. Its values before Load are the defaults.
//
//	type Config struct {
//		Listen   string        `yaml:"listen"`
//		Deadline time.Duration `yaml:"deadline"` // 4d
//		SMTP     struct {
//			Host         string            `yaml:"host"` // LOCKBOX_CONFIG_SMTP_HOST
//			PasswordFile config.SecretFile `yaml:"password_file"`
//		} `yaml:"smtp"`
//	}
package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/internal/strict"
)

// Prefix is the prefix of the environment variables that Load reads. Nothing else has it: the command line's own
// variables begin with LOCKBOX_, and so do those that Kubernetes makes for a Service called lockbox.
const Prefix = "LOCKBOX_CONFIG_"

// former is what Prefix was; a setting's variable may still have it.
const former = "LOCKBOX_"

// Checker is a configuration that can check itself. Load calls Check last.
type Checker interface{ Check() error }

// Load reads the YAML file at path (none if path is empty) and then the variables in env (as from os.Environ) that
// begin with Prefix into a configuration. A variable is named after its key: LOCKBOX_CONFIG_SMTP_HOST is smtp.host. The
// elements of a list are separated by commas; maps, and lists of anything but single values, can only be set in the
// file. If *T is a Checker, Load ends with Check. Errors name the file and line, or the variable, but never a
// variable's value.
func Load[T any](path string, env []string, into *T) error {
	root := reflect.ValueOf(into).Elem()
	if root.Kind() != reflect.Struct {
		return fmt.Errorf("config: %v is not a struct", root.Type())
	}
	leaves := make(map[string]reflect.Value)
	if err := collect(root, "", leaves); err != nil {
		return err
	}
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading the configuration: %w", err)
		}
		f, err := strict.Parse(path, data)
		if err != nil {
			return err
		}
		if f.Root() != nil {
			if err := (reader{f}).value(f.Root(), root); err != nil {
				return err
			}
		}
	}
	if err := fromEnvironment(env, leaves); err != nil {
		return err
	}
	if v, ok := any(into).(Checker); ok {
		if err := v.Check(); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
	}
	return nil
}

// Former lists the variables in env that set something under their former names, with the names to use instead: a
// note for the log. T is the configuration.
func Former[T any](env []string) (notes []string) {
	leaves := make(map[string]reflect.Value)
	if collect(reflect.ValueOf(new(T)).Elem(), "", leaves) != nil {
		return nil
	}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if now := renamed(name, leaves); now != "" {
			notes = append(notes, fmt.Sprintf("%s is called %s now; its former name will not be read for long", name, now))
		}
	}
	return notes
}

// renamed returns what a setting's variable is called now; empty if the name is no former one.
func renamed(name string, leaves map[string]reflect.Value) string {
	rest, is := strings.CutPrefix(name, former)
	if is && (leaves[Prefix+rest].IsValid() || leaves[Prefix+rest+"_FILE"].IsValid()) {
		return Prefix + rest
	}
	return ""
}

func fromEnvironment(env []string, leaves map[string]reflect.Value) error {
	names := slices.Sorted(maps.Keys(leaves))
	// What has its present name comes last and prevails.
	for _, present := range []bool{false, true} {
		for _, e := range env {
			name, text, _ := strings.Cut(e, "=")
			setting := name
			if now := renamed(name, leaves); now != "" {
				setting = now
			}
			if !strings.HasPrefix(setting, Prefix) || present != (setting == name) {
				continue
			}
			v, known := leaves[setting]
			if !known {
				if _, file := leaves[setting+"_FILE"]; file {
					return fmt.Errorf("%s: a secret is never in the environment; give the path of a file that holds it as %s_FILE",
						name, setting)
				}
				return fmt.Errorf("%s: there is no such setting%s", name, input.DidYouMean(name, names))
			}
			if err := fromText(v, text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// field is a struct field with its key in the file.
type field struct {
	key   string
	value reflect.Value
}

// fields lists the fields of a struct that can be set.
func fields(v reflect.Value) []field {
	var all []field
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if f := v.Type().Field(i); f.Anonymous && key == "" && f.Type.Kind() == reflect.Struct {
			all = append(all, fields(v.Field(i))...) // its settings stand beside the others
			continue
		}
		if key != "" && key != "-" && v.Field(i).CanSet() {
			all = append(all, field{key, v.Field(i)})
		}
	}
	return all
}

// collect finds the values that a variable can set. It also detects programming errors: two keys with the same
// variable, and a secret that is not a file path.
func collect(v reflect.Value, path string, leaves map[string]reflect.Value) error {
	for _, f := range fields(v) {
		at := strings.TrimPrefix(path+"."+f.key, ".")
		if f.value.Type() == reflect.TypeFor[string]() && namesSecret(f.key) {
			return fmt.Errorf("config: %s is a secret and so must be a config.SecretFile named %s_file", at, f.key)
		}
		if f.value.Kind() == reflect.Struct && !isText(f.value) {
			if err := collect(f.value, at, leaves); err != nil {
				return err
			}
			continue
		}
		name := Prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(at))
		if _, twice := leaves[name]; twice {
			return fmt.Errorf("config: two settings would be %s", name)
		}
		leaves[name] = f.value
	}
	return nil
}

func namesSecret(key string) bool {
	return slices.ContainsFunc([]string{"password", "passphrase", "secret", "token", "private_key", "seed"},
		func(s string) bool {
			return strings.HasSuffix(key, s)
		})
}
