package ops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/forwarder"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/spf13/cobra"
)

func busCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "bus", Short: "Set up the bus, and show who may do what on it", Args: cobra.NoArgs,
		Long: "The bus is one or more NATS servers, in which every part of Lockbox has a key of its own and exactly the rights that it needs.",
	}
	c.AddCommand(initCommand(), rightsCommand(), rotateCommand(), setAsideCommand())
	return c
}

// keyring is a directory of keys, as the flags describe it.
type keyring struct {
	dir, handOut, logName string
	tools, copies         []string
	// rotate adds a new key to which customers' webhooks are encrypted.
	rotate bool
}

// webhookKeys names the files of the keys to which customers' webhooks are encrypted (R57).
const webhookKeys = "webhooks"

func (k *keyring) flags(c *cobra.Command) {
	c.Flags().StringVar(&k.dir, "dir", "keys", "directory of all keys")
	c.Flags().StringVar(&k.logName, "log-name", "lockbox.localhost/log",
		"the Merkle log's name in its signatures; it never changes, and is best an address of yours")
	c.Flags().StringSliceVar(&k.tools, "tool", nil, "an engineering tool that gets a key (repeat for several)")
	c.Flags().StringSliceVar(&k.copies, "copy", nil,
		"`IDENTITY@NAME`, a replica or another machine that gets a key of its own (repeat for several)")
	c.Flags().StringVar(&k.handOut, "hand-out", "", "directory with one directory for each identity")
}

func (k *keyring) make() (bus.Keys, error) {
	var copies []bus.Identity
	for _, name := range k.copies {
		copies = append(copies, bus.Identity(name))
	}
	keys, err := bus.LoadOrCreateKeys(k.dir, k.tools, copies...)
	if _, there := os.Lstat(filepath.Join(k.dir, logkeys.SigningKeyFile)); err == nil && errors.Is(there, fs.ErrNotExist) {
		err = k.writers().Begin() // the keys are for a new bus
	}
	if err == nil {
		_, err = logkeys.LoadOrCreate(k.dir, k.logName)
	}
	if err == nil {
		_, err = k.writers().Make(slices.Collect(maps.Keys(keys)))
	}
	if err == nil {
		_, err = keystore.LoadOrCreate(k.dir)
	}
	switch {
	case err != nil:
	case k.rotate:
		err = sealed.Rotate(k.dir, webhookKeys)
	default:
		err = sealed.LoadOrCreate(k.dir, webhookKeys)
	}
	return keys, err
}

// writers makes the keys with which events are signed, under the log's name.
func (k *keyring) writers() writerkeys.Maker {
	return writerkeys.Maker{Dir: k.dir, Origin: k.logName, Now: time.Now()}
}

func keysCommand() *cobra.Command {
	var k keyring
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make the keys that are missing, and hand each one out",
		Long: "Makes an nkey for every service, tool and copy in --dir, the key that signs the Merkle log (log.key) and the secret of its salts\n" +
			"(log.salts), the keys with which writers sign events (.writer) and the deployment's key that certifies them (writers.key), the\n" +
			"key to which customers' webhooks are encrypted (webhooks.key, webhooks.public), and the secret of the store of keys with which\n" +
			"people's details and what they write are encrypted (erasable.key), unless they are there already; none is ever replaced, but a\n" +
			"writer's in the last 60 days of its certificate. Keep writers.key elsewhere: only the next certificate needs it. Keep a copy of\n" +
			"erasable.key elsewhere: without it all details and texts are lost.\n" +
			"Publish log.vkey and writers.vkey: with them anybody verifies receipts, and that every event is its writer's.\n" +
			"--new-webhook-key adds a new key to webhooks.key, before those that are there, and replaces webhooks.public: give the forwarder\n" +
			"its file first, then the orchestrator.\n\n" +
			"With --hand-out, each identity finds its own keys in a directory of its own, DIR/<identity>/, and DIR/nats/ gets the public halves only;\n" +
			"what lockbox bus init has made in --dir for TLS is handed out with them.",
		Example: "  lockbox keys --dir keys --tool console --tool ticketing --hand-out /run/lockbox\n" +
			"  lockbox keys --dir keys --copy client@laptop",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keys, err := k.make()
			if err != nil {
				return err
			}
			return k.distribute(keys)
		},
	}
	k.flags(c)
	c.Flags().BoolVar(&k.rotate, "new-webhook-key", false,
		"make a new key to which customers' webhooks are encrypted, and keep those that there are")
	return c
}

// readers are those who read and write what can be erased, besides the forwarder.
var readers = []bus.Identity{bus.Evaluator, bus.Orchestrator, bus.Notifier, bus.Projector}

// distribute gives each identity what it needs, and nothing else, if the keys are to be handed out.
func (k *keyring) distribute(keys bus.Keys) error {
	if k.handOut == "" {
		return nil
	}
	put := func(owner, file string, data []byte, mode os.FileMode) error {
		if err := os.MkdirAll(filepath.Join(k.handOut, owner), 0o700); err != nil {
			return err
		}
		return durable.Replace(filepath.Join(k.handOut, owner, file), data, mode)
	}
	hand := func(owner, file string, mode os.FileMode) error {
		data, err := os.ReadFile(filepath.Join(k.dir, file)) // #nosec G304 -- the operator names the directory
		if err != nil {
			return err
		}
		return put(owner, file, data, mode)
	}
	there := func(file string) bool {
		_, err := os.Stat(filepath.Join(k.dir, file))
		return err == nil
	}
	secure := there(bus.CAFile)
	var err error
	for id, seed := range keys {
		err = errors.Join(err, put(string(id), bus.SeedFile(id), seed, 0o600),
			hand("nats", bus.PublicKeyFile(id), 0o644))
		if id.Of() == bus.Projector {
			err = errors.Join(err, hand(string(id), logkeys.SigningKeyFile, 0o600), hand(string(id), logkeys.SaltsFile, 0o600))
		}
		if id.Of() == bus.Orchestrator {
			err = errors.Join(err, hand(string(id), webhookKeys+sealed.PublicFile, 0o644))
		}
		if slices.Contains(readers, id.Of()) {
			err = errors.Join(err, hand(string(id), keystore.SecretFile, 0o600))
		}
		if there(writerkeys.KeyFile(id)) {
			err = errors.Join(err, hand(string(id), writerkeys.KeyFile(id), 0o600),
				hand(string(id), writerkeys.PublicKeyFile, 0o644))
		}
		if id.Of() == bus.Compliance { // which writes nothing, and judges what it reads
			err = errors.Join(err, hand(string(id), writerkeys.PublicKeyFile, 0o644))
		}
		if secure {
			err = errors.Join(err, hand(string(id), bus.CAFile, 0o644))
		}
	}
	err = errors.Join(err, k.certificates(keys, hand))
	// Not to the compliance team, whose identity on the bus the forwarder shares.
	err = errors.Join(err, hand(forwarder.Name, webhookKeys+sealed.KeyFile, 0o600),
		hand(forwarder.Name, keystore.SecretFile, 0o600))
	if secure {
		err = errors.Join(err, hand("nats", bus.CAFile, 0o644), hand("nats", bus.CertificateFile, 0o644),
			hand("nats", bus.CertificateKey, 0o600))
	}
	if there(bus.StoreKeyFile) {
		err = errors.Join(err, hand("nats", bus.StoreKeyFile, 0o600))
	}
	return err
}

// certificates gives all writers' certificates to the orchestrators, which record them.
func (k *keyring) certificates(keys bus.Keys, hand func(owner, file string, mode os.FileMode) error) (err error) {
	for id := range keys {
		if id.Of() != bus.Orchestrator {
			continue
		}
		for _, writer := range writerkeys.Writers(slices.Collect(maps.Keys(keys))) {
			if _, there := os.Stat(filepath.Join(k.dir, writerkeys.CertificateFile(writer))); there == nil {
				err = errors.Join(err, hand(string(id), writerkeys.CertificateFile(writer), 0o644))
			}
		}
	}
	return err
}

// configFile is the configuration of a nats-server that lockbox bus init writes.
const configFile = "nats.conf"

func initCommand() *cobra.Command {
	var k keyring
	var hosts []string
	var listen string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make what a bus with TLS needs: certificates, keys, the server's configuration",
		Long: "Makes in --dir what is not there yet: all that lockbox keys makes; an authority for the bus alone (ca.crt, ca.key, good for ten\n" +
			"years); a certificate of it for the servers (tls.crt, tls.key, good for one year), in the name of this machine and of every\n" +
			"--host; the key that encrypts the streams on disk (store.key); and the configuration of a nats-server (nats.conf). Nothing is\n" +
			"ever replaced: that is what lockbox bus rotate is for. With an authority of your own, put its ca.crt and a tls.crt and tls.key\n" +
			"there first.",
		Example: "  lockbox bus init --dir keys --host bus.example.org --tool ticketing --copy client@laptop",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := filepath.Abs(k.dir)
			if err != nil {
				return err
			}
			k.dir = dir
			before := files(dir)
			keys, err := k.make()
			if err != nil {
				return err
			}
			if _, err := devca.Create(dir, hosts, time.Now()); err != nil {
				return err
			}
			if err := bus.CreateStoreKey(dir); err != nil {
				return err
			}
			stale, err := k.configure(listen)
			if err != nil {
				return err
			}
			made := slices.DeleteFunc(files(dir), func(name string) bool { return slices.Contains(before, name) })
			if err := k.distribute(keys); err != nil {
				return err
			}
			return k.explain(c.OutOrStdout(), made, stale, listen, append(hosts, "localhost")[0])
		},
	}
	k.flags(c)
	c.Flags().StringSliceVar(&hosts, "host", nil,
		"a `name` or address by which the servers are reached (repeat for several)")
	c.Flags().StringVar(&listen, "listen", "0.0.0.0:4222", "address for clients, in the configuration")
	return c
}

// configure writes the server's configuration, and reports whether one that is there already is another.
func (k *keyring) configure(listen string) (stale bool, err error) {
	n := node{keys: k.dir, data: filepath.Join(k.dir, "data"), listen: listen, tls: k.dir,
		storeKey: filepath.Join(k.dir, bus.StoreKeyFile)}
	o, err := n.options()
	if err != nil {
		return false, err
	}
	text, err := bus.ServerConfig(o)
	if err != nil {
		return false, err
	}
	path := filepath.Join(k.dir, configFile)
	err = durable.Create(path, []byte(text), 0o644)
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	there, err := os.ReadFile(path) // #nosec G304 -- the operator names the directory
	return string(there) != text, err
}

func (k *keyring) explain(out io.Writer, made []string, stale bool, listen, host string) error {
	keys, writers := 0, 0
	made = slices.DeleteFunc(made, func(name string) bool {
		switch filepath.Ext(name) {
		case ".nk":
			keys++
		case ".writer":
			writers++
		}
		return strings.HasSuffix(name, ".nk") || strings.HasSuffix(name, ".pub") || strings.HasSuffix(name, ".writer") ||
			strings.HasSuffix(name, ".certificate")
	})
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch {
	case keys == 1:
		made = append(made, "a key (.nk, .pub)")
	case keys > 1:
		made = append(made, fmt.Sprintf("%d keys (.nk, .pub)", keys))
	}
	if writers > 0 {
		made = append(made, fmt.Sprintf("%d writers' keys (.writer, .certificate)", writers))
	}
	if len(made) == 0 {
		made = []string{"nothing, everything was there"}
	}
	say("Made in %s: %s.", k.dir, strings.Join(made, ", "))
	if stale {
		say("%s was there and is another than it would be now; lockbox nats --print-config prints that.", configFile)
	}
	run := fmt.Sprintf("--keys %[1]s --tls %[1]s --store-key %[4]s --data %[2]s --listen %[3]s", k.dir,
		filepath.Join(k.dir, "data"), listen, filepath.Join(k.dir, bus.StoreKeyFile))
	_, port, _ := strings.Cut(listen[strings.LastIndex(listen, ":"):], ":")
	say("\nNext:\n  1. Keep %s and %s elsewhere: only the next certificates need them.", devca.KeyFile,
		writerkeys.DeploymentKeyFile)
	say("  2. Start a server: lockbox nats %s\n     or your own: nats-server --config %s", run,
		filepath.Join(k.dir, configFile))
	say("  3. Make the streams: lockbox provision --url tls://%s:%s --ca %s --keys %s", host, port,
		filepath.Join(k.dir, bus.CAFile), k.dir)
	say("  4. Keep copies of %s and %s elsewhere, apart from any backup: without the one the streams are lost, without the\n"+
		"     other all that people wrote, their names and their addresses.", bus.StoreKeyFile, keystore.SecretFile)
	say("  5. Give each service its own .nk file and %s, and nobody another's (--hand-out DIR sorts them).", bus.CAFile)
	_, err := io.WriteString(out, b.String())
	return err
}

func files(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // a directory that is not there yet has none
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// identityRights is what an identity may do, as JSON.
type identityRights struct {
	Identity bus.Identity `json:"identity"`
	Account  string       `json:"account"`
	Rights   []right      `json:"rights"`
}

type right struct {
	Use     bus.Use `json:"use"`
	Subject string  `json:"subject"`
	// Account is where the subject leads, and SubjectThere its name in that account.
	Account      string `json:"account"`
	SubjectThere string `json:"subject_there"`
}

// anyTool stands for the tools, whose names are the operator's, and anyCustomer for customers' own portals.
var (
	anyTool     = bus.Tool("TOOL")
	anyCustomer = bus.CustomerPortal("tenant")
)

func rightsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rights [IDENTITY]",
		Short: "Show who may do what on the bus",
		Long: "Shows what every identity, or one, may do on the bus, and in which account that has its effect: from this the server's\n" +
			"configuration is generated, and everything else is denied. An identity may publish, ask (with any number of answers), hear what\n" +
			"others publish, and serve requests. \"= …\" is the subject's name in the other account.",
		Example: "  lockbox bus rights notifier\n  lockbox bus rights tool-ticketing -o json\n  lockbox bus rights client@laptop",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, id := range append(bus.Identities(), anyTool, anyCustomer) {
				names = append(names, string(id))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			ids := append(bus.Identities(), anyTool, anyCustomer)
			if len(args) > 0 {
				ids = []bus.Identity{bus.Identity(args[0])}
			}
			var all []identityRights
			for _, id := range ids {
				r := rightsOf(id)
				if len(r.Rights) == 0 {
					return fmt.Errorf("there is no identity %q: lockbox bus rights shows all of them", id)
				}
				all = append(all, r)
			}
			return cli.Output(c, all, func(render.Look) string { return rightsText(all) })
		},
	}
}

func rightsOf(id bus.Identity) identityRights {
	all := identityRights{Identity: id, Account: id.Account()}
	for _, r := range bus.Rights(id) {
		shown := right{r.Use, r.Subject, r.Account, r.There}
		if shown.Account == "" {
			shown.Account = all.Account
		}
		if shown.SubjectThere == "" {
			shown.SubjectThere = shown.Subject
		}
		all.Rights = append(all.Rights, shown)
	}
	return all
}

// columns is how wide the text is at most.
const columns = 80

var uses = map[bus.Use]string{bus.Publishes: "publishes to", bus.Asks: "asks", bus.Hears: "hears", bus.Serves: "serves"}

func rightsText(all []identityRights) string {
	var b strings.Builder
	for i, who := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s, in account %s\n", who.Identity, who.Account)
		heading := ""
		rights := slices.Clone(who.Rights)
		slices.SortStableFunc(rights, func(a, b right) int {
			order := []bus.Use{bus.Publishes, bus.Asks, bus.Hears, bus.Serves}
			if d := slices.Index(order, a.Use) - slices.Index(order, b.Use); d != 0 {
				return d
			}
			return strings.Compare(a.Account, b.Account)
		})
		for _, r := range rights {
			where := r.Account
			if where == who.Account {
				where = "its own account"
			}
			if now := uses[r.Use] + " " + where; now != heading {
				heading = now
				fmt.Fprintf(&b, "  %s\n", heading)
			}
			line := "    " + r.Subject
			if r.SubjectThere != r.Subject {
				there := "= " + r.SubjectThere
				if len(line)+1+len(there) <= columns {
					line += " " + there
				} else {
					line += "\n      " + there
				}
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
