// Package keys serves the pages on which a customer's people see and change the keys with which they sign what they
// decide (R42): who has which, what is demanded, the fingerprint that people compare, and what waits for signatures.
// The pages make statements and collect signatures; whether they count is said by who records them.
package keys

import (
	"cmp"
	"embed"
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

//go:embed all:templates
var files embed.FS

const root = "keys"

type pages struct{ *site.Pages }

// Routes returns the pages of keys.
func Routes(s *site.Site) ([]site.Route, error) {
	parsed, err := s.ParsePages(files)
	if err != nil {
		return nil, err
	}
	p := pages{parsed}
	var routes []site.Route
	add := func(method, path string, serve func(*site.Visit) error) {
		routes = append(routes, site.Route{Method: method, Path: "/" + root + path, Side: site.Customer, Serve: serve})
	}
	restored := func(show func(*site.Visit, *form.Form) error) func(*site.Visit) error {
		return func(v *site.Visit) error { return show(v, form.Restored(v.R, v.Draft())) }
	}
	add(http.MethodGet, "", restored(p.list))
	add(http.MethodPost, "", p.change)
	add(http.MethodGet, "/fingerprint", p.fingerprint)
	add(http.MethodGet, "/enrol", restored(p.enrolling))
	add(http.MethodPost, "/enrol", p.enrol)
	add(http.MethodGet, "/genesis", restored(p.genesis))
	add(http.MethodPost, "/genesis", p.begin)
	add(http.MethodGet, "/statements/{digest}", restored(p.statement))
	add(http.MethodPost, "/statements/{digest}", p.sign)
	add(http.MethodGet, "/statements/{digest}/file", file)
	return routes, nil
}

// looking is a visit to one of these pages.
type looking struct {
	*site.Visit
	Keys *lockboxv1.KeysView
	Form *form.Form
	me   *lockboxv1.SelfView
	// sequence is that of the answer.
	sequence uint64
}

func look(v *site.Visit, f *form.Form) (looking, error) {
	v.Under = v.Path("administration")
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetKeys{GetKeys: &lockboxv1.GetKeys{}}})
	if err != nil {
		return looking{}, err
	}
	me, err := v.Self()
	return looking{v, reply.GetKeys(), f, me, reply.GetSequence()}, err
}

// Administrator reports whether the reader is a Global Administrator now.
func (l looking) Administrator() (bool, error) {
	return l.Holds(lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR)
}

// Command returns a new command ID for a form.
func (looking) Command() (string, error) { return form.NewID() }

// To returns the URL of one of these pages.
func (l looking) To(parts ...string) string { return l.Path(append([]string{root}, parts...)...) }

// Saved reports whether the reader has been redirected here after a change.
func (l looking) Saved() bool { return l.R.URL.Query().Get("after") != "" }

// Begun reports whether there is a chain of keys.
func (l looking) Begun() bool { return len(l.Keys.GetFingerprint()) > 0 }

// Fingerprint is what people compare, in hexadecimal digits.
func (l looking) Fingerprint() string { return hex.EncodeToString(l.Keys.GetFingerprint()) }

// person is the reader as the owner of a key.
func (l looking) person() approval.Person {
	p := l.me.GetActor().GetPerson()
	return approval.Person{Account: keychain.AccountOf(p), Human: p.GetHuman()}
}

// mine reports whether a key is the reader's.
func (l looking) mine(k *lockboxv1.KeyView) bool {
	return k.GetPerson() != nil && keychain.AccountOf(k.GetPerson()) == l.person().Account
}

// row is one key in the list.
type row struct {
	*lockboxv1.KeyView
	looking
	Name string
	Mine bool
}

// ID is the key's id.
func (r row) ID() string { return hex.EncodeToString(r.GetKeyId()) }

// Short is the beginning of the key's id, which is enough to find it.
func (r row) Short() string { return r.ID()[:min(16, len(r.ID()))] }

// Standing is the message ID of what the key is good for, Tone the class of its badge.
func (r row) Standing() string {
	return shown.ID("keys.standing", r.GetStanding().String(), "KEY_STANDING_")
}

// Tone is the class of the badge.
func (r row) Tone() string {
	switch r.GetStanding() {
	case lockboxv1.KeyStanding_KEY_STANDING_COUNTS:
		return "good"
	case lockboxv1.KeyStanding_KEY_STANDING_WAITING, lockboxv1.KeyStanding_KEY_STANDING_OFFERED:
		return "wait"
	}
	return ""
}

// KindID is the message ID of what kind of key it is.
func (r row) KindID() string {
	e, err := approval.ParseEnrolment(r.GetEnrolment())
	switch {
	case r.GetKind() == approval.KindSSH:
		return "keys.kind.ssh"
	case err == nil && e.Key.Backup == 1:
		return "keys.kind.synced"
	}
	return "keys.kind.webauthn"
}

// RoleID is the message ID of what the key is for.
func (r row) RoleID() string { return "keys.role." + r.GetRole() }

// Admits reports whether the reader can have the key enrolled: it is offered, and they have a key that counts, an
// administrator's or one of the very same person.
func (r row) Admits() bool {
	return r.Begun() && r.GetStanding() == lockboxv1.KeyStanding_KEY_STANDING_OFFERED &&
		(r.counting(approval.Administrator) || r.Mine && r.counting(""))
}

// Removes reports whether the reader can have the key removed.
func (r row) Removes() bool {
	enrolled := r.GetStanding() == lockboxv1.KeyStanding_KEY_STANDING_COUNTS ||
		r.GetStanding() == lockboxv1.KeyStanding_KEY_STANDING_WAITING
	return enrolled && r.GetRole() != recovery && (r.counting(approval.Administrator) || r.Mine && r.counting(""))
}

const recovery = "recovery"

// counting reports whether the reader has a key that counts, of that role if one is given.
func (l looking) counting(role string) bool {
	return slices.ContainsFunc(l.Keys.GetKeys(), func(k *lockboxv1.KeyView) bool {
		return k.GetStanding() == lockboxv1.KeyStanding_KEY_STANDING_COUNTS && l.mine(k) &&
			(role == "" || k.GetRole() == role)
	})
}

// Rows are the keys, those that count first.
func (l looking) Rows() []row {
	var rows []row
	for _, k := range l.Keys.GetKeys() {
		rows = append(rows, row{k, l, shown.Name(k.GetPerson()), l.mine(k)})
	}
	order := []lockboxv1.KeyStanding{lockboxv1.KeyStanding_KEY_STANDING_COUNTS, lockboxv1.KeyStanding_KEY_STANDING_WAITING,
		lockboxv1.KeyStanding_KEY_STANDING_OFFERED, lockboxv1.KeyStanding_KEY_STANDING_REMOVED}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Compare(slices.Index(order, a.GetStanding()), slices.Index(order, b.GetStanding()))
	})
	return rows
}

// Demands are the demands that the reader may choose instead of the present one; none before there are keys, and for
// those without an administrator's key.
func (l looking) Demands() (others []string) {
	if !l.Begun() || !l.counting(approval.Administrator) {
		return nil
	}
	for _, d := range demands {
		if string(d) != l.Keys.GetDemand() {
			others = append(others, string(d))
		}
	}
	return others
}

var demands = []approval.Demand{approval.DemandNone, approval.DemandSignatures, approval.DemandCommandLine}

func (p pages) list(v *site.Visit, f *form.Form) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	return p.show(l, "list", "keys.title", site.Page{Data: l})
}

// fingerprint shows what people compare on a page of its own, to be printed.
func (p pages) fingerprint(v *site.Visit) error {
	l, err := look(v, form.Empty())
	if err != nil {
		return err
	}
	if !l.Begun() {
		return refusal.NotFound("path", "I9", "there is nothing here")
	}
	return p.show(l, "fingerprint", "keys.fingerprint.title", site.Page{Data: l})
}

// show renders a page; the status says whether the form on it was accepted.
func (p pages) show(l looking, name, title string, page site.Page) (err error) {
	if page.Title, err = l.Say.Say(title); err != nil {
		return err
	}
	status := http.StatusOK
	switch {
	case len(l.Form.Problems) > 0:
		status = http.StatusBadRequest
	case l.Form.Refusal != nil:
		status = http.StatusConflict
	}
	return l.Render(p.Pages, name, status, page)
}

// do sends a command of a form, and leads on. again shows the form with why it was refused, if that can be corrected.
func do(
	v *site.Visit, f *form.Form, c *lockboxv1.Command, then string, again func(*site.Visit, *form.Form) error,
) (err error) {
	if c.Id, err = f.CommandID(); err != nil {
		return err
	}
	reply, err := v.Do(c)
	if err == nil {
		return v.Redirect(then, reply.GetSequence())
	}
	r, is := refusal.As(err)
	if !is || !correctable[r.GetCode()] || r.GetField() == "token" {
		return err
	}
	v.Counters.Refused(r)
	f.Refusal = r
	return again(v, f)
}

// correctable are the refusals that a page shows beside its form.
var correctable = map[lockboxv1.RefusalCode]bool{
	lockboxv1.RefusalCode_REFUSAL_CODE_INVALID: true, lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN: true,
	lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT: true, lockboxv1.RefusalCode_REFUSAL_CODE_PRECONDITION: true,
}
