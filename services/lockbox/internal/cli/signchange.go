package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/spf13/cobra"
)

// signedCommands are those that change what could get around a demand for signatures. signChange is where they are
// signed.
var signedCommands = []string{"tenant disable", "tenant preview sign-off", "tenant settings", "tenant issuer propose",
	"tenant issuer confirm", "tenant issuer finish", "role assign", "role remove", "role invite", "role confirm",
	"role carry-over"}

// signsChanges adds the flags for signing to the commands of changes.
func (a *app) signsChanges(root *cobra.Command) {
	for _, below := range root.Commands() {
		_, path, _ := strings.Cut(below.CommandPath(), " ")
		if slices.Contains(signedCommands, path) {
			a.signs(below)
		}
		a.signsChanges(below)
	}
}

// signChange signs a command, if it changes something of a customer's that their demand for signatures is about, and
// whoever sends it has a key for that. Every command about tenants and subscriptions comes through here.
func (s *session) signChange(ctx context.Context, c *lockboxv1.Command) (*toSign, error) {
	about, err := aggregate.Of(c)
	if err != nil || c.GetTransferSubscription() != nil || !keychain.Signs(c) {
		return nil, nil //nolint:nilerr,nilnil // the service says what is wrong with it
	}
	ask := &lockboxv1.GetSigning{}
	switch about.Kind {
	case aggregate.KindTenant:
		ask.About = &lockboxv1.GetSigning_TenantItself{TenantItself: true}
	case aggregate.KindSubscription:
		ask.About = &lockboxv1.GetSigning_SubscriptionId{SubscriptionId: about.ID}
	default:
		return nil, nil //nolint:nilnil // nothing that is signed
	}
	change, err := keychain.Change(c, make([]byte, 32)) // only for what kind of change it is
	if err != nil {
		return nil, keychain.Refusal("signed", err)
	}
	if needed, err := s.needs(ctx, c); err != nil || !needed && s.app.sign.with == "" {
		return nil, err
	}
	x, err := s.signing(ctx, about.Tenant, change.Change, ask)
	if x == nil || err != nil {
		return nil, err
	}
	prose.Message(c) // what is signed is what is taken in
	if err := x.change(c, about); err != nil {
		return nil, err
	}
	yes := s.app.output != formatTable
	if flag := s.command.Flags().Lookup("yes"); flag != nil {
		yes = flag.Value.String() == "true"
	}
	if err := s.app.shows(ctx, x.shown(s.app.lookAt(s.app.ErrTerminal)), "", "Sign it?", yes); err != nil {
		return nil, err
	}
	c.Signed, err = x.signed(ctx)
	return x, err
}

// needs reports whether a change has to be signed where signatures are demanded, as the tenant is now.
func (s *session) needs(ctx context.Context, c *lockboxv1.Command) (bool, error) {
	now := tenant.State{}
	if c.GetChangeSettings() != nil {
		v, err := s.tenantView(ctx, c.GetTenant(), 0)
		if err != nil {
			return false, err
		}
		now.Settings = v.GetSettings()
	}
	return keychain.Needs(now, c), nil
}

// change makes the statement of a change, which follows the last event of what it changes.
func (x *toSign) change(c *lockboxv1.Command, about aggregate.Key) error {
	choice := keychain.Choice{By: x.key.Person.Account, Key: x.key.id, Now: x.app.Now(), Language: x.app.language()}
	for _, b := range [][]byte{choice.Salt[:], choice.Nonce[:]} {
		if _, err := rand.Read(b); err != nil {
			return err
		}
	}
	is, err := keychain.ComposeChange(x.view, about.Kind, about.ID, c, choice, func(is approval.Change) string {
		x.text = shown.ChangeText(is, is.Language)
		return x.text
	})
	if err != nil {
		return keychain.Refusal("signed", err)
	}
	if _, err := keychain.Change(c, nil); err != nil { // it has texts
		x.salt = hex.EncodeToString(choice.Salt[:])
	}
	x.format = is.Format
	x.statement, err = is.Bytes()
	return err
}
