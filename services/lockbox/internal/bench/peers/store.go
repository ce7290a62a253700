package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema.sql
var schema string

// store is the application: what a request goes through, each step one statement.
type store struct {
	cluster *cluster
	admin   *pgx.Conn
	pool    *pgxpool.Pool
	issuer  *issuer
	// writer signs the rows of the audit table, one by one.
	writer ed25519.PrivateKey
}

func newStore(ctx context.Context, c *cluster, connections int) (*store, error) {
	s := &store{cluster: c}
	var err error
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if s.admin, err = pgx.Connect(ctx, c.address(superuser)); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("the server does not answer: %w\n%s", err, c.servers[0].said)
		}
	}
	if _, err := s.admin.Exec(ctx, schema); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	config, err := pgxpool.ParseConfig(c.address(application))
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(connections) //nolint:gosec // G115: a few
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	if _, s.writer, err = ed25519.GenerateKey(nil); err != nil {
		return nil, err
	}
	s.issuer, err = newIssuer()
	return s, err
}

func (s *store) close() {
	s.pool.Close()
	_ = s.admin.Close(context.Background()) // the server is stopped next
}

func (s *store) version(ctx context.Context) (version string, err error) {
	err = s.admin.QueryRow(ctx, "select 'PostgreSQL ' || current_setting('server_version')").Scan(&version)
	return version, err
}

// The statements. Each is one command: the request's row and the audit's, durable when it returns. A row whose version
// is another one than expected is not touched, and so nothing is recorded.
const (
	submit = `with r as (
	insert into requests (id, tenant, version, status, body) values ($1, $2, 1, $3, $5) returning id)
insert into audit (request, version, type, actor, body, signature) select id, 1, $3, $4, $5, $6 from r`

	change = `with r as (
	update requests set version = version + 1, status = $3, changed_at = now()
	where id = $1 and version = $2 returning id, version)
insert into audit (request, version, type, actor, body, signature) select id, version, $3, $4, $5, $6 from r`

	changeWithTimer = `with r as (
	update requests set version = version + 1, status = $3, changed_at = now()
	where id = $1 and version = $2 returning id, version),
t as (
	insert into timers (request, due_at) select id, $7 from r
	on conflict (request) do update set due_at = excluded.due_at)
insert into audit (request, version, type, actor, body, signature) select id, version, $3, $4, $5, $6 from r`
)

// step is one of the five commands. Their bodies are as long as Lockbox's events.
type step struct {
	status string
	body   int
	// by is whose token comes with the command, due after how long the timer fires that it sets.
	by  string
	due time.Duration
}

var steps = []step{
	{"AccessRequested", 743, engineer, 0}, {"AccessEvaluated", 674, "", 0},
	{"CustomerNotified", 652, "", 4 * 24 * time.Hour},
	{"CustomerApproved", 473, approver, 0}, {"AccessGranted", 410, "", 8 * time.Hour},
}

// errConflict means that another command was first.
var errConflict = errors.New("the request has another version")

// do carries out the command that makes the given version of a request.
func (s *store) do(ctx context.Context, peer, token string, id uuid.UUID, version int) error {
	st, actor := steps[version-1], "system"
	body := make([]byte, st.body)
	copy(body, st.status)
	if st.by != "" {
		actor = st.by
	}
	if peer == equal && st.by != "" {
		if err := s.issuer.verify(token, st.by, time.Now()); err != nil {
			return err
		}
	}
	var signature []byte // null
	if peer == equal {
		signature = ed25519.Sign(s.writer, row(id, version, st.status, actor, body))
	}
	sql, args := change, []any{id, version - 1, st.status, actor, body, signature}
	switch {
	case version == 1:
		sql, args = submit, []any{id, "meadowbank", st.status, actor, body, signature}
	case peer == equal && st.due > 0:
		sql, args = changeWithTimer, append(args, time.Now().Add(st.due))
	}
	done, err := s.pool.Exec(ctx, sql, args...)
	if err != nil {
		return err
	}
	if done.RowsAffected() != 1 {
		return errConflict
	}
	return nil
}

// row is what is signed of a row of the audit table.
func row(id uuid.UUID, version int, typ, actor string, body []byte) []byte {
	return fmt.Appendf(nil, "peer/v1 row\n%s\n%d\n%q\n%q\n%x\n", id, version, typ, actor, sha256.Sum256(body))
}

// signed returns an error unless exactly the rows of a request are signed that have to be.
func (s *store) signed(ctx context.Context, peer string, id uuid.UUID) error {
	rows, err := s.pool.Query(ctx, "select version, type, actor, body, signature from audit where request = $1", id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var version int
		var typ, actor string
		var body, signature []byte
		if err := rows.Scan(&version, &typ, &actor, &body, &signature); err != nil {
			return err
		}
		public := s.writer.Public().(ed25519.PublicKey) //nolint:forcetypeassert,errcheck // it always is
		if peer == equal != ed25519.Verify(public, row(id, version, typ, actor, body), signature) {
			return fmt.Errorf("%s: row %d is signed with %x", peer, version, signature)
		}
	}
	return rows.Err()
}

// carry takes one request from intent to grant, and returns how long the approval took.
func (s *store) carry(ctx context.Context, peer string) (id uuid.UUID, decided time.Duration, err error) {
	if id, err = uuid.NewV7(); err != nil {
		return id, 0, err
	}
	for i, st := range steps {
		token := ""
		if peer == equal && st.by != "" {
			if token, err = s.issuer.token(st.by, time.Now()); err != nil {
				return id, 0, err
			}
		}
		begun := time.Now()
		if err := s.do(ctx, peer, token, id, i+1); err != nil {
			return id, 0, fmt.Errorf("%s: %w", st.status, err)
		}
		if st.by == approver {
			decided = time.Since(begun)
		}
	}
	return id, decided, nil
}

// ended says how a request ended, with the types of its audit rows and the number of its timers.
const ended = `select status,
	(select string_agg(type, ' ' order by version, seq) from audit where request = id),
	(select count(*) from timers where request = id)
from requests where id = $1`

// check tries both peers before anything is measured: a request ends granted with its five rows, in order; a bad token,
// a stale version and a change of the audit table are refused and leave nothing behind.
func (s *store) check(ctx context.Context) error {
	for _, peer := range []string{plain, equal} {
		id, _, err := s.carry(ctx, peer)
		if err != nil {
			return fmt.Errorf("%s: %w", peer, err)
		}
		var status, types string
		var timers int
		if err := s.pool.QueryRow(ctx, ended, id).Scan(&status, &types, &timers); err != nil {
			return err
		}
		const all = "AccessRequested AccessEvaluated CustomerNotified CustomerApproved AccessGranted"
		wanted := map[string]int{equal: 1}[peer]
		if status != "AccessGranted" || types != all || timers != wanted {
			return fmt.Errorf("%s: a request ends as %s with %s and %d timers", peer, status, types, timers)
		}
		if err := s.signed(ctx, peer, id); err != nil {
			return err
		}
		if err := s.do(ctx, peer, "", id, 3); !errors.Is(err, errConflict) {
			return fmt.Errorf("%s: a stale command is not refused as one (%v)", peer, err) //nolint:errorlint // it may be nil
		}
	}
	forger, err := newIssuer()
	if err != nil {
		return err
	}
	forged, err := forger.token(engineer, time.Now())
	if err != nil {
		return err
	}
	other, err := s.issuer.token(approver, time.Now())
	if err != nil {
		return err
	}
	old, err := s.issuer.token(engineer, time.Now().Add(-2*lifetime))
	if err != nil {
		return err
	}
	for _, token := range []string{"", forged, other, old} {
		id := uuid.New()
		if err := s.do(ctx, equal, token, id, 1); !errors.Is(err, errToken) {
			return fmt.Errorf("a bad token is not refused as one (%v)", err) //nolint:errorlint // it may be nil
		}
		rows := -1
		err := s.pool.QueryRow(ctx, "select count(*) from audit where request = $1", id).Scan(&rows)
		if err != nil || rows != 0 {
			return fmt.Errorf("a bad token left %d rows (%v)", rows, err) //nolint:errorlint // it may be nil
		}
	}
	for _, sql := range []string{"update audit set actor = 'nobody'", "delete from audit", "truncate audit"} {
		if _, err := s.pool.Exec(ctx, sql); err == nil {
			return fmt.Errorf("the audit table allows: %s", sql)
		}
	}
	return nil
}
