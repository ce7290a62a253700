package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/spf13/cobra"
)

const (
	// A new event is in a signed checkpoint within ten seconds (I5).
	receiptPatience = 15 * time.Second
	receiptBetween  = 500 * time.Millisecond
)

func (a *app) auditReceiptCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "receipt REQUEST", Short: "Get the file that proves what the log holds of a request", Args: exactly("REQUEST"),
		ValidArgsFunction: a.requests(),
		Long: `Gets one file with what happened to a request, the proof that it stands in the log and that the log committed to
this being all, and the signed checkpoint. Keep it: audit verify checks it offline, years later, with nothing but public keys.
Events that count what an engineer did for other customers are withheld, and their place is proved all the same. A file is never
written over.`,
		Example: `  lockbox audit receipt 019a2b3c
  lockbox audit receipt 019a2b3c --file - | jq .count`,
	}
	c.Flags().StringVar(&file, "file", "",
		"write to this new `file`, - for standard output (default lockbox-receipt-<request>.json)")
	_ = c.MarkFlagFilename("file", "json") // fails only for an unknown flag
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		v, err := s.find(ctx, args[0])
		if err != nil {
			return err
		}
		receipt, err := s.receipt(ctx, v)
		if err != nil {
			return err
		}
		name := first(file, receipt.GetFileName())
		write := func(out io.Writer) error {
			_, err := out.Write(receipt.GetFile())
			return err
		}
		if name == "-" {
			return write(a.Out)
		}
		if err := a.into(name, write); err != nil {
			return err
		}
		r, err := merkle.ParseReceipt(receipt.GetFile())
		if err != nil {
			return fmt.Errorf("the receipt in %s: %w", name, err)
		}
		_, err = fmt.Fprintf(a.Err, "%s: %d events. Check it with: lockbox audit verify %s\n", name, r.Count, name)
		return err
	})
	return c
}

// receipt is that of the request, as soon as its last event is in a signed checkpoint.
func (s *session) receipt(ctx context.Context, v *lockboxv1.RequestView) (*lockboxv1.Receipt, error) {
	reply, err := s.proven(ctx, v.GetTenant(),
		&lockboxv1.Query{Ask: &lockboxv1.Query_GetReceipt{GetReceipt: &lockboxv1.GetReceipt{RequestId: v.GetRequestId()}}})
	return reply.GetReceipt(), err
}
