package verifier

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// ReceiptHelp explains what checking a receipt proves.
const ReceiptHelp = `checks it, offline, with nothing but public keys: that its events, each of them that of its
subject, stood in the log with these bytes, in this order, no version left out between them, under a checkpoint that the
log and as many witnesses as the policy demands have signed; and whether they are all that the log committed to as of that
checkpoint. That the log did not lie about that is proved only by a monitor that reads its entries. With --writers-key,
each event that is shown is signed by the service that writes such events.`

// Receipt is the result of checking a receipt, as written with --json.
type Receipt struct {
	Trusted string `json:"trusted"`
	// Claims is what is proved, in words.
	Claims merkle.Claims `json:"claims"`
	Tenant string        `json:"tenant"`
	About  string        `json:"about"`
	Events []Event       `json:"events"`
	// All says that the events are all that the log committed to as of the checkpoint.
	All bool `json:"all"`
	// Head is what the log committed to about all events; nil for a receipt of format 1, which has none.
	Head *Head `json:"head,omitempty"`
	// WritersChecked says that each event shown is signed by its writer.
	WritersChecked bool      `json:"writers_checked"`
	TenantSize     int64     `json:"tenant_size"`
	Slot           int64     `json:"slot"`
	Log            string    `json:"log"`
	Size           int64     `json:"size"`
	Root           string    `json:"root"`
	Witnesses      []Witness `json:"witnesses"`
	Unknown        []string  `json:"unknown_signatures"`
	// Statements are the customer's decisions in it, and whose signatures they carry.
	Statements []Statement `json:"statements,omitempty"`
	// Keys are the words of the fingerprint of the keys under which they were verified; empty if none were given.
	Keys string `json:"keys,omitempty"`
	// Pinned says that these are the keys of a fingerprint that was given.
	Pinned bool `json:"pinned,omitempty"`
	// Watched is what a watcher who has read the log's entries says about it.
	Watched string `json:"watched,omitempty"`
}

// Head is what a log says about all events of one aggregate: how many there are, and up to which version.
type Head struct {
	Count   uint64 `json:"count"`
	Version uint64 `json:"version"`
}

// Witness is a witness that cosigned the checkpoint, and when.
type Witness struct {
	Name string `json:"name"`
	// At is nil if what it says is no time.
	At *time.Time `json:"at,omitempty"`
}

// Event is one event of a receipt. For a withheld event only its position in the log is proven; its content is not
// shown.
type Event struct {
	// Sequence is the event's place in the stream; 0 and left out if the log hides it, as format 2 does.
	Sequence uint64 `json:"sequence,string,omitempty"`
	// TenantSequence is its place among the tenant's events.
	TenantSequence uint64          `json:"tenant_sequence,string"`
	Subject        string          `json:"subject"`
	Withheld       bool            `json:"withheld"`
	Writer         string          `json:"writer,omitempty"`
	Event          json.RawMessage `json:"event,omitempty"`

	decoded *lockboxv1.Event
}

// mostFile is how much of a file is read: of the longest receipt with two bytes for each character, and then a little.
const mostFile = 129 << 20

// CheckFile checks the receipt in a file. The error is ErrNotProven if the receipt does not hold.
func CheckFile(name string, trust Trust) (*Receipt, error) {
	trusted, from, err := trust.receipts()
	if err != nil {
		return nil, err
	}
	opened, err := os.Open(name) // #nosec G304 -- the user names it
	if err != nil {
		return nil, err
	}
	file, err := io.ReadAll(io.LimitReader(opened, mostFile))
	if err = errors.Join(err, opened.Close()); err != nil {
		return nil, err
	}
	file = asWritten(file)
	report, err := trusted.VerifyReceipt(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w%s", ErrNotProven, name, err, whatNow(file, err))
	}
	r, err := shown(report)
	if err == nil {
		r.Trusted = from
	}
	return r, err
}

// whatNow says what to do about a receipt that does not hold; empty if that is not known.
func whatNow(file []byte, err error) string {
	var is *merkle.ProofError
	if errors.As(err, &is) {
		switch is.Part {
		case merkle.Contradiction:
			return "; the log signed both: keep this file, it convicts the log"
		case merkle.Subject, merkle.Binding:
			return "; the log signed that it stands there: keep this file"
		case merkle.Writer:
			return "; what was written before signing began, and receipts of earlier versions, hold without the writers’ key"
		}
	}
	return whatHappened(file)
}

// shown returns what is said of a verified receipt.
func shown(report merkle.Report) (*Receipt, error) {
	signed := report.Signed
	r := &Receipt{
		Claims: report.Claims(), Tenant: report.Tenant, About: report.About, TenantSize: report.Tree.N, Slot: report.Slot,
		Log: signed.Origin, Size: signed.Tree.N, Root: hex.EncodeToString(signed.Tree.Hash[:]),
		Unknown: signed.Unknown, Witnesses: []Witness{}, All: report.Complete(), WritersChecked: report.Judged,
	}
	if report.Head.Count > 0 {
		r.Head = &Head{report.Head.Count, report.Head.Version}
	}
	for _, w := range signed.Cosigned {
		is := Witness{Name: w.Name}
		if w.SaysTime() {
			is.At = &w.At
		}
		r.Witnesses = append(r.Witnesses, is)
	}
	for _, e := range report.Events {
		is := Event{
			Sequence: e.StreamSequence, TenantSequence: e.TenantSequence, Subject: e.Subject, Withheld: e.Withheld,
			Writer: e.Writer, decoded: e.Event,
		}
		if !e.Withheld {
			var err error
			if is.Event, err = protojson.Marshal(e.Event); err != nil {
				return nil, err
			}
		}
		r.Events = append(r.Events, is)
	}
	r.Statements = unverified(report)
	return r, nil
}

// Text formats the receipt for people. Line formats each event that is not withheld, with the number of its place; nil:
// the plain format.
func (r *Receipt) Text(line func(place uint64, e *lockboxv1.Event) string) string {
	if line == nil {
		line = plain
	}
	var b strings.Builder
	b.WriteString("The receipt holds. These events stood in the log with these bytes, in this order, and no version " +
		"between them is left out.\n\n")
	for _, e := range r.Events {
		place := e.TenantSequence
		if r.Head == nil {
			place = e.Sequence
		}
		if e.Withheld {
			typ := e.Subject[strings.LastIndexByte(e.Subject, '.')+1:]
			fmt.Fprintf(&b, "%8d  %s (withheld; its place is proven)\n", place, clean(typ))
			continue
		}
		b.WriteString(strings.TrimRight(line(place, e.decoded), "\n") + "\n")
	}
	b.WriteByte('\n')
	for _, row := range [][2]string{
		{"Whose", r.Claims.Whose}, {"Shown", r.Claims.Shown}, {"As of", r.Claims.AsOf}, {"Signed", r.Claims.Signed},
		{"Written", r.Claims.Written}, {"Root", fmt.Sprintf("%s at size %d", r.Root, r.Size)}, {"Trusted", r.Trusted},
	} {
		fmt.Fprintf(&b, "%-9s %s\n", row[0], clean(row[1]))
	}
	r.signatures(&b)
	b.WriteString("\n" + r.limits() + "\n")
	if r.Watched != "" {
		b.WriteString("\n" + r.Watched + "\n")
	}
	return b.String()
}

// limits says what the receipt does not prove.
func (r *Receipt) limits() string {
	const onlyMonitors = "The log’s key signed how many events there are. Only a monitor that reads the log’s entries " +
		"checks that this is no lie.\n"
	switch {
	case r.Head == nil:
		return "It does not prove that nothing came after the last event; ask for a newer receipt."
	case r.All:
		return onlyMonitors + "What came after the checkpoint is in a newer receipt."
	}
	return onlyMonitors + "The rest was left out, or is no event; ask for a newer receipt."
}

// plain formats an event on one line: place, time, type and actor; of access also what it is for and permits.
func plain(place uint64, e *lockboxv1.Event) string {
	what := fact.TypeOf(e)
	var words strings.Builder
	for i, r := range what {
		if i > 0 && r >= 'A' && r <= 'Z' {
			words.WriteByte(' ')
			r += 'a' - 'A'
		}
		words.WriteRune(r)
	}
	at := e.GetTime().AsTime().Format(time.RFC3339)
	text := fmt.Sprintf("%8d  %s  %-24s  %s", place, at, words.String(), clean(who(e.GetActor())))
	if g := e.GetAccessGranted(); g.GetMode() != lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED {
		mode := strings.ToLower(strings.TrimPrefix(g.GetMode().String(), "ACCESS_MODE_"))
		text += fmt.Sprintf(": %s, %s, %s", clean(g.GetResourceType()), clean(g.GetScenario()), mode)
	}
	return text
}

func who(a *lockboxv1.Actor) string {
	if a.GetSide() == lockboxv1.Side_SIDE_SYSTEM {
		return "Lockbox"
	}
	name := a.GetPerson().GetDisplayName()
	if name == "" {
		name = a.GetPerson().GetSubject()
	}
	if a.GetEmployer() != "" {
		name += " (" + a.GetEmployer() + ")"
	}
	return name
}
