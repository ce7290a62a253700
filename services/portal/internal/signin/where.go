package signin

import (
	"net/url"
	"path"
	"strings"
	"unicode"

	"github.com/openlockbox/lockbox/services/portal/internal/organisation"
)

// maxTo is the longest address that somebody is sent to after they have signed in, in bytes: it must fit into a cookie.
const maxTo = 2048

// owner finds whose page an address is; nil: it is none of ours. It is one only as a path that is plainly below an
// organisation's base, as browsers read it and as we do: what could be read in two ways is refused.
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

// odd characters do not stand in an address (RFC 3986), or begin what browsers keep to themselves.
func odd(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("\"#<>\\^`{|}", r)
}
