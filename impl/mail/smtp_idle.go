package mail

import (
	"slices"
	"sync"
	"time"
)

// idle are the conversations that wait for their next mail: the greeting, TLS and the log-in take most of the time that a
// mail takes, and relays limit how often one may connect. They do not wait for long, as the relay does not either.
type idle struct {
	limit time.Duration
	mails int // in one conversation; some relays end it after a hundred

	mu      sync.Mutex
	waiting []*conversation
}

func newIdle() *idle { return &idle{limit: 2 * time.Second, mails: 100} }

// take gives the conversation that has waited the shortest, nil if none waits.
func (i *idle) take() *conversation {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := len(i.waiting); n > 0; n = len(i.waiting) {
		c := i.waiting[n-1]
		i.waiting = i.waiting[:n-1]
		if c.end.Stop() { // or it is being ended just now
			return c
		}
	}
	return nil
}

// put lets a conversation wait for the next mail, if there may be one.
func (i *idle) put(c *conversation) {
	if i.limit <= 0 || c.mails >= i.mails {
		c.quit()
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = append(i.waiting, c)
	c.end = time.AfterFunc(i.limit, func() {
		i.mu.Lock()
		i.waiting = slices.DeleteFunc(i.waiting, func(w *conversation) bool { return w == c })
		i.mu.Unlock()
		c.quit()
	})
}
