package merkle

import (
	"errors"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxBundle is how many events one answer shows at most, and maxBundleBytes after how many of their bytes it ends.
const (
	MaxBundle      = tileWidth
	maxBundleBytes = 4 << 20
)

// Bundle is what a log shows of consecutive events of a tenant: the bytes to which the entries of the tenant's tree
// commit. It proves nothing by itself; see Statement.Open.
type Bundle struct {
	// Events are at least one, from the one that was asked for on.
	Events []Shown `json:"events"`
	// Writers are the certificates of the keys that signed what is shown, as in receipts.
	Writers []string `json:"writers"`
}

// Shown is one event of a Bundle: what its commitment is made of, unless that is withheld.
type Shown struct {
	Withheld bool       `json:"withheld,omitempty"`
	Salt     *tlog.Hash `json:"salt,omitempty"`
	Bytes    []byte     `json:"bytes,omitempty"`
	// Alarm is when the provider recorded that this is no event, or not rightly there, and SetAside when it recorded the
	// decision that it counts as if it were not there. Both only if that was asked for. They are the provider's word.
	Alarm    time.Time `json:"alarm,omitzero"`
	SetAside time.Time `json:"setAside,omitzero"`
}

// ShowEvents reads up to count events of a tenant's tree from leaf number first on. Show says what is shown of each;
// its argument is nil for what is not the event of its subject. It ends after MaxBundle events or about 4 MiB.
func ShowEvents(
	from Reader, tree tlog.Tree, first, count int64, show func(Whole, *lockboxv1.Event) (Shown, error),
) (events []Shown, err error) {
	if first < 0 || first >= tree.N || count < 1 {
		return nil, errors.New("no such events")
	}
	end, size := min(tree.N, first+min(count, MaxBundle)), 0
	for n := first; n < end; {
		whole, err := readWhole(from, tree, n)
		if err != nil {
			return nil, err
		}
		for _, w := range whole[n%tileWidth:] {
			if n == end || size >= maxBundleBytes {
				return events, nil
			}
			e, err := eventOn(w.Subject, w.Bytes)
			if err != nil {
				e = nil
			}
			is, err := show(w, e)
			if err != nil {
				return nil, err
			}
			events = append(events, is)
			size += len(is.Bytes)
			n++
		}
	}
	return events, nil
}

// Statements reads what the leaves say that stand in one tile with leaf n, from that one on, each compared with the
// tree.
func Statements(from Reader, tree tlog.Tree, n int64) ([]Statement, error) {
	entries, err := readEntries(from, n, tree.N)
	if err != nil {
		return nil, err
	}
	leaves, err := readLeaves(from, tree, n)
	if err != nil {
		return nil, err
	}
	first := n % tileWidth
	statements := make([]Statement, 0, int64(len(entries))-first)
	for i := first; i < int64(len(entries)); i++ {
		s, err := statementAt(entries[i], leaves[i], n-first+i)
		if err != nil {
			return nil, err
		}
		statements = append(statements, s)
	}
	return statements, nil
}

// Open returns the event that a statement commits to. The error is a *ProofError: of the part Content if these are not
// the bytes that were recorded, which says nothing about the log; of the part Binding if they are, and are no event, or
// another one than the statement's subject says, which the log signed.
func (s Statement) Open(salt Salt, stored []byte) (*lockboxv1.Event, error) {
	if Commit(s.Format, salt, stored) != s.Commitment {
		return nil, brokenAt(Content, s.TenantSequence, "what is shown is not what was recorded")
	}
	is, err := eventOn(s.Subject, stored)
	if err != nil {
		return nil, brokenAt(Binding, s.TenantSequence, "%v", err)
	}
	return is, nil
}
