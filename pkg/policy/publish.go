package policy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Published is the text that the provider published last, a rule set or a service catalogue, folded from that
// aggregate's events. It is not compiled here: only evaluations need that, and only for the latest text.
//
// Until one exists, the built-in text is in force.
type Published struct {
	aggregate.History
	// TextVersion is the version of the text, as evaluations record it.
	Text, TextVersion string
	By                *lockboxv1.Actor
	At                time.Time
}

const (
	// maxPublished is the maximum size of a text, in bytes: it must fit into a command together with the token.
	maxPublished = 48 << 10
	// told is how many problems a refusal lists, in at most maxTold bytes.
	told    = 10
	maxTold = 2000
)

// document is a kind of text that can be published.
type document struct {
	// id is the aggregate's id and also its display name; field is the command's field with the text; rule is the
	// requirement that refusals name.
	id, field, rule string
	version         func(text []byte) (string, error)
}

var (
	rulesDocument     = document{aggregate.Rules.ID, "publish_rules.text", "R14", rulesVersion}
	catalogueDocument = document{aggregate.Catalogue.ID, "publish_catalogue.text", "R6", catalogueVersion}
)

func rulesVersion(text []byte) (string, error) {
	rules, err := Parse(text)
	var problems Problems
	if errors.As(err, &problems) {
		first := strings.ReplaceAll(problems[:min(told, len(problems))].Error(), "\n", "; ")
		err = fmt.Errorf("%d to be put right (line:column): %s", len(problems), first)
	}
	if err != nil {
		return "", err
	}
	return rules.Version(), nil
}

func catalogueVersion(text []byte) (string, error) {
	c, err := catalogue.ParseNew("services.yaml", text)
	if err != nil {
		return "", err
	}
	return c.Version(), nil
}

// Evolve folds one stored event. An event that is invalid at its position changes nothing but Fault.
func Evolve(s Published, sequence uint64, e *lockboxv1.Event) Published {
	return aggregate.Fold(s, sequence, e, (*Published).apply)
}

func (s *Published) apply(e *lockboxv1.Event) (broken string) {
	var d document
	var p interface {
		GetText() string
		GetVersion() string
		GetSha256() []byte
	}
	switch fact := e.GetFact().(type) {
	case *lockboxv1.Event_RulesPublished:
		d, p = rulesDocument, fact.RulesPublished
	case *lockboxv1.Event_CataloguePublished:
		d, p = catalogueDocument, fact.CataloguePublished
	}
	if p == nil || e.GetAggregateId() != d.id {
		return "the fact belongs to another kind of aggregate"
	}
	sum := sha256.Sum256([]byte(p.GetText()))
	switch {
	case !aggregate.Provider(e.GetActor(), aggregate.SecurityOfficers):
		return "what is in force is published by the provider's security officer (" + d.rule + ")"
	case !bytes.Equal(sum[:], p.GetSha256()):
		return "what is published is known by its hash (" + d.rule + ")"
	}
	s.Text, s.TextVersion, s.By, s.At = p.GetText(), p.GetVersion(), e.GetActor(), e.GetTime().AsTime()
	return ""
}

// Decide returns the event that results from publishing rules or a catalogue, or neither event nor error if the same
// text is already in force.
func Decide(s Published, c aggregate.Command, now time.Time) (*lockboxv1.Event, error) {
	var d document
	var text string
	switch action := c.GetAction().(type) {
	case *lockboxv1.Command_PublishRules:
		d, text = rulesDocument, action.PublishRules.GetText()
	case *lockboxv1.Command_PublishCatalogue:
		d, text = catalogueDocument, action.PublishCatalogue.GetText()
	default:
		return nil, refusal.Invalid("action", "bad input", "this command publishes nothing")
	}
	e, err := s.Begin(c, s.Version, func() error {
		if !aggregate.Provider(c.By, aggregate.SecurityOfficers) {
			return refusal.OfKind(
				refusal.Forbidden("token", d.rule, "publishing the %s is for the provider's security officer", d.id),
				"publish")
		}
		return nil
	}, now)
	if err != nil {
		err = aggregate.Changed{By: s.By, At: s.At, Version: s.Version}.Since(c, err)
	}
	if e == nil || err != nil {
		return nil, err
	}
	if len(text) > maxPublished {
		return nil, refusal.OfKind(
			refusal.Invalid(d.field, d.rule, "is %d bytes long; at most %d are published", len(text), maxPublished),
			"text-too-long", "most", strconv.Itoa(maxPublished))
	}
	version, err := d.version([]byte(text))
	if err != nil {
		return nil, refusal.OfKind(refusal.Invalid(d.field, d.rule, "%s", beginning(clean(err.Error()))), "not-publishable")
	}
	if s.Exists() && s.TextVersion == version {
		return nil, nil
	}
	sum := sha256.Sum256([]byte(text))
	if d.id == catalogueDocument.id {
		e.Fact = &lockboxv1.Event_CataloguePublished{CataloguePublished: &lockboxv1.CataloguePublished{
			Text: text, Version: version, Sha256: sum[:],
		}}
	} else {
		e.Fact = &lockboxv1.Event_RulesPublished{RulesPublished: &lockboxv1.RulesPublished{
			Text: text, Version: version, Sha256: sum[:],
		}}
	}
	return aggregate.End(s, e, Evolve)
}

// beginning truncates a message that quotes too much of a text.
func beginning(s string) string {
	if len(s) <= maxTold {
		return s
	}
	return strings.ToValidUTF8(s[:maxTold], "") + "…"
}
