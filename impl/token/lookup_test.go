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

// A request that cannot wait any longer is not told that its token is no good.
func TestALookupThatIsCutOffIsNoVerdict(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	keys := openKeys(t, store, newRoot(t), newConfig(fakeclock.New(start)))
	keys.turn <- struct{}{} // somebody waits for the database
	defer func() { <-keys.turn }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := keys.lookup(ctx, "unknown"); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("at the deadline: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := keys.lookup(gone, "unknown"); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("a caller who left: %v", err)
	}
}

// A slow look at the database is an answer for all who waited for it.
func TestASlowReloadIsNotRepeated(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	clock := fakeclock.New(start)
	keys := openKeys(t, store, newRoot(t), newConfig(clock))
	var looks atomic.Int64
	store.Watch(func(ctx context.Context, name string) (context.Context, func(error)) {
		if name == "ListSigningKeys" {
			looks.Add(1)
			time.Sleep(50 * time.Millisecond) // so that the others wait
			clock.Advance(reloadEvery + time.Second)
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
	if looks.Load() != 1 {
		t.Errorf("%d looks", looks.Load())
	}
}
