package evaluator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Everything matches every tenant or every resource type.
const Everything = "*"

// Tool limits what one engineering tool may submit intents for, regardless of the engineer. A tool is identified by its
// key on the bus: no other client can publish on its subject.
type Tool struct {
	Name string `yaml:"name"`
	// Tenants lists the customers, or "*".
	Tenants []string `yaml:"tenants"`
	// Services lists resource types (compute/virtual-machines), prefixes up to a slash (compute/*), or "*".
	Services []string `yaml:"services"`
}

// Unlimited returns a tool for every tenant and every service.
func Unlimited(name string) Tool {
	return Tool{Name: name, Tenants: []string{Everything}, Services: []string{Everything}}
}

// OnlyTenants returns the tenants that the tool is limited to; nil for no limit.
func (t Tool) OnlyTenants() []string {
	if slices.Contains(t.Tenants, Everything) {
		return nil
	}
	return t.Tenants
}

// CheckTools rejects an ambiguous or incomplete configuration. Unlisted tools may submit nothing, and an omitted field
// must not allow everything.
func CheckTools(tools []Tool) error {
	if len(tools) == 0 {
		return errors.New(
			"tools: name the engineering tools that may submit intents; without one nobody can ask for anything")
	}
	names := map[string]bool{}
	for _, t := range tools {
		if err := t.check(); err != nil {
			return fmt.Errorf("tools: %q: %w", t.Name, err)
		}
		if names[t.Name] {
			return fmt.Errorf("tools: %q is named twice", t.Name)
		}
		names[t.Name] = true
	}
	return nil
}

func (t Tool) check() error {
	if err := input.Token("name", t.Name); err != nil {
		return err
	}
	if len(t.Tenants) == 0 || len(t.Services) == 0 {
		return errors.New(`say for which tenants and which services it may submit; ["*"] is all of them`)
	}
	for _, tenant := range t.Tenants {
		if tenant == Everything {
			continue
		}
		if err := input.Tenant("tenants", tenant); err != nil {
			return err
		}
	}
	for _, pattern := range t.Services {
		kind, rest, cut := strings.Cut(pattern, "/")
		if pattern != Everything && (!cut || kind == "" || rest == "" || strings.Contains(kind, "*") || rest != "*" &&
			strings.Contains(rest, "*")) {
			return fmt.Errorf(`services: %q is neither a resource type such as compute/virtual-machines, nor compute/*, nor "*"`,
				pattern)
		}
	}
	return nil
}

// permit refuses (FORBIDDEN) an intent that the tool may not submit.
func permit(tools []Tool, name, tenant, resourceType string) error {
	i := slices.IndexFunc(tools, func(t Tool) bool { return t.Name == name })
	if i < 0 {
		return refusal.Forbidden("tool", rule, "the engineering tool %s is not configured here, so it may submit nothing",
			name)
	}
	if only := tools[i].OnlyTenants(); only != nil && !slices.Contains(only, tenant) {
		return refusal.Forbidden("tenant", rule, "the engineering tool %s may not submit intents for this customer", name)
	}
	if !slices.ContainsFunc(tools[i].Services, func(pattern string) bool { return covers(pattern, resourceType) }) {
		return refusal.Forbidden("resource_type", rule, "the engineering tool %s may not submit intents for this service",
			name)
	}
	return nil
}

func covers(pattern, resourceType string) bool {
	if kind, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(resourceType, kind) // kind is empty or ends in a slash
	}
	return pattern == resourceType
}

const rule = "R13"
