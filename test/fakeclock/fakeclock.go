// Package fakeclock has a clock for tests that stands still until it is advanced.
package fakeclock

import (
	"sync"
	"time"
)

// Clock is safe for use by several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// New returns a Clock that shows now.
func New(now time.Time) *Clock { return &Clock{now: now} }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, backwards if d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
