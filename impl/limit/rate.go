package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is how much of something a subject may do: Count at once, and Count again in each Per. It is written "10/1m".
type Rate struct {
	Count int64
	Per   time.Duration
}

// The bounds of a rate. One use takes at least a microsecond to refill, in which both databases keep it.
const (
	maxCount = 1_000_000
	minPer   = time.Second
	maxPer   = 30 * 24 * time.Hour
)

// ParseRate reads a rate.
func ParseRate(s string) (Rate, error) {
	count, per, found := strings.Cut(s, "/")
	n, err := strconv.ParseInt(count, 10, 64)
	if !found || err != nil || n < 1 || n > maxCount {
		return Rate{}, fmt.Errorf("%q is not like 10/1m: a number from 1 to %d, and in how long", s, maxCount)
	}
	d, err := parsePer(per)
	if err != nil || d < minPer || d > maxPer {
		return Rate{}, fmt.Errorf("%q is not like 10/1m: a number, and a duration from %s to 30d such as 90s, 30m, 24h or 7d", s, minPer)
	}
	return Rate{Count: n, Per: d}, nil
}

// parsePer reads a duration such as 30m, or whole days such as 7d, which Go's durations do not have.
func parsePer(s string) (time.Duration, error) {
	days, inDays := strings.CutSuffix(s, "d")
	if !inDays {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 8)
	return time.Duration(n) * 24 * time.Hour, err
}

// UnmarshalText reads a rate in a setting.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// String is the rate as it is written.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Count, r.Per) }

// refill is how long one use takes to refill, in microseconds.
func (r Rate) refill() int64 { return max(1, r.Per.Microseconds()/r.Count) }

// room is how far ahead the uses may lie before one more, in microseconds.
func (r Rate) room() int64 { return r.refill() * (r.Count - 1) }
