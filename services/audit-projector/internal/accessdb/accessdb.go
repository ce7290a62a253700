// Package accessdb keeps access records (R69) where they can be searched: a file that is made from the stream ACCESS,
// and can be made again.
package accessdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite" // the driver
)

const (
	fileName = "access.db"
	// version must be increased whenever the same records would be written differently.
	version = 1
	// batch is the largest number of records that are written together.
	batch = 500
	// readers limits the queries at once.
	readers = 4
	// pause is the time before the stream is read again after an error.
	pause = time.Second
	// expireEvery is how often records that are too old are deleted.
	expireEvery = time.Hour
)

const schema = `
CREATE TABLE records (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,   -- a record that was written twice is shown once
	tenant TEXT NOT NULL,
	time INTEGER NOT NULL,     -- nanoseconds since 1970
	kind INTEGER NOT NULL,
	side INTEGER NOT NULL,     -- of whoever it was; 0: not known
	name TEXT NOT NULL,        -- in lower case, for the filter
	subject TEXT NOT NULL,
	bytes BLOB NOT NULL
);
CREATE INDEX records_by_tenant ON records (tenant, seq);
CREATE INDEX records_by_time ON records (time);
CREATE TABLE stream (created TEXT NOT NULL, last INTEGER NOT NULL);
INSERT INTO stream VALUES ('', 0);
`

// Source is *journal.Journal.
type Source interface {
	ReplayAccess(ctx context.Context, from uint64, follow bool, handle func(journal.AccessEntry) error) error
	AccessStream(ctx context.Context) (created string, last uint64, err error)
}

// DB is an open file of access records.
type DB struct {
	path string
	now  func() time.Time
	log  *zap.Logger
	db   atomic.Pointer[sql.DB]
	// complete is set once everything is read that was in the stream at the start.
	complete atomic.Bool
}

// New returns the access records in dir. Nothing is listed before Run has read the stream.
func New(dir string, now func() time.Time, log *zap.Logger) *DB {
	return &DB{path: filepath.Join(dir, fileName), now: now, log: log}
}

// Run follows the stream until ctx ends. A file that cannot be used is made again.
func (d *DB) Run(ctx context.Context, from Source) {
	defer d.close()
	var expiring sync.WaitGroup
	defer expiring.Wait()
	expiring.Go(func() { d.expire(ctx) })
	for ctx.Err() == nil {
		err := d.follow(ctx, from)
		if ctx.Err() != nil {
			return
		}
		d.log.Warn("access records cannot be read now", zap.Error(err))
		var broken *fileError
		if errors.As(err, &broken) {
			d.discard()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// fileError is about the file, and not about the stream.
type fileError struct{ error }

func inFile(err error) error {
	if err == nil {
		return nil
	}
	return &fileError{fmt.Errorf("accessdb: %w", err)}
}

func (d *DB) follow(ctx context.Context, from Source) error {
	created, end, err := from.AccessStream(ctx)
	if err != nil {
		return err
	}
	last, err := d.open(ctx, created)
	if err != nil {
		return inFile(err)
	}
	d.complete.Store(last >= end)
	var waiting []journal.AccessEntry
	return from.ReplayAccess(ctx, last+1, true, func(e journal.AccessEntry) error {
		if waiting = append(waiting, e); e.Pending > 0 && len(waiting) < batch {
			return nil
		}
		if err := d.write(ctx, waiting); err != nil {
			return inFile(err)
		}
		waiting = nil
		if e.Seq >= end {
			d.complete.Store(true)
		}
		return nil
	})
}

// open returns the sequence up to which the file has the records of that stream.
func (d *DB) open(ctx context.Context, created string) (last uint64, err error) {
	db := d.db.Load()
	if db == nil {
		if db, err = d.openFile(ctx); err != nil {
			return 0, err
		}
		d.db.Store(db)
	}
	var of string
	if err := db.QueryRowContext(ctx, "SELECT created, last FROM stream").Scan(&of, &last); err != nil || of == created {
		return last, err
	}
	// Another stream, or none yet.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "DELETE FROM records"); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE stream SET created = ?, last = 0", created); err != nil {
		return 0, err
	}
	return 0, tx.Commit()
}

func (d *DB) openFile(ctx context.Context) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(d.path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite creates its other files with this mode
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(d.path)
	if err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": {"busy_timeout(5000)",
		"journal_mode(WAL)", "synchronous(NORMAL)", "secure_delete(1)"}}.Encode()}
	db, err := sql.Open("sqlite", at.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers + 1)
	var is int
	if err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&is); err == nil && is != version {
		_, err = db.ExecContext(ctx, fmt.Sprintf("BEGIN;%sPRAGMA user_version = %d;COMMIT", schema, version))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// expire deletes what is too old, now and every hour, until ctx ends. The stream does so by itself.
func (d *DB) expire(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		d.deleteOld(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *DB) deleteOld(ctx context.Context) {
	db := d.db.Load()
	if db == nil {
		return
	}
	_, err := db.ExecContext(ctx, "DELETE FROM records WHERE time < ?", d.oldest())
	if err != nil && ctx.Err() == nil {
		d.log.Warn("old access records could not be deleted; trying again in an hour", zap.Error(err))
	}
}

// oldest is the time before which nothing is kept.
func (d *DB) oldest() int64 { return d.now().Add(-bus.AccessAge).UnixNano() }

// write stores records.
func (d *DB) write(ctx context.Context, entries []journal.AccessEntry) error {
	tx, err := d.db.Load().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, e := range entries {
		r := e.Record
		if r == nil {
			continue
		}
		data, err := proto.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", e.Seq, r.GetId(),
			r.GetTenant(), r.GetTime().AsTime().UnixNano(), r.GetKind(), r.GetWho().GetSide(),
			activity.Name(r.GetWho().GetName()), activity.Name(r.GetWho().GetSubject()), data); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE stream SET last = ?", entries[len(entries)-1].Seq); err != nil {
		return err
	}
	return tx.Commit()
}

func (d *DB) close() {
	if db := d.db.Swap(nil); db != nil {
		if err := db.Close(); err != nil {
			d.log.Warn("closing the access records", zap.Error(err))
		}
	}
}

func (d *DB) discard() {
	d.complete.Store(false)
	d.close()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(d.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("removing the access records", zap.Error(err))
		}
	}
}

// Filter selects records. Empty fields match any.
type Filter struct {
	// Tenant whose records are listed; empty: all, and those of no tenant.
	Tenant string
	Kinds  []lockboxv1.AccessKind
	// Since and Until bound the time; Until is exclusive.
	Since, Until time.Time
	// Person is a display name or a subject, in any case.
	Person string
	// ProviderOnly leaves only what the provider's people did. NotReadsOf leaves out what the people of a side have read
	// and taken away.
	ProviderOnly bool
	NotReadsOf   lockboxv1.Side
	// Before selects records before this sequence; 0: the newest.
	Before uint64
}

// Record is a record with its sequence.
type Record struct {
	Sequence uint64
	*lockboxv1.AccessRecord
}

// List returns the newest records that match.
func (d *DB) List(ctx context.Context, f Filter, limit int) (list []Record, err error) {
	db := d.db.Load()
	if db == nil || !d.complete.Load() {
		return nil, refusal.OfKind(
			refusal.Unavailable("", "I11", "the access records are still being read"),
			"being-built")
	}
	// What is too old is not shown, even if it has not been deleted yet.
	where, args := []string{"+time >= ?"}, []any{d.oldest()} // with +, no index is searched for it
	and := func(term string, values ...any) { where, args = append(where, term), append(args, values...) }
	if f.Tenant != "" {
		and("tenant = ?", f.Tenant)
	}
	if len(f.Kinds) > 0 {
		kinds := make([]any, len(f.Kinds))
		for i, k := range f.Kinds {
			kinds[i] = int32(k)
		}
		and("kind IN (?"+strings.Repeat(",?", len(kinds)-1)+")", kinds...)
	}
	if !f.Since.IsZero() {
		and("time >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		and("time < ?", f.Until.UnixNano())
	}
	if f.Person != "" {
		name := activity.Name(f.Person)
		and("(name = ? OR subject = ?)", name, name)
	}
	if f.ProviderOnly {
		and("side = ?", int32(lockboxv1.Side_SIDE_PROVIDER))
	}
	if f.NotReadsOf != lockboxv1.Side_SIDE_UNSPECIFIED {
		and("NOT (side = ? AND kind IN (?, ?))", int32(f.NotReadsOf), int32(lockboxv1.AccessKind_ACCESS_KIND_READ),
			int32(lockboxv1.AccessKind_ACCESS_KIND_EXPORT))
	}
	if f.Before > 0 {
		and("seq < ?", f.Before)
	}
	rows, err := db.QueryContext(ctx, "SELECT seq, bytes FROM records WHERE "+ // #nosec G202 -- constant terms
		strings.Join(where, " AND ")+" ORDER BY seq DESC LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var data []byte
		r := Record{AccessRecord: new(lockboxv1.AccessRecord)}
		if err := rows.Scan(&r.Sequence, &data); err != nil {
			return nil, err
		}
		if err := proto.Unmarshal(data, r.AccessRecord); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
