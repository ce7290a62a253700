package observe

import (
	"fmt"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
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

// Labels is the version as the labels of lockbox_build_info, in the form in which Prometheus reads them.
func (b Build) Labels() string {
	return fmt.Sprintf("go=%q,revision=%q,version=%q", b.Go, b.Revision, b.Version)
}

// buildInfo is a metric that is always 1, and says in its labels what the program was built from.
func buildInfo() prometheus.Collector {
	b := Version()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "lockbox_build_info", Help: "Always 1; the labels say what this program was built from.",
		ConstLabels: prometheus.Labels{"go": b.Go, "revision": b.Revision, "version": b.Version},
	})
	g.Set(1)
	return g
}
