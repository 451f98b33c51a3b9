package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is how much one subject may do: a burst of Count, and Count more in each Per. Its text form is "10/1m".
type Rate struct {
	Count int64
	Per   time.Duration
}

// The bounds of a rate. One unit takes at least a microsecond to refill: both databases store times in microseconds.
const (
	maxCount = 1_000_000
	minPer   = time.Second
	maxPer   = 30 * 24 * time.Hour
)

// ParseRate parses the text form of a rate.
func ParseRate(s string) (Rate, error) {
	count, per, found := strings.Cut(s, "/")
	n, err := strconv.ParseInt(count, 10, 64)
	if !found || err != nil || n < 1 || n > maxCount {
		return Rate{}, fmt.Errorf("%q is not a rate such as 10/1m: the number must be from 1 to %d", s, maxCount)
	}
	d, err := parsePer(per)
	if err != nil || d < minPer || d > maxPer {
		return Rate{}, fmt.Errorf("%q is not a rate such as 10/1m: the duration must be from %s to 30d, such as 90s, 30m, 24h or 7d", s, minPer)
	}
	return Rate{Count: n, Per: d}, nil
}

// parsePer parses a duration such as 30m, or whole days such as 7d, which Go's durations do not have.
func parsePer(s string) (time.Duration, error) {
	days, inDays := strings.CutSuffix(s, "d")
	if !inDays {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 8)
	return time.Duration(n) * 24 * time.Hour, err
}

// UnmarshalText parses a rate in a setting.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// String returns the text form of the rate.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Count, r.Per) }

// refill returns how long one unit takes to refill, in microseconds.
func (r Rate) refill() int64 { return max(1, r.Per.Microseconds()/r.Count) }

// burst returns how far ahead of the clock a bucket's fullAt may be for one more unit to be available, in microseconds.
func (r Rate) burst() int64 { return r.refill() * (r.Count - 1) }
