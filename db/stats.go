package db

import (
	"context"
	"fmt"
	"time"
)

// Stats is how busy the database's connections are. Counts are since the start.
type Stats struct {
	// Pool is PostgreSQL's pool, or SQLite's pool of readers.
	Pool PoolStats
	// Writer is SQLite's; nil on PostgreSQL.
	Writer *WriterStats
}

// PoolStats describes a pool of connections.
type PoolStats struct {
	Most, Used, Idle int
	Waits            int64 // acquisitions that had to wait
	Waited           time.Duration
}

// WriterStats describes the goroutine through which all writes of SQLite go.
type WriterStats struct {
	Waiting      int64 // transactions that wait for their turn or are under way
	Groups       int64 // commits
	Transactions int64 // that were committed in them, or failed
}

// Stats tells how busy the database's connections are. It asks the database nothing.
func (s *Store) Stats() Stats {
	return s.engine.stats()
}

func (p *postgres) stats() Stats {
	s := p.pool.Stat()
	return Stats{Pool: PoolStats{
		Most: int(s.MaxConns()), Used: int(s.AcquiredConns()), Idle: int(s.IdleConns()),
		Waits: s.EmptyAcquireCount(), Waited: s.EmptyAcquireWaitTime(),
	}}
}

func (e *sqliteEngine) stats() Stats {
	s, w := e.readers.Stats(), e.writer
	return Stats{
		Pool: PoolStats{
			Most: s.MaxOpenConnections, Used: s.InUse, Idle: s.Idle, Waits: s.WaitCount, Waited: s.WaitDuration,
		},
		Writer: &WriterStats{Waiting: w.waiting.Load(), Groups: w.groups.Load(), Transactions: w.transactions.Load()},
	}
}

// countExactly is how many rows are counted one by one.
const countExactly = 10_000

// CountAccounts and CountSessions tell how many rows there are: exactly up to 10,000, above that what PostgreSQL's statistics
// say, which its autovacuum keeps. SQLite has none, and counts through an index: a second for some ten million rows.
func (s *Store) CountAccounts(ctx context.Context) (int64, error) { return s.count(ctx, "account") }

// CountSessions is like CountAccounts.
func (s *Store) CountSessions(ctx context.Context) (int64, error) { return s.count(ctx, "session") }

func (s *Store) count(ctx context.Context, table string) (int64, error) {
	var n int64
	limited := fmt.Sprintf("-- name: CountRows :one\nSELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) AS counted", table, countExactly)
	err := s.read.db.QueryRow(ctx, limited).Scan(&n)
	if err == nil && n == countExactly {
		var estimated int64
		err = s.read.db.QueryRow(ctx, s.engine.estimate(table)).Scan(&estimated)
		n = max(n, estimated)
	}
	if err != nil {
		return 0, fmt.Errorf("count the rows of %s: %w", table, err)
	}
	return n, nil
}

func (p *postgres) estimate(table string) string {
	return fmt.Sprintf("-- name: EstimateRows :one\nSELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = '%s'::regclass", table)
}

func (e *sqliteEngine) estimate(table string) string {
	return fmt.Sprintf("-- name: CountRows :one\nSELECT count(*) FROM %s", table)
}
