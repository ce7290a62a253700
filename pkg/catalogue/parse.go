package catalogue

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/internal/strict"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.yaml.in/yaml/v3"
)

const fileName = "services.yaml"

var (
	typeForm    = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$`)
	idForm      = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	versionForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,31}$`)

	stages = map[string]lockboxv1.ServiceStage{
		"generally available": lockboxv1.ServiceStage_SERVICE_STAGE_GENERALLY_AVAILABLE,
		"preview":             lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW,
		"unsupported":         lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED,
	}
	scopes = map[string]lockboxv1.Scope{
		"subscription": lockboxv1.Scope_SCOPE_SUBSCRIPTION,
		"tenant":       lockboxv1.Scope_SCOPE_TENANT,
	}
)

const maxName = 200

// Parse reads a catalogue in the format of services.yaml. An unknown, missing or duplicate key, or a value of the wrong
// type, is an error that names the line. It also reads what could be published by earlier versions.
func Parse(data []byte) (*Catalogue, error) { return parse(fileName, data, false) }

// ParseNew reads a catalogue that is yet to be published: every supported type has its paths. Errors name the file.
func ParseNew(name string, data []byte) (*Catalogue, error) { return parse(name, data, true) }

func parse(name string, data []byte, isNew bool) (*Catalogue, error) {
	f, err := strict.Parse(name, data)
	if err != nil {
		return nil, err
	}
	if f.Root() == nil {
		return nil, fmt.Errorf("%s: is empty", name)
	}
	p := parser{f, isNew}
	top, err := p.object(f.Root(), []string{"version", "services"}, nil)
	if err != nil {
		return nil, err
	}
	version, err := p.matching(top["version"], versionForm, "a version such as \"2026.1\"")
	if err != nil {
		return nil, err
	}
	list, err := f.List(top["services"])
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, f.Errorf(top["services"], "the catalogue is empty")
	}
	c := &Catalogue{
		version: fmt.Sprintf("%s+%.8x", version, sha256.Sum256(data)),
		index:   make(map[string]int, len(list)),
	}
	for i, n := range list {
		s, err := p.service(n)
		if err != nil {
			return nil, err
		}
		if first, twice := c.index[s.Type]; twice {
			return nil, f.Errorf(n, "type %s is given twice, first in line %d", s.Type, list[first].Line)
		}
		c.index[s.Type] = i
		c.services = append(c.services, s)
	}
	for i, s := range c.services {
		if s.Replacement == "" {
			continue
		}
		r, known := c.index[s.Replacement]
		if !known || c.services[r].Stage == lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED {
			return nil, f.Errorf(list[i], "replacement %s is not a supported type of this catalogue%s", s.Replacement,
				input.DidYouMean(s.Replacement, c.types()))
		}
	}
	return c, nil
}

type parser struct {
	*strict.File
	// isNew means that the catalogue is yet to be published.
	isNew bool
}

func (p parser) service(n *yaml.Node) (s Service, err error) {
	m, err := p.object(n, []string{"type", "name", "stage"},
		[]string{"reference", "paths", "scenarios", "migration", "replacement"})
	if err != nil {
		return s, err
	}
	if s.Type, err = p.matching(m["type"], typeForm, "a type such as compute/virtual-machines"); err != nil {
		return s, err
	}
	if s.Name, err = p.line(m["name"]); err != nil {
		return s, err
	}
	if s.Stage, err = oneOf(p, m["stage"], stages); err != nil {
		return s, err
	}
	if v, has := m["reference"]; has {
		if s.Reference, err = p.line(v); err != nil {
			return s, err
		}
	}
	if v, has := m["migration"]; has {
		if s.Migration, err = p.line(v); err != nil {
			return s, err
		}
	}
	if v, has := m["replacement"]; has {
		if s.Replacement, err = p.matching(v, typeForm, "a type such as compute/virtual-machines"); err != nil {
			return s, err
		}
	}
	_, hasScenarios := m["scenarios"]
	_, hasPaths := m["paths"]
	if s.Stage == lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED {
		switch {
		case hasScenarios:
			return s, p.Errorf(n, "%s is unsupported and so has no scenarios", s.Type)
		case hasPaths:
			return s, p.Errorf(n, "%s is unsupported and so has no paths", s.Type)
		case s.Migration == "":
			return s, p.Errorf(n, "%s is unsupported and must say how to migrate (`migration`)", s.Type)
		}
		return s, nil
	}
	switch {
	case s.Migration != "" || s.Replacement != "":
		return s, p.Errorf(n, "%s is supported: nothing to migrate from", s.Type)
	case !hasScenarios:
		return s, p.Errorf(n, "key \"scenarios\" is missing")
	case !hasPaths && p.isNew:
		return s, p.Errorf(n, "key \"paths\" is missing: what the ids of %s look like, as in "+
			"[Microsoft.Compute/virtualMachines/*]", s.Type)
	}
	if hasPaths {
		if s.Paths, err = p.paths(m["paths"]); err != nil {
			return s, err
		}
	}
	s.Scenarios, err = p.scenarios(m["scenarios"])
	return s, err
}

func (p parser) paths(n *yaml.Node) ([]resource.Pattern, error) {
	list, err := p.List(n)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, p.Errorf(n, "there must be at least one path")
	}
	var all []resource.Pattern
	for _, n := range list {
		text, err := p.line(n)
		if err != nil {
			return nil, err
		}
		pattern, err := resource.ParsePattern(text)
		if err != nil {
			return nil, p.Errorf(n, "%v", err)
		}
		all = append(all, pattern)
	}
	return all, nil
}

func (p parser) scenarios(n *yaml.Node) ([]Scenario, error) {
	list, err := p.List(n)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, p.Errorf(n, "there must be at least one scenario")
	}
	lines := make(map[string]int)
	var all []Scenario
	for _, n := range list {
		s, err := p.scenario(n)
		if err != nil {
			return nil, err
		}
		if line, twice := lines[s.ID]; twice {
			return nil, p.Errorf(n, "scenario %s is given twice, first in line %d", s.ID, line)
		}
		lines[s.ID] = n.Line
		all = append(all, s)
	}
	return all, nil
}

func (p parser) scenario(n *yaml.Node) (s Scenario, err error) {
	m, err := p.object(n, []string{"id", "name", "customer_data", "elevated", "scope"}, []string{"changes"})
	if err != nil {
		return s, err
	}
	if s.ID, err = p.matching(m["id"], idForm, "an id such as memory-dump"); err != nil {
		return s, err
	}
	if s.Name, err = p.line(m["name"]); err != nil {
		return s, err
	}
	if s.CustomerData, err = p.Bool(m["customer_data"]); err != nil {
		return s, err
	}
	if s.Elevated, err = p.Bool(m["elevated"]); err != nil {
		return s, err
	}
	if v, has := m["changes"]; has {
		if s.Changes, err = p.Bool(v); err != nil {
			return s, err
		}
	}
	if s.Changes && s.Elevated {
		return s, p.Errorf(n, "scenario %s is elevated, which includes changes", s.ID)
	}
	s.Scope, err = oneOf(p, m["scope"], scopes)
	return s, err
}

// object returns n's values by key, and an error if a key is unknown, duplicate or missing.
func (p parser) object(n *yaml.Node, required, optional []string) (map[string]*yaml.Node, error) {
	m, err := p.Mapping(n, append(append([]string{}, required...), optional...)...)
	if err != nil {
		return nil, err
	}
	for _, key := range required {
		if m[key] == nil {
			return nil, p.Errorf(n, "key %q is missing", key)
		}
	}
	return m, nil
}

func (p parser) matching(n *yaml.Node, form *regexp.Regexp, what string) (string, error) {
	s, err := p.String(n)
	if err != nil {
		return "", err
	}
	if !form.MatchString(s) || len(s) > maxName {
		return "", p.Errorf(n, "want %s, got %q", what, s)
	}
	return s, nil
}

// line reads one line of text. It will be shown to customers, so it is checked like people's input.
func (p parser) line(n *yaml.Node) (string, error) {
	s, err := p.String(n)
	if err != nil {
		return "", err
	}
	if err := prose.CheckLine("", s, 1, maxName); err != nil {
		return "", p.Errorf(n, "%v", err)
	}
	return s, nil
}

func oneOf[V any](p parser, n *yaml.Node, values map[string]V) (V, error) {
	var none V
	s, err := p.String(n)
	if err != nil {
		return none, err
	}
	v, known := values[s]
	if !known {
		return none, p.Errorf(n, "want one of %q, got %q", slices.Sorted(maps.Keys(values)), s)
	}
	return v, nil
}
