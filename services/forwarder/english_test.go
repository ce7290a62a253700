package forwarder

import (
	"regexp"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// wordsOfEnglish are such as no sentence does without, and that neither French nor Japanese has.
var wordsOfEnglish = regexp.MustCompile(`(?i)\b(the|of|and|with|was|were|is|are|has|have|had|you|your|this|that|` +
	`from|which|not|been|will|who|when|by|to|until|request|requests|role|roles|approved|denied|view|show|access|customer)\b`)

// everyFact returns an event of each type, with every text that somebody may have written in Greek.
func everyFact() (all []*lockboxv1.Event) {
	fields := (&lockboxv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("fact").Fields()
	for i := range fields.Len() {
		e := &lockboxv1.Event{Tenant: "meadowbank", AggregateId: "019a-r", Time: timestamppb.New(deadline),
			Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{DisplayName: "ξδψ"}}}
		fact := e.ProtoReflect().NewField(fields.Get(i))
		inGreek(fact.Message(), 0)
		e.ProtoReflect().Set(fields.Get(i), fact)
		for _, known := range aggregate.Facts() {
			if known.Type == aggregate.TypeOf(e) {
				e.Kind = known.Kind
			}
		}
		all = append(all, e)
	}
	return all
}

func inGreek(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.IsList() || f.IsMap() || f.ContainingOneof() != nil:
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("ξδψ"))
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		case f.Message() != nil && depth < 4 && f.Message().FullName() != "google.protobuf.Timestamp":
			inGreek(m.Mutable(f).Message(), depth+1)
		}
	}
}

// Whatever a chat is told of in another language, in whichever of its fields, no word of it is English.
func TestNoEnglishIsLeftInMessagesToChats(t *testing.T) {
	said := 0
	for language, c := range spoken(t) {
		if language == "en" {
			continue
		}
		for _, e := range everyFact() {
			_, asked := told("ξδψ", func() *lockboxv1.Event { return e })
			n := c.noteOf(e, asked)
			texts := []string{n.title, n.said, n.opens, n.aside}
			for _, f := range n.facts {
				texts = append(texts, f.label, f.text)
			}
			for _, text := range texts {
				if said++; wordsOfEnglish.MatchString(strings.ReplaceAll(text, "Customer Lockbox", "")) {
					t.Errorf("%s in %s says %q", aggregate.TypeOf(e), language, text)
				}
			}
		}
	}
	if said < 400 {
		t.Errorf("only %d texts were seen", said)
	}
}
