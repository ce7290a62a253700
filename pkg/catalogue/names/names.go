// Package names has what the built-in catalogue's services and scenarios are called in the languages of Lockbox besides
// English. It is pure.
package names

import (
	_ "embed"

	"go.yaml.in/yaml/v3"
)

//go:embed names.yaml
var file []byte

// All are the translations, by the English name and language.
var All = func() (all map[string]map[string]string) {
	if err := yaml.Unmarshal(file, &all); err != nil {
		panic(err) // it is part of the program
	}
	return all
}()

// In returns what a service or scenario is called in a language, given by its BCP 47 tag. A name that the built-in
// catalogue does not have is somebody's own, and stays as it is. So it is with the advice on migration (R9).
func In(language, name string) string {
	if in := All[name][language]; in != "" {
		return in
	}
	return name
}
