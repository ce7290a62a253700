package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
)

// keyAlone is a revocation by an enrolled key alone, while nobody can sign in (R64).
type keyAlone struct {
	alone bool
	// file holds what the statement rests on, if that cannot be asked for.
	file string
}

// byKeyFlags adds the flags of a revocation by key alone.
func (a *app) byKeyFlags(c *cobra.Command, offered bool) *keyAlone {
	k := &keyAlone{}
	if offered {
		c.Flags().BoolVar(&k.alone, "by-key", false, "show who you are by your enrolled key alone, without signing in")
		c.Flags().StringVar(&k.file, "basis", "", "with --by-key: `file` of lockbox key basis, if nothing can be asked")
		_ = c.MarkFlagFilename("basis", "json") // fails only for an unknown flag
		c.MarkFlagsMutuallyExclusive("by-key", "no-sign")
	}
	return k
}

// revokeByKey revokes with a signature and without a token. What the statement rests on comes from a file, or is asked
// for with whatever token there still is.
func (a *app) revokeByKey(ctx context.Context, s *session, file, arg, reason string) error {
	v, err := s.basis(ctx, file, arg)
	if err != nil {
		return err
	}
	if err := a.pinned(v.GetGenesis()); err != nil {
		return err
	}
	x, err := a.signingAlone(ctx, v)
	if err != nil {
		return err
	}
	about, err := keychain.TermsOf(v)
	if err != nil {
		return keychain.Refusal("basis", err)
	}
	if file != "" && about.Request != arg && (len(arg) < shortest || !isPart(arg, about.Request)) {
		return usage(s.command, "%s is about the request %s, not about %s", file, about.Request, arg)
	}
	if reason, err = a.reason(ctx, reason, "Why is it revoked?"); err != nil {
		return err
	}
	command := request.Revoke.Command(reason)
	command.Tenant, command.AggregateId = v.GetTenant(), about.Request
	if err := x.decide(command); err != nil {
		return err
	}
	if err := a.shows(ctx, x.shown(a.lookAt(a.ErrTerminal)), "", "", true); err != nil {
		return err
	}
	if command.Signed, err = x.signed(ctx); err != nil {
		return err
	}
	to, _, err := s.Reach()
	if err != nil {
		return err
	}
	reply, err := to.Do(ctx, "", command)
	if err != nil {
		return err
	}
	return a.done(reply, "Revoked: access has ended.%s", x.said())
}

// signingAlone is a key among those of a basis: the one that is named, or the first that is here.
func (a *app) signingAlone(ctx context.Context, v *lockboxv1.SigningView) (x *toSign, err error) {
	keys := heldBy(v.GetKeys())
	if with := first(a.sign.with, a.Getenv("LOCKBOX_SIGN_WITH")); with != "" {
		x, err = a.signingWith(ctx, with, keys)
	} else if key, signer := a.here(keys); signer != nil {
		x = &toSign{app: a, key: key, with: signer}
	} else {
		err = errUnsigned("unsigned", "none of your keys is here: name the file of one with --sign-with, or ssh-add it")
	}
	if err == nil {
		x.view = v
	}
	return x, err
}

// basis is what a revocation rests on.
func (s *session) basis(ctx context.Context, file, arg string) (*lockboxv1.SigningView, error) {
	if file == "" {
		t, err := s.target(ctx, arg, true)
		if err != nil {
			return nil, err
		}
		return s.signingView(ctx, t.tenant, t.id)
	}
	in, err := os.Open(file) // #nosec G304 -- the user names their own file
	if err != nil {
		return nil, err
	}
	const largest = 8 << 20 // bytes
	data, err := io.ReadAll(io.LimitReader(in, largest))
	if e := in.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	v := new(lockboxv1.SigningView)
	if err := protojson.Unmarshal(data, v); err != nil || len(v.GetEvents()) == 0 {
		return nil, refusal.Invalid("basis", "R64", "%s is no file of `lockbox key basis`", file)
	}
	return v, nil
}

// signingView asks what a statement about a request rests on.
func (s *session) signingView(ctx context.Context, tenant, id string) (*lockboxv1.SigningView, error) {
	reply, err := s.ask(ctx, tenant, 0, &lockboxv1.Query{Ask: &lockboxv1.Query_GetSigning{
		GetSigning: &lockboxv1.GetSigning{About: &lockboxv1.GetSigning_RequestId{RequestId: id}}}})
	return reply.GetSigning(), err
}

func (a *app) keyBasisCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "basis REQUEST", Short: "Save what revoking by key alone rests on, for when sign-in is down",
		Args:              exactly("REQUEST"),
		ValidArgsFunction: a.requests(request.Active),
		Long: `Saves what has happened to an active access, as hashes and events, in a file that holds no secret of yours. With it,
lockbox approval revoke --by-key takes the access away while your sign-in, or Lockbox's answers to questions, are down.`,
		Example: `  lockbox key basis REQUEST --file basis.json
  lockbox approval revoke REQUEST --by-key --basis basis.json --reason "our sign-in is down"`,
	}
	c.Flags().StringVar(&file, "file", "", "write to this new `file` instead of standard output")
	_ = c.MarkFlagFilename("file", "json") // fails only for an unknown flag
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		t, err := s.target(ctx, args[0], false)
		if err != nil {
			return err
		}
		v, err := s.signingView(ctx, t.tenant, t.id)
		if err != nil {
			return err
		}
		about, err := keychain.TermsOf(v)
		if err != nil {
			return keychain.Refusal("basis", err)
		}
		if t.view.GetStatus() != request.Active || len(about.Events) == 0 {
			return refusal.Precondition("status", "R64", "there is no access that could be revoked (%s)",
				render.StatusName(t.view.GetStatus()))
		}
		if len(v.GetGenesis()) == 0 || len(heldBy(v.GetKeys())) == 0 {
			return errUnsigned("unsigned-no-key", "you have no key that counts, so you cannot %s by key: offer one with "+
				"`lockbox key offer`", approval.Revoke)
		}
		return a.into(file, func(out io.Writer) error {
			text, err := render.JSON(v)
			if err == nil {
				_, err = fmt.Fprint(out, text)
			}
			return err
		})
	})
	return c
}
