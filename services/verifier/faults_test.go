package verifier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/verifier"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fault is a log on which a monitor goes wrong that does not check a sentence of the document.
type fault struct {
	sentence string
	tell     func(h *writing, events []*lockboxv1.Event)
	says     string
	// signature means that the writers' key is needed to see it.
	signature bool
}

// faults are by what is wrong.
var faults = map[string]fault{
	"granted, and nobody approved": {"Approved", func(h *writing, events []*lockboxv1.Event) {
		h.writes("", without(events, "CustomerApproved")...)
	}, "0 of the frozen approvers agreed in time; 2 had to", false},
	"granted, and one of two approved": {"Approved", func(h *writing, events []*lockboxv1.Event) {
		of(events, "CustomerApproved").Actor = events[len(events)-3].Actor
		h.writes("", events...)
	}, "1 of the frozen approvers agreed in time; 2 had to", false},
	"granted for longer than approved": {"Within", func(h *writing, events []*lockboxv1.Event) {
		of(events, "AccessGranted").GetAccessGranted().EndsAt.Seconds += 3600
		h.writes("", events...)
	}, "lasts 9h0m0s where 8h0m0s was allowed", false},
	"granted again": {"Once", func(h *writing, events []*lockboxv1.Event) {
		last := events[len(events)-1]
		again := proto.CloneOf(of(events, "AccessGranted"))
		again.Version, again.Time = last.GetVersion()+1, last.GetTime()
		h.writes("", append(events, again)...)
	}, "granted after its end", false},
	"somebody is asked who held no role": {"Asked", func(h *writing, events []*lockboxv1.Event) {
		of(events, "CustomerNotified").GetCustomerNotified().Approvers[1].Person.Subject = "mallory"
		h.writes("", events...)
	}, "asks mallory, who held no role to decide by", false},
	"one approval is enough, and two are demanded": {"Asked", func(h *writing, events []*lockboxv1.Event) {
		of(events, "CustomerNotified").GetCustomerNotified().RequiredApprovals = 1
		h.writes("", events...)
	}, "asks for 1 approvals where the tenant demands 2", false},
	"a time that goes back": {"In time", func(h *writing, events []*lockboxv1.Event) {
		last := events[len(events)-1]
		e := &lockboxv1.Event{Tenant: "contoso", Kind: "ticket", AggregateId: "t1", Version: 1,
			Time: timestamppb.New(last.GetTime().AsTime().Add(-3 * time.Minute)), Fact: &lockboxv1.Event_TicketOpened{
				TicketOpened: &lockboxv1.TicketOpened{Title: "It is slow."}}}
		h.writes("", append(events, e)...)
	}, "entry 15 says 2026-03-02T20:57:00Z, and entry 14 before it 2026-03-02T21:00:00Z", false},
	"an unsigned event": {"Signed", func(h *writing, events []*lockboxv1.Event) {
		h.writes("", events[:10]...)
		h.writes("-", events[10])
		h.writes("", events[11:]...)
	}, "entry 11, lockbox.event.contoso.request.018f3a00-aaaa-7000-8000-000000000001.5.CustomerApproved: not signed by its writer: it has no signature", true},
	"an event that another service signed": {"Signed", func(h *writing, events []*lockboxv1.Event) {
		h.writes("", events[:10]...)
		h.writes(evaluator, events[10:]...)
	}, "not signed by its writer: it is signed by jit-evaluator, which does not write this", true},
	"an event that follows another than it was written to": {"Signed", func(h *writing, events []*lockboxv1.Event) {
		h.writes("", events[:10]...)
		about, _ := merkle.About(subjectOf(events[10]))
		h.before[about] = []byte("another event")
		h.writes("", events[10:]...)
	}, "not signed by its writer: it was written to follow another event", true},
	"bytes of another customer's event": {"Bytes", func(h *writing, events []*lockboxv1.Event) {
		e := events[0]
		e.Tenant = "fabrikam"
		h.writesOn("lockbox.event.contoso.ticket.t9.1.TicketOpened", "", e)
		h.shows = everything
	}, "is recorded as lockbox.event.contoso.ticket.t9.1.TicketOpened, and its bytes are no such event", false},
	"an approval of the provider's": {"Approved", func(h *writing, events []*lockboxv1.Event) {
		of(events, "CustomerApproved").Actor = of(events, "InternalApprovalGiven").Actor
		h.writes("", events...)
	}, "leo spoke for the customer", false},
	"an approval after the deadline": {"In time", func(h *writing, events []*lockboxv1.Event) {
		n := of(events, "CustomerNotified")
		n.GetCustomerNotified().ExpiresAt = timestamppb.New(n.GetTime().AsTime().Add(90 * time.Minute))
		n.GetCustomerNotified().RemindAt = nil
		h.writes("", events...)
	}, "at or after the deadline", false},
	"a role that nobody who may gave": {"Changes", func(h *writing, events []*lockboxv1.Event) {
		given := of(events, "RoleAssigned")
		given.Actor.Person.Issuer = "https://login.elsewhere.example"
		h.writes("", events...)
	}, "acted through https://login.elsewhere.example, which was not accepted then", false},
	"a wider grant": {"Within", func(h *writing, events []*lockboxv1.Event) {
		g := of(events, "AccessGranted").GetAccessGranted()
		g.ResourceIds = append(g.ResourceIds, "/subscriptions/sub-1/disks/c")
		h.writes("", events...)
	}, "reaches /subscriptions/sub-1/disks/c, which not everybody allowed", false},
}

// everything is shown, whatever it is.
func everything(w merkle.Whole, _ *lockboxv1.Event) merkle.Shown {
	salt := tlog.Hash(w.Salt)
	return merkle.Shown{Salt: &salt, Bytes: w.Bytes}
}

// monitored is one sentence of the document, with evidence that convicts a log of breaking it.
type monitored struct {
	Sentence string            `json:"sentence"`
	Vectors  []monitoredVector `json:"vectors"`
}

// monitoredVector is evidence with the keys by which it is checked.
type monitoredVector struct {
	Name string `json:"name"`
	// Log and Writers are the keys; Writers is empty where the log's key alone is enough.
	Log      string          `json:"log"`
	Writers  string          `json:"writers,omitempty"`
	Says     string          `json:"says"`
	Evidence json.RawMessage `json:"evidence"`
}

// holding are, for what is not proved, logs that hold all the same.
var holding = map[string]func(t *testing.T, h *writing, events []*lockboxv1.Event){
	"Withheld": func(_ *testing.T, h *writing, events []*lockboxv1.Event) {
		v := of(events, "AccessEvaluated").GetAccessEvaluated()
		v.Facts.History = &lockboxv1.EngineerHistory{Requests: 9}
		v.InternalStages[0].Count = 7
		h.writes("", events...)
	},
	"Read": func(_ *testing.T, h *writing, events []*lockboxv1.Event) {
		of(events, "CustomerNotified").GetCustomerNotified().TenantSequence = 1
		h.writes("", events...)
	},
	"Due": func(_ *testing.T, h *writing, events []*lockboxv1.Event) { h.writes("", events[:13]...) }, // access never ends
	"Words": func(_ *testing.T, h *writing, events []*lockboxv1.Event) {
		of(events, "AccessRequested").GetAccessRequested().GetIntent().Justification = "\x02something else"
		h.writes("", events...)
	},
	"Your signatures": func(_ *testing.T, h *writing, events []*lockboxv1.Event) {
		of(events, "CustomerApproved").Signed = &lockboxv1.SignedStatement{Statement: []byte("{}")}
		h.writes("", events...)
	},
	"Elsewhere": func(_ *testing.T, h *writing, events []*lockboxv1.Event) {
		of(events, "AccessGranted").GetAccessGranted().OwnershipSequence = 999
		h.writes("", events...)
	},
}

// sentencesOfBytes are those of the document about the bytes of events.
func sentencesOfBytes(t *testing.T) (proves, not map[string]string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## What watch proves of the events' bytes, and what it does not\n")
	section, _, end := strings.Cut(section, "\n## ")
	first, second, both := strings.Cut(section, "\nIt does not prove:\n")
	if !found || !end || !both {
		t.Fatal("the document is not there")
	}
	item := regexp.MustCompile(`(?m)^- \*\*(.+?)\.\*\* ((?:.+\n)(?:  .+\n)*)`)
	read := func(text string) map[string]string {
		all := map[string]string{}
		for _, m := range item.FindAllStringSubmatch(text+"\n", -1) {
			all[m[1]] = strings.Join(strings.Fields(m[2]), " ")
		}
		return all
	}
	return read(first), read(second)
}

// TestEachSentenceOfTheMonitorHasALogThatBreaksIt: a document about proofs is as true as what fails when it is not. The
// evidence is kept for other implementations.
func TestEachSentenceOfTheMonitorHasALogThatBreaksIt(t *testing.T) {
	proves, not := sentencesOfBytes(t)
	var all []monitored
	for _, name := range slices.Sorted(maps.Keys(proves)) {
		m := monitored{Sentence: name + ". " + proves[name]}
		for _, what := range slices.Sorted(maps.Keys(faults)) {
			if f := faults[what]; f.sentence == name {
				m.Vectors = append(m.Vectors, f.vector(t, what))
			}
		}
		if len(m.Vectors) == 0 {
			t.Errorf("nothing fails if this is not true: %s", name)
		}
		all = append(all, m)
	}
	var file bytes.Buffer
	e := json.NewEncoder(&file)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	must(t, e.Encode(all))
	golden(t, "monitor.json", file.Bytes())
	delete(not, "Revoked keys") // TestBytesThatAreNotShownProveNothing
	for name := range not {
		if holding[name] == nil {
			t.Errorf("nothing shows that this is not proved: %s", name)
			continue
		}
		w, h := watched(t)
		holding[name](t, h, told(t))
		if err := once(t, w); err != nil {
			t.Errorf("%s: it says %v", name, err)
		}
	}
}

// vector has a log break the sentence, and returns what convicts it.
func (f fault) vector(t *testing.T, what string) monitoredVector {
	t.Helper()
	w, h := watched(t)
	signer, public := noteKey(t, "log.example/lockbox")
	h.signer, w.Trust.Key = signer, public
	now := morning.Add(24 * time.Hour)
	w.Now = func() time.Time { return now }
	f.tell(h, told(t))
	if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) {
		t.Fatalf("%s: it says %v", what, err)
	}
	kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
	must(t, err)
	data, err := os.ReadFile(kept[0])
	must(t, err)
	v := monitoredVector{Name: what, Log: public, Says: f.says, Evidence: data}
	if f.signature {
		v.Writers = h.deployed.key
	}
	return v
}

// TestTheEvidenceOfEachSentenceConvicts, as the commands check it.
func TestTheEvidenceOfEachSentenceConvicts(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "monitor.json"))
	must(t, err)
	var all []monitored
	must(t, json.Unmarshal(file, &all))
	for _, s := range all {
		for _, v := range s.Vectors {
			dir := t.TempDir()
			evidence, writers := filepath.Join(dir, "evidence.json"), filepath.Join(dir, "writers.vkey")
			must(t, os.WriteFile(evidence, v.Evidence, 0o600))
			must(t, os.WriteFile(writers, []byte(v.Writers+"\n"), 0o600))
			args := []string{"evidence", evidence, "--log-key", v.Log}
			if v.Writers != "" {
				if code, _, why := run(t, nil, args...); code != 10 || !strings.Contains(why, "without --writers-key") {
					t.Errorf("%s, without the writers' key: %d %s", v.Name, code, why)
				}
				args = append(args, "--writers-key", writers)
			}
			if code, out, why := run(t, nil, args...); code != 0 || !strings.Contains(out, v.Says) {
				t.Errorf("%s: %d %s%s", v.Name, code, out, why)
			}
		}
	}
}
