package impl

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
)

// The reset itself, which user_password_reset.go does immediately, or reset_worker.go later if accounts are hidden.

// resetPassword enqueues a mail with a reset link, or with the sign-up link again if the account is unconfirmed. It fails with
// db.ErrNotFound if the address has no account, a disabled one or an expired sign-up.
func (s *Service) resetPassword(ctx context.Context, q *db.Queries, email string) (account db.Account, err error) {
	now := s.Clock.Now()
	account, err = q.LockAccountByEmail(ctx, email) // locked, so that no link is created after the account was disabled or deleted
	switch {
	case err != nil:
		return account, fmt.Errorf("find the account: %w", err)
	case account.DisabledAt != nil:
		return account, db.ErrNotFound
	case account.PendingUntil == nil:
		return account, s.enqueueLink(ctx, q, account.ID, link.PasswordReset, mail.KindPasswordLink, now, now.Add(s.PasswordLinkTTL))
	case !account.PendingUntil.After(now):
		return account, db.ErrNotFound
	}
	pending, err := q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: account.ID, Purpose: string(link.SignUp)})
	if err != nil {
		return account, fmt.Errorf("find the pending confirmation: %w", err)
	}
	return account, enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindSignUpLink, ConfirmationID: &pending.ID, Now: now,
	})
}

// deleteResetLinks voids the reset links of an account, in both forms.
func deleteResetLinks(ctx context.Context, q *db.Queries, accountID uuid.UUID) error {
	err := q.DeleteConfirmation(ctx, db.DeleteConfirmationParams{AccountID: accountID, Purpose: string(link.PasswordReset)})
	if err != nil {
		return fmt.Errorf("delete the reset link: %w", err)
	}
	if _, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: accountID, Purpose: string(link.PasswordReset)}); err != nil {
		return fmt.Errorf("delete the reset link: %w", err)
	}
	return nil
}

// resetCommitted logs a reset after its commit and wakes the mail worker.
func (s *Service) resetCommitted(ctx context.Context, account db.Account) {
	kind := mail.KindPasswordLink
	if account.PendingUntil != nil {
		kind = mail.KindSignUpLink
	}
	event.Record(ctx, s.Log, event.PasswordResetRequested, event.Account(account.ID), slog.String("kind", kind))
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
