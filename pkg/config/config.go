// Package config reads a program's configuration: a YAML file, then environment variables over it. It refuses instead
// of guessing: an unknown key or LOCKBOX_ variable is fatal, with its line and what may have been meant; a duration has
// its unit; and a secret is never in it, only the path of a file that holds one.
//
// A configuration is a struct whose fields have yaml tags. What it holds before Load are the defaults.
//
//	type Config struct {
//		Listen   string        `yaml:"listen"`
//		Deadline time.Duration `yaml:"deadline"` // 4d
//		SMTP     struct {
//			Host         string            `yaml:"host"` // LOCKBOX_SMTP_HOST
//			PasswordFile config.SecretFile `yaml:"password_file"`
//		} `yaml:"smtp"`
//	}
package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/internal/strict"
)

// Prefix is how the environment variables that count begin.
const Prefix = "LOCKBOX_"

// Validator is a configuration that knows what it must hold. Load asks it last.
type Validator interface{ Validate() error }

// Load reads the YAML file at path (none if path is empty) and then those of env (as from os.Environ) that begin with
// Prefix into a configuration. A variable is named for its key: LOCKBOX_SMTP_HOST is smtp.host; a list's elements are
// separated by commas; lists of anything but single values and maps can only be in the file. If T is a Validator, it
// has the last word. Errors name file and line, or the variable, and never a variable's value.
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
	if v, ok := any(into).(Validator); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
	}
	return nil
}

func fromEnvironment(env []string, leaves map[string]reflect.Value) error {
	names := make([]string, 0, len(leaves))
	for name := range leaves {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, e := range env {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, Prefix) {
			continue
		}
		v, known := leaves[name]
		if !known {
			if _, file := leaves[name+"_FILE"]; file {
				return fmt.Errorf("%s: a secret is never in the environment; give the path of a file that holds it as %s_FILE",
					name, name)
			}
			return fmt.Errorf("%s: there is no such setting%s", name, input.DidYouMean(name, names))
		}
		if err := fromText(v, text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// field is a struct's field with its key in the file.
type field struct {
	key   string
	value reflect.Value
}

// fields lists what can be set in a struct.
func fields(v reflect.Value) []field {
	var all []field
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key != "" && key != "-" && v.Field(i).CanSet() {
			all = append(all, field{key, v.Field(i)})
		}
	}
	return all
}

// collect finds what a variable can set, and programming mistakes: two keys with one variable, a secret in plain.
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
