package impl

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/link"
)

// The reset itself, which user_password_reset.go does immediately, or reset_worker.go later if accounts are hidden.

// resetPassword enqueues a mail with a reset link, or with the sign-up link again if the account is unconfirmed. It fails with
// db.ErrNotFound if the address has no account, a disabled one or an expired sign-up.
func (s *Service) resetPassword(
	ctx context.Context, q *db.Queries, email string, choosePassword bool,
) (account db.Account, err error) {
	now := s.Clock.Now()
	account, err = q.LockAccountByEmail(ctx, email) // locked, so that no link is created after the account was disabled or deleted
	switch {
	case err != nil:
		return account, fmt.Errorf("find the account: %w", err)
	case account.DisabledAt != nil:
		return account, db.ErrNotFound
	case account.PendingUntil == nil:
		return account, s.enqueuePasswordLink(
			ctx, q, account.ID, link.PasswordReset, choosePassword, linkKind(link.PasswordReset, choosePassword), now, now.Add(s.PasswordLinkTTL))
	case !account.PendingUntil.After(now):
		return account, db.ErrNotFound
	}
	return account, s.enqueueSignUpLinkAgain(ctx, q, account, choosePassword, now)
}

// resetCommitted logs a reset after its commit and wakes the mail worker.
func (s *Service) resetCommitted(ctx context.Context, account db.Account, choosePassword bool) {
	purpose := link.PasswordReset
	if account.PendingUntil != nil {
		purpose = link.SignUp
	}
	event.Record(ctx, s.Log, event.PasswordResetRequested, event.Account(account.ID), slog.String("kind", linkKind(purpose, choosePassword)))
	s.MailQueued()
}

// logResetRefused logs why resetPassword failed with db.ErrNotFound.
func (s *Service) logResetRefused(ctx context.Context, account db.Account) {
	switch {
	case account.ID == uuid.Nil:
		event.Record(ctx, s.Log, event.PasswordResetRefused, event.Reason("unknown_address"))
	case account.DisabledAt != nil:
		event.Record(ctx, s.Log, event.PasswordResetRefused, event.Reason("disabled"), event.Account(account.ID))
	default:
		event.Record(ctx, s.Log, event.PasswordResetRefused, event.Reason("signup_expired"), event.Account(account.ID))
	}
}
