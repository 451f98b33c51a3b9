package token

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/fakeclock"
)

// TestCancelledLookupReturnsUnavailable checks that a request that cannot wait longer does not get the result "invalid token".
func TestCancelledLookupReturnsUnavailable(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	keys := openKeys(t, store, newRoot(t), newConfig(fakeclock.New(start)))
	keys.refreshLock <- struct{}{} // another goroutine queries the database
	defer func() { <-keys.refreshLock }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := keys.lookup(ctx, "unknown"); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("at the deadline: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := keys.lookup(gone, "unknown"); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("after the client closed the connection: %v", err)
	}
}

// TestSlowReloadIsShared checks that all requests that wait for a slow database query use its result.
func TestSlowReloadIsShared(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	clock := fakeclock.New(start)
	keys := openKeys(t, store, newRoot(t), newConfig(clock))
	var queries atomic.Int64
	store.SetQueryHook(func(ctx context.Context, name string) (context.Context, func(error)) {
		if name == "ListSigningKeys" {
			queries.Add(1)
			time.Sleep(50 * time.Millisecond) // so that the others wait
			clock.Advance(reloadInterval + time.Second)
		}
		return ctx, func(error) {}
	})
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if found, err := keys.lookup(t.Context(), "unknown"); found != nil || err != nil {
				t.Errorf("%v, %v", found, err)
			}
		})
	}
	group.Wait()
	if queries.Load() != 1 {
		t.Errorf("%d queries", queries.Load())
	}
}
