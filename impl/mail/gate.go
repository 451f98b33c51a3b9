package mail

import (
	"sync"
	"time"
)

// gate decides when one more mail may go to the relay, so that a relay in trouble is not hammered.
//
// The relay is down when every mail that was under way has failed because of it. Then one mail at a time probes it, at
// growing intervals, until one comes through, and with that full speed returns. A relay that refuses some of the
// mails under way, because it allows fewer connections than we want, is not down: it gets as many at once as it bore.
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
}

const (
	probeMin = 2 * time.Second // a pause is at least half as long as these say
	probeMax = 15 * time.Second
	regrowth = time.Second
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
	first := g.longest == 0
	if first {
		g.since = now
	}
	g.cut, g.longest = now, min(max(2*g.longest, probeMin), probeMax)
	g.pause = spread(g.longest)
	return first
}

// worked takes note that the relay has heard a mail and decided about it. If it was down, it says for how long.
func (g *gate) worked(now time.Time) (wasDown bool, after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = 0
	if g.longest == 0 {
		return false, 0
	}
	g.limit, g.longest, g.pause = g.most, 0, 0
	return true, now.Sub(g.since)
}
