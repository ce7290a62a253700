package aggregate

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// A ticket has a reference, which is what the customer's own system calls it (`#12345`, `org/repo#12`), and an id,
// which is a token of a subject and follows from the reference. So a ticket is found by its reference with a direct
// read, and there can be only one of a reference. Tickets from before there were references are the exception: their
// id is their reference as it was typed.

// longestReference is the most characters of a ticket's reference. URLs of tickets are that long.
const longestReference = 200

// CheckReference refuses (INVALID) what cannot be a ticket's reference, in any spelling.
func CheckReference(field, reference string) error {
	return prose.CheckLine(field, reference, 1, longestReference)
}

// FoldReference returns a ticket's reference as it is compared: without regard to the case of ASCII letters, to blanks
// around it, and to how many blanks and which stand between words.
func FoldReference(reference string) string {
	return strings.Map(lowerASCII, strings.Join(strings.Fields(prose.Line(reference)), " "))
}

func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + ('a' - 'A')
	}
	return r
}

// hashed is how an id begins that is the hash of a reference.
const hashed = "ref-"

var isHashed = regexp.MustCompile("^" + hashed + "[a-z2-7]{52}$")

// TicketID returns the id of the ticket of a reference in any spelling: the folded reference, or its hash (SHA-256) if
// that cannot be a token. Of such an id it returns that id itself.
func TicketID(reference string) string {
	folded := FoldReference(reference)
	if input.Token("", folded) == nil {
		return folded
	}
	sum := sha256.Sum256([]byte("lockbox ticket reference\x00" + folded))
	return hashed + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// TicketToken returns a name of the ticket of a reference that can be a token of a subject or a part of a path: the
// reference itself if it can, and otherwise its id.
func TicketToken(reference string) string {
	if input.Token("", reference) == nil {
		return reference
	}
	return TicketID(reference)
}

// HashedTicketID reports whether an id is a hash. No reference may look like one: it would take the place of another.
func HashedTicketID(id string) bool { return isHashed.MatchString(FoldReference(id)) }

// TicketNamed returns how a command about a ticket names it: by its reference, in any spelling, or by its id. It
// returns false if the command is about something else.
func TicketNamed(c *lockboxv1.Command) (named string, is bool) {
	named = c.GetAggregateId()
	if reference := c.GetOpenTicket().GetReference(); reference != "" {
		named = reference
	}
	return named, about(c).Kind == KindTicket
}

// NameTicket makes the command name a ticket by its id; one that opens a ticket keeps the reference.
func NameTicket(c *lockboxv1.Command, id string) {
	if open := c.GetOpenTicket(); open != nil {
		open.Reference, _ = TicketNamed(c)
	}
	c.AggregateId = id
}
