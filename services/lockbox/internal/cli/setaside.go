package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) auditSetAsideCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "set-aside SEQUENCE", Short: "Set aside a message of the stream that is not an event",
		Args: exactly("SEQUENCE"), ValidArgsFunction: nothing,
		Long: `A message in the stream that is not an event is an alarm: nothing is granted, and nothing is decided about whatever it stands
beside. This reads the message with the compliance team's key, shows its subject, size and hash, and has you, a security
officer of the provider, decide that it may be ignored. The message stays in the stream and in the log; the decision is
recorded with your name, your reason and the message's hash, and holds for this one message only. An event cannot be set aside;
one that its writer has not signed is none, which this command sees with LOCKBOX_WRITERS_KEY, or on the machine of lockbox up.

First find out who stored it and why: whoever may do that has a key of Lockbox's, or could make its bus server write.
lockbox audit replay -o json shows the bytes.`,
		Example: `  lockbox audit set-aside --as olga 4003 --reason "An acknowledgement that a misconfigured tool had sent here."`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`why` it may be ignored")
	complete(c, "reason", nothing)
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		sequence, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return usage(c, "%q is not a sequence of the stream", args[0])
		}
		j, err := s.Journal(ctx)
		if err != nil {
			return err
		}
		defer j.Close()
		m, err := j.Misfit(ctx, sequence)
		if err != nil {
			return err
		}
		if reason, err = a.reason(ctx, reason, "Why may it be ignored?"); err != nil {
			return err
		}
		sentence := fmt.Sprintf("Message %d on %s, %d bytes with the SHA-256 %x, is not an event. "+
			"It will count as if it were not there, and access is granted again.",
			m.Seq, render.Clean(m.Subject), m.Size, m.SHA256)
		if err := required(c, reason); err != nil {
			return err
		}
		if err := a.confirmDangerous(ctx, c, *yes, sentence, "Set it aside?"); err != nil {
			return err
		}
		reply, err := s.do(ctx, aggregate.Guard.Tenant, aggregate.Guard.ID, &lockboxv1.Command{
			Action: &lockboxv1.Command_SetAsideMessage{SetAsideMessage: &lockboxv1.SetAsideMessage{
				Sequence: m.Seq, Sha256: m.SHA256, Reason: reason,
			}},
		})
		if err != nil {
			return err
		}
		return a.done(reply, "Set aside: message %d, %s, %d bytes, SHA-256 %x. "+
			"The guard lets access be granted again once it has looked, within a minute.",
			m.Seq, render.Clean(m.Subject), m.Size, m.SHA256)
	})
	return c
}
