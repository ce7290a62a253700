package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/erasure"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func keystoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keystore",
		Short: "Back up and restore the keys of what can be erased",
		Args:  cobra.NoArgs,
		Long: "The key store holds the keys with which people's details and what they wrote are encrypted. Without it, and without a backup\n" +
			"of it, all of them are lost. A backup brings back what was erased after it was made, so it is a file of its own, in no backup of\n" +
			"the streams, and is deleted after 30 days.",
	}
	c.AddCommand(keystoreBackupCommand(), keystoreRestoreCommand())
	return c
}

func keystoreBackupCommand() *cobra.Command {
	var url, keys string
	c := &cobra.Command{
		Use:   "backup FILE|DIRECTORY",
		Short: "Write a backup of the key store",
		Long: "Reads all pages of the key store with compliance's key, and writes them to FILE, which must not be there yet and is for its owner\n" +
			"only. They are encrypted as they are stored: whoever has the file and erasable.key reads them, so keep the two apart, and delete\n" +
			"the file after 30 days. In a DIRECTORY it names the file by the time, and afterwards deletes its own there that are older.",
		Example: "  lockbox keystore backup /var/backups/lockbox-keys --keys /etc/lockbox/compliance",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			nc, err := bus.Connect(connection(c, bus.Compliance, url, keys))
			if err != nil {
				return err
			}
			defer nc.Close()
			b, err := keystore.TakeBackup(c.Context(), nc, time.Now())
			if err != nil {
				return err
			}
			file, dir := args[0], ""
			if info, err := os.Stat(file); err == nil && info.IsDir() {
				dir, file = file, filepath.Join(file, b.At.Format(backupName))
			}
			if err := durable.Create(file, b.Bytes(), 0o600); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%d pages are in %s.\n", b.Pages(), file); err != nil || dir == "" {
				return err
			}
			return deleteBackups(c.OutOrStdout(), dir, b.At.Add(-keystore.BackupAge))
		},
	}
	c.Flags().StringVar(&url, "url", nats.DefaultURL, "address of the bus")
	c.Flags().StringVar(&keys, "keys", "keys", "directory that holds compliance.nk")
	return c
}

// backupName is how a backup is called in a directory, by the time at which it was made, in UTC.
const backupName = "lockbox-20060102T150405Z.keys"

// deleteBackups deletes the backups in a directory that were made before a time, and nothing else.
func deleteBackups(out io.Writer, dir string, before time.Time) (err error) {
	for _, name := range files(dir) {
		at, other := time.Parse(backupName, name)
		if other != nil || !at.Before(before) {
			continue
		}
		file := filepath.Join(dir, name)
		if e := os.Remove(file); e != nil {
			err = errors.Join(err, e)
		} else if _, e := fmt.Fprintf(out, "Deleted %s, which was more than 30 days old.\n", file); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

func keystoreRestoreCommand() *cobra.Command {
	var url, keys, secret string
	var older bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Store what a backup of the key store has and the store has lost",
		Long: "Stores each page of the backup that the key store does not have, with the orchestrator's key, and without the keys of whatever was\n" +
			"decided to be erased: that stays erased. It replaces nothing. If the whole store was lost, stop all services, run\n" +
			"lockbox provision, restore, and start the services again: what they would store in between takes the place of what is in the\n" +
			"backup. A backup of more than 30 days should be deleted, and is refused unless --older is said.",
		Example: "  lockbox keystore restore /var/backups/lockbox-keys/lockbox-20261001T020000Z.keys --keys /etc/lockbox/lockbox-orchestrator",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			b, err := keystore.ParseBackup(file)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if age := time.Since(b.At); age > keystore.BackupAge && !older {
				return fmt.Errorf("%s is of %s, %d days old, and a backup of keys is deleted after 30 days: "+
					"if there is no newer one, say --older", args[0], b.At.Format(time.DateOnly), age/(24*time.Hour))
			}
			if secret == "" {
				secret = filepath.Join(keys, keystore.SecretFile)
			}
			restored, err := restoreKeys(c.Context(), connection(c, bus.Orchestrator, url, keys), config.SecretFile(secret), b)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d of %d pages were missing, and are there again.\n", restored, b.Pages())
			return err
		},
	}
	c.Flags().StringVar(&url, "url", nats.DefaultURL, "address of the bus")
	c.Flags().StringVar(&keys, "keys", "keys", "directory that holds lockbox-orchestrator.nk")
	c.Flags().StringVar(&secret, "secret", "", "`file` of the store's secret; empty: erasable.key in that directory")
	c.Flags().BoolVar(&older, "older", false, "restore a backup of more than 30 days")
	return c
}

func restoreKeys(
	ctx context.Context, to bus.Connection, file config.SecretFile, b *keystore.Backup,
) (restored int, err error) {
	secret, err := keystore.ReadSecret(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("without the store's secret a backup is of no use: %w", err)
	}
	if err != nil {
		return 0, err
	}
	nc, err := bus.Connect(to)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	j, err := journal.Open(ctx, nc)
	if err != nil {
		return 0, err
	}
	defer j.Close()
	gone, err := orchestrator.Erased(ctx, j, func(s erasure.State) bool {
		return s.Status == erasure.Decided || s.Status == erasure.Destroyed
	})
	if err != nil {
		return 0, err
	}
	store, err := keystore.New(ctx, nc, secret, zap.NewNop())
	if err != nil {
		return 0, err
	}
	return store.Restore(ctx, b, gone)
}
