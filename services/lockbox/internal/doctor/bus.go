package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

// connections are those of one examination, one for each identity that is needed.
type connections struct {
	keys []Key
	open map[bus.Identity]*nats.Conn
	// away is why the bus was not reached, so that nobody tries again.
	away error
}

func newConnections(o Options) *connections {
	return &connections{keys: o.keyring(), open: map[bus.Identity]*nats.Conn{}}
}

func (c *connections) close() {
	for _, nc := range c.open {
		nc.Close()
	}
}

var (
	errNoBus = errors.New("no bus is named with --url, --config or --data")
	errAway  = errors.New("the bus was not reached")
)

// noKeyError means that nobody who may look at something has a key here.
type noKeyError struct{ of []bus.Identity }

func (e *noKeyError) Error() string {
	names := make([]string, len(e.of))
	for i, id := range e.of {
		names[i] = bus.SeedFile(id)
	}
	return "it takes " + strings.Join(names, " or ") + ", which is not here"
}

// as connects as the first of some identities, or of their copies, whose key is here.
func (c *connections) as(ids ...bus.Identity) (*nats.Conn, error) {
	if c.away != nil {
		return nil, c.away
	}
	for _, id := range ids {
		for _, k := range c.keys {
			if k.Identity.Of() != id {
				continue
			}
			if nc := c.open[k.Identity]; nc != nil {
				return nc, nil
			}
			nc, err := bus.Connect(k.connection())
			if err == nil {
				c.open[k.Identity] = nc
			}
			return nc, err
		}
	}
	return nil, &noKeyError{ids}
}

func (k Key) connection() bus.Connection {
	return bus.Connection{URL: k.URL, Identity: k.Identity, SeedFile: k.File, CA: k.CA}
}

// blind is what is found where the bus could not be asked.
func blind(err error) []render.Finding {
	var missing *noKeyError
	switch {
	case errors.Is(err, errNoBus):
		return one(skipped("%v", err))
	case errors.Is(err, errAway):
		return one(unknown("", "%v", err))
	case errors.As(err, &missing):
		return one(unknown("name a directory that holds it with --keys", "%v", err))
	}
	return one(unknown("see what the bus and its log say", "%v", err))
}

func (e *exam) reach(context.Context) []render.Finding {
	c := e.conns
	if !slices.ContainsFunc(c.keys, func(k Key) bool { return k.URL != "" }) {
		c.away = errNoBus
		if e.Data != "" && e.Running == nil {
			c.away = errAway
			return one(failed("`lockbox up --data "+e.Data+"` starts it", "nothing runs on %s", e.Data))
		}
		if len(c.keys) == 0 && (e.URL != "" || e.operated()) {
			c.away = errAway
			return one(unknown("name a directory that holds keys with --keys", "there is no key to connect with"))
		}
		return blind(c.away)
	}
	var failures []error
	for _, k := range c.keys {
		nc, err := bus.Connect(k.connection())
		if err != nil {
			if failures = append(failures, err); !bus.Permanent(err) {
				break // nor will the others reach it
			}
			continue
		}
		c.open[k.Identity] = nc
		took, err := nc.RTT()
		if err != nil {
			failures = append(failures, err)
			break
		}
		found := one(well("%s answers in %s", nc.ConnectedUrlRedacted(), span(took)))
		if state, err := nc.TLSConnectionState(); err == nil && len(state.PeerCertificates) > 0 {
			found = append(found, e.lasts("the certificate that it shows", renewal("DIR"), state.PeerCertificates[0]))
		}
		return found
	}
	c.away = errAway
	err := failures[len(failures)-1]
	var key *bus.KeyError
	var trust *bus.TrustError
	switch {
	case errors.As(err, &key):
		return one(failed("put the right key there, and its public half into the servers' directory of keys", "%v", err))
	case errors.As(err, &trust):
		return one(failed("name the authority that signed the servers' certificate with --ca, or see Certificates",
			"%v", err))
	}
	return one(failed("see that the servers run (`lockbox nats`), and that --url and the way there are right", "%v", err))
}

// mostNamed is how many subjects are named of each key.
const mostNamed = 3

func (e *exam) rights(ctx context.Context) (found []render.Finding) {
	if e.conns.away != nil {
		return blind(e.conns.away)
	}
	tried := 0
	for _, k := range e.conns.keys {
		if len(bus.Rights(k.Identity)) == 0 {
			continue // completeness says so
		}
		trials, err := bus.Try(ctx, k.connection(), e.Thorough)
		var key *bus.KeyError
		switch {
		case errors.As(err, &key):
			found = append(found, failed("mend the file, or put its public half ("+bus.PublicKeyFile(k.Identity)+
				") into the servers' directory of keys", "%v", err))
		case err != nil:
			found = append(found, unknown("try again; the servers' log says more", "%v", err))
		default:
			found, tried = append(found, judge(k.Identity, trials)...), tried+len(trials)
		}
	}
	says := "%s, of which none can do more than it may, as far as %d trials show; --thorough makes all"
	if e.Thorough {
		says = "%s, of which each can do what it may and nothing else, as %d trials show"
	}
	return or(found, well(says, count(len(e.conns.keys), "key"), tried))
}

// judge says what a key may do and cannot, and what it may not do and can.
func judge(id bus.Identity, trials []bus.Trial) (found []render.Finding) {
	var lacks, exceeds []string
	for _, t := range trials {
		switch {
		case t.May && !t.Could:
			lacks = append(lacks, t.Subject)
		case t.Could && !t.May:
			exceeds = append(exceeds, fmt.Sprintf("%s %s", t.Use, t.Subject))
		}
	}
	const renew = "print the servers' configuration anew with `lockbox nats --print-config`, and reload it on every server"
	if len(exceeds) > 0 {
		found = append(found, failed(renew+"; until then, treat it as stolen", "%s can do %s that it may not: %s", id,
			count(len(exceeds), "thing"), some(exceeds)))
	}
	if len(lacks) > 0 {
		found = append(found, failed(renew, "%s cannot do %s that it may: publish %s", id, count(len(lacks), "thing"),
			some(lacks)))
	}
	return found
}

func some(list []string) string {
	if len(list) > mostNamed {
		return strings.Join(list[:mostNamed], ", ") + " …"
	}
	return strings.Join(list, ", ")
}

// inspect looks at streams and consumers as the provisioner, who alone may look at all of them.
func (e *exam) inspect(ctx context.Context) (bus.Inspection, *nats.Conn, error) {
	nc, err := e.conns.as(bus.Provisioner)
	if err != nil {
		return bus.Inspection{}, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	i, err := bus.Inspect(ctx, nc, e.Replicas)
	return i, nc, err
}

const provision = "`lockbox provision` makes it"

func (e *exam) streams(ctx context.Context) (found []render.Finding) {
	i, _, err := e.inspect(ctx)
	if err != nil {
		return blind(err)
	}
	for _, s := range i.Streams {
		switch {
		case s.Err != nil:
			found = append(found, failed("bring back the servers that are away; their logs say more", "%s: %v", s.Name, s.Err))
		case s.Info == nil:
			found = append(found, failed(provision, "there is no stream %s", s.Name))
		case s.Drift != nil:
			found = append(found, failed("find out who changed it, then set it back with the nats program as the servers' "+
				"administrator: nothing here changes a stream that holds events", "%v", s.Drift))
		}
	}
	return or(found, well("%s, each exactly as `lockbox provision` makes it", count(len(i.Streams), "stream")))
}

func (e *exam) replicas(ctx context.Context) (found []render.Finding) {
	i, nc, err := e.inspect(ctx)
	if err != nil {
		return blind(err)
	}
	clustered, copies := nc.ConnectedClusterName() != "", 0
	for _, s := range i.Streams {
		if s.Info == nil {
			continue // streams says so
		}
		copies = s.Info.Config.Replicas
		if clustered && copies < 3 {
			found = append(found, mind("`lockbox provision --replicas 3` makes them so where they are not there yet",
				"%s has %d of the 3 copies that survive the loss of a server", s.Name, copies))
		}
		if s.Info.Cluster != nil {
			found = append(found, servers(s.Name, copies, s.Info.Cluster)...)
		}
	}
	found = append(found, readers(i)...)
	says := "one server, one copy: what it loses is lost, but for the audit-projector's copy"
	if clustered {
		says = fmt.Sprintf("%s of each stream, all of them current", count(copies, "copy", "copies"))
	}
	return or(found, well("%s", says))
}

// servers looks at the copies of one stream.
func servers(name string, copies int, c *jetstream.ClusterInfo) (found []render.Finding) {
	if c.Leader == "" {
		found = append(found, failed("bring back the servers that are away: more than half have to be there",
			"%s has no leader: nothing can be written", name))
	}
	for _, r := range c.Replicas {
		switch {
		case r.Offline:
			found = append(found, failed("start the server; if it is gone for good, see the manual",
				"the copy of %s on %s is away", name, r.Name))
		case !r.Current:
			found = append(found, mind("wait, and stop no other server until it is current",
				"the copy of %s on %s is behind by %d", name, r.Name, r.Lag))
		}
	}
	if have := len(c.Replicas) + 1; c.Leader != "" && have < copies {
		found = append(found, failed("start the servers that are missing", "%s has %d of %d copies", name, have, copies))
	}
	return found
}

// readers looks whether the projector reads each server's own copy of EVENTS, and not one of them twice.
func readers(i bus.Inspection) (found []render.Finding) {
	on := map[string]string{}
	for _, r := range i.Readers {
		if r.Info == nil || r.Info.Cluster == nil {
			continue
		}
		at := r.Info.Cluster.Leader
		if other := on[at]; other != "" && at != "" {
			found = append(found, failed("have them made again by `lockbox provision`, after you removed one of them",
				"%s and %s both read the copy on %s, so another is not compared", other, r.Name, at))
		}
		on[at] = r.Name
	}
	for _, s := range i.Streams {
		if s.Name != bus.StreamEvents || s.Info == nil || s.Info.Cluster == nil {
			continue
		}
		names := []string{s.Info.Cluster.Leader}
		for _, r := range s.Info.Cluster.Replicas {
			if !r.Offline {
				names = append(names, r.Name)
			}
		}
		for _, name := range names {
			if on[name] == "" && len(s.Info.Cluster.Replicas) > 0 && name != "" {
				found = append(found, failed(provision, "nothing reads the copy of events on %s", name))
			}
		}
	}
	return found
}

func (e *exam) consumers(ctx context.Context) (found []render.Finding) {
	i, _, err := e.inspect(ctx)
	if err != nil {
		return blind(err)
	}
	made := 0
	for _, c := range i.Consumers {
		switch {
		case c.Err != nil:
			found = append(found, failed("bring back the servers that are away; their logs say more", "%s of %s: %v", c.Name,
				c.Stream, c.Err))
		case c.Info == nil:
			found = append(found, failed(provision, "%s has no consumer %s", c.Stream, c.Name))
		case c.Drift != nil:
			found = append(found, failed("find out who changed it; then `lockbox provision` sets it back", "%v", c.Drift))
		}
	}
	for _, r := range i.Readers {
		if r.Info != nil || r.Err != nil { // where its server is away, replicas says so
			made++
		}
	}
	if made == 0 {
		found = append(found, failed(provision, "there is no reader for the audit-projector's comparison"))
	}
	return or(found, well("%s and %s, as `lockbox provision` makes them", count(len(i.Consumers), "consumer"),
		count(made, "reader")))
}

// suspect is a difference of clocks that is not allowed to last.
const suspect = time.Second

func (e *exam) clock(ctx context.Context) []render.Finding {
	nc, err := e.conns.as(bus.Provisioner, bus.Compliance, bus.Orchestrator, bus.Evaluator, bus.Notifier, bus.Projector)
	if err != nil {
		return blind(err)
	}
	skew, err := bus.CheckClock(ctx, nc)
	if err != nil {
		return blind(err)
	}
	skew -= time.Until(e.Now())
	const cure = "run chrony or systemd-timesyncd on this machine and on the servers"
	side := "behind"
	if skew < 0 {
		side = "ahead of"
	}
	says := fmt.Sprintf("this machine's clock is %s %s the bus", span(skew), side)
	switch {
	case skew.Abs() > bus.MaxSkew:
		return one(failed(cure, "%s; services that are more than %v off refuse to decide", says, bus.MaxSkew))
	case skew.Abs() > suspect:
		return one(mind(cure, "%s", says))
	}
	return one(well("%s", says))
}
