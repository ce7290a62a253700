package merkle

import (
	"fmt"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// told is what a log records of a request: a subject with stored bytes, in the tree of a tenant.
type told struct {
	tree, subject string
	stored        []byte
}

const bankRequest = "lockbox.event.bank.request.r1"

// asked, answered and granted are the versions of a request that a bank denied or approved.
func asked() *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: "1", Tenant: "bank", Kind: "request", AggregateId: "r1", Version: 1,
		Fact: &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{}},
	}
}

func denied() *lockboxv1.Event {
	return &lockboxv1.Event{
		Id: "2", Tenant: "bank", Kind: "request", AggregateId: "r1", Version: 2,
		Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{}},
	}
}

func bytesOf(t testing.TB, e *lockboxv1.Event) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	must(t, err)
	return data
}

// tell returns what the log holds of a request, with the second event changed.
func tell(t testing.TB, change func(second *told, is *lockboxv1.Event)) []told {
	is := denied()
	second := told{tree: "bank", subject: bankRequest + ".2.CustomerDenied"}
	change(&second, is)
	if second.stored == nil {
		second.stored = bytesOf(t, is)
	}
	return []told{{"bank", bankRequest + ".1.AccessRequested", bytesOf(t, asked())}, second}
}

// recorded is the receipt that a log makes of whatever it recorded, by subjects that begin so. All that it proves is
// true.
func recorded(t testing.TB, format uint8, about string, all []told, change func(*sample, []Wanted)) ([]byte, *sample) {
	t.Helper()
	s := newSampleIn(t, format)
	s.put("_", "lockbox.event._.policy.rules.1.RulesPublished", nil)
	var wanted []Wanted
	for _, e := range all {
		leaf := s.put(e.tree, e.subject, e.stored)
		version := uint64(len(wanted) + 1)
		s.heads[e.tree].Append(about, version, leaf)
		wanted = append(wanted, Wanted{TenantSequence: uint64(s.logs[e.tree].Tree().N)})
	}
	change(s, wanted)
	s.checkpoint()
	r := s.receiptAbout(all[0].tree, about, wanted...)
	if format == Format2 {
		var err error
		r.Events, r.Proof, err = ProveTogether(s.stores[all[0].tree], s.trees[all[0].tree], wanted)
		must(t, err)
		r.Writers = []string{}
	}
	return encoded(t, r), s
}

func asRecorded(*sample, []Wanted) {}

func withheld(_ *sample, wanted []Wanted) {
	for i := range wanted {
		wanted[i].Withhold = true
	}
}

func TestTheEventOfASubjectIsBound(t *testing.T) {
	for _, format := range []uint8{Format1, Format2} {
		file, _ := recorded(t, format, bankRequest, tell(t, func(*told, *lockboxv1.Event) {}), asRecorded)
		report, err := VerifyReceipt(file, policy(t, "all"))
		must(t, err)
		if got := report.Events[1].Event.GetCustomerDenied(); got == nil || report.Judged || report.Events[1].Writer != "" {
			t.Errorf("it says %+v", report)
		}
	}
}

// misfits are second events of a request that contradict their own subject.
func misfits(t testing.TB) map[string]func(second *told, is *lockboxv1.Event) {
	add := func(second *told, more []byte) { second.stored = append(bytesOf(t, denied()), more...) }
	text := func(number protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), s)
	}
	return map[string]func(second *told, is *lockboxv1.Event){
		"of another tenant":    func(_ *told, is *lockboxv1.Event) { is.Tenant = "clinic" },
		"of another kind":      func(_ *told, is *lockboxv1.Event) { is.Kind = "ticket" },
		"of another request":   func(_ *told, is *lockboxv1.Event) { is.AggregateId = "r2" },
		"another version":      func(_ *told, is *lockboxv1.Event) { is.Version = 3 },
		"a report as well":     func(_ *told, is *lockboxv1.Event) { is.ReportKey = "2" },
		"a report instead":     func(_ *told, is *lockboxv1.Event) { is.Version, is.ReportKey = 0, "2" },
		"another fact":         func(_ *told, is *lockboxv1.Event) { is.Fact = &lockboxv1.Event_CustomerApproved{} },
		"no fact":              func(_ *told, is *lockboxv1.Event) { is.Fact = nil },
		"under another type":   func(second *told, _ *lockboxv1.Event) { second.subject = bankRequest + ".2.Other" },
		"no message":           func(second *told, _ *lockboxv1.Event) { second.stored = []byte{0x0f} },
		"nothing":              func(second *told, _ *lockboxv1.Event) { second.stored = []byte{} },
		"its tenant twice":     func(second *told, _ *lockboxv1.Event) { add(second, text(2, "bank")) },
		"its kind twice":       func(second *told, _ *lockboxv1.Event) { add(second, text(3, "request")) },
		"its id twice":         func(second *told, _ *lockboxv1.Event) { add(second, text(4, "r1")) },
		"its time twice":       func(second *told, _ *lockboxv1.Event) { add(second, append(text(7, ""), text(7, "")...)) },
		"its version twice":    func(second *told, _ *lockboxv1.Event) { add(second, []byte{5 << 3, 2}) },
		"its key as a number":  func(second *told, _ *lockboxv1.Event) { add(second, []byte{6 << 3, 2}) },
		"its fact twice":       func(second *told, _ *lockboxv1.Event) { add(second, text(31, "")) },
		"another fact besides": func(second *told, _ *lockboxv1.Event) { add(second, text(30, "")) },
		"another fact before it": func(second *told, is *lockboxv1.Event) {
			second.stored = append(text(30, ""), bytesOf(t, is)...)
		},
		"a fact of a later version": func(second *told, is *lockboxv1.Event) {
			is.Fact = nil
			second.stored = append(bytesOf(t, is), text(9999, "")...)
		},
	}
}

// TestWhatIsRecordedIsNotBelieved: a log can record anything, sign it, and prove that it did. What contradicts its own
// subject is no event, and no receipt shows it as one.
func TestWhatIsRecordedIsNotBelieved(t *testing.T) {
	for name, change := range misfits(t) {
		t.Run(name, func(t *testing.T) {
			all := tell(t, change)
			for _, format := range []uint8{Format1, Format2} {
				file, _ := recorded(t, format, bankRequest, all, asRecorded)
				_, err := verifiedProofs(file, policy(t, "all"))
				must(t, err)
				_, err = VerifyReceipt(file, policy(t, "all"))
				wantBroken(t, err, Binding)
			}
		})
	}
}

// placing is what a receipt may say that it is about, with a tree and a type.
type placing struct {
	tree, typ string
	part      Part // empty: it holds
}

func abouts() map[string]placing {
	return map[string]placing{
		bankRequest:                              {"bank", "AccessRequested", ""},
		"lockbox.event._.policy.rules":           {"_", "RulesPublished", ""},
		"lockbox.event.bank.disclosure.d1":       {"_", legalDemand, ""},
		"lockbox.event.bank.disclosure.d2":       {"bank", legalDemand, Subject},
		"lockbox.event.bank.disclosure.d3":       {"_", "ExposureDisclosed", Subject},
		"lockbox.event.bank.ticket.t1":           {"_", legalDemand, Subject},
		"lockbox.event.clinic.request.r1":        {"bank", "AccessRequested", Subject},
		"lockbox.event._.policy.catalogue":       {"bank", "CataloguePublished", Subject},
		"lockbox.event.bank.request":             {"bank", "AccessRequested", Subject},
		"lockbox.event.bank":                     {"bank", "AccessRequested", Subject},
		"lockbox.event.bank.request.r1.x":        {"bank", "AccessRequested", Subject},
		"lockbox.event.bank.request.r 1":         {"bank", "AccessRequested", Subject},
		"lockbox.event.bank.request.":            {"bank", "AccessRequested", Subject},
		"lockbox.event.bank..r1":                 {"bank", "AccessRequested", Subject},
		"lockbox.event.Bank.request.r1":          {"Bank", "AccessRequested", Subject},
		"lockbox.event.bank.Request.r1":          {"bank", "AccessRequested", Subject},
		"lockbox.intent.bank.request.r1":         {"bank", "AccessRequested", Subject},
		"otherbox.event.bank.request.r1":         {"bank", "AccessRequested", Subject},
		"lockbox.event.bank.delivery.d1":         {"bank", "NotificationSent", Subject},
		"lockbox.event._.checkpoint.log":         {"_", "CheckpointSigned", Subject},
		"lockbox.event.bank.ticket.t2":           {"bank", "Ticket.Opened", Order},
		"lockbox.event.bank.ticket.t3":           {"bank", "Ticket*", Order},
		"lockbox.event.bank.ticket.t4":           {"bank", "ticketOpened", Order},
		"lockbox.event.bank.ticket.t5":           {"bank", "", Order},
		"lockbox.event.bank.ticket." + long(129): {"bank", "TicketOpened", Subject},
		"lockbox.event.bank.ticket." + long(128): {"bank", "TicketOpened", ""},
	}
}

// TestAReceiptIsAboutOneAggregateOfItsTenant: even what is withheld is named by its subject, and only by that.
func TestAReceiptIsAboutOneAggregateOfItsTenant(t *testing.T) {
	for about, row := range abouts() {
		t.Run(about, func(t *testing.T) {
			for _, format := range []uint8{Format1, Format2} {
				all := []told{{row.tree, about + ".1." + row.typ, nil}}
				file, _ := recorded(t, format, about, all, withheld)
				_, err := VerifyReceipt(file, policy(t, "all"))
				if row.part == "" {
					must(t, err)
					continue
				}
				wantBroken(t, err, row.part)
			}
		})
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// TestSequencesMoveTogether: between two events of a tenant the stream has room for all that the tenant had meanwhile.
// A log that says otherwise has leaves of its own making.
func TestSequencesMoveTogether(t *testing.T) {
	s := newSampleIn(t, Format1)
	for i := range 3 {
		s.put("bank", fmt.Sprintf("lockbox.event.bank.ticket.t%d.1.TicketOpened", i), nil)
	}
	own := s.logs["bank"].log // which takes any leaf
	for version, place := range [][2]uint64{{10, 4}, {11, 7}} {
		for uint64(own.Tree().N)+1 < place[1] {
			must(t, own.Append([]byte("filler")))
		}
		leaf := Statement{Format: Format1, TenantSequence: place[1], StreamSequence: place[0],
			Subject: fmt.Sprintf("%s.%d.X", bankRequest, version+1)}
		must(t, own.Append(leaf.Append(nil)))
	}
	s.checkpoint()
	r := s.receiptAbout("bank", bankRequest)
	for i, place := range [][2]uint64{{10, 4}, {11, 7}} {
		proof, err := tlogProve(s, int64(place[1])-1)
		must(t, err)
		r.Events = append(r.Events, ReceiptEvent{StreamSequence: place[0], TenantSequence: place[1], Withheld: true,
			Proof: proof, Subject: fmt.Sprintf("%s.%d.X", bankRequest, i+1)})
	}
	_, err := VerifyReceipt(encoded(t, r), policy(t, "all"))
	wantBroken(t, err, Order)
	if !strings.Contains(err.Error(), "room") {
		t.Errorf("it says %v", err)
	}
}
