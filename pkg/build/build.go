// Package build says what a program was built from.
package build

import (
	"cmp"
	"fmt"
	"runtime/debug"

	// Where a machine has no certificate authorities, as an image of one program has none, those that Mozilla accepted
	// when the program was built.
	_ "golang.org/x/crypto/x509roots/fallback"
)

// What scripts/release has the linker set, because a release is built outside a repository; empty in any other build.
var release, commit string

// Info is what a program was built from.
type Info struct {
	// Version is the release, or (devel).
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Modified says that there were changes beside the revision.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
}

// Version returns what this program was built from.
func Version() Info {
	b := Info{Version: cmp.Or(release, "(devel)"), Revision: commit}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if release == "" && info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = cmp.Or(commit, s.Value)
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Name is the version or, of a program that was built from no release, its revision.
func (b Info) Name() string {
	if b.Version == "(devel)" && b.Revision != "" {
		return b.Revision
	}
	return b.Version
}

// Labels is the version as labels of the metric lockbox_build_info, in the form in which Prometheus reads them.
func (b Info) Labels() string {
	return fmt.Sprintf("go=%q,revision=%q,version=%q", b.Go, b.Revision, b.Version)
}

// String is the version for a person: `v1.2.3 (revision, built with go1.26)`.
func (b Info) String() string {
	revision := b.Revision
	switch {
	case revision == "":
		revision = "unknown revision"
	case b.Modified:
		revision += " and changes that are not committed"
	}
	return fmt.Sprintf("%s (%s, built with %s)", b.Version, revision, b.Go)
}
