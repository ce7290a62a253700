package forwarder

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const portal = "https://lockbox.example"

// lures are what somebody might write to have people follow a link of theirs, to call many, or to say what is not so.
var lures = []string{
	"<https://evil.example|Open the request>", "<!channel> <!here> <!everyone>", "<@U012AB3CD> <#C012AB3CD>",
	"<!date^1392734382^Posted {date_num}^https://evil.example|x>", "&lt;https://evil.example|x&gt;",
	"[Open the request](https://evil.example)", "![x](https://evil.example/x.png)", "<at>Otto</at>", "@channel @here",
	"https://evil.example/approve www.evil.example mallory@evil.example", "*Approved* _by_ ~Otto~ `x` ```y```",
	"# Approved\n> by Otto\n- [ ] x", "{{DATE(2026-01-01T00:00:00Z,SHORT)}} ${x}", "\u202eevil\u202c \u200b\u2066x",
	`"}],"actions":[{"type":"Action.Submit"}]`, strings.Repeat("long & <wide> ", 2000), "\x00\x1b[2J",
	strings.Repeat("&", 5000),
}

// told are an event of a request, and the event with which it began, full of what somebody wrote.
func told(text string, fact func() *lockboxv1.Event) (e, asked *lockboxv1.Event) {
	by := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: text,
		Person: &lockboxv1.Person{DisplayName: text}}
	about := func(e *lockboxv1.Event) *lockboxv1.Event {
		e.Tenant, e.Kind, e.AggregateId, e.Actor = "meadowbank", aggregate.KindRequest, "019a-r", by
		return e
	}
	requested := &lockboxv1.AccessRequested{Intent: &lockboxv1.AccessIntent{Justification: text, ResourceType: text,
		Scenario: text, ResourceIds: []string{text}}}
	return about(fact()), about(&lockboxv1.Event{Fact: &lockboxv1.Event_AccessRequested{AccessRequested: requested}})
}

var deadline = time.Date(2026, 6, 14, 12, 0, 0, 0, time.UTC)

var facts = map[string]func(text string) *lockboxv1.Event{
	"asked": func(text string) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_CustomerNotified{CustomerNotified: &lockboxv1.CustomerNotified{
			ExpiresAt: timestamppb.New(deadline),
			Approvers: []*lockboxv1.Approver{{Person: &lockboxv1.Person{DisplayName: text}}}}}}
	},
	"denied": func(text string) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_CustomerDenied{
			CustomerDenied: &lockboxv1.CustomerDenied{Reason: text}}}
	},
	"question": func(text string) *lockboxv1.Event {
		return &lockboxv1.Event{Fact: &lockboxv1.Event_QuestionAsked{QuestionAsked: &lockboxv1.QuestionAsked{Text: text}}}
	},
}

// clickable is what a chat might make a link of.
var clickable = regexp.MustCompile(`(?i)https?://|www\.|[a-z]@[a-z]`)

// Whatever people write, a message to Slack holds one link, Lockbox's own, mentions nobody, and keeps Slack's limits.
func TestR57NobodyWritesMarkupForSlack(t *testing.T) {
	type object struct {
		Type, Text string
	}
	for language, c := range spoken(t) {
		for what, fact := range facts {
			for _, lure := range lures {
				data, err := slack(c.noteOf(told(lure, func() *lockboxv1.Event { return fact(lure) })))
				must(t, err)
				var m struct {
					Text   string
					Blocks []struct {
						Type     string
						Text     *object
						Elements []object
					}
					Mrkdwn    bool
					Parse     string
					LinkNames bool `json:"link_names"`
				}
				must(t, json.Unmarshal(data, &m))
				if len(m.Blocks) > 50 || len(m.Blocks) < 3 || m.Mrkdwn || m.Parse != "none" || m.LinkNames {
					t.Fatalf("%s/%s: %s", language, what, data)
				}
				links := 0
				texts := []object{{"plain_text", m.Text}}
				for _, b := range m.Blocks {
					if b.Type == "actions" || b.Type == "input" {
						t.Errorf("%s: a button: %s", what, data)
					}
					if b.Text != nil {
						texts = append(texts, *b.Text)
						if b.Type == "header" && utf8.RuneCountInString(b.Text.Text) > 150 {
							t.Errorf("a header of Slack has at most 150 characters: %s", b.Text.Text)
						}
					}
					texts = append(texts, b.Elements...)
				}
				for _, s := range texts {
					if s.Type == "mrkdwn" {
						links++
						if !strings.HasPrefix(s.Text, "<"+portal+"/t/meadowbank/requests/019a-r|") || strings.Count(s.Text, "<") != 1 {
							t.Errorf("the link is %s", s.Text)
						}
						continue
					}
					// Slack decodes &amp;, &lt; and &gt;, and nothing else.
					if n := utf8.RuneCountInString(s.Text); n == 0 || n > 3000 ||
						strings.ContainsAny(s.Text, "<>\u202e\u200b\x00\x1b") ||
						clickable.MatchString(s.Text) || strings.Contains(s.Text, "evil.example") {
						t.Errorf("%s/%s of %q: %d characters, %q", language, what, lure[:min(40, len(lure))], n, s.Text)
					}
				}
				if links != 1 {
					t.Errorf("%d links: %s", links, data)
				}
			}
		}
	}
}

// The same for Teams: nothing that people write stands where Markdown is read, and the one action opens the portal.
func TestR57NobodyWritesMarkupForTeams(t *testing.T) {
	for language, c := range spoken(t) {
		for what, fact := range facts {
			for _, lure := range lures {
				data, err := teams(c.noteOf(told(lure, func() *lockboxv1.Event { return fact(lure) })))
				must(t, err)
				if len(data) > 28<<10 {
					t.Errorf("%s/%s: %d bytes", language, what, len(data))
				}
				var m struct {
					Type        string
					Attachments []struct {
						ContentType string
						Content     struct {
							Type, Version string
							MSTeams       any `json:"msteams"`
							Body          []struct {
								Type    string
								Inlines []struct{ Type, Text string }
							}
							Actions []struct{ Type, Title, URL string }
						}
					}
				}
				must(t, json.Unmarshal(data, &m))
				if m.Type != "message" || len(m.Attachments) != 1 ||
					m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" {
					t.Fatalf("%s", data)
				}
				card := m.Attachments[0].Content
				if card.Type != "AdaptiveCard" || card.Version != "1.4" || card.MSTeams != nil || len(card.Actions) != 1 ||
					card.Actions[0].Type != "Action.OpenUrl" || card.Actions[0].URL != portal+"/t/meadowbank/requests/019a-r" {
					t.Errorf("%s/%s: %s", language, what, data)
				}
				for _, b := range card.Body {
					if b.Type != "RichTextBlock" || len(b.Inlines) == 0 {
						t.Errorf("a block of type %s", b.Type)
					}
					for _, run := range b.Inlines {
						if run.Type != "TextRun" || run.Text == "" || clickable.MatchString(run.Text) ||
							strings.ContainsAny(run.Text, "\u202e\u200b\x00\x1b") {
							t.Errorf("%s/%s: %+v", language, what, run)
						}
					}
				}
			}
		}
	}
}

// Who asks for what and why, until when, and then what came of it, in each language.
func TestR57WhatPeopleRead(t *testing.T) {
	said := map[string][]string{
		"en": {"Lockbox: your decision is needed", "Erin Walsh", "The machine hangs", "Answer by",
			"14\u00a0Jun 2026, 14:00\u00a0CEST"},
		"fr": {"Lockbox\u00a0: votre décision est attendue", "Erin Walsh", "The machine hangs", "Réponse avant le",
			"14\u00a0juin 2026 à 14\u00a0h\u00a000\u00a0CEST"},
		"ja": {"Lockbox：ご判断が必要です", "Erin Walsh", "The machine hangs", "回答期限", "2026年6月14日"},
	}
	for language, c := range spoken(t) {
		e, asked := told("", func() *lockboxv1.Event { return facts["asked"]("Otto") })
		asked.Actor = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Brightline",
			Person: &lockboxv1.Person{DisplayName: "Erin Walsh"}}
		asked.GetAccessRequested().Intent = &lockboxv1.AccessIntent{ResourceType: "compute/virtual-machines",
			Scenario: "memory-dump", ResourceIds: []string{"vm-1"}, Justification: "The machine hangs."}
		for _, form := range []func(note) ([]byte, error){slack, teams} {
			data, err := form(c.note(e, asked, "Europe/Paris"))
			must(t, err)
			for _, want := range said[language] {
				if !strings.Contains(string(data), want) {
					t.Errorf("%s: no %q in %s", language, want, data)
				}
			}
		}
		denied, _ := told("Otto", func() *lockboxv1.Event { return facts["denied"]("Not tonight.") })
		n := c.note(denied, asked, "")
		if !strings.Contains(n.said, "Not tonight") || len(n.facts) != 2 || n.title == c.noteOf(e, asked).title {
			t.Errorf("%s: %+v", language, n)
		}
	}
}

// Each event that is told in a chat exists, and has its words in each language.
func TestEachHeadingIsWorded(t *testing.T) {
	for tag, c := range spoken(t) {
		for typ, heading := range headings {
			found := false
			for _, f := range aggregate.Facts() {
				found = found || f.Type == typ
			}
			if !found || !c.Has("heading/"+heading) {
				t.Errorf("%s: %s is told as %q", tag, typ, heading)
			}
		}
	}
	if len(spoken(t)) != len(tenant.Languages) {
		t.Error("a language is missing")
	}
}

// noteOf is note in UTC.
func (c *chat) noteOf(e, asked *lockboxv1.Event) note { return c.note(e, asked, "") }

func spoken(t *testing.T) map[string]*chat {
	t.Helper()
	all, err := chats(portal)
	must(t, err)
	return all
}
