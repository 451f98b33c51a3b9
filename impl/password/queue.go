package password

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// BusyError means that all slots and the whole queue are occupied, or that a call waited too long for a slot. The response is 503.
type BusyError struct{}

func (BusyError) Error() string { return "too many passwords are being hashed" }

// RetryAfter returns when the client may try again: the queue has moved on by then.
func (BusyError) RetryAfter() time.Duration { return time.Second }

// queue is where calls wait for a hashing slot, first come, first served.
type queue struct {
	places    chan struct{}       // one for each call that hashes or waits
	slots     *semaphore.Weighted // first in, first out; a call whose context ends leaves it
	slotCount int
	maxWait   time.Duration // for a slot; 0: no limit
	refused   *atomic.Uint64
}

func newQueue(o Options) queue {
	return queue{
		places: make(chan struct{}, o.Slots+o.Queue), slots: semaphore.NewWeighted(int64(o.Slots)), slotCount: o.Slots, maxWait: o.Wait,
		refused: new(atomic.Uint64),
	}
}

// checkFull returns a BusyError if enter would return it immediately.
func (q queue) checkFull() error {
	if len(q.places) < cap(q.places) {
		return nil
	}
	q.refused.Add(1)
	return BusyError{}
}

// enter waits for a slot. The caller calls leave when it has hashed.
func (q queue) enter(ctx context.Context) (leave func(), err error) {
	select {
	case q.places <- struct{}{}:
	default:
		q.refused.Add(1)
		return nil, BusyError{}
	}
	waiting := ctx
	if q.maxWait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, q.maxWait)
		defer cancel()
	}
	if err := q.slots.Acquire(waiting, 1); err != nil { // also if a slot became free when the context ended
		<-q.places
		if ctx.Err() == nil {
			q.refused.Add(1)
			return nil, BusyError{}
		}
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	return func() {
		q.slots.Release(1)
		<-q.places
	}, nil
}
