// Package catalogue defines the resource types that an intent may request, in which scenarios, and what each means for
// the customer (R6-R10). It is versioned data; an evaluation records the version it used. It is pure.
package catalogue

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/resource"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

//go:embed services.yaml
var builtin []byte

// Catalogue is one version of the service catalogue. It is immutable.
type Catalogue struct {
	version  string
	services []Service
	index    map[string]int // by type
}

// Service is a resource type with the scenarios that can be requested for it.
type Service struct {
	// Type as in an intent: `compute/virtual-machines`.
	Type string
	// Name to display.
	Name string
	// Reference is the name in Azure's list of supported services. Several types may share one; empty if it is not listed.
	Reference string
	Stage     lockboxv1.ServiceStage
	// Paths are what the ids of these resources look like (R49): each fits one of them. Empty if the type is unsupported,
	// and in a catalogue published before there were patterns: then any path below the subscription or tenant will do.
	Paths []resource.Pattern
	// Scenarios in the file's order; empty if the type is unsupported.
	Scenarios []Scenario
	// Migration says how to move from an unsupported type to a supported one, Replacement is that type, if any (R9).
	Migration, Replacement string
}

// Scenario is a kind of access to a service.
type Scenario struct {
	// ID as in an intent: `memory-dump`.
	ID string
	// Name to display.
	Name string
	// CustomerData means that it reaches customer data, so the customer decides (R3, R17).
	CustomerData bool
	// Elevated means that it includes administrator rights (R13).
	Elevated bool
	// Changes means that it changes resources, without administrator rights.
	Changes bool
	// Scope is the resources of one subscription (R18) or the tenant itself (R19).
	Scope lockboxv1.Scope
}

// Default returns the built-in catalogue: the 39 services of the reference, two in preview, the directory, and classic
// resources, which are refused.
func Default() *Catalogue {
	c, err := Parse(builtin)
	if err != nil {
		panic(fmt.Sprintf("the built-in catalogue is broken: %v", err)) // a test proves that it is not
	}
	return c
}

// DefaultText returns the source text of the default catalogue.
func DefaultText() []byte { return slices.Clone(builtin) }

// Version returns the catalogue's own version, a plus sign, and the first 16 hexadecimal digits of the SHA-256 of its
// text: two texts never share a version.
func (c *Catalogue) Version() string { return c.version }

// Services returns all services, sorted by type.
func (c *Catalogue) Services() []Service {
	list := make([]Service, len(c.services))
	for i, s := range c.services {
		list[i] = s.clone()
	}
	slices.SortFunc(list, func(a, b Service) int { return strings.Compare(a.Type, b.Type) })
	return list
}

// Lookup returns the service and scenario that an intent requests. It refuses (INVALID) an unsupported type, with
// advice on migration (R9), and a type or scenario that is not in the catalogue (R10). Services in preview are found:
// whether the tenant takes part is not known here (R8).
func (c *Catalogue) Lookup(resourceType, scenario string) (Service, Scenario, error) {
	i, known := c.index[resourceType]
	if !known {
		return Service{}, Scenario{}, refusal.Because(refusal.Invalid("resource_type", "R10",
			"the catalogue has no such resource type%s", input.DidYouMean(resourceType, c.types())),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_RESOURCE_TYPE_UNKNOWN, "resource_type", resourceType))
	}
	s := c.services[i]
	if s.Stage == lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED {
		instead := ""
		if s.Replacement != "" {
			instead = fmt.Sprintf(" Its new resource type is %s.", s.Replacement)
		}
		return Service{}, Scenario{}, refusal.Because(
			refusal.Invalid("resource_type", "R9", "%s are not supported. %s%s", s.Name, s.Migration, instead),
			reason.Of(lockboxv1.ReasonCode_REASON_CODE_RESOURCE_TYPE_UNSUPPORTED,
				"service", s.Name, "migration", s.Migration, "replacement", s.Replacement))
	}
	ids := make([]string, len(s.Scenarios))
	for i, sc := range s.Scenarios {
		if sc.ID == scenario {
			return s.clone(), sc, nil
		}
		ids[i] = sc.ID
	}
	return Service{}, Scenario{}, refusal.Because(
		refusal.Invalid("scenario", "R10", "%s has no such scenario%s", s.Type, input.DidYouMean(scenario, ids)),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_SCENARIO_UNKNOWN, "resource_type", s.Type, "scenario", scenario))
}

// Names returns what people call a resource type and one of its scenarios. What the catalogue does not have, or has no
// longer, keeps the id.
func (c *Catalogue) Names(resourceType, scenario string) (service, operation string) {
	i, known := c.index[resourceType]
	if !known {
		return resourceType, scenario
	}
	service, operation = c.services[i].Name, scenario
	for _, s := range c.services[i].Scenarios {
		if s.ID == scenario {
			operation = s.Name
		}
	}
	return service, operation
}

// Preview refuses (INVALID) a resource type for which there is no preview to sign up for: one that the catalogue does
// not have, or of a service that is not in preview (R8).
func (c *Catalogue) Preview(field, resourceType string) error {
	var previews []string
	for _, s := range c.services {
		if s.Stage == lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW {
			previews = append(previews, s.Type)
		}
	}
	i, known := c.index[resourceType]
	switch {
	case !known:
		return refusal.Invalid(field, "R8", "the catalogue has no such resource type%s",
			input.DidYouMean(resourceType, previews))
	case c.services[i].Stage == lockboxv1.ServiceStage_SERVICE_STAGE_GENERALLY_AVAILABLE:
		return refusal.OfKind(
			refusal.Invalid(field, "R8", "%s are generally available: you are asked without signing up",
				c.services[i].Name),
			"preview-over", "service", c.services[i].Name)
	case c.services[i].Stage != lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW:
		return refusal.OfKind(
			refusal.Invalid(field, "R8", "%s are not in preview", c.services[i].Name),
			"not-in-preview", "service", c.services[i].Name)
	}
	return nil
}

// Fits refuses (INVALID) the first id that is not one of a resource of this type, in the subscription or tenant whose
// id is root (R49).
func (s Service) Fits(root string, ids []string) error {
	i := slices.IndexFunc(ids, func(id string) bool { return !s.fits(root, id) })
	if i < 0 {
		return nil
	}
	wanted := root + "/…"
	if len(s.Paths) > 0 {
		patterns := make([]string, len(s.Paths))
		for i, p := range s.Paths {
			patterns[i] = p.String()
		}
		wanted = strings.Join(patterns, ", ")
	}
	return refusal.Because(
		refusal.Invalid("resource_ids", "R49", "%s does not fit the path of %s in %s: %s", ids[i], s.Name, root, wanted),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_RESOURCE_OF_ANOTHER_TYPE,
			"resource", ids[i], "service", s.Name, "pattern", wanted))
}

func (s Service) fits(root, id string) bool {
	if len(s.Paths) == 0 {
		return !resource.Same(root, id)
	}
	return resource.Check("resource_ids", id) == nil &&
		slices.ContainsFunc(s.Paths, func(p resource.Pattern) bool { return p.Fits(root, id) })
}

// Example returns the id that a resource of this type could have, in the subscription or tenant whose id is root.
func (s Service) Example(root string) string {
	if len(s.Paths) == 0 {
		return root + "/example"
	}
	return s.Paths[0].Example(root)
}

func (c *Catalogue) types() []string {
	types := make([]string, len(c.services))
	for i, s := range c.services {
		types[i] = s.Type
	}
	return types
}

func (s Service) clone() Service {
	s.Scenarios, s.Paths = slices.Clone(s.Scenarios), slices.Clone(s.Paths)
	return s
}
