package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/notifier/mailbox"
)

// manyMails fills a mailbox with mails as they are, of some 20 kB; every hundredth is to Fleur.
func manyMails(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	body := "Hello Otto,\r\n\r\n" + strings.Repeat("Erin Ellis asks for access to payments-1.=20\r\n", 400)
	for i := range n {
		to := "otto@meadowbank.example"
		if i%100 == 0 {
			to = "fleur@meadowbank.example"
		}
		at := time.Date(2026, 5, 12, 8, 0, 0, i+1, time.UTC).Format("20060102T150405.000000000Z")
		mail := fmt.Sprintf("X-Lockbox-Mailbox-Recipient: %s\r\nFrom: lockbox@nimbus.example\r\nTo: %s\r\n"+
			"Subject: Mail %d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s", to, to, i, body)
		if err := os.WriteFile(filepath.Join(dir, at+".eml"), []byte(mail), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mailLine(t testing.TB, line string) string {
	t.Helper()
	env, out, errs := nobody(t)
	if code := Run(context.Background(), strings.Fields(line), env); code != 0 {
		t.Fatalf("%s: exit code %d, %s", line, code, errs)
	}
	return out.String()
}

func BenchmarkTenThousandMails(b *testing.B) {
	dir := manyMails(b, 10_000)
	for _, line := range []string{"mail list", "mail list --to fleur", "mail show", "mail list -o json"} {
		b.Run(line, func(b *testing.B) {
			for b.Loop() {
				mailLine(b, line+" --dir "+dir)
			}
		})
	}
}

// A long list is paged for people; programs get all of it, as they always did.
func TestManyMailsArePaged(t *testing.T) {
	dir := manyMails(t, 120)
	for line, want := range map[string][2]string{
		"mail list":                            {"\nThere are 70 older ones: --all, or --limit\n", "Mail 119"},
		"mail list --limit 3":                  {"\nThere are 117 older ones: --all, or --limit\n", "Mail 117"},
		"mail list --all":                      {"Mail 0\n", "Mail 119"},
		"mail list --to fleur --limit 1":       {"\nThere may be older ones", "Mail 100"},
		"mail list -o json":                    {`"subject": "Mail 0"`, `"text": "Hello Otto,`},
		"mail list -o json --limit 1":          {`"subject": "Mail 119"`, `"text": "Hello Otto,`},
		"mail show":                            {"Mail 119", "Hello Otto,"},
		"mail show --to fleur":                 {"Mail 100", "Hello Otto,"},
		"mail show 000000101Z":                 {"Mail 100", "Hello Otto,"},
		"mail show 20260512T080000.000000101Z": {"Mail 100", "Hello Otto,"},
	} {
		out := mailLine(t, line+" --dir "+dir)
		if !strings.Contains(out, want[0]) || !strings.Contains(out, want[1]) {
			t.Errorf("%s says\n%.800s", line, out)
		}
	}
}

// Mails for programs go out one by one, each as soon as it is read: nothing waits for the oldest, or is kept in memory,
// and of mails to others only the head is read.
func TestMailsForProgramsAreWrittenAsTheyAreRead(t *testing.T) {
	dir := manyMails(t, 300)
	for to, want := range map[string]int{"": 300, "fleur": 3, "nobody": 0} {
		var out bytes.Buffer
		heads, whole, shown := 0, 0, []letter{}
		counting := func(n *int, read reader) reader {
			return func(dir, id string) (mailbox.Message, error) {
				*n++
				return read(dir, id)
			}
		}
		err := streamMails(&out, func(give func(mailbox.Message) error) error {
			_, err := eachMail(dir, to, everything, counting(&heads, mailbox.Head), counting(&whole, mailbox.Get),
				func(m mailbox.Message) error {
					if before := bytes.Count(out.Bytes(), []byte(`"message_id"`)); before != whole-1 {
						t.Errorf("to %q: %d mails were read, and %d written", to, whole, before)
					}
					shown = append(shown, letterOf(m))
					return give(m)
				})
			return err
		})
		if err != nil || whole != want || to == "" && heads != 0 || len(shown) != want {
			t.Errorf("to %q: read %d heads and %d mails: %v", to, heads, whole, err)
		}
		atOnce, err := render.ValueJSON(map[string][]letter{"mails": shown})
		if err != nil || out.String() != atOnce {
			t.Errorf("to %q: it is other JSON than at once: %v", to, err)
		}
	}
}
