package verifier

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"golang.org/x/mod/sumdb/tlog"
)

// decidedKinds are those whose events have the versions 1, 2, 3 … once each (pkg/merkle/FORMATS.md, "Subjects").
var decidedKinds = []string{
	"request", "tenant", "subscription", "ownership", "ticket", disclosures, "policy", "signing",
	"erasure", "keys",
}

// disclosures are the only ones whose first event may stand in another tree, under an embargo.
const disclosures = "disclosure"

// entries is what a monitor keeps of the entries of a tenant's tree that it has read: enough to read on, and to
// recompute what the log says about them.
type entries struct {
	merkle.Frontier
	// Heads are all heads as of here, encoded.
	Heads []byte `json:"heads"`
	// Sequence is the stream sequence of the last entry of format 1; 0 if there is none.
	Sequence uint64 `json:"sequence"`
	// Strays counts the entries that are no event by their subject.
	Strays int64 `json:"strays"`

	heads *merkle.Heads
}

func (e *entries) open() (err error) {
	if err = e.Check(); err == nil {
		e.heads, err = merkle.DecodeHeads(e.Heads)
	}
	return err
}

// close encodes what was read.
func (e *entries) close() { e.Heads = e.heads.Encode() }

// copied returns what does not change while this is read on.
func (e *entries) copied() *entries {
	return &entries{
		Frontier: merkle.Frontier{Size: e.Size, Roots: slices.Clone(e.Roots)}, Heads: e.Heads, Sequence: e.Sequence,
		Strays: e.Strays,
	}
}

// add reads the next entry of a tenant's tree. Its format must not be lower than floor. It returns what about it
// contradicts what was read before; empty if nothing does. What is not even a statement is an error: nothing can be
// read on from there.
func (e *entries) add(tenant string, floor uint8, entry []byte) (contradiction string, err error) {
	s, err := merkle.ParseStatement(entry)
	if err != nil {
		return "", &merkle.ConvictionError{Reason: fmt.Sprintf("entry %d of the tenant's tree is no statement: %v", e.Size+1,
			err)}
	}
	if s.TenantSequence != uint64(e.Size)+1 { //nolint:gosec // G115: a size
		return "", &merkle.ConvictionError{Reason: fmt.Sprintf("entry %d of the tenant's tree says that it is number %d",
			e.Size+1, s.TenantSequence)}
	}
	switch {
	case s.Format < floor:
		contradiction = fmt.Sprintf("entry %d is of format %d, after a checkpoint of format %d", s.TenantSequence, s.Format,
			floor)
	case s.Format == merkle.Format1 && s.StreamSequence <= e.Sequence:
		contradiction = fmt.Sprintf("entry %d has the sequence %d of the stream, after %d", s.TenantSequence,
			s.StreamSequence, e.Sequence)
	default:
		contradiction = e.subject(tenant, s)
	}
	if s.Format == merkle.Format1 {
		e.Sequence = s.StreamSequence
	}
	leaf := tlog.RecordHash(entry)
	e.Append(leaf)
	if about, version := merkle.About(s.Subject); about != "" {
		e.heads.Append(about, version, leaf)
	}
	return contradiction, nil
}

// subject compares an entry's subject with the tenant, and with what was read about the same aggregate.
func (e *entries) subject(tenant string, s merkle.Statement) string {
	tokens := strings.Split(s.Subject, ".")
	if len(tokens) != 7 || tokens[0] != "lockbox" || tokens[1] != "event" || slices.Contains(tokens, "") {
		e.Strays++
		return ""
	}
	if tokens[2] != tenant {
		return fmt.Sprintf("entry %d is %s, which is not %s’s", s.TenantSequence, clean(s.Subject), tenant)
	}
	about, version := merkle.About(s.Subject)
	if !slices.Contains(decidedKinds, tokens[3]) {
		return ""
	}
	if version == 0 {
		e.Strays++
		return ""
	}
	head, found := e.heads.Head(about)
	switch {
	case !found && (version == 1 || version == 2 && tokens[3] == disclosures):
		return ""
	case !found:
		return fmt.Sprintf("entry %d is version %d of %s, and version 1 is missing", s.TenantSequence, version, clean(about))
	case head.Version != head.Count && !(tokens[3] == disclosures && head.Version == head.Count+1):
		return "" // its versions are not 1, 2, 3 … already, which was said
	case version <= head.Version:
		return fmt.Sprintf("entry %d is a second version %d of %s: %s", s.TenantSequence, version, clean(about),
			clean(strings.Join(tokens[6:], ".")))
	case version > head.Version+1:
		return fmt.Sprintf("entry %d is version %d of %s, and version %s is missing", s.TenantSequence, version,
			clean(about), strconv.FormatUint(head.Version+1, 10))
	}
	return ""
}

// readOn reads the entries from one checkpoint to a later one, both of which were verified and begin with the same
// tree. It returns what contradicts what. An error that is no *merkle.ConvictionError says that the entries are not
// those of the later checkpoint.
func (e *entries) readOn(before merkle.Seen, all [][]byte, after merkle.Seen) (found []contradiction, err error) {
	floor := uint8(merkle.Format1)
	for i, entry := range all {
		if before.Opening.Size > 0 && e.Size == before.Opening.Size {
			if e.Tree() != before.Opening.Tree() {
				found = append(found, contradiction{fmt.Sprintf(
					"the first %d entries have the root %v, and the log signed %v for them", e.Size, e.Tree().Hash,
					before.Opening.Root), 0})
			}
			floor = before.Opening.Format()
		}
		one, err := e.add(after.Tenant, floor, entry)
		if err != nil {
			for _, rest := range all[i:] { // whose they are must be known all the same
				e.Append(tlog.RecordHash(rest))
			}
			if e.Tree() != after.Opening.Tree() {
				return nil, errOtherEntries
			}
			return nil, err
		}
		if one != "" {
			found = append(found, contradiction{one, uint64(e.Size)}) //nolint:gosec // G115: a size
		}
	}
	if e.Tree() != after.Opening.Tree() {
		return nil, errOtherEntries
	}
	if heads := after.Opening.Heads; heads != nil && e.heads.View().Root() != *heads {
		return nil, &merkle.ConvictionError{Reason: fmt.Sprintf(
			"the heads of the tenant's %d entries are not those that the log signed: it counts others than there are", e.Size)}
	}
	return found, nil
}

// contradiction is what about an entry contradicts what was read before it; the entry is 0 if it is none of them.
type contradiction struct {
	what  string
	entry uint64
}

var errOtherEntries = fmt.Errorf("%w, ask again: the entries are not those of the signed tree", ErrInconclusive)
