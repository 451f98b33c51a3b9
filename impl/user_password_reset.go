package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
)

// UserPasswordReset owes a reset link to a user's address, or the confirmation link again to a sign-up that waits for it.
// Nothing else changes: the password and the sessions live on until the user logs in with a new password.
func (s *Service) UserPasswordReset(
	ctx context.Context, request api.UserPasswordResetRequestObject,
) (api.UserPasswordResetResponseObject, error) {
	email, err := address.Normalize(request.Body.Email)
	if err != nil {
		return api.UserPasswordReset400JSONResponse{
			Code: 400, Message: api.RequestUserPasswordResetFailure400MessageBADPARAMETERS,
		}, nil
	}
	if s.HideAccounts {
		return api.UserPasswordReset204Response{}, s.deferReset(ctx, email)
	}
	account, err := s.findAccount(ctx, email)
	if err != nil {
		return nil, fmt.Errorf("reset the password: %w", err)
	}
	resets := s.Limits.ClientIPQuota(limit.ResetSource, reqinfo.FromContext(ctx).Addr)
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), resets, s.resetMails(account, email)); err != nil {
		return nil, fmt.Errorf("reset the password: %w", err)
	}
	done, err := s.Limits.Serialize(ctx, resets)
	if err != nil {
		return nil, fmt.Errorf("reset the password: %w", err)
	}
	defer done()
	var refused error
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		if err := s.Limits.Take(ctx, q, s.Clock.Now(), resets); err != nil {
			return err
		}
		account, refused = s.resetPassword(ctx, q, email)
		if refused != nil && !errors.Is(refused, db.ErrNotFound) {
			return refused
		}
		return s.Limits.Take(ctx, q, s.Clock.Now(), s.resetMails(account, email))
	})
	if err == nil {
		err = refused
	}
	if errors.Is(err, db.ErrNotFound) {
		s.logResetRefused(ctx, account)
		return api.UserPasswordReset404JSONResponse{
			Code: 404, Message: api.RequestUserPasswordResetFailure404MessageUSERNOTFOUND,
		}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reset the password: %w", err)
	}
	s.resetDone(ctx, account)
	return api.UserPasswordReset204Response{}, nil
}

// resetDone follows a reset that is committed.
func (s *Service) resetDone(ctx context.Context, account db.Account) {
	what := mail.KindPasswordLink
	if account.PendingUntil != nil {
		what = mail.KindSignUpLink
	}
	event.Record(ctx, s.Log, event.PasswordResetRequested, event.Account(account.ID), slog.String("kind", what))
	s.MailQueued()
}

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

// resetPassword fails with db.ErrNotFound where nobody active or pending has the address.
func (s *Service) resetPassword(ctx context.Context, q *db.Queries, email string) (account db.Account, err error) {
	now := s.Clock.Now()
	account, err = q.LockAccountByEmail(ctx, email) // so that no link comes after the account was disabled, or deleted
	switch {
	case err != nil:
		return account, fmt.Errorf("find the account: %w", err)
	case account.DisabledAt != nil:
		return account, db.ErrNotFound
	case account.PendingUntil == nil:
		return account, s.queueLink(ctx, q, account.ID, link.PasswordReset, mail.KindPasswordLink, now, now.Add(s.PasswordLinkTTL))
	case !account.PendingUntil.After(now):
		return account, db.ErrNotFound
	}
	pending, err := q.GetConfirmation(ctx, db.GetConfirmationParams{AccountID: account.ID, Purpose: string(link.SignUp)})
	if err != nil {
		return account, fmt.Errorf("find the pending confirmation: %w", err)
	}
	return account, queueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindSignUpLink, ConfirmationID: &pending.ID, Now: now,
	})
}
