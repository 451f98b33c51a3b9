package db

import (
	"context"
	"fmt"
)

// maxExactCount is up to how many rows PostgreSQL counts exactly.
const maxExactCount = 10_000

// CountAccounts returns the number of accounts. PostgreSQL counts exactly up to 10,000 rows and returns the estimate of autovacuum above.
// SQLite has no estimate and always counts exactly, through an index: about a second for ten million rows.
func (s *Store) CountAccounts(ctx context.Context) (int64, error) { return s.count(ctx, "account") }

// CountSessions returns the number of sessions, as exactly as [Store.CountAccounts].
func (s *Store) CountSessions(ctx context.Context) (int64, error) { return s.count(ctx, "session") }

// CountSigningKeys returns the number of signing keys, in a database of any version. Every service that has run has one.
func (s *Store) CountSigningKeys(ctx context.Context) (int64, error) {
	return s.count(ctx, "signing_key")
}

func (s *Store) count(ctx context.Context, table string) (int64, error) {
	var n int64
	limited := fmt.Sprintf("-- name: CountRows :one\nSELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) AS counted", table, maxExactCount)
	err := s.read.db.QueryRow(ctx, limited).Scan(&n)
	if err == nil && n == maxExactCount {
		var estimated int64
		err = s.read.db.QueryRow(ctx, s.engine.countQuery(table)).Scan(&estimated)
		n = max(n, estimated)
	}
	if err != nil {
		return 0, fmt.Errorf("count the rows of %s: %w", table, err)
	}
	return n, nil
}

func (p *postgres) countQuery(table string) string {
	return fmt.Sprintf("-- name: EstimateRows :one\nSELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = '%s'::regclass", table)
}

func (e *sqliteEngine) countQuery(table string) string {
	return fmt.Sprintf("-- name: CountRows :one\nSELECT count(*) FROM %s", table)
}
