package limit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

func stranger(context.Context, string) (bool, error) { return false, nil }

func owner(context.Context, string) (bool, error) { return true, nil }

var elsewhere = netip.MustParseAddr("203.0.113.9")

// fail makes a log-in at a time that fails with a wrong password, and returns the error of its beginning.
func (l *Limits) fail(t *testing.T, store *db.Store, since time.Duration, who Login) error {
	t.Helper()
	attempt, err := l.Begin(t.Context(), store, at(since), who)
	if err != nil {
		return err
	}
	if _, err := l.Fail(t.Context(), store, start.Add(since), attempt); err != nil {
		t.Fatal(err)
	}
	return nil
}

func wantDelay(t *testing.T, what string, err error, wait time.Duration) {
	t.Helper()
	exceeded, limited := errors.AsType[*ExceededError](err)
	if !limited || exceeded.Limit != LoginAccount || exceeded.Wait != wait {
		t.Errorf("%s: %v, %+v; want a delay of %s", what, err, exceeded, wait)
	}
}

// newAccount makes an account whose failures can be counted.
func newAccount(t *testing.T, store *db.Store, email string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	err := store.Write(t.Context(), func(q *db.Queries) error {
		_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: id, Email: email, Language: "en", CreatedAt: start})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// What was no guess counts for nothing, however often, before the delays and among them.
func TestUndoCountsNothing(t *testing.T) {
	onBoth(t, map[Name]Rate{LoginAccount: {2, 20 * time.Second}, LoginSource: {5, time.Hour}}, func(t *testing.T, l *Limits, store *db.Store) {
		who := Login{Source: elsewhere, Address: "a@example.com", Knows: stranger}
		undo := func(since time.Duration) {
			t.Helper()
			for range 7 {
				attempt, err := l.Begin(t.Context(), store, at(since), who)
				if err == nil {
					err = l.Undo(t.Context(), store, start.Add(since), attempt)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		since := time.Duration(0)
		for _, pause := range []time.Duration{0, 0, 10 * time.Second, 20 * time.Second} { // four failures: 10 s, 20 s, 40 s
			since += pause
			undo(since)
			if err := l.fail(t, store, since, who); err != nil {
				t.Fatal(err)
			}
		}
		wantDelay(t, "after four failures", l.fail(t, store, since, who), 40*time.Second)
		undo(since + 40*time.Second)
		wantDelay(t, "after what was none", l.fail(t, store, since, who), 40*time.Second)
	})
}

// A delay is told in full, and enforced less five seconds at the most, for clocks that are behind.
func TestDelayForgivesClocks(t *testing.T) {
	for _, c := range []struct{ per, refused, allowed time.Duration }{
		{time.Minute, 54 * time.Second, 55 * time.Second},
		{3 * time.Second, 499 * time.Millisecond, 500 * time.Millisecond},
		{6 * time.Second, 999 * time.Millisecond, time.Second},
	} {
		t.Run(c.per.String(), func(t *testing.T) {
			onBoth(t, map[Name]Rate{LoginAccount: {1, c.per}}, func(t *testing.T, l *Limits, store *db.Store) {
				who := Login{Address: "a@example.com", Knows: stranger}
				if err := l.fail(t, store, 0, who); err != nil {
					t.Fatal(err)
				}
				wantDelay(t, "too early", l.fail(t, store, c.refused, who), c.per-c.refused)
				if err := l.fail(t, store, c.allowed, who); err != nil {
					t.Errorf("by a clock that is behind: %v", err)
				}
			})
		})
	}
}

// A clock that was set back prolongs what is refused by as much; a row from a clock that was a day ahead refuses nothing.
func TestClockSetBack(t *testing.T) {
	rates := map[Name]Rate{LoginAccount: {1, 10 * time.Second}, LoginSource: {100, 10 * time.Minute}, LinkSource: {1, time.Minute}}
	onBoth(t, rates, func(t *testing.T, l *Limits, store *db.Store) {
		who := Login{Source: elsewhere, Address: "a@example.com", Knows: stranger}
		other := Login{Source: elsewhere, Address: "b@example.com", Knows: stranger}
		if err := l.fail(t, store, 0, who); err != nil {
			t.Fatal(err)
		}
		const back = -10 * time.Minute
		wantDelay(t, "the one who failed", l.fail(t, store, back, who), 10*time.Second)
		for range 3 {
			if err := l.fail(t, store, back, other); err != nil {
				t.Fatalf("one who has not: %v", err)
			}
			other.Address += "m"
		}
		used := l.From(LinkSource, elsewhere)
		if err := l.takeAt(t.Context(), store, 24*time.Hour, used); err != nil {
			t.Fatal(err)
		}
		if err := l.takeAt(t.Context(), store, 0, used); err != nil {
			t.Errorf("after a clock that was a day ahead: %v", err)
		}
		ahead := Login{Source: netip.MustParseAddr("203.0.113.10"), Address: "c@example.com", Knows: stranger}
		if err := l.fail(t, store, 24*time.Hour, ahead); err != nil {
			t.Fatal(err)
		}
		if err := l.fail(t, store, 0, ahead); err != nil {
			t.Errorf("after a failure by a clock that was a day ahead: %v", err)
		}
	})
}

// Only what has failed counts towards the hundred: of six at once at 97 failures none is told that the password is off, and wrong ones still
// switch it off at the hundredth.
func TestOnlyFailuresSwitchOff(t *testing.T) {
	onBoth(t, map[Name]Rate{LoginAccount: {1000, time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		l.Wait = time.Minute
		for _, right := range []bool{true, false} {
			address := map[bool]string{true: "right@example.com", false: "wrong@example.com"}[right]
			who := Login{Address: address, AccountID: newAccount(t, store, address), Knows: owner}
			for range 97 {
				if err := l.fail(t, store, 0, who); err != nil {
					t.Fatal(err)
				}
			}
			var off, switched atomic.Int64
			var running sync.WaitGroup
			for range 6 {
				running.Go(func() {
					attempt, err := l.Begin(t.Context(), store, at(0), who)
					if err != nil {
						t.Error(err)
						return
					}
					if attempt.PasswordOff {
						off.Add(1)
					}
					if right {
						err = store.InTx(t.Context(), func(q *db.Queries) error { return l.Succeed(t.Context(), q, start, attempt) })
					} else if here, failErr := l.Fail(t.Context(), store, start, attempt); here {
						switched.Add(1)
						err = failErr
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			running.Wait()
			wantOff, wantSwitched := int64(3), int64(1)
			if right {
				wantOff, wantSwitched = 0, 0
			}
			if off.Load() != wantOff || switched.Load() != wantSwitched {
				t.Errorf("%s: %d of 6 found the password off, %d switched it off; want %d and %d",
					address, off.Load(), switched.Load(), wantOff, wantSwitched)
			}
		}
	})
}

// A killed process's places lapse; whoever comes later than that is told nothing.
func TestKilledLoginsLapse(t *testing.T) {
	onBoth(t, map[Name]Rate{LoginAccount: {2, time.Hour}, LoginSource: {2, time.Hour}}, func(t *testing.T, l *Limits, store *db.Store) {
		l.Wait = 100 * time.Millisecond
		who := Login{Source: elsewhere, Address: "a@example.com", AccountID: newAccount(t, store, "a@example.com"), Knows: stranger}
		var killed Attempt
		for range 2 {
			var err error
			if killed, err = l.Begin(t.Context(), store, at(0), who); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Begin(t.Context(), store, at(0), who); !errors.Is(err, BusyError{}) {
			t.Errorf("while both places are held: %v", err)
		}
		left, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Begin(left, store, at(0), who); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left: %v", err)
		}
		later := l.Wait + lapseAfter
		for _, since := range []time.Duration{later, -10 * time.Minute} { // in time, and by a clock that was set back meanwhile
			attempt, err := l.Begin(t.Context(), store, at(since), who)
			if err == nil {
				err = l.Undo(t.Context(), store, start.Add(since), attempt)
			}
			if err != nil {
				t.Errorf("%s after: %v", since, err)
			}
		}
		err := store.InTx(t.Context(), func(q *db.Queries) error { return l.Succeed(t.Context(), q, start.Add(later), killed) })
		if !errors.Is(err, ErrLapsed) || !errors.Is(err, BusyError{}) {
			t.Errorf("a match that comes too late: %v", err)
		}
		if _, err := l.Fail(t.Context(), store, start.Add(later), killed); !errors.Is(err, ErrLapsed) {
			t.Errorf("a wrong password that comes too late: %v", err)
		}
		if row, err := store.Read().GetLoginFailure(t.Context(), who.AccountID[:]); err != nil || row.Failures != 1 {
			t.Errorf("it is not counted: %+v, %v", row, err)
		}
	})
}

// Failures at home delay those at home, and strangers' failures delay strangers; all count towards the hundred.
func TestAtHome(t *testing.T) {
	onBoth(t, map[Name]Rate{LoginAccount: {2, time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		id := newAccount(t, store, "a@example.com")
		attacker := Login{Source: elsewhere, Address: "a@example.com", AccountID: id, Knows: stranger}
		home := Login{Source: netip.MustParseAddr("198.51.100.7"), Address: "a@example.com", AccountID: id, Knows: owner}
		for range 2 {
			if err := l.fail(t, store, 0, attacker); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := l.fail(t, store, 0, home); err != nil {
				t.Fatalf("at home: %v", err)
			}
		}
		wantDelay(t, "at home, after two mistakes", l.fail(t, store, 0, home), 30*time.Second)
		if row, err := store.Read().GetLoginFailure(t.Context(), id[:]); err != nil || row.Failures != 4 || row.RecentFailures != 2 || row.Delay != 30_000_000 {
			t.Errorf("of the account: %+v, %v", row, err)
		}
		wantDelay(t, "strangers, whatever happened at home", l.fail(t, store, 0, attacker), 30*time.Second)
	})
}

// An account that is deleted during its log-in is no reason to fail.
func TestFailOfADeletedAccount(t *testing.T) {
	onBoth(t, map[Name]Rate{LoginAccount: {2, time.Minute}, LoginSource: {2, time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		who := Login{Source: elsewhere, Address: "a@example.com", AccountID: newAccount(t, store, "a@example.com"), Knows: stranger}
		attempt, err := l.Begin(t.Context(), store, at(0), who)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.DeleteAccount(t.Context(), who.AccountID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if off, err := l.Fail(t.Context(), store, start, attempt); err != nil || off {
			t.Errorf("%t, %v", off, err)
		}
		if _, err := l.Begin(t.Context(), store, at(0), who); !errors.Is(err, db.ErrConflict) {
			t.Errorf("a log-in to an account that is gone: %v", err)
		}
		if row, err := store.Read().GetRateLimit(t.Context(), l.key(LoginSource, Source(elsewhere))); err != nil || row.FullAt <= start.UnixMicro() {
			t.Errorf("the source's failure is not counted: %+v, %v", row, err)
		}
	})
}
