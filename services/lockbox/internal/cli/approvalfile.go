package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/spf13/cobra"
)

func (a *app) requestApprovalFileCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "approval-file REQUEST", Short: "Get the file that proves who approved a request", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(),
		Long: `Gets one file with the signed approvals of a request, the receipt of the request, and the receipt of the customer's keys.
Whoever has the fingerprint of these keys checks it offline, on a machine that never saw Lockbox: lockbox approval verify, or
lockbox-verify approval. A file is never written over.`,
		Example: `  lockbox request approval-file 019a2b3c
  lockbox request approval-file 019a2b3c --file approval.json`,
	}
	c.Flags().StringVar(&file, "file", "",
		"write to this new `file`, - for standard output (default lockbox-approval-<request>.json)")
	_ = c.MarkFlagFilename("file", "json") // fails only for an unknown flag
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		reply, err := s.proven(ctx, v.GetTenant(), &lockboxv1.Query{Ask: &lockboxv1.Query_GetApprovalFile{
			GetApprovalFile: &lockboxv1.GetApprovalFile{RequestId: v.GetRequestId()}}})
		if err != nil {
			return err
		}
		text, err := logged.Unpack(reply.GetApprovalFile())
		if err != nil {
			return err
		}
		name := first(file, reply.GetApprovalFile().GetFileName())
		write := func(out io.Writer) error {
			_, err := out.Write(text)
			return err
		}
		if name == "-" {
			return write(a.Out)
		}
		if err := a.into(name, write); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Err, "%s. Check it with: lockbox approval verify %s --pin FINGERPRINT\n", name, name)
		return err
	})
	return c
}

// proven asks repeatedly until what it takes is in a signed checkpoint.
func (s *session) proven(ctx context.Context, tenant string, q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	ctx, cancel := context.WithTimeout(ctx, receiptPatience)
	defer cancel()
	for {
		reply, err := s.ask(ctx, tenant, 0, q)
		if !refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
			return reply, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(receiptBetween):
		}
	}
}

func (a *app) approvalVerifyCommand() *cobra.Command {
	var pin, writers, extract string
	t := &trust{}
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a file that proves who approved a request, offline",
		Args: exactly("FILE"), ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		Long: "Reads the file of lockbox request approval-file, and\n" + verifier.ApprovalHelp + `

Whoever doubts the provider builds lockbox-verify by themselves: it is the same code, and links none of Lockbox.`,
		Example: `  lockbox approval verify lockbox-approval-019a2b3c.json --policy policy.txt --pin "dabigo mitoze ..."
  lockbox approval verify approval.json --policy policy.txt --extract signatures`,
	}
	f := c.Flags()
	f.StringVar(&pin, "pin", "", "`fingerprint` of your organisation's keys, words or digits (LOCKBOX_PIN)")
	f.StringVar(&writers, "writers-key", "", "`file` with the key that certifies writers (LOCKBOX_WRITERS_KEY)")
	f.StringVar(&extract, "extract", "", "new `directory` for what ssh-keygen -Y verify needs")
	_ = c.MarkFlagFilename("writers-key") // fails only for an unknown flag
	t.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		trusted, local := t.of(a)
		trusted.Writers = first(writers, a.Getenv("LOCKBOX_WRITERS_KEY"))
		is, err := verifier.CheckApproval(args[0], trusted, first(pin, a.Getenv("LOCKBOX_PIN")))
		if err != nil {
			return asUsage(c, err)
		}
		if local {
			is.TrustedBy("the key of the Lockbox on this machine, " + trusted.Key)
		}
		err = a.write(page{
			func() (string, error) { return render.ValueJSON(is) },
			func(render.Look) string { return is.Text() },
		})
		if err != nil || extract == "" {
			return err
		}
		commands, err := is.Extract(extract)
		if os.IsExist(err) {
			return fmt.Errorf("%s exists, and nothing is written over", extract)
		}
		if err == nil && len(commands) > 0 {
			_, err = fmt.Fprintf(a.Err, "To verify the signatures with OpenSSH alone, in %s:\n  %s\n", extract,
				strings.Join(commands, "\n  "))
		}
		return err
	}
	return c
}
