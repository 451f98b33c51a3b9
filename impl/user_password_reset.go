package impl

import (
	"context"
	"errors"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/reqinfo"
)

// UserPasswordReset enqueues a mail with a reset link to a user, or the confirmation link again to an unconfirmed user. It changes nothing
// else: the password and the sessions stay valid until the user logs in with a new password.
func (s *Service) UserPasswordReset(
	ctx context.Context, request api.UserPasswordResetRequestObject,
) (api.UserPasswordResetResponseObject, error) {
	email, err := address.Normalize(request.Body.Email)
	if err != nil {
		return api.UserPasswordReset400JSONResponse{
			Code: 400, Message: api.RequestUserPasswordResetFailure400MessageBADPARAMETERS, Parameters: reject(ctx, "email"),
		}, nil
	}
	choosePassword := request.Body.ChoosePassword != nil && *request.Body.ChoosePassword
	if s.HideAccounts {
		if err := s.queueReset(ctx, email, choosePassword); err != nil {
			return nil, fmt.Errorf("queue the reset: %w", err)
		}
		return api.UserPasswordReset204Response{}, nil
	}
	account, err := s.resetNow(ctx, email, choosePassword)
	if errors.Is(err, db.ErrNotFound) {
		s.logResetRefused(ctx, account)
		return api.UserPasswordReset404JSONResponse{
			Code: 404, Message: api.RequestUserPasswordResetFailure404MessageUSERNOTFOUND,
		}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reset the password: %w", err)
	}
	s.resetCommitted(ctx, account, choosePassword)
	return api.UserPasswordReset204Response{}, nil
}

// resetNow does the reset in one transaction. It fails with db.ErrNotFound as resetPassword does; that counts towards the limits too.
func (s *Service) resetNow(ctx context.Context, email string, choosePassword bool) (db.Account, error) {
	account, err := s.findAccount(ctx, email)
	if err != nil {
		return account, err
	}
	resets := s.Limits.ClientIPQuota(limit.ResetSource, reqinfo.FromContext(ctx).Addr)
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), resets, s.resetMailQuota(account, email)); err != nil {
		return account, err
	}
	unlock, err := s.Limits.Serialize(ctx, resets)
	if err != nil {
		return account, err
	}
	defer unlock()
	var refusal error
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		if err := s.Limits.Take(ctx, q, s.Clock.Now(), resets); err != nil {
			return err
		}
		account, refusal = s.resetPassword(ctx, q, email, choosePassword)
		if refusal != nil && !errors.Is(refusal, db.ErrNotFound) {
			return refusal
		}
		return s.Limits.Take(ctx, q, s.Clock.Now(), s.resetMailQuota(account, email))
	})
	if err == nil {
		err = refusal
	}
	return account, err
}

// queueReset stores the request for a reset while accounts are hidden; reset_worker.go does it later. It does not look the account up, so
// the limit of mails to an address is applied only then, and no response reveals that it is exceeded.
func (s *Service) queueReset(ctx context.Context, email string, choosePassword bool) error {
	req := reqinfo.FromContext(ctx)
	resets := s.Limits.ClientIPQuota(limit.ResetSource, req.Addr)
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), resets); err != nil {
		return err
	}
	unlock, err := s.Limits.Serialize(ctx, resets)
	if err != nil {
		return err
	}
	defer unlock()
	row := db.InsertResetRequestParams{ID: newID(), Email: email, RequestID: req.RequestID, RemoteAddr: req.Addr.String()}
	if choosePassword {
		row.ChoosePassword = 1
	}
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		if err := s.Limits.Take(ctx, q, s.Clock.Now(), resets); err != nil {
			return err
		}
		row.Now = s.Clock.Now()
		return q.InsertResetRequest(ctx, row)
	})
	if err != nil {
		return err
	}
	select {
	case s.resetSignal() <- struct{}{}:
	default: // the worker will look for resets anyway
	}
	return nil
}
