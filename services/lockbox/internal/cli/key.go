package cli

import (
	"context"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/sshkey"
	"github.com/spf13/cobra"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "The keys with which your people sign what they decide",
		`What your people approve, deny and change can be signed with keys that they alone have: SSH keys here, passkeys and security
keys in the portal. Then nobody at the provider can make an approval that you did not give, and you can check that yourself.
Everybody offers their own key; at least two administrators, and a recovery key that you keep offline, begin (genesis); then
compare the fingerprint's words, by phone for example. lockbox help signing explains all of it.`,
		`  ssh-keygen -t ed25519-sk -O verify-required -f ~/.ssh/lockbox
  lockbox key offer --key ~/.ssh/lockbox.pub --role administrator
  lockbox key genesis --recovery recovery.pub --demand signatures
  lockbox key sign
  lockbox key list`,
		a.keyListCommand(), a.keyOfferCommand(), a.keyGenesisCommand(), a.keySignCommand(), a.keyEnrolCommand(),
		a.keyRemoveCommand(), a.keyDemandCommand(), a.keyRecoverCommand(), a.keyReplaceRecoveryCommand(),
		a.keyStatementCommand(), a.keySubmitCommand(), a.keyBasisCommand())
}

func (a *app) keyListCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the keys, what waits for signatures, and the fingerprint", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Lists your organisation's keys and verifies here, from the signed statements, which of them count. Compare the fingerprint's
words with your colleagues by another way than this one, and pin it: with --pin, other keys than those end with exit code 10.`,
		Example: `  lockbox key list
  lockbox key list --pin "$LOCKBOX_FINGERPRINT" -o json | jq -r '.keys[].label'`,
	}
	a.pins(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		k, err := s.keyring(ctx)
		if err != nil {
			return err
		}
		me := s.me(ctx)
		return a.show(k.KeysView, func(l render.Look) string { return render.Keys(l, k.KeysView, k.rendered(a), me) })
	})
	return c
}

// rendered is what was verified of the keys here.
func (k *keyring) rendered(a *app) render.Keyring {
	r := render.Keyring{Standing: map[string]lockboxv1.KeyStanding{}}
	if k.chain != nil {
		r.Fingerprint = strings.Join(approval.Words(k.chain.Fingerprint(), approval.FingerprintWords), " ")
		for _, e := range k.chain.Keys() {
			r.Standing[e.ID] = standing(e)
		}
	}
	for _, o := range k.GetOffered() {
		st, err := a.readStatement(o.GetChange().GetStatement())
		if err != nil {
			st.text = "A statement that cannot be read."
		}
		what, _, _ := strings.Cut(st.text, "\n")
		r.Open = append(r.Open, render.OpenStatement{What: what, Words: st.words(), By: o.GetBy(), At: o.GetAt(),
			Signatures: len(o.GetChange().GetSignatures())})
	}
	return r
}

func standing(e approval.Enrolled) lockboxv1.KeyStanding {
	switch {
	case e.Removed != 0:
		return lockboxv1.KeyStanding_KEY_STANDING_REMOVED
	case e.From != 0:
		return lockboxv1.KeyStanding_KEY_STANDING_COUNTS
	}
	return lockboxv1.KeyStanding_KEY_STANDING_WAITING
}

// roles are those of keys.
var roles = []string{approval.Approver, approval.Administrator}

func (a *app) keyOfferCommand() *cobra.Command {
	var from, role, label string
	var verifies bool
	c := &cobra.Command{
		Use: "offer", Short: "Offer the public half of a key of yours, for others to enrol", Args: exactly(),
		ValidArgsFunction: nothing,
		Long: `Says which SSH key you would decide with: the only one of ssh-agent, or --key. Only the public half is sent. The key does not
count until those who may enrol it have signed. A key that lives in a security key and asks for its PIN is best; it is enrolled
as such if its private file is beside the public one, or with --verify-required. Passkeys are offered in the portal.`,
		Example: `  lockbox key offer
  lockbox key offer --key ~/.ssh/lockbox.pub --role administrator --label "blue key"`,
	}
	f := c.Flags()
	f.StringVar(&from, "key", sshkey.Agent, "`file` of the public key, or agent:NAME")
	f.StringVar(&role, "role", approval.Approver, "approver: decides; administrator: also changes keys")
	f.StringVar(&label, "label", "", "what you call it (default the key's comment)")
	f.BoolVar(&verifies, "verify-required", false,
		"the security key asks for its PIN each time (ssh-keygen -O verify-required)")
	complete(c, "key", a.signers)
	complete(c, "role", fixed(roles...))
	complete(c, "label", nothing)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		tenant, err := s.oneTenant(ctx)
		if err != nil {
			return err
		}
		key, comment, err := a.publicKey(ctx, from)
		if err != nil {
			return err
		}
		if verifies {
			key.Verification = 1
		}
		if _, err := key.ID(); err != nil {
			return usage(c, "--verify-required is for a security key, which this is not")
		}
		self, err := s.self(ctx)
		if err != nil {
			return err
		}
		p := self.GetActor().GetPerson()
		enrolment, err := approval.Enrolment{Key: key, Role: role, Person: approval.Person{Human: p.GetHuman(),
			Account: approval.Account{Issuer: p.GetIssuer(), Subject: p.GetSubject()}}}.Bytes()
		if err != nil {
			return usage(c, "--role is %s", strings.Join(roles, " or "))
		}
		label = first(label, comment)
		if label == "" {
			return usage(c, "--label is needed: the key has no comment")
		}
		next := "Others enrol it with `lockbox key enrol`, or `lockbox key genesis` if these are the first keys."
		return s.order(ctx, tenant, "", &lockboxv1.Command{Action: &lockboxv1.Command_OfferKey{
			OfferKey: &lockboxv1.OfferKey{Enrolment: enrolment, Label: label}}},
			"Offered: %s, as a key of an %s. %s", render.Clean(label), role, next)
	})
	return c
}

// publicKey is a key of SSH by its public half: from a file, or of ssh-agent.
func (a *app) publicKey(ctx context.Context, from string) (key approval.Key, comment string, err error) {
	s := &sshkey.Signer{}
	kind, _, _ := strings.Cut(from, ":")
	if kind == sshkey.Agent || kind == sshkey.Keygen {
		s, err = a.tools().Find(ctx, from)
	} else {
		from = a.tools().Path(from)
		s.Public, s.Comment, err = sshkey.ReadPublic(from)
	}
	if err == nil {
		err = sshkey.Accepted(s.Public)
	}
	if err != nil {
		return key, "", err
	}
	key = approval.Key{Kind: approval.KindSSH, Public: s.Encoded(), Origins: []string{}}
	if s.Hardware() && sshkey.Verifies(from) {
		key.Verification = 1
	}
	return key, s.Comment, nil
}

// keyNames completes the labels of keys of some standings.
func (a *app) keyNames(standings ...lockboxv1.KeyStanding) completer {
	return firstArgument(a.asking(func(ctx context.Context, s *session) []string {
		k, err := s.keyring(ctx)
		if err != nil {
			return nil
		}
		var names []string
		for _, h := range k.in(standings...) {
			names = append(names, cobra.CompletionWithDesc(render.Clean(h.name()), render.Clean(h.Person.Subject)+", "+h.Role))
		}
		return names
	}))
}
