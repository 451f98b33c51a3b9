package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/userdata"
)

// ChangeUserPassword replaces the password of the calling user by a chosen one. Whoever has only the access token cannot do that: a wrong
// current password counts as a failed login.
//
// A change ends all other sessions and moves this one to its next generation, so that a copy of its refresh token is of no use. A lost
// response is healed by the grace of the older refresh token.
func (s *Service) ChangeUserPassword(
	ctx context.Context, request api.ChangeUserPasswordRequestObject,
) (api.ChangeUserPasswordResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	account, err := s.callingAccount(ctx, claims)
	if err != nil {
		return nil, err
	}
	refusal, err := s.checkNewPassword(ctx, request.Body, account.Email)
	if refusal != nil || err != nil {
		return refusal, err
	}
	session, err := s.attemptLogin(ctx, account.Email, request.Body.CurrentPassword, s.changePassword(claims, request.Body.NewPassword))
	if errors.Is(err, errWrongPassword) || errors.Is(err, errAccountChanged) {
		return api.ChangeUserPassword403JSONResponse{Code: 403, Message: api.ChangeUserPasswordFailure403MessageWRONGPASSWORD}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("change the password: %w", err)
	}
	s.MailQueued()
	tokens, err := s.tokens(ctx, session)
	return api.ChangeUserPassword200JSONResponse(tokens), err
}

// checkNewPassword returns the response that refuses a new password, or nil if the policy allows it. It hashes nothing.
func (s *Service) checkNewPassword(
	ctx context.Context, body *api.ChangeUserPasswordRequest, email string,
) (api.ChangeUserPasswordResponseObject, error) {
	reason, err := s.refusePassword(body.NewPassword, email)
	switch {
	case errors.Is(err, errNoPassword):
		return api.ChangeUserPassword400JSONResponse{
			Code: 400, Message: api.ChangeUserPasswordFailure400MessageBADPARAMETERS, Parameters: reject(ctx, "newPassword"),
		}, nil
	case err != nil:
		return nil, err
	case reason == "" && password.Normalize(body.CurrentPassword) != password.Normalize(body.NewPassword):
		return nil, nil
	case reason == "":
		reason = api.ChangeUserPasswordFailure422MessagePASSWORDUNCHANGED
	}
	event.Record(ctx, s.Log, event.PasswordRefused, event.Reason(string(reason)))
	return api.ChangeUserPassword422JSONResponse{Code: 422, Message: reason}, nil
}

// changePassword is the use of a verified password to replace it. It fails with reqinfo.ErrUnauthorized if the session has ended.
func (s *Service) changePassword(claims token.Claims, chosen string) verifiedUse {
	return verifiedUse{event.PasswordRefused, func(
		ctx context.Context, account db.Account, verified credential, attempt limit.LoginAttempt,
	) (session db.Session, err error) {
		if account.ID != claims.AccountID {
			return session, errAccountChanged // the address has another account now
		}
		hash, err := s.Hasher.Hash(ctx, chosen, "") // holds no database connection
		if err != nil {
			return session, fmt.Errorf("hash the new password: %w", err)
		}
		now := s.Clock.Now()
		s.heartbeat.recordRotation(now)
		var ended int64
		err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
			session, ended, err = s.changePasswordTx(ctx, q, claims, hash, verified, attempt, now)
			return err
		})
		if err != nil {
			return session, fmt.Errorf("replace the password: %w", err)
		}
		event.Record(ctx, s.Log, event.PasswordChanged, event.Account(account.ID), event.Session(session.ID), slog.Int64("sessions_ended", ended))
		return session, nil
	}}
}

// requireRecentSecondFactor fails with reqinfo.ErrNotRecent if a login to the account needs a second factor, and the user has not recently
// authenticated with one. The current password is a proof itself, but only of one factor.
func (s *Service) requireRecentSecondFactor(ctx context.Context, q *db.Queries, claims token.Claims, now time.Time) error {
	account, err := q.LockAccount(ctx, claims.AccountID)
	if err != nil {
		return unauthorizedIfGone(fmt.Errorf("lock the account: %w", err))
	}
	if account.SecondFactorSince == nil {
		return nil
	}
	_, err = s.requireRecentAuthentication(ctx, q, claims, now)
	return err
}

// changePasswordTx replaces the password, and voids everything that could still log in with an older one.
//
// Clocks: as in rotate and startSessionTx.
func (s *Service) changePasswordTx(
	ctx context.Context, q *db.Queries, claims token.Claims, hash string, verified credential, attempt limit.LoginAttempt, now time.Time,
) (session db.Session, ended int64, err error) {
	if err := s.requireRecentSecondFactor(ctx, q, claims, now); err != nil {
		return session, 0, err
	}
	before, err := s.activeSession(ctx, q, claims, now)
	if err != nil {
		return session, 0, err
	}
	authenticated := withPassword(authentication(before), now)
	methods := token.FormatMethods(authenticated.Methods...)
	changed, err := q.ChangePassword(ctx, db.ChangePasswordParams{
		PasswordHash: &hash, Now: &now, ID: claims.AccountID, VerifiedHash: &verified.hash,
	})
	if err != nil {
		return session, 0, fmt.Errorf("store the password: %w", err)
	}
	if changed == 0 {
		return session, 0, errAccountChanged
	}
	if err := s.Limits.RecordLoginSuccess(ctx, q, now, attempt); err != nil {
		return session, 0, err
	}
	addr := reqinfo.FromContext(ctx).Addr.String()
	session, err = q.AdvanceSession(ctx, db.AdvanceSessionParams{
		ID: claims.SessionID, AccountID: claims.AccountID, RemoteAddr: addr, Now: now, FarAhead: now.Add(maxSkew),
		AuthenticatedAt: &authenticated.Time, Methods: &methods,
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if err != nil {
		return session, 0, unauthorizedIfGone(fmt.Errorf("continue the session: %w", err))
	}
	ended, err = q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{AccountID: claims.AccountID, Keep: claims.SessionID})
	if err != nil {
		return session, 0, fmt.Errorf("end the other sessions: %w", err)
	}
	if err := userdata.VoidLinks(ctx, q, claims.AccountID); err != nil {
		return session, 0, err
	}
	if err := q.DeleteOlderPasswordMails(ctx, claims.AccountID); err != nil {
		return session, 0, fmt.Errorf("delete mails with older passwords: %w", err)
	}
	return session, ended, enqueueMail(ctx, q, db.InsertMailParams{
		AccountID: claims.AccountID, Kind: mail.KindPasswordChanged, Now: now,
		HappenedAt: &now, Platform: &session.Platform, RemoteAddr: &addr,
	})
}
