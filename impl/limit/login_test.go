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

// unknownClientIP and knownClientIP are values of Login.KnownClientIP.
func unknownClientIP(context.Context, string) (bool, error) { return false, nil }

func knownClientIP(context.Context, string) (bool, error) { return true, nil }

var attackerIP = netip.MustParseAddr("203.0.113.9")

// fail makes a login with a wrong password, and returns the error of BeginLogin.
func (l *Limits) fail(t *testing.T, store *db.Store, since time.Duration, login Login) error {
	t.Helper()
	attempt, err := l.BeginLogin(t.Context(), store, at(since), login)
	if err != nil {
		return err
	}
	if _, err := l.RecordLoginFailure(t.Context(), store, start.Add(since), attempt); err != nil {
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

// newAccount creates an account whose failures can be counted.
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

// A login that is released counts nothing, however often, without delays and between them.
func TestReleasedLoginsDoNotCount(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LoginAccount: {2, 20 * time.Second}, LoginSource: {5, time.Hour}}, func(t *testing.T, l *Limits, store *db.Store) {
		login := Login{ClientIP: attackerIP, Address: "a@example.com", KnownClientIP: unknownClientIP}
		release := func(since time.Duration) {
			t.Helper()
			for range 7 {
				attempt, err := l.BeginLogin(t.Context(), store, at(since), login)
				if err == nil {
					err = l.ReleaseLogin(t.Context(), store, start.Add(since), attempt)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		since := time.Duration(0)
		for _, pause := range []time.Duration{0, 0, 10 * time.Second, 20 * time.Second} { // four failures: 10 s, 20 s, 40 s
			since += pause
			release(since)
			if err := l.fail(t, store, since, login); err != nil {
				t.Fatal(err)
			}
		}
		wantDelay(t, "after four failures", l.fail(t, store, since, login), 40*time.Second)
		release(since + 40*time.Second)
		wantDelay(t, "after released logins", l.fail(t, store, since, login), 40*time.Second)
	})
}

// The error has the whole delay. The last five seconds at most are not enforced, for clocks that are behind.
func TestDelayToleratesClocks(t *testing.T) {
	for _, c := range []struct{ per, refused, allowed time.Duration }{
		{time.Minute, 54 * time.Second, 55 * time.Second},
		{3 * time.Second, 499 * time.Millisecond, 500 * time.Millisecond},
		{6 * time.Second, 999 * time.Millisecond, time.Second},
	} {
		t.Run(c.per.String(), func(t *testing.T) {
			onEachDatabase(t, map[Name]Rate{LoginAccount: {1, c.per}}, func(t *testing.T, l *Limits, store *db.Store) {
				login := Login{Address: "a@example.com", KnownClientIP: unknownClientIP}
				if err := l.fail(t, store, 0, login); err != nil {
					t.Fatal(err)
				}
				wantDelay(t, "too early", l.fail(t, store, c.refused, login), c.per-c.refused)
				if err := l.fail(t, store, c.allowed, login); err != nil {
					t.Errorf("on a replica whose clock is behind: %v", err)
				}
			})
		})
	}
}

// A clock that was set back prolongs a delay by as much. A row that was written by a clock a day ahead refuses nothing.
func TestClockSetBack(t *testing.T) {
	rates := map[Name]Rate{LoginAccount: {1, 10 * time.Second}, LoginSource: {100, 10 * time.Minute}, LinkSource: {1, time.Minute}}
	onEachDatabase(t, rates, func(t *testing.T, l *Limits, store *db.Store) {
		login := Login{ClientIP: attackerIP, Address: "a@example.com", KnownClientIP: unknownClientIP}
		other := Login{ClientIP: attackerIP, Address: "b@example.com", KnownClientIP: unknownClientIP}
		if err := l.fail(t, store, 0, login); err != nil {
			t.Fatal(err)
		}
		const back = -10 * time.Minute
		wantDelay(t, "the account with failures", l.fail(t, store, back, login), 10*time.Second)
		for range 3 {
			if err := l.fail(t, store, back, other); err != nil {
				t.Fatalf("an account without failures: %v", err)
			}
			other.Address += "m"
		}
		quota := l.ClientIPQuota(LinkSource, attackerIP)
		if err := l.takeAt(t.Context(), store, 24*time.Hour, quota); err != nil {
			t.Fatal(err)
		}
		if err := l.takeAt(t.Context(), store, 0, quota); err != nil {
			t.Errorf("after a row that was written by a clock a day ahead: %v", err)
		}
		ahead := Login{ClientIP: netip.MustParseAddr("203.0.113.10"), Address: "c@example.com", KnownClientIP: unknownClientIP}
		if err := l.fail(t, store, 24*time.Hour, ahead); err != nil {
			t.Fatal(err)
		}
		if err := l.fail(t, store, 0, ahead); err != nil {
			t.Errorf("after a failure that was recorded by a clock a day ahead: %v", err)
		}
	})
}

// Logins in progress do not count towards the hundred failures: after 97 failures, six simultaneous logins with the right password all find
// the password on, and wrong ones switch it off at the hundredth failure.
func TestOnlyFailuresSwitchThePasswordOff(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LoginAccount: {1000, time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		l.LoginWait = time.Minute
		for _, right := range []bool{true, false} {
			address := map[bool]string{true: "right@example.com", false: "wrong@example.com"}[right]
			login := Login{Address: address, AccountID: newAccount(t, store, address), KnownClientIP: knownClientIP}
			for range 97 {
				if err := l.fail(t, store, 0, login); err != nil {
					t.Fatal(err)
				}
			}
			var off, switched atomic.Int64
			var running sync.WaitGroup
			for range 6 {
				running.Go(func() {
					attempt, err := l.BeginLogin(t.Context(), store, at(0), login)
					if err != nil {
						t.Error(err)
						return
					}
					if attempt.PasswordOff {
						off.Add(1)
					}
					if right {
						err = store.InTx(t.Context(), func(q *db.Queries) error { return l.RecordLoginSuccess(t.Context(), q, start, attempt) })
					} else {
						var switchedOff bool
						if switchedOff, err = l.RecordLoginFailure(t.Context(), store, start, attempt); switchedOff {
							switched.Add(1)
						}
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

// The reservations of a killed process expire. A login that ends later than that does not get its result.
func TestReservationsExpire(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LoginAccount: {2, time.Hour}, LoginSource: {2, time.Hour}}, func(t *testing.T, l *Limits, store *db.Store) {
		l.LoginWait = 10 * time.Second // enough for a machine under load
		login := Login{ClientIP: attackerIP, Address: "a@example.com", AccountID: newAccount(t, store, "a@example.com"), KnownClientIP: unknownClientIP}
		var killed LoginAttempt
		for range 2 {
			var err error
			if killed, err = l.BeginLogin(t.Context(), store, at(0), login); err != nil {
				t.Fatal(err)
			}
		}
		later := l.LoginWait + reservationTTL
		l.LoginWait = 100 * time.Millisecond
		if _, err := l.BeginLogin(t.Context(), store, at(0), login); !errors.Is(err, BusyError{}) {
			t.Errorf("while both are reserved: %v", err)
		}
		l.LoginWait = 10 * time.Second
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.BeginLogin(cancelled, store, at(0), login); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled login: %v", err)
		}
		for _, since := range []time.Duration{later, -10 * time.Minute} { // after they expired, and with a clock that was set back meanwhile
			attempt, err := l.BeginLogin(t.Context(), store, at(since), login)
			if err == nil {
				err = l.ReleaseLogin(t.Context(), store, start.Add(since), attempt)
			}
			if err != nil {
				t.Errorf("%s after: %v", since, err)
			}
		}
		err := store.InTx(t.Context(), func(q *db.Queries) error { return l.RecordLoginSuccess(t.Context(), q, start.Add(later), killed) })
		if !errors.Is(err, ErrReservationExpired) || !errors.Is(err, BusyError{}) {
			t.Errorf("a right password that comes too late: %v", err)
		}
		if _, err := l.RecordLoginFailure(t.Context(), store, start.Add(later), killed); !errors.Is(err, ErrReservationExpired) {
			t.Errorf("a wrong password that comes too late: %v", err)
		}
		if row, err := store.Read().GetLoginFailure(t.Context(), login.AccountID[:]); err != nil || row.Failures != 1 {
			t.Errorf("the late failure is not counted: %+v, %v", row, err)
		}
	})
}

// Failures from a known client IP delay only logins from there, and failures from elsewhere delay all others. All count towards the hundred.
func TestKnownClientIPsHaveTheirOwnDelay(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LoginAccount: {2, time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		id := newAccount(t, store, "a@example.com")
		attacker := Login{ClientIP: attackerIP, Address: "a@example.com", AccountID: id, KnownClientIP: unknownClientIP}
		known := Login{ClientIP: netip.MustParseAddr("198.51.100.7"), Address: "a@example.com", AccountID: id, KnownClientIP: knownClientIP}
		for range 2 {
			if err := l.fail(t, store, 0, attacker); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := l.fail(t, store, 0, known); err != nil {
				t.Fatalf("from the known client IP: %v", err)
			}
		}
		wantDelay(t, "from the known client IP, after two failures", l.fail(t, store, 0, known), 30*time.Second)
		if row, err := store.Read().GetLoginFailure(t.Context(), id[:]); err != nil || row.Failures != 4 || row.RecentFailures != 2 || row.Delay != 30_000_000 {
			t.Errorf("the row of the account: %+v, %v", row, err)
		}
		wantDelay(t, "from elsewhere, whatever the known client IP did", l.fail(t, store, 0, attacker), 30*time.Second)
	})
}

// The failure of a login is recorded although its account was deleted meanwhile.
func TestRecordFailureOfADeletedAccount(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LoginAccount: {2, time.Minute}, LoginSource: {2, time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		login := Login{ClientIP: attackerIP, Address: "a@example.com", AccountID: newAccount(t, store, "a@example.com"), KnownClientIP: unknownClientIP}
		attempt, err := l.BeginLogin(t.Context(), store, at(0), login)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.DeleteAccount(t.Context(), login.AccountID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if off, err := l.RecordLoginFailure(t.Context(), store, start, attempt); err != nil || off {
			t.Errorf("%t, %v", off, err)
		}
		if _, err := l.BeginLogin(t.Context(), store, at(0), login); !errors.Is(err, db.ErrConflict) {
			t.Errorf("a login to a deleted account: %v", err)
		}
		if row, err := store.Read().GetRateLimit(t.Context(), l.key(LoginSource, ClientIP(attackerIP))); err != nil || row.FullAt <= start.UnixMicro() {
			t.Errorf("the failure of the client IP is not counted: %+v, %v", row, err)
		}
	})
}
