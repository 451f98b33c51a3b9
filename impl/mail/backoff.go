package mail

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
)

const (
	// giveUpAfter is how long a mail is tried.
	giveUpAfter = 24 * time.Hour

	retryMin = 5 * time.Second
	retryMax = time.Hour
)

// nextAttempt says when to try a mail again that has failed at now: after a delay that doubles with each attempt and
// is spread over half its length, so that mails that failed together do not come back together. The last attempt is
// when the time is over. Another worker may judge that by its own clock: where that is behind, or is set back, the pause is as much
// longer, and where it is ahead as much shorter.
func nextAttempt(m db.Mail, now time.Time) time.Time {
	longest := retryMax
	if shift := m.Attempts - 1; shift < 10 { // 2^10 times the least is more than the most
		longest = min(retryMax, 2*retryMin<<max(shift, 0))
	}
	return notAfterTheEnd(m, now.Add(spread(longest)))
}

// notItsFault says, of a failure that was none of the mail's, when the mail is due again. Such a failure does not count:
// how long a mail waits after a failure of its own does not depend on what befell others.
func notItsFault(m db.Mail, now time.Time, err error) (due time.Time, is bool) {
	if trouble, is := errors.AsType[*RelayError](err); is {
		if trouble.Heard {
			return now, true // behind those that wait already: perhaps it is the mail after all
		}
		return dueAtOnce(m.CreatedAt), true // where it stood: the gate lets the oldest go first
	}
	if errors.Is(err, errLeaseLost) {
		return now, true
	}
	// Our own database or hashing was busy and has said for how long.
	var busy interface{ RetryAfter() time.Duration }
	if errors.As(err, &busy) {
		return notAfterTheEnd(m, now.Add(spread(max(2*busy.RetryAfter(), time.Second)))), true
	}
	return time.Time{}, false
}

// spread is a time between half of that and all of it.
func spread(longest time.Duration) time.Duration {
	return longest/2 + rand.N(longest/2) //nolint:gosec // spreads load, guards nothing
}

func notAfterTheEnd(m db.Mail, next time.Time) time.Time {
	if last := m.CreatedAt.Add(giveUpAfter); next.After(last) {
		return last
	}
	return clock.Truncate(next)
}
