package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/portal"
	"golang.org/x/sync/errgroup"
)

// Portal is the latency of its pages under many concurrent readers, with a long history in the projection and many
// requests awaiting the same people. Readers and server are separate processes; the server is all of Lockbox on an
// existing store, as with `lockbox up`.
type Portal struct {
	Requests int    `json:"requests"`
	Pending  int    `json:"pending"`
	Readers  int    `json:"readers"`
	Pages    []Page `json:"pages"`
}

// Page is the measurement of one page. The first row is the floor: a file that the portal holds in memory.
type Page struct {
	Name string `json:"name"`
	// FirstByte is the time to first byte while all readers read one page per second each.
	FirstByte Latency `json:"first_byte"`
	// P99ToFloor is the ratio of its p99 to the floor's.
	P99ToFloor float64 `json:"p99_to_floor"`
	// Most is the throughput in pages per second when readers do not pause, and Pressed the time to first byte then.
	Most    float64 `json:"most_pages_per_s"`
	Pressed Latency `json:"first_byte_pressed"`
}

// pace is the time between two pages of one reader.
const pace = time.Second

func (b *bench) portal(ctx context.Context) (err error) {
	s, stop, err := serveSite(ctx, filepath.Join(b.dir, "portal"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	n, waiting := b.scale.history, b.scale.pending
	ids, err := b.populate(ctx, s, n, func(i int) fate {
		if i < n-waiting {
			return over
		}
		return pending
	})
	if err != nil {
		return err
	}
	if err := s.with(ctx, none, func(running *stack.Stack) error { return skipAll(ctx, running) }); err != nil {
		return err
	}
	b.report.Portal = &Portal{Requests: n, Pending: waiting, Readers: b.scale.readers}
	b.say("portal: the projection, in a process of its own")
	// The server is a process of its own, so that neither writing the history nor the readers slow it down.
	serving, err := startChild(ctx, task{Dir: s.dir, Serve: s.issuer.URL(), Profile: b.profile("portal")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, serving.end()) }()
	return b.readPages(ctx, strings.TrimSpace(serving.said), ids[len(ids)-1])
}

// serve runs everything, prints the URLs of the portal and, if it listens, of the bus, and continues until its input
// ends.
func serve(ctx context.Context, s *site, profile string, in io.Reader, out io.Writer) (err error) {
	s.portal = &portal.Config{Listen: "127.0.0.1:0", Organisations: demo.Organisations(s.issuer)}
	return s.with(ctx, nil, func(running *stack.Stack) error {
		if err := s.answered(ctx, running, 0); err != nil {
			return err
		}
		if err := rest(ctx); err != nil {
			return err
		}
		stop, err := profileInto(profile)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, running.PortalURL(), running.URL())
		if err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		return errors.Join(err, stop(), allocationsInto(profile))
	})
}

func (b *bench) readPages(ctx context.Context, portalURL, pendingID string) error {
	home := portalURL + "/t/" + customer
	client, err := visitor.SignIn(ctx, home, approver)
	if err != nil {
		return err
	}
	client.Transport = &http.Transport{MaxIdleConnsPerHost: b.scale.readers}
	for _, page := range []struct{ name, address string }{
		{"the floor: a file in memory", portalURL + "/assets/"},
		{"what waits for me", home},
		{"all requests", home + "/requests"},
		{"one request", home + "/requests/" + pendingID},
		{"approve", home + "/requests/" + pendingID + "/approve"},
		{"activity log, three filters", home + "/activity?action=Approve+Lockbox+Request&person=otto&subscription=" +
			demo.BankProduction},
		{"tickets", home + "/tickets"},
		{"administration", home + "/administration"},
	} {
		b.say("portal: %s", page.name)
		r := Page{Name: page.name}
		if _, r.FirstByte, err = read(ctx, client, page.address, b.scale.readers, b.scale.reading, pace); err != nil {
			return fmt.Errorf("%s: %w", page.name, err)
		}
		if r.Most, r.Pressed, err = read(ctx, client, page.address, b.scale.readers, b.scale.reading, 0); err != nil {
			return fmt.Errorf("%s: %w", page.name, err)
		}
		pages := &b.report.Portal.Pages
		floor := r.FirstByte.P99
		if len(*pages) > 0 {
			floor = (*pages)[0].FirstByte.P99
		}
		r.P99ToFloor = r.FirstByte.P99 / floor
		*pages = append(*pages, r)
	}
	return nil
}

// read lets the given number of readers read a page for the duration long, each once per pace, or without pause if
// pace is 0. Their starts are spread over the first pace.
func read(
	ctx context.Context, client *http.Client, address string, readers int, long, pace time.Duration,
) (rate float64, first Latency, err error) {
	var all sync.Mutex
	var took []time.Duration
	running, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	end := begun.Add(long)
	for i := range readers {
		running.Go(func() error {
			var mine []time.Duration
			turn := begun.Add(pace * time.Duration(i) / time.Duration(readers))
			for ; time.Until(turn) < time.Until(end) && time.Now().Before(end) && ctx.Err() == nil; turn = turn.Add(pace) {
				time.Sleep(time.Until(turn))
				d, err := firstByte(ctx, client, address)
				if err != nil {
					return err
				}
				mine = append(mine, d)
			}
			all.Lock()
			defer all.Unlock()
			took = append(took, mine...)
			return nil
		})
	}
	if err := running.Wait(); err != nil {
		return 0, Latency{}, err
	}
	return perSecond(len(took), time.Since(begun)), latency(took), nil
}

func firstByte(ctx context.Context, client *http.Client, address string) (time.Duration, error) {
	begun := time.Now()
	var first time.Duration
	ctx = httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{GotFirstResponseByte: func() { first = time.Since(begun) }})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	answer, err := visitor.Read(client, r)
	if err != nil {
		return 0, err
	}
	// The floor's URL is a directory, which is refused as quickly as a file would be served.
	if answer.Status != http.StatusOK && answer.At.Path != "/assets/" {
		return 0, fmt.Errorf("%s: status %d", address, answer.Status)
	}
	return first, nil
}

// serveSite creates a Lockbox whose people can sign in with a browser until stop is called.
func serveSite(ctx context.Context, dir string) (s *site, stop func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	if s, err = newSite(ctx, dir, "http://"+listener.Addr().String()); err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: s.issuer.Handler(), ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }() // ends with the server
	return s, server.Close, nil
}
