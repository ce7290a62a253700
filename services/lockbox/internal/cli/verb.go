package cli

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

// offer is how the command line offers a verb.
type offer struct {
	// from completes the ids of requests.
	from completer
	// text names the argument that is the verb's text; empty if the flag --reason is, which reason describes.
	text, reason string
	// effect says what the verb leads to, for a person to confirm; empty: nothing to confirm. Of a request that cannot be
	// read it is given a nil view. Where access to the customer's data starts, and the customer is not asked, it is
	// dangerous, and needs a reason. Whatever only ends access is never held up for --yes.
	effect func(*lockboxv1.RequestView) (sentence string, dangerous bool)
	// question asks for a required reason on a terminal; with inTime only while the customer can decide.
	question string
	inTime   bool
	// signs is set for a decision that people can sign with a key of theirs; byKey if the signature alone is enough.
	signs, byKey bool
	// asks says what is about to be decided, once the command is complete, and asks a question; empty: nothing to ask.
	asks func(*lockboxv1.RequestView, *lockboxv1.Command) (sentence, question string)
	// fill completes the command from what the request shows; nil if it can be sent even if nothing can be read.
	fill func(context.Context, *session, *lockboxv1.RequestView, *lockboxv1.Command) error
	// done says what was done. With standing it is followed by where the request stands after that, or else by unknown,
	// with the reason why that cannot be shown.
	done, unknown string
	standing      bool
}

// verb makes a command of the command line for a verb: it finds the request, asks for a reason if one is missing, and
// says what came of it.
func (a *app) verb(v request.Verb, o offer, c *cobra.Command) *cobra.Command {
	var text string
	var seen uint64
	yes := new(bool)
	if o.effect != nil || o.asks != nil {
		yes = askFirst(c)
	}
	c.ValidArgsFunction, c.Args = o.from, exactly("REQUEST", o.text)
	if o.text == "" {
		c.Args = exactly("REQUEST")
		c.Flags().StringVar(&text, "reason", "", o.reason)
	}
	if v.Settles {
		c.Flags().Uint64Var(&seen, "seen-version", 0, "the `version` that you saw, if you looked at it earlier")
	}
	if o.signs {
		a.signs(c)
	}
	basis := a.byKeyFlags(c, o.byKey)
	c.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if basis.alone {
			return a.revokeByKey(ctx, s, basis.file, args[0], text)
		}
		t, err := s.target(ctx, args[0], o.fill == nil)
		if err != nil {
			return err
		}
		if o.text != "" {
			text = args[1]
		}
		var what *toSign
		if act, is := decisionOf(v.Command("")); is && o.signs && signable(t.view, act) {
			if what, err = s.signingOf(ctx, t, act); err != nil {
				return err
			}
		}
		if !o.inTime || t.view == nil || t.view.GetStatus() == request.CustomerNotified {
			if text, err = a.meant(ctx, c, o, v, t.view, text, *yes); err != nil {
				return err
			}
		}
		command := v.Command(text)
		command.Tenant, command.AggregateId, command.SeenVersion = t.tenant, t.id, seen
		if v.Settles && seen == 0 {
			command.SeenVersion = t.view.GetVersion()
		}
		if o.fill != nil {
			if err := o.fill(ctx, s, t.view, command); err != nil {
				return err
			}
		}
		if err := a.concludes(ctx, o, t.view, command, what, *yes); err != nil {
			return err
		}
		reply, err := s.Do(ctx, command)
		if err != nil {
			return err
		}
		return a.done(reply, "%s", o.done+what.said()+s.after(ctx, t, o, reply))
	})
	return c
}

// concludes has a person read what they decide, and sign it if they do.
func (a *app) concludes(
	ctx context.Context, o offer, v *lockboxv1.RequestView, c *lockboxv1.Command, x *toSign, yes bool,
) error {
	sentence, question := "", ""
	if o.asks != nil {
		sentence, question = o.asks(v, c)
	}
	if x == nil {
		if question == "" {
			return nil
		}
		return a.confirm(ctx, yes, sentence, question)
	}
	if err := x.decide(c); err != nil {
		return err
	}
	if err := a.shows(ctx, x.shown(a.lookAt(a.ErrTerminal)), sentence, question, yes); err != nil {
		return err
	}
	var err error
	c.Signed, err = x.signed(ctx)
	return err
}

// meant makes sure that a person means what the verb leads to, and returns their reason. To type a reason, under the
// effect or as a flag, confirms what only takes access away: nothing holds that up.
func (a *app) meant(
	ctx context.Context, c *cobra.Command, o offer, v request.Verb, about *lockboxv1.RequestView, text string, yes bool,
) (string, error) {
	effect, dangerous := "", false
	if o.effect != nil {
		effect, dangerous = o.effect(about)
	}
	if text == "" && (o.question != "" || dangerous) && a.interactive() {
		typed, err := a.prompt(ctx, render.Paragraphs(a.lookAt(a.ErrTerminal), effect)+first(o.question, "Why?")+" ")
		if err != nil {
			return "", err
		}
		if typed == "" {
			return "", errNotConfirmed
		}
		if text = typed; !dangerous {
			return text, nil
		}
	}
	switch {
	case dangerous:
		if err := required(c, text); err != nil {
			return "", err
		}
		return text, a.confirmDangerous(ctx, c, yes, effect, goOn)
	case effect != "" && (text == "" || !aggregate.TakesAway(v.Command(text))):
		return text, a.confirm(ctx, yes, effect, goOn)
	}
	return text, nil
}

// after says where the request stands after a command that changed it.
func (s *session) after(ctx context.Context, t target, o offer, reply *lockboxv1.CommandReply) string {
	if !o.standing || reply.GetEventId() == "" || s.app.output != formatTable {
		return ""
	}
	v, err := s.settled(ctx, t.tenant, t.id, reply.GetSequence())
	switch {
	case err == nil:
		return " " + render.Standing(s.app.look(), v)
	case o.unknown != "":
		return fmt.Sprintf(o.unknown, render.Clean(err.Error()))
	}
	return ""
}
