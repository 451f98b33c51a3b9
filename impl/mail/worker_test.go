package mail

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Several workers share an outbox: each mail is sent once.
func TestWorkersSideBySide(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		const mails = 60
		for i := range mails {
			account := f.account(t, fmt.Sprintf("person%d@example.org", i), []string{"en", "ru"}[i%2])
			if i%3 == 0 {
				f.enqueuePassword(t, account)
			} else {
				f.enqueueLink(t, account, "signup", time.Hour)
			}
		}
		var stops []func()
		for range 3 {
			w := f.newWorker(t, f.Config)
			stops = append(stops, runWorker(t, w))
			w.Wake()
		}
		eventually(t, "all mails are sent", func() bool { return len(f.transport.sent()) >= mails })
		for _, stop := range stops {
			stop()
		}
		seen := map[uuid.UUID]bool{}
		for _, env := range f.transport.attempts() {
			if seen[env.ID] {
				t.Errorf("%s was sent twice", env.ID)
			}
			seen[env.ID] = true
			if !f.row(t, env.ID).Sent {
				t.Errorf("%s is not recorded as sent", env.ID)
			}
		}
		if len(seen) != mails {
			t.Errorf("%d mails were sent, not %d", len(seen), mails)
		}
	})
}

// A slow mail delays no other one.
func TestSlowMailDelaysNoOther(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		slow := f.enqueuePassword(t, f.account(t, "slow@example.org", "en"))
		release := make(chan struct{})
		f.transport.failWith(func(_ context.Context, env Envelope) error {
			if env.ID == slow {
				<-release
			}
			return nil
		})
		stop := runWorker(t, f.Worker)
		eventually(t, "the slow mail is being sent", func() bool { return len(f.transport.attempts()) == 1 })
		for i := range 20 {
			f.enqueuePassword(t, f.account(t, fmt.Sprintf("person%d@example.org", i), "en"))
			f.Wake()
		}
		eventually(t, "the others are sent", func() bool { return len(f.transport.sent()) == 20 })
		close(release)
		stop()
		f.expectRow(t, slow, row{Sent: true, Attempts: 1})
	})
}

// Shutdown waits for the mail that is being sent and leases no other one.
func TestShutdownFinishesMailInFlight(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		cfg := f.Config
		cfg.Concurrency = 1
		w := f.newWorker(t, cfg)
		first := f.enqueuePassword(t, f.account(t, "first@example.org", "en"))
		f.clock.Advance(time.Microsecond)
		second := f.enqueuePassword(t, f.account(t, "second@example.org", "en"))
		reached, release := make(chan struct{}), make(chan struct{})
		f.transport.failWith(func(ctx context.Context, _ Envelope) error {
			close(reached)
			<-release
			return ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		<-reached
		cancel()
		select {
		case err := <-done:
			t.Errorf("did not wait for the mail: %v", err)
		case <-time.After(50 * time.Millisecond): // long enough to end wrongly
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.expectRow(t, first, row{Sent: true, Attempts: 1})
		f.expectRow(t, second, row{Nonce: true})
	})
}

// Shutdown does not wait forever. A mail whose attempt it cancels is due again immediately, for the next process.
func TestShutdownReleasesLease(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.StopTimeout = 50 * time.Millisecond
		mailID := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		reached := make(chan struct{})
		f.transport.failWith(func(ctx context.Context, _ Envelope) error {
			close(reached)
			<-ctx.Done()
			return ctx.Err()
		})
		stop := runWorker(t, f.Worker)
		<-reached
		stop()
		f.expectRow(t, mailID, row{Nonce: true, Attempts: 1, LastError: errStopped.Error()})
		f.transport.failWith(nil)
		if !f.deliverNext(t) {
			t.Fatal("the mail is not due immediately")
		}
		f.expectRow(t, mailID, row{Sent: true, Attempts: 2})
	})
}

// Wake never blocks, and a call while the worker is busy is not lost.
func TestWake(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		for range 100 {
			f.Wake()
		}
		runWorker(t, f.Worker)
		var sent atomic.Int64
		f.transport.failWith(func(context.Context, Envelope) error { sent.Add(1); return nil })
		start := time.Now()
		const mails = 20
		for i := range mails {
			f.enqueuePassword(t, f.account(t, fmt.Sprintf("person%d@example.org", i), "en"))
			f.Wake()
			eventually(t, "the mail is sent", func() bool { return sent.Load() == int64(i+1) })
		}
		// Without Wake, most of them would have waited for the poll, once a second.
		if took := time.Since(start); took > mails*pollInterval/2 {
			t.Errorf("%d mails took %s", mails, took)
		}
	})
}

// An idle worker finds mails that other processes have enqueued, and retries, without Wake.
func TestIdleWorkerPolls(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		runWorker(t, f.Worker)
		f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		eventually(t, "the mail is sent", func() bool { return len(f.transport.sent()) == 1 })
	})
}

func TestNewWorkerRefuses(t *testing.T) {
	t.Parallel()
	if _, err := NewWorker(Config{From: "nobody", Timeout: time.Second}); err == nil || !strings.Contains(err.Error(), "AUTH_MAIL_FROM") {
		t.Errorf("bad sender: %v", err)
	}
	if _, err := NewWorker(Config{From: sampleFrom}); err == nil || !strings.Contains(err.Error(), "AUTH_MAIL_TIMEOUT") {
		t.Errorf("no timeout: %v", err)
	}
}
