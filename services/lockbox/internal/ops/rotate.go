package ops

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/spf13/cobra"
)

// rotation is what the commands of lockbox bus rotate have in common.
type rotation struct {
	keyring
	finish bool
}

func rotateCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rotate", Short: "Replace a key, a certificate or the authority of a bus that runs", Args: cobra.NoArgs,
		Long: "Each is replaced in steps, so that nobody is cut off: first the new one is accepted beside the old one, then it is used, then\n" +
			"the old one is removed. Each call takes one step and says what to do before the next. What takes something away is done\n" +
			"with --finish only. With --hand-out, everybody's files are handed out anew, as lockbox keys does.",
	}
	c.AddCommand(rotateKey(), rotateCertificate(), rotateAuthority(), rotateStoreKey(), rotateWriter(), rotateLogKey())
	return c
}

// command adds the flags, and what is done after each step.
func (r *rotation) command(c *cobra.Command, step func(out io.Writer, args []string) error) *cobra.Command {
	c.Flags().StringVar(&r.dir, "dir", "keys", "directory of all keys")
	c.Flags().StringVar(&r.handOut, "hand-out", "", "directory with one directory for each identity")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := step(c.OutOrStdout(), args); err != nil {
			return err
		}
		keys, err := bus.ReadKeys(r.dir)
		if err != nil {
			return err
		}
		return r.distribute(keys)
	}
	return c
}

func (r *rotation) finishFlag(c *cobra.Command, what string) {
	c.Flags().BoolVar(&r.finish, "finish", false, what)
}

// says writes what was done and what comes next.
func says(out io.Writer, done, next string) error {
	_, err := fmt.Fprintf(out, "%s\nNext: %s\n", done, next)
	return err
}

func rotateKey() *cobra.Command {
	var r rotation
	c := r.command(&cobra.Command{
		Use:   "key IDENTITY",
		Short: "Replace the key of a service, a tool or a copy",
		Long: "The first time, makes a new key, which the servers accept beside the old one once they have its .pub. The second time, the\n" +
			"identity's .nk becomes the new key, which it uses from its next start or SIGHUP. With --finish, the old one is accepted no more.",
		Example: "  lockbox bus rotate key notifier\n  lockbox bus rotate key audit-projector@b --finish",
		Args:    cobra.ExactArgs(1),
	}, func(out io.Writer, args []string) error {
		id := bus.Identity(args[0])
		if r.finish {
			if err := bus.FinishKey(r.dir, id); err != nil {
				return err
			}
			return says(out, fmt.Sprintf("The old key of %s is accepted no more.", id),
				fmt.Sprintf("give the servers %s.", bus.PublicKeyFile(id)))
		}
		before, err := bus.KeyReplacing(r.dir, id)
		if err != nil {
			return err
		}
		if before == bus.KeySwitched {
			return says(out, fmt.Sprintf("%s has its new key, and the old one is still accepted.", id),
				"when every process of it uses the new one, call this with --finish.")
		}
		step, err := bus.ReplaceKey(r.dir, id)
		if err != nil {
			return err
		}
		if step == bus.KeyKnown {
			return says(out, fmt.Sprintf("Made a new key of %s.", id), fmt.Sprintf(
				"give all servers %s, which names both; lockbox nats follows within a second. Then call this again.",
				bus.PublicKeyFile(id)))
		}
		return says(out, fmt.Sprintf("%s is the new key.", bus.SeedFile(id)), fmt.Sprintf(
			"give it to %s and send each process SIGHUP, or restart it. Then call this with --finish.", id))
	})
	r.finishFlag(c, "remove the old key")
	return c
}

func rotateWriter() *cobra.Command {
	var r rotation
	c := r.command(&cobra.Command{
		Use:   "writer IDENTITY",
		Short: "Replace the key with which a writer, or a copy of it, signs events",
		Long: "Makes a new key and certificate with the deployment's key (writers.key), which is put into --dir for as long as this takes. The\n" +
			"orchestrator records the certificate at its next start; from then on the new key counts. The old one counts until its\n" +
			"certificate ends, unless it is revoked: lockbox audit writers revoke.",
		Example: "  lockbox bus rotate writer notifier\n  lockbox bus rotate writer lockbox-orchestrator@b",
		Args:    cobra.ExactArgs(1),
	}, func(out io.Writer, args []string) (err error) {
		id := bus.Identity(args[0])
		deployment, err := writerkeys.ReadDeployment(filepath.Join(r.dir, writerkeys.PublicKeyFile))
		if err != nil {
			return err
		}
		r.logName = deployment.Origin
		if err := r.writers().Rotate(id); err != nil {
			return err
		}
		return says(out, fmt.Sprintf("Made a new key with which %s signs, and its certificate.", id), fmt.Sprintf(
			"give every orchestrator %s and restart one of them; then give %s to %s, and restart it.",
			writerkeys.CertificateFile(id), writerkeys.KeyFile(id), id))
	})
	return c
}

func rotateLogKey() *cobra.Command {
	var r rotation
	c := r.command(&cobra.Command{
		Use:   "log-key",
		Short: "Replace the key that signs the Merkle log",
		Long: "The first time, makes a new key, with which checkpoints are signed beside the old one; the log records that the old one says\n" +
			"so. With --finish, once everybody who verifies has the new log.vkey, only the new one signs. What the old one has signed stays\n" +
			"valid: its public half stays in log.key and log.vkey.",
		Example: "  lockbox bus rotate log-key\n  lockbox bus rotate log-key --finish",
		Args:    cobra.NoArgs,
	}, func(out io.Writer, _ []string) error {
		if r.finish {
			if err := logkeys.Finish(r.dir); err != nil {
				return err
			}
			return says(out, "Only the new key signs the log from the projector's next start on.", fmt.Sprintf(
				"give every projector %s, and restart it.", logkeys.SigningKeyFile))
		}
		if err := logkeys.Rotate(r.dir); err != nil {
			return err
		}
		return says(out, "Made a new key of the log.", fmt.Sprintf("give every projector %s, and restart it; publish %s, "+
			"and give it to whoever verifies and to the witnesses. Then call this with --finish.", logkeys.SigningKeyFile,
			logkeys.PublicKeyFile))
	})
	r.finishFlag(c, "sign with the new key only")
	return c
}

func rotateCertificate() *cobra.Command {
	var r rotation
	var hosts []string
	c := r.command(&cobra.Command{
		Use:   "certificate",
		Short: "Renew the servers' certificate",
		Long: "Makes a new certificate and key (tls.crt, tls.key) by the authority in --dir, in the names of the one before or of every --host.\n" +
			"A server that runs shows it to new connections within a second.",
		Example: "  lockbox bus rotate certificate --dir keys",
		Args:    cobra.NoArgs,
	}, func(out io.Writer, _ []string) error {
		if err := devca.Renew(r.dir, hosts, time.Now()); err != nil {
			return err
		}
		return says(out, "Renewed the servers' certificate, for a year.", fmt.Sprintf(
			"give each server %s and %s. Nothing has to be restarted.", bus.CertificateFile, bus.CertificateKey))
	})
	c.Flags().StringSliceVar(&hosts, "host", nil,
		"a `name` or address by which the servers are reached (repeat for several); by default those of now")
	return c
}

func rotateAuthority() *cobra.Command {
	var r rotation
	c := r.command(&cobra.Command{
		Use:   "authority",
		Short: "Replace the authority that signs the servers' certificate",
		Long: "The first time, makes a new authority: ca.crt then holds both. The second time, the servers' certificate is made anew, by the\n" +
			"new one. With --finish, ca.crt holds the new one only. Everybody reads ca.crt anew for each connection.",
		Example: "  lockbox bus rotate authority --dir keys\n  lockbox bus rotate authority --dir keys --finish",
		Args:    cobra.NoArgs,
	}, func(out io.Writer, _ []string) error {
		if r.finish {
			if err := devca.Finish(r.dir); err != nil {
				return err
			}
			return says(out, "The old authority is trusted no more.", fmt.Sprintf("give everybody %s.", bus.CAFile))
		}
		before, err := devca.Replacing(r.dir)
		if err != nil {
			return err
		}
		if before == devca.Switched {
			return says(out, "The servers' certificate is of the new authority, and the old one is still trusted.",
				"when every server shows it, call this with --finish.")
		}
		step, err := devca.Replace(r.dir, time.Now())
		if err != nil {
			return err
		}
		if step == devca.Trusted {
			return says(out, "Made a new authority.", fmt.Sprintf("give everybody %s, which holds both: servers, services, "+
				"tools and command lines. Then call this again.", bus.CAFile))
		}
		return says(out, "The servers' certificate is of the new authority.", fmt.Sprintf(
			"give each server %s, %s and %s. When all show it, call this with --finish, and keep %s elsewhere.",
			bus.CAFile, bus.CertificateFile, bus.CertificateKey, devca.KeyFile))
	})
	r.finishFlag(c, "trust the old authority no more")
	return c
}

func rotateStoreKey() *cobra.Command {
	var r rotation
	return r.command(&cobra.Command{
		Use:   "store-key",
		Short: "Replace the key that encrypts the streams on disk",
		Long: "Makes a new store.key, and keeps the old one in store.key.old.*, for backups of the servers' files. It is for a cluster: one\n" +
			"server after the other is filled anew from the others, with lockbox bus set-aside. A single server keeps its key.",
		Example: "  lockbox bus rotate store-key --dir keys",
		Args:    cobra.NoArgs,
	}, func(out io.Writer, _ []string) error {
		old, err := bus.ReplaceStoreKey(r.dir)
		if err != nil {
			return err
		}
		return says(out, fmt.Sprintf("Made a new %s; the old one is kept in %s.", bus.StoreKeyFile, old), fmt.Sprintf(
			"for one server after the other, while the others are well: stop it, give it %s, "+
				"run lockbox bus set-aside --data with its directory, start it, and wait until it is well.", bus.StoreKeyFile))
	})
}

func setAsideCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "set-aside",
		Short: "Have a stopped server of a cluster filled anew from the others",
		Long: "Moves the streams of a server that is stopped aside, within its directory: when it starts, it gets all of them from the others.\n" +
			"It is for a new store key and for damaged files, one server at a time and only while all others are well: with less than two\n" +
			"of three, events are lost. A single server has nobody to get them from.",
		Example: "  lockbox bus set-aside --data data",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			aside, err := embedded.SetAside(data, time.Now())
			if err != nil {
				return err
			}
			return says(c.OutOrStdout(), "Moved to "+aside+".",
				"start the server, wait until it is well, and remove what was moved. Only then comes another server's turn.")
		},
	}
	c.Flags().StringVar(&data, "data", "data", "directory of the streams")
	return c
}
