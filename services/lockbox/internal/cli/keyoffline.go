package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/sshkey"
	"github.com/spf13/cobra"
)

// statementIn reads a statement about keys from a file.
func (a *app) statementIn(file string) (st statement, err error) {
	in, err := os.Open(file) // #nosec G304 -- the user names their own file
	if err != nil {
		return st, err
	}
	data, err := io.ReadAll(io.LimitReader(in, approval.MaxStatement+1))
	if e := in.Close(); err == nil {
		err = e
	}
	if err != nil {
		return st, err
	}
	return a.readStatement(data)
}

func (a *app) keyStatementCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "statement [STATEMENT]", Short: "Save a statement about keys that waits, to sign it elsewhere",
		Args: atMost("STATEMENT"), ValidArgsFunction: firstArgument(a.statements),
		Long: `Saves the exact bytes that are signed, for a machine without any network: that of the recovery key. There either of these signs
it; then lockbox key submit sends the signature.

  lockbox key sign --offline statement.json --sign-with recovery
  ssh-keygen -Y sign -n ` + approval.Namespace(approval.FormatKeys) + ` -f recovery statement.json`,
		Example: `  lockbox key statement --file statement.json`,
	}
	c.Flags().StringVar(&file, "file", "", "write to this new `file` instead of standard output")
	_ = c.MarkFlagFilename("file", "json") // fails only for an unknown flag
	a.pins(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		k, err := s.keyring(ctx)
		if err != nil {
			return err
		}
		st, err := s.waiting(k, first(args...))
		if err != nil {
			return err
		}
		err = a.into(file, func(out io.Writer) error {
			_, err := out.Write(st.bytes)
			return err
		})
		if err != nil || file == "" {
			return err
		}
		return a.remark("%s, words %s. Compare them where you sign.", file, st.words())
	})
	return c
}

func (a *app) keySubmitCommand() *cobra.Command {
	var signatures []string
	c := &cobra.Command{
		Use: "submit FILE", Short: "Send a signature that was made elsewhere", Args: exactly("FILE"),
		ValidArgsFunction: filesOf("json"),
		Long: `Sends the signature of a statement of lockbox key statement: FILE.sig, or those that --signature names. They are verified here
before, and there.`,
		Example: "  lockbox key submit statement.json",
	}
	c.Flags().StringArrayVar(&signatures, "signature", nil,
		"a `file` with a signature (repeat for several; default FILE.sig)")
	a.pins(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		k, err := s.keyring(ctx)
		if err != nil {
			return err
		}
		st, err := a.statementIn(args[0])
		if err != nil {
			return err
		}
		if len(signatures) == 0 {
			signatures = []string{args[0] + ".sig"}
		}
		change, names := approval.Signed{Statement: string(st.bytes)}, []string(nil)
		for _, file := range signatures {
			made, name, err := k.signatureIn(st, file)
			if err != nil {
				return err
			}
			change.Signatures = keychain.Merge(change.Signatures, []approval.Signature{made})
			names = append(names, render.Clean(name))
		}
		return s.sendKeys(ctx, k, st, change, names)
	})
	return c
}

// signatureIn reads and verifies a signature of a statement, as ssh-keygen -Y sign writes it.
func (k *keyring) signatureIn(st statement, file string) (made approval.Signature, name string, err error) {
	const largest = 16 << 10 // bytes
	in, err := os.Open(file) // #nosec G304 -- the user names their own file
	if err != nil {
		return made, "", err
	}
	data, err := io.ReadAll(io.LimitReader(in, largest))
	if e := in.Close(); err == nil {
		err = e
	}
	if err != nil {
		return made, "", err
	}
	blob, err := approval.Unarmor(data)
	if err != nil {
		return made, "", fmt.Errorf("%s is no signature of SSH", file)
	}
	by, err := sshkey.SignerOf(blob)
	if err != nil {
		return made, "", fmt.Errorf("%s: %w", file, err)
	}
	keys := append(st.adds(), k.recoveries()...)
	for _, h := range k.keys {
		keys = append(keys, h.Key)
	}
	for _, key := range keys {
		if key.Public != (&sshkey.Signer{Public: by}).Encoded() {
			continue
		}
		made.Bytes = base64.RawURLEncoding.EncodeToString(blob)
		if made.Key, err = key.ID(); err != nil {
			return made, "", err
		}
		if _, err := key.Verify(made, st.format, st.bytes); err != nil {
			return made, "", keychain.Refusal("signature", err)
		}
		return made, k.nameOf(key), nil
	}
	return made, "", refusal.OfKind(refusal.Forbidden("signature", "R42", "%s is by a key that has no part in this", file),
		"key-unknown")
}
