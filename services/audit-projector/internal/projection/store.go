// Package projection stores the stream of events in a form that can be queried: one SQLite file with every event and
// what it concerns, and the current requests and tickets. It has one writer, in stream order, and many readers. The
// file is disposable: if anything is wrong with it, it is discarded and rebuilt from the stream. Access control is not
// part of this package.
package projection

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/openlockbox/lockbox/pkg/cache"
	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	fileName = "projection.db"
	// busyTimeout is how long one connection waits for another, in milliseconds.
	busyTimeout = "5000"
)

// ErrUnusable says that the file cannot be used: it is damaged, of another schema, or of another stream.
var ErrUnusable = errors.New("the projection cannot be used")

// Options configures a Store.
type Options struct {
	Log *zap.Logger
	// Contradiction is called with each event that contradicts its history; it may be nil.
	Contradiction func(*lockboxv1.Event)
	// Details decrypts what can be erased of events; nil: nothing can be decrypted.
	Details Details
}

// Store is an open projection.
type Store struct {
	path    string
	log     *zap.Logger
	lock    *os.File
	details Details

	writing, reading *sql.DB
	all              readers // nil until the projection is complete
	writer           *writer
	// applying is held while something is written.
	applying sync.Mutex

	// mu makes a commit and its publication atomic for readers.
	mu sync.RWMutex
	known
	moved chan struct{}

	folds   folds
	tally   *tally
	damaged chan error
}

// known is the writer's state that readers share: the sequence, and what is small enough to be held in memory. It is
// immutable; each commit replaces it.
type known struct {
	sequence  uint64
	customers map[string]*Customer
	catalogue policy.Published
}

// Open opens the projection in dir, readable by its owner only, or begins a new one. It discards a file that cannot be
// used. An error is about the directory: it is not writable, or another process uses it.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	s := &Store{
		path: filepath.Join(dir, fileName), log: o.Log, moved: make(chan struct{}), damaged: make(chan error, 1),
		folds: folds{known: cache.New[uint64, request.State](rememberedFolds)}, details: o.Details,
	}
	if s.details == nil {
		s.details = closed{}
	}
	var err error
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	err = s.open(ctx, o.Contradiction)
	if err = s.orFull(err); err != nil && ctx.Err() == nil && !durable.Full(err) {
		s.log.Warn("the projection is thrown away and made again", zap.Error(err))
		if err = s.remove(); err == nil {
			err = s.open(ctx, o.Contradiction)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("projection: %w", err), s.lock.Close())
	}
	return s, nil
}

// Discard closes the projection and removes its file.
func (s *Store) Discard() error {
	err := errors.Join(s.closeFiles(), s.remove())
	return errors.Join(err, s.lock.Close())
}

// Close closes the file after all readers have finished.
func (s *Store) Close() error {
	return errors.Join(s.closeFiles(), s.lock.Close())
}

// lockDir keeps other processes from using the same file. The operating system releases the lock with the process.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("projection: %s is in use by another process: %w", dir, err), lock.Close())
	}
	return lock, nil
}

func (s *Store) open(ctx context.Context, contradiction func(*lockboxv1.Event)) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	// SQLite creates its other files with the mode of this one.
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if s.writing, err = s.database("busy_timeout(" + busyTimeout + ")"); err != nil {
		return err
	}
	s.writing.SetMaxOpenConns(1)
	building, err := begin(ctx, s.writing)
	if err != nil {
		return err
	}
	s.tally = newTally()
	if s.writer, err = newWriter(ctx, s, building, contradiction); err != nil {
		return err
	}
	s.known = s.writer.publish()
	if building {
		close(s.tally.ready)
		return nil
	}
	if err := s.openForReading(); err != nil {
		return err
	}
	v, err := s.Snapshot(ctx) // now, so that questions that wait for it cannot have taken all readers
	if err == nil {
		go s.readTally(context.WithoutCancel(ctx), v)
	}
	return err
}

func (s *Store) openForReading() (err error) {
	if s.reading, err = s.database("query_only(1)", "busy_timeout("+busyTimeout+")"); err == nil {
		s.all = newReaders(s.reading)
	}
	return err
}

func (s *Store) database(pragmas ...string) (*sql.DB, error) {
	path, err := filepath.Abs(s.path)
	if err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return sql.Open("sqlite", at.String())
}

// begin creates the tables of a new file, or rejects a file of another version or one that was never completed.
func begin(ctx context.Context, db *sql.DB) (building bool, err error) {
	var application, version, objects int64
	for pragma, into := range map[string]*int64{"PRAGMA application_id": &application, "PRAGMA user_version": &version,
		"SELECT count(*) FROM sqlite_schema": &objects} {
		if err := db.QueryRowContext(ctx, pragma).Scan(into); err != nil {
			return false, err
		}
	}
	switch {
	case application == applicationID && version == schemaVersion():
		return false, nil
	case application == applicationID && version == 0:
		return false, fmt.Errorf("%w: it was never completed", ErrUnusable)
	case application != 0 || version != 0 || objects != 0:
		return false, fmt.Errorf("%w: it is of another version", ErrUnusable)
	}
	_, err = db.ExecContext(ctx, "PRAGMA application_id = "+strconv.Itoa(applicationID)+";"+tables)
	return true, err
}

func (s *Store) closeFiles() error {
	var errs []error
	if all, err := s.readers(); err == nil {
		errs = append(errs, all.close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	for _, db := range []*sql.DB{s.reading, s.writing} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	s.writer, s.reading, s.writing, s.all = nil, nil, nil, nil
	return errors.Join(errs...)
}

func (s *Store) remove() error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(s.path + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Sequence returns the sequence of the last committed event; 0 if the projection is empty.
func (s *Store) Sequence() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sequence
}

// Wait returns once the projection has reached sequence, or with the error of ctx.
func (s *Store) Wait(ctx context.Context, sequence uint64) error {
	for {
		s.mu.RLock()
		reached, moved := s.sequence >= sequence, s.moved
		s.mu.RUnlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Apply commits a batch of events that follow the last one in the stream, together with the new cursor, atomically.
// After an error the Store must not be used any more.
func (s *Store) Apply(ctx context.Context, batch []Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A cancellable context costs a goroutine for each of many small statements.
	ctx = context.WithoutCancel(ctx)
	s.applying.Lock()
	defer s.applying.Unlock()
	if err := s.writer.apply(ctx, batch); err != nil {
		return s.checked(err)
	}
	return s.commit(ctx)
}

// commit ends the writer's transaction and publishes what it wrote.
func (s *Store) commit(ctx context.Context) error {
	s.mu.Lock()
	if err := s.writer.commit(ctx); err != nil {
		s.mu.Unlock()
		return s.checked(err)
	}
	s.known = s.writer.publish()
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
	return s.checked(s.forgotten(ctx))
}

// Building reports whether the projection is new and cannot be read before Complete.
func (s *Store) Building() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.reading == nil
}

// Complete ends the build of a new projection, once it contains everything that was in the stream when the build began.
// A projection that was not completed is discarded at the next start.
func (s *Store) Complete(ctx context.Context) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading != nil {
		return nil
	}
	if err := s.writer.finish(ctx); err != nil {
		return s.checked(err)
	}
	if err := durable.Sync(s.path); err != nil {
		return err
	}
	if err := s.writer.release(ctx); err != nil {
		return s.checked(err)
	}
	s.known = s.writer.publish()
	return errors.Join(s.openForReading(), s.checked(s.forgotten(ctx)))
}

// Event returns the stored bytes of one event; nil if it does not exist.
func (s *Store) Event(ctx context.Context, sequence uint64) (data []byte, err error) {
	v, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	err = v.one(ctx, "SELECT bytes FROM stored WHERE seq = ?", []any{sequence}, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return data, s.checked(err)
}

// Examine reads the whole file, checks its indexes against its tables, and reports damage to Damaged.
func (s *Store) Examine(ctx context.Context) error {
	var verdict string
	if err := s.reading.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return s.checked(err)
	}
	if verdict != "ok" {
		err := fmt.Errorf("%w: %s", ErrUnusable, verdict)
		s.report(err)
		return err
	}
	return nil
}

// Comparison compares the stored events with those of the stream, in order.
type Comparison struct {
	store *Store
	view  *Snapshot
	rows  *sql.Rows
}

// Compare begins a comparison, which must be closed.
func (s *Store) Compare(ctx context.Context) (*Comparison, error) {
	v, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := v.query(ctx, "SELECT seq, bytes FROM stored ORDER BY seq") //nolint:rowserrcheck // checked in Next
	if err != nil {
		return nil, errors.Join(s.checked(err), v.Close())
	}
	return &Comparison{s, v, rows}, nil
}

// Next compares the next event of the stream, unless the projection had not reached it yet. It reports a difference to
// Damaged.
func (c *Comparison) Next(sequence uint64, data []byte) error {
	if sequence > c.view.Sequence() {
		return nil
	}
	var own uint64
	var stored []byte
	for own < sequence && c.rows.Next() {
		if err := c.rows.Scan(&own, &stored); err != nil {
			return c.store.checked(err)
		}
	}
	if err := c.rows.Err(); err != nil {
		return c.store.checked(err)
	}
	if own != sequence || !bytes.Equal(stored, data) {
		err := fmt.Errorf("%w: event %d differs from the stream", ErrUnusable, sequence)
		c.store.report(err)
		return err
	}
	return nil
}

// Close ends the comparison.
func (c *Comparison) Close() error { return errors.Join(c.rows.Close(), c.view.Close()) }

// Damaged receives one error when damage to the file is found.
func (s *Store) Damaged() <-chan error { return s.damaged }

func (s *Store) report(err error) {
	select {
	case s.damaged <- err:
	default:
	}
}

// leastSpace is below what SQLite needs for a file beside the projection.
const leastSpace = 1 << 20

// orFull makes an error that durable.Full knows of SQLite's that the disk is full. It does not say so of all its files.
func (s *Store) orFull(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	full := false
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		full = true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		space, failed := durable.SpaceIn(filepath.Dir(s.path))
		full = failed == nil && space.Free < leastSpace
	}
	if full {
		return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
	}
	return err
}

// checked reports damage and wraps it in ErrUnusable.
func (s *Store) checked(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	if code := e.Code() & 0xff; code != sqlite3.SQLITE_CORRUPT && code != sqlite3.SQLITE_NOTADB {
		return s.orFull(err)
	}
	err = fmt.Errorf("%w: %w", ErrUnusable, err)
	s.report(err)
	return err
}
