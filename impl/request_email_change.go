package impl

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/emailchange"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

var errEmailUnchanged = errors.New("the address is the user's own")

// RequestEmailChange enqueues a mail with a link to a new address, and a notice to the current one. It changes nothing else: the address
// changes when the link is used.
//
// While accounts are hidden, a taken address gets the same response, the same rows and the same work: the worker decides when it sends the
// link whether the address is taken, and then notifies its owner instead.
func (s *Service) RequestEmailChange(
	ctx context.Context, request api.RequestEmailChangeRequestObject,
) (api.RequestEmailChangeResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	email, err := address.Normalize(request.Body.NewEmail)
	if err != nil {
		return api.RequestEmailChange400JSONResponse{
			Code: 400, Message: api.RequestEmailChangeFailure400MessageBADPARAMETERS, Parameters: reject(ctx, "newEmail"),
		}, nil
	}
	err = s.requestEmailChange(ctx, claims, email)
	switch {
	case errors.Is(err, emailchange.ErrTaken):
		event.Record(ctx, s.Log, event.EmailRefused, event.Reason("address_taken"))
		return api.RequestEmailChange409JSONResponse{Code: 409, Message: api.RequestEmailChangeFailure409MessageEMAILTAKEN}, nil
	case errors.Is(err, errEmailUnchanged):
		event.Record(ctx, s.Log, event.EmailRefused, event.Reason("unchanged"))
		return api.RequestEmailChange409JSONResponse{Code: 409, Message: api.RequestEmailChangeFailure409MessageEMAILUNCHANGED}, nil
	case err != nil:
		return nil, fmt.Errorf("request a change of the address: %w", err)
	}
	event.Record(ctx, s.Log, event.EmailAsked)
	s.MailQueued()
	return api.RequestEmailChange204Response{}, nil
}

// requestEmailChange stores the link in one transaction, or fails with emailchange.ErrTaken or errEmailUnchanged. A taken address counts towards the
// limit of the account, so that a user cannot list the addresses of others.
func (s *Service) requestEmailChange(ctx context.Context, claims token.Claims, email string) error {
	changes := s.Limits.Quota(limit.EmailAccount, claims.AccountID.String())
	mails := s.emailChangeMailQuota(email)
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), changes, mails); err != nil {
		return err
	}
	var refusal error
	err := s.Store.InTx(ctx, func(q *db.Queries) error {
		now := s.Clock.Now()
		account, err := s.requireRecentAuthentication(ctx, q, claims, now)
		if err != nil {
			return err
		}
		if account.Email == email {
			return errEmailUnchanged
		}
		refusal = s.refuseTakenAddress(ctx, q, account.ID, email)
		if refusal != nil && !errors.Is(refusal, emailchange.ErrTaken) {
			return refusal
		}
		if refusal != nil {
			return s.Limits.Take(ctx, q, now, changes)
		}
		if err := s.Limits.Take(ctx, q, now, changes, mails); err != nil {
			return err
		}
		return s.enqueueEmailChange(ctx, q, claims, db.UpsertLinkParams{
			AccountID: account.ID, Purpose: string(link.Email), Address: &email, CreatedAt: now, ExpiresAt: now.Add(emailchange.LinkTTL),
		})
	})
	if err != nil {
		return err
	}
	return refusal
}

// refuseTakenAddress fails with emailchange.ErrTaken if another account has the address or can return to it, unless accounts are hidden.
func (s *Service) refuseTakenAddress(ctx context.Context, q *db.Queries, account uuid.UUID, email string) error {
	if s.HideAccounts {
		return nil
	}
	_, err := address.FindOwner(ctx, q, email, account, s.Clock.Now())
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return emailchange.ErrTaken
}

// enqueueEmailChange stores the link to the new address, and enqueues the mail with it and the notice to the current address.
func (s *Service) enqueueEmailChange(ctx context.Context, q *db.Queries, claims token.Claims, row db.UpsertLinkParams) error {
	session, err := q.GetSession(ctx, claims.SessionID)
	if err != nil {
		return unauthorizedIfGone(fmt.Errorf("find the session: %w", err))
	}
	linkID, err := s.enqueuePageLink(ctx, q, row, mail.KindEmailLink)
	if err != nil {
		return err
	}
	addr := reqinfo.FromContext(ctx).Addr.String()
	return enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: row.AccountID, Kind: mail.KindEmailAsked, ConfirmationID: &linkID, Now: row.CreatedAt,
		HappenedAt: &row.CreatedAt, Platform: &session.Platform, RemoteAddr: &addr,
	})
}
