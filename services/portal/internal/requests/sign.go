package requests

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// The customer's decisions are signed where that is demanded, and where the reader has a key (R42): the last page
// before a decision then leads to one more, on which they sign exactly what they are about to do.

// signable is what the reader needs to sign a decision about a request.
type signable struct {
	*lockboxv1.SigningView
	verb string
}

// verbsSigned are the decisions as statements name them.
var verbsSigned = map[string]string{request.Approve.Name: approval.Approve, request.Deny.Name: approval.Deny,
	request.Revoke.Name: approval.Revoke}

// signing returns what the reader needs to sign a verb; nil if it is not signed.
func (b verb) signing(v *site.Visit, id string) (*signable, error) {
	signed := verbsSigned[b.Name]
	if signed == "" || v.Session.Tenant == "" {
		return nil, nil //nolint:nilnil // others sign nothing
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetSigning{GetSigning: &lockboxv1.GetSigning{
		About: &lockboxv1.GetSigning_RequestId{RequestId: id}}}})
	if err != nil {
		return nil, empty(err)
	}
	s := &signable{reply.GetSigning(), signed}
	if len(s.GetKeys()) == 0 && !s.demanded() {
		return nil, nil //nolint:nilnil // as where nobody has keys
	}
	return s, nil
}

// demanded reports whether the decision does not count without a signature.
func (s signable) demanded() bool {
	return approval.Demand(s.GetDemand()).Needs(s.verb, len(s.GetKeys()) > 0) && s.GetDemand() != ""
}

// choice is what the form decides, with a key.
func (s signable) choice(v *site.Visit, f form, key string) (keychain.Choice, error) {
	who, err := v.Account()
	if err != nil {
		return keychain.Choice{}, err
	}
	c := keychain.Choice{Verb: s.verb, By: keychain.AccountOf(who), Key: key, Reason: f.Text,
		Now:      v.Now().Truncate(time.Second),
		Language: shown.Language(v.Say.Language)}
	if f.Narrows {
		c.Resources, c.Duration = f.ids(), f.duration().AsDuration().Truncate(time.Second)
	}
	_, _ = rand.Read(c.Nonce[:])
	_, _ = rand.Read(c.Salt[:])
	return c, nil
}

// sign says whether the form's decision is signed, and where.
func (d *deciding) sign(v *site.Visit) error {
	s, err := d.Form.signing(v, d.GetRequestId())
	if err != nil || s == nil {
		return err
	}
	d.MaySign, d.Signs, d.Sign = true, s.verb != approval.Revoke, d.Form.Href(v, d.GetRequestId())+"/sign"
	if d.Signs {
		d.To = d.Sign
	}
	return nil
}

// signStep is the data of the page on which a decision is signed.
type signStep struct {
	deciding
	Sign signing.Step
}

// sign shows what is about to be signed, made anew each time the page is looked at.
func (p *pages) sign(v *site.Visit, b verb) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	f, found := typed(v, b, r)
	if !r.Allows(b.Name) {
		return p.show(v, r, http.StatusConflict, note{NotNow: true, Since: r.Since(f.Seen)})
	}
	if err := f.check(); err != nil {
		return err
	}
	if !found || len(f.Wrong) > 0 { // opened without the form, or what was typed is no longer kept
		return p.again(v, f, http.StatusOK)
	}
	return p.signPage(v, f, false)
}

// signOnward keeps what was typed and leads to the page on which it is signed.
func (p *pages) signOnward(v *site.Visit, b verb) error { return p.onward(v, b, "/sign") }

// signPage shows the page on which the form's decision is signed. again says that another statement was made meanwhile.
func (p *pages) signPage(v *site.Visit, f form, again bool) error {
	r := f.of
	s, err := f.signing(v, r.GetRequestId())
	if err != nil {
		return err
	}
	if s == nil { // nothing is demanded any more, and the reader has no key
		return p.again(v, f, http.StatusOK)
	}
	d := signStep{deciding: deciding{loaded: r, Changed: r.Since(f.Seen), Stale: again,
		Back: v.Path("requests", r.GetRequestId())}}
	if err := f.renew(r); err != nil {
		return err
	}
	d.Form, d.To, d.Here = f, f.Href(v, r.GetRequestId()), f.Href(v, r.GetRequestId())+"/sign"
	if err := d.say(); err != nil {
		return err
	}
	if d.Sign, err = s.step(v, f, d.To, d.Back); err != nil {
		return err
	}
	listen, err := r.listen(v)
	if err != nil {
		return err
	}
	title, err := v.Say.Say("signing.title." + s.verb)
	if err != nil {
		return err
	}
	what, err := r.Title()
	if err != nil {
		return err
	}
	return v.Render(p.templates, "sign", http.StatusOK,
		site.Page{Title: title, Of: what, Live: listen, Script: signing.Script, Data: d})
}

// step makes the statement, and the form that sends it with its signature.
func (s signable) step(v *site.Visit, f form, to, back string) (signing.Step, error) {
	step := signing.Step{Visit: v, Party: signing.PartyOf(v), Format: approval.FormatDecision, To: to, Back: back,
		Has: len(s.GetKeys()) > 0, Demanded: s.demanded(), Button: "signing.button." + s.verb, Tone: f.Look(),
		CommandLine: s.verb == approval.Approve && s.GetDemand() == string(approval.DemandCommandLine) &&
			!slices.ContainsFunc(signatures(f.of), signature.approvedThere),
		Command: "lockbox " + f.Name + " " + f.of.GetRequestId()}
	keys := step.Party.Usable(s.GetKeys())
	if len(keys) == 0 {
		return step, nil
	}
	chosen := 0
	for i, k := range keys {
		keys[i].Href = to + "/sign?" + url.Values{"key": {k.ID}}.Encode()
		if k.ID == v.R.URL.Query().Get("key") {
			chosen = i
		}
	}
	step.Keys = keys[chosen : chosen+1]
	step.Others = append(append(step.Others, keys[:chosen]...), keys[chosen+1:]...)
	c, err := s.choice(v, f, keys[chosen].ID)
	if err != nil {
		return step, err
	}
	d, err := keychain.Compose(s.SigningView, c, func(d approval.Decision) string { return shown.Text(d, d.Language) })
	if err != nil {
		return step, keychain.Refusal("signed", err)
	}
	statement, err := d.Bytes()
	if err != nil {
		return step, keychain.Refusal("signed", err)
	}
	step.Statement, step.Hidden = string(statement), f.values()
	step.Hidden.Set("command", f.Command)
	if f.Text != "" {
		step.Hidden.Set("salt", hex.EncodeToString(c.Salt[:]))
	}
	signing.Make(v, to, step.Statement)
	return step, nil
}

// signed returns what the form brings signed; nil if it brings nothing.
func signed(v *site.Visit, to string) (*lockboxv1.SignedStatement, error) {
	if !signing.Signs(v.R.PostForm) {
		return nil, nil //nolint:nilnil // it is not signed
	}
	statement, err := signing.Made(v, to)
	if err != nil {
		return nil, err
	}
	d, err := approval.ParseDecision([]byte(statement))
	if err != nil {
		return nil, keychain.Refusal("signed", err)
	}
	return signing.Sent(v.R.PostForm, statement, d.Key), nil
}

// replaced reports whether a form's statement is not the one that its page made last.
func replaced(err error) bool {
	r, is := refusal.As(err)
	return is && r.GetField() == "statement"
}

// revocation is a file for when the reader cannot sign in: what they would sign to revoke this access.
func revocation(v *site.Visit) error {
	r, err := own(v)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(verbs, func(b verb) bool { return b.Name == request.Revoke.Name })
	f := blank(verbs[at], r)
	s, err := f.signing(v, r.GetRequestId())
	if err != nil {
		return err
	}
	nothing := refusal.NotFound("path", "I9", "there is nothing here")
	if s == nil || !r.Allows(f.Name) {
		return nothing
	}
	step, err := s.step(v, f, f.Href(v, r.GetRequestId()), "")
	if err != nil || len(step.Keys) == 0 {
		return cmp.Or(err, nothing)
	}
	data, err := json.MarshalIndent(signing.Saved{Format: signing.SavedFormat, Statement: step.Statement,
		Credential: step.Keys[0].Credential, Label: step.Keys[0].Label}, "", "  ")
	if err != nil {
		return err
	}
	v.W.Header().Set("Content-Type", "application/json; charset=utf-8")
	v.W.Header().Set("Content-Disposition", `attachment; filename="revocation-`+r.GetRequestId()+`.json"`)
	_, _ = v.W.Write(data) // #nosec G705 -- JSON to save; the client may have disconnected
	return nil
}
