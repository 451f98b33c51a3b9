package limit

import (
	"time"

	"github.com/financelime/authorization/db"
)

const (
	// maxFailures is how many failures in a row, of any age, switch an account's password off until it is reset by mail
	// (NIST SP 800-63B-4 section 3.2.2).
	maxFailures = 100
	// longestDelay is the most that a failed log-in delays the next one, in microseconds.
	longestDelay = int64(15 * time.Minute / time.Microsecond)
	// forgetRecent is after which pause the delays begin anew, in microseconds. The count of failures does not.
	forgetRecent = int64(24 * time.Hour / time.Microsecond)
	// maxSkew is how far apart the clocks of two replicas may be without costing anybody a log-in, in microseconds.
	maxSkew = int64(5 * time.Second / time.Microsecond)
)

// failures are an account's failed log-ins since the last one that succeeded, or those of an account at one source.
type failures struct {
	inRow    int64 // whatever their age
	recent   int64 // the same, forgotten after a long pause
	delay    int64 // from failedAt to the next log-in
	failedAt int64
}

func failuresOf(row db.LoginFailure) failures {
	return failures{inRow: row.Failures, recent: row.RecentFailures, delay: row.Delay, failedAt: row.LastFailedAt}
}

// at are the failures as they count now: failedAt is not after the clock that they go by.
func (f failures) at(now time.Time) (current failures, clock int64) {
	clock = now.UnixMicro()
	switch {
	case f.failedAt > clock+maxAhead:
		f.delay, f.failedAt = 0, clock
	case f.failedAt > clock:
		clock = f.failedAt
	case f.failedAt < clock-forgetRecent:
		f.recent, f.delay = 0, 0
	}
	return f, clock
}

// wait is how long the next log-in has to wait; 0 where it need not. The last seconds of a delay are for clocks that are behind.
func (f failures) wait(now time.Time) time.Duration {
	current, clock := f.at(now)
	left := current.failedAt + current.delay - clock
	if left <= forgiven(current.delay) {
		return 0
	}
	return time.Duration(left) * time.Microsecond
}

// places is how many log-ins may be under way at once without delay: what is left of the free ones, and then one at a time.
func (f failures) places(free int64, now time.Time) int64 {
	current, _ := f.at(now)
	return max(free-current.recent, 1)
}

// failed are the failures with one more. From the last of the free ones on, each doubles the delay, beginning with the shortest one.
func (f failures) failed(free, shortest int64, now time.Time) failures {
	next, clock := f.at(now)
	next.inRow++
	next.recent++
	next.failedAt = clock
	switch {
	case next.recent < free:
		next.delay = 0
	case next.delay == 0:
		next.delay = min(shortest, longestDelay)
	default:
		next.delay = min(2*next.delay, longestDelay)
	}
	return next
}
