package cli

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
)

// errNotProven says that a receipt or what a log shows does not hold.
var errNotProven = errors.New("not proven")

// verifyFile checks a receipt offline.
func (a *app) verifyFile(c *cobra.Command, t *trust, name string) error {
	policy, from, err := t.read(a, c)
	if err != nil {
		return err
	}
	file, err := os.ReadFile(name) // #nosec G304 -- the user names it
	if err != nil {
		return err
	}
	p, err := prove(file, policy)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errNotProven, name, err)
	}
	p.Trusted = from
	return a.write(page{func() (string, error) { return render.ValueJSON(p) }, func(l render.Look) string { return p.text(l) }})
}

// proven is what a receipt proves, as programs read it.
type proven struct {
	Trusted    string          `json:"trusted"`
	Tenant     string          `json:"tenant"`
	About      string          `json:"about"`
	Events     []provenEvent   `json:"events"`
	TenantSize int64           `json:"tenant_size"`
	Slot       int64           `json:"slot"`
	Log        string          `json:"log"`
	Size       int64           `json:"size"`
	Root       string          `json:"root"`
	Witnesses  []provenWitness `json:"witnesses"`
	Unknown    []string        `json:"unknown_signatures"`
}

type provenWitness struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

type provenEvent struct {
	Sequence uint64          `json:"sequence,string"`
	Subject  string          `json:"subject"`
	Withheld bool            `json:"withheld"`
	Event    json.RawMessage `json:"event,omitempty"`

	decoded *lockboxv1.Event
}

// prove verifies a receipt, and that the events in it are what their subjects say.
func prove(file []byte, policy *merkle.Policy) (*proven, error) {
	r, err := merkle.VerifyReceipt(file, policy)
	if err != nil {
		return nil, err
	}
	p := &proven{
		Tenant: r.Tenant, About: r.About, TenantSize: r.Tree.N, Slot: r.Slot, Log: r.Signed.Origin, Size: r.Signed.Tree.N,
		Root: hex.EncodeToString(r.Signed.Tree.Hash[:]), Unknown: r.Signed.Unknown, Witnesses: []provenWitness{},
	}
	for _, w := range r.Signed.Cosigned {
		p.Witnesses = append(p.Witnesses, provenWitness{w.Name, w.At})
	}
	for _, e := range r.Events {
		shown := provenEvent{Sequence: e.StreamSequence, Subject: e.Subject, Withheld: e.Withheld}
		if !e.Withheld {
			if shown.decoded, err = input.DecodeEvent(e.Bytes); err != nil {
				return nil, fmt.Errorf("event %d is recorded so, and cannot be read: %w", e.StreamSequence, err)
			}
			if !bus.Agrees(e.Subject, shown.decoded) {
				return nil, fmt.Errorf("event %d is recorded so, and is not what its subject says", e.StreamSequence)
			}
			if shown.Event, err = protojson.Marshal(shown.decoded); err != nil {
				return nil, err
			}
		}
		p.Events = append(p.Events, shown)
	}
	return p, nil
}

// subject is what the receipt is about, as people say it.
func (p *proven) subject() string {
	at, err := bus.ParseEventSubject(p.Events[0].Subject)
	if err != nil {
		return render.Clean(p.About)
	}
	return at.Kind + " " + at.ID
}

func (p *proven) text(l render.Look) string {
	var b strings.Builder
	withheld := 0
	for _, e := range p.Events {
		if e.Withheld {
			withheld++
		}
	}
	fmt.Fprintf(&b, "The receipt holds. It proves of %s at %s: these %d events stood in the log in this order, with none left out between them.\n\n",
		p.subject(), p.Tenant, len(p.Events))
	for _, e := range p.Events {
		if e.Withheld {
			fmt.Fprintf(&b, "%8d  %s (withheld; its place is proven)\n", e.Sequence, render.Clean(e.Subject[strings.LastIndexByte(e.Subject, '.')+1:]))
			continue
		}
		b.WriteString(strings.TrimRight(render.Event(l, e.Sequence, e.decoded), "\n") + "\n")
	}
	fmt.Fprintf(&b, "\nLog       %s, size %d, root %s\nTrusted   %s\n", render.Clean(p.Log), p.Size, p.Root, render.Clean(p.Trusted))
	if len(p.Witnesses) == 0 {
		b.WriteString("Witnesses none was asked for: the log’s own key alone vouches that nothing was rewritten\n")
	}
	for _, w := range p.Witnesses {
		fmt.Fprintf(&b, "Witness   %s, %s\n", render.Clean(w.Name), w.At.Format(time.RFC3339))
	}
	b.WriteString("\nIt does not prove that nothing came after the last event; ask for a newer receipt.\n")
	return b.String()
}
