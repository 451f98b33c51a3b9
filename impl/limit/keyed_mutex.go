package limit

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// keyedMutex is a mutex for each key, held by one after another in the order in which they came. The zero value is ready to use.
type keyedMutex struct {
	most int // who may hold a key's mutex or wait for it while it is stuck; 0: any number

	mu   sync.Mutex // guards held, and the users of each
	held map[string]*keyLock
}

type keyLock struct {
	*semaphore.Weighted

	users int  // who hold it or wait for it; without any it is forgotten
	stuck bool // its holder waits for others, and so do all behind it
}

// lock returns when the key's mutex is the caller's, with the context's error when that ends first, or with a BusyError at once where too
// many wait already.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	m.mu.Lock()
	if m.held == nil {
		m.held = make(map[string]*keyLock)
	}
	lock := m.held[key]
	if lock == nil {
		lock = &keyLock{Weighted: semaphore.NewWeighted(1)}
		m.held[key] = lock
	}
	if m.most > 0 && lock.stuck && lock.users >= m.most {
		m.mu.Unlock()
		return nil, BusyError{}
	}
	lock.users++
	m.mu.Unlock()

	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		lock.users--
		if lock.users == 0 {
			delete(m.held, key)
		}
	}
	if err := lock.Acquire(ctx, 1); err != nil {
		leave()
		return nil, err
	}
	return func() { lock.Release(1); leave() }, nil
}

// setStuck says whether the holder of a key's mutex waits for others.
func (m *keyedMutex) setStuck(key string, stuck bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[key].stuck = stuck
}
