package mailbox_test

import (
	"context"
	"io"
	"net/http"
	netsmtp "net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

// run starts a mailbox until the test ends.
func run(t *testing.T, c mailbox.Config) *mailbox.Mailbox {
	t.Helper()
	m, err := mailbox.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	return m
}

func local(t *testing.T) mailbox.Config {
	return mailbox.Config{Dir: filepath.Join(t.TempDir(), "mail"), SMTPListen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0"}
}

const letter = "From: =?UTF-8?q?Caf=C3=A9?= <a@example.org>\r\nTo: b@example.org, c@example.org\r\nSubject: =?UTF-8?b?5om/6KqN44Gu44GK6aGY44GE?=\r\n" +
	"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n" +
	"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nCaf=C3=A9\r\n" +
	"--x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PjxiPkhpPC9iPg==\r\n--x--\r\n"

func post(t *testing.T, m *mailbox.Mailbox, data string, to ...string) {
	t.Helper()
	if err := netsmtp.SendMail(m.SMTPAddr(), nil, "a@example.org", to, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func TestMailsAreKeptInOrderAndReadAgain(t *testing.T) {
	c := local(t)
	m := run(t, c)
	if none, err := mailbox.Read(c.Dir); err != nil || len(none) > 0 {
		t.Fatalf("%v %v", none, err)
	}
	post(t, m, letter, "b@example.org", "hidden@example.org")
	for range 20 {
		post(t, m, strings.Replace(letter, "<1@", "<2@", 1), "c@example.org")
	}
	all, err := mailbox.Read(c.Dir)
	if err != nil || len(all) != 21 {
		t.Fatalf("%d mails, %v", len(all), err)
	}
	first := all[0]
	if first.Subject != "承認のお願い" || first.From != "Café <a@example.org>" || first.MessageID != "<1@example.org>" ||
		!slices.Equal(first.To, []string{"b@example.org", "c@example.org"}) ||
		!slices.Equal(first.Recipients, []string{"b@example.org", "hidden@example.org"}) ||
		first.Text != "Café" || first.HTML != "<script>alert(1)</script><b>Hi</b>" ||
		first.Header.Get("MIME-Version") != "1.0" {
		t.Errorf("%+v", first)
	}
	if !slices.IsSortedFunc(all, func(a, b mailbox.Message) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("they are not in the order in which they came")
	}
	files, err := os.ReadDir(c.Dir)
	if err != nil || len(files) != 21 {
		t.Errorf("the directory holds %d files, %v", len(files), err)
	}
}

func TestThereMayBeNoMailsYet(t *testing.T) {
	if all, err := mailbox.Read(filepath.Join(t.TempDir(), "none")); err != nil || len(all) > 0 {
		t.Errorf("%v %v", all, err)
	}
}

func TestWhatIsNoMailIsKeptAndShownToo(t *testing.T) {
	c := local(t)
	m := run(t, c)
	post(t, m, "no headers at all\r\n", "b@example.org")
	all, err := mailbox.Read(c.Dir)
	if err != nil || len(all) != 1 || !strings.Contains(all[0].Text, "no headers at all") {
		t.Errorf("%+v %v", all, err)
	}
}

func get(t *testing.T, url, host string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(content)
}

func TestThePagesShowMailsAndRunNothingOfThem(t *testing.T) {
	c := local(t)
	m := run(t, c)
	hostile := strings.Replace(letter, "Subject: ", "Subject: <script>alert(2)</script> ", 1)
	post(t, m, hostile, "b@example.org")
	all, err := mailbox.Read(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	base, host := "http://"+m.HTTPAddr(), m.HTTPAddr()
	for _, path := range []string{"/", "/mails/" + all[0].ID} {
		status, header, body := get(t, base+path, host)
		if status != http.StatusOK || !strings.Contains(body, "承認のお願い") || strings.Contains(body, "<script") {
			t.Errorf("%s: %d\n%s", path, status, body)
		}
		if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") ||
			strings.Contains(policy, "script-src") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	_, _, page := get(t, base+"/mails/"+all[0].ID, host)
	if !strings.Contains(page, ` sandbox="allow-popups allow-popups-to-escape-sandbox" `) ||
		strings.Contains(page, "alert(1)") {
		t.Errorf("the HTML is not in a frame of its own:\n%s", page)
	}
	_, header, markup := get(t, base+"/mails/"+all[0].ID+"/html", host)
	if !strings.HasPrefix(header.Get("Content-Security-Policy"),
		"sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'") || !strings.Contains(markup, "<b>Hi</b>") {
		t.Errorf("%v\n%s", header, markup)
	}
	_, header, raw := get(t, base+"/mails/"+all[0].ID+"/raw", host)
	if !strings.HasPrefix(header.Get("Content-Type"), "text/plain") || !strings.Contains(raw, "boundary=x") {
		t.Errorf("%v\n%s", header, raw)
	}
}

func TestThePagesAnswerForNothingElse(t *testing.T) {
	c := local(t)
	m := run(t, c)
	if err := os.WriteFile(filepath.Join(filepath.Dir(c.Dir), "secret.eml"), []byte("Subject: no\r\n\r\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	base := "http://" + m.HTTPAddr()
	for _, path := range []string{"/mails/..%2fsecret", "/mails/secret", "/mails/20260610T120000.000000000Z", "/mails/*",
		"/else"} {
		if status, _, _ := get(t, base+path, m.HTTPAddr()); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _, _ := get(t, base+"/", "attacker.example"); status != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name that points here: %d", status)
	}
	if status, _, _ := get(t, base+"/", "localhost:8025"); status != http.StatusOK {
		t.Errorf("localhost: %d", status)
	}
}
