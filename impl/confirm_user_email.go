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

// ConfirmUserEmail consumes a mailed link and enqueues a mail with a password.
//
// Opening a reset link takes nothing away from the user, because a mail scanner may open it: the old password and the sessions stay valid
// until someone logs in with the mailed password.
func (s *Service) ConfirmUserEmail(
	ctx context.Context, request api.ConfirmUserEmailRequestObject,
) (api.ConfirmUserEmailResponseObject, error) {
	req := reqinfo.FromContext(ctx)
	pages, format := page.NewRenderer(s.Name, s.AppURL), page.Negotiate(req.Accept)
	notFound := func() pageResponse {
		return pageResponse{pages.Failure(format, req.AcceptLanguage, page.Failure{Status: http.StatusNotFound})}
	}

	keyHash, ok := link.Hash(request.ConfirmationKey)
	if !ok {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("malformed"))
		return notFound(), nil
	}
	account, purpose, err := s.consumeLink(ctx, keyHash, s.unknownLinkQuota(req, request.ConfirmationKey))
	if errors.Is(err, db.ErrNotFound) {
		event.Record(ctx, s.Log, event.LinkRefused, event.Reason("unusable"))
		return notFound(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	req.AccountID = account.ID.String()
	event.Record(ctx, s.Log, event.LinkUsed, slog.String("purpose", string(purpose)))
	s.MailQueued()
	confirmed, err := pages.Confirmed(format, account.Language, purpose)
	if err != nil {
		return nil, fmt.Errorf("confirm: %w", err)
	}
	return pageResponse{confirmed}, nil
}

// unknownLinkQuota returns the quota that limits guesses at links. A key that the service issued is not a guess, even if it was used or has
// expired: its quota is unlimited.
func (s *Service) unknownLinkQuota(req *reqinfo.Info, key string) limit.Quota {
	if s.Links.Issued(key) {
		return limit.Quota{}
	}
	return s.Limits.ClientIPQuota(limit.LinkSource, req.Addr)
}

// consumeLink consumes a link in one transaction, or fails with db.ErrNotFound if the link is not usable. An unknown link counts as a guess.
func (s *Service) consumeLink(
	ctx context.Context, keyHash []byte, guesses limit.Quota,
) (account db.Account, purpose link.Purpose, err error) {
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), guesses); err != nil {
		return account, "", err
	}
	var unknown error
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		guess, err := s.Limits.Lock(ctx, q, s.Clock.Now(), guesses)
		if err != nil {
			return err
		}
		// Clocks: on a replica that is 5 s behind, or was set back, a link lives as much longer; on one that is ahead, as much shorter.
		found, err := q.GetConfirmationByKey(ctx, db.GetConfirmationByKeyParams{KeyHash: keyHash, Now: s.Clock.Now()})
		if unknown = nil; errors.Is(err, db.ErrNotFound) {
			unknown = err
			return guess.Take(ctx, q)
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

// confirm does what a link confirms. It fails with db.ErrNotFound if the link is not usable; the transaction is then rolled back.
func (s *Service) confirm(ctx context.Context, q *db.Queries, found db.Confirmation) (account db.Account, err error) {
	now := s.Clock.Now()
	account, err = q.GetAccount(ctx, found.AccountID)
	if err != nil {
		return account, fmt.Errorf("find the account: %w", err)
	}
	if account.DisabledAt != nil {
		return account, db.ErrNotFound
	}
	switch purpose := link.Purpose(found.Purpose); purpose {
	case link.SignUp:
		if err := s.confirmSignUp(ctx, q, account); err != nil {
			return account, err
		}
	case link.PasswordReset:
	default: // of a newer version: the link stays usable there
		return account, fmt.Errorf("unknown purpose of a link: %q", purpose)
	}
	// Every transaction locks the account before its links and mails. So none disables the account meanwhile, and clicks are serialized.
	number, err := q.NextPasswordNumber(ctx, account.ID)
	if err != nil {
		return account, fmt.Errorf("number the password: %w", err)
	}
	if _, err := q.ConsumeConfirmation(ctx, db.ConsumeConfirmationParams{KeyHash: found.KeyHash, Now: now}); err != nil {
		return account, fmt.Errorf("consume the link: %w", err)
	}
	// There is none of the other form, unless the version before has created this one: it does not know the other form.
	if _, err := q.DeleteLink(ctx, db.DeleteLinkParams{AccountID: account.ID, Purpose: found.Purpose}); err != nil {
		return account, fmt.Errorf("delete the link of the other form: %w", err)
	}
	if err := q.DeleteOlderPasswordMails(ctx, account.ID); err != nil {
		return account, fmt.Errorf("delete mails with older passwords: %w", err)
	}
	return account, enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: account.ID, Kind: mail.KindPassword, Nonce: password.NewNonce(s.Root), PasswordNumber: number, Now: now,
	})
}

// confirmSignUp turns the reserved use of the invite into a use, and confirms the account. It locks the invite's row before the account's, as
// a sign-up does, so that the two cannot deadlock.
func (s *Service) confirmSignUp(ctx context.Context, q *db.Queries, account db.Account) error {
	if err := consumeReservedInvite(ctx, q, account); err != nil {
		return err
	}
	if _, err := q.ConfirmAccount(ctx, account.ID); err != nil {
		return fmt.Errorf("confirm the account: %w", err)
	}
	return nil
}

// consumeReservedInvite turns the use of an invite that a sign-up reserved into a use. It locks the invite's row. It fails with db.ErrNotFound
// if the use is gone.
func consumeReservedInvite(ctx context.Context, q *db.Queries, account db.Account) error {
	if account.InviteID == nil {
		return nil
	}
	consumed, err := q.ConsumeInvite(ctx, *account.InviteID)
	if err != nil {
		return fmt.Errorf("use the invite: %w", err)
	}
	if consumed == 0 {
		// By another replica's clock, this sign-up had expired, and its use went to another one.
		return db.ErrNotFound
	}
	return nil
}

// pageResponse is a page in one of the operation's media types.
type pageResponse struct{ page.Page }

// VisitConfirmUserEmailResponse implements api.ConfirmUserEmailResponseObject.
func (r pageResponse) VisitConfirmUserEmailResponse(w http.ResponseWriter) error {
	return r.Send(w)
}

// VisitOpenLinkResponse implements api.OpenLinkResponseObject.
func (r pageResponse) VisitOpenLinkResponse(w http.ResponseWriter) error { return r.Send(w) }

// VisitUseLinkResponse implements api.UseLinkResponseObject.
func (r pageResponse) VisitUseLinkResponse(w http.ResponseWriter) error { return r.Send(w) }
