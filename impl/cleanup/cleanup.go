// Package cleanup deletes rows whose retention has ended: expired sessions, links and sign-ups, users who
// asked for their deletion, devices, limits and mails.
//
// Every replica does so on its own; replicas need no coordination, because a row is deleted once. Each write deletes a few hundred rows
// at most, so that requests do not wait for it.
package cleanup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/recovery"
	"github.com/financelime/authorization/impl/userdata"
)

const (
	// The first run comes soon, so that a service that never runs for an hour cleans up too.
	firstRun = time.Minute
	interval = time.Hour

	// margin tolerates clocks that differ or were wrong: a row is deleted when it has expired by all clocks. A clock that is 5 s ahead, or
	// one beside others that were set back by 10 min, deletes nothing that is alive; one that is behind deletes later. The same margin
	// covers walks by IDs that another replica's clock made: a row whose ID is too young is found an hour later.
	margin = time.Hour

	// deviceRetention starts at the last login from the device. Clocks that differ do not matter for 180 days.
	deviceRetention = 180 * 24 * time.Hour

	// totpRetention is how long a TOTP secret is stored that the user has not confirmed.
	totpRetention = 24 * time.Hour
)

// Cleaner deletes expired rows. All fields are required, except Clock.
type Cleaner struct {
	Store *db.Store
	Log   *slog.Logger

	RefreshTTL    time.Duration // a session that was not refreshed for this long has expired
	SessionMaxAge time.Duration

	Clock clock.Clock
}

// Run calls RunOnce about every hour until ctx ends.
func (c *Cleaner) Run(ctx context.Context) {
	for next := firstRun; ; next = interval {
		timer := time.NewTimer(next*9/10 + rand.N(next/5)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		c.RunOnce(ctx)
	}
}

// RunOnce deletes all rows that have expired now. It logs a job that fails; the next run tries again.
func (c *Cleaner) RunOnce(ctx context.Context) {
	for _, job := range []struct {
		what string
		do   func(ctx context.Context, now time.Time) (int64, error)
	}{
		{"sessions", c.deleteSessions},
		{"links", c.deleteLinks},
		{"confirmations", c.deleteConfirmations},
		{"signups", c.deleteSignUps},
		{"users", c.deleteClosedAccounts},
		{"devices", c.deleteDevices},
		{"totp", c.deleteBegunTOTP},
		{"challenges", c.deleteUsedChallenges},
		{"limits", func(ctx context.Context, now time.Time) (int64, error) { return limit.DeleteOld(ctx, c.Store, now) }},
		{"mails", func(ctx context.Context, now time.Time) (int64, error) { return mail.DeleteOld(ctx, c.Store, now) }},
	} {
		deleted, err := recovered(ctx, c.Clock.Now(), job.do)
		if err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "cleanup.failed", slog.String("what", job.what), slog.Any("error", err))
		}
		if deleted > 0 {
			c.Log.InfoContext(ctx, "cleanup.deleted", slog.String("what", job.what), slog.Int64("rows", deleted))
		}
	}
}

// recovered turns a panic into an error, so that it ends one job and not the process (ASVS 16.5.4).
func recovered(
	ctx context.Context, now time.Time, do func(ctx context.Context, now time.Time) (int64, error),
) (deleted int64, err error) {
	defer recovery.ToError(&err)
	return do(ctx, now)
}

// deleteSessions deletes sessions that can no longer be refreshed. It reads all sessions that are old enough to have expired: refreshed_at
// has no index.
func (c *Cleaner) deleteSessions(ctx context.Context, now time.Time) (int64, error) {
	refreshed, created := now.Add(-c.RefreshTTL-margin), now.Add(-c.SessionMaxAge-margin)
	youngest := refreshed
	if created.After(youngest) {
		youngest = created
	}
	return db.DeleteInBatches(ctx, c.Store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListSessionIDsBefore(ctx, db.ListSessionIDsBeforeParams{After: after, Before: db.FirstIDAt(youngest), MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredSessions(ctx, db.DeleteExpiredSessionsParams{
			First: first, Last: last, RefreshedBefore: refreshed, CreatedBefore: created,
		})
	})
}

func (c *Cleaner) deleteLinks(ctx context.Context, now time.Time) (int64, error) {
	return db.DeleteInBatches(ctx, c.Store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListLinkIDs(ctx, db.ListLinkIDsParams{After: after, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredLinks(ctx, db.DeleteExpiredLinksParams{First: first, Last: last, Before: now.Add(-margin)})
	})
}

func (c *Cleaner) deleteConfirmations(ctx context.Context, now time.Time) (int64, error) {
	return db.DeleteInBatches(ctx, c.Store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListConfirmationIDs(ctx, db.ListConfirmationIDsParams{After: after, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredConfirmations(ctx, db.DeleteExpiredConfirmationsParams{First: first, Last: last, Before: now.Add(-margin)})
	})
}

// deleteSignUps deletes sign-ups that were not confirmed in time, with their links and mails. The uses that they reserved of their invites
// became available when they expired.
func (c *Cleaner) deleteSignUps(ctx context.Context, now time.Time) (int64, error) {
	before := now.Add(-margin)
	return db.DeleteInBatches(ctx, c.Store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListExpiredSignUps(ctx, db.ListExpiredSignUpsParams{After: after, Before: &before, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteExpiredSignUps(ctx, db.DeleteExpiredSignUpsParams{First: first, Last: last, Before: &before})
	})
}

// deleteClosedAccounts deletes the users who asked for it and can no longer undo it. Each is a transaction of its own, because it locks an
// invite and an account. A user whose deletion fails does not prevent the others.
func (c *Cleaner) deleteClosedAccounts(ctx context.Context, now time.Time) (deleted int64, err error) {
	before, after := now.Add(-margin), uuid.Nil
	var failures []error
	for {
		ids, err := c.Store.Read().ListClosedAccounts(ctx, db.ListClosedAccountsParams{Before: &before, After: after, MaxRows: db.BatchRows})
		if err != nil {
			return deleted, errors.Join(append(failures, fmt.Errorf("list: %w", err))...)
		}
		if len(ids) == 0 {
			return deleted, errors.Join(failures...)
		}
		for _, id := range ids {
			done, err := c.deleteClosedAccount(ctx, id, before)
			if err != nil {
				failures = append(failures, fmt.Errorf("delete the user %s: %w", id, err))
			}
			if ctx.Err() != nil || errors.Is(err, db.ErrUnavailable) {
				return deleted, errors.Join(failures...)
			}
			if done {
				deleted++
				c.Log.InfoContext(ctx, "user.deleted", event.Account(id))
			}
		}
		after = ids[len(ids)-1]
	}
}

// deleteClosedAccount deletes a user, unless another replica has done so, the user has undone the deletion, or an operator has disabled them.
func (c *Cleaner) deleteClosedAccount(ctx context.Context, id uuid.UUID, before time.Time) (done bool, err error) {
	err = c.Store.InTx(ctx, func(q *db.Queries) error {
		done = false
		account, err := userdata.Lock(ctx, q, id)
		if errors.Is(err, db.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if account.DisabledAt == nil || account.ClosingUntil == nil || account.ClosingUntil.After(before) {
			return nil
		}
		_, err = userdata.Delete(ctx, q, account)
		done = err == nil
		return err
	})
	return done && err == nil, err
}

func (c *Cleaner) deleteDevices(ctx context.Context, now time.Time) (int64, error) {
	before := now.Add(-deviceRetention)
	return db.DeleteInBatches(ctx, c.Store, uuid.Nil, func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListDeviceIDsBefore(ctx, db.ListDeviceIDsBeforeParams{After: after, Before: db.FirstIDAt(before), MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteStaleDevices(ctx, db.DeleteStaleDevicesParams{First: first, Last: last, Before: before})
	})
}

// deleteUsedChallenges deletes the challenges of ceremonies that have expired. The margin is longer than the tolerance of the tokens of
// ceremonies, so a ceremony that is still accepted anywhere has its row.
func (c *Cleaner) deleteUsedChallenges(ctx context.Context, now time.Time) (int64, error) {
	before := now.Add(-margin)
	return db.DeleteInBatches(ctx, c.Store, []byte{}, func(q *db.Queries, after []byte) ([][]byte, error) {
		return q.ListUsedChallenges(ctx, db.ListUsedChallengesParams{Before: before, After: after, MaxRows: db.BatchRows})
	}, func(q *db.Queries, first, last []byte) (int64, error) {
		return q.DeleteUsedChallenges(ctx, db.DeleteUsedChallengesParams{First: first, Last: last, Before: before})
	})
}

// deleteBegunTOTP deletes the TOTP secrets that were not confirmed in time. The secret that such a one was to replace stays.
func (c *Cleaner) deleteBegunTOTP(ctx context.Context, now time.Time) (deleted int64, err error) {
	before := now.Add(-totpRetention - margin)
	list := func(q *db.Queries, after uuid.UUID) ([]uuid.UUID, error) {
		return q.ListTOTPAccounts(ctx, db.ListTOTPAccountsParams{After: after, Before: &before, MaxRows: db.BatchRows})
	}
	deleted, err = db.DeleteInBatches(ctx, c.Store, uuid.Nil, list, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.DeleteOldBegunTOTP(ctx, db.DeleteOldBegunTOTPParams{First: first, Last: last, Before: &before})
	})
	if err != nil {
		return deleted, err
	}
	forgotten, err := db.DeleteInBatches(ctx, c.Store, uuid.Nil, list, func(q *db.Queries, first, last uuid.UUID) (int64, error) {
		return q.ForgetOldPendingTOTP(ctx, db.ForgetOldPendingTOTPParams{First: first, Last: last, Before: &before})
	})
	return deleted + forgotten, err
}
