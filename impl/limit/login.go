package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

const (
	// maxFailures is how many failures in a row, of any age, switch an account's password off until it is reset by mail
	// (NIST SP 800-63B-4 section 3.2.2).
	maxFailures = 100
	// longestDelay is the most that a failed log-in delays the next one.
	longestDelay = 15 * time.Minute
	// forgetTries is after which pause the delays begin anew. The count of failures does not.
	forgetTries = 24 * time.Hour
)

// Try is one attempt to log in. The zero Try is not limited.
type Try struct {
	// PasswordOff says that the password no longer counts, only one that was just mailed.
	PasswordOff bool
	// SwitchesOff says that the password will not count any more if this try fails.
	SwitchesOff bool

	source  Use
	account Use
	key     []byte // of the row that delays
	counter []byte // of the account's row, where that is another one
	owner   *uuid.UUID
	free    int64
	at      int64 // when, in microseconds
}

// Attempt is who tries to log in.
type Attempt struct {
	Source    netip.Addr
	Address   string    // in its one spelling
	AccountID uuid.UUID // of the account with the address; Nil if there is none
	// Knows tells whether the account is at home at the source. It is asked only when others' failures delay the account.
	Knows func(ctx context.Context, source string) (bool, error)
}

// TryLogIn takes one try of the source and of the account, or fails with an [ExceededError].
//
// A stranger's failures delay all strangers, but not the sources at which the account is at home: those have delays
// of their own, so that nobody can lock an account's owner out.
func (l *Limits) TryLogIn(ctx context.Context, store *db.Store, now time.Time, a Attempt) (Try, error) {
	t := Try{at: now.UnixMicro(), source: l.From(LogInSource, a.Source), account: l.By(LogInAccount, a.Address)}
	if t.account.key == nil && t.source.key == nil {
		return t, nil
	}
	if t.account.key == nil {
		return t, l.TakeNow(ctx, store, now, t.source)
	}
	// An account is known by its id: that stays when AUTH_SECRET is changed, and so does the count.
	t.key, t.free = t.account.key, t.account.rate.Count
	if a.AccountID != uuid.Nil {
		t.key, t.owner = a.AccountID[:], &a.AccountID
	}
	err := l.take(ctx, store, now, &t)
	exceeded, limited := errors.AsType[*ExceededError](err)
	if !limited || exceeded.Limit != LogInAccount {
		return t, err
	}
	source := Source(a.Source)
	known, lookErr := a.Knows(ctx, source)
	if lookErr != nil {
		return t, fmt.Errorf("look whether the account knows the source: %w", lookErr)
	}
	if !known {
		return t, err
	}
	t.counter, t.key = t.key, slices.Concat(a.AccountID[:], l.key(LogInAccount, source))
	err = l.take(ctx, store, now, &t)
	return t, err
}

// take takes the uses of a try in one transaction, the source's row first: so does a success, so that the two can not wait for
// each other.
func (l *Limits) take(ctx context.Context, store *db.Store, now time.Time, t *Try) error {
	if err := look(ctx, store.Read(), now, t.source); err != nil {
		return err
	}
	wait, err := t.wait(ctx, store.Read(), now)
	if err != nil {
		return err
	}
	if wait > 0 {
		return t.tooEarly(wait)
	}
	return store.InTx(ctx, func(q *db.Queries) error {
		if err := l.Take(ctx, q, now, t.source); err != nil {
			return err
		}
		failures := int64(0)
		if t.counter != nil {
			var err error
			failures, err = q.CountLogInFailure(ctx, t.counter)
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				return fmt.Errorf("count a failed log-in: %w", err)
			}
		}
		row, err := q.TryLogIn(ctx, db.TryLogInParams{
			Key: t.key, AccountID: t.owner, Now: now.UnixMicro(), Free: t.free,
			Shortest: t.account.rate.refill(), Longest: longestDelay.Microseconds(), Forget: now.Add(-forgetTries).UnixMicro(),
		})
		if errors.Is(err, db.ErrNotFound) {
			wait, err := t.wait(ctx, q, now)
			if err != nil {
				return err
			}
			return t.tooEarly(wait)
		}
		if err != nil {
			return fmt.Errorf("count a log-in as failed: %w", err)
		}
		failures = max(failures, row.Failures)
		t.PasswordOff, t.SwitchesOff = failures > maxFailures, failures == maxFailures
		return nil
	})
}

// wait is how long the account's failures delay the try; not positive when they do not.
func (t *Try) wait(ctx context.Context, q *db.Queries, now time.Time) (time.Duration, error) {
	row, err := q.GetLogInFailure(ctx, t.key)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return 0, fmt.Errorf("look at the failed log-ins: %w", err)
	}
	return time.Duration(row.TriedAt+row.Delay-now.UnixMicro()) * time.Microsecond, nil
}

func (t *Try) tooEarly(wait time.Duration) error {
	return &ExceededError{Limit: LogInAccount, Rate: t.account.rate, Wait: max(wait, 0)}
}

// Succeeded ends the row of failures, in the transaction of the log-in.
func (l *Limits) Succeeded(ctx context.Context, q *db.Queries, t Try) error {
	if err := l.GiveBack(ctx, q, t.source); err != nil {
		return err
	}
	if t.owner == nil {
		return nil
	}
	if err := q.ForgetLogInFailures(ctx, t.owner); err != nil {
		return fmt.Errorf("forget the failed log-ins: %w", err)
	}
	return nil
}

// NotTried takes a try back whose password was not compared.
func (l *Limits) NotTried(ctx context.Context, store *db.Store, t Try) error {
	if t.source.key == nil && t.key == nil {
		return nil
	}
	return store.InTx(ctx, func(q *db.Queries) error {
		if err := l.GiveBack(ctx, q, t.source); err != nil {
			return err
		}
		for _, key := range [][]byte{t.counter, t.key} {
			if key == nil {
				continue
			}
			if err := q.TakeBackLogInTry(ctx, db.TakeBackLogInTryParams{Free: t.free, TriedAt: t.at, Key: key}); err != nil {
				return fmt.Errorf("take a try back: %w", err)
			}
		}
		return nil
	})
}
