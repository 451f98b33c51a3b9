package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/reqinfo"
)

// recordTimeout is how long it may take to record the result of a login, also if the client has disconnected. A wrong password gets no less
// time than a right one.
const recordTimeout = 15 * time.Second

// errLoginPanicked means that a login panicked.
var errLoginPanicked = errors.New("the login panicked")

// attemptLogin compares a password and uses it if it matches. It reserves quota in the limits before the password is compared, so that
// parallel guesses gain nothing over sequential ones. It records the result however the attempt ends.
func (s *Service) attemptLogin(ctx context.Context, email, plain string, use verifiedUse) (db.Session, error) {
	if err := s.Hasher.Busy(); err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w", err)
	}
	account, attempt, err := s.beginLogin(ctx, email, use)
	if err != nil {
		return db.Session{}, err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = s.recordLoginError(ctx, account, attempt, use, errLoginPanicked)
			panic(p)
		}
	}()
	session, err := s.verify(ctx, account, attempt, plain, use)
	if errors.Is(err, errAccountChanged) {
		// Between the lookup and the commit, another login used a pending password or upgraded the hash: look the account up again.
		if account, err = s.findAccount(ctx, email); err == nil {
			session, err = s.verify(ctx, account, attempt, plain, use)
		}
		if errors.Is(err, errWrongPassword) {
			err = errAccountChanged // the password was right when the request arrived, so it was no guess
		}
	}
	if err != nil {
		return db.Session{}, s.recordLoginError(ctx, account, attempt, use, err)
	}
	return session, nil
}

// beginLogin finds the account, or the zero account if there is none, and reserves quota for the login.
func (s *Service) beginLogin(ctx context.Context, email string, use verifiedUse) (account db.Account, attempt limit.LoginAttempt, err error) {
	for range 2 {
		if account, err = s.findAccount(ctx, email); err != nil {
			return account, attempt, err
		}
		attempt, err = s.Limits.BeginLogin(ctx, s.Store, s.Clock.Now, limit.Login{
			ClientIP: reqinfo.FromContext(ctx).Addr, Address: email, AccountID: account.ID, CountByAddress: s.HideAccounts,
			KnownClientIP: func(ctx context.Context, clientIP string) (bool, error) {
				return s.hasSessionFrom(ctx, account.ID, clientIP)
			},
		})
		if !errors.Is(err, db.ErrConflict) { // the account was deleted since the lookup: try again without one
			break
		}
	}
	if errors.Is(err, db.ErrUnavailable) { // the reservation may have been committed nevertheless
		err = s.recordLoginError(ctx, account, attempt, use, err)
	}
	if err != nil {
		return account, attempt, fmt.Errorf("begin a login: %w", err)
	}
	return account, attempt, nil
}

// recordLoginError records a login that did not succeed, also if the client has disconnected, and returns the error for the response. Only a
// wrong password counts as a guess. If it cannot be counted, the error is another one, so that the client does not learn that the password
// was wrong. A success is recorded in the transaction of the login.
func (s *Service) recordLoginError(
	ctx context.Context, account db.Account, attempt limit.LoginAttempt, use verifiedUse, loginErr error,
) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if !errors.Is(loginErr, errWrongPassword) {
		if err := s.Limits.ReleaseLogin(ctx, s.Store, s.Clock.Now(), attempt); err != nil {
			event.Record(ctx, s.Log, event.LimitReleaseFailed, slog.Any("error", err))
		}
		if errors.Is(loginErr, errAccountChanged) {
			s.logRefused(ctx, account, attempt, use, loginErr)
		}
		return loginErr
	}
	switchedOff, err := s.Limits.RecordLoginFailure(ctx, s.Store, s.Clock.Now(), attempt)
	if err != nil {
		return err
	}
	s.logRefused(ctx, account, attempt, use, loginErr)
	if switchedOff && account.ID != uuid.Nil {
		event.Record(ctx, s.Log, event.PasswordSwitchedOff, event.Account(account.ID))
	}
	return loginErr
}

// hasSessionFrom reports whether an account has an active session from a client IP.
func (s *Service) hasSessionFrom(ctx context.Context, accountID uuid.UUID, clientIP string) (bool, error) {
	sessions, err := s.activeSessions(ctx, accountID)
	return slices.ContainsFunc(sessions, func(session db.Session) bool {
		addr, err := netip.ParseAddr(session.RemoteAddr)
		return err == nil && limit.ClientIP(addr) == clientIP
	}), err
}

// logRefused logs why a password was refused. The client does not learn it.
func (s *Service) logRefused(ctx context.Context, account db.Account, attempt limit.LoginAttempt, use verifiedUse, loginErr error) {
	if account.ID == uuid.Nil {
		event.Record(ctx, s.Log, use.refused, event.Reason("unknown_address"))
		return
	}
	reason := "wrong_password"
	switch {
	case account.PendingUntil != nil:
		reason = "unconfirmed"
	case account.DisabledAt != nil:
		reason = "disabled"
	case attempt.PasswordOff:
		reason = "password_off"
	case errors.Is(loginErr, errAccountChanged):
		reason = "changed_meanwhile"
	}
	event.Record(ctx, s.Log, use.refused, event.Reason(reason), event.Account(account.ID))
}
