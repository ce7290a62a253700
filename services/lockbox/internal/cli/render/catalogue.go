package render

import (
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/catalogue"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// CatalogueService is a resource type of the catalogue, for JSON and YAML output.
type CatalogueService struct {
	Type      string `json:"type"`
	Name      string `json:"name"`
	Reference string `json:"reference"`
	Stage     string `json:"stage"`
	// Paths are what the ids of these resources look like, below the subscription or tenant.
	Paths     []string            `json:"paths"`
	Scenarios []CatalogueScenario `json:"scenarios"`
	// Migration is set only if the resource type is not supported.
	Migration   string `json:"migration"`
	Replacement string `json:"replacement"`
}

// CatalogueScenario is a scenario of a resource type, for JSON and YAML output.
type CatalogueScenario struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	CustomerData bool   `json:"customer_data"`
	Elevated     bool   `json:"elevated"`
	Scope        string `json:"scope"`
}

// ServiceOf converts a resource type for JSON and YAML output.
func ServiceOf(s catalogue.Service) CatalogueService {
	v := CatalogueService{
		Type: s.Type, Name: s.Name, Reference: s.Reference, Stage: s.Stage.String(), Paths: pathsOf(s),
		Scenarios: []CatalogueScenario{}, Migration: s.Migration, Replacement: s.Replacement,
	}
	for _, sc := range s.Scenarios {
		v.Scenarios = append(v.Scenarios, CatalogueScenario{sc.ID, sc.Name, sc.CustomerData, sc.Elevated, sc.Scope.String()})
	}
	return v
}

func pathsOf(s catalogue.Service) []string {
	paths := make([]string, len(s.Paths))
	for i, p := range s.Paths {
		paths[i] = p.String()
	}
	return paths
}

// Services renders the list of a catalogue's resource types.
func Services(l Look, version string, list []catalogue.Service) string {
	var rows [][]cell
	for _, s := range list {
		var ids []string
		for _, sc := range s.Scenarios {
			ids = append(ids, sc.ID)
		}
		rows = append(rows, []cell{{Clean(s.Type), accent}, text(s.Name), stageCell(s.Stage), text(strings.Join(ids, ", "))})
	}
	p := &page{Look: l}
	p.b.WriteString(l.table([]column{{title: "TYPE"}, {title: "NAME", min: 16},
		{title: "STAGE", drop: 1}, {title: "SCENARIOS", min: 20}}, rows))
	p.line("")
	p.hang("", dim, fmt.Sprintf("%s in %s.", plural(len(list), "resource type", "resource types"), Clean(version)))
	return p.String()
}

// Service renders a resource type, and what its scenarios mean for the customer.
func Service(l Look, s catalogue.Service) string {
	p := &page{Look: l}
	p.title(Clean(s.Name))
	p.field("Type", Clean(s.Type))
	p.painted("Stage", stageCell(s.Stage).paint, stageCell(s.Stage).text)
	for _, f := range [][2]string{{"Reference", s.Reference}, {"Migration", s.Migration}, {"Replacement", s.Replacement}} {
		if f[1] != "" {
			p.field(f[0], Clean(f[1]))
		}
	}
	if len(s.Paths) > 0 {
		p.field("Path", pathsOf(s)...)
	}
	if len(s.Scenarios) == 0 {
		return p.String()
	}
	p.heading("Scenarios")
	var rows [][]cell
	for _, sc := range s.Scenarios {
		rows = append(rows, []cell{
			{Clean(sc.ID), accent}, text(sc.Name), {yesNo(sc.CustomerData), plain}, {yesNo(sc.Elevated), plain},
			{strings.ToLower(sentence(sc.Scope.String(), "SCOPE_")), plain},
		})
	}
	p.indented([]column{{title: "SCENARIO"}, {title: "NAME", min: 16}, {title: "CUSTOMER DATA"}, {title: "ELEVATED"},
		{title: "SCOPE", drop: 1}}, rows)
	return p.String()
}

func stageCell(s lockboxv1.ServiceStage) cell {
	c := cell{strings.ToLower(sentence(s.String(), "SERVICE_STAGE_")), plain}
	switch s {
	case lockboxv1.ServiceStage_SERVICE_STAGE_PREVIEW:
		c.paint = warn
	case lockboxv1.ServiceStage_SERVICE_STAGE_UNSUPPORTED:
		c.paint = bad
	default:
	}
	return c
}
