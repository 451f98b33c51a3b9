package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// OpenSQLite opens a file with another busy time-out than the service's.
func OpenSQLite(ctx context.Context, path string, busyTimeout time.Duration) (*Store, error) {
	e, err := openSQLite(ctx, path, busyTimeout)
	if err != nil {
		return nil, err
	}
	return newStore(e), nil
}

// ExecRaw runs a statement that is not one of the generated queries.
func ExecRaw(ctx context.Context, q *Queries, query string, args ...any) (pgconn.CommandTag, error) {
	return q.db.Exec(ctx, query, args...)
}

// QueryRaw asks for a row that is not one of the generated queries'.
func QueryRaw(ctx context.Context, q *Queries, query string, args ...any) pgx.Row {
	return q.db.QueryRow(ctx, query, args...)
}

// RecentSQLite is the check of SQLite's version.
func RecentSQLite(version string) bool { return recentSQLite(version) }

// WriterGroup is the most transactions that SQLite commits together.
const WriterGroup = writerGroup

// Dropped gives SQLite's writer a transaction whose caller leaves after the writer took it and before it began.
func Dropped(s *Store, fn func(*Queries) error) {
	j := &job{ctx: context.Background(), fn: fn, done: make(chan struct{})}
	j.state.Store(dropped)
	s.engine.(*sqliteEngine).writer.queue <- j
}

// MigrationLock is the number of the advisory lock of migrations.
const MigrationLock = int64(migrationLock)

// ConnectionsOpened is how many connections to PostgreSQL were opened.
func ConnectionsOpened(s *Store) int64 { return s.engine.(*postgres).pool.Stat().NewConnsCount() }
