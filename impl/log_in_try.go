package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/caller"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
)

// errNotCompared says that no password was compared: too many were being, or the caller left.
var errNotCompared = errors.New("no password was compared")

// tryLogIn takes a try before the password is looked at, so that many at once get no more tries than one after another.
func (s *Service) tryLogIn(ctx context.Context, email string, body *api.CreateAccessTokenRequest) (db.Session, error) {
	if err := s.Hasher.Busy(); err != nil {
		return db.Session{}, fmt.Errorf("check the password: %w", err)
	}
	account, err := s.findAccount(ctx, email)
	if err != nil {
		return db.Session{}, err
	}
	try, err := s.takeTry(ctx, email, account.ID)
	if errors.Is(err, db.ErrConflict) { // the account was deleted since we looked
		account = db.Account{}
		try, err = s.takeTry(ctx, email, account.ID)
	}
	if err != nil {
		return db.Session{}, fmt.Errorf("take a try: %w", err)
	}
	session, err := s.logIn(ctx, account, try, body)
	if errors.Is(err, errPasswordChanged) {
		// Somebody logged in with an armed password, or the hash was renewed, between our look and our commit: look again.
		if account, err = s.findAccount(ctx, email); err == nil {
			session, err = s.logIn(ctx, account, try, body)
		}
	}
	if refused(err) {
		s.logLogInFailed(ctx, account, try, err)
	}
	if errors.Is(err, errNotCompared) {
		// The caller may have left by now, which makes it no failure of the account's.
		if err := s.Limits.NotTried(context.WithoutCancel(ctx), s.Store, try); err != nil {
			event.Record(ctx, s.Log, event.LimitGiveBackFailed, slog.Any("error", err))
		}
	}
	return session, err
}

// takeTry fails with db.ErrConflict where there is no such account.
func (s *Service) takeTry(ctx context.Context, email string, account uuid.UUID) (limit.Try, error) {
	return s.Limits.TryLogIn(ctx, s.Store, s.now(), limit.Attempt{
		Source: caller.FromContext(ctx).Addr, Address: email, AccountID: account,
		Knows: func(ctx context.Context, source string) (bool, error) { return s.isAtHome(ctx, account, source) },
	})
}

// isAtHome tells whether an account has a live session at a source.
func (s *Service) isAtHome(ctx context.Context, accountID uuid.UUID, source string) (bool, error) {
	sessions, err := s.liveSessions(ctx, accountID)
	return slices.ContainsFunc(sessions, func(session db.Session) bool {
		addr, err := netip.ParseAddr(session.RemoteAddr)
		return err == nil && limit.Source(addr) == source
	}), err
}

// refused tells whether a log-in failed because of who tried it.
func refused(err error) bool {
	return errors.Is(err, db.ErrNotFound) || errors.Is(err, errPasswordChanged)
}

// logLogInFailed tells the log, and nobody else, why a log-in was refused.
func (s *Service) logLogInFailed(ctx context.Context, account db.Account, try limit.Try, err error) {
	if account.ID == uuid.Nil {
		event.Record(ctx, s.Log, event.LogInFailed, event.Reason("unknown_address"))
		return
	}
	reason := "wrong_password"
	switch {
	case account.PendingUntil != nil:
		reason = "unconfirmed"
	case account.DisabledAt != nil:
		reason = "disabled"
	case try.PasswordOff:
		reason = "password_off"
	case errors.Is(err, errPasswordChanged):
		reason = "changed_meanwhile"
	}
	event.Record(ctx, s.Log, event.LogInFailed, event.Reason(reason), event.Account(account.ID))
	if errors.Is(err, db.ErrNotFound) && try.SwitchesOff {
		event.Record(ctx, s.Log, event.PasswordSwitchedOff, event.Account(account.ID))
	}
}
