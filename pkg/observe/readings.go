package observe

import (
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Reading names a number that a service reads of itself whenever it is scraped.
type Reading string

// The readings.
const (
	PartState         Reading = "lockbox_part_state"
	BusConnected      Reading = "lockbox_bus_connected"
	BusReconnects     Reading = "lockbox_bus_reconnects_total"
	ClockSkew         Reading = "lockbox_clock_skew_seconds"
	ClockCompared     Reading = "lockbox_clock_compared_timestamp_seconds"
	CertificateExpiry Reading = "lockbox_certificate_expiry_timestamp_seconds"
	IssuerKeys        Reading = "lockbox_issuer_keys"
	IssuerKeysFetched Reading = "lockbox_issuer_keys_fetched_timestamp_seconds"
	ConsumerPending   Reading = "lockbox_consumer_pending_messages"
	ConsumerUnacked   Reading = "lockbox_consumer_unacknowledged_messages"
	ConsumerOldest    Reading = "lockbox_consumer_oldest_timestamp_seconds"

	LeaseValid           Reading = "lockbox_lease_valid"
	LeaseExpiry          Reading = "lockbox_lease_expiry_timestamp_seconds"
	GuardVerified        Reading = "lockbox_guard_verified_timestamp_seconds"
	GuardDifferences     Reading = "lockbox_guard_differences"
	GuardCopies          Reading = "lockbox_guard_copies"
	StreamSequence       Reading = "lockbox_stream_sequence"
	LogCaughtUp          Reading = "lockbox_log_caught_up_timestamp_seconds"
	LogCovered           Reading = "lockbox_log_covered_sequence"
	LogFailed            Reading = "lockbox_log_failed"
	WitnessCosigned      Reading = "lockbox_witness_cosigned_timestamp_seconds"
	ProjectionSequence   Reading = "lockbox_projection_sequence"
	RequestsOverdue      Reading = "lockbox_requests_overdue"
	RequestsOverdueSince Reading = "lockbox_requests_overdue_since_timestamp_seconds"

	MailsHeld           Reading = "lockbox_mails_held"
	MailServerAvailable Reading = "lockbox_mail_server_available"

	DiskFree Reading = "lockbox_disk_free_bytes"
	DiskSize Reading = "lockbox_disk_size_bytes"

	NATSHealthy          Reading = "lockbox_nats_healthy"
	NATSConnections      Reading = "lockbox_nats_connections"
	NATSRoutes           Reading = "lockbox_nats_routes"
	NATSSlowConsumers    Reading = "lockbox_nats_slow_consumers_total"
	NATSAPIErrors        Reading = "lockbox_nats_api_errors_total"
	NATSStorage          Reading = "lockbox_nats_storage_bytes"
	NATSClusterLeader    Reading = "lockbox_nats_cluster_has_leader"
	NATSStreamLeader     Reading = "lockbox_nats_stream_has_leader"
	NATSStreamReplicas   Reading = "lockbox_nats_stream_replicas"
	NATSStreamMessages   Reading = "lockbox_nats_stream_messages"
	NATSStreamBytes      Reading = "lockbox_nats_stream_bytes"
	NATSConsumerPending  Reading = "lockbox_nats_consumer_pending_messages"
	NATSConsumerUnacked  Reading = "lockbox_nats_consumer_unacknowledged_messages"
	NATSConsumerProgress Reading = "lockbox_nats_consumer_progress_timestamp_seconds"
)

// described says what a reading means. Its labels come after the service's name.
type described struct {
	help   string
	labels []string
}

var descriptions = map[Reading]described{
	PartState: {"1 for the state of each part that /readyz lists: ok, warning or failing. A failing part unreadies the service.",
		[]string{"part", "state"}},
	BusConnected:  {"Whether the service is connected to the bus.", nil},
	BusReconnects: {"How often the connection to the bus was restored.", nil},
	ClockSkew:     {"How far this machine's clock is behind the bus's; negative if it is ahead. Beyond 2 s nothing is decided.", nil},
	ClockCompared: {"When the clock was last compared with the bus's.", nil},
	CertificateExpiry: {"When a certificate ends, as it is shown to this service: of the bus, of the authority that signed that, of an " +
		"issuer's server, of the mail server.", []string{"certificate", "name"}},
	IssuerKeys:        {"Keys of an issuer that count now; with 0 nobody from there is recognised.", []string{"issuer"}},
	IssuerKeysFetched: {"When an issuer's keys were last fetched.", []string{"issuer"}},
	ConsumerPending:   {"Messages that wait to be delivered to this service, in any copy.", []string{"consumer"}},
	ConsumerUnacked:   {"Messages that this service has, in any copy, and has not finished.", []string{"consumer"}},
	ConsumerOldest: {"When the oldest message was stored that this copy has in hand; missing if it has none.",
		[]string{"consumer"}},

	LeaseValid:       {"Whether the guard's lease is valid. Without it no access is granted.", nil},
	LeaseExpiry:      {"When the guard's lease ends unless it is renewed.", nil},
	GuardVerified:    {"When the last complete comparison began that found no difference.", nil},
	GuardDifferences: {"Differences that the last comparison found, by kind.", []string{"kind"}},
	GuardCopies: {"Servers' copies of EVENTS that can be read (current), and that are offline or not up to date (away).",
		[]string{"state"}},
	StreamSequence: {"The last sequence in EVENTS.", nil},
	LogCaughtUp:    {"When the Merkle log last had everything in the stream and a checkpoint for it.", nil},
	LogCovered:     {"The sequence up to which the last checkpoint covers the stream.", nil},
	LogFailed:      {"Whether signing has stopped because the log is not what was recorded.", nil},
	WitnessCosigned: {"When a witness was last seen to have cosigned the newest checkpoint; 0: not since the service started.",
		[]string{"witness"}},
	ProjectionSequence:   {"The sequence up to which queries are answered.", nil},
	RequestsOverdue:      {"Requests whose deadline has passed without the event that follows from it.", nil},
	RequestsOverdueSince: {"The oldest deadline that has passed without the event that follows from it; missing if there is none.", nil},

	MailsHeld:           {"Mails that are held to go together with others.", nil},
	MailServerAvailable: {"Whether the mail server took the last mail, or refused it for good.", nil},

	DiskFree: {"What is free on the disk that holds a directory, for the user of this process.", []string{"directory"}},
	DiskSize: {"The size of the disk that holds a directory.", []string{"directory"}},

	NATSHealthy:       {"Whether the server says that it is well, JetStream included.", nil},
	NATSConnections:   {"Connections of clients.", nil},
	NATSRoutes:        {"Connections to other servers of the cluster.", nil},
	NATSSlowConsumers: {"Connections that were cut because they read too slowly.", nil},
	NATSAPIErrors:     {"Calls of JetStream's API that failed.", nil},
	NATSStorage:       {"What the streams take on disk.", nil},
	NATSClusterLeader: {"Whether the cluster has a leader, as far as this server knows. Without one no stream can be managed.", nil},
	NATSStreamLeader: {"Whether a stream has a leader, as far as this server knows. Without one nothing is stored in it.",
		[]string{"stream"}},
	NATSStreamReplicas: {"Servers with a copy of a stream, as its leader sees them: current, behind or offline.",
		[]string{"stream", "state"}},
	NATSStreamMessages:  {"Messages in this server's copy of a stream.", []string{"stream"}},
	NATSStreamBytes:     {"Size of this server's copy of a stream.", []string{"stream"}},
	NATSConsumerPending: {"Messages that wait to be delivered to a service.", []string{"stream", "consumer"}},
	NATSConsumerUnacked: {"Messages that a service has and has not finished.", []string{"stream", "consumer"}},
	NATSConsumerProgress: {"When a service last finished the oldest message that it had; missing until it did since the server started.",
		[]string{"stream", "consumer"}},
}

// Say tells one value of a reading, with the values of its labels.
type Say func(value float64, labels ...string)

// Read has a reading taken at each scrape by calling read, in place of what the service had called for it before. It
// must not wait. What is said twice with the same labels counts once.
func (c *Counters) Read(r Reading, read func(Say)) { c.readPart(r, "", read) }

// readPart is Read of one part of a reading, which has several.
func (c *Counters) readPart(r Reading, part string, read func(Say)) {
	if c == nil {
		return
	}
	all := c.metrics.readings
	all.mu.Lock()
	defer all.mu.Unlock()
	all.read[taken{c.service, r, part}] = read
}

// Certificates has the ends of certificates of one kind read, by name. The zero time says that none was seen.
func (c *Counters) Certificates(kind string, ends func() map[string]time.Time) {
	c.readPart(CertificateExpiry, kind, func(say Say) {
		for name, at := range ends() {
			if !at.IsZero() {
				say(Seconds(at), kind, name)
			}
		}
	})
}

// Disk has the free space and the size of the disk read that holds a directory. The name says which directory it is.
func (c *Counters) Disk(name, dir string) {
	read := func(value func(*syscall.Statfs_t) uint64) func(Say) {
		return func(say Say) {
			fs := new(syscall.Statfs_t)
			if syscall.Statfs(dir, fs) == nil {
				say(float64(value(fs))*float64(fs.Bsize), name)
			}
		}
	}
	c.readPart(DiskFree, name, read(func(fs *syscall.Statfs_t) uint64 { return fs.Bavail }))
	c.readPart(DiskSize, name, read(func(fs *syscall.Statfs_t) uint64 { return fs.Blocks }))
}

// Seconds is a time as Prometheus has it; 0 if it is not set.
func Seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

// Truth is 1 for true and 0 for false.
func Truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

type taken struct {
	service string
	reading Reading
	part    string
}

// readings are all of a process. It is a prometheus.Collector.
type readings struct {
	descs map[Reading]*prometheus.Desc

	mu   sync.Mutex
	read map[taken]func(Say)
}

func newReadings() *readings {
	r := &readings{descs: map[Reading]*prometheus.Desc{}, read: map[taken]func(Say){}}
	for name, d := range descriptions {
		r.descs[name] = prometheus.NewDesc(string(name), d.help, append([]string{"service"}, d.labels...), nil)
	}
	return r
}

func (r *readings) Describe(to chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		to <- d
	}
}

func (r *readings) Collect(to chan<- prometheus.Metric) {
	r.mu.Lock()
	all := make(map[taken]func(Say), len(r.read))
	for of, read := range r.read {
		all[of] = read
	}
	r.mu.Unlock()
	for of, read := range all {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(string(of.reading), "_total") {
			kind = prometheus.CounterValue
		}
		said := map[string]bool{}
		read(func(value float64, labels ...string) {
			if key := strings.Join(labels, "\x00"); !said[key] {
				said[key] = true
				to <- prometheus.MustNewConstMetric(r.descs[of.reading], kind, value,
					append([]string{of.service}, labels...)...)
			}
		})
	}
}
