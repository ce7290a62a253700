// Package logserver serves the Merkle log over HTTP: its checkpoint to everybody, a tenant's part to callers whose
// token lets them see everything at that tenant. The formats are pkg/merkle's.
//
//	GET /checkpoint                                   the last signed note, with cosignatures
//	GET /tile/…                                       hashes and entries of the global tree (C2SP tlog-tiles)
//	GET /growth?size=N                                the root of the first N checkpoints, and a proof to the last
//	GET /tenants/{tenant}/sighting?global=N&size=M&format=F
//	                                                  what a follower needs who last saw these sizes and knows a format
//	GET /tenants/{tenant}/checkpoint                  a checkpoint of the tenant's tree, for readers of tlog-tiles
//	GET /tenants/{tenant}/tile/…                      hashes and entries of the tenant's tree
//	GET /tenants/{tenant}/events/{from}?count=N&explained=1
//	                                                  bytes of the tenant's events, without what receipts withhold
//
// The second copy, events/…, is not served: it contains what receipts withhold, and places in the stream.
package logserver

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"go.uber.org/zap"
)

// Log is ledger.Public.
type Log interface {
	Checkpoint() ([]byte, error)
	Growth(size int64) (ledger.Growth, error)
	Sighting(tenant string, global, size int64) (merkle.Sighting, error)
	Tile(tenant, path string) ([]byte, error)
	GlobalTile(path string) ([]byte, error)
	TenantCheckpoint(tenant string) ([]byte, error)
	Events(ctx context.Context, tenant string, from, count int64, explained bool) (merkle.Bundle, error)
}

// Server serves the log.
type Server struct {
	Log Log
	// Allow returns an error for tokens that do not allow seeing everything at the tenant.
	Allow  func(ctx context.Context, tenant, token string) error
	Logger *zap.Logger
}

const (
	slowest    = 10 * time.Second
	headerSize = 64 << 10 // bytes; a token fits
)

// Start serves until the returned function is called, which closes the listener.
func (s *Server) Start(listener net.Listener) (stop func() error) {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: slowest, ReadTimeout: slowest, WriteTimeout: slowest,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: headerSize, ErrorLog: zap.NewStdLog(s.Logger),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	s.Logger.Info("serving the log", zap.Stringer("at", listener.Addr()))
	return func() error {
		closed := server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return errors.Join(closed, err)
		}
		return closed
	}
}

// Handler returns the handler of all paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", s.answer(func(*http.Request) (answer, error) {
		signed, err := s.Log.Checkpoint()
		return answer{kind: note, body: signed}, err
	}))
	mux.HandleFunc("GET /tile/{path...}", s.answer(func(r *http.Request) (answer, error) {
		data, err := s.Log.GlobalTile("tile/" + r.PathValue("path"))
		return answer{kind: tile, body: data, public: true}, err
	}))
	mux.HandleFunc("GET /tenants/{tenant}/checkpoint", s.allowed(func(r *http.Request) (answer, error) {
		signed, err := s.Log.TenantCheckpoint(r.PathValue("tenant"))
		return answer{kind: note, body: signed}, err
	}))
	mux.HandleFunc("GET /growth", s.answer(func(r *http.Request) (answer, error) {
		size, err := number(r, "size")
		if err != nil {
			return answer{}, err
		}
		return document(s.Log.Growth(size))
	}))
	mux.HandleFunc("GET /tenants/{tenant}/sighting", s.allowed(func(r *http.Request) (answer, error) {
		global, err := number(r, "global")
		if err != nil {
			return answer{}, err
		}
		size, err := number(r, "size")
		if err != nil {
			return answer{}, err
		}
		format, err := number(r, "format")
		if err != nil {
			return answer{}, err
		}
		seen, err := s.Log.Sighting(r.PathValue("tenant"), global, size)
		if err == nil && int64(seen.Opening.Format()) > max(format, merkle.Format1) {
			return answer{}, errFormat
		}
		return document(seen, err)
	}))
	mux.HandleFunc("GET /tenants/{tenant}/tile/{path...}", s.allowed(func(r *http.Request) (answer, error) {
		data, err := s.Log.Tile(r.PathValue("tenant"), "tile/"+r.PathValue("path"))
		return answer{kind: tile, body: data}, err
	}))
	mux.HandleFunc("GET /tenants/{tenant}/events/{from}", s.allowed(func(r *http.Request) (answer, error) {
		from, err := strconv.ParseInt(r.PathValue("from"), 10, 64)
		if err != nil || strconv.FormatInt(from, 10) != r.PathValue("from") {
			return answer{}, ledger.ErrNoTree
		}
		count, err := number(r, "count")
		if err != nil {
			return answer{}, err
		}
		if count == 0 {
			count = merkle.MaxBundle
		}
		explained, err := number(r, "explained")
		if err != nil {
			return answer{}, err
		}
		return document(s.Log.Events(r.Context(), r.PathValue("tenant"), from, count, explained > 0))
	}))
	mux.HandleFunc("/", s.answer(func(*http.Request) (answer, error) { return answer{}, ledger.ErrNoTree }))
	return mux
}

// errFormat is for followers that do not say that they know the log's format: they would take it for a contradiction.
var errFormat = refusal.Invalid("format", "bad input",
	"this log is of format %d, which this program does not know: upgrade it", merkle.Format2)

const (
	note = "text/plain; charset=utf-8"
	tile = "application/octet-stream"
)

type answer struct {
	kind string
	body []byte
	// public: anybody may keep it, and it never changes.
	public bool
}

func document[T any](v T, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	body, err := json.Marshal(v)
	return answer{kind: "application/json", body: body}, err
}

// number parses an optional parameter; 0 if it is missing.
func number(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, refusal.OfKind(refusal.Invalid(name, "bad input", "is a size: a number from 0"), "tree-size")
	}
	return n, nil
}

// allowed serves callers who may see all of the tenant. What they may not see and what does not exist look the same
// (I9).
func (s *Server) allowed(get func(*http.Request) (answer, error)) http.HandlerFunc {
	return s.answer(func(r *http.Request) (answer, error) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer {
			return answer{}, refusal.Unauthenticated("Authorization", "I9", "a bearer token of the tenant's issuer is required")
		}
		if err := s.Allow(r.Context(), r.PathValue("tenant"), token); err != nil {
			return answer{}, err
		}
		return get(r)
	})
}

func (s *Server) answer(get func(*http.Request) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		a, err := get(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		h.Set("Content-Type", a.kind)
		if a.public {
			h.Set("Cache-Control", "public, max-age=604800, immutable")
		}
		_, _ = w.Write(a.body) // #nosec G705 -- never HTML; the client may have disconnected
	}
}

// statuses maps refusals to HTTP statuses. All others are 503: a failure must never read as a yes or a no.
var statuses = map[lockboxv1.RefusalCode]int{
	lockboxv1.RefusalCode_REFUSAL_CODE_INVALID:         http.StatusBadRequest,
	lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED: http.StatusUnauthorized,
	lockboxv1.RefusalCode_REFUSAL_CODE_FORBIDDEN:       http.StatusNotFound,
	lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND:       http.StatusNotFound,
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	message, status := "not available now", http.StatusServiceUnavailable
	var proof *merkle.ProofError
	refused, is := refusal.As(err)
	switch {
	case errors.Is(err, ledger.ErrNoTree), errors.As(err, &proof) && proof.Part == merkle.Format:
		message, status = "not found", http.StatusNotFound
	case errors.Is(err, ledger.ErrNone):
		message = "nothing was signed yet"
	case is && statuses[refused.GetCode()] == http.StatusNotFound:
		message, status = "not found", http.StatusNotFound
	case is && statuses[refused.GetCode()] != 0:
		message, status = refused.GetMessage(), statuses[refused.GetCode()]
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if status == http.StatusServiceUnavailable {
		s.Logger.Warn("serving the log failed", zap.String("pattern", r.Pattern), zap.Error(err))
	}
	http.Error(w, message, status)
}
