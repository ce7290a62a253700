package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/sshkey"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
)

// signFlags say with which key a command is signed, and under whose keys.
type signFlags struct {
	with, pin string
	without   bool
}

// signs adds the flags to a command that can be signed.
func (a *app) signs(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&a.sign.with, "sign-with", "",
		"sign with this `key`: agent[:NAME], a file, or ssh-keygen:FILE (LOCKBOX_SIGN_WITH; lockbox help signing)")
	f.BoolVar(&a.sign.without, "no-sign", false, "do not sign, where that is not demanded")
	a.pins(c)
	c.MarkFlagsMutuallyExclusive("sign-with", "no-sign")
	complete(c, "sign-with", a.signers)
}

// pins adds --pin to a command that shows or uses a customer's keys.
func (a *app) pins(c *cobra.Command) {
	c.Flags().StringVar(&a.sign.pin, "pin", "", "the `fingerprint` that your organisation's keys must have (LOCKBOX_PIN)")
	complete(c, "pin", nothing)
}

// tools are what signing uses of the process.
func (a *app) tools() sshkey.Tools {
	t := sshkey.Tools{Getenv: a.Getenv}
	if a.interactive() {
		t.Secret, t.Err = a.Secret, a.Err
	}
	return t
}

// signers completes the ways to name a key.
func (a *app) signers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names := []string{sshkey.Agent}
	held, _ := a.tools().AgentKeys() // without an agent, files are left
	for _, s := range held {
		names = append(names, cobra.CompletionWithDesc(sshkey.Agent+":"+s.Fingerprint(), s.Comment))
	}
	return names, cobra.ShellCompDirectiveDefault
}

// language is that of what people read before they sign: their locale's.
func (a *app) language() string {
	tag, _, _ := strings.Cut(first(a.Getenv("LC_ALL"), a.Getenv("LC_MESSAGES"), a.Getenv("LANG")), ".")
	return shown.Language(strings.ReplaceAll(tag, "_", "-"))
}

// holder is an enrolled or offered key, with its id and what its owner calls it.
type holder struct {
	approval.Enrolment
	id, label string
}

// heldBy reads the keys of an answer. One that is not what its id says is left out: nothing is signed for it.
func heldBy(views []*lockboxv1.KeyView) (keys []holder) {
	for _, v := range views {
		e, err := approval.ParseEnrolment(v.GetEnrolment())
		if err != nil {
			continue
		}
		if id, err := e.Key.ID(); err == nil && id == hex.EncodeToString(v.GetKeyId()) {
			keys = append(keys, holder{e, id, v.GetLabel()})
		}
	}
	return keys
}

// public is the key in SSH's terms; nil for one of the browser.
func (h holder) public() ssh.PublicKey {
	if h.Key.Kind != approval.KindSSH {
		return nil
	}
	blob, err := base64.RawURLEncoding.DecodeString(h.Key.Public)
	if err != nil {
		return nil
	}
	key, _ := ssh.ParsePublicKey(blob)
	return key
}

func (h holder) name() string { return first(h.label, h.id[:8]) }

// toSign is what somebody is about to sign with a key of theirs.
type toSign struct {
	app  *app
	view *lockboxv1.SigningView
	key  holder
	with *sshkey.Signer
	// What is signed, of a format, and the text that says so.
	format, text string
	statement    []byte
	// salt hides a reason in the statement.
	salt string
}

// errUnsigned refuses, before anything is sent, what has to be signed and cannot be.
func errUnsigned(kind, format string, args ...any) error {
	return refusal.OfKind(refusal.Forbidden("signed", "R42", format, args...), kind)
}

// signing finds the key with which an act is signed (a verb of a decision, or a change of package approval) that is
// about something of a tenant's. It is nil if nothing is signed: where nobody has to, or somebody said so. If it cannot
// be known, whatever takes access away is not held up.
func (s *session) signing(
	ctx context.Context, tenant, act string, about *lockboxv1.GetSigning,
) (*toSign, error) {
	a := s.app
	with := first(a.sign.with, a.Getenv("LOCKBOX_SIGN_WITH"))
	if a.sign.without {
		return nil, nil //nolint:nilnil // nothing is signed
	}
	reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetSigning{GetSigning: about}})
	if err != nil {
		if with == "" && (ExitCode(err) != exitUnavailable || act == approval.Revoke || act == approval.Deny) {
			err = nil // the provider's people sign nothing
		}
		return nil, err
	}
	v := reply.GetSigning()
	demand := approval.Demand(first(v.GetDemand(), string(approval.DemandNone)))
	if err := a.pinned(v.GetGenesis()); err != nil {
		return nil, err
	}
	switch {
	case len(v.GetGenesis()) == 0 && with != "":
		return nil, refusal.OfKind(refusal.Precondition("sign-with", "R42",
			"your organisation has no keys yet, so nothing that you sign would count"), "no-keys")
	case len(v.GetGenesis()) == 0 && !demand.Needs(act, false):
		return nil, nil //nolint:nilnil // nothing is signed
	}
	keys := heldBy(v.GetKeys())
	if !slices.Contains([]string{approval.Approve, approval.Deny, approval.Revoke}, act) { // a change
		keys = slices.DeleteFunc(keys, func(h holder) bool { return h.Role != approval.Administrator })
	}
	if with != "" {
		x, err := a.signingWith(ctx, with, keys)
		if err == nil {
			x.view = v
		}
		return x, err
	}
	if key, signer := a.here(keys); signer != nil {
		return &toSign{app: a, view: v, key: key, with: signer}, nil
	}
	return nil, a.unsigned(act, demand, keys)
}

// here finds a key that can sign here without being named.
func (a *app) here(keys []holder) (holder, *sshkey.Signer) {
	var publics []ssh.PublicKey
	for _, k := range keys {
		if p := k.public(); p != nil {
			publics = append(publics, p)
		}
	}
	if len(publics) == 0 {
		return holder{}, nil
	}
	signer := a.tools().Among(publics)
	if signer == nil {
		return holder{}, nil
	}
	return keys[slices.IndexFunc(keys, of(signer))], signer
}

// of tells the key with which a signer signs.
func of(s *sshkey.Signer) func(holder) bool {
	return func(h holder) bool { return h.Key.Kind == approval.KindSSH && h.Key.Public == s.Encoded() }
}

// signingWith is a key that somebody names, which has to be among theirs.
func (a *app) signingWith(ctx context.Context, named string, keys []holder) (*toSign, error) {
	signer, err := a.tools().Find(ctx, named)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(keys, of(signer))
	if i < 0 {
		var names []string
		for _, k := range keys {
			names = append(names, render.Clean(k.name()))
		}
		mine := "you have none that counts"
		if len(names) > 0 {
			mine = "those that count: " + strings.Join(names, ", ")
		}
		return nil, refusal.OfKind(refusal.Forbidden("sign-with", "R42", "%s is not a key of yours that counts; %s", named,
			mine), "key-unknown")
	}
	return &toSign{app: a, key: keys[i], with: signer}, nil
}

// unsigned refuses an act that has to be signed by somebody who cannot here, and says how they can.
func (a *app) unsigned(act string, demand approval.Demand, keys []holder) error {
	var ssh, names []string
	for _, k := range keys {
		names = append(names, render.Clean(k.name()))
		if p := k.public(); p != nil {
			ssh = append(ssh, render.Clean(k.name()))
		}
	}
	switch needed := demand.Needs(act, len(keys) > 0); {
	case !needed && len(keys) > 0:
		return a.remark("Not signed: none of your keys is here (%s).", strings.Join(names, ", "))
	case !needed:
		return nil
	case len(keys) == 0:
		return errUnsigned("unsigned-no-key",
			"your organisation demands that this is signed, and you have no key that counts for it: offer one with "+
				"`lockbox key offer`")
	case len(ssh) == 0:
		return errUnsigned("unsigned", "this has to be signed, and your keys (%s) sign in the portal only: decide there, or "+
			"offer an SSH key with `lockbox key offer`", strings.Join(names, ", "))
	}
	return errUnsigned("unsigned", "this has to be signed, and none of your SSH keys (%s) is here: name its file with "+
		"--sign-with, or ssh-add it", strings.Join(ssh, ", "))
}

// remark tells a person something beside what they asked for.
func (a *app) remark(text string, args ...any) error {
	if a.output != formatTable {
		return nil
	}
	_, err := io.WriteString(a.Err, render.Paragraphs(a.lookAt(a.ErrTerminal), fmt.Sprintf(text, args...)))
	return err
}

// signingOf is the signing of a command about a request; nil if it is not signed.
func (s *session) signingOf(ctx context.Context, t target, verb string) (*toSign, error) {
	return s.signing(ctx, t.tenant, verb, &lockboxv1.GetSigning{About: &lockboxv1.GetSigning_RequestId{RequestId: t.id}})
}

// signable reports whether a request stands where a decision about it can be signed. Else the services say why not.
func signable(v *lockboxv1.RequestView, verb string) bool {
	return v == nil || v.GetStatus() == request.CustomerNotified && verb != approval.Revoke ||
		v.GetStatus() == request.Active && verb == approval.Revoke
}

// decisionOf is how a statement calls a decision; false for any other command.
func decisionOf(c *lockboxv1.Command) (verb string, is bool) {
	switch c.GetAction().(type) {
	case *lockboxv1.Command_Approve:
		return approval.Approve, true
	case *lockboxv1.Command_Deny:
		return approval.Deny, true
	case *lockboxv1.Command_Revoke:
		return approval.Revoke, true
	}
	return "", false
}

// decide makes the statement of a decision from the exact events, and nothing else.
func (x *toSign) decide(c *lockboxv1.Command) error {
	prose.Message(c) // what is signed is what is taken in
	choice := keychain.Choice{By: x.key.Person.Account, Key: x.key.id, Now: x.app.Now(), Language: x.app.language()}
	choice.Verb, _ = decisionOf(c)
	choice.Reason = first(c.GetApprove().GetReason(), c.GetDeny().GetReason(), c.GetRevoke().GetReason())
	choice.Resources, choice.Duration = c.GetApprove().GetResourceIds(), c.GetApprove().GetDuration().AsDuration()
	for _, b := range [][]byte{choice.Salt[:], choice.Nonce[:]} {
		if _, err := rand.Read(b); err != nil {
			return err
		}
	}
	d, err := keychain.Compose(x.view, choice, func(d approval.Decision) string {
		x.text = shown.Text(d, d.Language)
		return x.text
	})
	if err != nil {
		return keychain.Refusal("signed", err)
	}
	if d.Tenant != c.GetTenant() || d.Request != c.GetAggregateId() {
		return errUnsigned("unsigned", "what you would sign is about another request, %s of %s", d.Request, d.Tenant)
	}
	if choice.Reason != "" {
		x.salt = hex.EncodeToString(choice.Salt[:])
	}
	x.format = d.Format
	x.statement, err = d.Bytes()
	return err
}

// words are those of the statement's digest.
func (x *toSign) words() string { return wordsOf(x.format, x.statement) }

// wordsOf are the words by which a statement is compared: twelve of a genesis, eight of any other.
func wordsOf(format string, statement []byte) string {
	n := approval.DecisionWords
	if format == approval.FormatGenesis {
		n = approval.FingerprintWords
	}
	return strings.Join(approval.Words(approval.Digest(format, statement), n), " ")
}

// shown is what is signed, for a person to read before.
func (x *toSign) shown(l render.Look) string {
	return render.Statement(l, x.text, x.words(), fmt.Sprintf("%s (%s)", x.key.name(), x.with.Where))
}

// said is what was signed, in one sentence; empty if nothing was.
func (x *toSign) said() string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf(" Signed with %s, words %s.", render.Clean(x.key.name()), x.words())
}

// signed signs, and verifies the signature as others will.
func (x *toSign) signed(ctx context.Context) (*lockboxv1.SignedStatement, error) {
	made, err := x.app.signature(ctx, x.with, x.key.Key, x.format, x.statement)
	if err != nil {
		return nil, err
	}
	signed := keychain.ToProto(approval.Signed{Statement: string(x.statement), Signatures: []approval.Signature{made}})
	signed.CommentSalt = x.salt
	return signed, nil
}

// signature signs a statement with a key, and verifies the signature before anything is sent.
func (a *app) signature(
	ctx context.Context, with *sshkey.Signer, key approval.Key, format string, statement []byte,
) (approval.Signature, error) {
	id, err := key.ID()
	if err != nil {
		return approval.Signature{}, err
	}
	blob, err := with.SSHSIG(ctx, approval.Namespace(format), statement)
	if err != nil {
		return approval.Signature{}, err
	}
	made := approval.Signature{Key: id, Bytes: base64.RawURLEncoding.EncodeToString(blob)}
	_, err = key.Verify(made, format, statement)
	if approval.RuleOf(err) == approval.RuleVerification {
		return made, errors.New("the security key did not verify you, and was enrolled as one that does: it has to be " +
			"made with `ssh-keygen -O verify-required`, and asks for its PIN")
	}
	if err != nil {
		return made, fmt.Errorf("the signature of %s does not hold: %w", with.Where, err)
	}
	return made, nil
}

// pinned refuses a genesis that is not the one that the user pinned.
func (a *app) pinned(genesis []byte) error {
	pin := first(a.sign.pin, a.Getenv("LOCKBOX_PIN"))
	if pin == "" {
		return nil
	}
	if len(genesis) != 32 {
		return &pinError{fmt.Sprintf("your organisation has no keys here, and %s is pinned", pin)}
	}
	words := approval.Words([32]byte(genesis), approval.FingerprintWords)
	given := strings.FieldsFunc(strings.ToLower(pin), func(r rune) bool { return r == ' ' || r == '-' || r == ',' })
	if strings.ToLower(pin) == hex.EncodeToString(genesis) || slices.Equal(given, words) {
		return nil
	}
	return &pinError{fmt.Sprintf("these keys are not those that are pinned. Their fingerprint is: %s. Sign nothing, and "+
		"compare with your colleagues what they see", strings.Join(words, " "))}
}

// pinError is a customer's keys that are not those that somebody pinned.
type pinError struct{ why string }

func (e *pinError) Error() string { return e.why }

func (*pinError) Is(target error) bool { return target == ErrNotTrue }

// shows has a person at a terminal read what they sign, and confirm it if there is a question.
func (a *app) shows(ctx context.Context, statement, sentence, question string, yes bool) error {
	if !a.interactive() {
		return nil
	}
	if _, err := io.WriteString(a.Err, statement); err != nil || question == "" {
		return err
	}
	return a.confirm(ctx, yes, sentence, question)
}
