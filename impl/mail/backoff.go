package mail

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
)

const (
	// giveUpAfter is the age at which a mail that fails once more fails permanently.
	giveUpAfter = 24 * time.Hour

	retryMin = 5 * time.Second
	retryMax = time.Hour
)

// nextAttempt returns when to retry a mail that failed at now. The delay doubles with each attempt. It is random between half its length
// and its length, so that mails that failed together do not come back together. The last attempt is when the mail is giveUpAfter old.
// Another worker may compare the time with its own clock. If that is behind, or was set back, the delay is longer by the difference; if it
// is ahead, shorter.
func nextAttempt(m db.Mail, now time.Time) time.Time {
	longest := retryMax
	if shift := m.Attempts - 1; shift < 10 { // 2^10 times the shortest delay is more than the longest
		longest = min(retryMax, 2*retryMin<<max(shift, 0))
	}
	return capAtGiveUp(m, now.Add(jitter(longest)))
}

// infrastructureRetry returns when to retry a mail that failed for a reason outside itself. Such failures are not counted as attempts, so
// that they do not lengthen the delay after a failure of the mail's own.
func infrastructureRetry(m db.Mail, now time.Time, err error) (due time.Time, ok bool) {
	if relayErr, ok := errors.AsType[*RelayError](err); ok {
		if relayErr.AfterRecipient {
			return now, true // behind those that wait already, because the mail may be the reason after all
		}
		return dueImmediately(m.CreatedAt), true // to its old place: the oldest mail is the breaker's probe
	}
	if errors.Is(err, errLeaseLost) {
		return now, true
	}
	// The service's own database or hashing was busy, and the error has a delay.
	var busy interface{ RetryAfter() time.Duration }
	if errors.As(err, &busy) {
		return capAtGiveUp(m, now.Add(jitter(max(2*busy.RetryAfter(), time.Second)))), true
	}
	return time.Time{}, false
}

// nextUnknownKind returns when to retry a mail of a kind that this version does not have, so that a newer replica can send it meanwhile. The
// attempts are not counted. So the delay grows with the mail's age: it is up to a quarter of it, at least 5 s, at most an hour.
func nextUnknownKind(m db.Mail, now time.Time) time.Time {
	longest := min(max(now.Sub(m.CreatedAt)/4, 2*retryMin), retryMax)
	return capAtGiveUp(m, now.Add(jitter(longest)))
}

// jitter returns a random duration between half of longest and longest.
func jitter(longest time.Duration) time.Duration {
	return longest/2 + rand.N(longest/2) //nolint:gosec // spreads load; no security depends on it
}

// capAtGiveUp returns next, or the time at which m is giveUpAfter old if that is earlier.
func capAtGiveUp(m db.Mail, next time.Time) time.Time {
	if last := m.CreatedAt.Add(giveUpAfter); next.After(last) {
		return last
	}
	return clock.Truncate(next)
}
