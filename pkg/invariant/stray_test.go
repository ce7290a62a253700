package invariant_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invariant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A message that is no event breaks I6 and hides its aggregate, until one of those who may has set aside exactly it.
func TestABookOfWhatWasSetAside(t *testing.T) {
	honest := inStream(t, told())
	of, err := bus.ParseEventSubject(honest[len(honest)-1].Subject)
	if err != nil {
		t.Fatal(err)
	}
	last := honest[len(honest)-1].Sequence
	at := honest[len(honest)-1].At.Add(time.Minute)
	own := "lockbox.event." + of.Tenant + "." + of.Kind + "." + of.ID
	strays := []invariant.Stored{
		{Sequence: last + 1, At: at, Subject: own + ".99.CustomerDenied", Bytes: []byte("?")},
		{Sequence: last + 2, At: at, Subject: "lockbox.event.elsewhere.request." + of.ID + ".1.AccessRequested",
			Bytes: honest[0].Bytes},
		{Sequence: last + 3, At: at, Subject: "lockbox.event.x"},
	}
	decide := func(sequence uint64, of invariant.Stored, spoil func(*lockboxv1.Event)) invariant.Stored {
		sum := sha256.Sum256(of.Bytes)
		e := &lockboxv1.Event{
			Id: "019b0000-0000-7000-8000-00000000aaaa", Tenant: "_", Kind: "alarm", AggregateId: "guard", ReportKey: "k",
			Time: timestamppb.New(at),
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{Subject: "olga"},
				Groups: []string{"security-officers"}},
			Fact: &lockboxv1.Event_MessageSetAside{MessageSetAside: &lockboxv1.MessageSetAside{
				Sequence: of.Sequence, Subject: of.Subject, Sha256: sum[:], Reason: "nothing",
			}},
		}
		if spoil != nil {
			spoil(e)
		}
		data, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return invariant.Stored{Sequence: sequence, At: at,
			Subject: "lockbox.event._.alarm.guard." + e.GetReportKey() + ".MessageSetAside", Bytes: data}
	}
	check := func(what string, list []invariant.Stored, broken ...uint64) {
		t.Helper()
		b := invariant.NewBook()
		for _, s := range list {
			b.Add(s)
		}
		found, err := b.Check()
		if err != nil {
			t.Fatal(err)
		}
		var at []uint64
		for _, v := range found {
			if at = append(at, v.Sequence); v.Invariant != "I6" {
				t.Errorf("%s: %v", what, v)
			}
		}
		if !slices.Equal(at, broken) {
			t.Errorf("%s: broken at %v, want %v: %v", what, at, broken, found)
		}
		for i, s := range b.Strays() {
			aside := !slices.Contains(broken, s.Sequence)
			if s.Subject != strays[i].Subject || s.Size != len(strays[i].Bytes) || aside != (s.SetAside.Event != nil) {
				t.Errorf("%s: %+v", what, s)
			}
		}
		if len(b.Strays()) != len(strays) {
			t.Errorf("%s: %d are told of", what, len(b.Strays()))
		}
	}
	all := slices.Concat(honest, strays)
	check("nobody decided", all, last+1, last+2, last+3)
	var decisions []invariant.Stored
	for i, s := range strays {
		decisions = append(decisions, decide(last+10+uint64(i), s, func(e *lockboxv1.Event) {
			e.ReportKey = e.GetReportKey() +
				string(rune('a'+i))
		}))
	}
	check("one was set aside", slices.Concat(all, decisions[:1]), last+2, last+3)
	check("all were set aside", slices.Concat(all, decisions))
	for what, spoil := range map[string]func(*lockboxv1.Event){
		"by an engineer":  func(e *lockboxv1.Event) { e.Actor.Groups = []string{"support-engineers"} },
		"by a customer":   func(e *lockboxv1.Event) { e.Actor.Side = lockboxv1.Side_SIDE_TENANT },
		"by a program":    func(e *lockboxv1.Event) { e.Actor.Person = nil },
		"other bytes":     func(e *lockboxv1.Event) { e.GetMessageSetAside().Sha256[0]++ },
		"another subject": func(e *lockboxv1.Event) { e.GetMessageSetAside().Subject += "x" },
		"another message": func(e *lockboxv1.Event) { e.GetMessageSetAside().Sequence++ },
	} {
		check(what, append(slices.Clone(all), decide(last+10, strays[0], spoil)), last+1, last+2, last+3)
	}
	check("decided before it was stored", slices.Concat([]invariant.Stored{decide(0, strays[0], nil)}, all),
		last+1, last+2, last+3)
}
