package requests

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	forms "github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// deciding is the data of the pages of a form.
type deciding struct {
	loaded
	Form form
	// Back is the URL of the request, To where the form is posted. Here and Change are where it is posted to show this
	// page
	// anew, and the form.
	Back, To, Here, Change string
	// Changed lists what happened since the person last looked.
	Changed []*lockboxv1.TimelineEntry
	// Stale reports whether a service refused the command because the request had changed.
	Stale bool
	// Says is the sentence that says what the decision will result in. Allowed and LeftOut are the resources it refers
	// to.
	Says             string
	Allowed, LeftOut shown.Listing
	// Starts reports whether the decision starts access at once, without the customer being asked.
	Starts bool
	// Less reports whether other approvers have allowed less than this form does.
	Less bool
	// Ends says when the access that is about to be allowed ends; empty if none is.
	Ends string
	// Signs reports that the decision has to be signed, which is done on another page; MaySign that it can be.
	Signs, MaySign bool
	// Sign is where the form is posted to be signed.
	Sign string
	// TicketClosed reports that an approval gives no access, because the ticket with which it ends is closed.
	TicketClosed bool
}

// form shows a verb's form: blank, or with what was typed before.
func (p *pages) form(v *site.Visit, b verb) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	f, _ := typed(v, b, r)
	if !r.Allows(b.Name) {
		return p.show(v, r, http.StatusConflict, note{NotNow: true, Since: r.Since(f.Seen)})
	}
	return p.again(v, f, http.StatusOK)
}

// typed returns what was typed before for this page, or what its address says, which is never a text. It reports
// whether there was anything.
func typed(v *site.Visit, b verb, r loaded) (f form, found bool) {
	if kept := v.Draft(); kept.Has("seen") {
		return filled(b, r, kept), true
	}
	q := v.R.URL.Query()
	if q.Del("reason"); q.Has("seen") {
		return filled(b, r, q), true
	}
	f = blank(b, r)
	f.Question = q.Get("question")
	return f, false
}

// confirm repeats in one sentence what will be allowed before it takes effect.
func (p *pages) confirm(v *site.Visit, b verb) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	f, found := typed(v, b, r)
	if !r.Allows(b.Name) {
		return p.show(v, r, http.StatusConflict, note{NotNow: true, Since: r.Since(f.Seen)})
	}
	if !found { // opened without the form, or what was typed is no longer kept
		return p.again(v, f, http.StatusOK)
	}
	if err := f.check(); err != nil {
		return err
	}
	if len(f.Wrong) > 0 {
		return p.again(v, f, http.StatusBadRequest)
	}
	return p.page(v, "confirm", f, http.StatusOK, false)
}

// onward keeps what was typed and leads to the form, or to its confirmation. So no text is ever in an address, and the
// page can be loaded again and in another language.
func (p *pages) onward(v *site.Visit, b verb, to string) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	f := filled(b, r, v.R.PostForm)
	if err := f.check(); err != nil {
		return err
	}
	if to != "" && len(f.Wrong) > 0 {
		return p.again(v, f, http.StatusBadRequest)
	}
	path := b.Href(v, r.GetRequestId()) + to
	if v.Keep(path, f.values()) {
		return v.Redirect(path, 0)
	}
	// What is not kept is shown all the same, until it is loaded again.
	switch to {
	case "/sign":
		return p.signPage(v, f, false)
	case "/confirm":
		return p.page(v, "confirm", f, http.StatusOK, false)
	}
	return p.page(v, "decide", f, http.StatusOK, false)
}

// again shows the form again.
func (p *pages) again(v *site.Visit, f form, status int) error {
	return p.page(v, "decide", f, status, false)
}

// page shows a form or its confirmation, together with the current state of the request and what has changed since the
// person looked.
func (p *pages) page(v *site.Visit, name string, f form, status int, stale bool) error {
	r := f.of
	d := deciding{loaded: r, Changed: r.Since(f.Seen), Stale: stale, Back: v.Path("requests", r.GetRequestId())}
	if f.Confirms && r.GetAccessEndsWithTicket() {
		t, err := ticketOf(v, r)
		if err != nil {
			return err
		}
		d.TicketClosed = heldBack(r, t)
	}
	if err := f.renew(r); err != nil {
		return err
	}
	d.Form, d.To = f, f.Href(v, r.GetRequestId())
	d.Change, d.Here = d.To+"/edit", d.To+"/edit"
	switch {
	case name == "confirm":
		d.Here = d.To + "/confirm"
	case f.Confirms:
		d.To += "/confirm"
	}
	if name == "confirm" || !f.Confirms {
		if err := d.sign(v); err != nil {
			return err
		}
	}
	if err := d.say(); err != nil {
		return err
	}
	listen, err := r.listen(v)
	if err != nil {
		return err
	}
	title, err := v.Say.Say(f.ID("title"))
	if err != nil {
		return err
	}
	what, err := r.Title()
	if err != nil {
		return err
	}
	return v.Render(p.templates, name, status, site.Page{Title: title, Of: what, Live: listen, Data: d})
}

// say sets the sentence that says what the decision will result in.
func (d *deciding) say() error {
	requester, err := d.Requester()
	if err != nil {
		return err
	}
	ids, id, pairs := d.GetIntent().GetResourceIds(), d.Form.ID("says"),
		[]any{"Requester", requester, "Tenant", d.GetTenantName()}
	switch {
	case d.Form.Narrows && len(d.Form.Wrong) == 0:
		t, allowed := d.Form.allowed()
		ids, d.Less = allowed, t < d.Form.duration().AsDuration() || len(allowed) < len(d.Form.Chosen)
		pairs = append(pairs, "Duration", d.Say.Duration(t))
		if more := d.Missing() - 1; more > 0 {
			id, pairs = d.Form.ID("says-more"), append(pairs, "Count", more)
		}
		if err := d.ends(t); err != nil {
			return err
		}
	case d.Form.Narrows:
		return nil // an invalid form results in nothing
	case d.Form.Verb == request.InternalApprove:
		id, pairs = d.Form.ID(d.onward()), append(pairs, "Duration", d.Say.Duration(d.Asked()))
		d.Starts = d.Request.Starts()
	}
	what, err := d.WhatOf(ids)
	if err != nil {
		return err
	}
	allowed := shown.Resources(ids)
	left := slices.DeleteFunc(d.Resources(), func(r shown.Resource) bool { return slices.Contains(allowed, r) })
	if d.Allowed, err = d.List(allowed); err != nil {
		return err
	}
	if d.LeftOut, err = d.List(left); err != nil {
		return err
	}
	d.Says, err = d.Say.Say(id, append(pairs, "What", what)...)
	return err
}

// ends says when access of that length ends: if this approval is the last one it is known to the minute, else at the
// latest.
func (d *deciding) ends(t time.Duration) (err error) {
	id, at := "decision.ends", d.Now.Add(t)
	if by := d.GetLockbox().GetExpiresAt(); d.Missing() > 1 && by != nil {
		id, at = "decision.ends-latest", by.AsTime().Add(t)
	}
	d.Ends, err = d.Say.Say(id, "Time", d.Say.Instant(at))
	return err
}

// onward names the message that says what an internal approval leads to: another approval, the customer's decision, or
// access at once.
func (d *deciding) onward() string {
	switch {
	case d.Request.Starts() && d.CustomerData():
		return "says-starts-data"
	case d.Request.Starts():
		return "says-starts"
	case d.Waived():
		return "says-waived"
	case d.LastStage():
		return "says-last"
	}
	return "says"
}

// path returns the URL of the page from which this form is sent.
func (f form) path(v *site.Visit) string {
	path := f.Href(v, f.of.GetRequestId())
	if f.Confirms {
		path += "/confirm"
	}
	return path
}

// decide sends the command.
func (p *pages) decide(v *site.Visit, b verb) error {
	r, err := own(v)
	if err != nil {
		return site.Lost(err)
	}
	f := filled(b, r, v.R.PostForm)
	if err := input.UUIDv7("command", f.Command); err != nil {
		return err
	}
	if f.Seen == 0 {
		return refusal.Invalid("seen", "R29", "is required: the version of the request that was seen")
	}
	if err := f.check(); err != nil {
		return err
	}
	if len(f.Wrong) > 0 {
		return p.again(v, f, http.StatusBadRequest)
	}
	c := f.command()
	if c.Signed, err = signed(v, f.Href(v, r.GetRequestId())); replaced(err) {
		return p.signPage(v, f, true)
	} else if err != nil {
		return err
	}
	reply, err := v.Do(c)
	if err != nil {
		return p.refused(v, f, err)
	}
	return v.Redirect(v.Path("requests", r.GetRequestId()), reply.GetSequence())
}

// refused explains a refusal to the person and offers the next step.
func (p *pages) refused(v *site.Visit, f form, err error) error {
	r, is := refusal.As(err)
	if !is {
		return err
	}
	switch r.GetCode() {
	case lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:
		if keychain.Attempt(r) {
			v.Counters.Refused(r)
			return p.show(v, f.of, http.StatusBadRequest, note{Refused: r})
		}
		if field := fields[r.GetField()[strings.LastIndex(r.GetField(), ".")+1:]]; field != "" {
			v.Counters.Refused(r)
			said := v.Say.Refusal(r)
			f.Wrong[field] = &wrong{said.Text, said.Recorded}
			return p.again(v, f, http.StatusBadRequest)
		}
	case lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION:
		v.Counters.Refused(r)
		return p.changed(v, f, r)
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE:
		v.Counters.Refused(r)
		return p.unsure(v, f)
	case lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN:
		if keychain.Attempt(r) {
			v.Counters.Refused(r)
			return p.show(v, f.of, http.StatusForbidden, note{Refused: r})
		}
	case lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED:
		if site.TooLongAgo(err) {
			v.Keep(f.path(v), f.values())
		}
		return v.SignInAgain(err, f.path(v))
	}
	return err
}

// fields maps the command's field names to those of the forms.
var fields = map[string]string{"duration": "duration", "resource_ids": "resource", "reason": "reason",
	"comment": "reason", "text": "reason"}

// changed shows what happened since the person looked. If they may still decide, they continue from there.
func (p *pages) changed(v *site.Visit, f form, why *lockboxv1.Refusal) error {
	stale := why.GetField() == "seen_version"
	r, err := settled(v, f.of, func(r loaded) bool { return len(r.Since(f.Seen)) > 0 || !r.Allows(f.Name) })
	if err != nil {
		return err
	}
	if !r.Allows(f.Name) || !stale {
		return p.show(v, r, http.StatusConflict, note{Refused: why, Since: r.Since(f.Seen)})
	}
	name := "decide"
	if f.of = r; f.Confirms {
		name = "confirm"
	}
	return p.page(v, name, f, http.StatusConflict, true)
}

// unsure is shown when it is unknown whether the command was carried out; sending the form again repeats the same
// command. The page makes no queries, since the bus may be down.
func (p *pages) unsure(v *site.Visit, f form) error {
	title, err := v.Say.Say("decision.unsure.title")
	if err != nil {
		return err
	}
	values := f.values()
	values.Set("command", f.Command)
	for _, name := range forms.Signed {
		if is := v.R.PostForm.Get(name); is != "" {
			values.Set(name, is)
		}
	}
	return v.Render(p.templates, "unsure", http.StatusServiceUnavailable, site.Page{
		Title: title, Nav: []site.NavItem{}, Data: struct {
			To, Back string
			Values   map[string][]string
		}{f.Href(v, f.of.GetRequestId()), v.Path("requests", f.of.GetRequestId()), values},
	})
}
