package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/signing"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

const maxLabel = 100 // characters

var base64url = base64.RawURLEncoding.Strict()

// enrolling is the data of the page on which somebody registers a key.
type enrolling struct {
	looking
	Party signing.Party
	// Challenge is what the browser answers; kept, and good for this page only.
	Challenge string
}

// User identifies the reader to their authenticator without saying who they are.
func (e enrolling) User() string {
	p := e.person()
	sum := sha256.Sum256([]byte("lockbox-user/v1\x00" + e.Session.Tenant + "\x00" + p.Issuer + "\x00" + p.Subject))
	return base64url.EncodeToString(sum[:])
}

// Exclude are the credentials of the reader's keys: an authenticator is registered once.
func (e enrolling) Exclude() string {
	var all []string
	for _, k := range e.Keys.GetKeys() {
		if of, err := approval.ParseEnrolment(k.GetEnrolment()); err == nil && e.mine(k) &&
			of.Key.RelyingParty == e.Party.Host {
			all = append(all, of.Key.Credential)
		}
	}
	return strings.Join(all, " ")
}

func challengePath(v *site.Visit) string { return v.Path(root, "enrol") + " challenge" }

func (p pages) enrolling(v *site.Visit, f *form.Form) error {
	l, err := look(v, f)
	if err != nil {
		return err
	}
	var challenge [32]byte
	_, _ = rand.Read(challenge[:])
	e := enrolling{l, signing.PartyOf(v), base64url.EncodeToString(challenge[:])}
	v.Keep(challengePath(v), url.Values{"challenge": {e.Challenge}})
	return p.show(l, "enrol", "keys.enrol.title", site.Page{Script: signing.Script, Data: e})
}

// enrol offers the key that the reader's browser has made.
func (p pages) enrol(v *site.Visit) error {
	f := form.Sent(v.R)
	l, err := look(v, f)
	if err != nil {
		return err
	}
	label := prose.Text(f.Value("label"))
	if n := utf8.RuneCountInString(label); n == 0 || n > maxLabel {
		f.Problems = append(f.Problems, form.Problem{Field: form.Field{Name: "label", Label: "keys.enrol.label"},
			Message: "keys.enrol.label-wanted"})
		return p.enrolling(v, f)
	}
	role := approval.Approver
	if f.Value("role") == approval.Administrator {
		role = approval.Administrator
	}
	kept, err := v.Sessions.Draft(v.R, challengePath(v))
	if err != nil {
		return err
	}
	key, err := registered(f.Value("attestation"), kept.Get("challenge"), signing.PartyOf(v))
	if err != nil {
		f.Refusal = refusal.Of(err)
		return p.enrolling(v, f)
	}
	enrolment, err := approval.Enrolment{Key: key, Person: l.person(), Role: role}.Bytes()
	if err != nil {
		return err
	}
	return do(v, f, &lockboxv1.Command{Action: &lockboxv1.Command_OfferKey{
		OfferKey: &lockboxv1.OfferKey{Enrolment: enrolment, Label: label}}}, v.Path(root), p.enrolling)
}

// registered reads the key that a browser has made at this portal. Whose hardware it is says nothing here: attestation
// is not asked for.
func registered(sent, challenge string, party signing.Party) (approval.Key, error) {
	made, err := protocol.ParseCredentialCreationResponseBytes([]byte(sent))
	if err == nil && challenge != "" {
		_, err = made.Verify(challenge, party.Host, []string{party.Origin}, nil, nil,
			protocol.TopOriginExplicitVerificationMode, false, true, true, nil, algorithms, protocol.AttestationPolicy{},
			protocol.SignaturePolicy{})
	}
	if err != nil || challenge == "" {
		return approval.Key{}, refusal.OfKind(refusal.Invalid("attestation", "R42", "this page has not made that key"),
			"key-not-made")
	}
	of := made.Response.AttestationObject.AuthData
	key := approval.Key{Kind: approval.KindWebAuthn, Public: base64url.EncodeToString(of.AttData.CredentialPublicKey),
		Credential: base64url.EncodeToString(of.AttData.CredentialID), RelyingParty: party.Host,
		Origins: []string{party.Origin}, Verification: 1}
	if of.Flags.HasBackupEligible() {
		key.Backup = 1
	}
	if _, err := key.ID(); err != nil {
		return key, refusal.OfKind(refusal.Invalid("attestation", "R42", "a key of this kind cannot be used"), "key-kind")
	}
	return key, nil
}

// algorithms are those that statements are signed with.
var algorithms = []protocol.CredentialParameter{{Type: protocol.PublicKeyCredentialType, Algorithm: -8},
	{Type: protocol.PublicKeyCredentialType, Algorithm: -7}, {Type: protocol.PublicKeyCredentialType, Algorithm: -257}}
