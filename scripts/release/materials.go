package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// ours is the prefix of what is in this repository.
const ours = "github.com/openlockbox/lockbox/"

// A module is somebody else's code that is linked into a program.
type module struct{ path, version, sum string }

func (m module) purl() string {
	parts := strings.Split(m.path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + url.PathEscape(m.version)
}

// linked returns the modules of others in a program, and the version of Go that built it.
func linked(path string) (modules []module, goVersion string, err error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		if strings.HasPrefix(d.Path, ours) || strings.HasPrefix(d.Path, ".") {
			continue
		}
		modules = append(modules, module{d.Path, d.Version, d.Sum})
	}
	return modules, info.GoVersion, nil
}

// materials writes the bill of materials (CycloneDX 1.6): which modules of others each program links, from what its own
// build recorded. It is the same for every platform but for what that platform alone links.
func (r *release) materials(_ context.Context, d *dist) error {
	product := cdx.Component{BOMRef: "lockbox@" + r.version, Type: cdx.ComponentTypeApplication, Name: "lockbox",
		Version: r.version, Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}}
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(ours+r.version+"@"+r.revision)).URN()
	bom.Metadata = &cdx.Metadata{Timestamp: r.created.Format(time.RFC3339), Component: &product}
	libraries := map[string]cdx.Component{}
	var components []cdx.Component
	var depends []cdx.Dependency
	var refs []string
	platforms, err := os.ReadDir(r.bin)
	if err != nil {
		return err
	}
	for _, p := range platforms {
		built, err := os.ReadDir(filepath.Join(r.bin, p.Name()))
		if err != nil {
			return err
		}
		for _, file := range built {
			modules, goVersion, err := linked(filepath.Join(r.bin, p.Name(), file.Name()))
			if err != nil {
				return err
			}
			modules = append(modules, module{"std", strings.TrimPrefix(goVersion, "go"), ""})
			ref := fmt.Sprintf("%s@%s?platform=%s", file.Name(), r.version, p.Name())
			uses := make([]string, 0, len(modules))
			for _, m := range modules {
				uses = append(uses, m.purl())
				libraries[m.purl()] = library(m)
			}
			slices.Sort(uses)
			components = append(components, cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeApplication,
				Name: file.Name(), Version: r.version, Description: "for " + p.Name()})
			depends = append(depends, cdx.Dependency{Ref: ref, Dependencies: &uses})
			refs = append(refs, ref)
		}
	}
	for _, purl := range slices.Sorted(maps.Keys(libraries)) {
		components = append(components, libraries[purl])
	}
	depends = append(depends, cdx.Dependency{Ref: product.BOMRef, Dependencies: &refs})
	bom.Components, bom.Dependencies = &components, &depends
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return d.bytes(fmt.Sprintf("lockbox-%s.cdx.json", r.version), "bill of materials (CycloneDX 1.6)", b.Bytes())
}

func library(m module) cdx.Component {
	c := cdx.Component{BOMRef: m.purl(), Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version, PackageURL: m.purl()}
	// The Go tool's own checksum of a module's files, as go.sum has it.
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:")); err == nil && len(sum) == 32 {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	}
	return c
}

// licences returns the licences of everything that the programs for a platform link.
func (r *release) licences(ctx context.Context, p platform) (string, error) {
	programs, err := filepath.Glob(filepath.Join(r.bin, p.String(), "*"))
	if err != nil {
		return "", err
	}
	return r.licencesOf(ctx, r.source, programs...)
}

// licencesOf returns the texts of the licences of the modules in some programs, as they lie in the modules. Most of these
// licences require that whoever hands out the program hands out their text.
func (r *release) licencesOf(ctx context.Context, dir string, programs ...string) (string, error) {
	all := map[module]bool{}
	for _, program := range programs {
		modules, _, err := linked(program)
		if err != nil {
			return "", err
		}
		for _, m := range modules {
			all[m] = true
		}
	}
	goroot, err := output(ctx, dir, "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("What Lockbox links, and under which licence.\n")
	add := func(name, dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		found := false
		for _, e := range entries {
			upper := strings.ToUpper(e.Name())
			if e.IsDir() || !slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, func(kind string) bool {
				return strings.HasPrefix(upper, kind)
			}) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name())) // #nosec G304 -- of a module
			if err != nil {
				return err
			}
			found = true
			fmt.Fprintf(&b, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 78), name, e.Name(), strings.TrimSpace(string(text)))
		}
		if !found {
			return fmt.Errorf("%s has no licence that could be handed on", name)
		}
		return nil
	}
	if err := add("the Go standard library", goroot); err != nil {
		return "", err
	}
	for _, m := range slices.SortedFunc(maps.Keys(all), func(a, b module) int {
		return strings.Compare(a.path+a.version, b.path+b.version)
	}) {
		text, err := output(ctx, dir, "go", "mod", "download", "-json", m.path+"@"+m.version)
		if err != nil {
			return "", err
		}
		var at struct{ Dir string }
		if err := json.Unmarshal([]byte(text), &at); err != nil {
			return "", err
		}
		if err := add(m.path+" "+m.version, at.Dir); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}
