package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/caller"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/password"
)

// ConfirmUserEmail uses a mailed link up and owes the address a password.
//
// Opening a reset link changes nothing that its owner would miss: a mail scanner may follow it, the old password and the
// sessions live on until somebody logs in with the password that was mailed.
func (s *Service) ConfirmUserEmail(
	ctx context.Context, request api.ConfirmUserEmailRequestObject,
) (api.ConfirmUserEmailResponseObject, error) {
	who := caller.FromContext(ctx)
	format := page.Negotiate(who.Accept)

	keyHash, ok := link.Hash(request.ConfirmationKey)
	if !ok {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("malformed"))
		return pageResponse{page.Failure(format, page.Language(who.AcceptLanguage), http.StatusNotFound)}, nil
	}
	probe := s.Limits.From(limit.LinkSource, who.Addr)
	if err := s.take(ctx, probe); err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	var account db.Account
	var purpose string
	err := s.Store.InTx(ctx, func(q *db.Queries) error {
		var err error
		if account, purpose, err = s.confirm(ctx, q, keyHash); err != nil {
			return err
		}
		return s.Limits.GiveBack(ctx, q, probe)
	})
	if errors.Is(err, db.ErrNotFound) {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("unusable"))
		return pageResponse{page.Failure(format, page.Language(who.AcceptLanguage), http.StatusNotFound)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	who.AccountID = account.ID.String()
	event.Record(ctx, s.Log, event.LinkUsed, slog.String("purpose", purpose))
	s.MailQueued()
	return pageResponse{page.Confirmed(format, account.Language, purpose)}, nil
}

// confirm fails with db.ErrNotFound where the link does not work, and then leaves nothing behind.
func (s *Service) confirm(ctx context.Context, q *db.Queries, keyHash []byte) (account db.Account, purpose string, err error) {
	now := s.now()
	used, err := q.FindConfirmation(ctx, db.FindConfirmationParams{KeyHash: keyHash, Now: now})
	if err != nil {
		return account, "", fmt.Errorf("find the link: %w", err)
	}
	account, err = q.GetAccount(ctx, used.AccountID)
	if err != nil {
		return account, "", fmt.Errorf("find the account: %w", err)
	}
	if account.DisabledAt != nil {
		return account, "", db.ErrNotFound
	}
	if used.Purpose == purposeSignUp {
		if err := s.confirmSignUp(ctx, q, account); err != nil {
			return account, "", err
		}
	}
	// Everybody locks the account before its links and mails. So nobody disables it beside this, and clicks come one after another.
	number, err := q.NextPasswordNumber(ctx, account.ID)
	if err != nil {
		return account, "", fmt.Errorf("number the password: %w", err)
	}
	if _, err := q.UseConfirmation(ctx, db.UseConfirmationParams{KeyHash: keyHash, Now: now}); err != nil {
		return account, "", fmt.Errorf("use the link up: %w", err)
	}
	if err := q.DeleteOlderPasswordMails(ctx, account.ID); err != nil {
		return account, "", fmt.Errorf("withdraw older passwords: %w", err)
	}
	return account, used.Purpose, queueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindPassword, Nonce: password.NewNonce(s.Root), Number: number, Now: now,
	})
}

// confirmSignUp spends the invite's use that the sign-up held. The invite's row comes before the account's, as in a sign-up, so that the two
// can not wait for each other.
func (s *Service) confirmSignUp(ctx context.Context, q *db.Queries, account db.Account) error {
	if account.InviteID != nil {
		spent, err := q.SpendInvite(ctx, *account.InviteID)
		if err != nil {
			return fmt.Errorf("spend the invite: %w", err)
		}
		if spent == 0 {
			// By another replica's clock this sign-up had expired, and somebody else holds its use.
			return db.ErrNotFound
		}
	}
	if _, err := q.ConfirmAccount(ctx, account.ID); err != nil {
		return fmt.Errorf("confirm the account: %w", err)
	}
	return nil
}

// pageResponse answers in whichever of the operation's media types the page is.
type pageResponse struct{ page.Page }

// VisitConfirmUserEmailResponse implements api.ConfirmUserEmailResponseObject.
func (r pageResponse) VisitConfirmUserEmailResponse(w http.ResponseWriter) error {
	return r.Send(w)
}
