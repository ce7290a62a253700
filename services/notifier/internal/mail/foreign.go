package mail

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/catalogue/names"
	"github.com/openlockbox/lockbox/pkg/foreign"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/resource"
)

// line sanitises a user-supplied single-line text: a name, an ID, a title. Commands check most of them before they
// become events; names in tokens, and data from older versions, are unchecked. No mail client makes a link of it.
func line(s string) string { return foreign.Line(s) }

// resourceID sanitises the id of a resource in the same way, and cuts none that a resource may have. The resource
// provider, as Microsoft.Compute, stays as it is: it is one of the catalogue's.
func resourceID(s string) string {
	segments := strings.Split(lineOf(s, resource.MaxLength), "/")
	for i, segment := range segments {
		if i == 0 || !strings.EqualFold(segments[i-1], "providers") {
			segments[i] = foreign.Unlink(segment)
		}
	}
	return strings.Join(segments, "/")
}

// name sanitises a single-line text and leaves what looks like a link: the names that the provider chose for itself,
// its customers and its services, and whatever stands in a header.
func name(s string) string { return foreign.Name(s) }

// called says a name of the catalogue in the reader's language.
func (w *writer) called(s string) string { return name(names.In(w.language, s)) }

func lineOf(s string, longest int) string { return foreign.NameOf(s, longest) }

// address sanitises an address that Lockbox itself names, and leaves it as it is if it is one.
func address(s string) string {
	if input.Email("address", s) == nil {
		return s
	}
	return line(s)
}

// text sanitises a user-supplied multi-line text, of which no mail client makes a link.
func text(s string) string { return foreign.Text(s, longestText) }

// longestText is the maximum length of such a text in a mail, in runes.
const longestText = 4000
