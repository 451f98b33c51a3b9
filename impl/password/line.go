package password

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// BusyError refuses a call because all slots and all places in the queue are taken, or its turn did not come in time.
type BusyError struct{}

func (BusyError) Error() string { return "too many passwords are being hashed" }

// RetryAfter is when a caller may try again: by then the queue has moved on.
func (BusyError) RetryAfter() time.Duration { return time.Second }

// line is where calls wait for a slot: first come, first served.
type line struct {
	places  chan struct{}       // one for each call inside, be it at work or waiting
	slots   *semaphore.Weighted // first in, first out; whose context ends leaves
	most    int                 // slots
	wait    time.Duration       // for a slot, at the most; 0: without end
	refused *atomic.Uint64
}

func newLine(o Options) line {
	return line{
		places: make(chan struct{}, o.Slots+o.Queue), slots: semaphore.NewWeighted(int64(o.Slots)), most: o.Slots, wait: o.Wait,
		refused: new(atomic.Uint64),
	}
}

// full refuses where enter would do so at the moment.
func (l line) full() error {
	if len(l.places) < cap(l.places) {
		return nil
	}
	l.refused.Add(1)
	return BusyError{}
}

// enter returns when it is the call's turn. The call must leave when it is done.
func (l line) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.places <- struct{}{}:
	default:
		l.refused.Add(1)
		return nil, BusyError{}
	}
	waiting := ctx
	if l.wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, l.wait)
		defer cancel()
	}
	if err := l.slots.Acquire(waiting, 1); err != nil { // also when its turn came as the caller went
		<-l.places
		if ctx.Err() == nil {
			l.refused.Add(1)
			return nil, BusyError{}
		}
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	return func() {
		l.slots.Release(1)
		<-l.places
	}, nil
}
