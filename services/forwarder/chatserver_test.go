package forwarder

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// fields are what an object has, by their names.
type fields map[string]any

// only says what is wrong with an object that may have these fields, and has to have those without a question mark.
func (o fields) only(what string, names ...string) error {
	for _, name := range names {
		if _, there := o[strings.TrimSuffix(name, "?")]; !there && !strings.HasSuffix(name, "?") {
			return fmt.Errorf("%s has no %s", what, name)
		}
	}
	for name := range o {
		if !slices.Contains(names, name) && !slices.Contains(names, name+"?") {
			return fmt.Errorf("%s has the unknown field %s", what, name)
		}
	}
	return nil
}

func object(v any) fields {
	o, _ := v.(map[string]any)
	return o
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// within says what is wrong with a text that has to have so many characters.
func within(what, s string, least, most int) error {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return fmt.Errorf("%s has %d characters, not %d to %d", what, n, least, most)
	}
	return nil
}

// slackRefuses says what Slack's incoming webhooks would not take, by the rules of its Block Kit.
func slackRefuses(m fields) error {
	if err := m.only("the message", "text", "blocks", "mrkdwn?", "parse?", "link_names?", "unfurl_links?",
		"unfurl_media?"); err != nil {
		return err
	}
	if err := within("text", text(m["text"]), 1, 4000); err != nil {
		return err
	}
	blocks := list(m["blocks"])
	if len(blocks) == 0 || len(blocks) > 50 {
		return fmt.Errorf("%d blocks", len(blocks))
	}
	said := func(what string, v any, most int, kinds ...string) error {
		o := object(v)
		if !slices.Contains(kinds, text(o["type"])) {
			return fmt.Errorf("%s of type %v", what, o["type"])
		}
		known := []string{"type", "text", "emoji?"}
		if o["type"] == "mrkdwn" {
			known = []string{"type", "text", "verbatim?"}
		}
		if err := o.only(what, known...); err != nil {
			return err
		}
		return within(what, text(o["text"]), 1, most)
	}
	for _, b := range blocks {
		o := object(b)
		var err error
		switch o["type"] {
		case "header":
			if err = o.only("header", "type", "text"); err == nil {
				err = said("header", o["text"], 150, "plain_text")
			}
		case "section":
			if err = o.only("section", "type", "text"); err == nil {
				err = said("section", o["text"], 3000, "plain_text", "mrkdwn")
			}
		case "context":
			if err = o.only("context", "type", "elements"); err == nil && len(list(o["elements"])) > 10 {
				err = fmt.Errorf("%d elements", len(list(o["elements"])))
			}
			for _, e := range list(o["elements"]) {
				if err == nil {
					err = said("context", e, 3000, "plain_text", "mrkdwn")
				}
			}
		default: // a button or a field could decide something
			err = fmt.Errorf("a block of type %v", o["type"])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// teamsRefuses says what a webhook of Teams' Workflows app would not take, by the schema of Adaptive Cards 1.4.
func teamsRefuses(m fields) error {
	if err := m.only("the message", "type", "attachments"); err != nil || m["type"] != "message" ||
		len(list(m["attachments"])) != 1 {
		return fmt.Errorf("the envelope %v (%w)", m["type"], err)
	}
	a := object(list(m["attachments"])[0])
	if err := a.only("the attachment", "contentType", "content", "contentUrl?"); err != nil ||
		a["contentType"] != "application/vnd.microsoft.card.adaptive" || a["contentUrl"] != nil {
		return fmt.Errorf("the attachment %v (%w)", a["contentType"], err)
	}
	card := object(a["content"])
	if err := card.only("the card", "$schema?", "type", "version", "body", "actions?", "fallbackText?",
		"lang?"); err != nil || card["type"] != "AdaptiveCard" || card["version"] != "1.4" ||
		card["$schema"] != "http://adaptivecards.io/schemas/adaptive-card.json" {
		return fmt.Errorf("the card %v %v (%w)", card["type"], card["version"], err)
	}
	for _, b := range list(card["body"]) {
		block := object(b)
		if err := block.only("the block", "type", "inlines"); err != nil || block["type"] != "RichTextBlock" ||
			len(list(block["inlines"])) == 0 {
			return fmt.Errorf("the block %v (%w)", block["type"], err)
		}
		for _, i := range list(block["inlines"]) {
			run := object(i)
			if err := run.only("the run", "type", "text", "weight?", "size?", "isSubtle?"); err != nil ||
				run["type"] != "TextRun" || text(run["text"]) == "" ||
				!slices.Contains([]any{nil, "lighter", "default", "bolder"}, run["weight"]) ||
				!slices.Contains([]any{nil, "small", "default", "medium", "large", "extraLarge"}, run["size"]) {
				return fmt.Errorf("the run %v (%w)", run, err)
			}
		}
	}
	for _, c := range list(card["actions"]) {
		action := object(c)
		if err := action.only("the action", "type", "title", "url"); err != nil || action["type"] != "Action.OpenUrl" ||
			!strings.HasPrefix(text(action["url"]), "https://") {
			return fmt.Errorf("the action %v (%w)", action["type"], err)
		}
	}
	return nil
}

// chatServer is a receiver that is as strict as the product, and answers as it does.
func (w *hooked) chatServer(refuses func(fields) error, taken int) *inbox {
	var i *inbox
	i = w.inbox(func(n int, out http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		body := i.bodies[n-1]
		i.mu.Unlock()
		m := fields{}
		err := json.Unmarshal([]byte(body), &m)
		if err == nil {
			err = refuses(m)
		}
		if err == nil && (r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
			len(body) > 28<<10) {
			err = fmt.Errorf("%s of %s, %d bytes", r.Method, r.Header.Get("Content-Type"), len(body))
		}
		if err != nil {
			w.Errorf("it refuses %s: %v", body, err)
			out.WriteHeader(http.StatusBadRequest)
			return
		}
		out.WriteHeader(taken)
	})
	return i
}

// From the question to the end of access, both chats take each message, which links to the request and decides nothing;
// the second comes when somebody has decided.
func TestR57AChatIsToldThatItIsAskedAndThenWhatCameOfIt(t *testing.T) {
	t.Parallel()
	w := beginHooked(t)
	rooms := []*inbox{w.chatServer(slackRefuses, http.StatusOK), w.chatServer(teamsRefuses, http.StatusAccepted)}
	w.Subscription(story.Tenant, story.Subscription, "Production")
	otto := story.Customer(story.Tenant, "otto")
	w.Assign(gina, story.Tenant, story.Subscription, "otto", otto, lockboxv1.Role_ROLE_OWNER, false)
	w.store()
	w.run()
	w.add(inSlack, rooms[0].URL)
	w.add(inTeams, rooms[1].URL)
	erin := story.Provider("erin", aggregate.SupportEngineers)
	erin.Person.DisplayName = `Erin <!channel> [x](https://evil.example)`
	heard := func(id string, texts ...string) {
		t.Helper()
		for _, room := range rooms {
			for _, want := range texts {
				room.gets(want)
			}
			room.mu.Lock()
			before := 0
			for _, b := range room.bodies {
				if strings.Contains(b, texts[0]) && strings.Contains(b, "/t/"+story.Tenant+"/requests/"+id) {
					before++
				}
			}
			room.mu.Unlock()
			if before != 1 {
				t.Errorf("%d messages of %q link to the request", before, texts[0])
			}
		}
	}
	approved := w.Submit(erin, story.Dump(story.Tenant, story.Subscription, "vm-1"))
	w.store()
	heard(approved, "Lockbox: your decision is needed", "Decisions are made in the portal only.")
	w.Command(otto, story.Approve(story.Tenant, approved))
	w.store()
	heard(approved, "Lockbox: approved")
	heard(approved, "Lockbox: access has begun")
	w.Command(gina, &lockboxv1.Command{Tenant: story.Tenant, AggregateId: approved,
		Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: "enough & <b>more</b>"}}})
	w.store()
	heard(approved, "Lockbox: access was revoked")
	for _, room := range rooms {
		for _, b := range room.bodies {
			if strings.Contains(b, "<!channel>") || strings.Contains(b, "://evil.example") {
				t.Errorf("what somebody wrote is markup: %s", b)
			}
		}
	}
}
