package observe

import (
	"fmt"
	"runtime/debug"
)

// Build is what a program was built from.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
}

// Version returns what this program was built from, as the Go tool recorded it.
func Version() Build {
	b := Build{Version: "(devel)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Name is the version or, of a program that was built from no release, its revision.
func (b Build) Name() string {
	if b.Version == "(devel)" && b.Revision != "" {
		return b.Revision
	}
	return b.Version
}

// String is the version for a person: `v1.2.3 (revision, built with go1.26)`.
func (b Build) String() string {
	revision := b.Revision
	switch {
	case revision == "":
		revision = "unknown revision"
	case b.Modified:
		revision += " and changes that are not committed"
	}
	return fmt.Sprintf("%s (%s, built with %s)", b.Version, revision, b.Go)
}
