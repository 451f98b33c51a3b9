package mail

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// acquireAll acquires as many mails as the breaker allows, and counts them.
func acquireAll(b *breaker, now time.Time) (n int, wait time.Duration) {
	for {
		ok, wait := b.allow(now)
		if !ok {
			return n, wait
		}
		b.acquire()
		n++
	}
}

// failAll makes all mails that are being sent fail, and counts how often that opened the breaker.
func failAll(b *breaker, now time.Time) (opened int) {
	for b.inFlight > 0 {
		if b.recordRelayFailure(now) {
			opened++
		}
		b.release()
	}
	return opened
}

func TestBreakerRelayDown(t *testing.T) {
	t.Parallel()
	b, now := newBreaker(8), sampleDate
	if n, _ := acquireAll(b, now); n != 8 || b.isOpen() {
		t.Fatalf("%d mails in flight", n)
	}
	if failAll(b, now) != 1 || !b.isOpen() {
		t.Fatal("the breaker did not open, or not once")
	}
	// One probe at a time, after growing pauses.
	began, probes := now, 0
	for longest := probeMin; now.Sub(began) < 10*time.Minute; longest = min(2*longest, probeMax) {
		n, wait := acquireAll(b, now)
		if n != 0 || wait < longest/2 || wait > longest {
			t.Fatalf("%d mails allowed; the next one after %s, want %s to %s", n, wait, longest/2, longest)
		}
		if n, _ := acquireAll(b, now.Add(wait-time.Nanosecond)); n != 0 {
			t.Fatal("a probe during the pause")
		}
		now = now.Add(wait)
		if n, wait := acquireAll(b, now); n != 1 || wait < time.Minute {
			t.Fatalf("%d probes, the next check after %s", n, wait)
		}
		probes++
		if failAll(b, now) != 0 || !b.isOpen() {
			t.Fatal("opened again, or closed")
		}
	}
	if probes < 40 || probes > 90 {
		t.Errorf("%d probes in 10 minutes", probes)
	}
	// The first success closes the breaker.
	now = now.Add(probeMax)
	acquireAll(b, now)
	if was, after := b.recordAccepted(now); !was || after != now.Sub(began) {
		t.Errorf("closed: %t, after %s instead of %s", was, after, now.Sub(began))
	}
	if n, _ := acquireAll(b, now); n != 7 {
		t.Errorf("%d more in flight", n)
	}
	if was, _ := b.recordAccepted(now); was || b.isOpen() {
		t.Error("closed twice")
	}
	// The next outage starts with the shortest pause.
	if failAll(b, now) != 1 {
		t.Error("did not open again")
	}
	if ok, wait := b.allow(now); ok || wait > probeMin {
		t.Errorf("the first probe after %s", wait)
	}
}

// A relay that allows three connections gets about three.
func TestBreakerLowersConcurrencyLimit(t *testing.T) {
	t.Parallel()
	b, now := newBreaker(8), sampleDate
	const allowed = 3
	refused := 0
	for range 60 { // seconds
		for range 20 {
			acquireAll(b, now)
			for b.inFlight > allowed {
				refused++
				if b.recordRelayFailure(now) {
					t.Fatal("opened, although three mails were accepted")
				}
				b.release()
			}
			if b.inFlight != allowed {
				t.Fatalf("%d mails in flight", b.inFlight)
			}
			for range allowed {
				if was, _ := b.recordAccepted(now); was {
					t.Fatal("was open")
				}
				b.release()
			}
			now = now.Add(50 * time.Millisecond)
		}
	}
	if refused < 5 || refused > 80 { // it tries one more about each second
		t.Errorf("%d refused in a minute", refused)
	}
	// When it allows more again, the limit grows.
	now = now.Add(10 * time.Second)
	if n, _ := acquireAll(b, now); n != 8 {
		t.Errorf("%d mails in flight", n)
	}
}

// The breaker opens although one mail is stuck, and does not probe until the stuck mail ends.
func TestBreakerWithStuckMail(t *testing.T) {
	t.Parallel()
	b, now := newBreaker(8), sampleDate
	down, second := 0, 0
	b.acquire() // stuck
	for ; down == 0 && second < 60; second++ {
		acquireAll(b, now)
		for b.inFlight > 1 {
			if b.recordRelayFailure(now) {
				down++
			}
			b.release()
		}
		now = now.Add(time.Second)
	}
	if down != 1 || second > 5 {
		t.Fatalf("opened %d times after %d s", down, second)
	}
	if n, _ := acquireAll(b, now.Add(probeMax)); n != 0 {
		t.Errorf("%d probes meanwhile", n)
	}
	b.recordAccepted(now) // the stuck mail was accepted
	b.release()
	if n, _ := acquireAll(b, now); n != 8 {
		t.Errorf("%d mails in flight", n)
	}
}

// Refusals may concern one mail or all: several different recipients in a row count as every recipient.
func TestBreakerRelayRefusesEveryone(t *testing.T) {
	t.Parallel()
	b, now := newBreaker(8), sampleDate
	refuse := func(recipient string) (down, opened bool) {
		b.acquire()
		defer b.release()
		return b.recordRefused(now, recipient, uuid.New())
	}
	for range 100 { // one recipient, however often
		if down, _ := refuse("a"); down || b.isOpen() {
			t.Fatal("opened because of one recipient")
		}
	}
	refuse("b")
	b.recordAccepted(now) // another recipient was accepted
	if down, _ := refuse("c"); down {
		t.Fatal("opened after an acceptance")
	}
	refuse("d")
	b.recordReply(now) // a recipient does not exist: that proves nothing
	if down, opened := refuse("e"); !down || !opened || !b.isOpen() {
		t.Fatal("not opened after three recipients in a row")
	}
	if n, wait := acquireAll(b, now); n != 0 || wait > probeMin {
		t.Errorf("%d mails allowed, the next one after %s", n, wait)
	}
	for range 10 { // the probes fail, too
		now = now.Add(probeMax)
		if n, _ := acquireAll(b, now); n != 1 {
			t.Fatalf("%d probes", n)
		}
		if down, opened := b.recordRefused(now, "a", uuid.New()); !down || opened {
			t.Fatal("closed, or opened anew")
		}
		b.release()
	}
	if was, _ := b.recordReply(now); was || !b.isOpen() {
		t.Error("closed because a mailbox does not exist")
	}
	// The first acceptance closes the breaker; the concurrency limit starts low.
	if was, _ := b.recordAccepted(now); !was || b.isOpen() {
		t.Error("still open")
	}
	if n, wait := acquireAll(b, now); n != 2 || wait > regrowth {
		t.Errorf("%d mails allowed, then after %s", n, wait)
	}
	if n, _ := acquireAll(b, now.Add(6*regrowth)); n != 6 {
		t.Errorf("%d mails more", n)
	}
	if delayed := b.takeDelayed(); len(delayed) != 2 || len(b.takeDelayed()) != 0 { // the mails to c and d, which were retried
		t.Errorf("%d delayed mails", len(delayed))
	}
}

// A relay that could not be reached and now refuses a mail is up again.
func TestBreakerClosesOnReply(t *testing.T) {
	t.Parallel()
	b, now := newBreaker(8), sampleDate
	b.acquire()
	if !b.recordRelayFailure(now) {
		t.Fatal("not open")
	}
	if down, _ := b.recordRefused(now, "a", uuid.New()); down {
		t.Error("opened because of one recipient")
	}
	if was, _ := b.recordReply(now); !was || b.isOpen() {
		t.Error("still open")
	}
}
