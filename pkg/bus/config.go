package bus

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"
)

// MaxPayload is the largest message on the bus, in bytes: more than the 64 KiB that any reader accepts, plus room for
// headers.
const MaxPayload = 256 << 10

// answerTime is how long after delivery a request can be answered.
const answerTime = "15s"

// ServerOptions configures one NATS server.
type ServerOptions struct {
	// Name must be unique within a cluster. Default "lockbox".
	Name string
	// StoreDir is the directory that holds the streams.
	StoreDir string
	// PublicKeys are the identities that may connect, and no others.
	PublicKeys map[Identity]string
	// ToolTenants limits engineering tools, by name, to the tenants listed; the others may publish for every tenant.
	ToolTenants map[string][]string
	// Host to listen on for clients. Empty: no listener; only this process can connect.
	Host string
	// Port to listen on; -1 picks a free one, 0 means 4222.
	Port int
	// Cluster makes the server a member of a cluster; nil: it is stand-alone.
	Cluster *ClusterOptions
}

// ClusterOptions says how a server reaches the other members of its cluster.
type ClusterOptions struct {
	Name string
	Host string
	// Port to listen on for the other servers.
	Port int
	// Routes are the other servers' addresses, "host:port".
	Routes []string
}

// ServerConfig returns the configuration file of a NATS server: one account with JetStream, whose users are the
// identities with exactly the permissions of Rights. Every acknowledged write is on disk, and no other feature is
// enabled.
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
	if o.Name == "" {
		o.Name = "lockbox"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server_name: %q", o.Name)
	if o.Host != "" {
		line("host: %q\nport: %d", o.Host, o.Port)
	}
	line("max_payload: %d", MaxPayload)
	line("jetstream {\n  store_dir: %q\n  sync_interval: always\n}", o.StoreDir)
	if c := o.Cluster; c != nil {
		routes := make([]string, len(c.Routes))
		for i, r := range c.Routes {
			routes[i] = "nats://" + r
		}
		line("cluster {\n  name: %q\n  host: %q\n  port: %d\n  routes: %s\n}", c.Name, c.Host, c.Port, quoted(routes))
	}
	line("accounts {\n  LOCKBOX {\n    jetstream: enabled\n    users: [")
	for _, id := range slices.Sorted(maps.Keys(o.PublicKeys)) {
		rights := Rights(id, o.ToolTenants[strings.TrimPrefix(string(id), toolPrefix)]...)
		if len(rights.Publish) == 0 || len(rights.Subscribe) == 0 {
			// To NATS an empty list means everything.
			return "", fmt.Errorf("bus: %q has a key but no rights", id)
		}
		if !nkeys.IsValidPublicUserKey(o.PublicKeys[id]) {
			return "", fmt.Errorf("bus: the public key of %s is not a user's nkey", id)
		}
		line("      # %s", id)
		line("      {nkey: %s, permissions: {", o.PublicKeys[id])
		not := ""
		if len(rights.NotPublish) > 0 {
			not = ", deny: " + quoted(rights.NotPublish)
		}
		line("        publish: {allow: %s%s}", quoted(rights.Publish), not)
		line("        subscribe: {allow: %s}", quoted(rights.Subscribe))
		if rights.AllowResponses {
			// For this long the server keeps an entry of 160 bytes for each message it delivers with a reply subject, and every
			// replayed event has one. No caller waits longer for an answer.
			line("        allow_responses: {max: 1, expires: %q}", answerTime)
		}
		line("      }}")
	}
	line("    ]\n  }\n  SYSTEM {}\n}\nsystem_account: SYSTEM")
	return b.String(), nil
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}
