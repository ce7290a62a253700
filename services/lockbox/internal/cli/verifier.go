package cli

import (
	"context"
	"errors"
	"os"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/verifier"
	"github.com/spf13/cobra"
)

// trust holds the flags that select whose signatures are trusted.
type trust struct{ policy, key string }

func (t *trust) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.policy, "policy", "",
		"`file` that names the log's key, witnesses and how many of them must have signed")
	c.Flags().StringVar(&t.key, "log-key", "",
		"the log's public `key`, or a file with it (LOCKBOX_LOG_KEY); no witness is asked for")
	_ = c.MarkFlagFilename("policy") // fails only for an unknown flag
}

// of returns what the user trusts. By default that is the key of the Lockbox on this machine, and local is true: good
// enough to try it out, but no proof against its operator.
func (t *trust) of(a *app) (trusted verifier.Trust, local bool) {
	trusted = verifier.Trust{Policy: t.policy, Key: t.key}
	if trusted.Policy == "" {
		trusted.Key = first(t.key, a.Getenv("LOCKBOX_LOG_KEY"))
	}
	if trusted != (verifier.Trust{}) {
		return trusted, false
	}
	info, err := a.running()
	trusted.Key = info.LogKey
	return trusted, err == nil && info.LogKey != ""
}

// verifyFile checks a receipt, or evidence against a log, offline. Writers is the file of the key that certifies
// writers; empty if none is named.
func (a *app) verifyFile(c *cobra.Command, t *trust, writers, name, state string) error {
	trusted, local := t.of(a)
	trusted.Writers = first(writers, a.Getenv("LOCKBOX_WRITERS_KEY"))
	if file, err := os.ReadFile(name); err == nil && verifier.IsEvidence(file) { // #nosec G304 -- the user names it
		return a.verifyEvidence(c, trusted, name)
	}
	r, err := verifier.CheckWatched(name, trusted, state, a.Now())
	if err != nil {
		return asUsage(c, err)
	}
	if local {
		r.Trusted = "the key of the Lockbox on this machine, " + trusted.Key
	}
	return a.write(page{
		func() (string, error) { return render.ValueJSON(r) },
		func(l render.Look) string {
			return r.Text(func(sequence uint64, e *lockboxv1.Event) string { return render.Event(l, sequence, e) })
		},
	})
}

func (a *app) verifyEvidence(c *cobra.Command, trusted verifier.Trust, name string) error {
	e, err := verifier.CheckEvidence(name, trusted)
	if err != nil {
		return asUsage(c, err)
	}
	return a.write(page{
		func() (string, error) { return render.ValueJSON(e) },
		func(render.Look) string { return e.Text() },
	})
}

// watcher returns what asks the log that is named, or that of the Lockbox on this machine.
func (a *app) watcher(t *trust, address string) *verifier.Watcher {
	w := &verifier.Watcher{
		Log: first(address, a.Getenv("LOCKBOX_LOG")), Out: a.Out, Err: a.Err, Now: a.Now, Zone: a.Zone,
	}
	w.Trust, _ = t.of(a)
	if info, err := a.running(); w.Log == "" && err == nil {
		w.Log = info.LogURL
	}
	return w
}

const logFlag = "`address` of the log (LOCKBOX_LOG; on the machine that runs Lockbox it is known)"

func (a *app) auditCompareCommand() *cobra.Command {
	var address string
	t := &trust{}
	c := &cobra.Command{
		Use: "compare A [B]", Short: "Compare two receipts, checkpoints, mails or states of watch, or one with the log",
		Args: cobra.RangeArgs(1, 2), ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		Long: verifier.CompareHelp + `

With A alone it is compared with the log as it is now.`,
		Example: `  lockbox audit compare receipt.json lockbox-log-meadowbank.json --policy policy.txt
  lockbox audit compare 4711:9f86d081884c7d659a2feaa0c55ad015 --log https://log.nimbus.example`,
	}
	c.Flags().StringVar(&address, "log", "", logFlag)
	t.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		args = append(args, "")
		return asUsage(c, a.watcher(t, address).Compare(c.Context(), args[0], args[1]))
	}
	return c
}

func (a *app) auditWatchCommand() *cobra.Command {
	var (
		address, file, compare, writers, pin string
		every, age                           time.Duration
		once, acknowledge                    bool
	)
	t := &trust{}
	c := &cobra.Command{
		Use: "watch", Short: "Follow your log, and prove each time that nothing before was rewritten",
		Args: exactly(), ValidArgsFunction: nothing,
		Long: verifier.WatchHelp + `

--compare takes what stands at the end of each mail, and proves that the log began so when the mail was sent.`,
		Example: `  lockbox audit watch --once
  lockbox audit watch --log https://log.nimbus.example --policy policy.txt --state meadowbank.json --interval 5m
  lockbox audit watch --compare 4711:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
	}
	f := c.Flags()
	f.StringVar(&address, "log", "", logFlag)
	f.StringVar(&file, "state", "", "`file` of the last checkpoint seen (default lockbox-log-<tenant>.json)")
	f.StringVar(&compare, "compare", "", "`size:root` from a mail, to be proved once")
	f.DurationVar(&every, "interval", verifier.DefaultInterval, "how often to look")
	f.BoolVar(&once, "once", false, "look once")
	f.DurationVar(&age, "max-age", 0, "`how long` ago enough witnesses may have cosigned what is shown")
	f.StringVar(&pin, "pin", "", "`fingerprint` of your organisation's keys, words or digits (LOCKBOX_PIN)")
	f.BoolVar(&acknowledge, "acknowledge", false, "do not say again what was found before")
	f.StringVar(&writers, "writers-key", "",
		"`file` with the key that certifies writers (LOCKBOX_WRITERS_KEY): check who wrote each event")
	_ = c.MarkFlagFilename("writers-key") // fails only for an unknown flag
	t.flags(c)
	c.RunE = a.with(func(ctx context.Context, s *session, _ []string) (err error) {
		w := a.watcher(t, address)
		w.State, w.Token, w.MaxAge, w.Acknowledge = file, s.Token, age, acknowledge
		w.Trust.Writers = first(writers, a.Getenv("LOCKBOX_WRITERS_KEY"))
		if w.Log == "" {
			return usage(c, "name the log with --log (or LOCKBOX_LOG)")
		}
		if w.Pin, err = verifier.ReadPin(first(pin, a.Getenv("LOCKBOX_PIN"))); err != nil {
			return asUsage(c, err)
		}
		if compare != "" {
			return asUsage(c, w.Compare(ctx, compare, ""))
		}
		if w.Tenant, err = s.oneTenant(ctx); err != nil {
			return err
		}
		return asUsage(c, w.Watch(ctx, every, once))
	})
	return c
}

// asUsage turns the verifier's usage errors into those of this command line.
func asUsage(c *cobra.Command, err error) error {
	var wrong *verifier.UsageError
	if errors.As(err, &wrong) {
		return &usageError{c, err}
	}
	return err
}
