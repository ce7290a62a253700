package signin

import (
	"net/url"
	"path"
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
)

// maxTo is the maximum length of a return URL in bytes: it must fit into a cookie.
const maxTo = 2048

// owner returns the organisation that a URL belongs to; nil if it is not one of ours. It accepts only a path that is
// clearly below an organisation's base both for browsers and for us; ambiguous URLs are refused.
func owner(list organisation.List, to string) *organisation.Organisation {
	if len(to) > maxTo || strings.ContainsFunc(to, odd) {
		return nil
	}
	u, err := url.Parse(to)
	if err != nil || u.Path != path.Clean(u.Path) || strings.ContainsRune(u.Path, '\\') ||
		strings.ContainsFunc(u.Path, unicode.IsControl) {
		return nil
	}
	for i := range list {
		rest, below := strings.CutPrefix(to, list[i].Base())
		if below && (rest == "" || rest[0] == '/' || rest[0] == '?') {
			return &list[i]
		}
	}
	return nil
}

// odd reports characters that are not allowed in a URL (RFC 3986), or that browsers treat specially.
func odd(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("\"#<>\\^`{|}", r)
}
