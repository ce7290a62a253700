// Package signing is the step in which somebody signs, with a key of their own, what they are about to do (R42). Any
// form can have it: the page before it makes the statement, this step shows its text and its words, the browser signs
// its digest, and what comes back is the form with the statement and the signature.
//
// The page decides nothing: whether a signature holds, and whether one is needed, is said by who records the decision.
package signing

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/url"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// Script is the asset that signs on a page.
const Script = "signing.js"

// Party is for whom keys are made and used in the browser: exactly the portal's own host and origin, never a parent
// domain, which has others' pages.
type Party struct{ Host, Origin string }

// PartyOf returns the portal's.
func PartyOf(v *site.Visit) Party {
	u, err := url.Parse(v.URL)
	if err != nil {
		return Party{}
	}
	return Party{strings.ToLower(u.Hostname()), strings.ToLower(u.Scheme + "://" + u.Host)}
}

// Address reports whether the portal's host is an address, for which no browser has keys.
func (p Party) Address() bool { return p.Host == "" || net.ParseIP(p.Host) != nil }

// Localhost returns where to open a portal that runs on this machine and is opened by its address; empty for others.
func (p Party) Localhost() string {
	if ip := net.ParseIP(p.Host); ip == nil || !ip.IsLoopback() {
		return ""
	}
	u, err := url.Parse(p.Origin)
	if err != nil {
		return ""
	}
	if port := u.Port(); port != "" {
		return u.Scheme + "://localhost:" + port
	}
	return u.Scheme + "://localhost"
}

// Key is a key of the reader's that can sign in this browser.
type Key struct {
	// ID is the key's id in hexadecimal digits.
	ID    string
	Label string
	// Credential is its credential, in base64url.
	Credential string
	// Href is the URL of this step with that key; empty if there is no choice.
	Href string
}

// Usable returns those keys that sign at the portal's host.
func (p Party) Usable(keys []*lockboxv1.KeyView) (usable []Key) {
	for _, k := range keys {
		e, err := approval.ParseEnrolment(k.GetEnrolment())
		if err == nil && e.Key.Kind == approval.KindWebAuthn && e.Key.RelyingParty == p.Host {
			usable = append(usable, Key{ID: hex.EncodeToString(k.GetKeyId()), Label: k.GetLabel(),
				Credential: e.Key.Credential})
		}
	}
	return usable
}

// Step is what the template "sign" shows.
type Step struct {
	*site.Visit
	Party Party
	// Statement is what is signed, Format its format.
	Statement, Format string
	// Keys are those that the browser may sign with: one, if the statement names it. Others are there to choose instead.
	Keys, Others []Key
	// Has reports whether the reader has any key that counts; Demanded whether nothing happens without a signature.
	Has, Demanded bool
	// CommandLine reports that one signature at least has to come from the command line, and none has yet.
	CommandLine bool
	// Command is what to type at the command line instead; empty if there is nothing.
	Command string
	// To is where the form is sent, Hidden its values. Back is where the reader goes who does not sign.
	To, Back string
	Hidden   url.Values
	// Button is the message ID of the button, Tone its class.
	Button, Tone string
}

func (s Step) digest() [32]byte { return approval.Digest(s.Format, []byte(s.Statement)) }

// Text is what is signed, in words of the reader's language, made from the statement alone.
func (s Step) Text() (string, error) {
	text, _, err := shown.Of([]byte(s.Statement), s.Say.Language)
	return text, err
}

// Words are those by which the statement is compared: twelve for the fingerprint of keys, else eight.
func (s Step) Words() string {
	if s.Format == approval.FormatGenesis {
		return approval.Text(s.digest(), approval.FingerprintWords)
	}
	return approval.Text(s.digest(), approval.DecisionWords)
}

// Genesis reports whether it is the beginning of keys.
func (s Step) Genesis() bool { return s.Format == approval.FormatGenesis }

// Challenge is what the browser has signed, in base64url.
func (s Step) Challenge() string {
	digest := s.digest()
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// Credentials are those of the keys.
func (s Step) Credentials() string {
	var all []string
	for _, k := range s.Keys {
		all = append(all, k.Credential)
	}
	return strings.Join(all, " ")
}

// place is where it is kept what a page has made. It is no page's own path, so that sending that page's form does not
// forget it.
func place(path string) string { return path + " statement" }

// Make keeps that a statement was made for the form that is sent to a path.
func Make(v *site.Visit, path, statement string) {
	v.Keep(place(path), url.Values{"made": {hashOf(statement)}})
}

// Made refuses a form with a statement that was not made for it: another page may have made another one meanwhile.
func Made(v *site.Visit, path string) (statement string, err error) {
	statement = v.R.PostForm.Get("statement")
	kept, err := v.Sessions.Draft(v.R, place(path))
	if err != nil {
		return "", err
	}
	if statement == "" || kept.Get("made") != hashOf(statement) {
		return "", refusal.OfKind(refusal.Invalid("statement", "R42", "is not what this page made, or too old"),
			"statement-replaced")
	}
	return statement, nil
}

func hashOf(statement string) string {
	sum := sha256.Sum256([]byte(statement))
	return hex.EncodeToString(sum[:])
}

// Signs reports whether a form brings a signature.
func Signs(form url.Values) bool { return form.Get("signature") != "" }

// Assertion is what the browser has sent as the signature of a key.
func Assertion(form url.Values, key string) approval.Signature {
	return approval.Signature{Key: key, AuthenticatorData: form.Get("authenticator"), ClientData: form.Get("client"),
		Bytes: form.Get("signature")}
}

// Sent is the signed statement that a form brings, signed with one key; salt is that of the comment.
func Sent(form url.Values, statement, key string) *lockboxv1.SignedStatement {
	signed := keychain.ToProto(approval.Signed{Statement: statement,
		Signatures: []approval.Signature{Assertion(form, key)}})
	signed.CommentSalt = form.Get("salt")
	return signed
}

// SavedFormat is that of a saved revocation.
const SavedFormat = "lockbox-revocation/v1"

// Saved is a revocation that somebody keeps for when they cannot sign in: what they would sign, and the credential of
// the key, which their browser needs to find it. It is no secret, and worth nothing without the key.
type Saved struct {
	Format string `json:"format"`
	// Statement is the statement, which is dated anew before it is signed.
	Statement  string `json:"statement"`
	Credential string `json:"credential"`
	Label      string `json:"label"`
}
