package mail

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/financelime/authorization/db"
)

const (
	// giveUpAfter is how long a mail is tried.
	giveUpAfter = 24 * time.Hour

	retryMin = 5 * time.Second
	retryMax = time.Hour
)

// nextAttempt says when to try a mail again after a failure at now: after a delay that doubles with each attempt and
// is spread over half its length, so that the mails of one outage do not all come back at once. The last attempt is
// when the time is over.
func nextAttempt(m db.Mail, now time.Time, err error) time.Time {
	longest := retryMax
	if shift := m.Attempts - 1; shift < 10 { // 2^10 times the least is more than the most
		longest = min(retryMax, 2*retryMin<<max(shift, 0))
	}
	// Our own database or hashing, not the relay, was busy and has said for how long.
	var busy interface{ RetryAfter() time.Duration }
	if errors.As(err, &busy) {
		longest = max(2*busy.RetryAfter(), time.Second)
	}
	next := now.Add(longest/2 + rand.N(longest/2)) //nolint:gosec // spreads load, guards nothing
	if last := m.CreatedAt.Add(giveUpAfter); next.After(last) {
		return last
	}
	return next.Truncate(time.Microsecond)
}
