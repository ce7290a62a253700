package portal_test

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// storyOf is a deed with the verb that it is done by.
type storyOf struct {
	name string
	verb request.Verb
	deed deed
}

// hurried is an emergency that waits for a security officer.
func hurried(w *world) string {
	in := intent()
	in.Emergency, in.ReasonType, in.TicketId = true, lockboxv1.ReasonType_REASON_TYPE_RESPONSE_TO_PRODUCTION_ALERT, ""
	return w.requested("rosa", in, request.AwaitingInternalApproval)
}

// burning is an emergency whose access runs.
func burning(w *world) string {
	id := hurried(w)
	by("olga", request.InternalApprove)(w, id)
	w.reaches(bank, id, request.Active)
	return id
}

// emergencies are what is done about an emergency, where one click starts access to a customer's data, or ends it.
var emergencies = []storyOf{
	{"emergency let through", request.InternalApprove, deed{who: "olga", event: "InternalApprovalGiven",
		text: "It cannot wait.", json: "comment", command: []string{"internal", "approve"}, prompts: true, begin: hurried,
		meanwhile: []meanwhile{
			{kind: "decided", name: "refused", happens: by("olga", request.InternalRefuse),
				says: [][]string{{"Olga"}, {"refused", "Refused"}}},
			{kind: "decided", name: "withdrawn", happens: by("rosa", request.Withdraw),
				says: [][]string{{"Rosa"}, {"withdrawn", "withdrew", "Withdrawn"}}},
			{kind: "expired", name: "expired", says: expired},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		}}},
	{"emergency refused", request.InternalRefuse, deed{who: "olga", event: "InternalApprovalRefused", text: "No.",
		json: "reason", command: []string{"internal", "refuse"}, prompts: true, begin: hurried,
		meanwhile: []meanwhile{
			{kind: "decided", name: "let through", happens: func(w *world, id string) {
				by("olga", request.InternalApprove)(w, id)
				w.reaches(bank, id, request.Active)
			}, says: [][]string{{"Access is active", "allowed without asking the customer"}}},
			{kind: "decided", name: "withdrawn", happens: by("rosa", request.Withdraw),
				says: [][]string{{"Rosa"}, {"withdrawn", "withdrew", "Withdrawn"}}},
			{kind: "expired", name: "expired", says: expired},
		}}},
	{"emergency revoked", request.Revoke, deed{who: "otto", event: "AccessRevoked", text: "Enough.", json: "reason",
		command: []string{"approval", "revoke"}, prompts: true, begin: burning,
		meanwhile: []meanwhile{
			{kind: "decided", name: "given back", happens: by("rosa", request.Release),
				says: [][]string{{"Rosa"}, {"given back", "gave", "ended"}}},
			{kind: "revoked", name: "revoked", happens: by("fleur", request.Revoke), says: revoked},
			{kind: "role lost", name: "relieved", happens: relieved, says: lost},
			{kind: "settings changed", name: "two approvals", happens: demands(2)},
		}}},
	{"emergency given back", request.Release, deed{who: "rosa", event: "AccessReleased", json: "reason",
		command: []string{"request", "release"}, begin: burning,
		meanwhile: []meanwhile{{kind: "revoked", name: "revoked", happens: by("fleur", request.Revoke), says: revoked}}}},
}

// Disclosures are recorded on the command line alone, and read by the customer on a page and on the command line. Each
// is played twice: once undisturbed, and once with something happening between the question and the answer to it. What
// the security officer is told, and what the customer reads, is what the stream holds.
func TestR46WhatIsDisclosedIsWhatTheCustomerReads(t *testing.T) {
	t.Parallel()
	w := visit(t)
	grace, err := visitor.SignIn(t.Context(), w.info.PortalURL+"/t/"+bank+"?lang=en", "grace")
	must(t, err)
	for _, kind := range []string{"exposure", "legal-demand"} {
		for name, row := range map[string]struct {
			happens func(w *world, id string)
			more    []string
			done    bool
			// read reports whether the customer reads of it now.
			read bool
		}{
			"undisturbed":      {func(*world, string) {}, nil, true, true},
			"settings changed": {func(w *world, id string) { demands(1)(w, id) }, nil, true, true},
			"recorded by another": {func(w *world, id string) {
				w.given("olga", id, &lockboxv1.Command{Action: &lockboxv1.Command_DiscloseExposure{
					DiscloseExposure: &lockboxv1.DiscloseExposure{Occurrence: &lockboxv1.Occurrence{
						What: "Something else " + id, Description: "Health checks.", Reason: "A mistake.",
						HappenedAt: timestamppb.Now()}}}})
			}, nil, false, false},
			"under an embargo": {func(*world, string) {}, []string{"--embargo-until", "+90d"}, true, false},
		} {
			if kind == "exposure" && row.more != nil {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				w := &world{T: t, info: w.info}
				id, screen := newID(t), new(bytes.Buffer)
				what := "A capture held traffic " + id
				args := []string{"--as", "olga", "--tenant", bank, "disclose", kind, "--id", id, "--what", what, "--when", "2h",
					"--description", "Two lines.", "--reason", "A faulty line card."}
				if kind == "legal-demand" {
					args = append(append(args, "--authority", "A court", "--reference", "12 Gs"), row.more...)
				}
				in := &typing{screen: screen, reason: "y", happens: func() { row.happens(w, id) }}
				code := cli.Run(t.Context(), args, cli.Environment{
					In: in, Out: screen, Err: screen, InTerminal: true, OutTerminal: true, ErrTerminal: true,
					Width: func() int { return 120 }, Now: time.Now, Zone: time.UTC,
					Getenv: func(key string) string {
						return map[string]string{"LOCKBOX_DATA": filepath.Dir(w.info.KeysDir), "LANG": "C.UTF-8"}[key]
					},
				})
				stored := w.disclosed(id, what)
				if !in.asked || (code == 0) != row.done || (stored == 1) != row.done ||
					strings.Contains(screen.String(), "Recorded as") != row.done {
					t.Errorf("exit code %d, %d stored, and Olga is told: %s", code, stored, screen)
				}
				if !row.done && !strings.Contains(screen.String(), "another disclosure has this") {
					t.Errorf("Olga is not told why: %s", screen)
				}
				w.reads(grace, id, what, row.read)
			})
		}
	}
}

// disclosed counts what the stream holds of a disclosure with these words.
func (w *world) disclosed(id, what string) (n int) {
	w.Helper()
	olga := w.person("olga")
	defer olga.Close()
	j, err := olga.Journal(w.Context())
	must(w, err)
	defer j.Close()
	entries, err := j.Load(w.Context(), aggregate.Disclosure(bank, id))
	must(w, err)
	for _, e := range entries {
		for _, o := range []*lockboxv1.Occurrence{e.Event.GetExposureDisclosed().GetOccurrence(),
			e.Event.GetLegalDemandDisclosed().GetOccurrence()} {
			if o.GetWhat() == what {
				n++
			}
		}
	}
	return n
}

// reads checks whether a customer's person reads of a disclosure, once those who record them do.
func (w *world) reads(client *http.Client, id, what string, want bool) {
	w.Helper()
	olga := w.person("olga")
	defer olga.Close()
	known := func(d *lockboxv1.DisclosureView) bool { return d.GetDisclosureId() == id }
	found := false
	for end := time.Now().Add(patience); !found && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		reply, err := olga.Ask(w.Context(), &lockboxv1.Query{Tenant: bank,
			Ask: &lockboxv1.Query_ListDisclosures{ListDisclosures: &lockboxv1.ListDisclosures{}}})
		must(w, err)
		found = slices.ContainsFunc(reply.GetDisclosures().GetDisclosures(), known)
	}
	if !found {
		w.Errorf("nobody sees the disclosure %s", id)
	}
	said := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_, said = w.sees(w.T, client, "/t/"+bank+"/disclosures")
		if strings.Contains(said, what) == want { // the customer is told a moment later
			return
		}
	}
	w.Errorf("the customer reads of it: %v, want %v: %s", !want, want, shownText(said))
}
