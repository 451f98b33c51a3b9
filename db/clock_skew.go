package db

import (
	"context"
	"fmt"
	"time"
)

// postgresClock is the only query that uses the server's clock. The service passes the time to all other queries.
const postgresClock = "-- name: ReadClock :one\nSELECT clock_timestamp()"

// ClockSkew returns how far the clock now is ahead of the database server's clock. It compares the server's time with the middle of the
// round trip, so the error is at most half of the round-trip time. On SQLite, which has no other clock, known is false.
func (s *Store) ClockSkew(ctx context.Context, now func() time.Time) (skew time.Duration, known bool, err error) {
	if !s.engine.hasClock() {
		return 0, false, nil
	}
	var server time.Time
	sent := now()
	if err := s.read.db.QueryRow(ctx, postgresClock).Scan(&server); err != nil {
		return 0, false, fmt.Errorf("read the server's clock: %w", err)
	}
	halfRoundTrip := now().Sub(sent) / 2
	return sent.Add(halfRoundTrip).Sub(server), true, nil
}

func (p *postgres) hasClock() bool { return true }

func (e *sqliteEngine) hasClock() bool { return false }
