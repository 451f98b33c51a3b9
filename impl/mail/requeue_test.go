package mail

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
)

func (f *fixture) retry(t *testing.T, id uuid.UUID) (uuid.UUID, error) {
	t.Helper()
	return Retry(t.Context(), f.Store, f.Root, id, f.Clock.Now())
}

func (f *fixture) expectCannotRetry(t *testing.T, id uuid.UUID, want CannotRetryError) {
	t.Helper()
	if _, err := f.retry(t, id); !errors.Is(err, want) {
		t.Errorf("retry: %v, want %v", err, want)
	}
}

// rejectAll makes each mail fail permanently.
func rejectAll(context.Context, Envelope) error { return permanent(errors.New("550 no such user")) }

func TestRetryWaitingMail(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		id, _ := f.enqueueLink(t, account, "signup", time.Hour)
		f.expectCannotRetry(t, id, errDue)
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.expectCannotRetry(t, id, errDue) // it is being sent, and must not be sent twice
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.deliver(t.Context(), t.Context(), m)
		if f.deliverNext(t) {
			t.Fatal("due immediately")
		}
		if got, err := f.retry(t, id); err != nil || got != id {
			t.Fatalf("retry: %s, %v", got, err)
		}
		f.transport.failWith(nil)
		if !f.deliverNext(t) {
			t.Fatal("not due")
		}
		f.expectRow(t, id, row{Sent: true, Attempts: 2})
		f.expectCannotRetry(t, id, errSent)
		f.expectCannotRetry(t, uuid.New(), errUnknown)
	})
}

func TestRetryFailedLink(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.transport.failWith(rejectAll)
		old, confirmation := f.enqueueLink(t, account, "signup", 48*time.Hour)
		f.deliverNext(t)
		f.clock.Advance(25 * time.Hour)
		newID, err := f.retry(t, old)
		if err != nil || newID == old {
			t.Fatalf("retry: %s, %v", newID, err)
		}
		f.expectCannotRetry(t, old, errUnknown) // replaced by the new one
		f.expectCannotRetry(t, newID, errDue)
		// The new one has its own day.
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.deliverNext(t)
		f.expectRow(t, newID, row{Attempts: 1, LastError: "450 greylisted"})
		f.transport.failWith(nil)
		f.clock.Advance(time.Minute)
		f.deliverNext(t)
		f.expectRow(t, newID, row{Sent: true, Attempts: 2})
		if got, want := secretOf(t, f.transport.sent()[0], "/u/"), link.URL(testPublicURL, f.Links.Key(confirmation), "request-0001"); got != want {
			t.Errorf("link %s, want %s", got, want)
		}
	})
}

func TestRetryUselessLink(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.transport.failWith(rejectAll)
		late, _ := f.enqueueLink(t, account, "signup", time.Hour)
		replaced, _ := f.enqueueLink(t, account, "password", time.Hour)
		f.deliverNext(t)
		f.deliverNext(t)
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		used, _ := f.enqueueLink(t, account, "password", 2*time.Hour)
		f.deliverNext(t)
		f.expectCannotRetry(t, replaced, errLink)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			return q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account, Purpose: "password"})
		})
		f.expectCannotRetry(t, used, errLink)
		f.clock.Advance(time.Hour)
		f.expectCannotRetry(t, late, errLink)
		f.expectRow(t, late, row{Dead: true, Attempts: 1, LastError: "550 no such user"}) // unchanged
	})
}

func TestRetryFailedPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.transport.failWith(rejectAll)
		old := f.enqueuePassword(t, account)
		f.deliverNext(t)
		newID, err := f.retry(t, old)
		if err != nil {
			t.Fatal(err)
		}
		f.transport.failWith(nil)
		f.deliverNext(t)
		f.expectRow(t, newID, row{Sent: true, Attempts: 1})
		tried := f.transport.attempts()
		lost, got := secretOf(t, tried[0], "-"), secretOf(t, tried[1], "-")
		if lost == got || f.passwordWorks(t, account, lost) || !f.passwordWorks(t, account, got) {
			t.Error("the new password does not work, or the old one does")
		}
	})
}

// A retry of an older password must not make a newer one stop working.
func TestRetryReplacedPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.transport.failWith(rejectAll)
		old := f.enqueuePassword(t, account)
		f.deliverNext(t)
		newer := f.enqueuePassword(t, account)
		f.expectCannotRetry(t, old, errReplaced) // queued
		f.transport.failWith(nil)
		f.deliverNext(t)
		f.expectCannotRetry(t, old, errReplaced) // sent
		f.clock.Advance(SentRetention + time.Hour)
		if _, err := f.raw.ExecContext(t.Context(), "DELETE FROM mail WHERE sent_at IS NOT NULL"); err != nil {
			t.Fatal(err)
		}
		f.expectCannotRetry(t, old, errReplaced) // deleted
		f.expectCannotRetry(t, newer, errUnknown)
		if n, _, dead := f.left(t); n != 0 || dead != 1 {
			t.Errorf("%d queued, %d dead", n, dead)
		}
	})
}

// If several commands retry a permanently failed mail at the same time, one new mail is enqueued.
func TestConcurrentRetries(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.transport.failWith(rejectAll)
		old := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		f.deliverNext(t)
		var all sync.WaitGroup
		failures := make([]error, 8)
		for i := range failures {
			all.Go(func() { _, failures[i] = Retry(t.Context(), f.Store, f.Root, old, f.Clock.Now()) })
		}
		all.Wait()
		refused := 0
		for _, err := range failures {
			if errors.Is(err, errUnknown) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if queued, _, dead := f.left(t); refused != len(failures)-1 || queued != 1 || dead != 0 {
			t.Errorf("%d refused, %d queued, %d dead", refused, queued, dead)
		}
	})
}
