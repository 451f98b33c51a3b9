package mail

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// breaker is a circuit breaker with a concurrency limit. It decides when one more mail may be sent.
//
// It opens, which means that the relay is down, when all mails that were being sent have failed because of the relay. While it is open, one
// mail at a time probes the relay, after growing pauses. The first probe that succeeds closes it. A relay that refuses some of the mails
// that are being sent, because it allows fewer connections, is not down: the concurrency limit is lowered to what it accepted.
//
// It also opens when the relay has refused several different recipients in a row and accepted none in between.
type breaker struct {
	maxInFlight int           // how many mails may be sent at the same time
	released    chan struct{} // receives a value when a mail is no longer being sent

	mu          sync.Mutex // guards the fields below
	inFlight    int
	limit       int           // how many the relay accepted: maxInFlight, or fewer at lastFailure and one more for each regrowth since then
	lastFailure time.Time     // when the relay last failed
	failures    int           // in a row
	maxPause    time.Duration // before the next probe; 0 while the breaker is closed
	pause       time.Duration // before the next probe, with jitter
	openedAt    time.Time

	refused      map[string]bool    // the recipients that the relay refused since it last accepted a mail
	refusedSince time.Time          // when the first of them was refused
	refusesAll   bool               // the refused recipients count as every recipient
	delayed      map[uuid.UUID]bool // their mails, which wait for a retry
	rescheduling map[uuid.UUID]bool // such mails of a relay that is up again
}

const (
	// The longest pauses between two probes, at first and in the end; each is at least half as long.
	probeMin = 2 * time.Second
	probeMax = 15 * time.Second
	regrowth = time.Second // the concurrency limit grows by one in this time

	// refusedAll is how many different recipients count as every recipient. One of them can be greylisted; so many in a row hardly ever
	// are. If none was accepted for refusedLong, two are enough.
	refusedAll  = 3
	refusedLong = 2 * time.Minute
	maxDelayed  = 1000 // limits the memory of delayed
)

func newBreaker(maxInFlight int) *breaker {
	return &breaker{maxInFlight: maxInFlight, limit: maxInFlight, released: make(chan struct{}, 1)}
}

// allow reports whether one more mail may be sent. If not, it returns when to call it again, unless a mail is released before.
func (b *breaker) allow(now time.Time) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit, wait := b.currentLimit(now)
	return b.inFlight < limit, wait
}

// acquire counts a mail that is being sent, until release.
func (b *breaker) acquire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight++
}

// currentLimit returns how many mails may be sent at the same time, and how long that is valid. The caller holds the lock.
func (b *breaker) currentLimit(now time.Time) (limit int, wait time.Duration) {
	const forever = time.Hour
	elapsed := now.Sub(b.lastFailure)
	switch {
	case b.maxPause == 0 && b.limit == b.maxInFlight:
		return b.maxInFlight, forever
	case b.maxPause == 0:
		grown := b.limit + int(elapsed/regrowth)
		if grown >= b.maxInFlight {
			b.limit = b.maxInFlight
			return b.maxInFlight, forever
		}
		return grown, regrowth - elapsed%regrowth
	case elapsed < b.pause:
		return 0, b.pause - elapsed
	}
	return 1, forever
}

func (b *breaker) release() {
	b.mu.Lock()
	b.inFlight--
	b.mu.Unlock()
	select {
	case b.released <- struct{}{}:
	default:
	}
}

// isOpen reports whether the relay is down.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.maxPause > 0
}

// recordRelayFailure records that a mail failed because of the relay. It reports whether that opened the breaker.
func (b *breaker) recordRelayFailure(now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	others := b.inFlight - 1
	b.failures++
	switch {
	case b.maxPause == 0 && others > 0 && b.failures < b.maxInFlight:
		b.limit, b.lastFailure = min(b.limit, others), now
		return false
	case b.maxPause > 0 && others > 0: // it began before the breaker opened, so it is no probe
		return false
	}
	return b.open(now)
}

// open opens the breaker, or lengthens its pause. It reports whether the breaker was closed before. The caller holds the lock.
func (b *breaker) open(now time.Time) (opened bool) {
	if opened = b.maxPause == 0; opened {
		b.openedAt = now
	}
	b.lastFailure, b.maxPause = now, min(max(2*b.maxPause, probeMin), probeMax)
	b.pause = jitter(b.maxPause)
	return opened
}

// recordRefused records that the relay refused a mail for a reason that may be the mail's alone or that of every mail. It reports whether the
// relay is down, and whether this opened the breaker. If the relay is not down, the mail is retried after its own delay.
func (b *breaker) recordRefused(now time.Time, recipient string, mail uuid.UUID) (down, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused == nil {
		b.refused, b.delayed, b.refusedSince = make(map[string]bool), make(map[uuid.UUID]bool), now
	}
	if !b.refusesAll {
		b.refused[recipient] = true
		n := len(b.refused)
		b.refusesAll = n >= refusedAll || n > 1 && now.Sub(b.refusedSince) >= refusedLong
	}
	switch {
	case !b.refusesAll:
		if len(b.delayed) < maxDelayed {
			b.delayed[mail] = true
		}
		return false, false
	case b.maxPause > 0 && b.inFlight > 1: // it began before the breaker opened, so it is no probe
		return true, false
	}
	return true, b.open(now)
}

// recordReply records that the relay decided about a mail without accepting it. So the relay can be reached. It reports whether that closed
// the breaker, and how long the breaker was open.
func (b *breaker) recordReply(now time.Time) (closed bool, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	if b.maxPause == 0 || b.refusesAll {
		return false, 0
	}
	b.close(now)
	return true, now.Sub(b.openedAt)
}

// recordAccepted records that the relay accepted a mail. It reports whether that closed the breaker, and how long the breaker was open.
func (b *breaker) recordAccepted(now time.Time) (closed bool, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	if b.maxPause > 0 {
		b.close(now)
		closed, after = true, now.Sub(b.openedAt)
	}
	if b.refusesAll {
		b.rescheduling = b.delayed
	}
	b.refused, b.delayed, b.refusesAll = nil, nil, false
	return closed, after
}

// close closes the breaker. The caller holds the lock.
func (b *breaker) close(now time.Time) {
	b.limit, b.maxPause, b.pause = b.maxInFlight, 0, 0
	if b.refusesAll { // the relay may have been overloaded: start with a few
		b.limit, b.lastFailure = max(1, b.maxInFlight/4), now
	}
}

// takeDelayed returns the mails that wait for a retry because a relay that is up again had refused every recipient. It returns each once.
func (b *breaker) takeDelayed() (mails []uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.rescheduling {
		mails = append(mails, id)
	}
	b.rescheduling = nil
	return mails
}
