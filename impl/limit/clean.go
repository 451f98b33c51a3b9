package limit

import (
	"context"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

const (
	// cleanBatch is how many rows one write removes, so that none holds others up.
	cleanBatch = 500
	// cleanMargin is for replicas whose clocks are behind: what is over here is over everywhere.
	cleanMargin = time.Hour
	// keepFailures is for how long failed log-ins with an address that is nobody's are remembered. Those of an account stay
	// until it logs in.
	keepFailures = 30 * 24 * time.Hour
)

// Clean removes what says nothing any more: limits that have refilled, old failures with addresses that are nobody's, and log-ins whose
// process was killed. It counts the rows.
func Clean(ctx context.Context, store *db.Store, now time.Time) (removed int64, err error) {
	over := now.Add(-cleanMargin).UnixMicro()
	refilled, err := clean(ctx, store, func(q *db.Queries, after []byte) ([][]byte, error) {
		return q.ListFullRateLimits(ctx, db.ListFullRateLimitsParams{After: after, Before: over, MaxRows: cleanBatch})
	}, func(q *db.Queries, first, last []byte) (int64, error) {
		return q.DeleteFullRateLimits(ctx, db.DeleteFullRateLimitsParams{First: first, Last: last, Before: over})
	})
	if err != nil {
		return refilled, fmt.Errorf("remove refilled limits: %w", err)
	}
	before := now.Add(-keepFailures).UnixMicro()
	forgotten, err := clean(ctx, store, func(q *db.Queries, after []byte) ([][]byte, error) {
		return q.ListStaleLoginFailures(ctx, db.ListStaleLoginFailuresParams{After: after, Before: before, MaxRows: cleanBatch})
	}, func(q *db.Queries, first, last []byte) (int64, error) {
		return q.DeleteStaleLoginFailures(ctx, db.DeleteStaleLoginFailuresParams{First: first, Last: last, Before: before})
	})
	if err != nil {
		return refilled + forgotten, fmt.Errorf("forget failed log-ins: %w", err)
	}
	var lapsed int64
	err = store.Write(ctx, func(q *db.Queries) (err error) {
		lapsed, err = q.DeleteExpiredLoginAttempts(ctx, over) // a few for each process that was killed
		return err
	})
	if err != nil {
		return refilled + forgotten, fmt.Errorf("remove lapsed log-ins: %w", err)
	}
	return refilled + forgotten + lapsed, nil
}

// clean walks a table in the order of its keys, batch by batch.
func clean(
	ctx context.Context, store *db.Store,
	list func(q *db.Queries, after []byte) ([][]byte, error), remove func(q *db.Queries, first, last []byte) (int64, error),
) (removed int64, err error) {
	after := []byte{}
	for {
		keys, err := list(store.Read(), after)
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		after = keys[len(keys)-1]
		var n int64
		err = store.Write(ctx, func(q *db.Queries) (err error) {
			n, err = remove(q, keys[0], after)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
}
