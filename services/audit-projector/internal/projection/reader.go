package projection

import (
	"context"
	"database/sql"
	"errors"
)

const (
	// readersAtOnce is the number of concurrent queries in SQLite.
	readersAtOnce = 8
	// mostStatements is the maximum number of prepared statements per reader, about 10 KiB each.
	mostStatements = 64
)

// reader is a connection for one snapshot at a time with its prepared statements: SQLite takes about as long to prepare
// a query as to run it. It is opened at first use.
type reader struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*statement
}

// readers hands them out in FIFO order, which database/sql's pool does not.
type readers chan *reader

func newReaders(db *sql.DB) readers {
	db.SetMaxOpenConns(readersAtOnce + 1) // plus one that examines the file
	all := make(readers, readersAtOnce)
	for range readersAtOnce {
		all <- &reader{db: db}
	}
	return all
}

// take returns the next reader; nil if the projection was closed.
func (all readers) take(ctx context.Context) (*reader, error) {
	select {
	case r := <-all:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close waits for the readers in use.
func (all readers) close() error {
	var errs []error
	for range readersAtOnce {
		errs = append(errs, (<-all).drop())
	}
	close(all)
	return errors.Join(errs...)
}

// drop closes the connection; the next use opens another.
func (r *reader) drop() error {
	if r.conn == nil {
		return nil
	}
	err := errors.Join(r.forget(), r.conn.Close())
	r.conn = nil
	return err
}

func (r *reader) forget() error {
	var errs []error
	for _, s := range r.statements {
		errs = append(errs, s.prepared.Close())
	}
	r.statements = map[string]*statement{}
	return errors.Join(errs...)
}

func (r *reader) statement(ctx context.Context, text string) (*statement, error) {
	if s, known := r.statements[text]; known {
		return s, nil
	}
	if r.conn == nil {
		conn, err := r.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		r.conn = conn
	}
	if len(r.statements) >= mostStatements || r.statements == nil {
		if err := r.forget(); err != nil {
			return nil, err
		}
	}
	prepared, err := r.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	r.statements[text] = &statement{prepared}
	return r.statements[text], nil
}

func (r *reader) exec(ctx context.Context, text string) error {
	s, err := r.statement(ctx, text)
	if err == nil {
		_, err = s.prepared.ExecContext(ctx)
	}
	return err
}

func (r *reader) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := r.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.prepared.QueryContext(ctx, args...)
}

// one reads a single value.
func (r *reader) one(ctx context.Context, text string, args []any, into any) error {
	s, err := r.statement(ctx, text)
	if err != nil {
		return err
	}
	return s.prepared.QueryRowContext(ctx, args...).Scan(into)
}
