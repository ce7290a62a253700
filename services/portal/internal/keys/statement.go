package keys

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	text "github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/shown"
	"github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// open is a statement that waits for signatures.
type open struct {
	*lockboxv1.OfferedChange
	looking
	Format string
	// holders are the keys that can sign it, the recovery key among them.
	holders []holder
	// Change is what it changes; empty for a genesis.
	Change string
}

// holder is a key that can sign a statement.
type holder struct {
	ID     string
	Key    approval.Key
	Person *approval.Person
	Name   string
	Label  string
	// Needed reports that the statement takes no effect without it.
	Needed bool
}

// Open are the statements that wait, the newest first.
func (l looking) Open() []open {
	var all []open
	for _, o := range slices.Backward(l.Keys.GetOffered()) {
		if is, err := l.read(o); err == nil {
			all = append(all, is)
		}
	}
	return all
}

// read reads a statement that waits, and whose keys can sign it.
func (l looking) read(o *lockboxv1.OfferedChange) (is open, err error) {
	is = open{OfferedChange: o, looking: l}
	statement := o.GetChange().GetStatement()
	if _, is.Format, err = text.Of(statement, l.Say.Language); err != nil {
		return is, err
	}
	if is.Format == approval.FormatGenesis {
		g, err := approval.ParseGenesis(statement)
		if err != nil {
			return is, err
		}
		for _, e := range g.Administrators {
			is.add(e, true)
		}
		is.recovery(g.Recovery, true)
		return is, nil
	}
	c, err := approval.ParseKeyChange(statement)
	if err != nil {
		return is, err
	}
	is.Change = c.Change
	for _, e := range c.Keys {
		is.add(e, true)
	}
	for _, k := range c.Recovery {
		is.recovery(k, true)
	}
	for _, k := range l.Keys.GetKeys() {
		if k.GetStanding() != lockboxv1.KeyStanding_KEY_STANDING_COUNTS {
			continue
		}
		if e, err := approval.ParseEnrolment(k.GetEnrolment()); err == nil {
			is.add(e, false)
		} else if key := new(approval.Key); json.Unmarshal(k.GetEnrolment(), key) == nil {
			is.recovery(*key, c.Change == approval.RecoverKeys)
		}
	}
	return is, nil
}

func (o *open) add(e approval.Enrolment, needed bool) {
	id, err := e.Key.ID()
	if err != nil || slices.ContainsFunc(o.holders, func(h holder) bool { return h.ID == id }) {
		return
	}
	h := holder{ID: id, Key: e.Key, Person: &e.Person, Name: e.Person.Subject, Needed: needed}
	if k := o.key(id); k != nil {
		h.Name, h.Label = shown.Name(k.GetPerson()), k.GetLabel()
	}
	o.holders = append(o.holders, h)
}

func (o *open) recovery(k approval.Key, needed bool) {
	if id, err := k.ID(); err == nil {
		o.holders = append(o.holders, holder{ID: id, Key: k, Needed: needed})
	}
}

// Digest is that of the statement, in hexadecimal digits.
func (o open) Digest() string {
	digest := approval.Digest(o.Format, o.GetChange().GetStatement())
	return hex.EncodeToString(digest[:])
}

// Href is the URL of its page.
func (o open) Href() string { return o.To("statements", o.Digest()) }

// TitleID is the message ID of what it is.
func (o open) TitleID() string {
	if o.Change == "" {
		return "keys.statement.genesis"
	}
	return "keys.statement." + o.Change
}

// Drafted says who began it.
func (o open) Drafted() string { return shown.Name(o.GetBy().GetPerson()) }

func (o open) signedBy(h holder) bool {
	return slices.ContainsFunc(o.GetChange().GetSignatures(), func(s *lockboxv1.StatementSignature) bool {
		return hex.EncodeToString(s.GetKeyId()) == h.ID
	})
}

// Signed are the keys that have signed, Missing those without which it takes no effect.
func (o open) Signed() []holder {
	return slices.DeleteFunc(slices.Clone(o.holders), func(h holder) bool { return !o.signedBy(h) })
}

// Missing are the keys without which it takes no effect.
func (o open) Missing() []holder {
	return slices.DeleteFunc(slices.Clone(o.holders), func(h holder) bool { return !h.Needed || o.signedBy(h) })
}

// own are the reader's keys that have not signed yet.
func (o open) own() (views []*lockboxv1.KeyView) {
	for _, h := range o.holders {
		if k := o.key(h.ID); k != nil && h.Person != nil && o.mine(k) && !o.signedBy(h) {
			views = append(views, k)
		}
	}
	return views
}

// AwaitsMe reports whether the reader can sign it and has not.
func (o open) AwaitsMe() bool {
	return len(o.own()) > 0 && !slices.ContainsFunc(o.Signed(), func(h holder) bool {
		return h.Person != nil && h.Person.Account == o.person().Account
	})
}

// signStatement is the data of the page of one statement.
type signStatement struct {
	open
	Sign signing.Step
}

// Namespace is that of SSH signatures of the statement.
func (s signStatement) Namespace() string { return approval.Namespace(s.Format) }

// find returns the statement in the URL.
func find(v *site.Visit, f *form.Form) (open, error) {
	l, err := look(v, f)
	if err != nil {
		return open{}, err
	}
	for _, o := range l.Open() {
		if o.Digest() == v.R.PathValue("digest") {
			return o, nil
		}
	}
	return open{looking: l}, refusal.NotFound("path", "I9", "there is nothing here")
}

func (p pages) statement(v *site.Visit, f *form.Form) error {
	o, err := find(v, f)
	if err != nil {
		// With the last signature, a statement waits no longer.
		if site.NotFound(err) && o.Visit != nil && v.R.URL.Query().Has("after") {
			return v.Redirect(v.Path(root), o.sequence)
		}
		return err
	}
	own := o.own()
	party := signing.PartyOf(v)
	s := signStatement{o, signing.Step{Visit: v, Party: party, Format: o.Format,
		Statement: string(o.GetChange().GetStatement()), Keys: party.Usable(own), Has: len(own) > 0, To: o.Href(),
		Back: o.To(), Button: "signing.button.keys", Tone: "main"}}
	if s.Sign.Hidden, err = hidden(); err != nil {
		return err
	}
	return p.show(o.looking, "statement", o.TitleID(), site.Page{Script: signing.Script, Data: s})
}

func hidden() (map[string][]string, error) {
	id, err := form.NewID()
	return map[string][]string{"command": {id}}, err
}

// sign adds a signature: of a key in the reader's browser, or one of SSH that they bring.
func (p pages) sign(v *site.Visit) error {
	f := form.Sent(v.R)
	o, err := find(v, f)
	if err != nil {
		return err
	}
	statement := o.GetChange().GetStatement()
	var made approval.Signature
	if armored := f.Value("ssh"); armored != "" {
		var is bool
		if made, is = o.ofSSH(armored); !is {
			f.Problems = append(f.Problems, form.Problem{Field: form.Field{Name: "ssh", Label: "keys.statement.ssh"},
				Message: "keys.statement.ssh-wrong"})
			return p.statement(v, f)
		}
	} else {
		for _, h := range o.holders {
			if h.Key.Credential != "" && h.Key.Credential == f.Value("credential") {
				made = signing.Assertion(v.R.PostForm, h.ID)
			}
		}
		if made.Key == "" {
			return unknown("credential")
		}
	}
	signed := approval.Signed{Statement: string(statement), Signatures: []approval.Signature{made}}
	return do(v, f, &lockboxv1.Command{Action: &lockboxv1.Command_SignKeys{
		SignKeys: &lockboxv1.SignKeys{Change: keychain.ToProto(signed)}}}, o.Href(), p.statement)
}

// ofSSH finds the key that made a signature of SSH.
func (o open) ofSSH(armored string) (approval.Signature, bool) {
	blob, err := approval.Unarmor([]byte(strings.TrimSpace(armored) + "\n"))
	if err != nil {
		return approval.Signature{}, false
	}
	for _, h := range o.holders {
		made := approval.Signature{Key: h.ID, Bytes: base64url.EncodeToString(blob)}
		if h.Key.Kind != approval.KindSSH {
			continue
		}
		if _, err := h.Key.Verify(made, o.Format, o.GetChange().GetStatement()); err == nil {
			return made, true
		}
	}
	return approval.Signature{}, false
}

// file is the statement, byte for byte, to be signed with ssh-keygen.
func file(v *site.Visit) error {
	o, err := find(v, form.Empty())
	if err != nil {
		return err
	}
	v.W.Header().Set("Content-Type", "application/octet-stream")
	v.W.Header().Set("Content-Disposition", `attachment; filename="statement.json"`)
	v.W.WriteHeader(http.StatusOK)
	_, _ = v.W.Write(o.GetChange().GetStatement()) // #nosec G705 -- a file to save; the client may have disconnected
	return nil
}
