package bus

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"
)

// MaxPayload is the largest message on the bus, in bytes: more than the 64 KiB that any reader accepts, plus room for
// headers.
const MaxPayload = 256 << 10

// maxFileStore is no limit: a disk is full when it is full. Otherwise a server's limit is three quarters of what is
// free when it starts, and stays that even if the disk has grown since.
const maxFileStore = 1 << 50

// ServerOptions configures one NATS server.
type ServerOptions struct {
	// Name must be unique within a cluster. Default "lockbox".
	Name string
	// StoreDir is the directory that holds the streams.
	StoreDir string
	// StoreKey is the file of the key that encrypts the streams on disk; empty: they are not encrypted. See StoreKey.
	StoreKey string
	// PlainStore permits an unencrypted store although other machines can reach the server.
	PlainStore bool
	// StageIn is a directory in memory in which batches lie until the server has stored them; empty: in the store. See
	// StageError.
	StageIn string
	// PublicKeys are the identities that may connect, and no others. While a key is being replaced, an identity has two,
	// separated by blanks.
	PublicKeys map[Identity]string
	// ToolTenants limits engineering tools, by name, to the tenants listed; the others may publish for every tenant.
	ToolTenants map[string][]string
	// Host to listen on for clients. Empty: no listener; only this process can connect.
	Host string
	// Port to listen on; -1 picks a free one, 0 means 4222.
	Port int
	// TLS is needed if other machines can reach the server; nil: there is none. Connections within this process use none.
	TLS *TLSFiles
	// Cluster makes the server a member of a cluster; nil: it is stand-alone.
	Cluster *ClusterOptions
	// Monitor is where the server's own health and figures are served by HTTP, "host:port"; empty: nowhere. Nobody has to
	// sign in there, so it must be an address of this machine only.
	Monitor string
}

// TLSFiles are the paths of a server's certificate, its key and the authority that signs such certificates, as PEM. In
// a cluster, the other servers' certificates must be signed by it too.
type TLSFiles struct{ Certificate, Key, CA string }

// The names of these files where they lie in one directory, as in a secret of Kubernetes.
const (
	CertificateFile = "tls.crt"
	CertificateKey  = "tls.key"
	CAFile          = "ca.crt"
)

// TLSIn returns the paths of the files in a directory; nil if the directory is empty.
func TLSIn(dir string) *TLSFiles {
	if dir == "" {
		return nil
	}
	return &TLSFiles{filepath.Join(dir, CertificateFile), filepath.Join(dir, CertificateKey), filepath.Join(dir, CAFile)}
}

// PlaintextError means that a server without TLS would listen where other machines can reach it.
type PlaintextError struct{ Host string }

func (e *PlaintextError) Error() string {
	return fmt.Sprintf("bus: other machines can reach %s, so listening there needs TLS: name the directory of a certificate "+
		"with --tls (lockbox bus init makes one), or listen on 127.0.0.1", e.Host)
}

// PlainStoreError means that a server that other machines can reach would keep its streams unencrypted.
type PlainStoreError struct{ Host string }

func (e *PlainStoreError) Error() string {
	return fmt.Sprintf("bus: other machines can reach %s, so the streams have to be encrypted on disk: name the file of "+
		"a key with --store-key (lockbox bus init makes one), or say --plain-store if the disk itself is encrypted", e.Host)
}

// StageError means that a server cannot stage batches in a directory.
type StageError struct {
	Dir string
	Err error
}

func (e *StageError) Error() string {
	return fmt.Sprintf("bus: batches cannot be staged in %s (--stage-in): %v", e.Dir, e.Err)
}

// Unwrap returns the reason.
func (e *StageError) Unwrap() error { return e.Err }

// ClusterOptions says how a server reaches the other members of its cluster.
type ClusterOptions struct {
	Name string
	Host string
	// Port to listen on for the other servers.
	Port int
	// Routes are the other servers' addresses, "host:port".
	Routes []string
}

// ServerConfig returns the configuration file of a NATS server: an account with the streams, to which nobody connects,
// and one for each service and for those who only send, whose users have exactly the rights of Rights. Every
// acknowledged write is on disk, and no other feature is enabled.
func ServerConfig(o ServerOptions) (string, error) {
	if o.StoreDir == "" {
		return "", errors.New("bus: a server needs a store directory")
	}
	if len(o.PublicKeys) == 0 {
		return "", errors.New("bus: a server needs at least one public key")
	}
	for tool := range o.ToolTenants {
		if _, has := o.PublicKeys[Tool(tool)]; !has {
			return "", fmt.Errorf("bus: the engineering tool %q is limited, and has no key", tool) // a slip in its name?
		}
	}
	if host := o.openTo(); host != "" && o.TLS == nil {
		return "", &PlaintextError{host}
	} else if host != "" && o.StoreKey == "" && !o.PlainStore {
		return "", &PlainStoreError{host}
	}
	if o.StageIn != "" && o.Cluster != nil {
		return "", &StageError{o.StageIn, errors.New("the servers of a cluster stage in memory what has several replicas, " +
			"without being told")}
	}
	if host, _, err := net.SplitHostPort(o.Monitor); o.Monitor != "" && (err != nil || !ownMachine(host)) {
		return "", fmt.Errorf("bus: %q is no address for monitoring: nobody signs in there, so it is a host:port of this "+
			"machine only, such as 127.0.0.1:8222", o.Monitor)
	}
	if o.Name == "" {
		o.Name = "lockbox"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server_name: %q", o.Name)
	if o.Host != "" {
		line("host: %q\nport: %d", o.Host, o.Port)
	}
	if o.TLS != nil && o.Host != "" {
		line("tls {\n%s}", o.TLS.settings())
	}
	if o.Monitor != "" {
		line("http: %q", o.Monitor)
	}
	line("max_payload: %d", MaxPayload)
	line("jetstream {\n  store_dir: %q\n  sync_interval: always\n  max_file_store: %d", o.StoreDir, maxFileStore)
	if o.StoreKey != "" {
		// The key itself stays in its own file, which NATS looks for beside the configuration.
		line("  cipher: aes\n  include %q", "./"+filepath.Base(o.StoreKey))
	}
	line("}")
	if c := o.Cluster; c != nil {
		routes := make([]string, len(c.Routes))
		for i, r := range c.Routes {
			routes[i] = "nats://" + r
		}
		line("cluster {\n  name: %q\n  host: %q\n  port: %d\n  routes: %s", c.Name, c.Host, c.Port, quoted(routes))
		if o.TLS != nil {
			line("  tls {\n%s    ca_file: %q\n    verify: true\n  }", o.TLS.settings(), o.TLS.CA)
		}
		line("}")
	}
	accounts, err := accountsOf(o)
	if err != nil {
		return "", err
	}
	line("accounts {")
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		accounts[name].write(line, name)
	}
	line("  %s {}\n}\nsystem_account: %s", accountSystem, accountSystem)
	return b.String(), nil
}

// openTo returns the first address that other machines can reach; empty: there is none.
func (o ServerOptions) openTo() string {
	hosts := []string{o.Host}
	if o.Cluster != nil {
		hosts = append(hosts, o.Cluster.Host)
	}
	for _, host := range hosts {
		if host != "" && !ownMachine(host) {
			return host
		}
	}
	return ""
}

func ownMachine(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func (f *TLSFiles) settings() string {
	return fmt.Sprintf("    cert_file: %q\n    key_file: %q\n    min_version: \"1.3\"\n    timeout: 5\n",
		f.Certificate, f.Key)
}

// maxKeys is how many keys an identity has while one is being replaced.
const maxKeys = 2

// account is what the configuration says of an account.
type account struct {
	users []string
	// exports lists, by what is exported, the accounts that may import it; imports by what is imported, the name that it
	// has here.
	exports map[export]map[string]bool
	imports map[imported]string
	// storedAs maps subjects to the one under which the account keeps what comes in on them.
	storedAs map[string]string
}

type export struct {
	use     Use
	subject string
}

type imported struct {
	export
	account string
}

// accountsOf returns every account, whether anybody of it has a key or not: an account that a reload adds could import
// nothing until the next one.
func accountsOf(o ServerOptions) (map[string]*account, error) {
	accounts := map[string]*account{}
	named := func(name string) *account {
		if accounts[name] == nil {
			accounts[name] = &account{exports: map[export]map[string]bool{}, imports: map[imported]string{},
				storedAs: map[string]string{}}
		}
		return accounts[name]
	}
	named(accountStreams).storedAs[intentPrefix+PortalTool+".*"] = intentPrefix + PortalTool + "." + anyTenant
	everybody := slices.Concat(Identities(), []Identity{Tool("any")})
	if _, repairs := o.PublicKeys[Repairer]; repairs {
		everybody = append(everybody, Repairer)
	}
	for _, id := range slices.Concat(everybody, slices.Collect(maps.Keys(o.PublicKeys))) {
		own := named(id.Account())
		for _, r := range Rights(id) {
			if !r.crosses() {
				continue
			}
			here := cmp.Or(r.through, r.Subject)
			there := export{r.Use, cmp.Or(r.There, here)}
			other := named(r.Account)
			if other.exports[there] == nil {
				other.exports[there] = map[string]bool{}
			}
			other.exports[there][id.Account()] = true
			own.imports[imported{there, r.Account}] = here
		}
	}
	for _, id := range slices.Sorted(maps.Keys(o.PublicKeys)) {
		tool, isTool := id.tool()
		if isTool && len(o.ToolTenants[tool]) == 0 {
			named(accountStreams).storedAs[intentPrefix+tool+".*"] = intentPrefix + tool + "." + anyTenant
		}
		rights := Rights(id, o.ToolTenants[tool]...)
		if len(rights) == 0 {
			// To NATS an empty list means everything.
			return nil, fmt.Errorf("bus: %q has a key but no rights", id)
		}
		keys := strings.Fields(o.PublicKeys[id])
		if len(keys) == 0 || len(keys) > maxKeys ||
			slices.ContainsFunc(keys, func(k string) bool { return !nkeys.IsValidPublicUserKey(k) }) {
			return nil, fmt.Errorf("bus: the public key of %s is not a user's nkey", id)
		}
		var publish, subscribe []string
		for _, r := range rights {
			if r.Use == Publishes || r.Use == Asks {
				publish = append(publish, r.Subject)
			} else {
				subscribe = append(subscribe, r.Subject)
			}
		}
		own := named(id.Account())
		for _, key := range keys {
			own.users = append(own.users, fmt.Sprintf(
				"      # %s\n      {nkey: %s, permissions: {\n        publish: {allow: %s}\n        subscribe: {allow: %s}\n      }}",
				id, key, quoted(publish), quoted(subscribe)))
		}
	}
	return accounts, nil
}

// answerTime is how long the server keeps the way back open after the last of several answers to a question. It keeps
// 440 bytes for each; its default is two minutes.
func (e export) answerTime() string {
	if strings.Contains(e.subject, ".DIRECT.GET.") {
		return "2s"
	}
	return "60s" // longer than a consumer's heartbeats are apart
}

func (a *account) write(line func(string, ...any), name string) {
	line("  %s {", name)
	if name == accountStreams {
		line("    jetstream: enabled")
	}
	line("    exports: [")
	for _, e := range sortedExports(maps.Keys(a.exports)) {
		to := "[" + strings.Join(slices.Sorted(maps.Keys(a.exports[e])), ", ") + "]"
		switch e.use {
		case Hears:
			line("      {stream: %q, accounts: %s}", e.subject, to)
		case Asks:
			line("      {service: %q, accounts: %s, response_type: stream, response_threshold: %q}", e.subject, to,
				e.answerTime())
		default:
			line("      {service: %q, accounts: %s}", e.subject, to)
		}
	}
	line("    ]\n    imports: [")
	for _, i := range slices.SortedFunc(maps.Keys(a.imports), func(a, b imported) int {
		return cmp.Or(strings.Compare(a.account, b.account), a.compare(b.export))
	}) {
		kind, to := "service", ""
		if i.use == Hears {
			kind = "stream"
		}
		if here := a.imports[i]; here != i.subject {
			to = fmt.Sprintf(", to: %q", here)
		}
		line("      {%s: {account: %s, subject: %q}%s}", kind, i.account, i.subject, to)
	}
	line("    ]\n    mappings: {")
	for _, subject := range slices.Sorted(maps.Keys(a.storedAs)) {
		line("      %q: %q", subject, a.storedAs[subject])
	}
	line("    }\n    users: [")
	for _, u := range a.users {
		line("%s", u)
	}
	line("    ]\n  }")
}

func sortedExports(all iter.Seq[export]) []export { return slices.SortedFunc(all, export.compare) }

func (e export) compare(other export) int {
	return cmp.Or(strings.Compare(e.subject, other.subject), strings.Compare(string(e.use), string(other.use)))
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}
