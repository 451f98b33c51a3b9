package limit

import (
	"time"

	"github.com/financelime/authorization/db"
)

// Times in this file are in microseconds since 1970, as in the database.

// maxAhead is how far in the future the time of a row may be. A row that is further ahead was written by a wrong clock and is ignored. No
// clock of a maintained machine is ever set back by that much.
const maxAhead = int64(time.Hour / time.Microsecond)

// bucket is the state of a quota in the generic cell rate algorithm (GCRA): fullAt is as far ahead of the clock as what was taken needs to
// refill.
type bucket struct {
	fullAt int64
	seenAt int64 // the latest time of any request
}

func bucketOf(row db.RateLimit) bucket { return bucket{fullAt: row.FullAt, seenAt: row.SeenAt} }

// asOf returns the bucket at a time. Its seenAt is the time that the other methods use, and its fullAt is not before that.
func (b bucket) asOf(now time.Time) bucket {
	clock := now.UnixMicro()
	if b.seenAt > clock+maxAhead {
		return bucket{fullAt: clock, seenAt: clock}
	}
	clock = max(clock, b.seenAt)
	return bucket{fullAt: max(b.fullAt, clock), seenAt: clock}
}

// available returns how many units can be taken immediately. The last seconds of a wait are not enforced, for clocks that are behind; they
// are less than one unit.
func (b bucket) available(rate Rate) int64 {
	ahead := b.seenAt + rate.burst() + clockTolerance(rate.refill()) - b.fullAt
	if ahead < 0 {
		return 0
	}
	return ahead/rate.refill() + 1
}

// wait returns how long it takes until a unit is available, if none is.
func (b bucket) wait(rate Rate) time.Duration {
	return time.Duration(b.fullAt-rate.burst()-b.seenAt) * time.Microsecond
}

// take returns the bucket with one unit less, whether or not one was available.
func (b bucket) take(rate Rate) bucket {
	return bucket{fullAt: b.fullAt + rate.refill(), seenAt: b.seenAt}
}

// clockTolerance returns how much of a wait is not enforced, so that a client that waited as long as one replica told it to is accepted by
// another replica, whose clock is behind.
func clockTolerance(wait int64) int64 { return min(maxSkew, wait/6*5) }
