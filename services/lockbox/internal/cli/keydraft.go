package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/spf13/cobra"
)

// nonce is 32 random bytes in hexadecimal digits.
func nonce() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// draft completes a change of keys as the next of the chain.
func (s *session) draft(k *keyring, c approval.KeyChange) (statement, error) {
	last, number, _ := k.chain.Last()
	g := k.chain.Genesis()
	c.Format, c.Origin, c.Tenant = approval.FormatKeys, g.Origin, g.Tenant
	c.Genesis, c.Previous, c.Number = hex.EncodeToString(k.fingerprint()), hex.EncodeToString(last[:]), number+1
	c.IssuedAt, c.Nonce = approval.TimeText(s.app.Now()), nonce()
	if c.Keys == nil {
		c.Keys = []approval.Enrolment{}
	}
	if c.Recovery == nil {
		c.Recovery = []approval.Key{}
	}
	data, err := c.Bytes()
	if err != nil {
		return statement{}, keychain.Refusal("statement", err)
	}
	return s.app.readStatement(data)
}

// changing is a command that drafts a change of keys and signs it.
func (a *app) changing(
	c *cobra.Command, change func(ctx context.Context, s *session, k *keyring, args []string) (approval.KeyChange, error),
) *cobra.Command {
	o := a.signsKeys(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		k, err := s.keyring(ctx)
		if err == nil {
			err = k.needsGenesis()
		}
		if err != nil {
			return err
		}
		drafted, err := change(ctx, s, k, args)
		if err != nil {
			return err
		}
		st, err := s.draft(k, drafted)
		if err != nil {
			return err
		}
		return s.signKeys(ctx, k, st, o, true)
	})
	return c
}

func (a *app) keyEnrolCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "enrol KEY", Short: "Enrol a key that somebody has offered", Args: exactly("KEY"),
		ValidArgsFunction: a.keyNames(lockboxv1.KeyStanding_KEY_STANDING_OFFERED),
		Long: `Drafts the enrolment of a key that was offered, and signs it. As many administrators as your keys demand sign it, and so does
whoever has the new key; a further key of your own needs only another key of yours. It counts when its delay is over, by the
clocks of the witnesses, and until then one signature removes it.`,
		Example: `  lockbox key enrol "Fleur's token"`,
	}, func(_ context.Context, s *session, k *keyring, args []string) (c approval.KeyChange, err error) {
		h, err := s.namedKey(args[0], k.offered(""))
		return approval.KeyChange{Change: approval.AddKey, Keys: []approval.Enrolment{h.Enrolment}}, err
	})
}

func (a *app) keyRemoveCommand() *cobra.Command {
	counts, waits := lockboxv1.KeyStanding_KEY_STANDING_COUNTS, lockboxv1.KeyStanding_KEY_STANDING_WAITING
	return a.changing(&cobra.Command{
		Use: "remove KEY", Short: "Remove a key at once", Args: exactly("KEY"),
		ValidArgsFunction: a.keyNames(counts, waits),
		Long: `Removes a key, also one that waits for its delay. One administrator signs that, or the person themselves with another key, or
the recovery key. What it signed before stays as it is; it can never be enrolled again.`,
		Example: `  lockbox key remove "blue key"`,
	}, func(_ context.Context, s *session, k *keyring, args []string) (c approval.KeyChange, err error) {
		h, err := s.namedKey(args[0], k.in(counts, waits))
		return approval.KeyChange{Change: approval.RemoveKey, Remove: h.id}, err
	})
}

// demands are what an organisation can demand, the least first.
var demands = []string{string(approval.DemandNone), string(approval.DemandSignatures),
	string(approval.DemandCommandLine)}

func (a *app) keyDemandCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "demand " + strings.Join(demands, "|"), Short: "Say what has to be signed", Args: exactly("DEMAND"),
		ValidArgsFunction: firstArgument(fixed(demands...)),
		Long: `With signatures, approvals count only if they are signed, and so does whatever could get around that: switching Lockbox off,
roles, sign-in, settings. With command-line, at least one signature of each approval is made here, where no web page comes
between you and what you sign. One administrator demands more, at once; less needs as many as a new key, and its delay.`,
		Example: "  lockbox key demand signatures",
	}, func(_ context.Context, s *session, _ *keyring, args []string) (c approval.KeyChange, err error) {
		if !slices.Contains(demands, args[0]) {
			return c, usage(s.command, "%q is not one of %s", args[0], strings.Join(demands, ", "))
		}
		return approval.KeyChange{Change: approval.SetDemand, Demand: approval.Demand(args[0])}, nil
	})
}

func (a *app) keyRecoverCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "recover KEY...", Short: "Enrol new administrators with the recovery key", Args: oneOrMore("KEY"),
		ValidArgsFunction: a.keyNames(lockboxv1.KeyStanding_KEY_STANDING_OFFERED),
		Long: `For when administrators have lost their keys: drafts the enrolment of administrators' keys that were offered. The recovery key
signs it, and each new key; nobody else. They count after the recovery's delay, in which any administrator's key can remove
them. The recovery key stays offline: lockbox key statement saves what it signs, and lockbox key submit sends the signature.`,
		Example: `  lockbox key recover "Grace's new key"
  lockbox key statement --file statement.json`,
	}, func(_ context.Context, s *session, k *keyring, args []string) (approval.KeyChange, error) {
		c := approval.KeyChange{Change: approval.RecoverKeys}
		for _, name := range args {
			h, err := s.namedKey(name, k.offered(approval.Administrator))
			if err != nil {
				return c, err
			}
			c.Keys = append(c.Keys, h.Enrolment)
		}
		return c, nil
	})
}

func (a *app) keyReplaceRecoveryCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "replace-recovery FILE.pub", Short: "Replace the recovery key", Args: exactly("FILE.pub"),
		ValidArgsFunction: filesOf("pub"),
		Long: `Drafts that another SSH key is the recovery key, and signs it. As many administrators as your keys demand sign it, and so does
the new key, offline. It counts after the delay.`,
		Example: "  lockbox key replace-recovery recovery-2027.pub",
	}, func(ctx context.Context, _ *session, _ *keyring, args []string) (c approval.KeyChange, err error) {
		key, _, err := a.publicKey(ctx, args[0])
		return approval.KeyChange{Change: approval.ReplaceRecovery, Recovery: []approval.Key{key}}, err
	})
}

// genesisFlags are those of the beginning of an organisation's keys.
type genesisFlags struct {
	recovery, demand          string
	administrators, witnesses []string
	threshold, quorum         uint64
	delay, recoveryDelay      lengthFlag
}

// Delays unless others are said: long enough that people who are told can look.
const (
	usualDelay         = 24 * time.Hour
	usualRecoveryDelay = 7 * 24 * time.Hour
)

func (a *app) keyGenesisCommand() *cobra.Command {
	in := &genesisFlags{}
	in.delay.Duration, in.recoveryDelay.Duration = usualDelay, usualRecoveryDelay
	c := &cobra.Command{
		Use: "genesis", Short: "Begin your organisation's keys", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Drafts the beginning of your keys, and signs it with yours: the administrators' keys that were offered, the recovery key that
you made on a machine without network, how many administrators sign for a new key, how long changes wait, and whose clocks
measure that. Each of these keys signs it. Its fingerprint is what everybody compares, so that nobody else's keys can be put in
their place.`,
		Example: `  ssh-keygen -t ed25519 -f recovery              # on the machine that stays offline
  lockbox key genesis --recovery recovery.pub --demand signatures`,
	}
	f := c.Flags()
	f.StringVar(&in.recovery, "recovery", "", "`file` of the recovery key's public half (needed)")
	f.StringArrayVar(&in.administrators, "administrator", nil,
		"only this offered `key` (repeat for several; default all that were offered by administrators)")
	f.Uint64Var(&in.threshold, "threshold", 2, "how `many` different administrators sign for a new key")
	f.StringVar(&in.demand, "demand", string(approval.DemandNone), "what has to be signed: "+strings.Join(demands, ", "))
	f.Var(&in.delay, "delay", "how `long` a change waits before it counts")
	f.Var(&in.recoveryDelay, "recovery-delay", "how `long` what the recovery key changes waits")
	f.StringArrayVar(&in.witnesses, "witness-key", nil,
		"the verifier `key` of a witness whose clock measures delays (repeat for several; default those of this log)")
	f.Uint64Var(&in.quorum, "quorum", 0, "how `many` of the witnesses must have seen something (default more than half)")
	_ = c.MarkFlagFilename("recovery", "pub") // fails only for an unknown flag
	_ = c.MarkFlagRequired("recovery")
	complete(c, "administrator", a.keyNames(lockboxv1.KeyStanding_KEY_STANDING_OFFERED))
	complete(c, "demand", fixed(demands...))
	o := a.signsKeys(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		k, err := s.keyring(ctx)
		if err == nil {
			err = k.needsNone()
		}
		if err != nil {
			return err
		}
		st, err := in.draft(ctx, s, k)
		if err != nil {
			return err
		}
		return s.signKeys(ctx, k, st, o, true)
	})
	return c
}

// draft makes the genesis that the flags describe.
func (in *genesisFlags) draft(ctx context.Context, s *session, k *keyring) (st statement, err error) {
	g := approval.Genesis{Format: approval.FormatGenesis, Origin: k.GetOrigin(), Tenant: k.tenant,
		Threshold: in.threshold, Demand: approval.Demand(in.demand), DelaySeconds: uint64(in.delay.Seconds()),
		RecoverySeconds: uint64(in.recoveryDelay.Seconds()), Witnesses: slices.Clone(in.witnesses), Quorum: in.quorum,
		IssuedAt: approval.TimeText(s.app.Now()), Nonce: nonce()}
	if g.Recovery, _, err = s.app.publicKey(ctx, in.recovery); err != nil {
		return st, err
	}
	if err := in.measured(&g, k); err != nil {
		return st, err
	}
	offered := k.offered(approval.Administrator)
	if len(in.administrators) > 0 {
		all := offered
		offered = nil
		for _, name := range in.administrators {
			h, err := s.namedKey(name, all)
			if err != nil {
				return st, err
			}
			offered = append(offered, h)
		}
	}
	var people []approval.Person
	for _, h := range offered {
		g.Administrators = append(g.Administrators, h.Enrolment)
		if !slices.ContainsFunc(people, h.Person.Same) {
			people = append(people, h.Person)
		}
	}
	if len(people) < 2 {
		return st, refusal.Precondition("administrators", "R42", "at least two different people have to offer an "+
			"administrator's key first, with `lockbox key offer --role administrator` or in the portal; so far %d did",
			len(people))
	}
	data, err := g.Bytes()
	if err != nil {
		return st, keychain.Refusal("genesis", err)
	}
	return s.app.readStatement(data)
}

// measured completes who measures the delays.
func (in *genesisFlags) measured(g *approval.Genesis, k *keyring) error {
	if len(g.Witnesses) == 0 {
		g.Witnesses = slices.Clone(k.GetWitnesses())
		if g.Quorum == 0 {
			g.Quorum = uint64(k.GetQuorum())
		}
	}
	n := uint64(len(g.Witnesses))
	if n == 0 {
		return refusal.Precondition("witnesses", "R42", "no witness sees this log, and none is named with --witness-key: "+
			"without one, nobody could say when a delay is over")
	}
	slices.Sort(g.Witnesses)
	g.Quorum = max(g.Quorum, n/2+1)
	return nil
}
