// Package shown is the text that people read before they sign a statement: all of it, in their language, and made from
// the statement alone. Page, command line and whoever verifies make the same text of the same statement, so nobody can
// leave something out of it: SHA-256 of a decision's text is among what is signed ([approval.TextHash]).
//
// So the text of a format never changes. What is to be worded differently, or in one language more, belongs to a new
// format of the statement; testdata holds what was signed once. It is pure.
package shown

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
)

// Languages are those with a text of their own. All others are shown English.
var Languages = []string{"en", "fr", "ja"}

// Language is the one in which somebody who reads a language (a BCP 47 tag) is shown what they sign.
func Language(tag string) string {
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if slices.Contains(Languages, base) {
		return base
	}
	return Languages[0]
}

// Of is the text of any statement, and the format that it is of. It refuses what is no statement, as its own format's
// reader does.
func Of(statement []byte, language string) (text, format string, err error) {
	switch {
	case is(statement, approval.FormatDecision):
		d, err := approval.ParseDecision(statement)
		return Text(d, language), approval.FormatDecision, err
	case is(statement, approval.FormatChange):
		c, err := approval.ParseChange(statement)
		return ChangeText(c, language), approval.FormatChange, err
	case is(statement, approval.FormatGenesis):
		g, err := approval.ParseGenesis(statement)
		return GenesisText(g, language), approval.FormatGenesis, err
	}
	c, err := approval.ParseKeyChange(statement)
	return KeyChangeText(c, language), approval.FormatKeys, err
}

// is reports whether a statement says that it is of a format. A text inside it cannot: its quotation marks are escaped.
func is(statement []byte, format string) bool {
	return bytes.Contains(statement, []byte(`"format":"`+format+`"`))
}

// Text is what is shown before somebody approves, denies or revokes.
func Text(d approval.Decision, language string) string {
	p := in(language)
	p.say("decision." + d.Decision)
	p.gap()
	p.say("request", d.Request)
	p.say("engineer", d.Engineer.Subject, d.Engineer.Issuer)
	p.say("operation", d.Scenario, d.ResourceType)
	if d.Subscription == "" {
		p.say("whole-organisation")
	} else {
		p.say("subscription", d.Subscription)
	}
	if d.Decision == approval.Approve {
		p.list("resources", d.Resources)
		p.say("duration", p.duration(d.Seconds))
	}
	if d.Decision != approval.Revoke {
		p.counted("approvals", d.Approvals)
		p.say("answer-by", clock(d.AnswerBy))
	}
	p.say("events", p.versions(d.Events))
	if d.Comment == "" {
		p.say("no-comment")
	} else {
		p.say("comment")
	}
	p.head(d.Head)
	return string(p.text)
}

// ChangeText is what is shown before somebody changes something that could get around a demand for signatures.
func ChangeText(c approval.Change, language string) string {
	p := in(language)
	p.say("change." + c.Change)
	p.gap()
	if c.Kind == "subscription" {
		p.say("subscription", c.ID)
	} else {
		p.say("whole-organisation")
	}
	for _, n := range c.Content {
		p.say("content", n.Name, n.Value)
	}
	p.say("follows", number(c.Follows.Version))
	p.head(c.Head)
	return string(p.text)
}

// GenesisText is what is shown before somebody signs the beginning of their organisation's keys.
func GenesisText(g approval.Genesis, language string) string {
	p := in(language)
	p.say("genesis")
	p.gap()
	p.say("customer", g.Tenant)
	for _, e := range g.Administrators {
		p.key("administrator-key", e)
	}
	p.say("recovery-key", p.kind(g.Recovery), idOf(g.Recovery))
	p.say("threshold", number(g.Threshold))
	p.say("demand." + string(g.Demand))
	p.say("delay", p.duration(g.DelaySeconds))
	p.say("recovery-delay", p.duration(g.RecoverySeconds))
	p.list("witnesses", g.Witnesses)
	p.say("quorum", number(g.Quorum), number(uint64(len(g.Witnesses))))
	if g.Replaces != "" {
		p.say("replaces", words(g.Replaces))
	}
	p.say("log", g.Origin)
	p.say("issued-at", clock(g.IssuedAt))
	return string(p.text)
}

// KeyChangeText is what is shown before somebody signs a change of keys, or of what is demanded.
func KeyChangeText(c approval.KeyChange, language string) string {
	p := in(language)
	p.say("keys." + c.Change)
	p.gap()
	p.say("customer", c.Tenant)
	for _, e := range c.Keys {
		p.key("new-key."+e.Role, e)
	}
	for _, k := range c.Recovery {
		p.say("recovery-key", p.kind(k), idOf(k))
	}
	if c.Remove != "" {
		p.say("removed-key", c.Remove)
	}
	if c.Demand != "" {
		p.say("demand." + string(c.Demand))
	}
	p.say("number", number(c.Number), c.Previous)
	p.say("chain", words(c.Genesis))
	p.say("log", c.Origin)
	p.say("issued-at", clock(c.IssuedAt))
	return string(p.text)
}

// writer writes a text in a language, line by line.
type writer struct {
	text    []byte
	phrases map[string]string
}

func in(language string) *writer { return &writer{phrases: phrases[Language(language)]} }

// say adds a line.
func (p *writer) say(id string, values ...string) {
	p.text = append(append(p.text, p.phrase(id, values...)...), '\n')
}

func (p *writer) gap() { p.text = append(p.text, '\n') }

// phrase fills a phrase in. What is unknown is shown by its name, so that it is at least not left out.
func (p *writer) phrase(id string, values ...string) string {
	text, known := p.phrases[id]
	if !known {
		return id + ": " + strings.Join(values, ", ")
	}
	filled := make([]any, len(values))
	for i, v := range values {
		filled[i] = v
	}
	return fmt.Sprintf(text, filled...)
}

// counted is say of a number that a phrase of its own is for if it is 1.
func (p *writer) counted(id string, n uint64) {
	if n == 1 {
		id += ".one"
	}
	p.say(id, number(n))
}

// list adds a line for each of several.
func (p *writer) list(id string, all []string) {
	p.say(id, number(uint64(len(all))))
	for _, one := range all {
		p.text = append(p.text, "  - "+one+"\n"...)
	}
}

func (p *writer) key(id string, e approval.Enrolment) {
	p.say(id, e.Person.Subject, e.Person.Issuer, p.kind(e.Key), idOf(e.Key))
}

// kind says what kind of key it is.
func (p *writer) kind(k approval.Key) string {
	switch {
	case k.Kind == approval.KindSSH && k.Verification == 1:
		return p.phrase("kind.ssh-verified")
	case k.Kind == approval.KindSSH:
		return p.phrase("kind.ssh")
	case k.Backup == 1:
		return p.phrase("kind.synced", k.RelyingParty)
	}
	return p.phrase("kind.bound", k.RelyingParty)
}

// head adds what every statement of a person says.
func (p *writer) head(h approval.Head) {
	p.gap()
	p.say("customer", h.Tenant)
	p.say("by", h.By.Subject, h.By.Issuer)
	p.say("with-key", h.Key)
	p.say("chain", words(h.Genesis))
	p.say("log", h.Origin)
	p.say("issued-at", clock(h.IssuedAt))
}

func (p *writer) versions(events []approval.Event) string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = number(e.Version)
	}
	return strings.Join(all, p.phrase("comma"))
}

// duration is exact, to the second.
func (p *writer) duration(seconds uint64) string {
	var parts []string
	for _, unit := range [...]struct {
		id   string
		long uint64
	}{{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := seconds / unit.long
		seconds %= unit.long
		if n == 1 {
			parts = append(parts, p.phrase(unit.id, number(n)))
		} else if n > 1 {
			parts = append(parts, p.phrase(unit.id+"s", number(n)))
		}
	}
	return strings.Join(parts, p.phrase("and"))
}

// clock is a statement's time for people, in UTC: the reader's own zone is none of the statement's.
func clock(t string) string {
	return strings.Replace(strings.TrimSuffix(t, "Z"), "T", " ", 1) + " UTC"
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// words are those that people compare a fingerprint by.
func words(fingerprint string) string {
	digest, err := hex.DecodeString(fingerprint)
	if err != nil || len(digest) != 32 {
		return fingerprint
	}
	return approval.Text([32]byte(digest), approval.FingerprintWords)
}

// idOf is a key's id; what cannot be a key has its public part.
func idOf(k approval.Key) string {
	id, err := k.ID()
	if err != nil {
		return k.Public
	}
	return id
}
