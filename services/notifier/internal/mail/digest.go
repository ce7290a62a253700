package mail

import (
	"strings"

	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// mostHeld is how many mails a digest lists; the portal lists all.
const mostHeld = 50

// group lists the mails of one kind for which a digest stands.
type group struct {
	Title string
	// Count is how many there are, also if not all are listed.
	Count int
	Items []item
}

// item is one of them in brief.
type item struct{ Title, Facts string }

// groups lists the mails by kind. Each kind has its share of the room, so that many of one hide none of another.
func (w *writer) groups() {
	var kinds [][]plan.Notification
	for i, n := range w.n.Held {
		if i == 0 || n.Template != w.n.Held[i-1].Template {
			kinds = append(kinds, nil)
		}
		last := len(kinds) - 1
		kinds[last] = append(kinds[last], n)
	}
	shown, room := make([]int, len(kinds)), mostHeld
	for _, share := range []int{mostHeld / len(kinds), mostHeld} {
		for i, k := range kinds {
			more := min(len(k)-shown[i], share, room)
			shown[i] += more
			room -= more
		}
	}
	for i, k := range kinds {
		g := group{Title: w.text("title/" + string(k[0].Template)), Count: len(k)}
		for _, n := range k[:shown[i]] {
			g.Items = append(g.Items, w.item(n))
		}
		w.out.Groups = append(w.out.Groups, g)
	}
	if more := len(w.n.Held) - mostHeld; more > 0 {
		w.out.More = w.with("list/more", "Count", more)
	}
}

// item says what a mail is about: the service for which access is asked, or what was changed; then when and by whom.
func (w *writer) item(n plan.Notification) item {
	of := &writer{said: w.said, language: w.language, n: n}
	of.v = of.placeholders()
	about := some(of.v["Service"], w.called(n.Data.Scenario))
	facts := []string{"label/tenant", "label/at", "label/by", "label/request"}
	switch {
	case n.Awaited():
		facts = []string{"label/respond-by", "label/tenant", "label/requester", "label/request"}
	case n.Thread == "":
		about = some(of.v["Person"], of.v["Group"], of.v["Role"], of.v["Subscription"], of.v["ResourceType"],
			strings.Join(of.plans(), ""))
	}
	if len(about) == 0 {
		about = some(of.v["Tenant"])
	}
	out := item{Title: strings.Join(about, " – ") + of.ticket()}
	var said []string
	for _, label := range facts {
		for _, value := range of.facts(label) {
			said = append(said, of.text(label)+w.out.Colon+value)
		}
	}
	out.Facts = strings.Join(said, " · ")
	if of.err != nil && w.err == nil {
		w.err = of.err
	}
	return out
}

// digestActions lead to the list of what the reader is waited for, or else of what the mails are about.
func (w *writer) digestActions() {
	tenant := w.n.Scope()
	switch first := w.n.Held[0]; {
	case w.n.Standing == plan.Alternate:
	case first.Awaited() && first.Standing == plan.Approver:
		w.out.Commands = []string{"lockbox approval list"}
		w.open("action/awaited", tenant)
	case first.Awaited() && first.Standing == plan.InternalApprover:
		w.out.Commands = []string{"lockbox internal list"}
		w.open("action/awaited", tenant)
	case first.Thread == "":
		w.out.Commands = []string{"lockbox tenant show"}
		w.open("action/tenant", tenant, "administration")
	default:
		w.out.Commands = []string{"lockbox request list"}
		w.open("action/requests", tenant, "requests")
	}
}
