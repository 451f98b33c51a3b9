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

func (f *fixture) expectRefusal(t *testing.T, id uuid.UUID, want NotRetriedError) {
	t.Helper()
	if _, err := f.retry(t, id); !errors.Is(err, want) {
		t.Errorf("retry: %v, want %v", err, want)
	}
}

// refuse lets each mail die at once.
func refuse(context.Context, Envelope) error { return permanent(errors.New("550 no such user")) }

func TestRetryOfAWaitingMail(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		id, _ := f.queueLink(t, account, "signup", time.Hour)
		f.expectRefusal(t, id, errDue)
		m, err := f.leaseAny(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.expectRefusal(t, id, errDue) // it is on its way, and must not go twice
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.deliver(t.Context(), t.Context(), m)
		if f.step(t) {
			t.Fatal("due at once")
		}
		if got, err := f.retry(t, id); err != nil || got != id {
			t.Fatalf("retry: %s, %v", got, err)
		}
		f.out.failWith(nil)
		if !f.step(t) {
			t.Fatal("not due")
		}
		f.expect(t, id, row{Sent: true, Attempts: 2})
		f.expectRefusal(t, id, errSent)
		f.expectRefusal(t, uuid.New(), errUnknown)
	})
}

func TestRetryOfADeadLink(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.out.failWith(refuse)
		old, confirmation := f.queueLink(t, account, "signup", 48*time.Hour)
		f.step(t)
		f.clock.Advance(25 * time.Hour)
		fresh, err := f.retry(t, old)
		if err != nil || fresh == old {
			t.Fatalf("retry: %s, %v", fresh, err)
		}
		f.expectRefusal(t, old, errUnknown) // the fresh one is in its place
		f.expectRefusal(t, fresh, errDue)
		// It has a day of its own.
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		f.step(t)
		f.expect(t, fresh, row{Attempts: 1, LastError: "450 greylisted"})
		f.out.failWith(nil)
		f.clock.Advance(time.Minute)
		f.step(t)
		f.expect(t, fresh, row{Sent: true, Attempts: 2})
		if got, want := secretOf(t, f.out.sent()[0], "/u/"), link.URL(testPublicURL, f.Links.Key(confirmation), "request-0001"); got != want {
			t.Errorf("link %s, want %s", got, want)
		}
	})
}

func TestRetryOfAUselessLink(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.out.failWith(refuse)
		late, _ := f.queueLink(t, account, "signup", time.Hour)
		replaced, _ := f.queueLink(t, account, "password", time.Hour)
		f.step(t)
		f.step(t)
		f.out.failWith(func(context.Context, Envelope) error { return errors.New("450 greylisted") })
		used, _ := f.queueLink(t, account, "password", 2*time.Hour)
		f.step(t)
		f.expectRefusal(t, replaced, errLink)
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			return q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: account, Purpose: "password"})
		})
		f.expectRefusal(t, used, errLink)
		f.clock.Advance(time.Hour)
		f.expectRefusal(t, late, errLink)
		f.expect(t, late, row{Dead: true, Attempts: 1, LastError: "550 no such user"}) // as it was
	})
}

func TestRetryOfADeadPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.out.failWith(refuse)
		old := f.queuePassword(t, account)
		f.step(t)
		fresh, err := f.retry(t, old)
		if err != nil {
			t.Fatal(err)
		}
		f.out.failWith(nil)
		f.step(t)
		f.expect(t, fresh, row{Sent: true, Attempts: 1})
		tried := f.out.attempts()
		lost, got := secretOf(t, tried[0], "-"), secretOf(t, tried[1], "-")
		if lost == got || f.opens(t, account, lost) || !f.opens(t, account, got) {
			t.Error("not the fresh password opens the account")
		}
	})
}

// A password that was mailed later must not stop working because an older one is retried.
func TestRetryOfAReplacedPassword(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.out.failWith(refuse)
		old := f.queuePassword(t, account)
		f.step(t)
		newer := f.queuePassword(t, account)
		f.expectRefusal(t, old, errReplaced) // it waits
		f.out.failWith(nil)
		f.step(t)
		f.expectRefusal(t, old, errReplaced) // it was sent
		f.clock.Advance(sentRetention + time.Hour)
		if _, err := f.raw.ExecContext(t.Context(), "DELETE FROM mail WHERE sent_at IS NOT NULL"); err != nil {
			t.Fatal(err)
		}
		f.expectRefusal(t, old, errReplaced) // and forgotten
		f.expectRefusal(t, newer, errUnknown)
		if n, _, dead := f.left(t); n != 0 || dead != 1 {
			t.Errorf("%d queued, %d dead", n, dead)
		}
	})
}

// However many retry a dead mail at once, one mail is queued in its place.
func TestRetryTogether(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		f.out.failWith(refuse)
		old := f.queuePassword(t, f.account(t, "jane@example.org", "en"))
		f.step(t)
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
