package signed_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func ruleOf(err error) signed.Rule {
	var refused *signed.Error
	errors.As(err, &refused)
	if refused == nil {
		return ""
	}
	return refused.Rule
}

func TestACommitOfAnySizeIsOneSignature(t *testing.T) {
	s := signer(t, aggregate.Orchestrator, "orchestrator")
	for _, count := range []int{1, 2, 3, 4, 5, 7, 8, 9, 100, 256, 1000, signed.MaxCommit} {
		ring := ours(t).began()
		before := ring.Verifications()
		events := make([]*lockboxv1.Event, count)
		commit := make([]signed.Unsigned, count)
		for i := range commit {
			events[i] = comment(1, fmt.Sprint("comment ", i))
			events[i].AggregateId = fmt.Sprint("t", i)
			commit[i] = unsigned(t, events[i], nil)
		}
		stored := sign(t, s, commit...)
		for i, data := range stored {
			content, _, err := signed.Content(data)
			if err != nil || !bytes.Equal(content, commit[i].Content) {
				t.Fatalf("event %d of %d: its content is not what was signed: %v", i, count, err)
			}
			if len(data) > len(content)+signed.MaxBlock {
				t.Fatalf("event %d of %d: %d bytes were added", i, count, len(data)-len(content))
			}
			m := signed.Message{Sequence: uint64(20 + i), Subject: commit[i].Subject, Stored: data, Event: events[i]}
			if err := ring.Check(m, follows(t, nil)); err != nil {
				t.Fatalf("event %d of %d: %v", i, count, err)
			}
		}
		if n := ring.Verifications() - before; n != 1 {
			t.Errorf("a commit of %d events: %d signatures were verified", count, n)
		}
		if again := sign(t, s, commit...); !slices.EqualFunc(stored, again, bytes.Equal) {
			t.Errorf("a commit of %d events has other bytes when it is signed again", count)
		}
	}
}

func TestWhatCannotBeSignedIsRefused(t *testing.T) {
	s := signer(t, aggregate.Orchestrator, "orchestrator")
	good := unsigned(t, comment(1, "x"), nil)
	twice := good
	twice.Content = sign(t, s, good)[0]
	for name, commit := range map[string][]signed.Unsigned{
		"nothing":              {},
		"too many":             slices.Repeat([]signed.Unsigned{good}, signed.MaxCommit+1),
		"signed already":       {good, twice},
		"no message":           {{Subject: "x", Content: []byte{0xff}}},
		"too long a subject":   {{Subject: strings.Repeat("x", 1<<16), Content: good.Content}},
		"a field 19 of a kind": {{Subject: "x", Content: protowire.AppendVarint(protowire.AppendTag(nil, 19, 0), 1)}},
	} {
		if _, err := s.Sign(commit); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	for name, make := range map[string]func() (*signed.Signer, error){
		"no key":    func() (*signed.Signer, error) { return signed.NewSigner(origin, nil, aggregate.Notifier) },
		"no origin": func() (*signed.Signer, error) { return signed.NewSigner("", keyOf("x"), aggregate.Notifier) },
		"two lines": func() (*signed.Signer, error) { return signed.NewSigner("a\nb", keyOf("x"), aggregate.Notifier) },
		"no writer": func() (*signed.Signer, error) { return signed.NewSigner(origin, keyOf("x"), "") },
	} {
		if _, err := make(); err == nil {
			t.Errorf("a signer with %s", name)
		}
	}
}

// Another bit anywhere in a stored event is refused: either it is no event any more, or another than was signed.
func TestAnyChangedBitIsRefused(t *testing.T) {
	s, ring := signer(t, aggregate.Orchestrator, "orchestrator"), ours(t).began()
	first, second, third := comment(1, "one"), comment(2, "two"), comment(3, "three")
	stored := sign(t, s, unsigned(t, first, nil), unsigned(t, second, first), unsigned(t, third, second))
	rapid.Check(t, func(t *rapid.T) {
		which := rapid.IntRange(0, 2).Draw(t, "event")
		data := slices.Clone(stored[which])
		bit := rapid.IntRange(0, len(data)*8-1).Draw(t, "bit")
		data[bit/8] ^= 1 << (bit % 8)
		e := new(lockboxv1.Event)
		if proto.Unmarshal(data, e) != nil {
			return // no event, which is refused before its signature is looked at
		}
		before := map[int]*lockboxv1.Event{1: first, 2: second}[which]
		at := subject([]*lockboxv1.Event{first, second, third}[which])
		m := signed.Message{Sequence: 20, Subject: at, Stored: data, Event: e}
		err := ring.Check(m, func() (h [32]byte, _ error) {
			if before != nil {
				b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(before)
				h = signed.Hash(b)
			}
			return h, nil
		})
		if ruleOf(err) == "" {
			t.Fatalf("bit %d of %x was changed, and nobody saw it", bit, stored[which])
		}
	})
}

func TestAnErrorOfTheEventBeforeIsNoRefusal(t *testing.T) {
	ring, away := ours(t).began(), errors.New("the bus does not answer")
	e := comment(2, "x")
	m := signed.Message{Sequence: 20, Subject: subject(e), Event: e,
		Stored: sign(t, signer(t, aggregate.Orchestrator, "orchestrator"), unsigned(t, e, comment(1, "y")))[0]}
	err := ring.Check(m, func() ([32]byte, error) { return [32]byte{}, away })
	if !errors.Is(err, away) || ruleOf(err) != "" {
		t.Errorf("the event before it could not be read: %v", err)
	}
	if err := ring.CheckAlone(m); err != nil {
		t.Errorf("alone: %v", err)
	}
}

// A fact of a later version has no row in this version's table.
func TestAnUnknownFactIsJudgedByItsSignature(t *testing.T) {
	ring, e := ours(t).began(), comment(1, "")
	e.Fact = nil
	u := signed.Unsigned{Subject: "lockbox.event.contoso.ticket.t1.1.TicketSplit",
		Content: protowire.AppendBytes(protowire.AppendTag(content(t, e), 999, protowire.BytesType), nil)}
	m := signed.Message{Sequence: 20, Subject: u.Subject, Event: e}
	m.Stored = sign(t, signer(t, aggregate.Evaluator, "evaluator"), u)[0]
	if err := ring.Check(m, follows(t, nil)); err != nil {
		t.Error(err)
	}
	m.Stored = sign(t, signer(t, aggregate.Evaluator, "nobody's"), u)[0]
	if err := ring.Check(m, follows(t, nil)); ruleOf(err) != signed.RuleUnknownKey {
		t.Error(err)
	}
}

func TestAStatementIsSignedByWhoMakesIt(t *testing.T) {
	ring, at := ours(t).began(), noon.Add(time.Minute)
	lease := signed.Unsigned{Subject: "lockbox.lease", Content: []byte{0x08, 0x01}}
	projector := signer(t, aggregate.Projector, "projector")
	good := sign(t, projector, lease)[0]
	if err := ring.CheckStatement("lockbox.lease", good, aggregate.Projector, at); err != nil {
		t.Error(err)
	}
	evaluators := sign(t, signer(t, aggregate.Evaluator, "evaluator"), lease)[0]
	nobodys := sign(t, signer(t, aggregate.Projector, "nobody's"), lease)[0]
	linked := lease
	linked.Previous[0] = 1
	for name, row := range map[string]struct {
		subject string
		stored  []byte
		at      time.Time
		want    signed.Rule
	}{
		"unsigned":        {"lockbox.lease", lease.Content, at, signed.RuleUnsigned},
		"another subject": {"lockbox.release", good, at, signed.RuleSignature},
		"another writer":  {"lockbox.lease", evaluators, at, signed.RuleWriter},
		"too late":        {"lockbox.lease", good, noon.Add(24 * time.Hour), signed.RuleTime},
		"with others":     {"lockbox.lease", sign(t, projector, lease, lease)[0], at, signed.RulePrevious},
		"like an event":   {"lockbox.lease", sign(t, projector, linked)[0], at, signed.RulePrevious},
		"other content":   {"lockbox.lease", append([]byte{0x08, 0x02}, good[2:]...), at, signed.RuleSignature},
		"nobody's key":    {"lockbox.lease", nobodys, at, signed.RuleUnknownKey},
		"something after": {"lockbox.lease", append(slices.Clone(good), 0x08, 0x01), at, signed.RuleBlock},
	} {
		if err := ring.CheckStatement(row.subject, row.stored, aggregate.Projector, row.at); ruleOf(err) != row.want {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
	id := projector.KeyID()
	revoked := about(aggregate.SigningWriters, 2, at, &lockboxv1.Event_WriterRevoked{
		WriterRevoked: &lockboxv1.WriterRevoked{KeyId: id[:]}})
	if err := ring.Add(revoked, 30); err != nil {
		t.Fatal(err)
	}
	if err := ring.CheckStatement("lockbox.lease", good, aggregate.Projector, at); ruleOf(err) != signed.RuleTime {
		t.Errorf("the key was revoked: %v", err)
	}
}

func TestAKeyringAddsOnlyWhatTheDeploymentCertified(t *testing.T) {
	w, other := ours(t), newWorld(t, signed.DeploymentName(origin), "other deployment")
	certified := func(certificate string) *lockboxv1.Event {
		return about(aggregate.SigningWriters, 2, noon, &lockboxv1.Event_WriterCertified{
			WriterCertified: &lockboxv1.WriterCertified{Certificate: certificate}})
	}
	revoked := func(id ...byte) *lockboxv1.Event {
		return about(aggregate.SigningWriters, 2, noon, &lockboxv1.Event_WriterRevoked{
			WriterRevoked: &lockboxv1.WriterRevoked{KeyId: id}})
	}
	twice := w.beginning()
	certificates := twice.GetSigningBegan().GetCertificates()
	twice.GetSigningBegan().Certificates = append(certificates, certificates[0])
	for name, row := range map[string]struct {
		ring  *signed.Keyring
		event *lockboxv1.Event
	}{
		"signing begins again":                    {w.began(), w.beginning()},
		"signing begins under another key":        {signed.NewKeyring(origin, w.verifier), other.beginning()},
		"it begins with a certificate twice":      {signed.NewKeyring(origin, w.verifier), twice},
		"a certificate before signing began":      {signed.NewKeyring(origin, w.verifier), certified(certificates[0])},
		"a certificate of another deployment":     {w.began(), certified(other.certificate(aggregate.Notifier, "notifier"))},
		"a key that is certified already":         {w.began(), certified(w.certificate(aggregate.Notifier, "evaluator"))},
		"no certificate":                          {w.began(), certified("")},
		"a key is revoked that was not certified": {w.began(), revoked(1, 2, 3, 4, 5, 6, 7, 8)},
		"what is revoked has not the id of a key": {w.began(), revoked(1)},
		"a key is revoked before signing began": {signed.NewKeyring(origin, w.verifier),
			revoked(1, 2, 3, 4, 5, 6, 7, 8)},
	} {
		began := row.ring.Began()
		if err := row.ring.Add(row.event, 20); ruleOf(err) != signed.RuleUnknownKey || row.ring.Began() != began {
			t.Errorf("%s: %v, began %d", name, err, row.ring.Began())
		}
	}
	ring := w.began()
	if err := errors.Join(ring.Add(comment(1, "x"), 20), ring.Add(w.beginning(), 10)); err != nil || ring.Began() != 10 {
		t.Errorf("another fact, and one that was added before: %v", err)
	}
}

// Whoever holds the orchestrator's key signs what they store as it has to be; that is not enough for a fact about keys.
func TestAFactAboutKeysThatIsNotTrueIsRefusedWhereItStands(t *testing.T) {
	w, other := ours(t), newWorld(t, signed.DeploymentName(origin), "other deployment")
	for name, fact := range map[string]any{
		"a certificate of another deployment": &lockboxv1.Event_WriterCertified{WriterCertified: &lockboxv1.WriterCertified{
			Certificate: other.certificate(aggregate.Notifier, "notifier")}},
		"a key that is certified already": &lockboxv1.Event_WriterCertified{WriterCertified: &lockboxv1.WriterCertified{
			Certificate: w.certificate(aggregate.Notifier, "evaluator")}},
		"a key is revoked that was not certified": &lockboxv1.Event_WriterRevoked{WriterRevoked: &lockboxv1.WriterRevoked{
			KeyId: []byte{1, 2, 3, 4, 5, 6, 7, 8}}},
	} {
		e, before := about(aggregate.SigningWriters, 2, noon.Add(time.Hour), fact), w.beginning()
		stored := sign(t, signer(t, aggregate.Orchestrator, "orchestrator"), unsigned(t, e, before))[0]
		m := signed.Message{Sequence: 20, Subject: subject(e), Stored: stored, Event: e}
		ring := w.began()
		if err := ring.Check(m, follows(t, before)); ruleOf(err) != signed.RuleUnknownKey {
			t.Errorf("%s: %v", name, err)
		}
		// Whoever judges it later knows more.
		if err := ring.Add(w.certifies(aggregate.Notifier, "the next"), 30); err != nil {
			t.Fatal(err)
		}
		if err := ring.Check(m, follows(t, before)); ruleOf(err) != signed.RuleUnknownKey {
			t.Errorf("%s, judged after a later fact: %v", name, err)
		}
		m.Sequence = 5
		if err := ring.Check(m, follows(t, before)); ruleOf(err) != signed.RuleUnknownKey {
			t.Errorf("%s, before signing began: %v", name, err)
		}
	}
	// What was revoked before it was certified does not become true.
	next := w.certifies(aggregate.Notifier, "the next")
	c, err := signed.OpenCertificate([]byte(next.GetWriterCertified().GetCertificate()), w.verifier)
	if err != nil {
		t.Fatal(err)
	}
	id := signed.IDOf(c.Key)
	e, before := about(aggregate.SigningWriters, 2, noon.Add(time.Hour), &lockboxv1.Event_WriterRevoked{
		WriterRevoked: &lockboxv1.WriterRevoked{KeyId: id[:]}}), w.beginning()
	m := signed.Message{Sequence: 20, Subject: subject(e), Event: e,
		Stored: sign(t, signer(t, aggregate.Orchestrator, "orchestrator"), unsigned(t, e, before))[0]}
	ring := w.began()
	if err := ring.Add(next, 30); err != nil {
		t.Fatal(err)
	}
	if err := ring.Check(m, follows(t, before)); ruleOf(err) != signed.RuleUnknownKey {
		t.Errorf("revoked before it was certified: %v", err)
	}
}

func TestACertificateIsReadInOneSpelling(t *testing.T) {
	w := ours(t)
	text := w.certificate(aggregate.Evaluator, "evaluator")
	c, err := signed.OpenCertificate([]byte(text), w.verifier)
	if err != nil || c.Identity != string(aggregate.Evaluator) || !c.From.Equal(noon) ||
		!c.Key.Equal(keyOf("evaluator").Public()) {
		t.Fatalf("%+v: %v", c, err)
	}
	// resigned is another text with the deployment's own signature.
	resigned := func(old, now string) string {
		body, _, _ := strings.Cut(text, "\n\n")
		changed := strings.Replace(body+"\n", old, now, 1)
		if changed == body+"\n" {
			t.Fatalf("%q is not in %q", old, body)
		}
		out, err := note.Sign(&note.Note{Text: changed}, w.deployment)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for name, text := range map[string]string{
		"nothing":                   "",
		"a changed name":            strings.Replace(text, "jit-evaluator", "notifier", 1),
		"another format":            resigned("writer/v1", "writer/v2"),
		"another deployment's name": resigned(origin, "elsewhere"),
		"no identity":               resigned("jit-evaluator", ""),
		"a time with a fraction":    resigned("T12:00:00Z", "T12:00:00.5Z"),
		"a time of another zone":    resigned("T12:00:00Z", "T14:00:00+02:00"),
		"an end before the start":   resigned("2026-12-02", "2026-11-02"),
		"a seventh line":            resigned("Z\n", "Z\nmore\n"),
		"no padding":                resigned("=\n", "\n"),
		"a second signature":        text + text[strings.Index(text, "— "):],
		"an unknown signature":      text + "— somebody AAAAAAAA\n",
		"too long":                  text + strings.Repeat("— x AAAAAAAA\n", signed.MaxCertificate/10),
		"of another deployment": newWorld(t, signed.DeploymentName(origin), "other").certificate(aggregate.Evaluator,
			"evaluator"),
	} {
		if c, err := signed.OpenCertificate([]byte(text), w.verifier); err == nil {
			t.Errorf("%s is read as %+v", name, c)
		}
	}
	for name, change := range map[string]func(*signed.Certificate){
		"a fraction of a second": func(c *signed.Certificate) { c.From = c.From.Add(1) },
		"no key":                 func(c *signed.Certificate) { c.Key = nil },
		"no identity":            func(c *signed.Certificate) { c.Identity = "" },
		"two lines":              func(c *signed.Certificate) { c.Identity = "a\nb" },
		"another deployment":     func(c *signed.Certificate) { c.Origin = "elsewhere" },
		"no time":                func(c *signed.Certificate) { c.Until = c.From },
	} {
		c := signed.Certificate{Origin: origin, Identity: "notifier", Key: signed.PublicOf(keyOf("x")),
			From: noon, Until: noon.Add(time.Hour)}
		change(&c)
		if out, err := c.Issue(w.deployment); err == nil {
			t.Errorf("a certificate with %s was issued: %s", name, out)
		}
	}
}

// What is taken for a signed message is exactly its content and block; nothing else hides in it.
func FuzzContent(f *testing.F) {
	s := signer(f, aggregate.Orchestrator, "orchestrator")
	good := sign(f, s, unsigned(f, comment(1, "one"), nil), unsigned(f, comment(2, "two"), comment(1, "one")))
	for _, seed := range [][]byte{nil, good[0], good[1], content(f, comment(1, "x")), {0x9a, 1, 0}, {0x9a, 1, 0x80, 0},
		{0x9a, 0x81, 0, 0}, {0x98, 1, 0}, slices.Concat(good[0], good[0]), {0x0b, 0x9a, 1, 0, 0x0c}} {
		f.Add(seed)
	}
	ring := ours(f).began()
	f.Fuzz(func(t *testing.T, stored []byte) {
		content, block, err := signed.Content(stored)
		if err != nil {
			if content != nil || block != nil {
				t.Fatal("a refusal with content")
			}
			return
		}
		again := slices.Clone(content)
		if block != nil {
			again = protowire.AppendBytes(protowire.AppendTag(again, 19, protowire.BytesType), block)
		}
		if !bytes.Equal(again, stored) {
			t.Fatalf("%x is not %x and %x", stored, content, block)
		}
		if rest, inner, err := signed.Content(content); err != nil || inner != nil || !bytes.Equal(rest, content) {
			t.Fatalf("the content %x is signed itself: %v", content, err)
		}
		e := new(lockboxv1.Event)
		if proto.Unmarshal(stored, e) != nil {
			return
		}
		if !bytes.Equal(block, e.Signature) {
			t.Fatalf("a reader of protobuf sees the block %x, not %x", e.Signature, block)
		}
		m := signed.Message{Sequence: 20, Subject: subject(comment(1, "one")), Stored: stored, Event: e}
		if ring.CheckAlone(m) == nil && !bytes.Equal(stored, good[0]) {
			t.Fatalf("%x passes", stored)
		}
	})
}

// Whoever runs the bus may say nothing of that signing began.
func TestWhereSigningIsExpectedNothingPassesWithoutIt(t *testing.T) {
	w := ours(t)
	ring, e := signed.NewKeyring(origin, w.verifier), comment(1, "x")
	m := signed.Message{Sequence: 20, Subject: subject(e), Stored: content(t, e), Event: e}
	if err := ring.Check(m, follows(t, nil)); err != nil || ring.Required() {
		t.Errorf("before: %v", err)
	}
	ring.Expect(20)
	if err := ring.Check(m, follows(t, nil)); ruleOf(err) != signed.RuleUnsigned || !ring.Required() {
		t.Errorf("unsigned: %v", err)
	}
	m.Stored = sign(t, signer(t, aggregate.Orchestrator, "orchestrator"), unsigned(t, e, nil))[0]
	if err := ring.Check(m, follows(t, nil)); ruleOf(err) != signed.RuleUnknownKey {
		t.Errorf("signed, with a key of which nothing is known: %v", err)
	}
	if m.Sequence = 19; ring.Check(m, follows(t, nil)) != nil {
		t.Error("an event from before was refused")
	}
	began := w.beginning()
	stored := sign(t, signer(t, aggregate.Orchestrator, "orchestrator"), unsigned(t, began, nil))[0]
	for at, rule := range map[uint64]signed.Rule{19: signed.RuleUnknownKey, 20: "", 21: signed.RuleUnknownKey} {
		ring := signed.NewKeyring(origin, w.verifier)
		ring.Expect(20)
		m := signed.Message{Sequence: at, Subject: subject(began), Stored: stored, Event: began}
		if err := ring.Check(m, follows(t, nil)); ruleOf(err) != rule {
			t.Errorf("signing begins at %d: %v", at, err)
		}
		if err := ring.Add(began, at); ruleOf(err) != rule || (ring.Began() == 20) != (rule == "") {
			t.Errorf("signing begins at %d: %v, began at %d", at, err, ring.Began())
		}
	}
}
