package forwarder

import (
	"cmp"
	"embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/foreign"
	words "github.com/openlockbox/lockbox/pkg/message"
	"github.com/openlockbox/lockbox/pkg/portalurl"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// headings say in a few words what an event means to people. What has one is told in a chat unless the customer chooses
// other events: that they are asked, what came of it, access that began, and what changes whom Lockbox asks.
var headings = map[string]string{
	"CustomerNotified": "asked", "ApprovalReminderDue": "reminder", "ApproversUnavailable": "nobody",
	"QuestionAsked": "question", "QuestionAnswered": "answer",
	"CustomerApproved": "approved", "CustomerDenied": "denied", "RequestExpired": "expired",
	"RequestWithdrawn": "withdrawn",
	"AccessGranted":    "began", "AccessLapsed": "lapsed", "AccessRevoked": "revoked", "AccessReleased": "ended",
	"AccessCompleted": "ended", "LockboxEnabled": "settings", "LockboxDisabled": "settings",
	"SignInChangeProposed": "sign-in", "SignInChangeStopped": "sign-in", "SignInChanged": "sign-in",
	"ExposureDisclosed": "disclosure", "LegalDemandDisclosed": "disclosure", "WaivedAccessReported": "report",
	"WebhookAdded": "webhook", "WebhookRemoved": "webhook",
}

var toldInChat = slices.Sorted(maps.Keys(headings))

// The longest texts in a message, in runes. Slack takes 3000 in one text and 2000 in a field, Teams 28 KB altogether.
const (
	longestSaid   = 1500
	longestReason = 1000
)

//go:embed messages/*.yaml
var texts embed.FS

// chat words messages to people in one language.
type chat struct {
	*words.Catalogue
	sentences *activity.Language
	portal    string
}

func chats(portal string) (map[string]*chat, error) {
	catalogues, err := words.Load(texts, "messages/*.yaml", tenant.Languages)
	if err != nil {
		return nil, err
	}
	all := map[string]*chat{}
	for tag, c := range catalogues {
		all[tag] = &chat{c, activity.In(tag), portal}
	}
	return all, nil
}

// note is a message to people. Nothing in it is markup, whoever wrote it.
type note struct {
	language, title, said string
	facts                 []fact
	link, opens           string
	// aside says that nothing is decided by the message.
	aside string
}

type fact struct{ label, text string }

// note words an event. Asked is the event with which its request began, if it is about one; zone names the time zone of
// the customer.
func (c *chat) note(e, asked *lockboxv1.Event, zone string) note {
	_, said := c.sentences.Describe(e)
	n := note{language: c.Tag, title: c.say("heading/" + cmp.Or(headings[aggregate.TypeOf(e)], "other")),
		said: foreign.Text(said, longestSaid)}
	if asked != nil && asked != e {
		_, what := c.sentences.Describe(asked)
		n.facts = append(n.facts, fact{c.say("request"), foreign.Text(what, longestReason)})
	}
	if in := asked.GetAccessRequested().GetIntent(); in.GetJustification() != "" {
		n.facts = append(n.facts, fact{c.say("why"), foreign.Text(in.GetJustification(), longestReason)})
	}
	if f := e.GetCustomerNotified(); f.GetExpiresAt() != nil {
		n.facts = append(n.facts, fact{c.say("until"), timetext.Short(c.Tag, f.GetExpiresAt().AsTime(),
			timetext.Zone(zone))})
		n.aside = c.say("only-there")
	}
	switch {
	case c.portal == "":
	case e.GetKind() == aggregate.KindRequest:
		n.link, n.opens = portalurl.To(c.portal, e.GetTenant(), "requests", e.GetAggregateId()), c.say("open-request")
	default:
		n.link, n.opens = portalurl.To(c.portal, e.GetTenant()), c.say("open")
	}
	return n
}

// say returns a message. Errors are ignored: a test covers every message.
func (c *chat) say(id string) string {
	text, _ := c.Say(id)
	return text
}

// mostInSlack is how many characters of a text Slack takes, less some.
const mostInSlack = 2900

// escaped replaces Slack's three control characters, with which mentions and links are written, and cuts what is too
// long then.
func escaped(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		text := string(r)
		switch r {
		case '&':
			text = "&amp;"
		case '<':
			text = "&lt;"
		case '>':
			text = "&gt;"
		}
		if n += utf8.RuneCountInString(text); n > mostInSlack {
			return b.String() + "…"
		}
		b.WriteString(text)
	}
	return b.String()
}

// slack returns a message to an incoming webhook of Slack, in its Block Kit. What is said is plain text, in which
// nothing is formatted; the only markup is the link to the portal.
func slack(n note) ([]byte, error) {
	type object map[string]any
	plain := func(s string) object { return object{"type": "plain_text", "text": escaped(s), "emoji": false} }
	blocks := []object{
		{"type": "header", "text": plain(n.title)},
		{"type": "section", "text": plain(n.said)},
	}
	for _, f := range n.facts {
		blocks = append(blocks, object{"type": "section", "text": plain(f.label + "\n" + f.text)})
	}
	if n.link != "" {
		blocks = append(blocks, object{"type": "section",
			"text": object{"type": "mrkdwn", "text": "<" + n.link + "|" + escaped(n.opens) + ">", "verbatim": true}})
	}
	if n.aside != "" {
		blocks = append(blocks, object{"type": "context", "elements": []object{plain(n.aside)}})
	}
	// The text is what notifications show; without markup and without looking for names, it mentions nobody.
	return json.Marshal(object{"text": escaped(n.title + "\n" + n.said), "blocks": blocks, "mrkdwn": false,
		"parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false})
}

// teams returns a message to a webhook of Microsoft Teams' Workflows app: an Adaptive Card. What is said is in runs of
// text, in which, other than in a TextBlock or a FactSet, there is no Markdown. Its one action opens the portal.
func teams(n note) ([]byte, error) {
	type object map[string]any
	rich := func(runs ...object) object { return object{"type": "RichTextBlock", "inlines": runs} }
	run := func(text string, more object) object {
		more["type"], more["text"] = "TextRun", text
		return more
	}
	card := object{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"fallbackText": n.title, "lang": n.language,
	}
	blocks := []object{rich(run(n.title, object{"weight": "bolder", "size": "medium"})), rich(run(n.said, object{}))}
	for _, f := range n.facts {
		blocks = append(blocks, rich(run(f.label+" ", object{"weight": "bolder"}), run(f.text, object{})))
	}
	if n.aside != "" {
		blocks = append(blocks, rich(run(n.aside, object{"isSubtle": true})))
	}
	card["body"] = blocks
	if n.link != "" {
		card["actions"] = []object{{"type": "Action.OpenUrl", "title": cmp.Or(n.opens, n.link), "url": n.link}}
	}
	return json.Marshal(object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}}})
}
