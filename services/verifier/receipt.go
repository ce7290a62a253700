package verifier

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// ReceiptHelp explains what checking a receipt proves.
const ReceiptHelp = `checks it, offline, with nothing but public keys: that its events stood in the log with these
bytes, in this order, none left out between them, under a checkpoint that the log and as many witnesses as the policy
demands have signed; and whether they are all that the log committed to as of that checkpoint. That the log did not lie
about that is proved only by a monitor that reads its entries.`

// Receipt is the result of checking a receipt, as written with --json.
type Receipt struct {
	Trusted string  `json:"trusted"`
	Tenant  string  `json:"tenant"`
	About   string  `json:"about"`
	Events  []Event `json:"events"`
	// All says that the events are all that the log committed to as of the checkpoint.
	All bool `json:"all"`
	// Head is what the log committed to about all events; nil for a receipt of format 1, which has none.
	Head       *Head     `json:"head,omitempty"`
	TenantSize int64     `json:"tenant_size"`
	Slot       int64     `json:"slot"`
	Log        string    `json:"log"`
	Size       int64     `json:"size"`
	Root       string    `json:"root"`
	Witnesses  []Witness `json:"witnesses"`
	Unknown    []string  `json:"unknown_signatures"`
}

// Head is what a log says about all events of one aggregate: how many there are, and up to which version.
type Head struct {
	Count   uint64 `json:"count"`
	Version uint64 `json:"version"`
}

// Witness is a witness that cosigned the checkpoint, and when.
type Witness struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
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
	Event          json.RawMessage `json:"event,omitempty"`

	decoded *lockboxv1.Event
}

// CheckFile checks the receipt in a file. The error is ErrNotProven if the receipt does not hold.
func CheckFile(name string, trust Trust) (*Receipt, error) {
	policy, from, err := trust.Read()
	if err != nil {
		return nil, err
	}
	file, err := os.ReadFile(name) // #nosec G304 -- the user names it
	if err != nil {
		return nil, err
	}
	r, err := check(asWritten(file), policy)
	if err != nil {
		why := whatHappened(file)
		if is := (*merkle.ProofError)(nil); errors.As(err, &is) && is.Part == merkle.Contradiction {
			why = "; the log signed both: keep this file, it convicts the log"
		}
		return nil, fmt.Errorf("%w: %s: %w%s", ErrNotProven, name, err, why)
	}
	r.Trusted = from
	return r, nil
}

// check verifies a receipt, that it is about what is the tenant's, and that each event in it matches its subject.
func check(file []byte, policy *merkle.Policy) (*Receipt, error) {
	report, err := merkle.VerifyReceipt(file, policy)
	if err != nil {
		return nil, err
	}
	about := strings.Split(report.About, ".")
	if len(about) != 5 || about[0] != "lockbox" || about[1] != "event" || about[2] != report.Tenant {
		return nil, fmt.Errorf("it is in the log of %s, and about %q, which is not theirs", report.Tenant, report.About)
	}
	signed := report.Signed
	r := &Receipt{
		Tenant: report.Tenant, About: report.About, TenantSize: report.Tree.N, Slot: report.Slot,
		Log: signed.Origin, Size: signed.Tree.N, Root: hex.EncodeToString(signed.Tree.Hash[:]),
		Unknown: signed.Unknown, Witnesses: []Witness{}, All: report.Complete(),
	}
	if report.Head.Count > 0 {
		r.Head = &Head{report.Head.Count, report.Head.Version}
	}
	for _, w := range signed.Cosigned {
		r.Witnesses = append(r.Witnesses, Witness{w.Name, w.At})
	}
	for _, e := range report.Events {
		shown := Event{
			Sequence: e.StreamSequence, TenantSequence: e.TenantSequence, Subject: e.Subject, Withheld: e.Withheld,
		}
		if !e.Withheld {
			if shown.decoded, err = input.DecodeEvent(e.Bytes); err != nil {
				return nil, fmt.Errorf("event %d of the tenant is recorded so, and cannot be read: %w", e.TenantSequence, err)
			}
			if !agrees(e.Subject, shown.decoded) {
				return nil, fmt.Errorf("event %d of the tenant is recorded so, and is not what its subject says",
					e.TenantSequence)
			}
			if shown.Event, err = protojson.Marshal(shown.decoded); err != nil {
				return nil, err
			}
		}
		r.Events = append(r.Events, shown)
	}
	return r, nil
}

// agrees reports whether an event matches its subject, lockbox.event.<tenant>.<kind>.<id>.<version or report
// key>.<type>. pkg/bus has the same check; this one is independent of the code that is being checked.
func agrees(subject string, e *lockboxv1.Event) bool {
	place := e.GetReportKey()
	if place == "" && e.GetVersion() > 0 {
		place = strconv.FormatUint(e.GetVersion(), 10)
	} else if e.GetVersion() > 0 {
		return false
	}
	tokens := strings.Split(subject, ".")
	want := []string{"lockbox", "event", e.GetTenant(), e.GetKind(), e.GetAggregateId(), place, typeOf(e)}
	if len(tokens) != len(want) {
		return false
	}
	for i, token := range tokens {
		if token != want[i] || token == "" {
			return false
		}
	}
	return true
}

// typeOf returns an event's type name, such as CustomerApproved.
func typeOf(e *lockboxv1.Event) string {
	m := e.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().ByName("fact")).Message().Name())
}

// subject describes for people what the receipt is about.
func (r *Receipt) subject() string {
	tokens := strings.Split(r.About, ".")
	return clean(tokens[3] + " " + tokens[4])
}

// Text formats the receipt for people. Line formats each event that is not withheld, with the number of its place; nil:
// the plain format.
func (r *Receipt) Text(line func(place uint64, e *lockboxv1.Event) string) string {
	if line == nil {
		line = plain
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The receipt holds. %s\n\n", r.claim())
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
	fmt.Fprintf(&b, "\nCustomer  %s, slot %d of the log, %d events\nLog       %s, size %d, root %s\nTrusted   %s\n",
		clean(r.Tenant), r.Slot, r.TenantSize, clean(r.Log), r.Size, r.Root, clean(r.Trusted))
	if len(r.Witnesses) == 0 {
		b.WriteString("Witnesses none was asked for: the log’s own key alone vouches that nothing was rewritten, and nobody\n" +
			"          says when it signed\n")
	} else {
		at := slices.MinFunc(r.Witnesses, func(a, b Witness) int { return a.At.Compare(b.At) }).At
		fmt.Fprintf(&b, "Signed    no later than %s, when the first of its witnesses saw it\n", at.Format(time.RFC3339))
	}
	for _, w := range r.Witnesses {
		fmt.Fprintf(&b, "Witness   %s, %s\n", clean(w.Name), w.At.Format(time.RFC3339))
	}
	b.WriteString("\n" + r.limits() + "\n")
	return b.String()
}

// claim says what the receipt proves.
func (r *Receipt) claim() string {
	shown, of := len(r.Events), fmt.Sprintf("%s at %s", r.subject(), clean(r.Tenant))
	switch {
	case r.All:
		return fmt.Sprintf("It shows all that the log committed to about %s as of this checkpoint: "+
			"versions 1 to %d, in this order.", of, shown)
	case r.Head == nil:
		return fmt.Sprintf("It proves of %s: these %d events stood in the log in this order, with none left out between "+
			"them, up to version %d.", of, shown, shown)
	}
	return fmt.Sprintf("It shows versions 1 to %d of %d of %s, in this order, with none left out between them: as of "+
		"this checkpoint the log committed to %d events, up to version %d.",
		shown, r.Head.Count, of, r.Head.Count, r.Head.Version)
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
	what := typeOf(e)
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
