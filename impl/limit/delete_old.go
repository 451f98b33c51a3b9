package limit

import (
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

const (
	// deleteMargin tolerates replicas whose clocks are behind: a row is deleted when it has expired by all clocks.
	deleteMargin = time.Hour
	// failureRetention is how long failed logins with an address without an account are kept. Those of an account are kept until its next
	// successful login.
	failureRetention = 30 * 24 * time.Hour
)

// DeleteOld deletes rows that have no effect any more: limits whose whole quota is available, old failures with addresses without an
// account, and reservations of processes that were killed. It returns how many rows it deleted.
func DeleteOld(ctx context.Context, store *db.Store, now time.Time) (deleted int64, err error) {
	before := now.Add(-deleteMargin).UnixMicro()
	limits, err := db.DeleteInBatches(ctx, store, []byte{}, func(q *db.Queries, after []byte) ([][]byte, error) {
		return q.ListFullRateLimits(ctx, db.ListFullRateLimitsParams{After: after, Before: before, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last []byte) (int64, error) {
		return q.DeleteFullRateLimits(ctx, db.DeleteFullRateLimitsParams{First: first, Last: last, Before: before})
	})
	if err != nil {
		return limits, fmt.Errorf("delete full limits: %w", err)
	}
	failedBefore := now.Add(-failureRetention).UnixMicro()
	failures, err := db.DeleteInBatches(ctx, store, []byte{}, func(q *db.Queries, after []byte) ([][]byte, error) {
		return q.ListStaleLoginFailures(ctx, db.ListStaleLoginFailuresParams{After: after, Before: failedBefore, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last []byte) (int64, error) {
		return q.DeleteStaleLoginFailures(ctx, db.DeleteStaleLoginFailuresParams{First: first, Last: last, Before: failedBefore})
	})
	if err != nil {
		return limits + failures, fmt.Errorf("delete old login failures: %w", err)
	}
	var attempts int64
	err = store.Write(ctx, func(q *db.Queries) (err error) {
		attempts, err = q.DeleteExpiredLoginAttempts(ctx, before) // each killed process leaves a few
		return err
	})
	if err != nil {
		return limits + failures, fmt.Errorf("delete expired login attempts: %w", err)
	}
	return limits + failures + attempts, nil
}
