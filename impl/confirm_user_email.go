package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/reqinfo"
)

// ConfirmUserEmail uses a mailed link up and owes the address a password.
//
// Opening a reset link changes nothing that its owner would miss: a mail scanner may follow it, the old password and the
// sessions live on until somebody logs in with the password that was mailed.
func (s *Service) ConfirmUserEmail(
	ctx context.Context, request api.ConfirmUserEmailRequestObject,
) (api.ConfirmUserEmailResponseObject, error) {
	req := reqinfo.FromContext(ctx)
	format := page.Negotiate(req.Accept)

	keyHash, ok := link.Hash(request.ConfirmationKey)
	if !ok {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("malformed"))
		return pageResponse{page.Failure(format, page.Language(req.AcceptLanguage), http.StatusNotFound)}, nil
	}
	account, purpose, err := s.useLink(ctx, keyHash, s.linkGuess(req, request.ConfirmationKey))
	if errors.Is(err, db.ErrNotFound) {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("unusable"))
		return pageResponse{page.Failure(format, page.Language(req.AcceptLanguage), http.StatusNotFound)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	req.AccountID = account.ID.String()
	event.Record(ctx, s.Log, event.LinkUsed, slog.String("purpose", string(purpose)))
	s.MailQueued()
	return pageResponse{page.Confirmed(format, account.Language, string(purpose))}, nil
}

// linkGuess is a guess at a link, if the service has not made the key: who has one that it made, used up or not, has guessed nothing.
func (s *Service) linkGuess(req *reqinfo.Info, key string) limit.Quota {
	if s.Links.Made(key) {
		return limit.Quota{}
	}
	return s.Limits.ClientIPQuota(limit.LinkSource, req.Addr)
}

// useLink uses a link up in one transaction, or fails with db.ErrNotFound where it does not work. A guess that found none is counted.
func (s *Service) useLink(ctx context.Context, keyHash []byte, guess limit.Quota) (account db.Account, purpose link.Purpose, err error) {
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), guess); err != nil {
		return account, "", err
	}
	var unknown error
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		locked, err := s.Limits.Lock(ctx, q, s.Clock.Now(), guess)
		if err != nil {
			return err
		}
		// By a clock that is 5 s behind, or was set back, a link lives as much longer; by one that is ahead, as much less.
		found, err := q.GetConfirmationByKey(ctx, db.GetConfirmationByKeyParams{KeyHash: keyHash, Now: s.Clock.Now()})
		if unknown = nil; errors.Is(err, db.ErrNotFound) {
			unknown = err
			return locked.Take(ctx, q)
		}
		if err != nil {
			return fmt.Errorf("find the link: %w", err)
		}
		purpose = link.Purpose(found.Purpose)
		account, err = s.confirm(ctx, q, found)
		return err
	})
	if err == nil {
		err = unknown
	}
	return account, purpose, err
}

// confirm fails with db.ErrNotFound where the link does not work, and then leaves nothing behind.
func (s *Service) confirm(ctx context.Context, q *db.Queries, found db.Confirmation) (account db.Account, err error) {
	now := s.Clock.Now()
	account, err = q.GetAccount(ctx, found.AccountID)
	if err != nil {
		return account, fmt.Errorf("find the account: %w", err)
	}
	if account.DisabledAt != nil {
		return account, db.ErrNotFound
	}
	if link.Purpose(found.Purpose) == link.SignUp {
		if err := s.confirmSignUp(ctx, q, account); err != nil {
			return account, err
		}
	}
	// Everybody locks the account before its links and mails. So nobody disables it beside this, and clicks come one after another.
	number, err := q.NextPasswordNumber(ctx, account.ID)
	if err != nil {
		return account, fmt.Errorf("number the password: %w", err)
	}
	if _, err := q.ConsumeConfirmation(ctx, db.ConsumeConfirmationParams{KeyHash: found.KeyHash, Now: now}); err != nil {
		return account, fmt.Errorf("use the link up: %w", err)
	}
	if err := q.DeleteOlderPasswordMails(ctx, account.ID); err != nil {
		return account, fmt.Errorf("withdraw older passwords: %w", err)
	}
	return account, queueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindPassword, Nonce: password.NewNonce(s.Root), PasswordNumber: number, Now: now,
	})
}

// confirmSignUp spends the invite's use that the sign-up held. The invite's row comes before the account's, as in a sign-up, so that the two
// can not wait for each other.
func (s *Service) confirmSignUp(ctx context.Context, q *db.Queries, account db.Account) error {
	if account.InviteID != nil {
		spent, err := q.ConsumeInvite(ctx, *account.InviteID)
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
