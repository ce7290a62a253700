package keys

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	text "github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// Access can be revoked by an enrolled key alone, while the customer's own sign-in is down (R64). The page tells a
// stranger nothing: all that it shows stands in the file that the reader brings, which they saved while they were
// signed in, and whether a request exists is said only to whoever signs with a key that counts there.

const (
	revokePath = "/revoke"
	maxReason  = 500 // characters
)

// Mount serves the page, which needs no session.
func Mount(mux *http.ServeMux, s *site.Site) error {
	parsed, err := s.ParsePages(files)
	if err != nil {
		return err
	}
	p := pages{parsed}
	mux.HandleFunc("GET "+revokePath, s.Open(func(v *site.Visit) error { return p.revocation(v, form.Empty()) }))
	mux.HandleFunc("POST "+revokePath, s.Open(p.revoke))
	return nil
}

// revocation is the data of the page, before there is a statement.
func (p pages) revocation(v *site.Visit, f *form.Form) error {
	return p.open(v, f, "revoke", "keys.revoke.title", site.Page{Data: f})
}

// open renders a page without a session.
func (p pages) open(v *site.Visit, f *form.Form, name, title string, page site.Page) error {
	return p.show(looking{Visit: v, Form: f}, name, title, page)
}

func (p pages) revoke(v *site.Visit) error {
	if err := v.R.ParseForm(); err != nil {
		return unknown("saved")
	}
	f := form.Sent(v.R)
	if signing.Signs(v.R.PostForm) {
		return p.revoked(v, f)
	}
	wrong := func(name string) {
		f.Problems = append(f.Problems, form.Problem{Field: form.Field{Name: name, Label: "keys.revoke." + name},
			Message: "keys.revoke.wrong." + name})
	}
	saved := new(signing.Saved)
	var d approval.Decision
	err := json.Unmarshal([]byte(f.Value("saved")), saved)
	if err == nil {
		d, err = approval.ParseDecision([]byte(saved.Statement))
	}
	if err != nil || saved.Format != signing.SavedFormat || d.Decision != approval.Revoke {
		wrong("saved")
	}
	reason := prose.Text(f.Value("reason"))
	if prose.Check("", reason, 1, maxReason) != nil {
		wrong("reason")
	}
	if len(f.Problems) > 0 {
		return p.revocation(v, f)
	}
	var salt [32]byte
	_, _ = rand.Read(salt[:])
	d.IssuedAt, d.Nonce = approval.TimeText(v.Now().Truncate(time.Second)), nonce()
	d.Language, d.Comment = text.Language(v.Say.Language), approval.CommentHash(salt, reason)
	d.Text = approval.TextHash(text.Text(d, d.Language))
	statement, err := d.Bytes()
	if err != nil {
		wrong("saved")
		return p.revocation(v, f)
	}
	hidden, err := hidden()
	if err != nil {
		return err
	}
	hidden["reason"], hidden["salt"] = []string{reason}, []string{hex.EncodeToString(salt[:])}
	return p.open(v, form.Empty(), "revoke-sign", "signing.title.revoke", site.Page{Script: signing.Script,
		Data: signing.Step{Visit: v, Party: signing.PartyOf(v), Format: approval.FormatDecision,
			Statement: string(statement), Keys: []signing.Key{{ID: d.Key, Credential: saved.Credential, Label: saved.Label}},
			Has: true, To: revokePath, Back: revokePath, Hidden: hidden, Button: "signing.button.revoke", Tone: "bad"}})
}

// revoked sends what was signed. Who sends it is known by the key alone.
func (p pages) revoked(v *site.Visit, f *form.Form) error {
	statement := v.R.PostForm.Get("statement")
	d, err := approval.ParseDecision([]byte(statement))
	if err != nil || d.Decision != approval.Revoke {
		return unknown("statement")
	}
	id, err := f.CommandID()
	if err != nil {
		return err
	}
	_, err = v.Caller.Do(v.R.Context(), "", &lockboxv1.Command{Id: id, Tenant: d.Tenant, AggregateId: d.Request,
		Signed: signing.Sent(v.R.PostForm, statement, d.Key),
		Action: &lockboxv1.Command_Revoke{Revoke: &lockboxv1.Revoke{Reason: f.Value("reason")}}})
	if r, is := refusal.As(err); is {
		v.Counters.Refused(r)
		f = form.Empty()
		f.Refusal = r
		return p.revocation(v, f)
	} else if err != nil {
		return err
	}
	return p.open(v, form.Empty(), "revoked", "keys.revoke.done", site.Page{})
}
