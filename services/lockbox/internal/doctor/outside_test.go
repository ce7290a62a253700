package doctor

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
	"github.com/openlockbox/lockbox/services/notifier"
)

// mailServer is a mail server that takes the connection and answers AUTH with a line of its own.
func mailServer(t *testing.T, answer string) notifier.SMTP {
	t.Helper()
	dir := t.TempDir()
	_, err := devca.Create(dir, nil, time.Now())
	must(t, err)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, bus.CertificateFile), filepath.Join(dir, bus.CertificateKey))
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair},
		MinVersion: tls.VersionTLS12})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go serveMail(conn, answer)
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	return notifier.SMTP{Host: "127.0.0.1", Port: number, TLS: "tls", From: "lockbox@nimbus.example", Username: "lockbox",
		PasswordFile: config.SecretFile(write(t, filepath.Join(dir, "password"), "secret-of-mails", 0o600)),
		CAFile:       filepath.Join(dir, bus.CAFile)}
}

func serveMail(conn net.Conn, answer string) {
	defer shut(conn)
	_, _ = fmt.Fprint(conn, "220 mail.nimbus.example ESMTP\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		says := "250 fine\r\n"
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "EHLO":
			says = "250-mail.nimbus.example\r\n250 AUTH PLAIN\r\n"
		case "AUTH":
			says = answer + "\r\n"
		case "QUIT":
			says = "221 bye\r\n"
		case "MAIL":
			says = "554 no mail was to be sent\r\n"
		}
		if _, err := fmt.Fprint(conn, says); err != nil {
			return
		}
	}
}

func TestTheMailServerIsAskedForEverythingButAMail(t *testing.T) {
	t.Parallel()
	exam := func(smtp notifier.SMTP) *exam {
		return patient(Options{Before: true, Services: []Service{{File: "notifier.yaml",
			Mail: &notifier.Config{SMTP: smtp}}}})
	}
	found := exam(mailServer(t, "235 welcome")).examined(t)["mail"]
	expects(t, found, render.OK, "127.0.0.1 takes mails of lockbox")
	found = exam(mailServer(t, "535 no")).examined(t)["mail"]
	cured(t, found, render.Failed, "takes no mail: authentication as lockbox: 535", "correct smtp in notifier.yaml")
	for _, f := range found.Findings {
		if strings.Contains(f.Says+f.Cure, "secret-of-mails") {
			t.Errorf("the password is said: %s", f.Says)
		}
	}
	gone := mailServer(t, "235 welcome")
	gone.Port = 1
	expects(t, exam(gone).examined(t)["mail"], render.Failed, "takes no mail")
	e := patient(Options{Running: &runinfo.Info{MailboxDir: "mailbox"}})
	expects(t, e.examined(t)["mail"], render.NotChecked, "development mailbox")
}

// issuing is an issuer that publishes a key set.
func issuing(t *testing.T, keys string) *httptest.Server {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_, _ = fmt.Fprint(w, keys)
			return
		}
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, s.URL, s.URL+"/keys")
	}))
	t.Cleanup(s.Close)
	return s
}

// A public key of RFC 7517, appendix A.1.
const ecKey = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
	"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1","alg":"ES256"}`

func TestIssuersAreAskedForTheirKeys(t *testing.T) {
	t.Parallel()
	good, none := issuing(t, `{"keys": [`+ecKey+`, {"kty": "oct", "k": "AAAA", "kid": "2"}]}`), issuing(t, `{"keys": []}`)
	ca := write(t, filepath.Join(t.TempDir(), "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: good.Certificate().Raw})), 0o600)
	examine := func(now time.Time, iss service.Issuer) map[string]render.Check {
		iss.Audience = "lockbox"
		return patient(Options{Now: func() time.Time { return now }, Services: []Service{
			{Issuers: []service.Issuer{iss}}, {Issuers: []service.Issuer{iss}}}}).examined(t)
	}
	found := examine(time.Now(), service.Issuer{URL: good.URL, Discovery: true, CAFile: ca})
	cured(t, found["issuers"], render.Warning, "a key of "+good.URL+" cannot be used", "harms no other")
	expects(t, found["https"], render.OK, "certificate is good for")
	if len(found["issuers"].Findings) != 1 {
		t.Errorf("an issuer of two services is asked twice: %+v", found["issuers"].Findings)
	}
	expired := good.Certificate().NotAfter.Add(48 * time.Hour)
	found = examine(expired, service.Issuer{URL: good.URL, Discovery: true, CAFile: ca})
	cured(t, found["https"], render.Failed, "certificate expired 2 days ago", "renew")
	found = examine(time.Now(), service.Issuer{URL: good.URL, Discovery: true})
	expects(t, found["issuers"], render.Failed, "authority")
	expects(t, found["https"], render.Failed, "certificate")
	found = examine(time.Now(), service.Issuer{URL: none.URL, Discovery: true, CAFile: ca})
	cured(t, found["issuers"], render.Failed, "none of the keys of", "publish a key")
	found = examine(time.Now(), service.Issuer{URL: "http://127.0.0.1:1", Discovery: true})
	cured(t, found["issuers"], render.Failed, "127.0.0.1:1", "nobody who signs in there is recognised")

	found = examine(time.Now(), service.Issuer{URL: "https://login.nimbus.example", JWKSFile: "/nowhere/at/all.json"})
	expects(t, found["issuers"], render.NotChecked, "not on this machine")
	file := filepath.Join(t.TempDir(), "keys.json")
	found = examine(time.Now(), service.Issuer{URL: "https://login.nimbus.example", JWKSFile: file})
	expects(t, found["issuers"], render.Failed, "no such file")
	write(t, file, "{", 0o600)
	found = examine(time.Now(), service.Issuer{URL: "https://login.nimbus.example", JWKSFile: file})
	cured(t, found["issuers"], render.Failed, "the keys of https://login.nimbus.example", "put the issuer's key set there")
	write(t, file, `{"keys": [`+ecKey+`]}`, 0o600)
	found = examine(time.Now(), service.Issuer{URL: "https://login.nimbus.example", JWKSFile: file})
	expects(t, found["issuers"], render.OK, "1 key that can be used")
}

func TestHowLongKeptKeysCount(t *testing.T) {
	t.Parallel()
	cache := write(t, filepath.Join(t.TempDir(), "keys.json"), "{}", 0o600)
	for _, c := range []struct {
		age        time.Duration
		state      render.State
		says, cure string
	}{
		{time.Hour, render.OK, "count for 6 days without it", ""},
		{6 * 24 * time.Hour, render.Warning, "are 6 days old and count for 2(3|4) hours|1 day", "logs"},
		{8 * 24 * time.Hour, render.Failed, "are 8 days old and count no longer", "logs"},
	} {
		now := time.Now().Add(c.age)
		e := patient(Options{Now: func() time.Time { return now }, Services: []Service{{Issuers: []service.Issuer{
			{URL: "http://127.0.0.1:1", Discovery: true, JWKSCache: cache}}}}})
		cured(t, e.examined(t)["issuer-cache"], c.state, c.says, c.cure)
	}
}

func TestServicesAreAskedWhetherTheyAreReady(t *testing.T) {
	t.Parallel()
	serve := func(status int, ready, metrics string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metrics" {
				_, _ = fmt.Fprint(w, metrics)
				return
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, ready)
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	metrics := observe.NewMetrics()
	metrics.For("portal")
	ours := httptest.NewServer(metrics.Handler(map[string]observe.Check{}))
	t.Cleanup(ours.Close)
	examine := func(at ...string) map[string]render.Check { return patient(Options{Health: at}).examined(t) }

	found := examine(ours.URL)
	expects(t, found["services"], render.OK, "1 service ready")
	expects(t, found["versions"], render.OK, "of this program's version")
	other := serve(http.StatusServiceUnavailable, "failing  bus: is away\nok       clock\nwarning  issuers: no keys\n",
		"x 1\nlockbox_build_info{go=\"go1.1\",revision=\"abc\",version=\"v0.1\"} 1\n")
	found = examine(ours.URL, other)
	expects(t, found["services"], render.Failed, "bus: is away")
	expects(t, found["services"], render.Warning, "issuers: no keys")
	cured(t, found["versions"], render.Warning, `v0\.1`, "one version")
	expects(t, found["versions"], render.Warning, "this program")
	found = examine(serve(http.StatusServiceUnavailable, "", ""), "127.0.0.1:1")
	expects(t, found["services"], render.Failed, "is not ready: Service Unavailable")
	expects(t, found["services"], render.Failed, "127.0.0.1:1")
	expects(t, found["versions"], render.Unknown, "does not say which version")
	expects(t, found["versions"], render.Unknown, "127.0.0.1:1")
}

func TestWitnessesThatAreMissing(t *testing.T) {
	t.Parallel()
	log := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "lockbox.localhost/log\n1\nAAAA\n\n— nobody AAAA\n")
	}))
	t.Cleanup(log.Close)
	dir := t.TempDir()
	examine := func(policy string, address string) render.Check {
		return patient(Options{Services: []Service{{File: "audit-projector.yaml", Witnesses: policy,
			LogAddress: address}}}).examined(t)["witnesses"]
	}
	keys := keysOf(t, bus.Keys{})
	public, err := os.ReadFile(filepath.Join(keys, "log.vkey"))
	must(t, err)
	good := write(t, filepath.Join(dir, "policy"), "log "+strings.TrimSpace(string(public))+"\nquorum none\n", 0o600)
	expects(t, examine(filepath.Join(dir, "none"), ""), render.Unknown, "no such file")
	expects(t, examine(write(t, filepath.Join(dir, "bad"), "x", 0o600), ""), render.Failed, "policy")
	expects(t, examine(good, ""), render.Unknown, "does not serve the log")
	expects(t, examine(good, "127.0.0.1:1"), render.Unknown, "127.0.0.1:1")
	cured(t, examine(good, log.URL), render.Failed, "does not satisfy the policy", "see whether the witnesses run")
	if got := reachable("0.0.0.0:8026"); got != "127.0.0.1:8026" {
		t.Errorf("what listens everywhere is asked at %s", got)
	}
}

func TestGroupsWithoutAnAddress(t *testing.T) {
	t.Parallel()
	examine := func(groups map[string][]string) render.Check {
		return patient(Options{Before: true, Services: []Service{{File: "notifier.yaml", Mail: &notifier.Config{
			Groups: groups, SMTP: notifier.SMTP{Host: "127.0.0.1", Port: 1, TLS: "none", From: "a@b.example"}}}}}).
			examined(t)["groups"]
	}
	all := map[string][]string{}
	for _, a := range asked {
		all[a.group] = []string{"somebody@nimbus.example"}
	}
	expects(t, examine(all), render.OK, "every group that approves has an address")
	delete(all, aggregate.DevOpsManagers)
	all["devops-manager"] = []string{"somebody@nimbus.example"}
	found := examine(all)
	cured(t, found, render.Failed, "devops-managers has no address", "service.groups.devops-managers")
	expects(t, found, render.Warning, "no rule here asks devops-manager.*devops-managers")
}
