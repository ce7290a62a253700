// Package manual_test installs Lockbox as deploy/README.md says: it writes the files and types the commands of its
// installation, with Glewlwyd as both organisations' sign-in service, Postfix and nginx, and looks at what people see.
package manual_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/identity/jwks/glewlwydtest"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

const (
	root     = "../../../../.."
	patience = 2 * time.Minute
	// warnings is the doctor's exit code where it works and wants attention.
	warnings = 12
)

// A site is the machine on which Lockbox is installed.
type site struct {
	*testing.T
	dir string
	// env is what the operator has exported.
	env                []string
	names              *strings.Replacer
	provider, customer *glewlwydtest.Server
	authority          *x509.CertPool
	portal             string
	log                lockedBuffer
}

func TestTheManualInstallsLockbox(t *testing.T) {
	s := prepare(t)
	request := ""
	typed := 0
	for _, b := range blocks(t) {
		text := s.names.Replace(b.text)
		switch b.language {
		case "yaml", "nginx":
			s.write(text)
			if b.language == "nginx" {
				s.nginx()
			}
		case "sh":
			for _, line := range lines(text) {
				line = strings.ReplaceAll(line, "REQUEST-ID", request)
				out := s.types(line)
				if strings.Contains(line, "intent submit") {
					if request = requestID.FindString(out); request == "" {
						t.Fatalf("%s names no request:\n%s", line, out)
					}
					s.mailed("grace@meadowbank.example", request)
				}
				typed++
			}
		}
	}
	if typed < 20 {
		t.Errorf("the manual has %d commands only", typed)
	}
	shown := s.types("lockbox request show -o json --tenant meadowbank --profile erin " + request)
	if !strings.Contains(shown, `"REQUEST_STATUS_ACTIVE"`) {
		t.Errorf("after the last step there is no access:\n%s", shown)
	}
	page := s.browses("grace", "/t/meadowbank/requests/"+request)
	if !strings.Contains(page, "payments-1") || !strings.Contains(page, "Erin Example") {
		t.Errorf("behind the proxy the administrator does not see the request:\n%s", page)
	}
	out := s.types("lockbox audit verify --stream --keys " + s.dir + "/etc/hand-out")
	if !strings.Contains(out, "every invariant holds") {
		t.Errorf("audit verify says:\n%s", out)
	}
	if log := s.log.String(); strings.Contains(log, "eyJ") {
		t.Error("there are tokens in the logs")
	}
}

var requestID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// prepare is what the manual presupposes: programs, sign-in services, a mail server, a certificate for the portal.
func prepare(t *testing.T) *site {
	t.Helper()
	// Not below t.TempDir, which other users cannot enter, and Postfix is one.
	dir, err := os.MkdirTemp("", "lockbox-manual-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	s := &site{T: t, dir: dir, env: []string{"HOME=" + dir, "PATH=" + dir + "/bin:" + os.Getenv("PATH") + ":/usr/sbin",
		"SSL_CERT_FILE=" + dir + "/ca/ca.crt"}} // instead of the authorities that everybody knows
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", dir+"/bin/")
	for _, name := range []string{
		"lockbox", "jit-evaluator", "lockbox-orchestrator", "notifier", "audit-projector", "portal",
	} {
		build.Args = append(build.Args, "github.com/openlockbox/lockbox/services/"+name+"/cmd/"+name)
	}
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does, so that neither builds anew
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := func() string { return fmt.Sprint(journaltest.FreePort(t)) }
	bus, front, portal, back, smtp := port(), port(), port(), port(), port()
	s.portal = "https://127.0.0.1:" + front

	s.provider, s.customer = glewlwydtest.Start(t), glewlwydtest.Start(t)
	for _, g := range []*glewlwydtest.Server{s.provider, s.customer} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		g.Configure(key, s.portal+"/callback", "http://127.0.0.1:"+back+"/callback")
	}
	s.provider.Person("onboarding", "Olive Oak", "olive@nimbus.example", "Nimbus Cloud", "onboarding")
	s.provider.Person("erin", "Erin Example", "erin@nimbus.example", "Nimbus Cloud", "support-engineers")
	s.customer.Person("grace", "Grace Green", "grace@meadowbank.example", "Meadow Bank")

	// One authority certifies mail server and portal.
	must(t, os.Mkdir(dir+"/etc", 0o755))
	_, err = devca.Create(dir+"/ca", nil, time.Now())
	must(t, err)
	pem, err := os.ReadFile(dir + "/ca/ca.crt")
	must(t, err)
	s.authority = x509.NewCertPool()
	s.authority.AppendCertsFromPEM(pem)
	s.copies("ca/tls.crt", "etc/portal.crt", 0o644)
	s.copies("ca/tls.key", "etc/portal.key", 0o600)
	must(t, os.WriteFile(dir+"/etc/smtp-password", []byte("correct horse"), 0o600))
	s.postfix(smtp)

	grace := claims(t, s.customer, "grace").Subject
	pairs := []string{
		"/etc/lockbox", dir + "/etc", "/var/lib/lockbox", dir + "/var", "/etc/nginx/conf.d", dir + "/etc",
		"bus.nimbus.example:4222", "127.0.0.1:" + bus, "0.0.0.0:4222", "127.0.0.1:" + bus, "bus.nimbus.example", "127.0.0.1",
		"https://login.nimbus.example", s.provider.Issuer(), "https://login.meadowbank.example", s.customer.Issuer(),
		"https://lockbox.nimbus.example", s.portal, "listen 443 ssl", "listen 127.0.0.1:" + front + " ssl",
		"mail.nimbus.example", "127.0.0.1", "port: 587", "port: " + smtp + "\n    ca_file: " + dir + "/ca/ca.crt",
		"127.0.0.1:8080", "127.0.0.1:" + portal, "8910", back, "127.0.0.1:8026", "127.0.0.1:" + port(), "SUBJECT", grace,
	}
	for n := 9100; n <= 9105; n++ {
		pairs = append(pairs, fmt.Sprintf("127.0.0.1:%d", n), "127.0.0.1:"+port())
	}
	s.names = strings.NewReplacer(pairs...)
	return s
}

func (s *site) copies(from, to string, mode os.FileMode) {
	s.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, from))
	must(s, err)
	must(s, os.WriteFile(filepath.Join(s.dir, to), data, mode))
}

// postfix is Debian's mail server, which delivers everything into DIR/smtp/mail/all.
func (s *site) postfix(port string) {
	s.Helper()
	must(s, os.Mkdir(s.dir+"/smtp", 0o755))
	s.copies("ca/tls.crt", "smtp/tls.crt", 0o644)
	s.copies("ca/tls.key", "smtp/tls.key", 0o600)
	script, err := filepath.Abs(root + "/scripts/smtp-server.sh")
	must(s, err)
	s.runs(exec.Command(script, s.dir+"/smtp", port, "lockbox", "correct horse")) // #nosec G204 -- the test's own
	s.reaches("127.0.0.1:" + port)
}

// nginx starts Debian's, with a main file that includes the manual's.
func (s *site) nginx() {
	s.Helper()
	conf := s.dir + "/nginx.conf"
	must(s, os.WriteFile(conf, []byte(`daemon off; pid `+s.dir+`/nginx.pid; error_log stderr; events {}
http { access_log off; client_body_temp_path `+s.dir+`/n1; proxy_temp_path `+s.dir+`/n2; fastcgi_temp_path `+s.dir+`/n3;
uwsgi_temp_path `+s.dir+`/n4; scgi_temp_path `+s.dir+`/n5; include `+s.dir+`/etc/lockbox.conf; }
`), 0o600))
	c := exec.Command("nginx", "-c", conf, "-p", s.dir)
	c.Env = append(os.Environ(), s.env...)
	if _, err := exec.LookPath("nginx"); err != nil {
		c.Path, c.Err = "/usr/sbin/nginx", nil
	}
	s.runs(c)
	s.reaches(strings.TrimPrefix(s.portal, "https://"))
}

// runs starts a program that ends with the test.
func (s *site) runs(c *exec.Cmd) {
	s.Helper()
	c.Stdout, c.Stderr = &s.log, &s.log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(s, c.Start())
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }() // it ends with an error whenever it is stopped
	s.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			s.Errorf("%s does not end", c)
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		}
	})
}

func (s *site) reaches(address string) {
	s.Helper()
	s.eventually(address+" answers", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (s *site) eventually(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A block is one of the manual's, with what language it says it is in.
type block struct{ language, text string }

func blocks(t *testing.T) (all []block) {
	t.Helper()
	manual, err := os.ReadFile(root + "/deploy/README.md")
	must(t, err)
	_, section, found := strings.Cut(string(manual), "\n## Installing\n")
	section, _, end := strings.Cut(section, "\n## ")
	if !found || !end {
		t.Fatal("the manual says nothing about installing")
	}
	for i, part := range strings.Split(section, "\n```") {
		if i%2 == 1 {
			language, text, _ := strings.Cut(part, "\n")
			all = append(all, block{language, text + "\n"})
		}
	}
	return all
}

// lines are commands, each with what it continues on.
func lines(text string) (all []string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// write makes the file that its first line names.
func (s *site) write(text string) {
	s.Helper()
	first, _, _ := strings.Cut(text, "\n")
	must(s, os.WriteFile(strings.TrimPrefix(first, "# "), []byte(text), 0o600))
}

// types runs a line as the operator does, and returns what it prints.
func (s *site) types(line string) string {
	s.Helper()
	if exported, ok := strings.CutPrefix(line, "export "); ok {
		s.env = append(s.env, strings.Fields(exported)...)
		return ""
	}
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	if background, ok := strings.CutSuffix(line, "&"); ok {
		s.runs(s.shell(context.WithoutCancel(ctx), "exec "+background))
		return ""
	}
	if strings.HasPrefix(line, "lockbox login ") {
		return s.signsIn(ctx, line)
	}
	out, err := s.shell(ctx, line).CombinedOutput()
	var ended *exec.ExitError
	if strings.HasPrefix(line, "lockbox doctor ") && errors.As(err, &ended) && ended.ExitCode() == warnings {
		err = nil // this machine's disk, or its clock
	}
	if err != nil {
		s.Fatalf("$ %s\n%s\n%v", line, out, err)
	}
	s.Logf("$ %s\n%s", line, out)
	return string(out)
}

func (s *site) shell(ctx context.Context, line string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-c", line) // #nosec G204 -- the manual's own commands
	c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "LOCKBOX_") || strings.HasPrefix(e, "XDG_")
	}), s.env...)
	return c
}

var profile = regexp.MustCompile(`--profile ([a-z]+)`)

// browser is somebody's, signed in at their own organisation.
func (s *site) browser(name string) *http.Client {
	if name == "grace" {
		return s.customer.Browser(name)
	}
	return s.provider.Browser(name)
}

// signsIn types lockbox login, and goes where it sends the browser.
func (s *site) signsIn(ctx context.Context, line string) string {
	s.Helper()
	c := s.shell(ctx, "exec "+line+" --no-browser 2>&1")
	out, err := c.StdoutPipe()
	must(s, err)
	must(s, c.Start())
	var printed strings.Builder
	went := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if at := regexp.MustCompile(`https?://\S+/auth\?\S+`).FindString(lines.Text()); at != "" && !went {
			went = true
			back := s.continues(s.browser(profile.FindStringSubmatch(line)[1]), at)
			r, err := http.Get(back) // #nosec G107 -- the loopback address of the command line
			must(s, err)
			_ = r.Body.Close()
		}
	}
	if err := c.Wait(); err != nil {
		s.Fatalf("$ %s\n%s%v", line, &printed, err)
	}
	s.Logf("$ %s\n%s", line, &printed)
	return printed.String()
}

// continues is what Glewlwyd's own page does once the password was right, and returns where that leads.
func (s *site) continues(who *http.Client, at string) string {
	s.Helper()
	r, err := who.Get(at + "&g_continue")
	must(s, err)
	_ = r.Body.Close()
	back := r.Header.Get("Location")
	if !strings.Contains(back, "/callback?") {
		s.Fatalf("from %s the sign-in service leads to %q, status %d", at, back, r.StatusCode)
	}
	return back
}

var leaving = regexp.MustCompile(`(?:href|url)=["']?([^"'>\s]+/auth\?[^"'>]+)`)

// browses opens a page of the portal, through the proxy, and signs in on the way.
func (s *site) browses(name, path string) string {
	s.Helper()
	jar, err := cookiejar.New(nil)
	must(s, err)
	c := &http.Client{Jar: jar, Timeout: patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.authority, MinVersion: tls.VersionTLS13}}}
	get := func(at string) string {
		r, err := c.Get(at)
		must(s, err)
		defer func() { _ = r.Body.Close() }()
		text, err := io.ReadAll(r.Body)
		must(s, err)
		return string(text)
	}
	page := get(s.portal + path)
	for range 3 { // the page may ask at which of their issuers they sign in
		if away := leaving.FindStringSubmatch(page); away != nil {
			page = get(s.continues(s.browser(name), html.UnescapeString(away[1])))
		}
	}
	if at, _ := url.Parse(s.portal + path); !strings.Contains(page, "Sign out") {
		page = get(at.String())
	}
	return page
}

type who struct {
	Subject string `json:"sub"`
}

func claims(t *testing.T, g *glewlwydtest.Server, name string) (c who) {
	t.Helper()
	token, _ := g.SignIn(name)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	must(t, err)
	must(t, json.Unmarshal(payload, &c))
	return c
}

// mailed waits until Postfix has delivered a mail to somebody about a request.
func (s *site) mailed(to, request string) {
	s.Helper()
	s.eventually("a mail to "+to+" about "+request, func() bool {
		mails, err := filepath.Glob(s.dir + "/smtp/mail/all/new/*")
		must(s, err)
		for _, file := range mails {
			data, err := os.ReadFile(file) // #nosec G304 -- the test's own mail server's
			must(s, err)
			text, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(data)))
			if strings.Contains(string(data), to) && strings.Contains(string(text), request) {
				return true
			}
		}
		return false
	})
}

// lockedBuffer takes what several programs write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
