package merkle

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Policy says which signatures make a checkpoint trusted: a log's, and those of a quorum of named witnesses (C2SP
// tlog-policy).
type Policy struct {
	// logs are the keys of the logs: several of one name if its key was replaced.
	logs      []note.Verifier
	witnesses []witness
	quorum    *rule // nil: no witness is demanded
}

type witness struct {
	name, url string
	// vkey is the key as the policy spells it.
	vkey string
	key  note.Verifier
}

// rule is a witness, or so many of other rules.
type rule struct {
	witness string
	of      []*rule
	demand  int
}

// Cosigned is a witness's statement that it saw the log grow to this checkpoint and to no other.
type Cosigned struct {
	Name string
	// At is the time that the witness names; of several cosignatures by one key, the last.
	At time.Time
}

// Signed is a checkpoint whose signatures satisfied a policy.
type Signed struct {
	Checkpoint
	// Extension holds the lines after the third, which say nothing about the tree and nothing that anybody vouches for.
	Extension string
	// Cosigned lists the witnesses of the policy that cosigned, the quorum and others.
	Cosigned []Cosigned
	// Quorum is when the quorum was complete, as its witnesses name the time; zero if the policy demands none.
	Quorum time.Time
	// Unknown names the keys whose signatures were not checked, because they are not in the policy.
	Unknown []string
	// Repeated: a signature stands there more than once.
	Repeated bool
}

// Origin returns the name of the log; of several, that of the first.
func (p *Policy) Origin() string { return p.logs[0].Name() }

// byLog reports whether a signature is by one of the logs' keys.
func (p *Policy) byLog(name string, hash uint32) bool {
	return slices.ContainsFunc(p.logs, func(k note.Verifier) bool { return k.Name() == name && k.KeyHash() == hash })
}

// Witnesses returns the URLs of the policy's witnesses that have one, by name.
func (p *Policy) Witnesses() map[string]string {
	urls := map[string]string{}
	for _, w := range p.witnesses {
		if w.url != "" {
			urls[w.name] = w.url
		}
	}
	return urls
}

// WitnessKeys returns the verifier keys of all witnesses of the policy, in the order of their bytes.
func (p *Policy) WitnessKeys() []string {
	keys := make([]string, len(p.witnesses))
	for i, w := range p.witnesses {
		keys[i] = w.vkey
	}
	slices.Sort(keys)
	return keys
}

// Quorum returns how many witnesses must have cosigned at least. With groups in groups, not any so many are enough.
func (p *Policy) Quorum() int { return p.quorum.least() }

// Enough reports whether the named witnesses are a quorum.
func (p *Policy) Enough(names []string) bool {
	_, enough := p.quorum.since(func(name string) (time.Time, bool) { return time.Time{}, slices.Contains(names, name) })
	return enough
}

// least returns the size of the smallest quorum.
func (r *rule) least() int {
	switch {
	case r == nil:
		return 0
	case r.of == nil:
		return 1
	}
	var each []int
	for _, member := range r.of {
		each = append(each, member.least())
	}
	slices.Sort(each)
	n := 0
	for _, one := range each[:r.demand] {
		n += one
	}
	return n
}

// since returns when the rule was satisfied, if each witness cosigned when the function says.
func (r *rule) since(at func(witness string) (time.Time, bool)) (time.Time, bool) {
	switch {
	case r == nil:
		return time.Time{}, true
	case r.of == nil:
		return at(r.witness)
	}
	var times []time.Time
	for _, member := range r.of {
		if t, satisfied := member.since(at); satisfied {
			times = append(times, t)
		}
	}
	if len(times) < r.demand {
		return time.Time{}, false
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[r.demand-1], true
}

// Open verifies a checkpoint's signed note. Every signature by a key of the policy must be valid, even if it is not
// needed or there twice; others are ignored (C2SP signed-note).
func (p *Policy) Open(signed []byte) (Signed, error) {
	verifiers := slices.Clone(p.logs)
	for _, w := range p.witnesses {
		verifiers = append(verifiers, w.key)
	}
	known := note.VerifierList(verifiers...)
	_, err := note.Open(signed, note.VerifierList()) // which looks at the form; each signature is verified once, below
	opened := (*note.UnverifiedNoteError)(nil)
	if !errors.As(err, &opened) {
		return Signed{}, broken(Format, "the signed note: %v", err)
	}
	text := opened.Note.Text
	var byLogs []string
	var s Signed
	seen := map[string]bool{}
	for line := range strings.SplitAfterSeq(strings.TrimSuffix(string(signed[len(text)+1:]), "\n"), "\n") {
		signature, err := parseSignature(line)
		if err != nil {
			return Signed{}, err
		}
		id := fmt.Sprintf("%s+%08x", signature.Name, signature.Hash)
		s.Repeated, seen[id] = s.Repeated || seen[id], true
		key, err := known.Verifier(signature.Name, signature.Hash)
		switch {
		case err != nil:
			if !slices.Contains(s.Unknown, id) {
				s.Unknown = append(s.Unknown, id)
			}
		case !verifies(key, text, signature):
			return Signed{}, p.invalid(signature.Name, signature.Hash)
		case p.byLog(signature.Name, signature.Hash):
			byLogs = append(byLogs, signature.Name)
		default:
			if err := s.cosigned(p.nameOf(signature), signature); err != nil {
				return Signed{}, err
			}
		}
	}
	if len(byLogs) == 0 {
		return Signed{}, broken(LogSignature, "no log of the policy signed it")
	}
	if s.Checkpoint, s.Extension, err = parseCheckpoint(text); err != nil {
		return Signed{}, err
	}
	if !slices.Contains(byLogs, s.Origin) {
		return Signed{}, broken(LogSignature, "the log %s did not sign it, or it is not in the policy", s.Origin)
	}
	at, enough := p.quorum.since(s.at)
	if !enough {
		return Signed{}, broken(Cosignatures, "%d, which are not the quorum that the policy demands", len(s.Cosigned))
	}
	s.Quorum = at
	return s, nil
}

func (p *Policy) invalid(name string, hash uint32) error {
	part := Cosignatures
	if p.byLog(name, hash) {
		part = LogSignature
	}
	return broken(part, "the signature of %s is not over these bytes", name)
}

func (s *Signed) at(witness string) (time.Time, bool) {
	for _, c := range s.Cosigned {
		if c.Name == witness {
			return c.At, true
		}
	}
	return time.Time{}, false
}

func (s *Signed) cosigned(name string, by note.Signature) error {
	at, err := cosignature.CoSigV1Timestamp(by)
	if err != nil || at.Unix() < 0 {
		return broken(Cosignatures, "the cosignature of %s has no time, or none that there is (%v)", name, err)
	}
	for i, c := range s.Cosigned {
		if c.Name == name {
			if at.After(c.At) {
				s.Cosigned[i].At = at.UTC()
			}
			return nil
		}
	}
	s.Cosigned = append(s.Cosigned, Cosigned{name, at.UTC()})
	return nil
}

// parseSignature parses a line of a note that note.Open takes. It refuses a signature in another spelling: base64 may
// have bits left over at its end, which mean nothing and which many readers ignore.
func parseSignature(line string) (note.Signature, error) {
	name, text, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "— "), "\n"), " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < 5 {
		return note.Signature{}, broken(Format, "the signature of %s in another spelling", name)
	}
	return note.Signature{Name: name, Hash: binary.BigEndian.Uint32(raw), Base64: text}, nil
}

func verifies(key note.Verifier, text string, s note.Signature) bool {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	return err == nil && key.Verify([]byte(text), raw[4:])
}

// Add adds cosignatures, the lines that a tlog-witness responds with, to a signed note: those by witnesses of the
// policy that have not cosigned the note yet, of which there must be one. Lines by other keys are left out.
func (p *Policy) Add(signed, lines []byte) ([]byte, error) {
	anybody := *p
	anybody.quorum = nil
	before, err := anybody.Open(signed)
	if err != nil {
		return nil, err
	}
	after, err := anybody.Open(slices.Concat(signed, lines))
	if err != nil {
		return nil, err
	}
	if after.Checkpoint != before.Checkpoint || after.Extension != before.Extension ||
		len(after.Cosigned) == len(before.Cosigned) {
		return nil, broken(Cosignatures, "not the cosignature of one more witness of the policy")
	}
	cosigned := slices.Clone(signed)
	for line := range strings.SplitAfterSeq(string(lines), "\n") {
		if one, err := parseSignature(line); err == nil {
			if _, before := before.at(p.nameOf(one)); !before && p.byWitness(one) {
				cosigned = append(cosigned, line...)
			}
		}
	}
	return cosigned, nil
}

// Trusted returns a signed note, which Open takes, with only those of its signatures that are by keys of the policy.
func (p *Policy) Trusted(signed []byte) ([]byte, error) {
	if _, err := p.Open(signed); err != nil {
		return nil, err
	}
	end := bytes.LastIndex(signed, []byte("\n\n")) + 2
	trusted := slices.Clone(signed[:end])
	for line := range bytes.SplitAfterSeq(signed[end:], []byte("\n")) {
		one, err := parseSignature(string(line))
		if err == nil && (p.byLog(one.Name, one.Hash) || p.byWitness(one)) {
			trusted = append(trusted, line...)
		}
	}
	return trusted, nil
}

func (p *Policy) byWitness(s note.Signature) bool {
	return slices.ContainsFunc(p.witnesses, func(w witness) bool {
		return w.key.Name() == s.Name && w.key.KeyHash() == s.Hash
	})
}

func (p *Policy) nameOf(s note.Signature) string {
	for _, w := range p.witnesses {
		if w.key.Name() == s.Name && w.key.KeyHash() == s.Hash {
			return w.name
		}
	}
	return s.Name
}
