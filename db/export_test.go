package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// OpenSQLite opens a file with a given busy timeout.
func OpenSQLite(ctx context.Context, path string, busyTimeout time.Duration) (*Store, error) {
	e, err := openSQLite(ctx, path, busyTimeout)
	if err != nil {
		return nil, err
	}
	return newStore(e), nil
}

// ExecRaw runs a statement that is not a generated query.
func ExecRaw(ctx context.Context, q *Queries, query string, args ...any) (pgconn.CommandTag, error) {
	return q.db.Exec(ctx, query, args...)
}

// QueryRaw runs a query for one row that is not a generated query.
func QueryRaw(ctx context.Context, q *Queries, query string, args ...any) pgx.Row {
	return q.db.QueryRow(ctx, query, args...)
}

// HasWALResetFix is the check of SQLite's version.
func HasWALResetFix(version string) bool { return hasWALResetFix(version) }

// WriterMaxGroup is the maximum number of transactions in one commit of SQLite.
const WriterMaxGroup = writerMaxGroup

// SendAbandoned passes to SQLite's writer a transaction whose caller leaves after the writer received it and before it begins.
func SendAbandoned(s *Store, fn func(*Queries) error) {
	j := &job{ctx: context.Background(), fn: fn, done: make(chan struct{})}
	j.state.Store(jobAbandoned)
	s.engine.(*sqliteEngine).writer.queue <- j
}

// MigrationLock is the key of the advisory lock of migrations.
const MigrationLock = int64(migrationLock)

// ConnectionsOpened returns how many connections to PostgreSQL were opened.
func ConnectionsOpened(s *Store) int64 { return s.engine.(*postgres).pool.Stat().NewConnsCount() }

// ExpireProbe makes the next Ping of an SQLite store write again.
func ExpireProbe(s *Store) {
	p := &s.engine.(*sqliteEngine).lastProbe
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = time.Time{}
}
