package embedded_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/observe"
)

// node is a server with its metrics.
type node struct {
	server  *embedded.Server
	metrics *observe.Metrics
}

func observed(s *embedded.Server, o bus.ServerOptions) node {
	n := node{s, observe.NewMetrics()}
	s.Observe(n.metrics.For("nats"), o)
	return n
}

// tells returns the value of a series; false if it is missing.
func (n node) tells(t *testing.T, series string) (value float64, is bool) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	n.metrics.Handler(nil).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if rest, found := strings.CutPrefix(line, series+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			must(t, err)
			return value, true
		}
	}
	return 0, false
}

// becomes waits until one of some nodes tells a value.
func becomes(t *testing.T, nodes []node, series string, want float64) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		for _, n := range nodes {
			if value, is := n.tells(t, series); is && value == want {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("nobody tells %s %v", series, want)
		}
	}
}

// A cluster of three tells how many copies of the log are current, that one is away, and that there is no majority.
func TestAClusterTellsWhatItLacks(t *testing.T) {
	t.Parallel()
	base, keys := options(t)
	base.Host, base.Port = "127.0.0.1", -1
	ports, routes := make([]int, 3), make([]string, 3)
	for i := range ports {
		ports[i] = journaltest.FreePort(t)
		routes[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i]))
	}
	started := make(chan node, 3)
	for i := range 3 {
		o := base
		o.Name, o.StoreDir = "n"+strconv.Itoa(i), t.TempDir()
		o.Cluster = &bus.ClusterOptions{Name: "lockbox", Host: "127.0.0.1", Port: ports[i], Routes: routes}
		go func() {
			s, err := embedded.Start(context.Background(), o, nil)
			if err != nil {
				t.Error(err)
				started <- node{}
				return
			}
			started <- observed(s, o)
		}()
	}
	var nodes []node
	var urls []string
	for range 3 {
		if n := <-started; n.server != nil {
			t.Cleanup(n.server.Shutdown)
			nodes, urls = append(nodes, n), append(urls, n.server.ClientURL())
		}
	}
	if t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	nc := connect(t, bus.Connection{URL: strings.Join(urls, ","), Identity: bus.Provisioner, Seed: keys[bus.Provisioner]})
	must(t, bus.Provision(ctx, nc, 3))

	const replicas, leader = `lockbox_nats_stream_replicas{service="nats",state="%",stream="EVENTS"}`,
		`lockbox_nats_stream_has_leader{service="nats",stream="EVENTS"}`
	becomes(t, nodes, strings.ReplaceAll(replicas, "%", "current"), 3)
	becomes(t, nodes, leader, 1)
	for _, n := range nodes {
		becomes(t, []node{n}, `lockbox_nats_healthy{service="nats"}`, 1)
		becomes(t, []node{n}, `lockbox_nats_cluster_has_leader{service="nats"}`, 1)
	}
	nodes[0].server.Shutdown()
	becomes(t, nodes[1:], strings.ReplaceAll(replicas, "%", "offline"), 1)
	becomes(t, nodes[1:], strings.ReplaceAll(replicas, "%", "current"), 2)
	nodes[1].server.Shutdown()
	becomes(t, nodes[2:], leader, 0)
	becomes(t, nodes[2:], `lockbox_nats_cluster_has_leader{service="nats"}`, 0)
	becomes(t, nodes[2:], `lockbox_nats_healthy{service="nats"}`, 0)
}

func TestAServerTellsOfItsStreamsDiskAndCertificate(t *testing.T) {
	t.Parallel()
	o, keys, ca := secured(t)
	n := observed(start(t, o), o)
	nc := connect(t, bus.Connection{URL: n.server.ClientURL(), Identity: bus.Provisioner, Seed: keys[bus.Provisioner],
		CA: ca})
	must(t, bus.Provision(t.Context(), nc, 1))
	becomes(t, []node{n}, `lockbox_nats_stream_messages{service="nats",stream="EVENTS"}`, 0)
	becomes(t, []node{n}, `lockbox_nats_stream_replicas{service="nats",state="current",stream="EVENTS"}`, 1)
	becomes(t, []node{n}, `lockbox_nats_consumer_pending_messages{consumer="notifier",service="nats",stream="EVENTS"}`, 0)
	becomes(t, []node{n}, `lockbox_nats_connections{service="nats"}`, 1)
	free, _ := n.tells(t, `lockbox_disk_free_bytes{directory="streams",service="nats"}`)
	size, _ := n.tells(t, `lockbox_disk_size_bytes{directory="streams",service="nats"}`)
	if free <= 0 || size < free {
		t.Errorf("of %v bytes, %v are free", size, free)
	}
	ends, _ := n.tells(t, `lockbox_certificate_expiry_timestamp_seconds{certificate="server",name="certificate",service="nats"}`)
	if at := shown(t, nc).NotAfter.Unix(); ends != float64(at) {
		t.Errorf("the certificate ends at %v, not %v", ends, at)
	}
	if err := n.server.Check(t.Context()); err != nil {
		t.Error(err)
	}
	n.server.Shutdown()
	if n.server.Check(t.Context()) == nil {
		t.Error("a server that was shut down is ready")
	}
}
