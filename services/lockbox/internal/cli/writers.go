package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signing"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func (a *app) auditWritersCommand() *cobra.Command {
	return group("writers", "Show the keys with which services sign events, and revoke one",
		`Every event is signed by the service that writes it, with a key that the deployment's own key certifies. lockbox bus rotate
writer makes a new one; the orchestrator records its certificate when it starts.`, "",
		a.writersListCommand(), a.writersRevokeCommand())
}

func (a *app) writersListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys that are recorded", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Reads from the stream, with the compliance team's key, which keys are certified and which are revoked. Whether that is true
shows lockbox audit verify --stream --writers-key FILE, with the deployment's public key from somewhere else.`,
		Example: "  lockbox audit writers list",
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			keys, err := s.writers(ctx)
			if err != nil {
				return err
			}
			return a.write(page{func() (string, error) { return render.ValueJSON(keys) },
				func(l render.Look) string { return render.Writers(l, a.Now(), keys) }})
		}),
	}
}

func (a *app) writersRevokeCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "revoke KEY", Short: "Let a writer's key count no more", Args: exactly("KEY"),
		Long: `For a key that was lost or stolen: from the recorded decision of a security officer on, whatever it signs is refused and is an
alarm. What it has signed before stays as it is. Make and record the writer's next key first: a service that goes on with a
revoked one is refused by everybody.`,
		Example: `  lockbox audit writers revoke --as olga 3dd39cdd36dfd5aa --reason "The machine was stolen."`,
	}
	c.ValidArgsFunction = nothing
	c.Flags().StringVar(&reason, "reason", "", "`why` it is revoked")
	complete(c, "reason", nothing)
	yes := askAlways(c)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		id, err := hex.DecodeString(args[0])
		if err != nil || len(id) != len(signed.KeyID{}) {
			return usage(c, "%q is not the id of a key, which has %d hexadecimal digits: lockbox audit writers list shows them",
				args[0], 2*len(signed.KeyID{}))
		}
		keys, err := s.writers(ctx)
		if err != nil {
			return err
		}
		of := "a key that is not recorded"
		for _, k := range keys {
			if k.Key == strings.ToLower(args[0]) {
				of = "a key of " + k.Writer
			}
		}
		if reason, err = a.reason(ctx, reason, "Why is it revoked?"); err != nil {
			return err
		}
		if err := required(c, reason); err != nil {
			return err
		}
		sentence := fmt.Sprintf("%s is %s. Whatever it signs from now on is refused, and stops all granting.",
			strings.ToLower(args[0]), of)
		if err := a.confirmDangerous(ctx, c, *yes, sentence, "Revoke it?"); err != nil {
			return err
		}
		reply, err := s.do(ctx, aggregate.SigningWriters.Tenant, aggregate.SigningWriters.ID, &lockboxv1.Command{
			Action: &lockboxv1.Command_RevokeWriter{RevokeWriter: &lockboxv1.RevokeWriter{KeyId: id, Reason: reason}},
		})
		if err != nil {
			return err
		}
		return a.done(reply, "Revoked: %s, %s. Every service knows within five seconds.", strings.ToLower(args[0]), of)
	})
	return c
}

// writers reads the recorded keys from the stream, by writer and age.
func (s *session) writers(ctx context.Context) ([]render.Writer, error) {
	j, err := s.Journal(ctx)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	var state signing.State
	err = j.Replay(ctx, journal.Replay{Kind: aggregate.KindSigning}, func(e journal.Entry) error {
		if e.Event != nil { // or a message that is not an event
			state = signing.Evolve(state, e.Seq, e.Event)
		}
		return nil
	})
	keys := []render.Writer{}
	for id, k := range state.Keys {
		keys = append(keys, render.Writer{Writer: k.Identity, Key: id.String(), From: k.From.UTC(), Until: k.Until.UTC(),
			Revoked: k.Revoked})
	}
	slices.SortFunc(keys, func(a, b render.Writer) int {
		return cmp.Or(strings.Compare(a.Writer, b.Writer), a.From.Compare(b.From), strings.Compare(a.Key, b.Key))
	})
	return keys, err
}
