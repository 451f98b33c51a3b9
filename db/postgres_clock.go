package db

import (
	"context"
	"fmt"
	"time"
)

// The one statement that asks for the server's clock. All others are given the time by the service.
const postgresClock = "-- name: ReadClock :one\nSELECT clock_timestamp()"

// ClockSkew measures by how much a clock is ahead of the database server's: the middle of the round trip is held against the answer,
// so the error is less than half of the time that it took. On SQLite there is no other clock, and known is false.
func (s *Store) ClockSkew(ctx context.Context, now func() time.Time) (skew time.Duration, known bool, err error) {
	if !s.engine.hasClock() {
		return 0, false, nil
	}
	var server time.Time
	asked := now()
	if err := s.read.db.QueryRow(ctx, postgresClock).Scan(&server); err != nil {
		return 0, false, fmt.Errorf("read the server's clock: %w", err)
	}
	tookHalf := now().Sub(asked) / 2
	return asked.Add(tookHalf).Sub(server), true, nil
}

func (p *postgres) hasClock() bool { return true }

func (e *sqliteEngine) hasClock() bool { return false }
