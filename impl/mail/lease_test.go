package mail

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// commits is a relay that takes its time before the mail is its own, and after that.
func commits(before, after time.Duration) func(context.Context, Envelope) error {
	return func(ctx context.Context, env Envelope) error {
		if err := wait(ctx, before); err != nil {
			return err
		}
		if err := env.Commit(); err != nil {
			return err
		}
		return wait(ctx, after)
	}
}

func wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

// A mail that takes longer than its lease is kept by its living holder, however many look for it.
func TestLeaseIsRenewed(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		f.out.failWith(commits(time.Minute, 30*time.Second))
		id := f.queueMany(t, 1)[0]
		for range 3 {
			running(t, f.worker(t, f.withRealClock()))
		}
		time.Sleep(95 * time.Second)
		synctest.Wait()
		if n := len(f.out.attempts()); n != 1 {
			t.Errorf("%d attempts", n)
		}
		f.expect(t, id, row{Sent: true, Attempts: 1})
	})
}

// What a process held that is gone is taken over within 20 s, whatever the time-out of a step.
func TestLeaseOfTheDeadIsTakenOver(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		id := f.queueMany(t, 1)[0]
		if _, err := f.leaseAny(t.Context()); err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		running(t, f.Worker)
		f.awaitSent(t, 1, time.Minute)
		if took := time.Since(died); took < leaseLength || took > 20*time.Second {
			t.Errorf("taken over after %s", took)
		}
		synctest.Wait()
		eventuallyInBubble(t, func() bool { return f.row(t, id) == row{Sent: true, Attempts: 2} })
	})
}

// eventuallyInBubble waits for what needs the database.
func eventuallyInBubble(t *testing.T, ok func() bool) {
	t.Helper()
	for range 100 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("never")
}

// A replica whose clock is ahead or behind by as much as clocks may differ takes nothing from a holder who is alive, even if that
// one has lost the database: it has given up by then.
func TestLeaseAndClocksThatDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-maxClockSkew, maxClockSkew} {
		t.Run(skew.String(), func(t *testing.T) {
			inABubble(t, func(t *testing.T, f *fixture) {
				id := f.queueMany(t, 1)[0]
				store, err := db.Open(t.Context(), f.url)
				if err != nil {
					t.Fatal(err)
				}
				var sent, cut atomic.Int64
				cfg := f.withRealClock()
				cfg.Store = store
				cfg.Transport = transportFunc(func(ctx context.Context, env Envelope) error {
					if err := store.Close(); err != nil { // it will renew nothing
						t.Error(err)
					}
					err := commits(time.Minute, 0)(ctx, env)
					if err == nil {
						sent.Add(1)
					} else {
						cut.Store(time.Now().UnixNano())
					}
					return err
				})
				holder := f.worker(t, cfg)
				m, err := holder.leaseAny(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					holder.deliver(t.Context(), ctx, m)
				}()
				other := f.withRealClock()
				other.Clock = func() time.Time { return time.Now().Add(skew) }
				running(t, f.worker(t, other))
				f.awaitSent(t, 1, time.Minute)
				took := time.Since(began)
				cancel()
				<-done
				gaveUp := time.Unix(0, cut.Load()).Sub(began)
				if sent.Load() != 0 || cut.Load() == 0 || gaveUp > took || took > leaseLength+maxClockSkew+2*time.Second {
					t.Errorf("sent %d times by its holder, who gave up after %s; taken over after %s", sent.Load(), gaveUp, took)
				}
				eventuallyInBubble(t, func() bool { return f.row(t, id) == row{Sent: true, Attempts: 2} })
			})
		})
	}
}

type transportFunc func(context.Context, Envelope) error

func (f transportFunc) Send(ctx context.Context, env Envelope) error { return f(ctx, env) }

// A process that stood still, and was overtaken meanwhile, sends nothing when it goes on.
func TestHolderThatStoodStill(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		id := f.queueMany(t, 1)[0]
		m, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(leaseLength)
		if !f.step(t) {
			t.Fatal("not taken over")
		}
		m.ours = time.Now().Add(100 * time.Millisecond)
		var late error
		cfg := f.Config
		cfg.Transport = transportFunc(func(_ context.Context, env Envelope) error {
			time.Sleep(200 * time.Millisecond) // nothing that it does notices that time passes
			late = env.Commit()
			return late
		})
		f.worker(t, cfg).deliver(t.Context(), t.Context(), m)
		if !errors.Is(late, errLeaseLost) {
			t.Errorf("committed: %v", late)
		}
		f.expect(t, id, row{Sent: true, Attempts: 2})
		h := &hold{until: time.Now()} // and nothing had the time to notice
		if err := h.commit(); !errors.Is(err, errLeaseLost) {
			t.Errorf("committed: %v", err)
		}
	})
}

// No byte of the end of a message leaves, nor does a file appear, when the lease is lost before.
func TestTransportsCommit(t *testing.T) {
	t.Parallel()
	r := new(recorder).start(t)
	for name, url := range map[string]string{"smtp": "smtp://" + net.JoinHostPort("127.0.0.1", r.port) + "?tls=none", "file": "file:" + t.TempDir()} {
		transport := open(t, url, 10*time.Second)
		env := sampleEnvelope()
		env.Commit = func() error { return errLeaseLost }
		if err := transport.Send(t.Context(), env); !errors.Is(err, errLeaseLost) {
			t.Errorf("%s: %v", name, err)
		}
		if _, mails := r.said(); len(mails) != 0 {
			t.Errorf("%s: the mail was sent", name)
		}
		if files, ok := transport.(*Files); ok {
			if left, err := os.ReadDir(files.Dir); err != nil || len(left) != 0 {
				t.Errorf("%d files, %v", len(left), err)
			}
		}
	}
}

// Once the relay may have the mail, a lost lease does not cut the attempt off: its answer is worth waiting for.
func TestCommittedAttemptIsNotCutOff(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fixture) {
		id := f.queueMany(t, 1)[0]
		f.out.failWith(commits(time.Second, 20*time.Second))
		m, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.DueAt = m.DueAt.Add(time.Microsecond) // it cannot be renewed
		f.deliver(t.Context(), t.Context(), m)
		if n := len(f.out.sent()); n != 1 || f.logged("mail.lease_lost") != 1 {
			t.Errorf("%d sent, log: %s", n, f.log)
		}
		if r := f.row(t, id); r.Sent {
			t.Errorf("%+v", r)
		}
	})
}

// A renewal that failed may have been committed all the same. Then the lease is found again, and the mail recorded as sent.
func TestRenewalInDoubt(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		id := f.queueMany(t, 1)[0]
		m, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		until := m.DueAt.Add(3 * time.Second)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.RenewMailLease(ctx, db.RenewMailLeaseParams{ID: m.ID, Attempts: m.Attempts, LeaseUntil: m.DueAt, RenewedUntil: until})
			return err
		})
		for name, doubt := range map[string]time.Time{"committed": until, "not committed": until.Add(time.Second)} {
			h := &hold{worker: f.Worker, id: m.ID, attempts: m.Attempts, dueAt: until, doubt: &doubt, until: m.ours, cut: func() {},
				stop: make(chan struct{}), stopped: make(chan struct{})}
			if name == "committed" {
				h.dueAt = m.DueAt
			}
			close(h.stopped)
			if dueAt, lost := h.end(t.Context()); !dueAt.Equal(until) || lost {
				t.Errorf("%s: the lease ends at %s, want %s; lost: %t", name, dueAt, until, lost)
			}
		}
		f.expect(t, id, row{Attempts: 1})
	})
}

// After an outage of the database, in which nobody could renew, the living get the chance to record what they have sent.
func TestLeasesAfterAnOutage(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		held := f.queueMany(t, 1)[0]
		if _, err := f.leaseAny(t.Context()); err != nil {
			t.Fatal(err)
		}
		outage := f.Clock.Now().Add(10 * time.Second)
		f.clock.Advance(time.Minute)
		fresh := f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		d := &dispatcher{Worker: f.Worker, mine: make(map[uuid.UUID]bool), failing: true, outage: outage}
		if due, err := d.find(t.Context(), 10); err != nil || len(due) != 1 || due[0] != fresh {
			t.Errorf("during it: %v, %v", due, err)
		}
		d.answers()
		if due, err := d.find(t.Context(), 10); err != nil || len(due) != 1 || due[0] != fresh {
			t.Errorf("just after it: %v, %v", due, err)
		}
		d.back = time.Now().Add(-maxClockSkew)
		if due, err := d.find(t.Context(), 10); err != nil || len(due) != 2 || !slices.Contains(due, held) {
			t.Errorf("later: %v, %v", due, err)
		}
		d.back, d.outage = time.Now(), f.Clock.Now() // the lease ran out before the outage: its holder is dead
		if due, err := d.find(t.Context(), 10); err != nil || len(due) != 2 {
			t.Errorf("dead before: %v, %v", due, err)
		}
	})
}
