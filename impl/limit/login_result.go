package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// RecordLoginSuccess ends a login whose password was right, in the transaction of the login. It releases the reservation and deletes the
// account's failures. It fails with [ErrReservationExpired].
func (l *Limits) RecordLoginSuccess(ctx context.Context, q *db.Queries, now time.Time, a LoginAttempt) error {
	if a.id == uuid.Nil {
		return nil
	}
	if err := a.deleteReservation(ctx, q, now); err != nil || a.accountID == nil {
		return err
	}
	if err := q.DeleteLoginFailures(ctx, a.accountID); err != nil {
		return fmt.Errorf("delete the failed logins: %w", err)
	}
	return nil
}

// RecordLoginFailure ends a login whose password was wrong. It releases the reservation and counts a failure: towards the limit of the
// client IP, the delay of the account, and the consecutive failures that switch a password off. It reports whether this failure switched
// the password off. If it fails with [ErrReservationExpired], the failure is counted nevertheless.
func (l *Limits) RecordLoginFailure(ctx context.Context, store *db.Store, now time.Time, a LoginAttempt) (switchedOff bool, err error) {
	if a.id == uuid.Nil {
		return false, nil
	}
	var expired error
	err = store.InTx(ctx, func(q *db.Queries) error {
		switchedOff = false
		if err := l.countClientIPFailure(ctx, q, now, a.clientIPQuota); err != nil {
			return err
		}
		if a.accountKey != nil {
			if switchedOff, err = a.countAccountFailure(ctx, q, now); err != nil {
				return err
			}
		}
		if expired = a.deleteReservation(ctx, q, now); !errors.Is(expired, ErrReservationExpired) {
			return expired
		}
		return nil
	})
	if errors.Is(err, db.ErrConflict) && a.accountID != nil { // the account was deleted, and its row of failures too
		a.accountKey, a.delayKey, a.accountID = nil, nil, nil
		return l.RecordLoginFailure(ctx, store, now, a)
	}
	if err != nil {
		return false, fmt.Errorf("count a failed login: %w", err)
	}
	return switchedOff, expired
}

// ReleaseLogin ends a login without a result: its password was not compared, or what followed the comparison failed for another reason. It
// releases the reservation and counts nothing.
func (l *Limits) ReleaseLogin(ctx context.Context, store *db.Store, now time.Time, a LoginAttempt) error {
	if a.id == uuid.Nil {
		return nil
	}
	// Write, not InTx: ErrReservationExpired must not roll back the deletion, because the row of an expired reservation must go too.
	err := store.Write(ctx, func(q *db.Queries) error { return a.deleteReservation(ctx, q, now) })
	if err != nil && !errors.Is(err, ErrReservationExpired) {
		return fmt.Errorf("release a login: %w", err)
	}
	return nil
}

// countClientIPFailure counts a failure whose quota was reserved, so an exceeded limit is no error.
func (l *Limits) countClientIPFailure(ctx context.Context, q *db.Queries, now time.Time, quota Quota) error {
	locked, err := l.Lock(ctx, q, now, quota)
	if _, exceeded := errors.AsType[*ExceededError](err); err != nil && !exceeded {
		return err
	}
	return locked.Take(ctx, q)
}

// countAccountFailure counts a failure of the account and delays the next login: from the known client IP, otherwise from all client IPs
// without an active session.
func (a *LoginAttempt) countAccountFailure(ctx context.Context, q *db.Queries, now time.Time) (switchedOff bool, err error) {
	account, delay, err := a.lockFailures(ctx, q)
	if err != nil {
		return false, err
	}
	delay = delay.withOneMore(a.accountQuota.rate.Count, a.accountQuota.rate.refill(), now)
	if a.fromKnownClientIP() {
		account.consecutive++
		if err := updateFailures(ctx, q, a.accountKey, account); err != nil {
			return false, err
		}
	} else {
		account = delay
	}
	return account.consecutive == maxFailures, updateFailures(ctx, q, a.delayKey, delay)
}
