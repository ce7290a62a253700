package activitylog

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/openlockbox/lockbox/pkg/accesstext"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var accessFields = map[string]form.Field{
	"list_access.kinds":  {Name: "kind", Label: "access.kind"},
	"list_access.since":  from,
	"list_access.until":  until,
	"list_access.person": {Name: "person", Label: "activity.person"},
}

// access is the data of the page that lists who signed in, looked, exported and was refused.
type access struct {
	Visit   *site.Visit
	Form    *form.Form
	Records []*lockboxv1.AccessRecord
	Next    string
}

func (p pages) access(v *site.Visit) error {
	d := access{Visit: v, Form: form.Sent(v.R)}
	ask := &lockboxv1.ListAccess{Person: d.Form.Value("person"), ProviderOnly: d.Form.Value("provider") != "",
		Limit: pageSize, PageToken: d.Form.Value("page")}
	for _, name := range d.Form.All("kind") {
		ask.Kinds = append(ask.Kinds, accesstext.Named(name)) // what is none is refused
	}
	if t := d.Form.Moment(from, v.Say.Zone()); !t.IsZero() {
		ask.Since = timestamppb.New(t)
	}
	if t := d.Form.Moment(until, v.Say.Zone()); !t.IsZero() {
		ask.Until = timestamppb.New(t)
	}
	status := http.StatusOK
	if len(d.Form.Problems) == 0 {
		reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_ListAccess{ListAccess: ask}})
		if err != nil && !d.Form.Refused(err, accessFields) {
			return err
		} else if err != nil {
			v.Counters.Refused(refusal.Of(err))
		}
		d.Records, d.Next = reply.GetAccess().GetRecords(), reply.GetAccess().GetNextPageToken()
	}
	if len(d.Form.Problems) > 0 {
		status = http.StatusBadRequest
	}
	title, err := v.Say.Say("access.title")
	if err != nil {
		return err
	}
	v.Under = v.Path("activity")
	return v.Render(p.Pages, "access", status, site.Page{Title: title, Data: d})
}

// Customer reports whether the reader is one of the customer's people.
func (d access) Customer() bool { return d.Visit.Session.Tenant != "" }

// Kinds lists all kinds of records.
func (access) Kinds() []lockboxv1.AccessKind { return accesstext.Kinds }

// KindName is a kind's name in the form; Kind is its title.
func (access) KindName(k lockboxv1.AccessKind) string { return accesstext.Name(k) }

// Kind is a kind's title in the reader's language.
func (d access) Kind(k lockboxv1.AccessKind) string { return d.text().Kind(k) }

func (d access) text() *accesstext.Language { return accesstext.In(d.Visit.Say.Language) }

// What says what somebody did.
func (d access) What(r *lockboxv1.AccessRecord) string { return d.text().What(r) }

// Outcome says what came of it.
func (d access) Outcome(r *lockboxv1.AccessRecord) []string { return d.text().Outcome(r) }

// Filter says by what a list was filtered; nothing if that is known in English only.
func (d access) Filter(r *lockboxv1.AccessRecord) []string { return d.text().Filter(r) }

// Who names somebody.
func (d access) Who(r *lockboxv1.AccessRecord) string { return d.text().Who(r) }

// Provider reports whether somebody of the provider did it.
func (access) Provider(r *lockboxv1.AccessRecord) bool {
	return r.GetWho().GetSide() == lockboxv1.Side_SIDE_PROVIDER
}

// Refused reports whether it did not succeed.
func (access) Refused(r *lockboxv1.AccessRecord) bool {
	return r.GetRefusalCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNSPECIFIED ||
		r.GetKind() == lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED
}

// Link is the page of what was looked at; empty if it has none.
func (d access) Link(r *lockboxv1.AccessRecord) string {
	switch r.GetAboutKind() {
	case aggregate.KindRequest:
		return d.Visit.Path("requests", r.GetAboutId())
	case aggregate.KindTicket:
		return d.Visit.Path("tickets", r.GetAboutId())
	}
	return ""
}

// Short returns the last 12 characters of an ID.
func (access) Short(id string) string { return log{}.Short(id) }

var accessFilters = []string{"kind", "from", "until", "person", "provider"}

func (d access) query() url.Values {
	query := url.Values{}
	for _, name := range accessFilters {
		if all := slices.DeleteFunc(d.Form.All(name), func(s string) bool { return s == "" }); len(all) > 0 {
			query[name] = all
		}
	}
	return query
}

// Filtered reports whether any filter is set.
func (d access) Filtered() bool { return len(d.query()) > 0 }

// Older returns the URL of the next page.
func (d access) Older() string {
	query := d.query()
	query.Set("page", d.Next)
	return d.Visit.Path("access-records") + "?" + query.Encode()
}

// Newest returns the URL of the first page.
func (d access) Newest() string {
	if query := d.query(); len(query) > 0 {
		return d.Visit.Path("access-records") + "?" + query.Encode()
	}
	return d.Visit.Path("access-records")
}

// Paged reports whether this is not the first page.
func (d access) Paged() bool { return d.Form.Value("page") != "" }
