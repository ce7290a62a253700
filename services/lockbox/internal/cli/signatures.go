package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
)

func (a *app) approvalSignaturesCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "signatures REQUEST", Short: "Save what was signed of a request, for ssh-keygen to verify",
		Args: exactly("REQUEST"), ValidArgsFunction: a.requests(),
		Long: `Saves each decision that was signed with an SSH key: the exact statement, its signature, and allowed_signers with your
organisation's SSH keys. OpenSSH verifies them without anything of Lockbox; the commands are printed. It proves that a key of
that line signed exactly these bytes. Whether the key counted then, and whether everything is there, lockbox-verify says.`,
		Example: `  lockbox approval signatures REQUEST --into signed --pin "$LOCKBOX_FINGERPRINT"
  ssh-keygen -Y verify -f signed/allowed_signers -I otto -n ` + approval.Namespace(approval.FormatDecision) + ` \
      -s signed/decision-1.json.sig < signed/decision-1.json`,
	}
	c.Flags().StringVar(&dir, "into", "", "write to this new `directory` (needed)")
	_ = c.MarkFlagRequired("into")
	_ = c.MarkFlagDirname("into") // fails only for an unknown flag
	a.pins(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		k, err := s.keyring(ctx)
		if err != nil {
			return err
		}
		if err := k.needsGenesis(); err != nil {
			return err
		}
		return a.signatures(k, v, dir)
	})
	return c
}

// signatures saves the signed decisions of a request.
func (a *app) signatures(k *keyring, v *lockboxv1.RequestView, dir string) error {
	var commands []string
	for i, d := range v.GetCustomerDecisions() {
		for _, made := range d.GetSigned().GetSignatures() {
			if len(made.GetClientDataJson()) > 0 {
				continue // of a browser
			}
			id := hex.EncodeToString(made.GetKeyId())
			if len(commands) == 0 {
				if err := os.Mkdir(dir, 0o700); err != nil {
					return err
				}
			}
			file := filepath.Join(dir, fmt.Sprintf("decision-%d.json", i+1))
			if err := a.into(file, whole(d.GetSigned().GetStatement())); err != nil {
				return err
			}
			if err := a.into(file+".sig", whole(approval.Armor(made.GetSignature()))); err != nil {
				return err
			}
			commands = append(commands, fmt.Sprintf("ssh-keygen -Y verify -f %s -I %s -n %s -s %s.sig < %s",
				filepath.Join(dir, "allowed_signers"), k.principal(id), approval.Namespace(approval.FormatDecision), file, file))
		}
	}
	if len(commands) == 0 {
		return refusal.NotFound("signatures", "R42", "no decision about this request is signed with an SSH key")
	}
	if err := a.into(filepath.Join(dir, "allowed_signers"), whole([]byte(k.allowedSigners()))); err != nil {
		return err
	}
	return a.say(strings.Join(commands, "\n"))
}

func whole(data []byte) func(io.Writer) error {
	return func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	}
}

// allowedSigners are the SSH keys that were ever enrolled, as a file for ssh-keygen.
func (k *keyring) allowedSigners() string {
	var lines strings.Builder
	for _, e := range k.chain.Keys() {
		if key := (holder{Enrolment: e.Enrolment}).public(); key != nil {
			fmt.Fprintf(&lines, "%s namespaces=%q %s", k.principal(e.ID), approval.Namespace(approval.FormatDecision),
				ssh.MarshalAuthorizedKey(key))
		}
	}
	return lines.String()
}

// plainName is what allowed_signers takes as a name without any meaning of its own.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]*$`)

// principal is how a file for ssh-keygen calls whose key it is.
func (k *keyring) principal(id string) string {
	for _, e := range k.chain.Keys() {
		if e.ID == id && plainName.MatchString(e.Person.Subject) {
			return e.Person.Subject
		}
	}
	return id
}
