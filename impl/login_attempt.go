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

// try is an attempt to authenticate with a password or a second factor. Both are guesses, and the limits count them together.
type try struct {
	email   string     // under which the limits count; empty: that of the account
	refused event.Name // logged if what the user presents is wrong
	about   []slog.Attr
	// find returns the account, or the zero account if there is none.
	find func(ctx context.Context) (db.Account, error)
	// check checks what the user presents. A success is committed in one transaction, which also records it in the limits. It fails with
	// errWrongPassword, errWrongFactor or errAccountChanged.
	check func(ctx context.Context, account db.Account, attempt limit.LoginAttempt) (db.Session, error)
	// wrong, if not nil, is called when a wrong second factor was counted. err is the error of check.
	wrong func(ctx context.Context, account db.Account, err error) error
}

// attempt authenticates a user. It reserves quota in the limits before anything is compared, so that parallel guesses gain nothing over
// sequential ones. It records the result however the attempt ends.
func (s *Service) attempt(ctx context.Context, t try) (db.Session, error) {
	account, attempt, err := s.beginLogin(ctx, t)
	if err != nil {
		return db.Session{}, err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = s.recordLoginError(ctx, account, attempt, t, errLoginPanicked)
			panic(p)
		}
	}()
	session, err := t.check(ctx, account, attempt)
	if errors.Is(err, errAccountChanged) {
		// Between the lookup and the commit, another login used a pending password or upgraded the hash, or the second factor was turned on:
		// look the account up again.
		if account, err = t.find(ctx); err == nil {
			session, err = t.check(ctx, account, attempt)
		}
		if errors.Is(err, errWrongPassword) {
			err = errAccountChanged // the password was right when the request arrived, so it was no guess
		}
	}
	if err != nil {
		return db.Session{}, s.recordLoginError(ctx, account, attempt, t, err)
	}
	return session, nil
}

// beginLogin finds the account, or the zero account if there is none, and reserves quota for the login.
func (s *Service) beginLogin(ctx context.Context, t try) (account db.Account, attempt limit.LoginAttempt, err error) {
	for range 2 {
		if account, err = t.find(ctx); err != nil {
			return account, attempt, err
		}
		email := t.email
		if email == "" {
			email = account.Email
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
		err = s.recordLoginError(ctx, account, attempt, t, err)
	}
	if err != nil {
		return account, attempt, fmt.Errorf("begin a login: %w", err)
	}
	return account, attempt, nil
}

// recordLoginError records a login that did not succeed, also if the client has disconnected, and returns the error for the response. Only a
// wrong password or second factor counts as a guess. If it cannot be counted, the error is another one, so that the client does not learn that
// the guess was wrong. A success is recorded in the transaction of the login.
func (s *Service) recordLoginError(
	ctx context.Context, account db.Account, attempt limit.LoginAttempt, t try, loginErr error,
) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if !errors.Is(loginErr, errWrongPassword) && !errors.Is(loginErr, errWrongFactor) {
		if err := s.Limits.ReleaseLogin(ctx, s.Store, s.Clock.Now(), attempt); err != nil {
			event.Record(ctx, s.Log, event.LimitReleaseFailed, slog.Any("error", err))
		}
		if errors.Is(loginErr, errAccountChanged) {
			s.logRefused(ctx, account, attempt, t, loginErr)
		}
		return loginErr
	}
	switchedOff, err := s.Limits.RecordLoginFailure(ctx, s.Store, s.Clock.Now(), attempt)
	if err != nil {
		return err
	}
	s.logRefused(ctx, account, attempt, t, loginErr)
	if switchedOff && account.ID != uuid.Nil {
		event.Record(ctx, s.Log, event.PasswordSwitchedOff, event.Account(account.ID))
	}
	if t.wrong != nil {
		if err := t.wrong(ctx, account, loginErr); err != nil {
			return err
		}
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

// logRefused logs why a password or a second factor was refused. The client does not learn it.
func (s *Service) logRefused(ctx context.Context, account db.Account, attempt limit.LoginAttempt, t try, loginErr error) {
	if account.ID == uuid.Nil {
		event.Record(ctx, s.Log, t.refused, event.Reason("unknown_address"))
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
	case errors.Is(loginErr, errWrongFactor):
		reason = "wrong_factor"
	}
	event.Record(ctx, s.Log, t.refused, append([]slog.Attr{event.Reason(reason), event.Account(account.ID)}, t.about...)...)
}
