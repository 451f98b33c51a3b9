package limit

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// keyedMutex is a mutex per key, first come, first served. The zero value is ready to use.
type keyedMutex struct {
	// maxUsersIfBlocked is how many callers may hold or wait for a key's mutex while it is blocked; 0 means any number.
	maxUsersIfBlocked int

	mu    sync.Mutex // guards locks, and the users and blocked of each lock
	locks map[string]*keyLock
}

type keyLock struct {
	*semaphore.Weighted

	users   int  // callers that hold the mutex or wait for it; with none left, the lock is deleted
	blocked bool // the holder waits for something else, and therefore all callers behind it do
}

// lock locks the key's mutex. It returns the context's error if the context ends first, and a BusyError immediately if too many callers
// wait already.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	m.mu.Lock()
	if m.locks == nil {
		m.locks = make(map[string]*keyLock)
	}
	lock := m.locks[key]
	if lock == nil {
		lock = &keyLock{Weighted: semaphore.NewWeighted(1)}
		m.locks[key] = lock
	}
	if m.maxUsersIfBlocked > 0 && lock.blocked && lock.users >= m.maxUsersIfBlocked {
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
			delete(m.locks, key)
		}
	}
	if err := lock.Acquire(ctx, 1); err != nil {
		leave()
		return nil, err
	}
	return func() { lock.Release(1); leave() }, nil
}

// setBlocked sets whether the holder of a key's mutex waits for something else. Only the holder calls it.
func (m *keyedMutex) setBlocked(key string, blocked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks[key].blocked = blocked
}
