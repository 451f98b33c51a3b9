package limit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

const (
	// maxFailures is how many consecutive failures, of any age, switch the password of an account off until it is reset by e-mail
	// (NIST SP 800-63B-4 section 3.2.2).
	maxFailures = 100
	// maxWrongFactors is how many wrong second factors in a row, across resets, switch off the codes of authenticator apps. It is more than
	// maxFailures, so that after guesses of somebody who knows the password, a reset and a code let the owner in.
	maxWrongFactors = 2 * maxFailures
	// maxDelay is the longest delay after a failed login, in microseconds.
	maxDelay = int64(15 * time.Minute / time.Microsecond)
	// resetDelayAfter is how long after the last failure the delays start again from the shortest one, in microseconds. The count of
	// consecutive failures is not reset.
	resetDelayAfter = int64(24 * time.Hour / time.Microsecond)
	// maxSkew is how much the clocks of two replicas may differ without a refused login, in microseconds.
	maxSkew = int64(5 * time.Second / time.Microsecond)
)

// failures are the failed logins of an account since its last successful one, or those from one known client IP of the account.
type failures struct {
	consecutive  int64 // of any age
	recent       int64 // the same, reset after a long pause
	delay        int64 // from lastFailedAt to the next login, in microseconds
	lastFailedAt int64 // in microseconds since 1970
}

func failuresOf(row db.LoginFailure) failures {
	return failures{consecutive: row.Failures, recent: row.RecentFailures, delay: row.Delay, lastFailedAt: row.LastFailedAt}
}

// asOf returns the failures at a time, and the clock to compare them with: lastFailedAt is never after that clock.
func (f failures) asOf(now time.Time) (current failures, clock int64) {
	clock = now.UnixMicro()
	switch {
	case f.lastFailedAt > clock+maxAhead:
		f.delay, f.lastFailedAt = 0, clock
	case f.lastFailedAt > clock:
		clock = f.lastFailedAt
	case f.lastFailedAt < clock-resetDelayAfter:
		f.recent, f.delay = 0, 0
	}
	return f, clock
}

// wait returns how long the next login has to wait, or 0. The last seconds of a delay are not enforced, for clocks that are behind.
func (f failures) wait(now time.Time) time.Duration {
	current, clock := f.asOf(now)
	left := current.lastFailedAt + current.delay - clock
	if left <= clockTolerance(current.delay) {
		return 0
	}
	return time.Duration(left) * time.Microsecond
}

// maxConcurrent returns how many logins may be in progress at the same time: as many as failures are left without a delay, and at least
// one.
func (f failures) maxConcurrent(withoutDelay int64, now time.Time) int64 {
	current, _ := f.asOf(now)
	return max(withoutDelay-current.recent, 1)
}

// withOneMore returns the failures and one more. From number withoutDelay on, each failure causes a delay: first minDelay, then twice the
// delay before, up to maxDelay.
func (f failures) withOneMore(withoutDelay, minDelay int64, now time.Time) failures {
	next, clock := f.asOf(now)
	next.consecutive++
	next.recent++
	next.lastFailedAt = clock
	switch {
	case next.recent < withoutDelay:
		next.delay = 0
	case next.delay == 0:
		next.delay = min(minDelay, maxDelay)
	default:
		next.delay = min(2*next.delay, maxDelay)
	}
	return next
}

func lockFailures(ctx context.Context, q *db.Queries, key []byte, accountID *uuid.UUID) (failures, error) {
	row, err := q.LockLoginFailure(ctx, db.LockLoginFailureParams{Key: key, AccountID: accountID})
	if err != nil {
		return failures{}, fmt.Errorf("lock the failed logins: %w", err)
	}
	return failuresOf(row), nil
}

// updateFailures requires the lock of lockFailures.
func updateFailures(ctx context.Context, q *db.Queries, key []byte, f failures) error {
	err := q.UpdateLoginFailure(ctx, db.UpdateLoginFailureParams{
		Key: key, Failures: f.consecutive, RecentFailures: f.recent, Delay: f.delay, LastFailedAt: f.lastFailedAt,
	})
	if err != nil {
		return fmt.Errorf("count a failed login: %w", err)
	}
	return nil
}
