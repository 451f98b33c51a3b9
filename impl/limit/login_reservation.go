package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/financelime/authorization/db"
)

const (
	// reservationTTL is how long a reservation lives, in addition to the time that a login may wait: longer than a password hash and a
	// database timeout take.
	reservationTTL = 30 * time.Second
	// maxReservationAhead tolerates reservations that were written by the clock of another replica.
	maxReservationAhead = time.Minute
)

// ErrReservationExpired means that a login took so long that its reservation expired. The client does not get its result.
var ErrReservationExpired = fmt.Errorf("the login took too long: %w", BusyError{})

// tryReserve reserves quota if any is available. It returns false without an error if quota is left but reserved by logins in progress.
func (l *Limits) tryReserve(
	ctx context.Context, store *db.Store, now time.Time, login Login, a *LoginAttempt,
) (reserved bool, err error) {
	// A failure from elsewhere between the check and the reservation must not refuse a login from a known client IP: the second round
	// notices the delay, and uses that of the client IP.
	for range 2 {
		if err := l.checkLogin(ctx, store, now, login, a); err != nil {
			return false, err
		}
		reserved, err = l.reserve(ctx, store, now, a)
		if !a.delayedAsUnknownClientIP(err) {
			break
		}
	}
	return reserved, err
}

// reserve runs reserveTx. Of the logins from one client IP, one at a time does: while they wait for the row of the client IP, they hold no
// connection.
func (l *Limits) reserve(ctx context.Context, store *db.Store, now time.Time, a *LoginAttempt) (reserved bool, err error) {
	unlock, err := l.Serialize(ctx, a.clientIPQuota)
	if err != nil {
		return false, err
	}
	defer unlock()
	err = store.InTx(ctx, func(q *db.Queries) error {
		reserved, err = l.reserveTx(ctx, q, now, a)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("begin a login: %w", err)
	}
	return reserved, nil
}

// reserveTx locks rows in the order client IP, account, delay, as [Limits.RecordLoginFailure] does.
func (l *Limits) reserveTx(ctx context.Context, q *db.Queries, now time.Time, a *LoginAttempt) (reserved bool, err error) {
	clientIP, err := l.Lock(ctx, q, now, a.clientIPQuota)
	if err != nil {
		return false, err
	}
	account, delay, err := a.lockFailures(ctx, q)
	if err != nil {
		return false, err
	}
	if err := a.delayError(delay, now); err != nil {
		return false, err
	}
	expiresAt := now.Add(l.loginWait() + reservationTTL)
	inProgress, err := q.CountLoginAttempts(ctx, db.CountLoginAttemptsParams{
		ClientIpKey: notNull(a.clientIPQuota.key), AccountKey: notNull(a.accountKey), DelayKey: notNull(a.delayKey),
		Now: now.UnixMicro(), Latest: expiresAt.Add(maxReservationAhead).UnixMicro(),
	})
	if err != nil {
		return false, fmt.Errorf("count the logins in progress: %w", err)
	}
	if a.clientIPQuota.key != nil && inProgress.OfClientIp >= clientIP.bucket.available(a.clientIPQuota.rate) {
		return false, nil
	}
	if a.accountKey != nil {
		couldSwitchOff := account.consecutive < maxFailures && account.consecutive+inProgress.OfAccount >= maxFailures
		if couldSwitchOff || inProgress.OfDelay >= delay.maxConcurrent(a.accountQuota.rate.Count, now) {
			return false, nil
		}
	}
	a.PasswordOff = account.consecutive >= maxFailures
	err = q.InsertLoginAttempt(ctx, db.InsertLoginAttemptParams{
		ID: a.id, ClientIpKey: notNull(a.clientIPQuota.key), AccountKey: notNull(a.accountKey), DelayKey: notNull(a.delayKey),
		ExpiresAt: expiresAt.UnixMicro(),
	})
	return err == nil, err
}

// lockFailures locks the rows that count the account's failures: two for a known client IP, otherwise one, which is returned as both.
func (a *LoginAttempt) lockFailures(ctx context.Context, q *db.Queries) (account, delay failures, err error) {
	if a.accountKey == nil {
		return account, delay, nil
	}
	if account, err = lockFailures(ctx, q, a.accountKey, a.accountID); err != nil || !a.fromKnownClientIP() {
		return account, account, err
	}
	delay, err = lockFailures(ctx, q, a.delayKey, a.accountID)
	return account, delay, err
}

// deleteReservation releases what the login reserved. It fails with ErrReservationExpired.
func (a *LoginAttempt) deleteReservation(ctx context.Context, q *db.Queries, now time.Time) error {
	expiresAt, err := q.DeleteLoginAttempt(ctx, a.id)
	if errors.Is(err, db.ErrNotFound) || err == nil && expiresAt <= now.UnixMicro() {
		return ErrReservationExpired
	}
	if err != nil {
		return fmt.Errorf("end a login: %w", err)
	}
	return nil
}

// notNull returns the key, or an empty one for nil: the columns are NOT NULL.
func notNull(key []byte) []byte {
	if key == nil {
		return []byte{}
	}
	return key
}
