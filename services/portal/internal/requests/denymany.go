package requests

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/commandid"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// Several requests are denied with one confirmation that names them all and one reason. Each is denied by a command of
// its own, so each may fail alone. Nothing is approved like that: an approval is for one request.

// denying is the data of the pages on which several are denied.
type denying struct {
	// Rows are those that the reader may deny, and Others those that they may not, or not any more.
	Rows, Others []row
	// Unknown is the number of those that the reader cannot see.
	Unknown       int
	Text, Command string
	Wrong         string
	Most          int
	Back, To      string
}

// outcome is what became of one of them.
type outcome struct {
	row
	// Failed is the ID of the message that says why it was not denied; empty if it was.
	Failed string
}

// denied is the data of the page that says what became of them.
type denied struct {
	All  []outcome
	Done int
	// Again is the URL on which those that failed are tried again; empty if none may be.
	Again, Back string
}

// chosen returns the IDs in a form, each with the version that was seen; 0 if none was.
func chosen(values url.Values) (ids []string, seen map[string]uint64) {
	seen = map[string]uint64{}
	for _, each := range values["request"] {
		id, version, _ := strings.Cut(each, ":")
		if _, twice := seen[id]; twice || input.Token("request", id) != nil || len(ids) == perQueue {
			continue
		}
		seen[id], _ = strconv.ParseUint(version, 10, 64) // malformed: 0, none was seen
		ids = append(ids, id)
	}
	return ids, seen
}

// choose is the confirmation: it names all that were chosen.
func (p *pages) choose(v *site.Visit) error {
	values := v.R.URL.Query()
	values.Del("reason")
	if kept := v.Draft(); kept != nil {
		values["reason"] = kept["reason"]
		if !values.Has("request") {
			values["request"] = kept["request"]
		}
	}
	return p.confirmDenial(v, values, http.StatusOK, "")
}

func (p *pages) confirmDenial(v *site.Visit, values url.Values, status int, wrong string) (err error) {
	v.Under = v.Path("requests")
	d := denying{Text: text(values), Wrong: wrong, Most: shortText, Back: v.Path("requests") + "?status=" + groups[0].Name,
		To: v.Path("requests", "deny")}
	ids, _ := chosen(values)
	for _, id := range ids {
		r, err := fetch(v, id)
		if site.NotFound(err) {
			d.Unknown++
			continue
		}
		if err != nil {
			return err
		}
		if each := rows(v, []*lockboxv1.RequestView{r.RequestView})[0]; each.Deniable() {
			d.Rows = append(d.Rows, each)
		} else {
			d.Others = append(d.Others, each)
		}
	}
	if d.Command, err = commandID(); err != nil {
		return err
	}
	return p.render(v, "deny-many", "requests.deny.title", status, "", d)
}

func text(values url.Values) string { return strings.TrimSpace(prose.Text(values.Get("reason"))) }

// denyAll sends a command for each, and says of each what became of it.
func (p *pages) denyAll(v *site.Visit) error {
	form := v.R.PostForm
	reason, given := text(form), form.Get("command")
	if err := input.UUIDv7("command", given); err != nil {
		return err
	}
	ids, seen := chosen(form)
	switch {
	case len(ids) == 0:
		return refusal.Invalid("request", "bad input", "is what the page's own form says")
	case reason == "":
		return p.confirmDenial(v, form, http.StatusBadRequest, "decision.wrong.required")
	case utf8.RuneCountInString(reason) > shortText:
		return p.confirmDenial(v, form, http.StatusBadRequest, "requests.deny.long")
	}
	d := denied{Back: v.Path("requests") + "?status=" + groups[0].Name}
	var sequence uint64
	again := url.Values{}
	for _, id := range ids {
		c := request.Deny.Command(reason)
		c.AggregateId, c.SeenVersion = id, seen[id]
		var err error
		if c.Id, err = commandid.Of("command", given, []byte(id+" "+strconv.FormatUint(seen[id],
			10)+" "+reason)); err != nil {
			return err
		}
		reply, err := v.Do(c)
		if err != nil && site.TooLongAgo(err) {
			path := v.Path("requests", "deny")
			v.Keep(path, form)
			return v.SignInAgain(err, path)
		}
		r, is := refusal.As(err)
		if err != nil && !is {
			return err
		}
		sequence = max(sequence, reply.GetSequence())
		each := outcome{row: row{Request: read(v, &lockboxv1.RequestView{RequestId: id}), Href: v.Path("requests", id)}}
		if view, err := fetch(v, id); err == nil {
			each.row = rows(v, []*lockboxv1.RequestView{view.RequestView})[0]
		}
		if err == nil {
			d.Done++
		} else {
			v.Counters.Refused(r)
			each.Failed = shown.ID("requests.refused", r.GetCode().String(), "REFUSAL_CODE_")
			if r.GetField() == "seen_version" {
				each.Failed = "requests.deny.changed"
			}
			again.Add("request", id)
		}
		d.All = append(d.All, each)
	}
	if len(again) > 0 {
		d.Again = v.Path("requests", "deny") + "?" + again.Encode()
	}
	if sequence > 0 {
		d.Back += "&after=" + strconv.FormatUint(sequence, 10)
	}
	v.Under = v.Path("requests")
	status := http.StatusOK
	if d.Done < len(d.All) {
		status = http.StatusConflict
	}
	return p.render(v, "denied", "requests.deny.done-title", status, "", d)
}
