package password

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// BusyError refuses a call because all slots and all places in the queue are taken.
type BusyError struct{}

func (BusyError) Error() string { return "too many passwords are being hashed" }

// RetryAfter is when a caller may try again: by then the queue has moved on.
func (BusyError) RetryAfter() time.Duration { return time.Second }

// line is where calls wait for a slot: first come, first served.
type line struct {
	places  chan struct{}       // one for each call inside, be it at work or waiting
	slots   *semaphore.Weighted // first in, first out; whose context ends leaves
	most    int                 // slots
	refused *atomic.Uint64
}

func newLine(slots, queue int) line {
	return line{places: make(chan struct{}, slots+queue), slots: semaphore.NewWeighted(int64(slots)), most: slots, refused: new(atomic.Uint64)}
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
	if err := l.slots.Acquire(ctx, 1); err != nil { // also when its turn came as the caller went
		<-l.places
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	return func() {
		l.slots.Release(1)
		<-l.places
	}, nil
}
