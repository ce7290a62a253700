package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// logPatience is the timeout of one query to the log, and mostAnswer the maximum size of its answer in bytes: a bundle
	// of entries has up to 16 MiB.
	logPatience = 20 * time.Second
	mostAnswer  = 17 << 20
	// bundle is the number of entries in a full bundle.
	bundle = 256
)

// sighting asks what a follower needs who last saw trees of these sizes.
func (w *Watcher) sighting(ctx context.Context, global, size int64) (next merkle.Sighting, err error) {
	query := url.Values{"global": {strconv.FormatInt(global, 10)}, "size": {strconv.FormatInt(size, 10)},
		"format": {strconv.Itoa(merkle.Format2)}}
	return next, w.get(ctx, "/tenants/"+url.PathEscape(w.Tenant)+"/sighting?"+query.Encode(), true, &next)
}

// growthFrom asks how the log's tree began at a size.
func (w *Watcher) growthFrom(ctx context.Context, size int64) (g growth, err error) {
	return g, w.get(ctx, "/growth?size="+strconv.FormatInt(size, 10), false, &g)
}

// entriesFrom asks for the entries of the tenant's tree from one size to another. Whose they are is not checked.
func (w *Watcher) entriesFrom(ctx context.Context, from, to int64) ([][]byte, error) {
	all := [][]byte{}
	for n := from / bundle; n*bundle < to; n++ {
		t := tlog.Tile{H: 8, L: -1, N: n, W: int(min(bundle, to-n*bundle))}
		body, err := w.fetch(ctx, "/tenants/"+url.PathEscape(w.Tenant)+"/"+merkle.Path(t), true)
		if err != nil {
			return nil, err
		}
		found, err := merkle.Entries(body)
		if err != nil || len(found) < t.W {
			return nil, fmt.Errorf("%w, ask again: %s has not the entries that it should have", ErrInconclusive, merkle.Path(t))
		}
		all = append(all, found[max(0, from-n*bundle):t.W]...)
	}
	return all, nil
}

// get asks for a document.
func (w *Watcher) get(ctx context.Context, path string, asCaller bool, into any) error {
	body, err := w.fetch(ctx, path, asCaller)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w, ask again: the log answers what is no document: %w", ErrInconclusive, err)
	}
	return nil
}

// fetch queries the log, with the caller's token if asCaller is set.
func (w *Watcher) fetch(ctx context.Context, path string, asCaller bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(w.Log, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	if asCaller {
		token, err := w.Token(ctx)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		return nil, refusal.Unavailable("log", "I11", "the log does not answer: %v", err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, refusal.Unavailable("log", "I11", "the log does not answer: %v", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusUnauthorized:
		return nil, refusal.Unauthenticated("token", "I9", "%s", strings.TrimSpace(string(body)))
	case http.StatusNotFound:
		return nil, refusal.NotFound("tenant", "I9", "the log shows you nothing of that name and size")
	}
	return nil, refusal.Unavailable("log", "I11", "the log answers %s: %s", answer.Status, strings.TrimSpace(string(body)))
}
