package mail

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// gate decides when one more mail may go to the relay, so that a relay in trouble is not hammered.
//
// The relay is down when every mail that was under way has failed because of it. Then one mail at a time probes it, at
// growing intervals, until one comes through, and with that full speed returns. A relay that refuses some of the
// mails under way, because it allows fewer connections than we want, is not down: it gets as many at once as it bore.
//
// A relay that refuses mails one by one is down too when it has refused several different recipients in a row and
// accepted nobody between.
type gate struct {
	most  int           // mails under way at once
	moved chan struct{} // a mail has left

	mu       sync.Mutex
	underWay int
	limit    int           // what the relay bears: most, or fewer at cut and since then one more in each regrowth
	cut      time.Time     // when the relay last refused
	failures int           // in a row
	longest  time.Duration // of the present pause between two probes; 0 while the relay is up
	pause    time.Duration
	since    time.Time // when the relay went down

	refused   map[string]bool    // the recipients that were refused since the relay last accepted a mail
	refusing  time.Time          // since when
	everybody bool               // whether that means everybody
	waiting   map[uuid.UUID]bool // their mails that wait for an attempt of their own
	released  map[uuid.UUID]bool // those of a relay that is up again
}

const (
	probeMin = 2 * time.Second // a pause is at least half as long as these say
	probeMax = 15 * time.Second
	regrowth = time.Second

	// refusedAll is how many different recipients make everybody: one of them may be greylisted, so many in a row hardly ever. If
	// nobody was accepted for refusedLong, two are enough.
	refusedAll  = 3
	refusedLong = 2 * time.Minute
	maxWaiting  = 1000
)

func newGate(most int) *gate {
	return &gate{most: most, limit: most, moved: make(chan struct{}, 1)}
}

// open tells whether one more mail may enter. If not, it says after how long to ask again unless one leaves first.
func (g *gate) open(now time.Time) (open bool, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit, wait := g.room(now)
	return g.underWay < limit, wait
}

// enter takes note that a mail is under way. It must leave.
func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay++
}

// room says how many mails may be under way, and for how long that holds.
func (g *gate) room(now time.Time) (limit int, wait time.Duration) {
	const forEver = time.Hour
	past := now.Sub(g.cut)
	switch {
	case g.longest == 0 && g.limit == g.most:
		return g.most, forEver
	case g.longest == 0:
		grown := g.limit + int(past/regrowth)
		if grown >= g.most {
			g.limit = g.most
			return g.most, forEver
		}
		return grown, regrowth - past%regrowth
	case past < g.pause:
		return 0, g.pause - past
	}
	return 1, forEver
}

func (g *gate) leave() {
	g.mu.Lock()
	g.underWay--
	g.mu.Unlock()
	select {
	case g.moved <- struct{}{}:
	default:
	}
}

// down tells whether the relay is.
func (g *gate) down() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.longest > 0
}

// failed takes note that a mail under way failed because of the relay, and is true if that makes the relay down.
func (g *gate) failed(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	others := g.underWay - 1
	g.failures++
	switch {
	case g.longest == 0 && others > 0 && g.failures < g.most:
		g.limit, g.cut = min(g.limit, others), now
		return false
	case g.longest > 0 && others > 0: // it set out before the relay went down, so it is no probe
		return false
	}
	return g.lower(now)
}

// lower makes the pause before the next probe longer, and is true if the relay was up until now. The caller holds the lock.
func (g *gate) lower(now time.Time) (first bool) {
	if first = g.longest == 0; first {
		g.since = now
	}
	g.cut, g.longest = now, min(max(2*g.longest, probeMin), probeMax)
	g.pause = spread(g.longest)
	return first
}

// declined takes note that the relay has refused a mail for a reason that may be the mail's alone or that of every mail. It says
// whether the relay is down, and whether that is news. If it is not down, the mail waits for its own next attempt.
func (g *gate) declined(now time.Time, recipient string, mail uuid.UUID) (down, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil {
		g.refused, g.waiting, g.refusing = make(map[string]bool), make(map[uuid.UUID]bool), now
	}
	if !g.everybody {
		g.refused[recipient] = true
		n := len(g.refused)
		g.everybody = n >= refusedAll || n > 1 && now.Sub(g.refusing) >= refusedLong
	}
	switch {
	case !g.everybody:
		if len(g.waiting) < maxWaiting {
			g.waiting[mail] = true
		}
		return false, false
	case g.longest > 0 && g.underWay > 1: // it set out before the relay went down, so it is no probe
		return true, false
	}
	return true, g.lower(now)
}

// answered takes note that the relay has heard a mail and decided about it, but has not accepted it: it is not unreachable any
// more. If it was, it says for how long.
func (g *gate) answered(now time.Time) (wasDown bool, after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = 0
	if g.longest == 0 || g.everybody {
		return false, 0
	}
	return g.lift(now), now.Sub(g.since)
}

// lift ends the pauses. The caller holds the lock.
func (g *gate) lift(now time.Time) bool {
	g.limit, g.longest, g.pause = g.most, 0, 0
	if g.everybody { // it may have been too busy: begin with a few
		g.limit, g.cut = max(1, g.most/4), now
	}
	return true
}

// worked takes note that the relay has accepted a mail. If it was down, it says for how long.
func (g *gate) worked(now time.Time) (wasDown bool, after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = 0
	if g.longest > 0 {
		wasDown, after = g.lift(now), now.Sub(g.since)
	}
	if g.everybody {
		g.released = g.waiting
	}
	g.refused, g.waiting, g.everybody = nil, nil, false
	return wasDown, after
}

// release gives, once, the mails that wait for their next attempt because a relay that is up again had refused everybody.
func (g *gate) release() (mails []uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.released {
		mails = append(mails, id)
	}
	g.released = nil
	return mails
}
