package limit

import (
	"time"

	"github.com/financelime/authorization/db"
)

// Times here are microseconds since 1970, as in the database.

// maxAhead is how far ahead of the clock a row may have been written: further ahead it says nothing. It is longer than any clock of a
// machine that is looked after is ever set back.
const maxAhead = int64(time.Hour / time.Microsecond)

// bucket is how much of a limit is used, by the generic cell rate algorithm: usedUntil lies as far ahead of the clock as what was used
// takes to refill.
type bucket struct {
	usedUntil int64
	seenAt    int64 // the latest time at which anybody used it
}

func bucketOf(row db.RateLimit) bucket { return bucket{usedUntil: row.FullAt, seenAt: row.SeenAt} }

// at is the bucket as it is now: seenAt is the time that it goes by, and usedUntil not before that.
func (b bucket) at(now time.Time) bucket {
	clock := now.UnixMicro()
	if b.seenAt > clock+maxAhead {
		return bucket{usedUntil: clock, seenAt: clock}
	}
	clock = max(clock, b.seenAt)
	return bucket{usedUntil: max(b.usedUntil, clock), seenAt: clock}
}

// left is how many uses there are at once. The last seconds of a wait are for clocks that are behind; they are less than a use.
func (b bucket) left(rate Rate) int64 {
	room := b.seenAt + rate.room() + forgiven(rate.refill()) - b.usedUntil
	if room < 0 {
		return 0
	}
	return room/rate.refill() + 1
}

// wait is how long it takes until there is a use again, where none is left.
func (b bucket) wait(rate Rate) time.Duration {
	return time.Duration(b.usedUntil-rate.room()-b.seenAt) * time.Microsecond
}

// forgiven is how much of a wait is not enforced, so that whoever has waited as long as one replica told is let in by another.
func forgiven(wait int64) int64 { return min(maxSkew, wait/6*5) }

// take is the bucket with one use more, whether or not any was left.
func (b bucket) take(rate Rate) bucket {
	return bucket{usedUntil: b.usedUntil + rate.refill(), seenAt: b.seenAt}
}
