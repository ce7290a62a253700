package embedded

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// Observe has the server read for metrics: what its own monitoring tells, its disk, and its certificate.
func (s *Server) Observe(c *observe.Counters, o bus.ServerOptions) {
	c.Disk("streams", o.StoreDir)
	c.Read(observe.NATSHealthy, func(say observe.Say) {
		health := s.nats.Load().Healthz(&server.HealthzOptions{})
		say(observe.Truth(health.Error == "" && len(health.Errors) == 0))
	})
	c.Read(observe.NATSConnections, func(say observe.Say) { say(float64(s.nats.Load().NumClients())) })
	c.Read(observe.NATSRoutes, func(say observe.Say) { say(float64(s.nats.Load().NumRoutes())) })
	c.Read(observe.NATSSlowConsumers, func(say observe.Say) { say(float64(s.nats.Load().NumSlowConsumers())) })
	c.Read(observe.NATSAPIErrors, s.jetStream(func(js *server.JSInfo, say observe.Say) { say(float64(js.API.Errors)) }))
	c.Read(observe.NATSStorage, s.jetStream(func(js *server.JSInfo, say observe.Say) { say(float64(js.Store)) }))
	c.Read(observe.NATSClusterLeader, s.jetStream(func(js *server.JSInfo, say observe.Say) {
		say(observe.Truth(js.Meta == nil || js.Meta.Leader != ""))
	}))
	c.Read(observe.NATSStreamMessages, s.streams(func(d server.StreamDetail, say observe.Say) {
		say(float64(d.State.Msgs), d.Name)
	}))
	c.Read(observe.NATSStreamBytes, s.streams(func(d server.StreamDetail, say observe.Say) {
		say(float64(d.State.Bytes), d.Name)
	}))
	c.Read(observe.NATSStreamLeader, s.streams(func(d server.StreamDetail, say observe.Say) {
		say(observe.Truth(d.Cluster == nil || d.Cluster.Leader != ""), d.Name)
	}))
	c.Read(observe.NATSStreamReplicas, s.streams(s.sayReplicas))
	c.Read(observe.NATSConsumerPending, s.consumers(func(i *server.ConsumerInfo, say observe.Say) {
		say(float64(i.NumPending), i.Stream, i.Name)
	}))
	c.Read(observe.NATSConsumerUnacked, s.consumers(func(i *server.ConsumerInfo, say observe.Say) {
		say(float64(i.NumAckPending), i.Stream, i.Name)
	}))
	c.Read(observe.NATSConsumerProgress, s.consumers(func(i *server.ConsumerInfo, say observe.Say) {
		if i.AckFloor.Last != nil {
			say(observe.Seconds(*i.AckFloor.Last), i.Stream, i.Name)
		}
	}))
	if o.TLS != nil {
		c.Certificates("server", func() map[string]time.Time {
			return map[string]time.Time{
				"certificate": certificateExpiry(o.TLS.Certificate), "authority": certificateExpiry(o.TLS.CA),
			}
		})
	}
}

// leads reports whether this server leads a stream or consumer, and so knows how it stands.
func (s *Server) leads(c *server.ClusterInfo) bool {
	return c == nil || c.Leader == s.nats.Load().Name()
}

func (s *Server) sayReplicas(d server.StreamDetail, say observe.Say) {
	if !s.leads(d.Cluster) {
		return
	}
	current, behind, offline := 1, 0, 0
	if d.Cluster != nil {
		for _, r := range d.Cluster.Replicas {
			switch {
			case r.Offline:
				offline++
			case r.Current:
				current++
			default:
				behind++
			}
		}
	}
	say(float64(current), d.Name, "current")
	say(float64(behind), d.Name, "behind")
	say(float64(offline), d.Name, "offline")
}

// jetStream reads what JetStream tells of itself; nothing while it is down.
func (s *Server) jetStream(read func(*server.JSInfo, observe.Say)) func(observe.Say) {
	return func(say observe.Say) {
		if js := s.told.now(s.nats.Load()); js != nil {
			read(js, say)
		}
	}
}

// told is what JetStream last told, which all readings of one scrape share.
type told struct {
	mu sync.Mutex
	at time.Time
	js *server.JSInfo
}

func (t *told) now(ns *server.Server) *server.JSInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.IsZero() || time.Since(t.at) > time.Second {
		js, err := ns.Jsz(&server.JSzOptions{Streams: true, Consumer: true, Config: true})
		if err != nil || js.Disabled {
			js = nil
		}
		t.at, t.js = time.Now(), js
	}
	return t.js
}

// Check refuses if the server does not take clients. That a stream is behind or has no leader is a warning: the server
// does what it can.
func (s *Server) Check(context.Context) error {
	if h := s.nats.Load().Healthz(&server.HealthzOptions{JSServerOnly: true}); h.Error != "" {
		return refusal.Unavailable("", "I11", "does not take clients: %s", h.Error)
	}
	if h := s.nats.Load().Healthz(&server.HealthzOptions{}); h.Error != "" {
		return observe.Warning(refusal.Unavailable("", "I11", "%s", h.Error))
	}
	return nil
}

func (s *Server) streams(read func(server.StreamDetail, observe.Say)) func(observe.Say) {
	return s.jetStream(func(js *server.JSInfo, say observe.Say) {
		for _, account := range js.AccountDetails {
			for _, stream := range account.Streams {
				read(stream, say)
			}
		}
	})
}

// consumers reads those whose messages are acknowledged, which are the services'.
func (s *Server) consumers(read func(*server.ConsumerInfo, observe.Say)) func(observe.Say) {
	return s.streams(func(d server.StreamDetail, say observe.Say) {
		for _, i := range d.Consumer {
			if i.Config != nil && i.Config.AckPolicy == server.AckExplicit && s.leads(i.Cluster) {
				read(i, say)
			}
		}
	})
}

// certificateExpiry returns when the first of a file's certificates ends; zero if it cannot be read.
func certificateExpiry(file string) (first time.Time) {
	rest, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return time.Time{}
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return first
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
}
