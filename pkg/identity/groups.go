package identity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// maxMapped limits the groups that a tenant's issuer maps, which are part of every change of it.
	maxMapped    = 100
	maxGroupID   = 255
	maxGroupName = 120

	// GroupsField is the field of a refusal because of what a token says of groups.
	GroupsField = "token.groups"
	groupRule   = "R67"
)

// groupMap returns the map of groups with ids folded, and an error for one that cannot be meant: all targets must be
// groups that are kept.
func (c Claims) groupMap(kept map[string]bool) (map[string]string, error) {
	folded := make(map[string]string, len(c.GroupMap))
	for _, theirs := range slices.Sorted(maps.Keys(c.GroupMap)) {
		ours := c.GroupMap[theirs]
		switch before, twice := folded[foldID(theirs)]; {
		case strings.TrimSpace(theirs) == "":
			return nil, errors.New("claims.group_map: a group without a name is nobody's")
		case !kept[ours]:
			return nil, fmt.Errorf("claims.group_map: %q is mapped to %q, which is no group of Lockbox's or of keep_groups%s",
				theirs, ours, input.DidYouMean(ours, slices.Sorted(maps.Keys(kept))))
		case twice && before != ours:
			return nil, fmt.Errorf("claims.group_map: %q is mapped to %q and, in another spelling, to %q", theirs, ours, before)
		}
		folded[foldID(theirs)] = ours
	}
	return folded, nil
}

// checkGroupMap refuses a tenant's map of groups that cannot be meant.
func checkGroupMap(ti *lockboxv1.TenantIssuer) error {
	if len(ti.GetGroupMap()) > maxMapped {
		return refusal.Naming(
			refusal.Invalid(at+".group_map", groupRule, "at most %d groups can be mapped", maxMapped),
			"most", strconv.Itoa(maxMapped))
	}
	seen := map[string]bool{}
	for _, g := range ti.GetGroupMap() {
		name := aggregate.MappedName(g)
		if err := prose.CheckLine(at+".group_map.id", g.GetId(), 1, maxGroupID); err != nil {
			return err
		}
		if err := prose.CheckLine(at+".group_map.name", name, 1, maxGroupName); err != nil {
			return err
		}
		switch {
		case prose.Line(name) != name:
			return refusal.Naming(
				refusal.Invalid(at+".group_map.name", groupRule, "%q cannot be written by hand; give it a name of its own",
					name),
				"group", name)
		case seen[foldID(g.GetId())]:
			return refusal.Naming(
				refusal.Invalid(at+".group_map.id", groupRule, "%q is mapped twice", g.GetId()),
				"group", g.GetId())
		}
		seen[foldID(g.GetId())] = true
	}
	return nil
}

// tenantGroupMap returns a tenant's names of its issuer's groups, by their folded ids.
func tenantGroupMap(ti *lockboxv1.TenantIssuer) map[string]string {
	folded := make(map[string]string, len(ti.GetGroupMap()))
	for _, g := range ti.GetGroupMap() {
		folded[foldID(g.GetId())] = aggregate.MappedName(g)
	}
	return folded
}

// foldID writes an id in the form of a UUID as issuers do; other names of groups stay as they are.
func foldID(s string) string {
	if id, err := uuid.Parse(s); err == nil && len(s) == len(id.String()) {
		return id.String()
	}
	return s
}

// readGroups returns the groups of a provider's token that count.
func (t *trusted) readGroups(all claimSet) ([]string, error) {
	claim := t.Claims.Groups
	if err := all.elsewhere(claim); err != nil {
		return nil, err
	}
	said, ok := all.texts(claim)
	if !ok {
		return nil, refusal.Because(
			refusal.Unauthenticated(field, rule, "its `%s` is neither a text nor a list of texts", claim),
			reason.Of(claimUnreadable, "claim", claim))
	}
	return t.counting(said), nil
}

// tenantGroups returns the groups of a tenant's token that count, by the tenant's names, or why none can be read.
func (t *trusted) tenantGroups(all claimSet) (groups []string, unread error) {
	claim := t.Claims.Groups
	if len(t.groupMap) == 0 {
		return nil, refusal.Because(refusal.Forbidden(GroupsField, groupRule,
			"your organisation's sign-in maps no groups, so those of your token (`%s`) count for nothing", claim),
			reason.Of(groupsNotMapped, "claim", claim))
	}
	_, given := all.get(claim)
	said, ok := all.texts(claim)
	switch by := all.reference(claim); {
	case by != "":
		return nil, refusal.Because(refusal.Forbidden(GroupsField, groupRule,
			"your groups (`%s`) are too many to be in your token: it only refers to them (`%s`), and references are not "+
				"followed; have your identity provider put in only the groups that are assigned to Lockbox, or have another "+
				"claim named for them", claim, by),
			reason.Of(claimElsewhere, "claim", claim, "by", by))
	case !given:
		return nil, refusal.Because(refusal.Forbidden(GroupsField, groupRule,
			"your token names no groups: it has no `%s`; have your identity provider put them in", claim),
			reason.Of(groupsNotNamed, "claim", claim))
	case !ok:
		return nil, refusal.Because(refusal.Forbidden(GroupsField, groupRule,
			"the `%s` of your token is neither a text nor a list of texts", claim),
			reason.Of(claimUnreadable, "claim", claim))
	}
	return t.counting(said), nil
}

// counting returns Lockbox's names of those of the issuer's groups that count.
func (t *trusted) counting(said []string) (groups []string) {
	for _, g := range said {
		if g = t.group(g); g != "" && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// group returns Lockbox's name of one of the issuer's groups; empty if it does not count.
func (t *trusted) group(theirs string) string {
	switch {
	case len(t.groupMap) > 0:
		return t.groupMap[foldID(theirs)]
	case t.groups[theirs]:
		return theirs
	}
	return ""
}
