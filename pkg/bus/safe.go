package bus

import (
	"fmt"
	"net"

	"github.com/nats-io/nats.go"
)

// UnsafeError means that the servers are set up in a way in which Lockbox must not run.
type UnsafeError struct {
	// Rule names what is not kept: tls or replicas.
	Rule string
	Why  string
}

func (e *UnsafeError) Error() string { return fmt.Sprintf("bus: unsafe (%s): %s", e.Rule, e.Why) }

// CheckSafe returns an *UnsafeError if the servers that a connection leads to are not safe for streams with this number
// of replicas. alone says that one replica is meant, although the servers are a cluster. Whether each acknowledged
// write is on disk, and whether the store is encrypted, does not show on the bus: lockbox nats sees to both when it
// starts.
func CheckSafe(nc *nats.Conn, replicas int, alone bool) error {
	host, _, err := net.SplitHostPort(nc.ConnectedAddr())
	if _, plain := nc.TLSConnectionState(); err == nil && plain != nil && !ownMachine(host) {
		return &UnsafeError{"tls", "other machines reach " + host + " without TLS; start the servers with --tls"}
	}
	switch cluster := nc.ConnectedClusterName(); {
	case cluster != "" && replicas == 1 && !alone:
		return &UnsafeError{"replicas", "the servers are a cluster, and with one replica a stream is lost with its server: " +
			"say --replicas 3, or --replicas 1 if that is meant"}
	case cluster == "" && replicas > 1:
		return &UnsafeError{"replicas", fmt.Sprintf("%d replicas need a cluster, and this server is alone: start it with "+
			"--cluster and --route", replicas)}
	}
	return nil
}
