package mail

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// enterAll lets in as many as the gate wants to have, and counts them.
func enterAll(g *gate, now time.Time) (n int, wait time.Duration) {
	for {
		open, wait := g.open(now)
		if !open {
			return n, wait
		}
		g.enter()
		n++
	}
}

// failAll lets everything under way fail, and tells how often that made the relay down.
func failAll(g *gate, now time.Time) (down int) {
	for g.underWay > 0 {
		if g.failed(now) {
			down++
		}
		g.leave()
	}
	return down
}

func TestGateOfARelayThatIsDown(t *testing.T) {
	t.Parallel()
	g, now := newGate(8), sampleDate
	if n, _ := enterAll(g, now); n != 8 || g.down() {
		t.Fatalf("%d mails under way", n)
	}
	if failAll(g, now) != 1 || !g.down() {
		t.Fatal("not down, or not once")
	}
	// One probe at a time, at growing intervals.
	began, probes := now, 0
	for longest := probeMin; now.Sub(began) < 10*time.Minute; longest = min(2*longest, probeMax) {
		n, wait := enterAll(g, now)
		if n != 0 || wait < longest/2 || wait > longest {
			t.Fatalf("%d mails at once; the next one after %s, want %s to %s", n, wait, longest/2, longest)
		}
		if n, _ := enterAll(g, now.Add(wait-time.Nanosecond)); n != 0 {
			t.Fatal("a probe in the pause")
		}
		now = now.Add(wait)
		if n, wait := enterAll(g, now); n != 1 || wait < time.Minute {
			t.Fatalf("%d probes, look again after %s", n, wait)
		}
		probes++
		if failAll(g, now) != 0 || !g.down() {
			t.Fatal("down again, or not any more")
		}
	}
	if probes < 40 || probes > 90 {
		t.Errorf("%d probes in 10 minutes", probes)
	}
	// The first success brings full speed.
	now = now.Add(probeMax)
	enterAll(g, now)
	if was, after := g.worked(now); !was || after != now.Sub(began) {
		t.Errorf("was down: %t, for %s instead of %s", was, after, now.Sub(began))
	}
	if n, _ := enterAll(g, now); n != 7 {
		t.Errorf("%d more under way", n)
	}
	if was, _ := g.worked(now); was || g.down() {
		t.Error("up twice")
	}
	// The next outage begins with the shortest pause.
	if failAll(g, now) != 1 {
		t.Error("not down again")
	}
	if open, wait := g.open(now); open || wait > probeMin {
		t.Errorf("the first probe after %s", wait)
	}
}

// A relay that allows three connections gets about three.
func TestGateOfABusyRelay(t *testing.T) {
	t.Parallel()
	g, now := newGate(8), sampleDate
	const allowed = 3
	refused := 0
	for range 60 { // seconds
		for range 20 {
			enterAll(g, now)
			for g.underWay > allowed {
				refused++
				if g.failed(now) {
					t.Fatal("down, though three mails are under way")
				}
				g.leave()
			}
			if g.underWay != allowed {
				t.Fatalf("%d mails under way", g.underWay)
			}
			for range allowed {
				if was, _ := g.worked(now); was {
					t.Fatal("was down")
				}
				g.leave()
			}
			now = now.Add(50 * time.Millisecond)
		}
	}
	if refused < 5 || refused > 80 { // it asks for one more about each second
		t.Errorf("%d refused in a minute", refused)
	}
	// When it allows more again, it gets more.
	now = now.Add(10 * time.Second)
	if n, _ := enterAll(g, now); n != 8 {
		t.Errorf("%d mails under way", n)
	}
}

// A mail that is stuck does not hide that the relay is down, nor do others that are on their way for long.
func TestGateWithAMailThatIsStuck(t *testing.T) {
	t.Parallel()
	g, now := newGate(8), sampleDate
	down, second := 0, 0
	g.enter()                                  // stuck
	for ; down == 0 && second < 60; second++ { // seconds
		enterAll(g, now)
		for g.underWay > 1 {
			if g.failed(now) {
				down++
			}
			g.leave()
		}
		now = now.Add(time.Second)
	}
	if down != 1 || second > 5 {
		t.Fatalf("down %d times after %d s", down, second)
	}
	if n, _ := enterAll(g, now.Add(probeMax)); n != 0 {
		t.Errorf("%d probes beside it", n)
	}
	g.worked(now) // the stuck one came through
	g.leave()
	if n, _ := enterAll(g, now); n != 8 {
		t.Errorf("%d mails under way", n)
	}
}

// Refusals that may be of one mail or of all: several different recipients in a row are all.
func TestGateOfARelayThatRefusesEverybody(t *testing.T) {
	t.Parallel()
	g, now := newGate(8), sampleDate
	decline := func(recipient string) (down, first bool) {
		g.enter()
		defer g.leave()
		return g.declined(now, recipient, uuid.New())
	}
	for range 100 { // one recipient, however often
		if down, _ := decline("a"); down || g.down() {
			t.Fatal("down because of one recipient")
		}
	}
	decline("b")
	g.worked(now) // somebody was accepted
	if down, _ := decline("c"); down {
		t.Fatal("down after an acceptance")
	}
	decline("d")
	g.answered(now) // somebody does not exist: that says nothing
	if down, first := decline("e"); !down || !first || !g.down() {
		t.Fatal("not down after three recipients in a row")
	}
	if n, wait := enterAll(g, now); n != 0 || wait > probeMin {
		t.Errorf("%d mails at once, the next one after %s", n, wait)
	}
	for range 10 { // the probes fail too, whoever they are for
		now = now.Add(probeMax)
		if n, _ := enterAll(g, now); n != 1 {
			t.Fatalf("%d probes", n)
		}
		if down, first := g.declined(now, "a", uuid.New()); !down || first {
			t.Fatal("up, or down anew")
		}
		g.leave()
	}
	if was, _ := g.answered(now); was || !g.down() {
		t.Error("up because a mailbox does not exist")
	}
	// The first acceptance ends it; not all come at once.
	if was, _ := g.worked(now); !was || g.down() {
		t.Error("still down")
	}
	if n, wait := enterAll(g, now); n != 2 || wait > regrowth {
		t.Errorf("%d mails at once, then after %s", n, wait)
	}
	if n, _ := enterAll(g, now.Add(6*regrowth)); n != 6 {
		t.Errorf("%d mails more", n)
	}
	if waiting := g.release(); len(waiting) != 2 || len(g.release()) != 0 { // c and d, who were counted
		t.Errorf("%d mails wait for their own attempts", len(waiting))
	}
}

// A relay that could not be reached and now puts somebody off is up again.
func TestGateOfARelayThatAnswersAgain(t *testing.T) {
	t.Parallel()
	g, now := newGate(8), sampleDate
	g.enter()
	if !g.failed(now) {
		t.Fatal("not down")
	}
	if down, _ := g.declined(now, "a", uuid.New()); down {
		t.Error("down because of one recipient")
	}
	if was, _ := g.answered(now); !was || g.down() {
		t.Error("still down")
	}
}
