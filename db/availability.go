package db

import (
	"errors"
	"sync/atomic"
	"time"
)

// availability remembers since when the database answers without interruption.
type availability struct {
	now   func() time.Time
	since atomic.Int64 // microseconds of Unix time
	down  atomic.Bool
}

// newAvailability starts as not yet available: the first answer of the database counts.
func newAvailability(now func() time.Time) *availability {
	a := &availability{now: now}
	a.since.Store(now().UnixMicro())
	a.down.Store(true)
	return a
}

// observe takes notice of how a call of the database ended, and hands its error on.
func (a *availability) observe(err error) error {
	switch {
	case errors.Is(err, errLate), errors.Is(err, errClosed):
		// No evidence: the database was not asked.
	case errors.Is(err, ErrUnavailable):
		a.down.Store(true)
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict):
		if a.down.Load() {
			// In this order: whoever sees that the database is up again must also see since when.
			a.forward(a.now().UnixMicro())
			a.down.Store(false)
		}
	default:
		// A caller that went away, or an error of the caller's own: no evidence of either.
	}
	return err
}

// forward never moves since back, however many calls end at once.
func (a *availability) forward(to int64) {
	for {
		from := a.since.Load()
		if from >= to || a.since.CompareAndSwap(from, to) {
			return
		}
	}
}
