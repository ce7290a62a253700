// Package resource checks and compares the ids of resources, and holds the path patterns of the catalogue (R49). It is
// pure.
//
// Ids are compared as Azure Resource Manager compares them: `A` and `a` are the same letter, in ASCII only, and a slash
// at the end means nothing. They are recorded and shown as they were written, so what could be written in two ways, or
// looks like something else, is refused.
package resource

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/text/unicode/norm"
)

// MaxLength is the maximum length of an id, in characters. Azure documents limits for the parts of an id, not for the
// whole: 90 characters for a resource group, up to 260 for one name. The longest that these allow is about 1000.
const MaxLength = 1024

const rule = "R49"

// Check refuses (INVALID) an id that is no absolute path, holds a character by which something else than one resource
// could be meant, or could be taken for another id by whoever reads it.
func Check(field, id string) error {
	if err := prose.CheckLine(field, id, 1, MaxLength); err != nil {
		return err
	}
	if i := strings.IndexAny(id, `*?#%\`); i >= 0 {
		return refusal.OfKind(
			refusal.Invalid(field, rule,
				"must not hold %q: wildcards, percent-encoding, backslashes, queries and fragments are not allowed", id[i]),
			"resource-character", "character", string(id[i]))
	}
	if !norm.NFKC.IsNormalString(id) {
		return refusal.OfKind(
			refusal.Invalid(field, rule,
				"must be in Unicode's normalisation form NFKC: no full-width letters, and accents as one character with "+
					"their letter"),
			"resource-normal-form")
	}
	if id[0] != '/' || len(trim(id)) < 2 {
		return refusal.OfKind(
			refusal.Invalid(field, rule, "must be a path that begins with a slash"),
			"resource-slash")
	}
	for _, s := range segments(id) {
		if err := checkSegment(field, s); err != nil {
			return err
		}
	}
	return nil
}

func checkSegment(field, s string) error {
	switch {
	case s == "":
		return refusal.OfKind(
			refusal.Invalid(field, rule, "must not hold two slashes in a row"),
			"resource-double-slash")
	case s == "." || s == "..":
		return refusal.OfKind(
			refusal.Invalid(field, rule, "must not hold %q as a segment", s),
			"resource-dots", "segment", s)
	case s[0] == ' ' || s[len(s)-1] == ' ' || s[len(s)-1] == '.' || strings.Contains(s, "  "):
		return refusal.OfKind(
			refusal.Invalid(field, rule,
				"%q: a segment neither begins nor ends with a space, nor ends with a dot, nor holds two spaces in a row", s),
			"resource-spaces", "segment", s)
	}
	var scripts []string
	for _, r := range s {
		script := scriptOf(r, scripts)
		if script == "" {
			return refusal.OfKind(
				refusal.Invalid(field, rule, "holds the character U+%04X; allowed are ASCII and letters of any language", r),
				"resource-letter", "character", fmt.Sprintf("U+%04X", r))
		}
		if script != common && !slices.Contains(scripts, script) {
			scripts = append(scripts, script)
		}
	}
	if !together(scripts) {
		return refusal.OfKind(
			refusal.Invalid(field, rule, "%q mixes scripts (%s)", s, strings.Join(scripts, ", ")),
			"resource-scripts", "segment", s)
	}
	return nil
}

const common = "Common"

// writingSystems are the scripts that are written together: "highly restrictive" in UTS 39, section 5.2.
var writingSystems = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

func together(scripts []string) bool {
	return len(scripts) < 2 || slices.ContainsFunc(writingSystems, func(system []string) bool {
		return !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(system, s) })
	})
}

// scriptOf returns the script of a character; empty if the character is not allowed. Outside ASCII only letters, marks
// and digits that belong to one script are: a slash, dash or dot that merely looks like ASCII's is not. The two
// exceptions are Japanese. The scripts seen so far are tried first.
func scriptOf(r rune, seen []string) string {
	switch {
	case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
		return "Latin"
	case r <= unicode.MaxASCII, r == '・', r == 'ー':
		return common
	case !unicode.In(r, unicode.L, unicode.M, unicode.N) || unicode.In(r, unicode.Common, unicode.Inherited):
		return ""
	}
	for _, s := range seen {
		if unicode.Is(unicode.Scripts[s], r) {
			return s
		}
	}
	for s, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return s
		}
	}
	return ""
}

// Canonical returns the form in which an id is compared. It takes any text, also ids that Check refuses.
func Canonical(id string) string { return Fold(trim(id)) }

// Same reports whether two ids name the same resource.
func Same(a, b string) bool { return Canonical(a) == Canonical(b) }

// Root returns the id of the subscription, or of the tenant if there is none, below which an intent's resources are.
func Root(tenant, subscription string) string {
	if subscription == "" {
		return "/tenants/" + tenant
	}
	return "/subscriptions/" + subscription
}

// Within reports whether an id is root's own or one below it.
func Within(root, id string) bool {
	rest, found := strings.CutPrefix(Canonical(id), Canonical(root))
	return found && (rest == "" || rest[0] == '/')
}

func trim(id string) string { return strings.TrimSuffix(id, "/") }

func segments(id string) []string { return strings.Split(trim(id), "/")[1:] }

// Fold turns capital letters of ASCII into small ones: subscriptions with the same result are the same. strings.ToLower
// would also turn a Kelvin sign into a k.
func Fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}
