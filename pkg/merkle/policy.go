package merkle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Policy says which signatures make a checkpoint trusted: the log's, and those of a quorum of named witnesses.
type Policy struct {
	// logs are the log's keys: several, of one name, while its key is being replaced and afterwards.
	logs      []note.Verifier
	witnesses []witness
	quorum    int
}

type witness struct {
	name, url string
	key       note.Verifier
}

// Cosigned is a witness's statement that it saw the log grow to this checkpoint and to no other.
type Cosigned struct {
	Name string
	At   time.Time
}

// Signed is a checkpoint whose signatures satisfied a policy.
type Signed struct {
	Checkpoint
	// Cosigned lists the valid cosignatures.
	Cosigned []Cosigned
	// Unknown names the keys whose signatures were not checked, because they are not in the policy.
	Unknown []string
}

// ParsePolicy parses a policy in the common subset of C2SP tlog-policy and Sigsum, with one level of groups:
//
//	log <verifier key>            (again for another key of the same log, if its key was replaced)
//	witness <name> <verifier key> [<url>]
//	group <name> <number|any|all> <witness>...
//	quorum <group|witness|none>
//
// A # begins a comment. There is exactly one log and one quorum; the quorum comes last. A checkpoint must be signed
// with one of the log's keys.
func ParsePolicy(text []byte) (*Policy, error) {
	b := policyBuilder{groups: map[string]group{}}
	for number, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			if err := b.add(fields[0], fields[1:]); err != nil {
				return nil, fmt.Errorf("line %d of the policy: %w", number+1, err)
			}
		}
	}
	if b.policy == nil {
		return nil, errors.New("the policy says no quorum")
	}
	return b.policy, nil
}

// KeysAlone returns a policy that trusts a log's keys, one on each line, without witnesses.
func KeysAlone(keys string) (*Policy, error) {
	var policy strings.Builder
	for _, key := range strings.Fields(keys) {
		policy.WriteString("log " + key + "\n")
	}
	return ParsePolicy([]byte(policy.String() + "quorum none\n"))
}

type group struct {
	members []string
	quorum  int
}

type policyBuilder struct {
	logs      []note.Verifier
	witnesses []witness
	keys      []string
	groups    map[string]group
	policy    *Policy
}

func (b *policyBuilder) add(keyword string, args []string) error {
	if b.policy != nil {
		return errors.New("the quorum is the last line")
	}
	switch {
	case keyword == "log" && len(args) == 1:
		return b.addLog(args[0])
	case keyword == "witness" && (len(args) == 2 || len(args) == 3):
		return b.addWitness(args[0], args[1], strings.Join(args[2:], ""))
	case keyword == "group" && len(args) >= 3:
		return b.addGroup(args[0], args[1], args[2:])
	case keyword == "quorum" && len(args) == 1 && len(b.logs) > 0:
		return b.finish(args[0])
	}
	return fmt.Errorf("%q cannot stand here like this", keyword)
}

func (b *policyBuilder) addLog(vkey string) error {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	for _, other := range b.logs {
		if other.Name() != key.Name() || other.KeyHash() == key.KeyHash() {
			return fmt.Errorf("%s is another log than %s, or the same key twice", key.Name(), other.Name())
		}
	}
	b.logs = append(b.logs, key)
	return nil
}

func (b *policyBuilder) addWitness(name, vkey, url string) error {
	key, err := witnessKey(vkey)
	if err != nil {
		return err
	}
	// A key listed twice under different names could form a quorum by itself.
	raw := vkey[strings.LastIndexByte(vkey, '+')+1:]
	if slices.Contains(b.keys, raw) {
		return fmt.Errorf("witness %q has another's key", name)
	}
	b.keys = append(b.keys, raw)
	b.witnesses = append(b.witnesses, witness{name, url, key})
	return b.define(name, group{[]string{name}, 1})
}

func (b *policyBuilder) addGroup(name, number string, members []string) error {
	g := group{members: members}
	for i, member := range members {
		if of, ok := b.groups[member]; !ok || !slices.Equal(of.members, []string{member}) ||
			slices.Contains(members[:i], member) {
			return fmt.Errorf("%q is no witness, or there twice", member)
		}
	}
	switch number {
	case "any":
		g.quorum = 1
	case "all":
		g.quorum = len(members)
	default:
		var err error
		if g.quorum, err = strconv.Atoi(number); err != nil || g.quorum < 1 || g.quorum > len(members) {
			return fmt.Errorf("%s of %d witnesses", number, len(members))
		}
	}
	return b.define(name, g)
}

func (b *policyBuilder) define(name string, g group) error {
	if _, ok := b.groups[name]; ok || name == "none" {
		return fmt.Errorf("there is a %q already", name)
	}
	b.groups[name] = g
	return nil
}

func (b *policyBuilder) finish(name string) error {
	g, ok := b.groups[name]
	if !ok && name != "none" {
		return fmt.Errorf("there is no witness or group %q", name)
	}
	b.policy = &Policy{logs: b.logs, quorum: g.quorum}
	for _, w := range b.witnesses {
		if slices.Contains(g.members, w.name) {
			b.policy.witnesses = append(b.policy.witnesses, w)
		}
	}
	return nil
}

// Origin returns the name of the log.
func (p *Policy) Origin() string { return p.logs[0].Name() }

// byLog reports whether a signature is by one of the log's keys.
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

// Quorum returns how many of the witnesses must have cosigned.
func (p *Policy) Quorum() int { return p.quorum }

// Open verifies a checkpoint's signed note. Every signature by a key of the policy must be valid, even if it is not
// needed.
func (p *Policy) Open(signed []byte) (Signed, error) {
	verifiers := slices.Clone(p.logs)
	for _, w := range p.witnesses {
		verifiers = append(verifiers, w.key)
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if wrong := (*note.InvalidSignatureError)(nil); errors.As(err, &wrong) {
		part := Cosignatures
		if p.byLog(wrong.Name, wrong.Hash) {
			part = LogSignature
		}
		return Signed{}, broken(part, "the signature of %s is not over these bytes", wrong.Name)
	}
	if unsigned := (*note.UnverifiedNoteError)(nil); errors.As(err, &unsigned) {
		return Signed{}, broken(LogSignature, "nobody of the policy signed it")
	}
	if err != nil {
		return Signed{}, broken(Format, "the signed note: %v", err)
	}
	if err := checkSpelling(signed, n); err != nil {
		return Signed{}, err
	}
	s := Signed{}
	byLog := false
	for _, signature := range n.Sigs {
		if p.byLog(signature.Name, signature.Hash) {
			byLog = true
			continue
		}
		at, err := cosignature.CoSigV1Timestamp(signature)
		if err != nil {
			return Signed{}, broken(Cosignatures, "%v", err)
		}
		s.Cosigned = append(s.Cosigned, Cosigned{p.nameOf(signature), at.UTC()})
	}
	for _, signature := range n.UnverifiedSigs {
		s.Unknown = append(s.Unknown, fmt.Sprintf("%s+%08x", signature.Name, signature.Hash))
	}
	if !byLog {
		return Signed{}, broken(LogSignature, "the log %s did not sign it", p.Origin())
	}
	if len(s.Cosigned) < p.quorum {
		return Signed{}, broken(Cosignatures, "%d of %d that the policy demands", len(s.Cosigned), p.quorum)
	}
	if s.Checkpoint, err = ParseCheckpoint(n.Text); err != nil {
		return Signed{}, err
	}
	if s.Origin != p.Origin() {
		return Signed{}, broken(LogSignature, "the checkpoint is of %s, not of %s", s.Origin, p.Origin())
	}
	return s, nil
}

// Add adds a cosignature, a line as returned by a tlog-witness, to a signed note. The cosignature must be valid and by
// a witness of the policy that has not cosigned the note yet.
func (p *Policy) Add(signed, line []byte) ([]byte, error) {
	anybody := *p
	anybody.quorum = 0
	before, err := anybody.Open(signed)
	if err != nil {
		return nil, err
	}
	cosigned := slices.Concat(signed, line)
	after, err := anybody.Open(cosigned)
	if err != nil {
		return nil, err
	}
	if after.Checkpoint != before.Checkpoint || len(after.Cosigned) != len(before.Cosigned)+1 ||
		len(after.Unknown) != len(before.Unknown) {
		return nil, broken(Cosignatures, "not the cosignature of one more witness of the policy")
	}
	return cosigned, nil
}

func (p *Policy) nameOf(s note.Signature) string {
	for _, w := range p.witnesses {
		if w.key.Name() == s.Name && w.key.KeyHash() == s.Hash {
			return w.name
		}
	}
	return s.Name
}

// checkSpelling refuses what note.Open accepts: duplicate signatures, and base64 with non-zero trailing bits.
func checkSpelling(signed []byte, n *note.Note) error {
	all := slices.Concat(n.Sigs, n.UnverifiedSigs)
	lines := strings.Count(string(signed[len(n.Text)+1:]), "\n")
	if lines != len(all) {
		return broken(Format, "a signature stands there twice")
	}
	for _, s := range all {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return broken(Format, "the signature of %s in another spelling", s.Name)
		}
	}
	return nil
}
