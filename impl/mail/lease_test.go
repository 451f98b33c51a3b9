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

// commitBetween is a relay that waits before and after the attempt is committed.
func commitBetween(before, after time.Duration) func(context.Context, Envelope) error {
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

// TestLeaseIsRenewed expects the holder of a mail that takes longer than its lease to renew it, so that no other worker takes it.
func TestLeaseIsRenewed(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		f.transport.failWith(commitBetween(time.Minute, 30*time.Second))
		id := f.enqueueMany(t, 1)[0]
		for range 3 {
			runWorker(t, f.newWorker(t, f.withRealClock()))
		}
		time.Sleep(95 * time.Second)
		synctest.Wait()
		if n := len(f.transport.attempts()); n != 1 {
			t.Errorf("%d attempts", n)
		}
		f.expectRow(t, id, row{Sent: true, Attempts: 1})
	})
}

// TestLeaseOfDeadProcessIsTakenOver expects the mail of a process that died to be taken over within 20 s, whatever the timeout of a step.
func TestLeaseOfDeadProcessIsTakenOver(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		id := f.enqueueMany(t, 1)[0]
		if _, err := f.leaseNext(t.Context()); err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		runWorker(t, f.Worker)
		f.awaitSent(t, 1, time.Minute)
		if took := time.Since(died); took < leaseLength || took > 20*time.Second {
			t.Errorf("taken over after %s", took)
		}
		synctest.Wait()
		eventuallyFakeTime(t, func() bool { return f.row(t, id) == row{Sent: true, Attempts: 2} })
	})
}

// eventuallyFakeTime waits until a condition holds, in a synctest bubble.
func eventuallyFakeTime(t *testing.T, ok func() bool) {
	t.Helper()
	for range 100 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("never")
}

// A replica whose clock differs by maxClockSkew never sends a mail at the same time as its holder, even if the holder has lost the database:
// the holder has stopped by then.
func TestLeaseWithClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{-maxClockSkew, maxClockSkew} {
		t.Run(skew.String(), func(t *testing.T) {
			withFakeTime(t, func(t *testing.T, f *fixture) {
				id := f.enqueueMany(t, 1)[0]
				store, err := db.Open(t.Context(), f.url)
				if err != nil {
					t.Fatal(err)
				}
				var sent, cut atomic.Int64
				cfg := f.withRealClock()
				cfg.Store = store
				cfg.Transport = transportFunc(func(ctx context.Context, env Envelope) error {
					if err := store.Close(); err != nil { // so that it cannot renew
						t.Error(err)
					}
					err := commitBetween(time.Minute, 0)(ctx, env)
					if err == nil {
						sent.Add(1)
					} else {
						cut.Store(time.Now().UnixNano())
					}
					return err
				})
				holder := f.newWorker(t, cfg)
				m, err := holder.leaseNext(t.Context())
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
				runWorker(t, f.newWorker(t, other))
				f.awaitSent(t, 1, time.Minute)
				took := time.Since(began)
				cancel()
				<-done
				stoppedAfter := time.Unix(0, cut.Load()).Sub(began)
				if sent.Load() != 0 || cut.Load() == 0 || stoppedAfter > took || took > leaseLength+maxClockSkew+2*time.Second {
					t.Errorf("sent %d times by its holder, which stopped after %s; taken over after %s", sent.Load(), stoppedAfter, took)
				}
				eventuallyFakeTime(t, func() bool { return f.row(t, id) == row{Sent: true, Attempts: 2} })
			})
		})
	}
}

type transportFunc func(context.Context, Envelope) error

func (f transportFunc) Send(ctx context.Context, env Envelope) error { return f(ctx, env) }

// A process that was suspended while another one took its mail over does not send it when it resumes.
func TestSuspendedHolderDoesNotSend(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		id := f.enqueueMany(t, 1)[0]
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(leaseLength)
		if !f.deliverNext(t) {
			t.Fatal("not taken over")
		}
		m.heldUntil = time.Now().Add(100 * time.Millisecond)
		var late error
		cfg := f.Config
		cfg.Transport = transportFunc(func(_ context.Context, env Envelope) error {
			time.Sleep(200 * time.Millisecond) // does not react to the end of its context
			late = env.Commit()
			return late
		})
		f.newWorker(t, cfg).deliver(t.Context(), t.Context(), m)
		if !errors.Is(late, errLeaseLost) {
			t.Errorf("committed: %v", late)
		}
		f.expectRow(t, id, row{Sent: true, Attempts: 2})
		h := &leaseHolder{heldUntil: time.Now()} // the goroutine that renews has not run yet
		if err := h.commit(); !errors.Is(err, errLeaseLost) {
			t.Errorf("committed: %v", err)
		}
	})
}

// If Commit fails, a transport neither sends the end of the message nor creates a file.
func TestTransportsCallCommit(t *testing.T) {
	t.Parallel()
	r := new(recorder).start(t)
	for name, url := range map[string]string{"smtp": "smtp://" + net.JoinHostPort("127.0.0.1", r.port) + "?tls=none", "file": "file:" + t.TempDir()} {
		transport := open(t, url, 10*time.Second)
		env := sampleEnvelope()
		env.Commit = func() error { return errLeaseLost }
		if err := transport.Send(t.Context(), env); !errors.Is(err, errLeaseLost) {
			t.Errorf("%s: %v", name, err)
		}
		if _, mails := r.recorded(); len(mails) != 0 {
			t.Errorf("%s: the mail was sent", name)
		}
		if files, ok := transport.(*Files); ok {
			if left, err := os.ReadDir(files.Dir); err != nil || len(left) != 0 {
				t.Errorf("%d files, %v", len(left), err)
			}
		}
	}
}

// Once the relay may have the mail, a lost lease does not cancel the attempt: the relay's reply is needed.
func TestCommittedAttemptIsNotCancelled(t *testing.T) {
	withFakeTime(t, func(t *testing.T, f *fixture) {
		id := f.enqueueMany(t, 1)[0]
		f.transport.failWith(commitBetween(time.Second, 20*time.Second))
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.DueAt = m.DueAt.Add(time.Microsecond) // so that it cannot be renewed
		f.deliver(t.Context(), t.Context(), m)
		if n := len(f.transport.sent()); n != 1 || f.countLogged("mail.lease_lost") != 1 {
			t.Errorf("%d sent, log: %s", n, f.log)
		}
		if r := f.row(t, id); r.Sent {
			t.Errorf("%+v", r)
		}
	})
}

// A renewal that failed may have been committed. The holder reads the row to find out.
func TestUncertainRenewal(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		id := f.enqueueMany(t, 1)[0]
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		until := m.DueAt.Add(3 * time.Second)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			_, err := q.RenewMailLease(ctx, db.RenewMailLeaseParams{ID: m.ID, Attempts: m.Attempts, LeaseUntil: m.DueAt, RenewedUntil: until})
			return err
		})
		for name, uncertain := range map[string]time.Time{"committed": until, "not committed": until.Add(time.Second)} {
			h := &leaseHolder{worker: f.Worker, id: m.ID, attempts: m.Attempts, dueAt: until, uncertain: &uncertain, heldUntil: m.heldUntil, cancel: func() {},
				stop: make(chan struct{}), stopped: make(chan struct{})}
			if name == "committed" {
				h.dueAt = m.DueAt
			}
			close(h.stopped)
			if dueAt, lost := h.finish(t.Context()); !dueAt.Equal(until) || lost {
				t.Errorf("%s: the lease ends at %s, want %s; lost: %t", name, dueAt, until, lost)
			}
		}
		f.expectRow(t, id, row{Attempts: 1})
	})
}

// After an outage of the database, during which no lease could be renewed, holders get time to record what they have sent.
func TestLeasesAfterOutage(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		held := f.enqueueMany(t, 1)[0]
		if _, err := f.leaseNext(t.Context()); err != nil {
			t.Fatal(err)
		}
		outage := f.Clock.Now().Add(10 * time.Second)
		f.clock.Advance(time.Minute)
		newer := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		d := &dispatcher{Worker: f.Worker, inProgress: make(map[uuid.UUID]bool), databaseDown: true, outage: outage}
		if due, err := d.listDue(t.Context(), 10); err != nil || len(due) != 1 || due[0] != newer {
			t.Errorf("during it: %v, %v", due, err)
		}
		d.noteDatabaseUp()
		if due, err := d.listDue(t.Context(), 10); err != nil || len(due) != 1 || due[0] != newer {
			t.Errorf("just after it: %v, %v", due, err)
		}
		d.recovered = time.Now().Add(-maxClockSkew)
		if due, err := d.listDue(t.Context(), 10); err != nil || len(due) != 2 || !slices.Contains(due, held) {
			t.Errorf("later: %v, %v", due, err)
		}
		d.recovered, d.outage = time.Now(), f.Clock.Now() // the lease ended before the outage, so its holder is dead
		if due, err := d.listDue(t.Context(), 10); err != nil || len(due) != 2 {
			t.Errorf("dead before: %v, %v", due, err)
		}
	})
}

// The mail of a dead process is taken over when its lease ends, not before. If the process resumes, it changes nothing.
func TestLeaseTakeover(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		mailID := f.enqueuePassword(t, account)
		dead, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dead.heldUntil = time.Now() // by its own clock
		f.clock.Advance(leaseLength - time.Microsecond)
		if f.deliverNext(t) {
			t.Fatal("taken over before its lease ended")
		}
		f.clock.Advance(time.Microsecond)
		if !f.deliverNext(t) {
			t.Fatal("not taken over")
		}
		f.expectRow(t, mailID, row{Sent: true, Attempts: 2})
		until := f.readAccount(t, account).PendingPasswordExpiresAt

		f.clock.Advance(time.Minute)
		f.transport.failWith(func(context.Context, Envelope) error { return permanent(errors.New("550 no")) })
		f.deliver(t.Context(), t.Context(), dead)
		f.expectRow(t, mailID, row{Sent: true, Attempts: 2})
		if got := f.readAccount(t, account); got.PendingPasswordHash == nil || !got.PendingPasswordExpiresAt.Equal(*until) {
			t.Errorf("the late worker changed the account: %+v", got)
		}
		if f.countLogged("mail.lease_lost") != 1 || f.countLogged("mail.dead") != 0 {
			t.Errorf("log: %s", f.log)
		}
	})
}

// The database becomes unavailable after the relay has accepted the mail and before that is recorded. The same mail is sent again when its
// lease ends, so that the receiver can drop it.
func TestDatabaseUnavailableAfterSending(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mailID := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		store, err := db.Open(t.Context(), f.url)
		if err != nil {
			t.Fatal(err)
		}
		cfg := f.Config
		cfg.Store = store
		w := f.newWorker(t, cfg)
		m, err := w.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		recording, giveUp := context.WithCancel(t.Context())
		f.transport.failWith(func(context.Context, Envelope) error {
			time.AfterFunc(100*time.Millisecond, giveUp)
			return store.Close()
		})
		w.deliver(t.Context(), recording, m)
		if f.countLogged("mail.record_failed") != 1 || f.countLogged("mail.sent") != 0 {
			t.Errorf("log: %s", f.log)
		}
		f.expectRow(t, mailID, row{Nonce: true, Attempts: 1})

		f.transport.failWith(nil)
		f.clock.Advance(leaseLength)
		if !f.deliverNext(t) {
			t.Fatal("not taken over")
		}
		f.expectRow(t, mailID, row{Sent: true, Attempts: 2})
		sent := f.transport.sent()
		if len(sent) != 2 || secretOf(t, sent[0], "-") != secretOf(t, sent[1], "-") {
			t.Errorf("%d mails, or not the same", len(sent))
		}
	})
}
