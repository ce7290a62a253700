package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/written"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (a *app) intentCommand() *cobra.Command {
	return group("intent", "Ask for access", `An intent is an engineer's wish to touch something of a customer's. It is published on the bus, evaluated, and becomes a
request.`, "", a.intentSubmitCommand())
}

// intentFlags are the fields of an intent as flags. A flag overrides the file.
type intentFlags struct {
	file     string
	id       string
	fields   lockboxv1.AccessIntent
	reason   enumFlag[lockboxv1.ReasonType]
	duration lengthFlag
}

func (a *app) intentSubmitCommand() *cobra.Command {
	in := &intentFlags{reason: enumFlag[lockboxv1.ReasonType]{as: "reason"}}
	var noWait, dryRun bool
	var yes *bool
	c := &cobra.Command{
		Use: "submit", Short: "Submit an access intent", Args: exactly(), ValidArgsFunction: nothing,
		Long: `Publishes an access intent, from a file of JSON or YAML (the message AccessIntent of proto/lockbox/v1/intent.proto) or from
flags, and waits until it has been evaluated. Without an id, one is made. The same intent under the same id is one request,
however often it is submitted.

If a request for the same is open or running, it says so before anything is sent: on a terminal it asks, and elsewhere it needs
--yes, or else nothing is sent and the exit code is 7.

The intent says nothing about you: who you are comes from your token, and what the operation reaches from the catalogue.`,
		Example: `  lockbox intent submit -f dump.yaml
  lockbox intent submit --tenant meadowbank --subscription meadow-production \
      --type compute/virtual-machines --scenario memory-dump \
      --resource /subscriptions/meadow-production/resourceGroups/payments/providers/Microsoft.Compute/virtualMachines/payments-1 \
      --reason-type customer-initiated-support --ticket SR-2026-0001 --duration 4h \
      --justification "The machine hangs; a memory dump will show where."
  lockbox intent submit -f dump.yaml --dry-run
  id=$(lockbox intent submit -f dump.yaml -o json | jq -r .request_id)`,
	}
	in.register(c.Flags())
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the evaluation")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would become of it; nothing is recorded, nobody is told")
	c.MarkFlagsMutuallyExclusive("no-wait", "dry-run")
	yes = c.Flags().BoolP("yes", "y", false, "ask even if a request for the same is open or running")
	complete(c, "subscription", a.subscriptions)
	complete(c, "type", resourceTypes)
	complete(c, "scenario", scenarios)
	complete(c, "reason-type", fixed(spellings[lockboxv1.ReasonType]()...))
	complete(c, "ticket", a.ticketIDs)
	for _, flag := range []string{"id", "resource", "justification", "duration"} {
		complete(c, flag, nothing)
	}
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		intent, err := s.intent(ctx, in)
		if err != nil {
			return err
		}
		prose.Message(intent)
		if err := allOf(request.IntentFaults(intent)); err != nil {
			return err
		}
		intent.DryRun = dryRun
		similar, err := s.onlyOnce(ctx, intent, *yes)
		if err != nil {
			return err
		}
		return s.submit(ctx, intent, similar, noWait)
	})
	return c
}

// register defines the flags.
func (in *intentFlags) register(f *pflag.FlagSet) {
	f.StringVarP(&in.file, "file", "f", "", "`file` with the intent as JSON or YAML; - reads stdin")
	f.StringVar(&in.id, "id", "", "the intent's own `id`, a UUID of version 7")
	f.StringVar(&in.fields.SubscriptionId, "subscription", "", "the `subscription`; none: the tenant itself")
	f.StringVar(&in.fields.ResourceType, "type", "", "a resource `type` of the catalogue")
	f.StringVar(&in.fields.Scenario, "scenario", "",
		"the `scenario`: what is to be done, as the catalogue names it for that type")
	f.StringArrayVar(&in.fields.ResourceIds, "resource", nil, "a `resource` (repeat for several)")
	f.Var(&in.reason, "reason-type", "why: "+strings.Join(spellings[lockboxv1.ReasonType](), ", "))
	f.StringVar(&in.fields.Justification, "justification", "", "what for, in `words` that the customer reads")
	f.StringVar(&in.fields.TicketId, "ticket", "", "the customer's support `ticket`")
	f.BoolVar(&in.fields.Emergency, "emergency", false,
		"it cannot wait for the customer, who is told instead; for emergency responders, after a security officer's approval")
	f.BoolVar(&in.fields.CustomerMayBeTold, "customer-may-be-told", false,
		"the customer may be told of a third party's demand at once; others are for lockbox disclose legal-demand")
	f.Var(&in.duration, "duration", "how `long` access is wanted, such as 4h; none: the provider's default")
}

// intent builds an intent from file and flags.
func (s *session) intent(ctx context.Context, in *intentFlags) (*lockboxv1.AccessIntent, error) {
	intent := &lockboxv1.AccessIntent{}
	if in.file != "" {
		data, err := s.app.read(in.file)
		if err != nil {
			return nil, err
		}
		if intent, err = readIntent(s.command, in.file, data); err != nil {
			return nil, err
		}
	}
	for _, field := range []struct {
		to    *string
		value string
	}{
		{&intent.Id, in.id}, {&intent.SubscriptionId, in.fields.GetSubscriptionId()},
		{&intent.ResourceType, in.fields.GetResourceType()},
		{&intent.Scenario, in.fields.GetScenario()}, {&intent.Justification, in.fields.GetJustification()},
		{&intent.TicketId, in.fields.GetTicketId()},
		{&intent.Tenant, s.app.tenant},
	} {
		if field.value != "" {
			*field.to = field.value
		}
	}
	if len(in.fields.GetResourceIds()) > 0 {
		intent.ResourceIds = in.fields.GetResourceIds()
	}
	if in.reason.value != 0 {
		intent.ReasonType = in.reason.value
	}
	if in.duration.Duration > 0 {
		intent.Duration = durationpb.New(in.duration.Duration)
	}
	if in.fields.GetEmergency() {
		intent.Emergency = true
	}
	if in.fields.GetCustomerMayBeTold() {
		intent.CustomerMayBeTold = true
	}
	if intent.GetTenant() == "" {
		var err error
		if intent.Tenant, err = s.oneTenant(ctx); err != nil {
			return nil, err
		}
	}
	if intent.GetId() == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		intent.Id = id.String()
	}
	return intent, nil
}

// read reads a small file, or stdin.
func (a *app) read(file string) ([]byte, error) {
	from := a.In
	if file != "-" {
		f, err := os.Open(file) // #nosec G304 -- the user names the file
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, input.MaxMessage+1))
	if err == nil && len(data) > input.MaxMessage {
		err = refusal.Invalid("file", "bad input", "%s is larger than %d bytes", file, input.MaxMessage)
	}
	return data, err
}

// readIntent parses JSON or YAML; unknown fields are an error.
func readIntent(c *cobra.Command, name string, data []byte) (*lockboxv1.AccessIntent, error) {
	intent := &lockboxv1.AccessIntent{}
	if err := written.Message(data, intent); err != nil {
		return nil, usage(c, "%s is no intent: %s", name, err)
	}
	if intent.GetToken() != "" {
		return nil, usage(c, "%s holds a token; tokens do not belong in files of intents: name it with --token-file", name)
	}
	if err := request.CheckBody(intent); err != nil {
		return nil, usage(c, "%s is no intent: %s", name, err)
	}
	return intent, nil
}

func (s *session) submit(
	ctx context.Context, intent *lockboxv1.AccessIntent, similar []*lockboxv1.SimilarRequest, noWait bool,
) error {
	wait := s.app.timeout
	if noWait {
		wait = 0
	}
	outcome, err := s.Submit(ctx, intent, wait)
	if err != nil {
		return err
	}
	id, tenant := intent.GetId(), intent.GetTenant()
	switch {
	case noWait:
		v := &lockboxv1.RequestView{RequestId: id, Tenant: tenant}
		return s.app.show(v, func(render.Look) string {
			return fmt.Sprintf("Submitted as %s.\n", id)
		})
	case outcome == nil && intent.GetDryRun():
		return refusal.Unavailable("", "I11", "it was not evaluated within %v; nothing is recorded, try again", wait)
	case outcome == nil:
		return refusal.Unavailable("", "I11",
			"the intent %s is stored, but was not evaluated within %v; it will be, and `lockbox request show %s` will tell", id,
			wait, id)
	case outcome.GetRefusal() != nil:
		// The request may exist nevertheless, with its evaluation.
		said := fmt.Sprintf("Submitted as %s.", id)
		if intent.GetDryRun() {
			said = "It would be refused. Nothing is recorded."
		}
		if err := s.app.note("%s", said); err != nil {
			return err
		}
		return &refusal.Error{Refusal: outcome.GetRefusal()}
	case intent.GetDryRun():
		return s.app.write(page{
			json: func() (string, error) { return tried(outcome, similar) },
			human: func(render.Look) string {
				return fmt.Sprintf("It would be accepted. Nothing is recorded.\nNext: %s\n", render.Clean(outcome.GetNext()))
			},
		})
	}
	v, err := s.settled(ctx, tenant, id, outcome.GetSequence())
	if err != nil {
		return err
	}
	return s.app.show(v, func(l render.Look) string {
		text := render.Submitted(l, v, outcome.GetDuplicate())
		cast := s.cast(v)
		return text + render.Commands(l, append(render.LookAt(v, cast), render.Next(v, cast)...))
	})
}

// note writes a message to stderr that is not part of the answer.
func (a *app) note(text string, args ...any) error {
	if a.output != formatTable {
		return nil
	}
	_, err := fmt.Fprintf(a.Err, text+"\n", args...)
	return err
}
