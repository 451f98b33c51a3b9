package password

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// occupy takes a slot and returns the function that releases it.
func occupy(t *testing.T, h *Hasher) func() {
	t.Helper()
	leave, err := h.queue.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(Options{Slots: 2, Queue: 3, Params: cheap()})
		leave := []func(){occupy(t, h), occupy(t, h)}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := h.Match(t.Context(), "x"); err != nil {
					t.Errorf("a call for which the queue has a place: %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		for name, call := range map[string]func() error{
			"Match": func() error { _, err := h.Match(t.Context(), "x"); return err },
			"Hash":  func() error { _, err := h.Hash(t.Context(), "x", ""); return err },
		} {
			var busy BusyError
			if err := call(); !errors.As(err, &busy) || busy.RetryAfter() != time.Second {
				t.Errorf("%s with a full queue: %v", name, err)
			}
		}
		if time.Since(start) != 0 {
			t.Error("the refusal waited")
		}
		if h.Computed() != 0 {
			t.Error("a hash was computed without a slot")
		}
		for _, f := range leave {
			f()
		}
		wg.Wait()
		if h.Computed() != 3 {
			t.Errorf("%d hashes", h.Computed())
		}
		if _, err := h.Match(t.Context(), "x"); err != nil {
			t.Errorf("a call after the queue is empty: %v", err)
		}
	})
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(Options{Slots: 1, Queue: 20, Params: cheap()})
		leave := occupy(t, h)
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			order []int
		)
		for i := range 20 {
			wg.Go(func() {
				done, err := h.queue.enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				done()
			})
			synctest.Wait() // until it waits in the queue
		}
		leave()
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != 20 {
			t.Errorf("order %v", order)
		}
	})
}

// A call that waited too long is refused and leaves the queue.
func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(Options{Slots: 1, Queue: 1, Wait: time.Second, Params: cheap()})
		leave := occupy(t, h)
		for range 3 {
			began := time.Now()
			if _, err := h.Match(t.Context(), "x"); !errors.Is(err, BusyError{}) || time.Since(began) != time.Second {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		}
		if load := h.Load(); load.Refused != 3 || load.Waiting != 0 {
			t.Errorf("%+v", load)
		}
		leave()
		if _, err := h.Match(t.Context(), "x"); err != nil {
			t.Errorf("with a free slot: %v", err)
		}
	})
}

// A cancelled call leaves the queue, and no hash is computed for it.
func TestCancelledCallsLeaveTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(Options{Slots: 1, Queue: 1, Params: cheap()})
		leave := occupy(t, h)
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() {
				_, err := h.Match(ctx, "x")
				result <- err
			}()
			synctest.Wait()
			if _, err := h.Match(t.Context(), "x"); !errors.Is(err, BusyError{}) {
				t.Fatalf("the queue is not full: %v", err)
			}
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Hash(ctx, "x", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		leave()
		if _, err := h.Match(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a call whose context had ended: %v", err)
		}
		if h.Computed() != 0 {
			t.Errorf("%d hashes for cancelled calls", h.Computed())
		}
		if _, err := h.Match(t.Context(), "x"); err != nil {
			t.Errorf("the place in the queue was not released: %v", err)
		}
	})
}

// Under load, with cancelled calls, no slot is lost and none is used twice.
func TestSlotsUnderLoad(t *testing.T) {
	t.Parallel()
	q := newQueue(Options{Slots: 3, Queue: 5})
	var (
		wg         sync.WaitGroup
		mu         sync.Mutex
		now, worst int
	)
	for i := range 64 {
		wg.Go(func() {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if i%3 == 0 {
					go cancel()
				}
				if leave, err := q.enter(ctx); err == nil {
					mu.Lock()
					now++
					worst = max(worst, now)
					mu.Unlock()
					mu.Lock()
					now--
					mu.Unlock()
					leave()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if worst > 3 || len(q.places) != 0 || !q.slots.TryAcquire(3) {
		t.Errorf("%d at a time, %d places taken at the end", worst, len(q.places))
	}
}
