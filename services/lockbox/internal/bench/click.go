package bench

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"golang.org/x/sync/errgroup"
)

// Click is how long it takes from an approver's click in the portal, a form that is sent, until access is active. The
// approvers click at the same moment, each on a request of their own. They and the server are separate processes; the
// server is all of Lockbox, as with `lockbox up`.
type Click struct {
	AtOnce int    `json:"at_once"`
	Staged string `json:"staged"`
	Clicks int    `json:"clicks"`
	// Answered is the time until the page that follows has arrived, Stored until AccessGranted was seen on the stream, and
	// Visible until a page that shows active access has arrived as well.
	Answered Latency `json:"answered"`
	Stored   Latency `json:"stored"`
	Visible  Latency `json:"visible"`
	// CPU is the CPU time of the server's process while they click, in milliseconds per click.
	CPU float64 `json:"cpu_ms_per_click"`
}

// clickers are the numbers of approvers who click at once.
var clickers = []int{1, 50}

func (b *bench) click(ctx context.Context) error {
	if err := b.clicksOn(ctx, ""); err != nil || b.options.StageIn == "" {
		return err
	}
	return b.clicksOn(ctx, b.options.StageIn)
}

func (b *bench) clicksOn(ctx context.Context, stageIn string) (err error) {
	staged, name := "on disk", "click"
	if stageIn != "" {
		staged, name = "in memory", "click-staged"
	}
	s, stop, err := serveSite(ctx, filepath.Join(b.dir, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	serving, err := startChild(ctx, task{Dir: s.dir, Serve: s.issuer.URL(), Listen: true, StageIn: stageIn,
		Profile: b.profile(name)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, serving.end()) }()
	portalURL, busURL, _ := strings.Cut(serving.said, " ")
	at := elsewhere{url: busURL, keys: s.keysDir()}
	p, err := connect(ctx, at, bus.Compliance)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := covered(ctx, p.Journal, 1); err != nil { // without a checkpoint, no access is granted
		return err
	}
	c, err := newClient(ctx, s, at)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, n := range clickers {
		b.say("clicks, staged %s, %d at once", staged, n)
		row, err := b.clicks(ctx, c, serving, portalURL, n)
		if err != nil {
			return fmt.Errorf("%d at once: %w", n, err)
		}
		row.Staged = staged
		b.report.Clicks = append(b.report.Clicks, row)
	}
	return nil
}

// clicks has n approvers click at the same moment, again and again.
func (b *bench) clicks(
	ctx context.Context, c *client, server *childProcess, portalURL string, n int,
) (Click, error) {
	clicking := make([]*approving, n)
	for i := range clicking {
		browser, err := visitor.SignIn(ctx, portalURL+"/t/"+c.of.tenant, c.of.approver)
		if err != nil {
			return Click{}, err
		}
		clicking[i] = &approving{client: c, browser: browser, portal: portalURL}
	}
	row := Click{AtOnce: n}
	var answered, stored, visible []time.Duration
	var used time.Duration
	end := time.Now().Add(b.scale.warmUp + b.scale.clicking)
	warm := time.Now().Add(b.scale.warmUp)
	for len(visible) == 0 || time.Now().Before(end) {
		if err := eachAtOnce(ctx, n, clicking, func(ctx context.Context, a *approving) error {
			return a.prepare(ctx)
		}); err != nil {
			return row, err
		}
		counts := time.Now().After(warm)
		before, err := server.cpu()
		if err != nil {
			return row, err
		}
		var all errgroup.Group
		now := make(chan struct{})
		for _, a := range clicking {
			all.Go(func() error {
				<-now
				return a.click(ctx)
			})
		}
		close(now)
		if err := all.Wait(); err != nil {
			return row, err
		}
		after, err := server.cpu()
		if err != nil {
			return row, err
		}
		if !counts {
			continue
		}
		used += after - before
		for _, a := range clicking {
			answered, stored, visible = append(answered, a.answered), append(stored, a.stored), append(visible, a.visible)
		}
	}
	row.Clicks, row.CPU = len(visible), millis(used)/float64(len(visible))
	row.Answered, row.Stored, row.Visible = latency(answered), latency(stored), latency(visible)
	return row, nil
}

// approving is an approver with a browser, and a request that waits for a click.
type approving struct {
	client  *client
	browser *http.Client
	portal  string

	id     string
	events *awaited
	form   url.Values
	// answered, stored and visible are how long the last click took.
	answered, stored, visible time.Duration
}

var (
	confirmLink = regexp.MustCompile(`href="(/[^"]+/approve/confirm\?[^"]+)"`)
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
)

// prepare has somebody ask for access, and opens the page with the button.
func (a *approving) prepare(ctx context.Context) (err error) {
	if a.id, err = newID(); err != nil {
		return err
	}
	a.events = a.client.expect(a.id)
	if err := a.client.submit(ctx, a.id); err != nil {
		return err
	}
	if err := await(ctx, a.events.notified); err != nil {
		return fmt.Errorf("%s, %s: %w", a.id, customerNotified, err)
	}
	var page string
	for end := time.Now().Add(patience); ; { // until the portal knows the request
		if page, err = a.open(ctx, http.MethodGet, a.address(), nil); err == nil && confirmLink.MatchString(page) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("the page of %s does not lead to its approval: %w", a.id, err)
		}
	}
	link := html.UnescapeString(confirmLink.FindStringSubmatch(page)[1])
	if page, err = a.open(ctx, http.MethodGet, a.portal+link, nil); err != nil {
		return err
	}
	_, form, _ := strings.Cut(page, `action="`+strings.TrimPrefix(a.address(), a.portal)+`/approve"`)
	form, _, _ = strings.Cut(form, "</form>")
	a.form = url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(form, -1) {
		a.form.Add(m[1], html.UnescapeString(m[2]))
	}
	return nil
}

// click sends the form, and waits until access is active and shown.
func (a *approving) click(ctx context.Context) error {
	begun := time.Now()
	stored := make(chan error, 1)
	go func() {
		err := await(ctx, a.events.granted)
		a.stored = time.Since(begun)
		stored <- err
	}()
	page, err := a.open(ctx, http.MethodPost, a.address()+"/approve", a.form)
	a.answered = time.Since(begun)
	for err == nil && !strings.Contains(page, a.address()[len(a.portal):]+"/revoke") {
		if time.Since(begun) > patience {
			return fmt.Errorf("the page of %s does not show active access", a.id)
		}
		page, err = a.open(ctx, http.MethodGet, a.address(), nil)
	}
	if err := errors.Join(err, <-stored); err != nil {
		return fmt.Errorf("%s: %w", a.id, err)
	}
	a.visible = max(time.Since(begun), a.stored)
	return nil
}

func (a *approving) address() string {
	return a.portal + "/t/" + a.client.of.tenant + "/requests/" + a.id
}

func (a *approving) open(ctx context.Context, method, address string, form url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", a.portal)
	}
	answer, err := visitor.Read(a.browser, r)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("%s: status %d", address, answer.Status)
	}
	return answer.Body, err
}

func clickTable(rows []Click) string {
	cells := [][]string{{"at once", "staged", "clicks", "page: p50 ms", "p99 ms", "on the stream: p50 ms", "p99 ms",
		"and shown: p50 ms", "p99 ms", "server's CPU ms/click"}}
	for _, c := range rows {
		cells = append(cells, []string{number(float64(c.AtOnce), 0), c.Staged, number(float64(c.Clicks), 0),
			number(c.Answered.P50, 1), number(c.Answered.P99, 1), number(c.Stored.P50, 1), number(c.Stored.P99, 1),
			number(c.Visible.P50, 1), number(c.Visible.P99, 1), number(c.CPU, 1)})
	}
	return table(cells)
}
