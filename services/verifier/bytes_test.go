package verifier_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/verifier"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// told are the events of a tenant whose owners let an engineer in, as Lockbox itself records them: a story of
// pkg/invariant.
func told(t *testing.T) (events []*lockboxv1.Event) {
	t.Helper()
	text, err := os.ReadFile("testdata/told.jsonl")
	must(t, err)
	for line := range bytes.Lines(text) {
		e := new(lockboxv1.Event)
		must(t, protojson.Unmarshal(line, e))
		events = append(events, e)
	}
	return events
}

// of is the first event of a type.
func of(events []*lockboxv1.Event, typ string) *lockboxv1.Event {
	for _, e := range events {
		if fact.TypeOf(e) == typ {
			return e
		}
	}
	return nil
}

// without leaves out events of a type, and counts the versions of requests anew.
func without(events []*lockboxv1.Event, typ string) (left []*lockboxv1.Event) {
	version := uint64(0)
	for _, e := range events {
		if fact.TypeOf(e) == typ {
			continue
		}
		if e.GetKind() == "request" {
			version++
			e.Version = version
		}
		left = append(left, e)
	}
	return left
}

// writing records events, each signed to follow the version before it.
type writing struct {
	*history
	deployed deployment
	before   map[string][]byte
}

func subjectOf(e *lockboxv1.Event) string {
	return fmt.Sprintf("lockbox.event.%s.%s.%s.%d.%s", e.GetTenant(), e.GetKind(), e.GetAggregateId(), e.GetVersion(),
		fact.TypeOf(e))
}

// writes records events; by is who signs all of them, empty: those who write them, "-": nobody.
func (w *writing) writes(by string, events ...*lockboxv1.Event) {
	w.t.Helper()
	for _, e := range events {
		w.writesOn(subjectOf(e), by, e)
	}
}

func (w *writing) writesOn(subject, by string, e *lockboxv1.Event) {
	w.t.Helper()
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	must(w.t, err)
	if by == "" {
		by = string(fact.WriterOf(e))
	}
	about, _ := merkle.About(subject)
	stored := content
	if by != "-" {
		u := signed.Unsigned{Subject: subject, Content: content}
		if before := w.before[about]; before != nil {
			u.Previous = signed.Hash(before)
		}
		all, err := w.deployed.writer(by).Sign([]signed.Unsigned{u})
		must(w.t, err)
		stored = all[0]
	}
	w.before[about] = content
	w.add(subject, stored)
}

// watched is a watcher of a log that serves bytes, with the writers' key.
func watched(t *testing.T) (*verifier.Watcher, *writing) {
	t.Helper()
	w, show, signer := follow(t)
	d := newDeployment(t)
	h := &writing{begin(t, signer), d, map[string][]byte{}}
	h.shows, show.history = honestly, h.history
	for _, by := range []string{evaluator, orchestrator} {
		h.certificates = append(h.certificates, d.certify(by))
	}
	w.Trust.Writers = filepath.Join(t.TempDir(), "writers.vkey")
	must(t, os.WriteFile(w.Trust.Writers, []byte(d.key+"\n"), 0o600))
	return w, h
}

// An honest log holds, page by page or at once, whether evaluations are withheld or not and whoever has which key; and
// what has not changed is not written again.
func TestAMonitorChecksTheBytesOfAnHonestLog(t *testing.T) {
	for _, withheld := range []bool{true, false} {
		for _, keys := range []bool{true, false} {
			for _, each := range []bool{true, false} {
				t.Run(fmt.Sprintf("withheld %t, writers' key %t, each %t", withheld, keys, each), func(t *testing.T) {
					w, h := watched(t)
					if !keys {
						w.Trust.Writers = ""
					}
					events := told(t)
					if withheld {
						of(events, "AccessEvaluated").GetAccessEvaluated().Facts.History = &lockboxv1.EngineerHistory{Requests: 9}
					}
					var out string
					for _, e := range events {
						if h.writes("", e); each {
							must(t, once(t, w))
							out += said(w)
						}
					}
					must(t, once(t, w))
					out += said(w)
					wants := []string{"  bytes of 14 events checked, and who signed them\n"}
					switch {
					case each:
						wants = []string{"  bytes of 1 events checked"}
					case withheld && keys:
						wants = []string{"  bytes of 13 events checked, and who signed them; 1 withheld\n"}
					case !keys && !withheld:
						wants = []string{"  bytes of 14 events checked, not who signed them: no --writers-key\n"}
					case !keys:
						wants = []string{"  bytes of 13 events checked, not who signed them: no --writers-key; 1 withheld\n"}
					}
					if withheld {
						wants = append(wants, "not checked: how a request was evaluated is withheld from you")
					}
					for _, want := range wants {
						if !strings.Contains(out, want) {
							t.Errorf("it does not say %q:\n%s", want, out)
						}
					}
					if n := strings.Count(out, "not checked:"); n > 1 {
						t.Errorf("what is not checked is said %d times:\n%s", n, out)
					}
					before, err := os.Stat(w.State)
					must(t, err)
					must(t, once(t, w))
					after, err := os.Stat(w.State)
					must(t, err)
					if out := said(w); !strings.HasSuffix(out, "nothing new\n") || !os.SameFile(before, after) {
						t.Errorf("with nothing new it says %s and wrote: %t", out, !os.SameFile(before, after))
					}
				})
			}
		}
	}
}

// What the events' own bytes contradict is kept so that it convinces whoever has the log's key, and the writers' where
// it is about signatures; whether the watcher saw the events before it or not.
func TestAMonitorConvictsALogByBytes(t *testing.T) {
	for name, row := range faults {
		for _, before := range []int{0, 12} {
			t.Run(fmt.Sprintf("%s, %d seen before", name, before), func(t *testing.T) {
				w, h := watched(t)
				if before > 0 {
					show := h.shows
					h.shows = nil // what was seen before was seen without bytes, by an earlier version
					h.writes("", &lockboxv1.Event{Tenant: "contoso", Kind: "ticket", AggregateId: "t0", Version: 1,
						Time: timestamppb.New(morning), Fact: &lockboxv1.Event_TicketOpened{TicketOpened: &lockboxv1.TicketOpened{}}})
					must(t, once(t, w))
					h.shows = show
				}
				row.tell(h, told(t))
				err := once(t, w)
				says := row.says
				if before > 0 {
					says = strings.NewReplacer("entry 15", "entry 16", "entry 14", "entry 15", "entry 11",
						"entry 12").Replace(says)
				}
				if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), says) {
					t.Fatalf("it says %v", err)
				}
				kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
				must(t, err)
				if len(kept) != 1 {
					t.Fatalf("kept: %v", kept)
				}
				file, err := os.ReadFile(kept[0])
				must(t, err)
				e, err := verifier.CheckEvidence(kept[0], w.Trust)
				must(t, err)
				if proves := strings.Join(e.Proves, "; "); !verifier.IsEvidence(file) || !strings.Contains(proves, says) {
					t.Errorf("the evidence proves %s", proves)
				}
				w.Trust.Writers = ""
				if _, err := verifier.CheckEvidence(kept[0], w.Trust); (err == nil) == row.signature {
					t.Errorf("without the writers' key: %v", err)
				}
				if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), "found before") {
					t.Errorf("afterwards it says %v", err)
				}
				w.Acknowledge = true
				must(t, once(t, w))
			})
		}
	}
}

// The approval beside a denial convicts the log by its entries; its missing signature does so as well; and what the
// provider did about it is said.
func TestAnApprovalBesideADenialIsExplained(t *testing.T) {
	w, h := watched(t)
	events := told(t)[:10]
	denial := proto.CloneOf(events[9])
	denial.Version, denial.Actor = 5, told(t)[10].GetActor()
	denial.Fact = &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{
		Roles: []lockboxv1.Role{lockboxv1.Role_ROLE_OWNER}, TenantSequence: 7, SubscriptionSequence: 6}}
	denial.Time.Seconds += 60
	h.writes("", append(events, denial)...)
	must(t, once(t, w))
	said(w)
	approval := told(t)[10]
	approval.Time = denial.GetTime()
	h.writes("-", approval)
	h.said = map[uint64]merkle.Shown{12: {SetAside: morning.Add(5 * time.Hour)}}
	err := once(t, w)
	for _, says := range []string{"a second version 5 of", "entry 12, " + subjectOf(approval) + ": not signed"} {
		if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), says) {
			t.Errorf("it says %v", err)
		}
	}
	if out := said(w); !strings.Contains(out, "the provider says that entry 12, "+subjectOf(approval)+
		", is no event, and that its officers set it aside at 2026-03-02T14:00:00Z: it counts as if it were not there") {
		t.Errorf("it says %s", out)
	}
	kept, err := filepath.Glob(strings.TrimSuffix(w.State, ".json") + ".contradiction-*.json")
	must(t, err)
	if len(kept) != 2 {
		t.Fatalf("kept: %v", kept)
	}
	for _, name := range kept {
		if _, err := verifier.CheckEvidence(name, w.Trust); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Acknowledge = true
	must(t, once(t, w))
}

// What is withheld, missing or changed proves nothing, and is named until it is shown.
func TestBytesThatAreNotShownProveNothing(t *testing.T) {
	approval := func(w merkle.Whole) bool { return strings.HasSuffix(w.Subject, ".CustomerApproved") }
	for name, row := range map[string]struct {
		show func(h *writing)
		says string
	}{
		"an approval is withheld": {func(h *writing) {
			h.shows = func(w merkle.Whole, e *lockboxv1.Event) merkle.Shown {
				if approval(w) {
					return merkle.Shown{Withheld: true}
				}
				return honestly(w, e)
			}
		}, "the log shows no bytes for entry 11, CustomerApproved"},
		"everything is withheld": {func(h *writing) {
			h.shows = func(merkle.Whole, *lockboxv1.Event) merkle.Shown { return merkle.Shown{Withheld: true} }
		}, "the log shows no bytes for entry 1, TenantCreated"},
		"bytes are missing": {func(h *writing) {
			h.shows = func(w merkle.Whole, e *lockboxv1.Event) merkle.Shown {
				if approval(w) {
					return merkle.Shown{}
				}
				return honestly(w, e)
			}
		}, "the log shows no bytes for entry 11"},
		"bytes are changed": {func(h *writing) {
			h.shows = func(w merkle.Whole, e *lockboxv1.Event) merkle.Shown {
				is := honestly(w, e)
				if approval(w) {
					is.Bytes = append(bytes.Clone(is.Bytes), 0)
				}
				return is
			}
		}, "event 11 of the tenant): what is shown is not what was recorded"},
		"a certificate is missing": {func(h *writing) { h.certificates = h.certificates[:1] },
			"entry 1 is signed with a key for which the log shows no certificate"},
		"a certificate is changed": {func(h *writing) {
			h.certificates[1] = strings.Replace(h.certificates[1], "lockbox-orchestrator", "jit-evaluator", 1)
		}, "entry 1 is signed with a key for which the log shows no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			w, h := watched(t)
			h.writes("", told(t)...)
			shows, certificates := h.shows, append([]string(nil), h.certificates...)
			row.show(h)
			for range 2 {
				if err := once(t, w); !errors.Is(err, verifier.ErrInconclusive) || !strings.Contains(err.Error(), row.says) {
					t.Fatalf("it says %v", err)
				}
			}
			h.shows, h.certificates = shows, certificates
			for range 3 { // what was open is asked for a few at a time
				_ = once(t, w)
			}
			must(t, once(t, w))
			if kept, err := filepath.Glob(filepath.Join(filepath.Dir(w.State), "*contradiction*")); err != nil || len(kept) > 0 {
				t.Errorf("evidence was kept: %v, %v", kept, err)
			}
		})
	}
}

// A log that showed bytes once and shows none any more is not taken for one of an earlier version.
func TestALogThatStopsShowingBytesIsNamed(t *testing.T) {
	w, h := watched(t)
	events := told(t)
	h.writes("", events[:4]...)
	must(t, once(t, w))
	h.shows = nil
	h.writes("", events[4:]...)
	if err := once(t, w); !errors.Is(err, verifier.ErrInconclusive) ||
		!strings.Contains(err.Error(), "the log shows no bytes for entry 5") {
		t.Errorf("it says %v", err)
	}
	h.shows = honestly
	must(t, once(t, w))
}

// A key that somebody gets later is used on everything.
func TestAWritersKeyThatComesLaterJudgesEverything(t *testing.T) {
	w, h := watched(t)
	key := w.Trust.Writers
	w.Trust.Writers = ""
	events := told(t)
	h.writes("", events[:9]...)
	h.writes("-", events[9])
	h.writes("", events[10:]...)
	must(t, once(t, w))
	w.Trust.Writers = key
	err := once(t, w)
	if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), "entry 10, ") {
		t.Fatalf("it says %v", err)
	}
	if out := said(w); !strings.Contains(out, "checked again, now with the writers’ key") {
		t.Errorf("it says %s", out)
	}
}

// What was written before signing began is not signed, and accuses nobody; unless events were signed from the first on.
func TestWhatIsFromBeforeSigningBeganIsNotAccused(t *testing.T) {
	w, h := watched(t)
	events := told(t)
	h.writes("-", events[:7]...)
	h.writes("", events[7:]...)
	must(t, once(t, w))
	must(t, os.Remove(w.State))
	must(t, os.WriteFile(w.Trust.Writers, []byte(h.deployed.key+"\nbegan_at 1\n"), 0o600))
	if err := once(t, w); !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), "entry 1, ") {
		t.Errorf("it says %v", err)
	}
}
