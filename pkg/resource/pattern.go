package resource

import (
	"fmt"
	"regexp"
	"strings"
)

// A Pattern is the form of the ids of one resource type, relative to a subscription or tenant:
//
//	Microsoft.Sql/servers/*/databases/*   a type of a resource provider, in the subscription or a resource group of it:
//	                                      /subscriptions/S/resourceGroups/G/providers/Microsoft.Sql/servers/A/databases/B
//	directory                             a path without a resource provider: /tenants/T/directory
//	/                                     the subscription or tenant itself
//
// A `*` stands for exactly one segment, and letter case does not matter. What is below the resource belongs to it, but
// never a resource of another provider: a segment `providers` is only where the pattern has it. The last form has
// nothing below it.
type Pattern struct {
	text string
	// segments are in canonical form and, for a provider, begin with `providers`.
	segments []string
}

const (
	one       = "*"
	providers = "providers"
	groups    = "resourcegroups"
)

var (
	namespaceForm = regexp.MustCompile(`^[A-Za-z0-9]+(\.[A-Za-z0-9]+)+$`)
	segmentForm   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?$`)
)

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	if text == "/" {
		return Pattern{text: text}, nil
	}
	parts := strings.Split(text, "/")
	for i, s := range parts {
		switch {
		case s == "" && (i == 0 || i == len(parts)-1):
			return Pattern{}, fmt.Errorf("the path pattern %q begins or ends with a slash", text)
		case s != one && !segmentForm.MatchString(s):
			return Pattern{}, fmt.Errorf("the path pattern %q has the segment %q; want %q for any name, or letters, digits, "+
				"dots, dashes and underscores", text, s, one)
		case strings.EqualFold(s, providers), i == 0 && (s == one || strings.EqualFold(s, "subscriptions") ||
			strings.EqualFold(s, "tenants") || strings.EqualFold(s, groups)):
			return Pattern{}, fmt.Errorf("the path pattern %q must begin with a resource provider, as in "+
				"Microsoft.Compute/virtualMachines/*, or with a name below the subscription or tenant", text)
		}
	}
	p := Pattern{text: text, segments: strings.Split(Fold(text), "/")}
	if !strings.Contains(parts[0], ".") {
		return p, nil
	}
	if !namespaceForm.MatchString(parts[0]) {
		return Pattern{}, fmt.Errorf("the path pattern %q begins with %q, which is no resource provider", text, parts[0])
	}
	for i, s := range parts[1:] {
		if i%2 == 0 && s == one {
			return Pattern{}, fmt.Errorf("the path pattern %q has %q where a type stands: types and names alternate", text, one)
		}
	}
	if len(parts)%2 == 0 || len(parts) == 1 {
		return Pattern{}, fmt.Errorf("the path pattern %q ends without a name; add /%s", text, one)
	}
	p.segments = append([]string{providers}, p.segments...)
	return p, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Fits reports whether an id is one of a resource of this type, or of something that belongs to it, in the subscription
// or tenant whose id is root.
func (p Pattern) Fits(root, id string) bool {
	if !Within(root, id) {
		return false
	}
	path := segments(Canonical(id))[len(segments(root)):]
	if len(p.segments) == 0 {
		return len(path) == 0
	}
	if p.segments[0] == providers && len(path) > 1 && path[0] == groups && path[1] != providers {
		path = path[2:]
	}
	if len(path) < len(p.segments) {
		return false
	}
	for i, s := range path {
		switch {
		case i < len(p.segments) && p.segments[i] == s:
		case s == providers || s == "":
			return false
		case i < len(p.segments) && p.segments[i] != one:
			return false
		}
	}
	return true
}

// Example returns an id that fits, in the given subscription or tenant.
func (p Pattern) Example(root string) string {
	if p.text == "/" {
		return root
	}
	path := strings.ReplaceAll(p.text, one, "example")
	if p.segments[0] == providers {
		path = "resourceGroups/example/providers/" + path
	}
	return root + "/" + path
}
