// Package overview serves the portal's overview (R59): to a customer the access that exists, what waits, and the last
// weeks in figures and pictures; to the provider's security officers how things stand at each customer, and how the log
// is.
package overview

import (
	"embed"
	"net/http"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

//go:embed all:templates
var files embed.FS

type pages struct{ templates *site.Pages }

// Routes returns the pages.
func Routes(s *site.Site) ([]site.Route, error) {
	templates, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := &pages{templates}
	return []site.Route{
		{Method: http.MethodGet, Path: "/overview", Side: site.Customer, Serve: p.customer},
		{Method: http.MethodGet, Path: "/overview", Side: site.Provider, Serve: p.provider},
	}, nil
}

const (
	// perPage is the most access that is listed; the rest is counted.
	perPage  = 20
	maxField = 200 // characters
)

// filter is the form above the figures, as it stands in the URL.
type filter struct {
	Customer, Engineer, Subscription string
	Emergency                        bool
	// Wrong holds the fields that cannot be searched for.
	Wrong map[string]bool
}

func filterOf(q url.Values) filter {
	f := filter{Customer: q.Get("customer"), Engineer: q.Get("engineer"), Subscription: q.Get("subscription"),
		Emergency: q.Get("emergency") != "", Wrong: map[string]bool{}}
	for name, value := range map[string]string{"engineer": f.Engineer, "subscription": f.Subscription} {
		if prose.CheckLine(name, value, 0, maxField) != nil {
			f.Wrong[name] = true
		}
	}
	return f
}

// Set reports whether anything is filtered.
func (f filter) Set() bool { return f.Customer+f.Engineer+f.Subscription != "" || f.Emergency }

// list returns the URL of the list of requests in a group of states that match the filter, as far as that list can be
// filtered so.
func (f filter) list(v *site.Visit, status string) string {
	q := f.values()
	q.Del("customer")
	q.Set("status", status)
	return v.Path("requests") + "?" + q.Encode()
}

// tile is a number with what it means.
type tile struct {
	// Label is the ID of a message.
	Label string
	Value string
	Note  string
	// Time is the moment that the value or the note is about; nil if there is none.
	Time *timestamppb.Timestamp
	// Href is where more is; empty if nowhere.
	Href string
	// Tone is the CSS class of what needs attention.
	Tone string
}

// row is access that exists.
type row struct {
	shown.Request
	Href string
}

// figures is the data of what both pages show.
type figures struct {
	filter
	Tiles  []tile
	Charts []chart
	// Since is where the weeks begin; AsOf is when the figures were taken.
	Since, AsOf *timestamppb.Timestamp
	// Running is the access that exists; More is how much is not listed.
	Running []row
	More    words.Counted
	// MoreHref is where all of it is.
	MoreHref string
	// Provider reports that the reader is one of the provider's people.
	Provider bool
	// Here is the URL of this page.
	Here string
}

// answers are what a page is made of.
type answers struct {
	overview *lockboxv1.Overview
	// running is the access that exists.
	running *lockboxv1.RequestList
	// mine is what awaits a customer's visitor, and board what the provider's people see of each customer.
	mine  *lockboxv1.RequestList
	board *lockboxv1.Dashboard
	// sequence is what the projection had reached at least.
	sequence uint64
}

// ask queries everything that a page shows. The overview is nil for visitors who may see none.
func (f filter) ask(v *site.Visit) (a answers, err error) {
	customer := f.Customer
	if v.Session.Tenant != "" {
		customer = ""
	} else if a.board, err = f.dashboard(v, customer); err != nil {
		return a, err
	}
	reply, err := v.AskAbout(customer, &lockboxv1.Query{Ask: &lockboxv1.Query_GetOverview{
		GetOverview: &lockboxv1.GetOverview{Engineer: f.Engineer, Subscription: f.Subscription, Emergency: f.Emergency}}})
	if site.NotFound(err) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	a.overview, a.sequence = reply.GetOverview(), reply.GetSequence()
	if a.running, err = f.search(v, customer, &lockboxv1.ListRequests{Statuses: []lockboxv1.RequestStatus{
		lockboxv1.RequestStatus_REQUEST_STATUS_APPROVED, lockboxv1.RequestStatus_REQUEST_STATUS_ACTIVE},
		Limit: perPage, Order: lockboxv1.RequestOrder_REQUEST_ORDER_DEADLINE}); err != nil {
		return a, err
	}
	if v.Session.Tenant != "" {
		a.mine, err = f.search(v, "", &lockboxv1.ListRequests{AwaitingMe: true, Limit: 1})
	}
	return a, err
}

// digest changes when anything but the time and what passes with it does: not with every signature and comparison of
// the log, nor while access goes on.
func (a answers) digest() (string, error) {
	o, d := proto.CloneOf(a.overview), proto.CloneOf(a.board)
	o.AsOf = nil
	for _, w := range o.GetWeeks() {
		w.Access = nil
	}
	if d != nil {
		d.AsOf, d.MailsSince = nil, nil
	}
	for _, h := range []*lockboxv1.LogHealth{o.GetLog(), d.GetLog()} {
		if h != nil {
			h.SignedAt = nil
			if h.VerifiedAt != nil {
				h.VerifiedAt = new(timestamppb.Timestamp)
			}
		}
		for _, w := range h.GetWitnesses() {
			if w.CosignedAt != nil {
				w.CosignedAt = new(timestamppb.Timestamp)
			}
		}
	}
	return shown.Digest(o, d, a.running, a.mine)
}

// Live returns the pages with live updates.
func Live() []live.Page {
	return []live.Page{{Path: "/overview", Side: site.Both, Ask: func(v *site.Visit) (string, uint64, error) {
		f := filterOf(v.R.URL.Query())
		if len(f.Wrong) > 0 {
			return "", 0, refusal.Invalid("query", "bad input", "nothing can be searched for so")
		}
		a, err := f.ask(v)
		if err != nil {
			return "", 0, err
		}
		if a.overview == nil {
			return "", 0, nothing()
		}
		digest, err := a.digest()
		return digest, a.sequence, err
	}}}
}

// nothing is the refusal for visitors who may see no overview.
func nothing() error { return refusal.NotFound("path", "I9", "there is nothing here") }

// customer shows the overview to a customer's people.
func (p *pages) customer(v *site.Visit) error {
	f := figures{filter: filterOf(v.R.URL.Query())}
	if len(f.Wrong) > 0 {
		return p.render(v, "overview", http.StatusBadRequest, "", f)
	}
	a, err := f.ask(v)
	if err != nil {
		return err
	}
	if a.overview == nil { // no role: nothing to see
		return p.render(v, "overview", http.StatusOK, "", f)
	}
	if err := f.show(v, a); err != nil {
		return err
	}
	t, open := tiles{Visit: v, now: a.overview.GetAsOf().AsTime()}, a.overview.GetOpen()
	t.running(open, f.list(v, "active"))
	t.mine(words.Count(a.mine.GetTotal()), open)
	t.waiting(open, f.list(v, "pending"))
	t.emergencies(emergencies(a.overview), "")
	t.signed(a.overview.GetLog())
	if f.Tiles, err = t.list, t.err; err != nil {
		return err
	}
	listen, err := f.listen(v, a)
	if err != nil {
		return err
	}
	return p.render(v, "overview", http.StatusOK, listen, f)
}

// show puts the figures, and the access that exists, on the page.
func (f *figures) show(v *site.Visit, a answers) (err error) {
	f.Since, f.AsOf, f.Provider = a.overview.GetSince(), a.overview.GetAsOf(), v.Session.Tenant == ""
	f.Here = f.address(v.Path("overview"))
	if f.Charts, err = charts(v, a.overview); err != nil {
		return err
	}
	for _, r := range a.running.GetRequests() {
		f.Running = append(f.Running, row{shown.Request{RequestView: r, Say: v.Say, Now: v.Now(), Provider: v.Provider,
			ToProvider: f.Provider}, v.Path("requests", r.GetRequestId())})
	}
	f.More, f.MoreHref = words.Count(a.running.GetTotal()).Less(len(f.Running)), f.list(v, "active")
	return nil
}

// values are the filter as it stands in the URL.
func (f filter) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"customer": f.Customer, "engineer": f.Engineer,
		"subscription": f.Subscription} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Emergency {
		q.Set("emergency", "yes")
	}
	return q
}

// address returns the URL of a page with this filter.
func (f filter) address(path string) string {
	if q := f.values().Encode(); q != "" {
		path += "?" + q
	}
	return path
}

// listen returns the URL of the page's live updates.
func (f filter) listen(v *site.Visit, a answers) (string, error) {
	digest, err := a.digest()
	listen := live.Address(v.Path("live", "overview"), digest, a.sequence)
	if q := f.values().Encode(); q != "" {
		listen += "&" + q
	}
	return listen, err
}

// search lists requests that match the filter too. For visitors who may see none, the list is empty.
func (f filter) search(v *site.Visit, customer string, by *lockboxv1.ListRequests) (*lockboxv1.RequestList, error) {
	by.Engineer, by.Subscription, by.Emergency, by.Count = f.Engineer, f.Subscription, f.Emergency, true
	reply, err := v.AskAbout(customer, &lockboxv1.Query{Ask: &lockboxv1.Query_ListRequests{ListRequests: by}})
	if site.NotFound(err) {
		err = nil
	}
	return reply.GetRequests(), err
}

func (p *pages) render(v *site.Visit, name string, status int, listen string, data any) error {
	title, err := v.Say.Say("overview.title")
	if err != nil {
		return err
	}
	return v.Render(p.templates, name, status, site.Page{Title: title, Live: listen, Data: data})
}

// emergencies counts those of the weeks.
func emergencies(o *lockboxv1.Overview) (n uint64) {
	for _, w := range o.GetWeeks() {
		n += w.GetEmergencies()
	}
	return n
}

// dashboard is the data of the provider's page.
type dashboard struct {
	figures
	Customers []customer
	// Names are the customers to choose from.
	Names []*lockboxv1.CustomerFigures
	// Unlisted is the number of customers that are not listed.
	Unlisted int
	Log      *lockboxv1.LogHealth
	// Well reports that nothing is known to be wrong with the log.
	Well bool
	// MailsSince is from when mails that failed are counted.
	MailsSince *timestamppb.Timestamp

	say *words.Speaker
}

// Difference names a kind of difference.
func (d dashboard) Difference(kind lockboxv1.DifferenceKind) (string, error) {
	return d.say.Say(shown.ID("overview.difference", kind.String(), "DIFFERENCE_KIND_"))
}

// Counted is a count that goes no further than 1,000.
func (dashboard) Counted(n uint64) words.Counted { return words.Count(n) }

// Number is a count that goes no further than 1,000, as a number.
func (d dashboard) Number(n uint64) string { return d.say.Number(words.Count(n)) }

// customer is a row of the provider's table.
type customer struct {
	*lockboxv1.CustomerFigures
	Href string
	// Waited is how long the oldest has waited, Left how long is left until the first deadline; empty for none.
	Waited, Left string
	Hurry        bool
}

// dashboard queries how things stand at each customer, or at one.
func (f filter) dashboard(v *site.Visit, customer string) (*lockboxv1.Dashboard, error) {
	reply, err := v.AskAbout(customer, &lockboxv1.Query{Ask: &lockboxv1.Query_GetDashboard{
		GetDashboard: &lockboxv1.GetDashboard{Engineer: f.Engineer, Emergency: f.Emergency}}})
	return reply.GetDashboard(), err
}

// provider shows security officers how things stand at each customer.
func (p *pages) provider(v *site.Visit) error {
	d := dashboard{figures: figures{filter: filterOf(v.R.URL.Query())}}
	if len(d.Wrong) > 0 {
		return p.render(v, "dashboard", http.StatusBadRequest, "", d)
	}
	a, err := d.ask(v)
	if err != nil {
		return err
	}
	if a.overview == nil {
		return nothing()
	}
	if err := d.show(v, a); err != nil {
		return err
	}
	found := a.board
	d.Names = found.GetCustomers()
	if d.Customer != "" {
		all, err := d.dashboard(v, "")
		if err != nil {
			return err
		}
		d.Names = all.GetCustomers()
	}
	d.Log, d.MailsSince = found.GetLog(), found.GetMailsSince()
	d.Well = well(d.Log) && !found.GetTotal().GetFault()
	if err := d.tiles(v, found); err != nil {
		return err
	}
	d.say = v.Say
	now := found.GetAsOf().AsTime()
	for _, c := range found.GetCustomers() {
		each := customer{CustomerFigures: c,
			Href: v.Path("overview") + "?" + url.Values{"customer": {c.GetTenant()}}.Encode()}
		if at := c.GetOpen().GetOldestWaiting(); at != nil {
			each.Waited = rounded(v.Say, now.Sub(at.AsTime()))
		}
		if at := c.GetOpen().GetNextDeadline(); at != nil {
			left := at.AsTime().Sub(now)
			each.Left, each.Hurry = rounded(v.Say, left), left < hurry
		}
		d.Customers = append(d.Customers, each)
	}
	d.Unlisted = int(found.GetCount()) - len(d.Customers) // #nosec G115 -- a count
	listen, err := d.listen(v, a)
	if err != nil {
		return err
	}
	return p.render(v, "dashboard", http.StatusOK, listen, d)
}

func (d *dashboard) tiles(v *site.Visit, found *lockboxv1.Dashboard) (err error) {
	t, open := tiles{Visit: v, now: found.GetAsOf().AsTime()}, found.GetTotal().GetOpen()
	t.running(open, d.list(v, "active"))
	t.sides(open, d.list(v, "pending"))
	t.waiting(open, "")
	t.emergencies(found.GetTotal().GetEmergencies(), "")
	t.failedMails(found.GetTotal().GetFailedMails(), found.GetMailsSince())
	t.signed(d.Log)
	d.Tiles, err = t.list, t.err
	return err
}

// well reports whether nothing is known to be wrong with the log.
func well(h *lockboxv1.LogHealth) bool {
	return !h.GetOverdue() && h.GetVerifiedAt() != nil && len(h.GetDifferences()) == 0 && h.GetCopiesAway() == 0
}

// hurry is how little time is left when a deadline needs attention.
const hurry = 24 * time.Hour
