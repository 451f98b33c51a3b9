package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/reqinfo"
	"github.com/financelime/authorization/impl/token"
)

// StepUpSession records that the calling user has authenticated again in the session of the access token. The proof is one of the account of
// the token, whatever other accounts the user has. It does not touch the refresh token.
func (s *Service) StepUpSession(ctx context.Context, request api.StepUpSessionRequestObject) (api.StepUpSessionResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	account, err := s.callingAccount(ctx, claims)
	if err != nil {
		return nil, err
	}
	if account.SecondFactorSince != nil {
		event.Record(ctx, s.Log, event.SessionStepUpRefused, event.Reason("second_factor_required"), event.Account(account.ID))
		return api.StepUpSession403JSONResponse{Code: 403, Message: api.StepUpSessionFailure403MessageSECONDFACTORREQUIRED}, nil
	}
	session, err := s.attemptLogin(ctx, account.Email, request.Body.Password, s.stepUp(claims))
	if errors.Is(err, errWrongPassword) || errors.Is(err, errAccountChanged) {
		return api.StepUpSession403JSONResponse{Code: 403, Message: api.StepUpSessionFailure403MessageAUTHENTICATIONFAILED}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate again: %w", err)
	}
	authenticated := authentication(session)
	access, err := s.Access.Sign(session.AccountID, session.ID, session.ClientID, authenticated)
	if err != nil {
		return nil, fmt.Errorf("sign the access token: %w", err)
	}
	lifetime := s.Access.Lifetime()
	return api.StepUpSession200JSONResponse{
		AccessToken: access, ExpiresIn: &lifetime,
		AuthenticatedAt: clock.Format(authenticated.Time), Acr: api.AuthenticationLevel(authenticated.Level()),
	}, nil
}

// stepUp is the use of a verified password to authenticate again in a session. It fails with reqinfo.ErrUnauthorized if the session has
// ended.
func (s *Service) stepUp(claims token.Claims) verifiedUse {
	return verifiedUse{event.SessionStepUpRefused, func(
		ctx context.Context, account db.Account, verified credential, attempt limit.LoginAttempt,
	) (db.Session, error) {
		if account.ID != claims.AccountID {
			return db.Session{}, errAccountChanged // the address has another account now
		}
		now := s.Clock.Now()
		var activated bool
		var ended int64
		var session db.Session
		err := s.Store.InTx(ctx, func(q *db.Queries) (err error) {
			activated, ended, err = false, 0, nil
			if verified.pending {
				activated, ended, err = activatePendingPassword(ctx, q, account.ID, verified.hash, claims.SessionID, now)
			}
			if err != nil {
				return err
			}
			if session, err = s.stepUpTx(ctx, q, claims, verified, attempt, now); err != nil || !activated || account.PasswordHash == nil {
				return err
			}
			return enqueueMail(ctx, q, db.InsertMailParams{
				AccountID: account.ID, Kind: mail.KindPasswordNotice, Now: now,
				HappenedAt: &now, Platform: &session.Platform, RemoteAddr: &session.RemoteAddr,
			})
		})
		if err != nil {
			return session, fmt.Errorf("record the authentication: %w", err)
		}
		about := []slog.Attr{event.Account(account.ID), event.Session(session.ID)}
		if activated {
			event.Record(ctx, s.Log, event.PasswordActivated, append(about, slog.Int64("sessions_ended", ended))...)
			s.MailQueued()
		}
		event.Record(ctx, s.Log, event.SessionSteppedUp, about...)
		return session, nil
	}}
}

// stepUpTx records the authentication in the session, if the verified password is still that of the account.
//
// Clocks: as in isRecent.
func (s *Service) stepUpTx(
	ctx context.Context, q *db.Queries, claims token.Claims, verified credential, attempt limit.LoginAttempt, now time.Time,
) (session db.Session, err error) {
	valid, err := q.LockAccountWithPassword(ctx, db.LockAccountWithPasswordParams{ID: claims.AccountID, VerifiedHash: &verified.hash})
	if err != nil {
		return session, fmt.Errorf("lock the account: %w", err)
	}
	if valid == 0 {
		return session, errAccountChanged
	}
	if err := s.Limits.RecordLoginSuccess(ctx, q, now, attempt); err != nil {
		return session, err
	}
	session, err = q.RecordAuthentication(ctx, db.RecordAuthenticationParams{
		ID: claims.SessionID, AccountID: claims.AccountID, AuthenticatedAt: &now, Methods: &byPassword,
		RemoteAddr:   reqinfo.FromContext(ctx).Addr.String(),
		CreatedAfter: now.Add(-s.SessionMaxAge), RefreshedAfter: now.Add(-s.RefreshTTL),
	})
	if err != nil {
		return session, unauthorizedIfGone(fmt.Errorf("continue the session: %w", err))
	}
	return session, nil
}
