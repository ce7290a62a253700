// Package catalogue knows which resource types an intent may be for, in which scenarios, and what each means for the
// customer (R6-R10). It is data with a version; an evaluation records which version it used. It is pure.
package catalogue

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

//go:embed services.yaml
var builtin []byte

// Catalogue is one version of the service catalogue. It never changes.
type Catalogue struct {
	version  string
	services []Service
	index    map[string]int // by type
}

// Service is a resource type with what can be asked for on it.
type Service struct {
	// As in an intent: `compute/virtual-machines`.
	Type string
	// For people.
	Name string
	// The name under which the reference lists it. Several types may share one; empty if it is not among them.
	Reference string
	Stage     lockboxv1.ServiceStage
	// In the file's order. Empty if unsupported.
	Scenarios []Scenario
	// If unsupported: how to move to something that is supported, and the type that takes its place, if there is one (R9).
	Migration, Replacement string
}

// Scenario is a kind of access to a service.
type Scenario struct {
	// As in an intent: `memory-dump`.
	ID string
	// For people.
	Name string
	// It reaches customer data, so the customer decides (R3, R17).
	CustomerData bool
	// It gives elevated permission (R13).
	Elevated bool
	// Whether it is for resources of one subscription (R18) or for the tenant itself (R19).
	Scope lockboxv1.Scope
}

// Default is the catalogue that ships with Lockbox: the 39 services of the reference, two in preview, the directory,
// and classic resources, which are refused.
func Default() *Catalogue {
	c, err := Parse(builtin)
	if err != nil {
		panic(fmt.Sprintf("the built-in catalogue is broken: %v", err)) // a test holds that it is not
	}
	return c
}

// DefaultText is the default catalogue as it is written.
func DefaultText() []byte { return slices.Clone(builtin) }

// Version is the catalogue's own version, a plus sign, and the first 16 hexadecimal digits of the SHA-256 of its text:
// two texts never go by one version.
func (c *Catalogue) Version() string { return c.version }

// Services lists everything, by type.
func (c *Catalogue) Services() []Service {
	list := make([]Service, len(c.services))
	for i, s := range c.services {
		list[i] = s.clone()
	}
	slices.SortFunc(list, func(a, b Service) int { return strings.Compare(a.Type, b.Type) })
	return list
}

// Lookup finds what an intent is for. It refuses (INVALID) an unsupported type with the way to migrate (R9), and a type
// or scenario that is not in the catalogue (R10). A service in preview is found: whether the tenant takes part is not
// known here (R8).
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

func (c *Catalogue) types() []string {
	types := make([]string, len(c.services))
	for i, s := range c.services {
		types[i] = s.Type
	}
	return types
}

func (s Service) clone() Service {
	s.Scenarios = slices.Clone(s.Scenarios)
	return s
}
