package limit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

const (
	// defaultWait is how long a log-in waits for others that are under way.
	defaultWait = time.Second
	// lapseAfter is when the place of a log-in lapses that nobody has settled, besides what it may wait for: longer than it takes to
	// hash a password, and for the database to answer or not.
	lapseAfter = 30 * time.Second
	// maxLapse is for rows that were written by the clock of another replica.
	maxLapse = time.Minute
	// maxWaiting is how many log-ins of one account wait for others in one process. A flood beyond that is refused at once.
	maxWaiting = 8
	// lookAgain is how often a log-in looks whether those have ended that it waits for.
	lookAgain = 20 * time.Millisecond
)

// ErrLapsed says that a log-in took so long that its place has lapsed: its outcome may not be told.
var ErrLapsed = fmt.Errorf("the log-in took too long: %w", BusyError{})

// BusyError refuses a log-in that has waited too long for others that are under way.
type BusyError struct{}

func (BusyError) Error() string { return "too many log-ins are under way" }

// RetryAfter is when a caller may try again.
func (BusyError) RetryAfter() time.Duration { return time.Second }

// Login is who wants to log in.
type Login struct {
	Source    netip.Addr
	Address   string    // in its one spelling
	AccountID uuid.UUID // of the account with the address; Nil if there is none
	// Hidden says that nothing may tell whether there is an account: its failures are counted under the address.
	Hidden bool
	// Knows reports whether the account is at home at the source. It is asked only when others' failures delay the account.
	Knows func(ctx context.Context, source string) (bool, error)
}

// Attempt is a log-in under way. The zero Attempt is not limited.
type Attempt struct {
	// PasswordOff says that the password no longer counts, only one that was just mailed.
	PasswordOff bool

	id      uuid.UUID // Nil: nothing is limited, and there is no row
	source  Use
	account Use
	owner   *uuid.UUID
	// The keys of the rows that count failures; nil if accounts are not limited. At home, delayKey is a row of the account's own for the
	// source; elsewhere it is accountKey.
	accountKey, delayKey []byte
}

// Begin reserves a place for a log-in in the limits of its source and its account, or fails with an [ExceededError], or a [BusyError] if it
// waited too long for those under way. db.ErrConflict: the account is gone. The caller settles it with [Limits.Succeed], [Limits.Fail] or
// [Limits.Undo], whatever happens.
//
// A stranger's failures delay all strangers, but not the sources at which the account is at home: those have delays of their own, so
// that nobody can lock an account's owner out.
func (l *Limits) Begin(ctx context.Context, store *db.Store, now func() time.Time, login Login) (Attempt, error) {
	a := l.attempt(login)
	if a.id == uuid.Nil {
		return a, nil
	}
	err := l.begin(ctx, store, now, login, &a)
	return a, err
}

// attempt is an attempt that has not begun; the zero Attempt where nothing is limited.
func (l *Limits) attempt(login Login) Attempt {
	a := Attempt{source: l.From(LoginSource, login.Source), account: l.By(LoginAccount, login.Address)}
	if a.source.key == nil && a.account.key == nil {
		return Attempt{}
	}
	a.id = uuid.Must(uuid.NewV7()) // fails only where crypto/rand does, and that ends the process
	if a.account.key != nil {
		a.accountKey = a.account.key
		if login.AccountID != uuid.Nil {
			a.owner = &login.AccountID
			if !login.Hidden { // an account's id stays when AUTH_SECRET is changed, and so does the count
				a.accountKey = login.AccountID[:]
			}
		}
		a.delayKey = a.accountKey
	}
	return a
}

// begin waits until there is a place. Those with the same account ask one after another, so that many at once do not all ask the
// database again and again.
func (l *Limits) begin(ctx context.Context, store *db.Store, now func() time.Time, login Login, a *Attempt) error {
	if err := l.look(ctx, store, now(), login, a); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, l.wait(), BusyError{})
	defer cancel()
	key := a.accountKey
	if key == nil {
		key = a.source.key
	}
	unlock, err := l.turns.lock(waiting, string(key))
	if err != nil {
		return waitError(waiting, err)
	}
	defer unlock()
	defer l.turns.setStuck(string(key), false)
	for {
		begun, err := l.tryBegin(waiting, store, now(), login, a)
		switch {
		case begun:
			return nil
		case err != nil && waiting.Err() != nil:
			return waitError(waiting, err)
		case err != nil:
			return err
		}
		l.turns.setStuck(string(key), true)
		pause := time.NewTimer(lookAgain/2 + rand.N(lookAgain)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-pause.C:
		case <-waiting.Done():
			pause.Stop()
			return waitError(waiting, waiting.Err())
		}
	}
}

// tryBegin reserves a place if there is one. Not begun: there would be room, were it not for others under way.
func (l *Limits) tryBegin(ctx context.Context, store *db.Store, now time.Time, login Login, a *Attempt) (begun bool, err error) {
	for range 2 { // a failure that comes in between may not cost one who is at home the log-in: look once more
		if err := l.look(ctx, store, now, login, a); err != nil {
			return false, err
		}
		begun, err = l.reserveInTurn(ctx, store, now, a)
		if exceeded, limited := errors.AsType[*ExceededError](err); !limited || exceeded.Limit != LoginAccount || a.atHome() {
			break
		}
	}
	return begun, err
}

// waitError is a BusyError if the wait was too long, and otherwise says that the caller left.
func waitError(waiting context.Context, err error) error {
	if errors.Is(err, BusyError{}) {
		return err
	}
	if cause := context.Cause(waiting); errors.Is(cause, BusyError{}) {
		return cause
	}
	return fmt.Errorf("wait for other log-ins: %w", err)
}

func (l *Limits) wait() time.Duration {
	if l.Wait == 0 {
		return defaultWait
	}
	return l.Wait
}

// look refuses by reading, as [Limits.Check] does. Where strangers' failures delay the account, one who is at home goes by the failures
// there from then on.
func (l *Limits) look(ctx context.Context, store *db.Store, now time.Time, login Login, a *Attempt) error {
	if err := l.Check(ctx, store, now, a.source); err != nil || a.accountKey == nil {
		return err
	}
	err := l.lookAtDelay(ctx, store, now, a)
	if exceeded, limited := errors.AsType[*ExceededError](err); !limited || exceeded.Limit != LoginAccount || a.atHome() {
		return err
	}
	source := Source(login.Source)
	known, lookErr := login.Knows(ctx, source)
	if lookErr != nil {
		return fmt.Errorf("look whether the account knows the source: %w", lookErr)
	}
	if !known {
		return err
	}
	a.delayKey = slices.Concat(a.accountKey, l.key(LoginAccount, source))
	return l.lookAtDelay(ctx, store, now, a)
}

func (l *Limits) lookAtDelay(ctx context.Context, store *db.Store, now time.Time, a *Attempt) error {
	row, err := store.Read().GetLoginFailure(ctx, a.delayKey)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("look at the failed log-ins: %w", err)
	}
	return a.delayed(failuresOf(row), now)
}

// delayed is an [ExceededError] while failures delay the log-in.
func (a *Attempt) delayed(f failures, now time.Time) error {
	wait := f.wait(now)
	if wait == 0 {
		return nil
	}
	return &ExceededError{Limit: LoginAccount, Rate: a.account.rate, Wait: wait}
}

// reserveInTurn is reserve, one at a time of those with the same source: who waits for the source's row holds no connection.
func (l *Limits) reserveInTurn(ctx context.Context, store *db.Store, now time.Time, a *Attempt) (begun bool, err error) {
	done, err := l.InTurn(ctx, a.source)
	if err != nil {
		return false, err
	}
	defer done()
	return l.reserve(ctx, store, now, a)
}

// reserve takes a place in one transaction, which locks the rows in the order source, account, delay, as [Limits.Fail] does.
func (l *Limits) reserve(ctx context.Context, store *db.Store, now time.Time, a *Attempt) (begun bool, err error) {
	err = store.InTx(ctx, func(q *db.Queries) error {
		begun = false
		source, err := l.Lock(ctx, q, now, a.source)
		if err != nil {
			return err
		}
		account, delay, err := a.lockFailures(ctx, q)
		if err != nil {
			return err
		}
		if err := a.delayed(delay, now); err != nil {
			return err
		}
		lapses := now.Add(l.wait() + lapseAfter)
		underWay, err := q.CountLoginAttempts(ctx, db.CountLoginAttemptsParams{
			ClientIpKey: orEmpty(a.source.key), AccountKey: orEmpty(a.accountKey), DelayKey: orEmpty(a.delayKey),
			Now: now.UnixMicro(), Latest: lapses.Add(maxLapse).UnixMicro(),
		})
		if err != nil {
			return fmt.Errorf("count the log-ins under way: %w", err)
		}
		if a.source.key != nil && underWay.OfClientIp >= source.bucket.left(a.source.rate) {
			return nil
		}
		if a.accountKey != nil {
			wouldSwitchOff := account.inRow < maxFailures && account.inRow+underWay.OfAccount >= maxFailures
			if wouldSwitchOff || underWay.OfDelay >= delay.places(a.account.rate.Count, now) {
				return nil
			}
		}
		a.PasswordOff = account.inRow >= maxFailures
		begun = true
		return q.InsertLoginAttempt(ctx, db.InsertLoginAttemptParams{
			ID: a.id, ClientIpKey: orEmpty(a.source.key), AccountKey: orEmpty(a.accountKey), DelayKey: orEmpty(a.delayKey),
			ExpiresAt: lapses.UnixMicro(),
		})
	})
	if err != nil {
		return false, fmt.Errorf("begin a log-in: %w", err)
	}
	return begun, nil
}

// lockFailures locks the rows that count the account's failures; at home they are two.
func (a *Attempt) lockFailures(ctx context.Context, q *db.Queries) (account, delay failures, err error) {
	if a.accountKey == nil {
		return account, delay, nil
	}
	if account, err = lockFailures(ctx, q, a.accountKey, a.owner); err != nil || !a.atHome() {
		return account, account, err
	}
	delay, err = lockFailures(ctx, q, a.delayKey, a.owner)
	return account, delay, err
}

func lockFailures(ctx context.Context, q *db.Queries, key []byte, owner *uuid.UUID) (failures, error) {
	row, err := q.LockLoginFailure(ctx, db.LockLoginFailureParams{Key: key, AccountID: owner})
	if err != nil {
		return failures{}, fmt.Errorf("lock the failed log-ins: %w", err)
	}
	return failuresOf(row), nil
}

// atHome reports whether the log-in comes from a source at which the account is at home, and obeys that source's delays.
func (a *Attempt) atHome() bool { return !bytes.Equal(a.accountKey, a.delayKey) }

// Succeed settles a log-in whose password matched, in the transaction of the log-in: nothing is counted, and the account's row of failures
// ends. It fails with ErrLapsed.
func (l *Limits) Succeed(ctx context.Context, q *db.Queries, now time.Time, a Attempt) error {
	if a.id == uuid.Nil {
		return nil
	}
	if err := a.end(ctx, q, now); err != nil || a.owner == nil {
		return err
	}
	if err := q.DeleteLoginFailures(ctx, a.owner); err != nil {
		return fmt.Errorf("forget the failed log-ins: %w", err)
	}
	return nil
}

// Fail settles a log-in whose password was wrong, and counts it: towards the source's limit, the delay and the hundred. It reports whether
// that switched the password off. ErrLapsed: it is counted all the same.
func (l *Limits) Fail(ctx context.Context, store *db.Store, now time.Time, a Attempt) (switchedOff bool, err error) {
	if a.id == uuid.Nil {
		return false, nil
	}
	var lapsed error
	err = store.InTx(ctx, func(q *db.Queries) error {
		switchedOff = false
		if err := l.countAtSource(ctx, q, now, a.source); err != nil {
			return err
		}
		if a.accountKey != nil {
			if switchedOff, err = a.countFailure(ctx, q, now); err != nil {
				return err
			}
		}
		if lapsed = a.end(ctx, q, now); !errors.Is(lapsed, ErrLapsed) {
			return lapsed
		}
		return nil
	})
	if errors.Is(err, db.ErrConflict) && a.owner != nil { // the account is gone, and its row with it
		a.accountKey, a.delayKey, a.owner = nil, nil, nil
		return l.Fail(ctx, store, now, a)
	}
	if err != nil {
		return false, fmt.Errorf("count a failed log-in: %w", err)
	}
	return switchedOff, lapsed
}

// countAtSource counts a failure that had a place reserved: there is room for it.
func (l *Limits) countAtSource(ctx context.Context, q *db.Queries, now time.Time, u Use) error {
	locked, err := l.Lock(ctx, q, now, u)
	if _, exceeded := errors.AsType[*ExceededError](err); err != nil && !exceeded {
		return err
	}
	return locked.Take(ctx, q)
}

// countFailure counts a failure of the account, and lets it delay the next log-in: of strangers, or from the source that the account knows.
func (a *Attempt) countFailure(ctx context.Context, q *db.Queries, now time.Time) (switchedOff bool, err error) {
	account, delay, err := a.lockFailures(ctx, q)
	if err != nil {
		return false, err
	}
	delay = delay.failed(a.account.rate.Count, a.account.rate.refill(), now)
	if a.atHome() {
		account.inRow++
		if err := setFailures(ctx, q, a.accountKey, account); err != nil {
			return false, err
		}
	} else {
		account = delay
	}
	return account.inRow == maxFailures, setFailures(ctx, q, a.delayKey, delay)
}

func setFailures(ctx context.Context, q *db.Queries, key []byte, f failures) error {
	err := q.UpdateLoginFailure(ctx, db.UpdateLoginFailureParams{
		Key: key, Failures: f.inRow, RecentFailures: f.recent, Delay: f.delay, LastFailedAt: f.failedAt,
	})
	if err != nil {
		return fmt.Errorf("count a failed log-in: %w", err)
	}
	return nil
}

// Undo settles a log-in that was none: its password was not compared, or what came after the comparison failed for another reason. Nothing
// is counted.
func (l *Limits) Undo(ctx context.Context, store *db.Store, now time.Time, a Attempt) error {
	if a.id == uuid.Nil {
		return nil
	}
	err := store.Write(ctx, func(q *db.Queries) error { return a.end(ctx, q, now) }) // is durable also where it had lapsed
	if err != nil && !errors.Is(err, ErrLapsed) {
		return fmt.Errorf("undo a log-in: %w", err)
	}
	return nil
}

// end frees the log-in's place, or fails with ErrLapsed.
func (a *Attempt) end(ctx context.Context, q *db.Queries, now time.Time) error {
	expiresAt, err := q.DeleteLoginAttempt(ctx, a.id)
	if errors.Is(err, db.ErrNotFound) || err == nil && expiresAt <= now.UnixMicro() {
		return ErrLapsed
	}
	if err != nil {
		return fmt.Errorf("end a log-in: %w", err)
	}
	return nil
}

// orEmpty is the key, or an empty one for the database, whose columns are not null.
func orEmpty(key []byte) []byte {
	if key == nil {
		return []byte{}
	}
	return key
}
