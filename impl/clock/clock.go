// Package clock provides the service's clock: UTC in microseconds, the precision in which both databases store times.
package clock

import "time"

// Clock returns the current time. The zero Clock is the system's; tests set their own.
type Clock func() time.Time

// Now returns the time in UTC, truncated to microseconds.
func (c Clock) Now() time.Time {
	if c == nil {
		return Truncate(time.Now())
	}
	return Truncate(c())
}

// Truncate returns t in UTC, truncated to microseconds: what a database returns after t was stored.
func Truncate(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Format formats a time of the API: in UTC and with six digits of a second, as both databases store it, so that string order is time order.
func Format(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }
