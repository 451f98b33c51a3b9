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
	// defaultLoginWait is how long a login waits for logins in progress.
	defaultLoginWait = time.Second
	// maxWaitingLogins is how many logins of one account may wait in one process. More are refused immediately.
	maxWaitingLogins = 8
	// pollInterval is how often a waiting login checks whether the logins in progress have ended.
	pollInterval = 20 * time.Millisecond
)

// BusyError means that a login has waited too long for logins in progress. The response is 503.
type BusyError struct{}

func (BusyError) Error() string { return "too many logins are in progress" }

// RetryAfter returns when the client may try again.
func (BusyError) RetryAfter() time.Duration { return time.Second }

// Login describes a login that is about to begin.
type Login struct {
	ClientIP  netip.Addr
	Address   string    // in canonical form
	AccountID uuid.UUID // of the account with the address, or Nil if there is none
	// CountByAddress counts failures under the address even if it has an account, so that the limits do not reveal whether it has one.
	CountByAddress bool
	// KnownClientIP reports whether the account has an active session from a client IP, given in the form of [ClientIP]. It is called only
	// if failures from elsewhere delay the account.
	KnownClientIP func(ctx context.Context, clientIP string) (bool, error)
}

// LoginAttempt is a login in progress. The zero LoginAttempt is not limited.
type LoginAttempt struct {
	// PasswordOff means that the password is switched off after too many failures. Only a pending password is accepted.
	PasswordOff bool

	id            uuid.UUID // of the reservation; Nil: nothing is limited, and there is no reservation
	clientIPQuota Quota
	accountQuota  Quota
	accountID     *uuid.UUID
	// The keys of the rows that count failures; nil if accounts are not limited. From a known client IP, delayKey is a row of the account
	// and the client IP; otherwise it is accountKey.
	accountKey, delayKey []byte
}

// CodesOff reports whether so many second factors were wrong since the last right one that no code of an authenticator app is compared. A reset does
// not change that: otherwise a reader of the mailbox could guess codes after each reset.
func (a *LoginAttempt) CodesOff(wrongFactors int64) bool {
	return a.id != uuid.Nil && wrongFactors >= maxWrongFactors
}

// BeginLogin reserves quota for a login in the limits of its client IP and of its account. It fails with an [ExceededError], or with a
// [BusyError] if it waited too long for logins in progress. db.ErrConflict means that the account was deleted meanwhile. The caller ends
// every login with [Limits.RecordLoginSuccess], [Limits.RecordLoginFailure] or [Limits.ReleaseLogin].
//
// Failures delay all logins of the account, except those from known client IPs, each of which has a delay of its own. So nobody can lock
// the owner of an account out.
func (l *Limits) BeginLogin(ctx context.Context, store *db.Store, now func() time.Time, login Login) (LoginAttempt, error) {
	a := l.newAttempt(login)
	if a.id == uuid.Nil {
		return a, nil
	}
	err := l.waitForReservation(ctx, store, now, login, &a)
	return a, err
}

// newAttempt returns an attempt without a reservation, or the zero LoginAttempt if nothing is limited.
func (l *Limits) newAttempt(login Login) LoginAttempt {
	a := LoginAttempt{clientIPQuota: l.ClientIPQuota(LoginSource, login.ClientIP), accountQuota: l.Quota(LoginAccount, login.Address)}
	if a.clientIPQuota.key == nil && a.accountQuota.key == nil {
		return LoginAttempt{}
	}
	a.id = uuid.Must(uuid.NewV7()) // fails only if crypto/rand does, which ends the process
	if a.accountQuota.key != nil {
		a.accountKey = a.accountQuota.key
		if login.AccountID != uuid.Nil {
			a.accountID = &login.AccountID
			if !login.CountByAddress { // the account's ID does not depend on AUTH_SECRET, so a new secret does not reset the count
				a.accountKey = login.AccountID[:]
			}
		}
		a.delayKey = a.accountKey
	}
	return a
}

// fromKnownClientIP reports whether the delays of a known client IP apply, instead of those of the account.
func (a *LoginAttempt) fromKnownClientIP() bool { return !bytes.Equal(a.accountKey, a.delayKey) }

// waitForReservation waits until quota could be reserved. The logins of one account try one after another, so that many simultaneous
// logins do not all poll the database.
func (l *Limits) waitForReservation(ctx context.Context, store *db.Store, now func() time.Time, login Login, a *LoginAttempt) error {
	if err := l.checkLogin(ctx, store, now(), login, a); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, l.loginWait(), BusyError{})
	defer cancel()
	key := a.accountKey
	if key == nil {
		key = a.clientIPQuota.key
	}
	unlock, err := l.loginLocks.lock(waiting, string(key))
	if err != nil {
		return waitError(waiting, err)
	}
	defer unlock()
	defer l.loginLocks.setBlocked(string(key), false)
	for {
		reserved, err := l.tryReserve(waiting, store, now(), login, a)
		switch {
		case reserved:
			return nil
		case err != nil && waiting.Err() != nil:
			return waitError(waiting, err)
		case err != nil:
			return err
		}
		l.loginLocks.setBlocked(string(key), true)
		pause := time.NewTimer(pollInterval/2 + rand.N(pollInterval)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-pause.C:
		case <-waiting.Done():
			pause.Stop()
			return waitError(waiting, waiting.Err())
		}
	}
}

// waitError returns a BusyError if the wait was too long, and otherwise an error of the caller's context.
func waitError(waiting context.Context, err error) error {
	if errors.Is(err, BusyError{}) {
		return err
	}
	if cause := context.Cause(waiting); errors.Is(cause, BusyError{}) {
		return cause
	}
	return fmt.Errorf("wait for logins in progress: %w", err)
}

func (l *Limits) loginWait() time.Duration {
	if l.LoginWait == 0 {
		return defaultLoginWait
	}
	return l.LoginWait
}

// checkLogin only reads, as [Limits.Check] does, and fails if a limit is exceeded. If failures delay the account and the client IP is known,
// the attempt uses the delays of that client IP from then on.
func (l *Limits) checkLogin(ctx context.Context, store *db.Store, now time.Time, login Login, a *LoginAttempt) error {
	if err := l.Check(ctx, store, now, a.clientIPQuota); err != nil || a.accountKey == nil {
		return err
	}
	err := a.checkDelay(ctx, store, now)
	if !a.delayedAsUnknownClientIP(err) {
		return err
	}
	clientIP := ClientIP(login.ClientIP)
	known, lookupErr := login.KnownClientIP(ctx, clientIP)
	if lookupErr != nil {
		return fmt.Errorf("check whether the account has a session from the client IP: %w", lookupErr)
	}
	if !known {
		return err
	}
	a.delayKey = slices.Concat(a.accountKey, l.key(LoginAccount, clientIP))
	return a.checkDelay(ctx, store, now)
}

// delayedAsUnknownClientIP reports whether err is the delay of an account, from which known client IPs are exempt.
func (a *LoginAttempt) delayedAsUnknownClientIP(err error) bool {
	exceeded, limited := errors.AsType[*ExceededError](err)
	return limited && exceeded.Limit == LoginAccount && !a.fromKnownClientIP()
}

func (a *LoginAttempt) checkDelay(ctx context.Context, store *db.Store, now time.Time) error {
	row, err := store.Read().GetLoginFailure(ctx, a.delayKey)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("read the failed logins: %w", err)
	}
	return a.delayError(failuresOf(row), now)
}

// delayError returns an [ExceededError] while failures delay the login, and otherwise nil.
func (a *LoginAttempt) delayError(f failures, now time.Time) error {
	wait := f.wait(now)
	if wait == 0 {
		return nil
	}
	return &ExceededError{Limit: LoginAccount, Rate: a.accountQuota.rate, Wait: wait}
}
