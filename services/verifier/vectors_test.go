package verifier_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	evaluator    = "jit-evaluator"
	orchestrator = "lockbox-orchestrator"
	aboutR1      = "lockbox.event.contoso.request.r1"
)

func noteKey(t *testing.T, name string) (note.Signer, string) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private, public, err := note.GenerateKey(bytes.NewReader(seed[:]), name)
	must(t, err)
	signer, err := note.NewSigner(private)
	must(t, err)
	return signer, public
}

// tale is a log and what it records of one request.
type tale struct {
	*history
	public   string
	deployed deployment
	before   []byte // the content of the version before
}

func newTale(t *testing.T, format uint8) *tale {
	t.Helper()
	signer, public := noteKey(t, "log.example/lockbox")
	h := begin(t, signer)
	h.format = format
	return &tale{history: h, public: public, deployed: newDeployment(t)}
}

// version is the next event of the request, decided so many minutes after it was asked for.
func version(n uint64, set func(*lockboxv1.Event)) *lockboxv1.Event {
	e := &lockboxv1.Event{
		Id:     fmt.Sprintf("019cadc7-0000-7000-8000-%012d", n),
		Tenant: "contoso", Kind: "request", AggregateId: "r1", Version: n,
		Time: timestamppb.New(morning.Add(time.Duration(n) * time.Minute)),
	}
	set(e)
	return e
}

func requested(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_AccessRequested{AccessRequested: &lockboxv1.AccessRequested{}}
}

func evaluated(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_AccessEvaluated{AccessEvaluated: &lockboxv1.AccessEvaluated{}}
}

func denied(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{}}
}

func approved(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_CustomerApproved{CustomerApproved: &lockboxv1.CustomerApproved{}}
}

func granted(e *lockboxv1.Event) {
	e.Fact = &lockboxv1.Event_AccessGranted{AccessGranted: &lockboxv1.AccessGranted{}}
}

// tells records an event, on the subject that it says, signed by a writer; empty: by nobody.
func (s *tale) tells(e *lockboxv1.Event, by string) {
	s.t.Helper()
	s.tellsOn(fmt.Sprintf("lockbox.event.%s.%s.%s.%d.%s", e.GetTenant(), e.GetKind(), e.GetAggregateId(), e.GetVersion(),
		fact.TypeOf(e)), e, by)
}

func (s *tale) tellsOn(subject string, e *lockboxv1.Event, by string) {
	s.t.Helper()
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	must(s.t, err)
	stored := content
	if by != "" {
		u := signed.Unsigned{Subject: subject, Content: content}
		if s.before != nil {
			u.Previous = signed.Hash(s.before)
		}
		all, err := s.deployed.writer(by).Sign([]signed.Unsigned{u})
		must(s.t, err)
		stored = all[0]
	}
	s.before = content
	s.add(subject, stored)
}

// counts has the log count its last leaf under what it is said to be about, whatever its subject is.
func (s *tale) counts(about string) {
	s.t.Helper()
	leaf, err := merkle.Hashes(s.leaves, s.own).ReadHashes([]int64{tlog.StoredHashIndex(0, s.own.N-1)})
	must(s.t, err)
	s.heads.Append(about, 1, leaf[0])
	s.add("lockbox.event.contoso.ticket.t1.1.TicketOpened", nil)
}

// denial is a request that the customer denied.
func denial(t *testing.T, format uint8) *tale {
	s := newTale(t, format)
	s.tells(version(1, requested), evaluator)
	s.tells(version(2, evaluated), evaluator)
	s.tells(version(3, denied), orchestrator)
	return s
}

// shows makes the receipt of these events of the customer's; of format 2 with one proof for all.
func (s *tale) shows(about string, sequences ...uint64) merkle.Receipt {
	s.t.Helper()
	var wanted []merkle.Wanted
	for _, n := range sequences {
		wanted = append(wanted, merkle.Wanted{TenantSequence: n})
	}
	r := s.receipt(about, wanted)
	if s.format == merkle.Format2 {
		var err error
		r.Events, r.Proof, err = merkle.ProveTogether(s.leaves, s.own, wanted)
		must(s.t, err)
		r.Writers = []string{s.deployed.certify(evaluator), s.deployed.certify(orchestrator)}
	}
	return r
}

// seen has a witness cosign the receipt's checkpoint at a time.
func seen(t *testing.T, r merkle.Receipt, name string, at time.Time) merkle.Receipt {
	t.Helper()
	cosigned, err := witnessOf(t, name).Cosign([]byte(r.Checkpoint), at)
	must(t, err)
	r.Checkpoint = string(cosigned)
	return r
}

func witnessOf(t *testing.T, name string) *merkle.Cosigner {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	c, err := merkle.NewCosigner(name+".example", ed25519.NewKeyFromSeed(seed[:]))
	must(t, err)
	return c
}

// alone is the policy that asks no witness, both one that demands two.
func (s *tale) alone() string { return "log " + s.public + "\nquorum none\n" }

func (s *tale) both() string {
	text := "log " + s.public + "\n"
	for _, name := range []string{"alpha", "beta"} {
		text += "witness " + name + " " + witnessOf(s.t, name).VerifierKey() + "\n"
	}
	return text + "group both all alpha beta\nquorum both\n"
}

func (s *tale) vector(name, policy string, r merkle.Receipt, says, never string) vector {
	s.t.Helper()
	file, err := r.Encode()
	must(s.t, err)
	v := vector{Name: name, Policy: policy, Receipt: string(file)}
	for text, list := range map[string]*[]string{says: &v.Says, never: &v.Never} {
		if text != "" {
			*list = strings.Split(text, "|")
		}
	}
	return v
}

// byWriters makes it a vector that is judged with the writers' key.
func (s *tale) byWriters(v vector) vector {
	v.Writers = s.deployed.key
	return v
}

func (s *tale) hiding(r merkle.Receipt, event int) merkle.Receipt {
	s.t.Helper()
	e := &r.Events[event]
	e.Withheld, e.Salt, e.Bytes = true, nil, nil
	return r
}

type sentenceVectors struct {
	name    string
	vectors []vector
}

func vectorsOf(t *testing.T) []sentenceVectors {
	t.Helper()
	return append(proves(t), provesNot(t)...)
}

func proves(t *testing.T) []sentenceVectors {
	s := denial(t, merkle.Format2)
	all := func() merkle.Receipt { return s.shows(aboutR1, 1, 2, 3) }
	later := morning.Add(time.Hour)
	both := func(r merkle.Receipt) merkle.Receipt {
		return seen(t, seen(t, r, "alpha", later), "beta", later.Add(time.Second))
	}

	foreign := newTale(t, merkle.Format2)
	theirs := version(1, requested)
	theirs.Tenant = "sakura"
	foreign.tells(theirs, evaluator)
	short := newTale(t, merkle.Format2)
	short.tellsOn("lockbox.event.contoso.request.1.AccessRequested", version(1, requested), evaluator)
	short.counts("lockbox.event.contoso.request")
	dotted := newTale(t, merkle.Format2)
	dotted.tellsOn(aboutR1+".1.Access.Requested", version(1, requested), evaluator)
	dotted.counts(aboutR1)

	swapped := newTale(t, merkle.Format2)
	swapped.tells(version(1, requested), evaluator)
	swapped.tellsOn(aboutR1+".2.CustomerDenied", version(2, approved), orchestrator)
	stranger := newTale(t, merkle.Format2)
	of := version(1, requested)
	of.Tenant = "sakura"
	stranger.tellsOn(aboutR1+".1.AccessRequested", of, evaluator)

	changed := all()
	changed.Events[2].Bytes = bytes.Replace(changed.Events[2].Bytes, []byte("r1"), []byte("r2"), 1)
	moved := all()
	moved.Events[2].TenantSequence++
	anothers := s.shows(aboutR1, 1, 2)
	anothers.Proof[0][0] ^= 1
	replaced := s.hiding(all(), 1)
	salt := *all().Events[0].Salt
	replaced.Events[1].Withheld, replaced.Events[1].Salt, replaced.Events[1].Bytes = false, &salt, []byte("\n\x01x")

	gap := s.shows(aboutR1, 1, 3)
	late := s.shows(aboutR1, 2, 3)
	turned := newTale(t, merkle.Format2)
	turned.tells(version(2, evaluated), evaluator)
	turned.tells(version(1, requested), evaluator)
	part := s.shows(aboutR1, 1, 2)
	cut := s.shows(aboutR1, 1, 2)
	cut.Head.Count, cut.Head.Version = 2, 2

	twice := newTale(t, merkle.Format2)
	twice.tells(version(1, requested), evaluator)
	asked := twice.before
	twice.tells(version(2, denied), orchestrator)
	twice.before = asked
	twice.tells(version(2, approved), orchestrator)

	unsigned := both(all())
	unsigned.Checkpoint = strings.Replace(unsigned.Checkpoint, "\n— log.example/lockbox ", "\n— log.example/other ", 1)

	return []sentenceVectors{
		{"Whose", []vector{
			foreign.vector("another customer's, in this one's tree", foreign.alone(),
				foreign.shows("lockbox.event.sakura.request.r1", 1), "which is not theirs", ""),
			short.vector("about a kind, whose requests are told apart by nothing", short.alone(),
				short.shows("lockbox.event.contoso.request", 1), "<tenant>.<kind>.<id>", ""),
			s.vector("it holds", s.alone(), all(), "Whose     contoso, slot 0 of the log log.example/lockbox|request r1",
				"sakura"),
		}},
		{"What", []vector{
			swapped.vector("an approval under the subject of a denial", swapped.alone(), swapped.shows(aboutR1, 1, 2),
				"not what its subject says", ""),
			stranger.vector("another customer's under this one's subject", stranger.alone(), stranger.shows(aboutR1, 1),
				"not what its subject says", ""),
			dotted.vector("a type of two tokens", dotted.alone(), dotted.shows(aboutR1, 1), "is not version 1", ""),
		}},
		{"Recorded", []vector{
			s.vector("other bytes", s.alone(), changed, "not what was recorded", ""),
			s.vector("another place", s.alone(), moved, "the tree has only 3", ""),
			s.vector("another tree", s.alone(), anothers, "does not lead to the tenant's root", ""),
		}},
		{"Withheld", []vector{
			s.vector("it holds", s.alone(), s.hiding(all(), 1), "AccessEvaluated (withheld; its place is proven)", ""),
			s.byWriters(s.vector("nothing is proved of its writer", s.alone(), s.hiding(all(), 1), "not proved of 1 withheld",
				"jit-evaluator (2)")),
			s.vector("other bytes shown for it later", s.alone(), replaced, "not what was recorded", ""),
		}},
		{"In order", []vector{
			s.vector("the middle left out", s.alone(), gap, "is not version 2", ""),
			s.vector("the first left out", s.alone(), late, "is not version 1", ""),
			turned.vector("recorded the other way around", turned.alone(),
				turned.receipt(aboutR1, []merkle.Wanted{{TenantSequence: 2}, {TenantSequence: 1}}), "does not come after", ""),
		}},
		{"All, or how many", []vector{
			s.vector("all", s.alone(), all(), "versions 1 to 3: all that the log committed to", "left out,"),
			s.vector("the last left out", s.alone(), part, "versions 1 to 2 of 3", "all that the log committed to"),
			s.vector("the last left out, and not counted", s.alone(), cut, "head of the aggregate", ""),
		}},
		{"Not twice", []vector{
			twice.vector("denied, and approved as well", twice.alone(), twice.shows(aboutR1, 1, 2),
				"the log counts 3 events up to version 2: one version stands there twice", "all that the log committed to"),
			twice.vector("approved, and denied as well", twice.alone(), twice.shows(aboutR1, 1, 3),
				"the log counts 3 events up to version 2: one version stands there twice", "all that the log committed to"),
		}},
		{"Signed", []vector{
			s.vector("by the log and both witnesses", s.both(), both(all()), "by the log’s key, and by alpha, beta",
				"no witness"),
			s.vector("by one witness of two", s.both(), seen(t, all(), "alpha", later),
				"1, which are not the quorum that the policy demands", ""),
			s.vector("by witnesses alone", s.both(), unsigned, "no log of the policy signed it", ""),
			s.vector("by a witness that nobody named", s.both(), seen(t, seen(t, all(), "alpha", later), "gamma", later),
				"1, which are not the quorum that the policy demands", ""),
		}},
		{"As of when", []vector{
			s.vector("the earlier of two times", s.both(), both(all()), "no later than 2026-03-02T10:00:00Z, as alpha says",
				"10:00:01"),
			s.vector("no witness", s.alone(), all(), "no time is proved", "no later than"),
			s.vector("a witness that the policy does not name", s.alone(), both(all()), "no time is proved", "no later than"),
			s.vector("witnesses without clocks", s.both(), seen(t, seen(t, all(), "alpha", time.Unix(0, 0)), "beta",
				time.Unix(1<<62, 0)), "no time is proved", "no later than|1970"),
		}},
		{"By whom", byWhom(t)},
		{"Conviction", []vector{lying(t, func(h *history) {
			h.heads.Append(aboutR1, 1, [32]byte{})
		}, "another leaf", "keep this file, it convicts the log", 1, 2, 3), lying(t, func(h *history) {
			for n := range uint64(9) {
				h.heads.Append(aboutR1, n, [32]byte{})
			}
		}, "more events than the tree has", "keep this file, it convicts the log", 1, 2, 3)}},
	}
}

// lying is a log that signs other heads than its leaves have.
func lying(t *testing.T, lie func(*history), name, says string, sequences ...uint64) vector {
	s := denial(t, merkle.Format2)
	s.heads = merkle.NewHeads()
	lie(s.history)
	s.add("lockbox.event.contoso.ticket.t1.1.TicketOpened", nil)
	return s.vector(name, s.alone(), s.shows(aboutR1, sequences...), says, "")
}

func byWhom(t *testing.T) []vector {
	s := denial(t, merkle.Format2)
	forged := newTale(t, merkle.Format2)
	forged.tells(version(1, requested), evaluator)
	forged.tells(version(2, approved), "")
	usurped := newTale(t, merkle.Format2)
	usurped.tells(version(1, requested), evaluator)
	usurped.tells(version(2, approved), evaluator)
	loaded := newTale(t, merkle.Format2)
	loaded.tells(version(1, requested), evaluator)
	loaded.before = []byte("what was there when it lost a race")
	loaded.tells(version(2, approved), orchestrator)
	past := newTale(t, merkle.Format2)
	old := version(1, requested)
	old.Time = timestamppb.New(morning.Add(48 * time.Hour))
	past.tells(old, evaluator)
	none := s.shows(aboutR1, 1, 2, 3)
	none.Writers = []string{}
	own := s.shows(aboutR1, 1, 2, 3)
	thief, _ := noteKey(t, signed.DeploymentName("log.example/lockbox")+"/thief")
	own.Writers[1] = strings.Replace(own.Writers[1], "— ", "— "+thief.Name()+" AAAA\n— ", 1)
	as := func(v vector) vector { return s.byWriters(v) }
	return []vector{
		as(s.vector("by their writers", s.alone(), s.shows(aboutR1, 1, 2, 3),
			"signed by jit-evaluator (2), lockbox-orchestrator (1)", "not checked")),
		as(forged.vector("by nobody", forged.alone(), forged.shows(aboutR1, 1, 2), "it has no signature", "")),
		as(usurped.vector("by another service", usurped.alone(), usurped.shows(aboutR1, 1, 2), "does not write this", "")),
		as(loaded.vector("for another history", loaded.alone(), loaded.shows(aboutR1, 1, 2), "to follow another event", "")),
		as(past.vector("with a key that was over", past.alone(), past.shows(aboutR1, 1), "counts from", "")),
		as(s.vector("with keys that nobody certified", s.alone(), none, "is certified there", "")),
		as(s.vector("with a certificate of another spelling", s.alone(), own, "writer's signature", "")),
	}
}

func provesNot(t *testing.T) []sentenceVectors {
	s := denial(t, merkle.Format2)
	earlier := s.shows(aboutR1, 1, 2, 3)
	s.tells(version(4, granted), orchestrator)
	newer := s.shows(aboutR1, 1, 2, 3, 4)
	former := denial(t, merkle.Format1)
	truth := newTale(t, merkle.Format2)
	truth.tells(version(1, requested), evaluator)
	truth.tells(version(2, denied), orchestrator)
	truth.tells(version(3, granted), orchestrator)
	forged := newTale(t, merkle.Format2)
	forged.tells(version(1, requested), evaluator)
	forged.tells(version(2, approved), "")
	fork := newTale(t, merkle.Format2)
	fork.tells(version(1, requested), evaluator)
	fork.tells(version(2, evaluated), evaluator)
	fork.tells(version(3, approved), orchestrator)
	one := denial(t, merkle.Format2)
	noon := morning.Add(time.Hour)
	witnessed := seen(t, seen(t, one.shows(aboutR1, 1, 2, 3), "alpha", noon), "beta", noon)
	before := seen(t, seen(t, one.shows(aboutR1, 1, 2, 3), "alpha", morning.Add(-time.Hour)), "beta", noon)

	hidden := newTale(t, merkle.Format2)
	hidden.tells(version(1, requested), evaluator)
	hidden.tells(version(2, evaluated), evaluator)
	counted := hidden.heads
	hidden.heads = merkle.NewHeads() // what comes now is in no head
	hidden.tells(version(3, denied), orchestrator)
	hidden.heads = counted
	hidden.add("lockbox.event.contoso.ticket.t1.1.TicketOpened", nil)

	const onlyMonitors = "Only a monitor that reads the log’s entries"
	return []sentenceVectors{
		{"A lie about all", []vector{
			hidden.vector("a denial hidden", hidden.alone(), hidden.shows(aboutR1, 1, 2), onlyMonitors, "are all that happened"),
			hidden.vector("the denial shown", hidden.alone(), hidden.shows(aboutR1, 1, 2, 3), "keep this file, it convicts", ""),
		}},
		{"Afterwards", []vector{
			s.vector("before the grant", s.alone(), earlier,
				"As of     the checkpoint of size 3|What came after the checkpoint is in a newer receipt", "Access granted"),
			s.vector("after it", s.alone(), newer, "versions 1 to 4: all that the log committed to", ""),
		}},
		{"Format 1", []vector{
			former.vector("the denial left out", former.alone(), former.shows(aboutR1, 1, 2),
				"up to version 2; nothing says whether there are more", "all that the log committed to|of 3"),
		}},
		{"Its own time", []vector{
			one.vector("a witness saw it before it was decided", one.both(), before,
				"2026-03-02T08:00:00Z, as alpha says; version 1 says that it was decided after that", ""),
			one.vector("no witness", one.alone(), one.shows(aboutR1, 1, 2, 3), "no time is proved", "no later than"),
		}},
		{"Truth", []vector{
			truth.byWriters(truth.vector("granted although denied", truth.alone(), truth.shows(aboutR1, 1, 2, 3),
				"lockbox-orchestrator (2)", "the rules were kept")),
		}},
		{"Unsigned", []vector{
			forged.vector("an approval of nobody", forged.alone(), forged.shows(aboutR1, 1, 2), "Written   not checked",
				"signed by"),
			forged.byWriters(forged.vector("the same with the writers' key", forged.alone(), forged.shows(aboutR1, 1, 2),
				"it has no signature", "")),
		}},
		{"Revoked", []vector{
			one.byWriters(one.vector("signed", one.alone(), one.shows(aboutR1, 1, 2, 3),
				"whether a key was revoked is not known here", "not revoked")),
		}},
		{"One log", []vector{
			one.vector("denied", one.alone(), one.shows(aboutR1, 1, 2, 3), "by no witness|checkpoint of size 3", "by alpha"),
			fork.vector("approved, at the same size", fork.alone(), fork.shows(aboutR1, 1, 2, 3),
				"by no witness|checkpoint of size 3", "by alpha"),
			one.vector("the one that witnesses saw", one.both(), witnessed, "by alpha, beta", "by no witness"),
			fork.vector("the one that they did not", fork.both(), fork.shows(aboutR1, 1, 2, 3),
				"0, which are not the quorum that the policy demands", ""),
		}},
	}
}
