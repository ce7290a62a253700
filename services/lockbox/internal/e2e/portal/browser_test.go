package portal_test

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

//go:embed testdata/audit.js
var audit string

// device is what somebody holds in their hands.
type device struct {
	name          string
	width, height int64
	phone, dark   bool
}

var (
	desktop     = device{name: "desktop-light", width: 1280, height: 900}
	desktopDark = device{name: "desktop-dark", width: 1280, height: 900, dark: true}
	phone       = device{name: "phone-light", width: 390, height: 844, phone: true}
	phoneDark   = device{name: "phone-dark", width: 390, height: 844, phone: true, dark: true}
)

// tab is one person's browser: cookies of its own, and a note of everything that the browser complained about.
type tab struct {
	*testing.T
	ctx context.Context

	// clicks counts links and buttons that were pressed.
	clicks int

	mu         sync.Mutex
	complaints []string
}

// chromium is started once for all tests of the package; each tab has a browser context of its own.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox) // root in a container has no sandbox
	if path != "" {
		options = append(options, chromedp.ExecPath(path))
	}
	ctx, _ := chromedp.NewExecAllocator(context.Background(), options...) // ends with the tests
	ctx, _ = chromedp.NewContext(ctx)
	return ctx, chromedp.Do(ctx)
})

// browser opens a browser in which nobody has been anywhere.
func (w *world) browser(d device) *tab {
	w.Helper()
	t := w.T
	parent, err := chromium()
	if err != nil {
		t.Fatalf("chromium does not start; scripts/install-test-deps.sh installs it: %v", err)
	}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx)) // the tab lives as long as the context of its first step
	b := &tab{T: t, ctx: ctx}
	scheme := "light"
	if d.dark {
		scheme = "dark"
	}
	options := []chromedp.EmulateViewportOption{chromedp.EmulateScale(1)}
	if d.phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	b.do(chromedp.EmulateViewport(d.width, d.height, options...),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme},
					{Name: "prefers-reduced-motion", Value: "reduce"}},
			})
			return err
		}))
	must(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded: // what the browser itself says: a policy violated, something not found
			b.complain(e.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.complain(e.ExceptionDetails.Text)
		}
	}))
	return b
}

func (b *tab) complain(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, what)
}

// quiet fails if the browser has complained about anything since it was asked last, but for what the test expects.
func (b *tab) quiet(expected ...string) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if len(expected) == 0 || !strings.Contains(c, expected[0]) {
			b.Errorf("the browser complains: %s", c)
		}
	}
	b.complaints = nil
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("at %s: %v\n%s", b.at(), err, b.everything())
	}
}

func run[T any](b *tab, action chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatalf("at %s: %v\n%s", b.at(), err, b.everything())
	}
	return value
}

// at is where the tab is; for messages too, so it fails nothing.
func (b *tab) at() string {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	return at
}

// everything is what there is to read.
func (b *tab) everything() string {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	return text
}

// visit follows a link or types an address.
func (b *tab) visit(address string) {
	b.Helper()
	b.do(chromedp.Navigate(address))
}

// press clicks what the selector finds and waits for the page that comes.
func (b *tab) press(selector string) {
	b.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
	b.clicks++
	b.leads(selector, chromedp.Click(chromedp.CSS(selector)))
}

// leads does something that opens another page, and waits until that is there.
func (b *tab) leads(what string, by chromedp.Action[chromedp.Void]) {
	b.Helper()
	run(b, chromedp.Evaluate[bool]("window.staysTheSame = true"))
	b.do(by)
	b.eventually("another page after "+what, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		defer cancel()
		same, err := chromedp.Run(ctx,
			chromedp.Evaluate[bool]("window.staysTheSame === true || document.readyState !== 'complete'"))
		return err == nil && !same
	})
}

// fill writes into a field what a person types.
func (b *tab) fill(selector, text string) {
	b.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.SetValue(chromedp.CSS(selector), text))
}

// choose takes an option of a list.
func (b *tab) choose(selector, value string) {
	b.Helper()
	b.do(chromedp.SetValue(chromedp.CSS(selector), value))
	if got := run(b, chromedp.Value(chromedp.CSS(selector))); got != value {
		b.Fatalf("at %s: %s has no option %s", b.at(), selector, value)
	}
}

// attribute is an element's.
func (b *tab) attribute(selector, name string) string {
	b.Helper()
	return run(b, chromedp.AttributeValue(chromedp.CSS(selector), name)).Value
}

// withoutScripts is a browser in which somebody has switched them off.
func (b *tab) withoutScripts() {
	b.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// tabTo presses the key until that element has the focus, and fails if that cannot be seen.
func (b *tab) tabTo(selector string) {
	b.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
	const most = 120
	for range most {
		b.do(chromedp.KeyEvent(kb.Tab))
		if run(b, chromedp.Evaluate[bool]("document.activeElement.matches("+strconv.Quote(selector)+")")) {
			if !run(b, chromedp.Evaluate[bool]("parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2")) {
				b.Errorf("at %s: nobody sees that %s has the focus", b.at(), selector)
			}
			return
		}
	}
	b.Fatalf("at %s: %d times Tab do not lead to %s", b.at(), most, selector)
}

// enter presses the key and waits for the page that comes.
func (b *tab) enter() {
	b.Helper()
	b.leads("Enter", chromedp.KeyEvent(kb.Enter))
}

// text is what stands there.
func (b *tab) text(selector string) string {
	b.Helper()
	return strings.TrimSpace(run(b, chromedp.Text(chromedp.CSS(selector))))
}

// has reports whether there is such an element.
func (b *tab) has(selector string) bool {
	b.Helper()
	return run(b, chromedp.Evaluate[bool]("document.querySelector("+strconv.Quote(selector)+") !== null"))
}

// reads waits until the page says something.
func (b *tab) reads(text string) {
	b.Helper()
	b.eventually("“"+text+"”", func() bool { return strings.Contains(b.everything(), text) })
}

func (b *tab) eventually(what string, is func() bool) {
	b.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("at %s: not seen: %s\n%s", b.at(), what, b.everything())
		}
	}
}

// accessible fails for everything that the audit finds wrong with the page.
func (b *tab) accessible() {
	b.Helper()
	for _, wrong := range run(b, chromedp.Evaluate[[]string](audit)) {
		b.Errorf("%s: %s", b.at(), wrong)
	}
}

var unfit = regexp.MustCompile(`[^a-z0-9.-]+`)

// picture keeps a picture of the whole page among the artefacts of the tests: artefacts/portal/<name>.png.
func (b *tab) picture(name string) {
	b.Helper()
	dir := filepath.Join("..", "..", "..", "..", "..", "artefacts", "portal")
	must(b.T, os.MkdirAll(dir, 0o750))
	png := run(b, chromedp.FullScreenshot(100))
	must(b.T, os.WriteFile(filepath.Join(dir, unfit.ReplaceAllString(strings.ToLower(name), "-")+".png"), png, 0o600))
}
