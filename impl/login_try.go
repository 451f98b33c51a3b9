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

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/reqinfo"
)

// settleTimeout bounds how long it may take to record how a log-in ended, also when its caller has left. A wrong password gets no less time
// than a right one.
const settleTimeout = 15 * time.Second

// errPanicked says that a log-in panicked.
var errPanicked = errors.New("the log-in panicked")

// tryLogin reserves a place in the limits before the password is looked at, so that many at once get no more guesses than one after
// another, and settles it however the log-in ends.
func (s *Service) tryLogin(ctx context.Context, email string, body *api.CreateAccessTokenRequest) (db.Session, error) {
	if err := s.Hasher.Busy(); err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w", err)
	}
	account, attempt, err := s.beginLogin(ctx, email)
	if err != nil {
		return db.Session{}, err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = s.settle(ctx, account, attempt, errPanicked)
			panic(p)
		}
	}()
	session, err := s.login(ctx, account, attempt, body)
	if errors.Is(err, errAccountChanged) {
		// Somebody logged in with an armed password, or the hash was renewed, between our look and our commit: look again.
		if account, err = s.findAccount(ctx, email); err == nil {
			session, err = s.login(ctx, account, attempt, body)
		}
		if errors.Is(err, errWrongPassword) {
			err = errAccountChanged // it was right when it came: no guess
		}
	}
	if err != nil {
		return db.Session{}, s.settle(ctx, account, attempt, err)
	}
	return session, nil
}

// beginLogin finds the account, the zero one if there is none, and reserves a place for the log-in.
func (s *Service) beginLogin(ctx context.Context, email string) (account db.Account, attempt limit.LoginAttempt, err error) {
	for range 2 {
		if account, err = s.findAccount(ctx, email); err != nil {
			return account, attempt, err
		}
		attempt, err = s.Limits.BeginLogin(ctx, s.Store, s.Clock.Now, limit.Login{
			ClientIP: reqinfo.FromContext(ctx).Addr, Address: email, AccountID: account.ID, CountByAddress: s.HideAccounts,
			KnownClientIP: func(ctx context.Context, source string) (bool, error) { return s.isAtHome(ctx, account.ID, source) },
		})
		if !errors.Is(err, db.ErrConflict) { // the account was deleted since we looked: now there is none
			break
		}
	}
	if errors.Is(err, db.ErrUnavailable) { // the place may have been committed all the same
		err = s.settle(ctx, account, attempt, err)
	}
	if err != nil {
		return account, attempt, fmt.Errorf("begin a log-in: %w", err)
	}
	return account, attempt, nil
}

// settle records how a log-in ended that did not succeed, whether or not the caller is still there, and returns what the caller is told.
// Only a wrong password is a guess; if it cannot be counted, nobody is told that it was wrong. A success is settled by the log-in's
// transaction.
func (s *Service) settle(ctx context.Context, account db.Account, attempt limit.LoginAttempt, outcome error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if !errors.Is(outcome, errWrongPassword) {
		if err := s.Limits.ReleaseLogin(ctx, s.Store, s.Clock.Now(), attempt); err != nil {
			event.Record(ctx, s.Log, event.LimitGiveBackFailed, slog.Any("error", err))
		}
		if errors.Is(outcome, errAccountChanged) {
			s.logLoginFailed(ctx, account, attempt, outcome)
		}
		return outcome
	}
	switchedOff, err := s.Limits.RecordLoginFailure(ctx, s.Store, s.Clock.Now(), attempt)
	if err != nil {
		return err
	}
	s.logLoginFailed(ctx, account, attempt, outcome)
	if switchedOff && account.ID != uuid.Nil {
		event.Record(ctx, s.Log, event.PasswordSwitchedOff, event.Account(account.ID))
	}
	return outcome
}

// isAtHome reports whether an account has a live session at a source.
func (s *Service) isAtHome(ctx context.Context, accountID uuid.UUID, source string) (bool, error) {
	sessions, err := s.liveSessions(ctx, accountID)
	return slices.ContainsFunc(sessions, func(session db.Session) bool {
		addr, err := netip.ParseAddr(session.RemoteAddr)
		return err == nil && limit.ClientIP(addr) == source
	}), err
}

// logLoginFailed tells the log, and nobody else, why a log-in was refused.
func (s *Service) logLoginFailed(ctx context.Context, account db.Account, attempt limit.LoginAttempt, outcome error) {
	if account.ID == uuid.Nil {
		event.Record(ctx, s.Log, event.LoginFailed, event.Reason("unknown_address"))
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
	case errors.Is(outcome, errAccountChanged):
		reason = "changed_meanwhile"
	}
	event.Record(ctx, s.Log, event.LoginFailed, event.Reason(reason), event.Account(account.ID))
}
