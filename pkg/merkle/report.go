package merkle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/tlog"
)

// Report states what a verified receipt proves.
type Report struct {
	Tenant string
	// About is the common prefix of the events' subjects. The events are its versions from 1 on, without gaps.
	About  string
	Events []Proven
	// Head is what the log committed to in this checkpoint about all events of the aggregate. It is zero for a receipt of
	// format 1: nothing in that says whether there are more.
	Head Head
	// Slot is the tenant's slot. It never changes: a different slot in another receipt of the same log proves a fork.
	Slot int64
	// Tree is the tenant's tree that contains the events.
	Tree tlog.Tree
	// Signed is the global checkpoint.
	Signed Signed
	// Judged says that it was checked who signed each event that is shown: no other service could have written it.
	// Otherwise the log's signature alone vouches for what the events say.
	Judged bool
}

// Complete reports whether the events are all that the log committed to as of the checkpoint. Only a monitor that reads
// the log's entries checks that its heads do not lie.
func (r Report) Complete() bool { return r.Head.Count > 0 && r.Head.Count == uint64(len(r.Events)) }

// Proven is an event proven to be in the tenant's tree.
type Proven struct {
	// StreamSequence is 0 for an event of format 2.
	StreamSequence, TenantSequence uint64
	Subject                        string
	// Withheld means that the bytes are not in the receipt. It proves only their position, and that no other bytes can be
	// presented later in their place.
	Withheld bool
	Bytes    []byte
	// Event is what the bytes say, without their signature: the event of that subject. It is nil if they are withheld.
	Event *lockboxv1.Event
	// Writer is the part of Lockbox that signed it; empty unless that was judged.
	Writer string
}

// lastTime is the end of the times that a date of four digits can name.
var lastTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)

// Time returns the earliest time at which a witness of the policy says that it saw the checkpoint: the log had signed
// it by then. It returns false if no witness says a time: then none is proved.
func (r Report) Time() (earliest Cosigned, proved bool) {
	for _, c := range r.Signed.Cosigned {
		if c.SaysTime() && (!proved || c.At.Before(earliest.At)) {
			earliest, proved = c, true
		}
	}
	return earliest, proved
}

// SaysTime reports whether what the witness says is a time: 1970 is what a clock says that was never set.
func (c Cosigned) SaysTime() bool { return c.At.Unix() > 0 && c.At.Before(lastTime) }

// Claims is what a verified receipt proves, in words that claim no more. Names in it are as the receipt has them: quote
// them before they are shown on a terminal.
type Claims struct {
	// Whose are the customer and its slot of the log.
	Whose string `json:"whose"`
	// Shown is which versions of what are there, and of how many.
	Shown string `json:"shown"`
	// AsOf is the checkpoint, and the time by which it was signed if one is proved.
	AsOf string `json:"as_of"`
	// Signed is whose signatures vouch that nothing was rewritten.
	Signed string `json:"signed"`
	// Written is who wrote the events, if it was checked.
	Written string `json:"written"`
}

// Claims says what the receipt proves.
func (r Report) Claims() Claims {
	about := strings.Split(r.About, ".")
	c := Claims{
		Whose:   fmt.Sprintf("%s, slot %d of the log %s", r.Tenant, r.Slot, r.Signed.Origin),
		AsOf:    fmt.Sprintf("the checkpoint of size %d; no time is proved, since no witness says one", r.Signed.Tree.N),
		Signed:  "by the log’s key, and by no witness",
		Written: "not checked: whose signatures the events carry is unknown without the writers’ key",
	}
	what, n := strings.Join(about[len(about)-2:], " "), len(r.Events)
	if about[2] != r.Tenant {
		what += " of " + about[2]
	}
	switch {
	case r.Complete():
		c.Shown = fmt.Sprintf("%s, versions 1 to %d: all that the log committed to", what, n)
	case r.Head.Count > r.Head.Version:
		c.Shown = fmt.Sprintf("%s, versions 1 to %d; the log counts %d events up to version %d: one version stands there "+
			"twice, or a message that is no event", what, n, r.Head.Count, r.Head.Version)
	case r.Head.Count > 0:
		c.Shown = fmt.Sprintf("%s, versions 1 to %d of %d; the rest was left out", what, n, r.Head.Count)
	default:
		c.Shown = fmt.Sprintf("%s, up to version %d; nothing says whether there are more", what, n)
	}
	if at, proved := r.Time(); proved {
		c.AsOf = fmt.Sprintf("the checkpoint of size %d, which was signed no later than %s, as %s says", r.Signed.Tree.N,
			at.At.Format(time.RFC3339), at.Name)
		if e := r.after(at.At); e != nil {
			c.AsOf += fmt.Sprintf("; version %d says that it was decided after that, at %s: one of the two "+
				"is wrong", e.Event.GetVersion(), e.Event.GetTime().AsTime().UTC().Format(time.RFC3339))
		}
	}
	if witnesses := len(r.Signed.Cosigned); witnesses > 0 {
		var names []string
		for _, w := range r.Signed.Cosigned {
			names = append(names, w.Name)
		}
		c.Signed = "by the log’s key, and by " + strings.Join(names, ", ")
	}
	if r.Judged {
		c.Written = r.written()
	}
	return c
}

// clocks is how far clocks of honest services and witnesses may be apart.
const clocks = time.Minute

// after returns the first event that says it is of a time after this one; nil if none does.
func (r Report) after(at time.Time) *Proven {
	for i, e := range r.Events {
		if e.Event != nil && e.Event.GetTime().AsTime().After(at.Add(clocks)) {
			return &r.Events[i]
		}
	}
	return nil
}

// written says who signed how many events.
func (r Report) written() string {
	var by []string
	count := map[string]int{}
	for _, e := range r.Events {
		if e.Writer != "" && count[e.Writer] == 0 {
			by = append(by, e.Writer)
		}
		count[e.Writer]++
	}
	if len(by) == 0 {
		return "not proved of any event, since all are withheld"
	}
	slices.Sort(by)
	for i, name := range by {
		by[i] = fmt.Sprintf("%s (%d)", name, count[name])
	}
	text := "signed by " + strings.Join(by, ", ")
	if hidden := count[""]; hidden > 0 {
		text += fmt.Sprintf("; not proved of %d withheld", hidden)
	}
	return text + "; whether a key was revoked is not known here"
}
