package merkle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// ParsePolicy parses a policy (C2SP tlog-policy):
//
//	log <verifier key> [<url>]
//	witness <name> <verifier key> [<url>]
//	group <name> <number|any|all> <witness or group>...
//	quorum <witness|group|none>
//
// There is at least one log, and exactly one quorum. A group and the quorum name only what stands above them;
// otherwise the order is free. A line that begins with # is a comment; so is, unlike in the specification, the rest
// of a line from a word on that begins with it. A checkpoint must be signed with a key of the log that it names; keys
// of one name are one log's, whose key was replaced. No witness counts in two ways.
func ParsePolicy(text []byte) (*Policy, error) {
	b := policyBuilder{rules: map[string]*rule{}, keys: map[string]string{}}
	for number, line := range strings.Split(string(text), "\n") {
		if err := b.line(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, fmt.Errorf("line %d of the policy: %w", number+1, err)
		}
	}
	switch {
	case len(b.policy.logs) == 0:
		return nil, errors.New("the policy names no log")
	case !b.decided:
		return nil, errors.New("the policy says no quorum")
	}
	return &b.policy, nil
}

// KeysAlone returns a policy that trusts one log's keys, one on each line, without witnesses.
func KeysAlone(keys string) (*Policy, error) {
	var text strings.Builder
	for _, key := range strings.Fields(keys) {
		text.WriteString("log " + key + "\n")
	}
	p, err := ParsePolicy([]byte(text.String() + "quorum none\n"))
	if err != nil {
		return nil, err
	}
	for _, key := range p.logs {
		if key.Name() != p.Origin() {
			return nil, fmt.Errorf("%s is another log than %s", key.Name(), p.Origin())
		}
	}
	return p, nil
}

type policyBuilder struct {
	policy Policy
	rules  map[string]*rule
	// keys says whose each public key is, by what it is encoded as.
	keys    map[string]string
	decided bool
}

func (b *policyBuilder) line(line string) error {
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("there is a control character")
	}
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if comment := slices.IndexFunc(words, func(w string) bool { return w[0] == '#' }); comment >= 0 {
		words = words[:comment]
	}
	if len(words) == 0 {
		return nil
	}
	keyword, args := words[0], words[1:]
	switch {
	case keyword == "log" && (len(args) == 1 || len(args) == 2): // what its URL is for is up to who reads it
		return b.log(args[0])
	case keyword == "witness" && (len(args) == 2 || len(args) == 3):
		return b.witness(args[0], args[1], strings.Join(args[2:], ""))
	case keyword == "group" && len(args) >= 3:
		return b.group(args[0], args[1], args[2:])
	case keyword == "quorum" && len(args) == 1 && !b.decided:
		return b.quorum(args[0])
	}
	return fmt.Errorf("%q cannot stand here like this", keyword)
}

func (b *policyBuilder) log(vkey string) error {
	key, err := parseLogKey(vkey)
	if err != nil {
		return err
	}
	if err := b.unique("log", vkey, key); err != nil {
		return err
	}
	b.policy.logs = append(b.policy.logs, key)
	return nil
}

func (b *policyBuilder) witness(name, vkey, url string) error {
	key, err := witnessKey(vkey)
	if err != nil {
		return err
	}
	// A key listed under two names could form a quorum by itself.
	if err := b.unique("witness", vkey, key); err != nil {
		return err
	}
	b.policy.witnesses = append(b.policy.witnesses, witness{name, url, vkey, key})
	return b.define(name, &rule{witness: name})
}

// unique refuses a second line with one public key, even if it has another name there. A log's key may be a witness's
// too, if it is for signatures of another type.
func (b *policyBuilder) unique(what, vkey string, key note.Verifier) error {
	raw := what + " " + vkey[strings.LastIndexByte(vkey, '+')+1:]
	whole := fmt.Sprintf("%s+%08x", key.Name(), key.KeyHash())
	for _, is := range []string{raw, whole} {
		if other := b.keys[is]; other != "" {
			return fmt.Errorf("%s %s has the key of %s", what, key.Name(), other)
		}
		b.keys[is] = key.Name()
	}
	return nil
}

func (b *policyBuilder) group(name, number string, members []string) error {
	g := &rule{}
	for i, member := range members {
		is := b.rules[member]
		if is == nil || slices.Contains(members[:i], member) {
			return fmt.Errorf("%q is no witness and no group that stands above, or there twice", member)
		}
		g.of = append(g.of, is)
	}
	switch number {
	case "any":
		g.demand = 1
	case "all":
		g.demand = len(members)
	default:
		var err error
		if g.demand, err = strconv.Atoi(number); err != nil || g.demand < 1 || g.demand > len(members) {
			return fmt.Errorf("%s of %d witnesses", number, len(members))
		}
	}
	return b.define(name, g)
}

func (b *policyBuilder) define(name string, r *rule) error {
	if b.rules[name] != nil || name == "none" {
		return fmt.Errorf("there is a %q already", name)
	}
	b.rules[name] = r
	return nil
}

func (b *policyBuilder) quorum(name string) error {
	is := b.rules[name]
	if is == nil && name != "none" {
		return fmt.Errorf("there is no witness and no group %q above", name)
	}
	if !is.once(map[*rule]bool{}) {
		return fmt.Errorf("a witness or group would count in two ways in %q", name)
	}
	b.policy.quorum, b.decided = is, true
	return nil
}

// once reports whether nothing under the rule was seen before or is there twice.
func (r *rule) once(seen map[*rule]bool) bool {
	if r == nil {
		return true
	}
	if seen[r] {
		return false
	}
	seen[r] = true
	return !slices.ContainsFunc(r.of, func(member *rule) bool { return !member.once(seen) })
}

// The types of keys (C2SP signed-note).
const (
	ed25519Cosignature = 0x04
	mldsa44            = 0x06
)

// parseLogKey parses a log's public key: Ed25519, or ML-DSA-44 of C2SP tlog-cosignature.
func parseLogKey(vkey string) (note.Verifier, error) {
	if typeOf(vkey) == mldsa44 {
		return witnessKey(vkey)
	}
	return note.NewVerifier(vkey)
}

// witnessKey parses a witness's public key, name+hash+key, of a type for cosignatures.
func witnessKey(vkey string) (note.Verifier, error) {
	verifier, err := cosignature.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		return nil, fmt.Errorf("witness key %q: %w", vkey, err)
	}
	is := typeOf(vkey)
	if is != ed25519Cosignature && is != mldsa44 ||
		strings.SplitN(vkey, "+", 3)[1] != fmt.Sprintf("%08x", verifier.KeyHash()) {
		return nil, fmt.Errorf("witness key %q: not one for cosignatures, or with another key's hash", vkey)
	}
	return verifier, nil
}

// typeOf returns the type of a key; 0 if it is none.
func typeOf(vkey string) byte {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) < 3 {
		return 0
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) == 0 {
		return 0
	}
	return key[0]
}
