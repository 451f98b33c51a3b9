// Package keep keeps the database small: now and then it forgets what is over.
//
// Every replica does so, and none needs to know of the others: what one has forgotten the next one does not find. A write
// takes away a few hundred rows at most, so that nobody waits for it.
package keep

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
)

const (
	// The first pass comes soon, so that a service that never runs for an hour forgets too.
	firstPass = time.Minute
	passEvery = time.Hour

	// batch is how many rows one look goes through, and one write forgets at most.
	batch = 500

	// margin is for clocks that differ or were wrong: what is over here is over everywhere. A clock that is 5 s ahead, or one beside
	// others that were set back by 10 min, forgets nothing that is alive; one that is behind forgets later. The same margin lets
	// a walk go by ids, which another replica's clock has made: a row whose id is younger than it should be is found an hour later.
	margin = time.Hour

	// keepDevices is how long a device is known that nobody logs in from. Clocks: it has no margin, and needs none among days.
	keepDevices = 180 * 24 * time.Hour
)

// House is what is kept. All fields are needed, except Now.
type House struct {
	Store *db.Store
	Log   *slog.Logger

	RefreshTTL    time.Duration // a session that is not refreshed for this long has ended
	SessionMaxAge time.Duration

	Now func() time.Time // the clock; time.Now if nil
}

// Run forgets what is over, now and then, until ctx ends.
func (h *House) Run(ctx context.Context) {
	for next := firstPass; ; next = passEvery {
		timer := time.NewTimer(next*9/10 + rand.N(next/5)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		h.Pass(ctx)
	}
}

// Pass forgets all that is over now. What fails is logged, and is there at the next pass.
func (h *House) Pass(ctx context.Context) {
	for _, job := range []struct {
		what string
		do   func(ctx context.Context, now time.Time) (int64, error)
	}{
		{"sessions", h.sessions},
		{"links", h.links},
		{"signups", h.signUps},
		{"devices", h.devices},
		{"limits", func(ctx context.Context, now time.Time) (int64, error) { return limit.Clean(ctx, h.Store, now) }},
		{"mails", func(ctx context.Context, now time.Time) (int64, error) { return mail.Clean(ctx, h.Store, now) }},
	} {
		forgotten, err := carefully(ctx, h.now(), job.do)
		if err != nil && ctx.Err() == nil {
			h.Log.WarnContext(ctx, "housekeeping.failed", slog.String("what", job.what), slog.Any("error", err))
		}
		if forgotten > 0 {
			h.Log.InfoContext(ctx, "housekeeping.forgot", slog.String("what", job.what), slog.Int64("rows", forgotten))
		}
	}
}

// carefully makes an error of a panic, so that it ends one job and not the process (ASVS 16.5.4).
func carefully(
	ctx context.Context, now time.Time, do func(ctx context.Context, now time.Time) (int64, error),
) (forgotten int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do(ctx, now)
}

// sessions that can not be refreshed any more. The oldest of the others are looked at too: no index tells them apart.
func (h *House) sessions(ctx context.Context, now time.Time) (int64, error) {
	refreshed, created := now.Add(-h.RefreshTTL-margin), now.Add(-h.SessionMaxAge-margin)
	youngest := refreshed
	if created.After(youngest) {
		youngest = created
	}
	return h.walk(ctx, func(ctx context.Context, q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListSessionIDsBefore(ctx, db.ListSessionIDsBeforeParams{After: after, Before: db.FirstIDAt(youngest), MaxRows: batch})
	}, func(ctx context.Context, q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredSessions(ctx, db.DeleteExpiredSessionsParams{
			First: first, Last: last, RefreshedBefore: refreshed, CreatedBefore: created,
		})
	})
}

func (h *House) links(ctx context.Context, now time.Time) (int64, error) {
	return h.walk(ctx, func(ctx context.Context, q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListConfirmationIDs(ctx, db.ListConfirmationIDsParams{After: after, MaxRows: batch})
	}, func(ctx context.Context, q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredConfirmations(ctx, db.DeleteExpiredConfirmationsParams{First: first, Last: last, Before: now.Add(-margin)})
	})
}

// signUps that nobody confirmed in time, with their links and mails. Their invites had their uses back when they lapsed.
func (h *House) signUps(ctx context.Context, now time.Time) (int64, error) {
	before := now.Add(-margin)
	return h.walk(ctx, func(ctx context.Context, q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListExpiredSignUps(ctx, db.ListExpiredSignUpsParams{After: after, Before: &before, MaxRows: batch})
	}, func(ctx context.Context, q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredSignUps(ctx, db.DeleteExpiredSignUpsParams{First: first, Last: last, Before: &before})
	})
}

func (h *House) devices(ctx context.Context, now time.Time) (int64, error) {
	before := now.Add(-keepDevices)
	return h.walk(ctx, func(ctx context.Context, q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListDeviceIDsBefore(ctx, db.ListDeviceIDsBeforeParams{After: after, Before: db.FirstIDAt(before), MaxRows: batch})
	}, func(ctx context.Context, q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteStaleDevices(ctx, db.DeleteStaleDevicesParams{First: first, Last: last, Before: before})
	})
}

// walk goes through a table in the order of its ids, and forgets what is over of each batch.
func (h *House) walk(
	ctx context.Context,
	list func(ctx context.Context, q *db.Queries, after uuid.UUID) ([]uuid.UUID, error),
	forget func(ctx context.Context, q *db.Queries, first, last uuid.UUID) (int64, error),
) (forgotten int64, err error) {
	var after uuid.UUID
	for {
		ids, err := list(ctx, h.Store.Read(), after)
		if err != nil {
			return forgotten, fmt.Errorf("look: %w", err)
		}
		if len(ids) == 0 {
			return forgotten, nil
		}
		after = ids[len(ids)-1]
		var n int64
		err = h.Store.Write(ctx, func(q *db.Queries) (err error) {
			n, err = forget(ctx, q, ids[0], after)
			return err
		})
		if err != nil {
			return forgotten, fmt.Errorf("forget: %w", err)
		}
		forgotten += n
	}
}

// now is the time in the precision in which both databases keep it.
func (h *House) now() time.Time {
	now := time.Now
	if h.Now != nil {
		now = h.Now
	}
	return now().UTC().Truncate(time.Microsecond)
}
