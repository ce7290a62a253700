package crash_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/longtest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

// cluster is a bus of three servers with TLS, whose streams are encrypted, and two copies of every service.
type cluster struct {
	*customer
	nodes []*process
	urls  []string
	// outcomes are the tool's.
	outcomes *nats.Subscription
}

func bootCluster(t *testing.T) *cluster {
	t.Helper()
	m := build(t)
	m.terms = `{internal_approval: 10m, customer_approval: 20m, grant: 2s, remind_before: [5s]}`
	keys := m.path("keys")
	init := []string{m.lockbox, "bus", "init", "--dir", keys, "--tool", tool}
	for _, name := range serviceNames {
		init = append(init, "--copy", name+"@b")
	}
	m.run(init...)
	m.ca = filepath.Join(keys, bus.CAFile)
	c := &cluster{}
	var routes []string
	for range 3 {
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t)))
	}
	for i, route := range routes {
		listen := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
		monitor := fmt.Sprintf("127.0.0.1:%d", journaltest.FreePort(t))
		name := fmt.Sprintf("nats-%d", i)
		p := m.process(name, m.lockbox, "nats", "--keys", keys, "--tls", keys, "--store-key", m.path("keys", "store.key"),
			"--data", m.path(name), "--listen", listen, "--name", name, "--cluster", route, "--route", strings.Join(routes, ","),
			"--monitor", monitor)
		p.health = "http://" + monitor + "/healthz"
		p.start()
		c.nodes, c.urls = append(c.nodes, p), append(c.urls, "tls://"+listen)
	}
	m.url = strings.Join(c.urls, ",")
	m.run(m.lockbox, "provision", "--url", m.url, "--ca", m.ca, "--keys", keys, "--replicas", "3", "--projector-copy", "b",
		"--wait")
	m.prepare()
	for _, name := range serviceNames {
		m.services = append(m.services, m.serve(name, ""), m.serve(name, "b"))
	}
	c.customer = attend(m, longtest.Random(t))
	var err error
	c.outcomes, err = m.connect(bus.Tool(tool)).SubscribeSync("lockbox.outcome." + tool + ".>")
	must(t, err)
	return c
}

// well waits until a process says that it is ready.
func (c *cluster) well(p *process) error {
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
		err := ready(c.Context(), p.health)
		if err == nil || time.Now().After(deadline) || p.ended() {
			return err
		}
	}
}

func ready(ctx context.Context, url string) error {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// restart stops a process as an operator does, starts it again and waits until it is well.
func (c *cluster) restart(p *process) error {
	if err := p.stop(); err != nil {
		return err
	}
	p.start()
	return c.well(p)
}

// oneRequest takes a request from intent to access, and from there to its end.
func (c *cluster) oneRequest() {
	c.Helper()
	id := c.submit()
	c.reaches(id, request.CustomerNotified)
	c.does("otto", id, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
	c.want[id] = request.Completed
}

// meanwhile does something while one request after another is made, and waits for both.
func (c *cluster) meanwhile(what string, do func() error) {
	c.Helper()
	before, began, ended := len(c.want), time.Now(), make(chan error, 1)
	go func() { ended <- do() }()
	for {
		c.oneRequest()
		select {
		case err := <-ended:
			if err != nil {
				c.Fatalf("%s: %v", what, err)
			}
			c.oneRequest()
			c.Logf("%s: %v, %d requests meanwhile", what, time.Since(began).Round(time.Millisecond), len(c.want)-before)
			return
		default:
		}
	}
}

// rotate takes a step of replacing something.
func (c *cluster) rotate(args ...string) error {
	return c.try(append([]string{c.lockbox, "bus", "rotate", "--dir", c.path("keys")}, args...)...)
}

// One of three servers may be down, every copy of a service may be restarted, and every key and certificate be
// replaced: requests go on, nothing is lost and nobody is told twice.
func TestThreeNodesAndTwoCopies(t *testing.T) {
	c := bootCluster(t)
	for _, p := range c.services {
		must(t, c.well(p))
	}

	// A node goes while a request waits, and comes back while another does.
	waiting := c.submit()
	c.reaches(waiting, request.CustomerNotified)
	c.nodes[0].kill()
	c.does("otto", waiting, &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}})
	c.reaches(waiting, request.Completed)
	c.want[waiting] = request.Completed
	c.meanwhile("a node comes back", func() error {
		c.nodes[0].start()
		return c.well(c.nodes[0])
	})

	c.audited() // a killed server forgets what was acknowledged, so some mails go out again
	before := c.mailsTwice()
	c.meanwhile("every copy of every service is restarted", func() error {
		for _, p := range c.services {
			if err := c.restart(p); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		return nil
	})
	c.audited()
	if twice := c.mailsTwice(); twice != before {
		t.Errorf("%d mails arrived twice", twice-before)
	}

	c.meanwhile("a service's key is replaced", c.replaceKey)
	c.meanwhile("the certificate is renewed", c.renewCertificate)
	c.meanwhile("the authority is replaced", c.replaceAuthority)
	c.meanwhile("the key of the streams is replaced", c.replaceStoreKey)
	c.audited()
}

// audited waits for every request to end as it should, for the outcome of every intent, and audits the stream.
func (c *cluster) audited() {
	c.Helper()
	for id, want := range c.want {
		c.reaches(id, want)
	}
	told := map[string]bool{}
	for id := range c.want {
		c.eventually("the outcome of "+id, func() error {
			for !told[id] {
				message, err := c.outcomes.NextMsg(time.Second)
				if err != nil {
					return err
				}
				told[message.Subject[strings.LastIndexByte(message.Subject, '.')+1:]] = true
			}
			return nil
		})
	}
	c.audit()
	c.run(c.lockbox, "audit", "verify", "--stream", "--url", c.url, "--ca", c.ca, "--keys", c.path("keys"))
	for _, p := range append(c.nodes, c.services...) {
		if p.ended() {
			c.Fatalf("%s has stopped by itself", p.name)
		}
	}
	clear(c.want)
}

// mailsTwice counts the mails that arrived more than once.
func (c *cluster) mailsTwice() (twice int) {
	c.Helper()
	messages, err := mailbox.Read(c.mailDir)
	must(c, err)
	arrived := map[string]bool{}
	for _, m := range messages {
		if arrived[m.MessageID] {
			twice++
		}
		arrived[m.MessageID] = true
	}
	return twice
}

func (c *cluster) replaceKey() error {
	const id = bus.Orchestrator
	old, err := os.ReadFile(c.path("keys", bus.SeedFile(id)))
	if err != nil {
		return err
	}
	if err := c.rotate("key", string(id)); err != nil {
		return err
	}
	if err := c.everywhere(func(url string) error {
		return c.connects(bus.Connection{URL: url, Identity: id, CA: c.ca,
			SeedFile: c.path("keys", bus.SeedFile(id)+".next")})
	}); err != nil {
		return err
	}
	if err := c.rotate("key", string(id)); err != nil {
		return err
	}
	for _, p := range c.services {
		if p.name == string(id) {
			if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				return err
			}
			if err := c.restartedWith(p); err != nil {
				return err
			}
		}
	}
	if err := c.rotate("key", string(id), "--finish"); err != nil {
		return err
	}
	return c.everywhere(func(url string) error {
		err := c.connects(bus.Connection{URL: url, Identity: id, Seed: old, CA: c.ca})
		if !bus.Permanent(err) {
			return fmt.Errorf("the old key connects: %w", err)
		}
		return nil
	})
}

// restartedWith waits until a process that got SIGHUP has begun anew and is ready.
func (c *cluster) restartedWith(p *process) error {
	if err := eventuallyHas(p.log.Name(), "stopping", 1); err != nil {
		return err
	}
	return c.well(p)
}

func (c *cluster) renewCertificate() error {
	before, err := os.ReadFile(c.path("keys", bus.CertificateFile))
	if err != nil {
		return err
	}
	if err := c.rotate("certificate"); err != nil {
		return err
	}
	return c.showsAnother(before)
}

// showsAnother waits until every server shows a certificate other than one before.
func (c *cluster) showsAnother(before []byte) error {
	old, err := certificate(before)
	if err != nil {
		return err
	}
	return c.everywhere(func(url string) error {
		nc, err := bus.Connect(bus.Connection{URL: url, Identity: bus.Client, CA: c.ca,
			SeedFile: c.path("keys", bus.SeedFile(bus.Client))})
		if err != nil {
			return err
		}
		defer nc.Close()
		state, err := nc.TLSConnectionState()
		if err == nil && state.PeerCertificates[0].Equal(old) {
			err = errors.New("it shows the certificate of before")
		}
		return err
	})
}

func (c *cluster) replaceAuthority() error {
	before, err := os.ReadFile(c.path("keys", bus.CertificateFile))
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return c.rotate("authority") },
		func() error { return errors.Join(c.rotate("authority"), c.showsAnother(before)) },
		func() error { return c.rotate("authority", "--finish") },
	} {
		reloads := make([]int, len(c.nodes))
		for i, p := range c.nodes {
			reloads[i] = has(p.log.Name(), reloaded)
		}
		if err := step(); err != nil {
			return err
		}
		for i, p := range c.nodes {
			if err := eventuallyHas(p.log.Name(), reloaded, reloads[i]+1); err != nil {
				return err
			}
		}
	}
	// Routes are made anew under it too.
	return c.restart(c.nodes[1])
}

// reloaded is what a server says that has read keys and certificates again.
const reloaded = "keys and certificates reloaded"

func (c *cluster) replaceStoreKey() error {
	if err := c.rotate("store-key"); err != nil {
		return err
	}
	for i, p := range c.nodes {
		for _, other := range c.nodes {
			if err := c.well(other); err != nil {
				return fmt.Errorf("%s: %w", other.name, err)
			}
		}
		if err := p.stop(); err != nil {
			return err
		}
		if i == 0 {
			// Without that, it refuses: NATS would begin anew in its place.
			if err := c.try(p.args...); err == nil ||
				!strings.Contains(err.Error(), "is encrypted with another one") {
				return fmt.Errorf("started with another key: %w", err)
			}
		}
		if err := c.try(c.lockbox, "bus", "set-aside", "--data", c.path(p.name)); err != nil {
			return err
		}
		p.start()
		if err := c.well(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// everywhere tries something at each server until it succeeds.
func (c *cluster) everywhere(try func(url string) error) error {
	for _, url := range c.urls {
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			err := try(url)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s: %w", url, err)
			}
		}
	}
	return nil
}

func (c *cluster) connects(to bus.Connection) error {
	nc, err := bus.Connect(to)
	if err == nil {
		nc.Close()
	}
	return err
}

// has counts how often a log says something.
func has(log, what string) int {
	text, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	return strings.Count(string(text), what)
}

func eventuallyHas(log, what string, times int) error {
	for deadline := time.Now().Add(patience); has(log, what) < times; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not say %q %d times", log, what, times)
		}
	}
	return nil
}

func certificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}
