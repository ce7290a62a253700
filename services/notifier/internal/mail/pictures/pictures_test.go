// Package pictures_test shows every mail in a browser, as mail programs do that read HTML and style sheets: on a desk
// and on a narrow phone, by day and by night. It keeps pictures among the artefacts of the tests for people to see.
package pictures_test

import (
	"bytes"
	"context"
	_ "embed"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/openlockbox/lockbox/pkg/tenant"
	mails "github.com/openlockbox/lockbox/services/notifier/internal/mail"
	"github.com/openlockbox/lockbox/services/notifier/internal/mail/mailtest"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

//go:embed testdata/audit.js
var audit string

const patience = 2 * time.Minute

// looks are the ways in which a mail is looked at.
var looks = []struct {
	name          string
	width, height int64
	dark          bool
}{
	{"desk-light", 760, 900, false}, {"desk-dark", 760, 900, true}, {"phone-light", 320, 640, false},
	{"phone-dark", 320, 640, true},
}

func TestEveryMailCanBeReadEverywhere(t *testing.T) {
	r, err := mails.New("lockbox@northwind.example", "lockbox.northwind.example")
	must(t, err)
	ctx := browser(t)
	dir := filepath.Join("..", "..", "..", "..", "..", "artefacts", "mail")
	must(t, os.MkdirAll(dir, 0o750))
	for _, look := range looks {
		scheme := "light"
		if look.dark {
			scheme = "dark"
		}
		do(ctx, t, chromedp.EmulateViewport(look.width, look.height, chromedp.EmulateScale(1)),
			chromedp.Func(func(ctx context.Context, to *chromedp.Target) error {
				_, err := cdp.Call(ctx, to, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				return err
			}))
		for _, template := range plan.Templates() {
			for _, language := range tenant.Languages {
				t.Run(string(template)+"/"+language+"/"+look.name, func(t *testing.T) {
					m, err := r.Render(mailtest.Sample(template, language), mailtest.Noon)
					must(t, err)
					open(ctx, t, markup(t, m))
					for _, wrong := range run(ctx, t, chromedp.Evaluate[[]string](audit)) {
						t.Error(wrong)
					}
					png := run(ctx, t, chromedp.FullScreenshot(100))
					name := string(template) + "." + language + "." + look.name + ".png"
					must(t, os.WriteFile(filepath.Join(dir, name), png, 0o600))
				})
			}
		}
	}
}

// markup returns the HTML of a mail, as a mail program finds it.
func markup(t *testing.T, m mails.Message) string {
	t.Helper()
	read, err := mail.ReadMessage(bytes.NewReader(m.Bytes))
	must(t, err)
	_, parameters, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	must(t, err)
	parts := multipart.NewReader(read.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		must(t, err)
		if kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err == nil && kind == "text/html" {
			html, err := io.ReadAll(quotedprintable.NewReader(part))
			must(t, err)
			return string(html)
		}
	}
}

// browser opens a tab that ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox) // root in a container has no sandbox
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			options = append(options, chromedp.ExecPath(found))
			break
		}
	}
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start; scripts/install-test-deps.sh installs it: %v", err)
	}
	do(ctx, t, chromedp.Navigate("about:blank"))
	return ctx
}

// open puts a page into the tab.
func open(ctx context.Context, t *testing.T, html string) {
	t.Helper()
	do(ctx, t, chromedp.Func(func(ctx context.Context, to *chromedp.Target) error {
		frames, err := cdp.Call(ctx, to, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, to, page.SetDocumentContent,
			page.SetDocumentContentParams{FrameID: frames.FrameTree.Frame.ID, HTML: html})
		return err
	}))
}

func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	must(t, chromedp.Do(ctx, steps...))
}

func run[T any](ctx context.Context, t *testing.T, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	must(t, err)
	return value
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
